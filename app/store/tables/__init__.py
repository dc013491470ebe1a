"""The tables. Every key begins with the project; `addresses` is the one directory over all projects.

State of a monitor is written only under its row lock. Check-ins are partitioned by day and runs by month, from the first
migration; there is no foreign key to either, and no default partition.
"""

from app.store.tables.columns import Base
from app.store.tables.heard import CheckInRow, IdempotencyRow, KeptCheckInRow, RunRow
from app.store.tables.monitors import MonitorRow
from app.store.tables.people import (
    AttemptRow,
    AuditEntryRow,
    InvitationRow,
    LetterRow,
    LinkRow,
    MembershipRow,
    PauseRow,
    SessionRow,
    UserRow,
)
from app.store.tables.reported import ReportedRunRow, SyncRow
from app.store.tables.telling import ChannelRow, DeliveryRow, SubscriptionRow
from app.store.tables.tenants import AddressRow, ApiKeyRow, ProjectRow
from app.store.tables.trouble import IncidentRow, RemovedMonitorRow, TransitionRow
from app.store.tables.vigil import BlackoutRow, CanaryRow, HeartbeatRow, HoldRow, TickRow, UnheardRow
from app.store.tables.watching import AuditRow, CountRow, NoticeRow

__all__ = [
    "AddressRow", "ApiKeyRow", "AttemptRow", "AuditEntryRow", "AuditRow", "Base", "BlackoutRow", "CanaryRow", "ChannelRow",
    "CheckInRow", "CountRow", "DeliveryRow", "HeartbeatRow", "HoldRow", "IdempotencyRow", "IncidentRow", "InvitationRow",
    "KeptCheckInRow", "LetterRow", "LinkRow", "MembershipRow", "MonitorRow", "NoticeRow", "PauseRow", "ProjectRow",
    "RemovedMonitorRow", "ReportedRunRow", "RunRow", "SessionRow", "SubscriptionRow", "SyncRow", "TickRow", "TransitionRow",
    "UnheardRow", "UserRow",
]  # fmt: skip

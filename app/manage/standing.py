"""How a monitor stands at this moment, read from its row, whether or not a sweeper runs."""

from app.domain.monitor import Seen, as_seen
from app.errors import Invalid
from app.store.blackouts import Moment
from app.store.rows import Columns, monitor_of


def seen(row: Columns, moment: Moment) -> Seen:
    """As the domain judges it now. A row that makes no sense is shown as it is stored, and does not take the others with it."""
    try:
        return as_seen(monitor_of(row), moment.now, moment.horizon)
    except (ValueError, Invalid):
        return Seen(row["status"], False, row["due"], row["deadline"])

"""Whether the service may be trusted to notice silence and to tell it, judged by its own figures: what is wrong, in words, and
what to do. Where the figures come from stands in `store/vitals.py`."""

from collections.abc import Mapping
from dataclasses import dataclass

SWEEP_EVERY = 10.0  # seconds that a loop of the worker may stay away
LAG = 60.0
STUCK = 120.0
DEAF = 45.0  # more than a replica that is gone, or a canary under way, holds silence back
CANARY = 60.0
SET_BACK = 2.0
AUDIT_EVERY = 300.0
UNTOLD = 1800.0
CLOCK = 30.0
DAYS_AHEAD = 3
NEVER = -1.0


@dataclass(frozen=True, slots=True)
class Audit:
    """What one audit found when it was last asked; `words` name the first of them."""

    found: int
    words: str


@dataclass(frozen=True, slots=True)
class Vitals:
    """Ages and lags in seconds, NEVER where the thing has never happened.

    `sweep_lag`: of the oldest passed deadline that nobody judged. `stuck_delivery`: since when something is due to a channel to
    which nobody is sending. `horizon_lag`: how far back silence is judged, which grows while no web process ticks. `set_back`:
    how far the database's clock is behind its own newest tick. `held`: what the breaker for mass silence adds to it.
    `canary_age`: since a check-in of our own came through the public address, or since the first that did not; NEVER while none
    is sent. `deaf_today`: blackouts of the last 24 hours.
    """

    sweep_lag: float
    sweep_age: float
    deliver_age: float
    oldest_delivery: float
    stuck_delivery: float
    horizon_lag: float
    canary_age: float
    set_back: float
    held: float
    deaf_today: float
    days_ahead: int
    set_aside: int
    audits: Mapping[str, Audit]
    audit_age: float
    untold: int
    untold_age: float


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong: which, in words, and what to do. `grave`: while it lasts, alerts may be late or missing."""

    about: str
    words: str
    remedy: str
    grave: bool = False


WORKER = "Look at the log of the worker; is one running, and does the database answer it?"


def complaints(v: Vitals) -> list[Complaint]:
    """Everything that is wrong, the grave first; nothing where all is well."""
    found = [*_of_the_loops(v), *_of_the_work(v), *_of_our_doubts(v), *_of_the_house(v)]
    return sorted(found, key=lambda complaint: not complaint.grave)


def grave(v: Vitals) -> list[Complaint]:
    """What keeps alerts from people: while there is any of it, the outgoing heartbeat is withheld."""
    return [complaint for complaint in complaints(v) if complaint.grave]


def _of_the_loops(v: Vitals) -> list[Complaint]:
    found = []
    for about, done, age in (("sweep", "swept", v.sweep_age), ("deliver", "delivered", v.deliver_age)):
        if age == NEVER:
            found.append(Complaint(about, f"nothing has ever {done}", WORKER, grave=True))
        elif age > SWEEP_EVERY:
            found.append(Complaint(about, f"nothing has {done} for {age:.0f} s", WORKER, grave=True))
    return found


def _of_the_work(v: Vitals) -> list[Complaint]:
    found = []
    if v.sweep_lag > LAG:
        words = f"a deadline passed {v.sweep_lag:.0f} s ago and nobody has judged it"
        found.append(Complaint("sweep_lag", words, WORKER, grave=True))
    if v.stuck_delivery > STUCK:
        words = f"a message is due for {v.stuck_delivery:.0f} s and nobody is sending to its channel"
        found.append(Complaint("delivery", words, WORKER, grave=True))
    if v.horizon_lag == NEVER:
        words = "no web process has ever taken a ping"
        found.append(Complaint("horizon", words, "Start one: missedbeat-server web, or serve", grave=True))
    elif v.horizon_lag > DEAF:
        words = f"no web process can record pings for {v.horizon_lag:.0f} s, so no silence since then is judged"
        found.append(Complaint("horizon", words, "Look at the log of the web processes and at the database's disk", grave=True))
    return found


def _of_our_doubts(v: Vitals) -> list[Complaint]:
    found = []
    if v.set_back > SET_BACK:
        words = f"the database's clock was set back; no silence is judged for the next {v.set_back:.0f} s"
        found.append(
            Complaint("clock", words, "Let the database's machine set its clock by NTP, in small steps", v.set_back > LAG)
        )
    if v.canary_age > CANARY:
        words = f"check-ins of our own are sent and none has come through the public address for {v.canary_age:.0f} s"
        found.append(Complaint("canary", words, "See whether MISSEDBEAT_BASE_URL reaches us: proxy, DNS, certificate"))
    if v.held > 0:
        words = f"very many jobs fell silent at once; verdicts of the last {v.held:.0f} s are held, ten minutes at most"
        found.append(Complaint("mass silence", words, "See whether their pings reach us: proxy, DNS, certificate"))
    return found


def _of_the_house(v: Vitals) -> list[Complaint]:
    found = []
    if v.days_ahead < DAYS_AHEAD:
        words = f"check-ins have room for {v.days_ahead} more days only"
        found.append(Complaint("partitions", words, "The worker makes partitions each hour: its log says what kept it"))
    if v.audit_age == NEVER or v.audit_age > AUDIT_EVERY:
        age = "have never run" if v.audit_age == NEVER else f"did not run for {v.audit_age:.0f} s"
        found.append(Complaint("audit", f"the audits {age}", WORKER))
    for name, audit in v.audits.items():
        if audit.found:
            words = f"audit {name}: {audit.found} found; {audit.words}"
            found.append(Complaint(f"audit {name}", words, "See docs/operations/README.md, 'Audits'"))
    if v.untold and v.untold_age > UNTOLD:
        words = f"{v.untold} notices wait to be mailed to the operator for {v.untold_age:.0f} s"
        found.append(Complaint("notices", words, "Check the MISSEDBEAT_SMTP_ settings: missedbeat-server doctor"))
    return found


def clock_complaint(difference: float) -> list[Complaint]:
    """What to say of a process whose clock differs from the database's by so many seconds. Verdicts take the database's clock;
    signatures of webhooks and dates of mails take the process's."""
    if abs(difference) <= CLOCK:
        return []
    words = f"the clock of this process and that of the database are {abs(difference):.0f} s apart"
    return [Complaint("clock", words, "Let both machines set their clocks by NTP")]

"""How a monitor stands at this moment, read from its row, whether or not a sweeper runs."""

from app.domain.monitor import Seen, as_seen, at_rest
from app.errors import Invalid
from app.store.blackouts import Moment
from app.store.rows import Columns, monitor_of, rule_of


def seen(row: Columns, moment: Moment) -> Seen:
    """As the domain judges it now. A row that makes no sense is shown as it is stored, and does not take the others with it."""
    deadline = row["deadline"]
    try:
        if (deadline is None or deadline >= moment.horizon.at) and "runs" not in (row["memory"] or ()):
            rule_of(row)
            return at_rest(row["status"], row["due"], deadline, moment.now)
        return as_seen(monitor_of(row), moment.now, moment.horizon)
    except (ValueError, Invalid):
        return Seen(row["status"], False, row["due"], deadline)

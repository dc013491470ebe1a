"""Which revision of the schema this version works with. Apart from `migrate`, whose library every process would load for it."""

from functools import cache
from pathlib import Path

import migrations

SCRIPTS = Path(migrations.__file__).parent


@cache
def head() -> str:
    """The newest: migrations are a chain, and their files begin with its numbers."""
    return max(script.name.partition("_")[0] for script in SCRIPTS.glob("versions/[0-9]*_*.py"))

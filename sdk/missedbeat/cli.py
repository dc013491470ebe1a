"""The command `missedbeat`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from missedbeat import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments say; the exit code."""
    said = _parser().parse_args(arguments)
    if not said.app:
        print("Which app? -A proj.app, as for the command celery.")
        return 2
    try:
        from missedbeat.celery.check import check  # noqa: PLC0415 - Celery is an extra
    except ImportError as error:
        print(f"Celery cannot be imported: {error}")
        return 2
    return check(said.app, offline=said.offline, strict=said.strict)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="missedbeat", description="A dead man's switch for scheduled jobs.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    check = commands.add_parser(
        "check",
        help="say what of a Celery app would be watched, whether the server can be reached, and what is a trap",
        epilog="Exit codes: 0 all is well, 1 there is a problem, 2 the app cannot be loaded.",
    )
    check.add_argument("-A", "--app", default=os.environ.get("CELERY_APP", ""), help="the app, as for the command celery")
    check.add_argument("--offline", action="store_true", help="do not ask the server")
    check.add_argument("--strict", action="store_true", help="exit 1 for advice too")
    return parser


if __name__ == "__main__":
    sys.exit(main())

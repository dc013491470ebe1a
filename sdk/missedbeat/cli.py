"""The command `missedbeat`."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

BEHIND = "say the command behind two dashes: missedbeat run nightly -- pg_dump shop"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments say; the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["probe"]:
        return _probe(given[1:])
    ours, command = _split(given)
    parser = _parser()
    said, unknown = parser.parse_known_args(ours)
    if unknown:
        behind = f"; {BEHIND}" if said.what == "run" else ""
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{behind}")
    if said.what == "run":
        return _run(parser, said, command)
    if not said.app:
        print("Which app? -A proj.app, as for the command celery.")
        return 2
    try:
        from missedbeat.celery.check import check  # noqa: PLC0415 - Celery is an extra
    except ImportError as error:
        print(f"Celery cannot be imported: {error}")
        return 2
    return check(said.app, offline=said.offline, strict=said.strict, scheduler=said.scheduler)


def _probe(arguments: list[str]) -> int:
    from missedbeat.probe import main  # noqa: PLC0415 - each command imports what it needs

    return main(arguments)


def _run(parser: argparse.ArgumentParser, said: argparse.Namespace, command: list[str]) -> int:
    from missedbeat.run_command import finish, run_command  # noqa: PLC0415 - each command imports what it needs

    if not command:
        parser.error(BEHIND)
    code = run_command(said, command)
    finish(code)
    return code


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What is ours, and the command that stands behind `--`."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def _parser() -> argparse.ArgumentParser:
    import argparse  # noqa: PLC0415 - not for the probe

    from missedbeat import __version__  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="missedbeat", description="A dead man's switch for scheduled jobs.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command", dest="what")
    check = commands.add_parser(
        "check",
        help="say what of a Celery app would be watched, whether the server can be reached, and what is a trap",
        epilog="Exit codes: 0 all is well, 1 there is a problem, 2 the app cannot be loaded.",
    )
    check.add_argument("-A", "--app", default=os.environ.get("CELERY_APP", ""), help="the app, as for the command celery")
    check.add_argument("-S", "--scheduler", default="", help="Beat's scheduler, as for celery beat; else that of the settings")
    check.add_argument("--offline", action="store_true", help="ask neither the server nor the database of the entries")
    check.add_argument("--strict", action="store_true", help="exit 1 for advice too")
    _add_run(commands)
    commands.add_parser("probe", add_help=False, help="say whether the worker or Beat of this container is alive, fast")
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser(
        "run",
        help="run a command, and tell when it begins and how it ends",
        usage="missedbeat run [options] [check] -- command [argument ...]",
        epilog="Exits as the command does: with its code, 128 and the signal that killed it, 127 if it is not found, 126 if it "
        "cannot be executed.",
    )
    run.add_argument("target", nargs="?", metavar="check", help="its key, ping id, slug or ping URL; else MISSEDBEAT_MONITOR")
    run.add_argument("--monitor", metavar="KEY", help="the same")
    run.add_argument("--schedule", help="a cron expression or seconds: the first run makes the check")
    run.add_argument("--tz", help="the zone of the schedule; UTC if not said")
    run.add_argument("--grace", metavar="SECONDS", help="how late it may be")
    run.add_argument("--max-runtime", metavar="SECONDS", help="how long it may take")
    run.add_argument("--no-output", action="store_true", help="keep nothing of what it writes, and let it write by itself")
    run.add_argument("--environment", help="else MISSEDBEAT_ENVIRONMENT")
    run.add_argument("--url", help="else MISSEDBEAT_URL")
    run.add_argument("--key", help="else MISSEDBEAT_KEY; file:/path for one that stands in a file")


if __name__ == "__main__":
    sys.exit(main())

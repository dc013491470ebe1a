"""The cluster of the private PostgreSQL: made once, whole or not at all, and of one major version for ever."""

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from app.errors import BadSettings, Unavailable
from app.store.embedded_child import Identity, spawn, wait_until_deserted
from app.store.embedded_folder import Folder, tail

OWNER = "missedbeat"


def has_cluster(cluster: Path, major: int) -> bool:
    """Whether there is one; BadSettings when it is another version's, or when the folder holds something else."""
    try:
        written_by = (cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        if cluster.exists() and any(cluster.iterdir()):
            raise BadSettings(f"{cluster} holds files that are not a PostgreSQL cluster's: choose another data folder.") from None
        return False
    if written_by != str(major):
        raise BadSettings(
            f"{cluster} was written by PostgreSQL {written_by}, and the one found here is {major}: where {written_by} is there, "
            "run `missedbeat-server db export`, then `missedbeat-server db import` into an empty data folder."
        )
    return True


def create_cluster(folder: Folder, identity: Identity, binaries: Path, major: int, fsync: bool) -> None:
    """initdb beside the place, then one rename; raises Unavailable with initdb's last words."""
    fresh = folder.data / "postgres.new"
    wait_until_deserted(fresh)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    identity.take_over(fresh)
    with tempfile.TemporaryFile() as output:
        child = spawn(_initdb(fresh, binaries, major, fsync), identity, output.fileno(), dies_by=signal.SIGKILL)
        try:
            failed = child.wait() != 0
        finally:
            child.kill()  # when we are interrupted
            child.wait()
        if failed:
            output.seek(0)
            raise Unavailable(f"initdb could not make a cluster in {fresh}:\n{tail(output.read())}")
    fresh.rename(folder.cluster)
    directory = os.open(folder.data, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def _initdb(fresh: Path, binaries: Path, major: int, fsync: bool) -> list[str | Path]:
    """Trust, for nobody but the owner can enter the socket's folder. macOS has no locale C.UTF-8 of its own."""
    locale = "C.UTF-8" if sys.platform == "linux" else "C"
    command: list[str | Path] = [binaries / "initdb", "-D", fresh, "-U", OWNER, "--encoding=UTF8", "--data-checksums"]
    command += ["--auth-local=trust", "--auth-host=reject", f"--locale={locale}"]
    if major >= 17:
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return command if fsync else [*command, "--no-sync"]

"""borgmatic with its Healthchecks hook and a real borg repository: only `ping_url` names us."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.clients.driving import Project, python, run

pytestmark = pytest.mark.prove

HOOK = {"send_logs": True, "create_slug": True, "states": ["start", "finish", "fail", "log"]}


class Backup:
    """A folder to back up into a repository of its own, and borgmatic told where to ping. Its configuration is JSON, which is
    YAML too."""

    def __init__(self, folder: Path, hook: dict[str, object]) -> None:
        self.folder = folder
        self.source = folder / "source"
        self.source.mkdir()
        (self.source / "letter.txt").write_text("Dear reader")
        self.config = folder / "config.yaml"
        settings = {
            "source_directories": [str(self.source)],
            "source_directories_must_exist": True,
            "repositories": [{"path": str(folder / "backup.borg"), "label": "backup"}],
            "unknown_unencrypted_repo_access_is_ok": True,
            "borg_base_directory": str(folder),
            "healthchecks": hook,
        }
        self.config.write_text(json.dumps(settings))

    def borgmatic(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run it; nothing of the user's own borg is touched."""
        where = {"HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder), "TMPDIR": str(self.folder)}
        module = ("-m", "borgmatic.commands.borgmatic", "--config", str(self.config))
        return run(python("borgmatic"), *module, *words, code=code, given=where)


def test_borgmatic_tells_start_log_and_finish_or_fail_of_a_backup(project: Project, tmp_path: Path) -> None:
    """The first ping by slug makes the check; a good backup ends in success, one without its source in fail, both with
    borgmatic's own log as body."""
    ping_url = f"{project.url}/ping/{project.keys['ping_key']}/nightly-backup"
    backup = Backup(tmp_path, {**HOOK, "ping_url": ping_url})
    backup.borgmatic("repo-create", "--encryption", "none")
    assert project.checks() == []  # not one of the actions it pings for

    words = backup.borgmatic("create", "--verbosity", "1", "--stats").stderr
    assert "Healthchecks error" not in words
    check = project.check("nightly-backup")
    assert project.types(check) == ["start", "log", "success"]
    start, log, success = project.pings(check)
    assert start["body"] == ""
    assert "Creating archive" in log["body"]
    assert "Archive name:" in success["body"]
    assert success["duration"] > 0
    assert {(ping["method"], ping["ua"]) for ping in (start, log, success)} == {("POST", "borgmatic")}
    assert project.check("nightly-backup")["status"] == "up"

    (backup.source / "letter.txt").unlink()
    backup.source.rmdir()
    backup.borgmatic("create", code=1)
    assert project.types(check)[3:] == ["start", "log", "fail"]
    assert "source" in project.pings(check)[-1]["body"]
    assert project.check("nightly-backup")["status"] == "down"


def test_borgmatic_pings_by_id_with_the_states_it_was_told(project: Project, tmp_path: Path) -> None:
    """`create_slug` means nothing beside an id; states that are left out are not told."""
    check = project.new_check(name="by id")
    backup = Backup(tmp_path, {**HOOK, "ping_url": check["ping_url"], "states": ["start", "finish"]})
    backup.borgmatic("repo-create", "--encryption", "none")
    backup.borgmatic("create")
    assert project.types(check) == ["start", "success"]
    assert len(project.checks()) == 1

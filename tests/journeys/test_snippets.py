"""What is copied works: the lines are run as they stand, by the shells and programs they are for, against the real service."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.domain.schedule import Cron, OnCalendar, Schedule
from app.domain.snippets import Snippet, snippets, target
from tests.browser.screen import Site, listening
from tests.world import World

pytestmark = pytest.mark.anyio

NIGHTLY = Cron("30 2 1,15 * mon-fri", "Europe/Berlin")
PATH = "/usr/bin:/bin"


@pytest.fixture
async def site(calm: World) -> AsyncIterator[Site]:
    """The service on a port."""
    async with listening(calm) as site:
        yield site


async def pinged(site: Site) -> dict[str, Any]:
    """A check with a slug."""
    return await site.world.check(name='Nightly\'s "backup"', slug="nightly-backup")


def written(url: str, check: dict[str, Any], key: str | None, schedule: Schedule = NIGHTLY) -> dict[str, Snippet]:
    """What its page shows."""
    to = target(url, check["uuid"], key, check["slug"], check["name"], schedule)
    return {one.key: one for one in snippets(to)}


async def run(*command: str, folder: Path, **more: str) -> tuple[int, str]:
    """Its exit status, and what it said."""
    environment = {"PATH": PATH, "HOME": str(folder), "no_proxy": "*", **more}
    program = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await program.communicate()
    return program.returncode or 0, said.decode()


async def heard(site: Site, check: dict[str, Any]) -> list[tuple[str, int | None]]:
    """What the service heard of it, in order, and clears its desk."""
    answer = (await site.world.api("GET", f"checks/{check['uuid']}/pings/")).json()["pings"]
    found = [(ping["type"], ping["exitstatus"]) for ping in reversed(answer)]
    seen = check.setdefault("seen", 0)
    check["seen"] = len(found)
    return found[seen:]


@pytest.mark.parametrize("by_slug", [True, False])
@pytest.mark.parametrize("shell", ["sh", "bash"])
async def test_shells_tell_how_a_job_ended_and_end_as_it_did(site: Site, tmp_path: Path, shell: str, by_slug: bool) -> None:
    """One line behind a command, and three at the top of a script that stops at the first error, or is stopped."""
    check = await pinged(site)
    found = written(site.url, check, site.world.project.ping_key if by_slug else None)
    line = found["shell"].text.replace("your-command", "(exit 7)")
    assert await run(shell, "-c", line, folder=tmp_path) == (7, "")
    assert await heard(site, check) == [("fail", 7)]
    for body, status, last in (("true", 0, ("success", 0)), ("set -e\n(exit 9)\ntouch never", 9, ("fail", 9))):
        assert await run(shell, "-c", found["script"].text + body, folder=tmp_path) == (status, "")
        assert await heard(site, check) == [("start", None), last]
    assert not (tmp_path / "never").exists()


async def test_the_line_for_cron_is_a_command_once_cron_has_read_it(site: Site, tmp_path: Path) -> None:
    """Behind five fields, with `\\%` for `%`; cron gives it to sh."""
    check = await pinged(site)
    line = written(site.url, check, site.world.project.ping_key)["cron"].text.splitlines()[-1]
    command = line.split(maxsplit=5)[5].replace("\\%", "%").replace("your-command", "(exit 3)")
    assert await run("sh", "-c", command, folder=tmp_path) == (0, "")
    assert await heard(site, check) == [("fail", 3)]


@pytest.mark.parametrize(
    ("job", "status", "last"),
    [
        ("pass", 0, "success"), ("raise ValueError", 1, "fail"), ("sys.exit(4)", 4, "fail"), ("sys.exit(0)", 0, "success"),
        ("sys.exit()", 0, "success"),
    ],
)  # fmt: skip
async def test_python_tells_how_a_function_ended(site: Site, tmp_path: Path, job: str, status: int, last: str) -> None:
    """By the standard library alone; the program ends as it would have."""
    check = await pinged(site)
    text = written(site.url, check, site.world.project.ping_key)["python"].text
    program = text.replace("your_job()", job)
    (tmp_path / "job.py").write_text(program, encoding="utf-8")
    ended, said = await run(sys.executable, "-I", "job.py", folder=tmp_path)
    assert (ended, "ping:" in said) == (status, False), said
    assert [kind for kind, _ in await heard(site, check)] == ["start", last]


@pytest.mark.parametrize("by_slug", [True, False])
async def test_the_command_and_the_block_of_the_sdk_tell_how_a_job_ended(site: Site, tmp_path: Path, by_slug: bool) -> None:
    """Each in its own words, of the check that is there; the job ends as it would have."""
    check = await pinged(site)
    found = written(site.url, check, site.world.project.ping_key if by_slug else None)
    line = found["command"].text.splitlines()[1].replace("your-command", "sh -c 'exit 7'")
    here = f"{Path(sys.executable).parent}:{PATH}"
    assert await run("sh", "-c", line, folder=tmp_path, PATH=here) == (7, "")
    assert await heard(site, check) == [("start", None), ("fail", 7)]
    for job, status, last in (("pass", 0, "success"), ("raise ValueError", 1, "fail")):
        program = found["sdk"].text.replace("your_job()", job)
        ended, said = await run(sys.executable, "-I", "-c", program, folder=tmp_path, MISSEDBEAT_KEY=site.world.project.api_key)
        assert ended == status, said
        assert said == "" or "ValueError" in said
        assert [kind for kind, _ in await heard(site, check)] == ["start", last]
    assert len(await site.world.rows("SELECT id FROM monitors")) == 1


async def test_the_container_of_kubernetes_ends_as_its_job(site: Site, tmp_path: Path) -> None:
    """Its script, as the YAML has it, by sh."""
    check = await pinged(site)
    job = yaml.safe_load(written(site.url, check, site.world.project.ping_key)["kubernetes"].text)
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    (script,) = container["args"]
    ended = await run(*container["command"], script.replace("your-command", "(exit 5)"), folder=tmp_path)
    assert ended == (5, "")
    assert await heard(site, check) == [("start", None), ("fail", 5)]


async def test_nothing_that_is_wrong_with_us_reaches_the_job(site: Site, tmp_path: Path) -> None:
    """A service that is not there, and a check that is not known."""
    check = await pinged(site)
    for url in ("http://127.0.0.1:1", f"{site.url}/nowhere"):
        found = written(url, check, site.world.project.ping_key)
        for body, status in (("true", 0), ("exit 9", 9)):
            ended, said = await run("sh", "-ec", f"{found['script'].text}{body}", folder=tmp_path)
            assert (ended, "curl:" in said) == (status, True)
        assert (await run("sh", "-ec", found["shell"].text.replace("your-command", "true"), folder=tmp_path))[0] == 0
    text = written("http://127.0.0.1:1", check, None)["python"].text.replace("your_job()", "print('did it')")
    program = text.replace("time.sleep(n)", "time.sleep(0)")
    ended, said = await run(sys.executable, "-I", "-c", program, folder=tmp_path)
    assert ended == 0
    assert "did it" in said
    assert said.count("ping: ") == 6


@pytest.mark.parametrize("schedule", [NIGHTLY, OnCalendar("Mon 03:00\n*-*-* 04:00 Asia/Tokyo", "UTC")])
async def test_systemd_takes_service_and_timer_and_tells_how_it_ended(site: Site, tmp_path: Path, schedule: Schedule) -> None:
    """Where this machine has systemd its own checker reads them; what it would give to sh pings."""
    check = await pinged(site)
    text = written(site.url, check, site.world.project.ping_key, schedule)["systemd"].text
    parts = text.replace("/usr/local/bin/your-command", "/bin/true").split("\n\n# ")
    units = dict(zip(("job.service", "job.timer"), parts, strict=True))
    for name, unit in units.items():
        (tmp_path / name).write_text(unit.partition("\n")[2], encoding="utf-8")  # without the line that names the file
    checker = shutil.which("systemd-analyze")
    if checker:
        for name in units:
            read = subprocess.run([checker, "verify", f"./{name}"], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert (read.returncode, read.stderr) == (0, ""), read.stderr
    (stop,) = [line for line in units["job.service"].splitlines() if line.startswith("ExecStopPost=")]
    command = stop.partition("sh -c '")[2].removesuffix("'").replace("$$", "$").replace("%%", "%")
    for result, code, last in (
        ("success", "0", ("success", 0)),
        ("exit-code", "8", ("fail", 8)),
        ("timeout", "TERM", ("fail", None)),
    ):
        told = f"SERVICE_RESULT={result} EXIT_STATUS={code}; {command}"
        assert await run("sh", "-c", told, folder=tmp_path) == (0, "")
        assert await heard(site, check) == [last]

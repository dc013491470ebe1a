"""What there is to copy: its form is right, nobody's words break out of it, and it goes by the check's times."""

import configparser
import shlex
from datetime import timedelta
from typing import Any

import pytest
import yaml

from app.domain.schedule import Cron, Declared, Every, OnCalendar, Schedule
from app.domain.snippets import Snippet, ping_url, snippets, target

ID = "5e1f0c9a-7d42-4b8e-a3f6-0c9d8e7f6a5b"
NIGHTLY = Cron("30 2 * * mon-fri", "Europe/Berlin")
HOSTILE = 'x\'; "$(touch pwned)" `id` %n \\ ${{ secrets }} \n- evil: <b> ]]>'


def written(schedule: Schedule = NIGHTLY, slug: str = "nightly-backup", **given: str) -> dict[str, Snippet]:
    """All of a check, by their keys."""
    base_url, name = given.get("base_url", "https://beat.example"), given.get("name", "Nightly backup")
    return {one.key: one for one in snippets(target(base_url, ID, "pk123", slug, name, schedule))}


def test_there_is_one_for_each_kind_of_job() -> None:
    """Each with a name, a language and a sentence on when to use it, and the URL of the check; those of the SDK name it."""
    found = written()
    assert list(found) == [
        "shell", "script", "command", "cron", "systemd", "python", "sdk", "celery", "powershell", "windows", "kubernetes",
        "github",
    ]  # fmt: skip
    for key, one in found.items():
        assert one.name
        assert one.language
        assert one.when.endswith("."), key
        assert ("https://beat.example/ping/pk123/nightly-backup" in one.text) == (key not in ("sdk", "celery", "windows")), key


def test_a_check_is_pinged_by_slug_where_it_has_one_else_by_its_id() -> None:
    """The slug is what people can read, and stays when the check is made anew."""
    assert ping_url("https://b", ID, "pk", "job") == "https://b/ping/pk/job"
    assert ping_url("https://b", ID, None, "job") == ping_url("https://b", ID, "pk", "") == f"https://b/ping/{ID}"


def test_pings_give_up_and_never_decide_how_a_job_ends() -> None:
    """Every curl has a limit of time and says nothing but errors; one at the start of a job is not tried again."""
    for one in written().values():
        for line in one.text.splitlines():
            for call in line.split("curl ")[1:]:
                assert call.startswith(("-fsS -m 10 -o /dev/null ", "-fsS -m 10 --retry 5 -o /dev/null ")), one.key
                assert "/start" not in call or "--retry" not in call, one.key


def test_words_of_people_stand_in_none_of_them() -> None:
    """A name that would break out of a shell, YAML or a unit changes nothing but the name of a file."""
    plain, hostile = written(slug="", name="job"), written(slug="", name=HOSTILE)
    for key, one in hostile.items():
        for words in ("touch", "evil", "<b>", "`id`", "%n"):
            assert words not in one.text.replace("x-touch-pwned-id-n-secrets-evil-b", ""), key
        name = target("https://beat.example", ID, None, "", HOSTILE, NIGHTLY).name
        assert one.text == plain[key].text.replace('"job"', f'"{name}"').replace("/job.", f"/{name}.").replace(
            "Description=job", f"Description={name}"
        ).replace("\\job.ps1", f"\\{name}.ps1"), key


@pytest.mark.parametrize("schedule", [
    NIGHTLY, Every(timedelta(hours=1)), Every(timedelta(minutes=50)), OnCalendar("Mon *-*-* 03:00:00\n*-*-* 05:00:00", "UTC"),
    Cron("0 3 L * *", "Asia/Tokyo"), Declared(None, None, "UTC"),
])  # fmt: skip
def test_yaml_and_units_can_be_read_whatever_the_schedule(schedule: Schedule) -> None:
    """By a parser of YAML and of INI files; what no times are known for says so."""
    found = written(schedule)
    cron_job = yaml.safe_load(found["kubernetes"].text)
    spec = cron_job["spec"]
    assert (cron_job["apiVersion"], cron_job["kind"]) == ("batch/v1", "CronJob")
    assert len(spec["schedule"].split()) == 5
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    assert container["command"] == ["/bin/sh", "-c"]
    assert container["args"][0].splitlines()[1:3] == ["your-command", "status=$?"]
    workflow: dict[Any, Any] = yaml.safe_load(found["github"].text)
    (times,) = workflow[True]["schedule"]  # to YAML 1.1 `on` is a truth
    assert times["cron"] == spec["schedule"]
    assert times.get("timezone") == spec.get("timeZone") == (None if isinstance(schedule, Every) else schedule.zone)
    assert [step.get("if") for step in workflow["jobs"]["job"]["steps"]][-2:] == ["success()", "failure() || cancelled()"]
    service, timer = found["systemd"].text.split("\n\n# ")
    for unit in (service, f"# {timer}"):
        configparser.RawConfigParser(strict=False).read_string(unit)
    own = [key for key, one in found.items() if "put the job's own times here" in one.text]
    assert ("systemd" in own) == isinstance(schedule, Declared) or "L" in getattr(schedule, "expression", "")


def test_times_and_zones_are_the_checks() -> None:
    """cron and Windows go by the clock of their machine, which is said."""
    found = written()
    assert "# in the zone Europe/Berlin: cron goes by the clock of its machine\n30 2 * * 1-5 your-command; " in found["cron"].text
    assert "OnCalendar=Mon..Fri *-*-* 02:30:00 Europe/Berlin\n" in found["systemd"].text
    assert 'schedule: "30 2 * * 1-5"\n  timeZone: "Europe/Berlin"\n' in found["kubernetes"].text
    assert "/SC WEEKLY /D MON,TUE,WED,THU,FRI /ST 02:30 " in found["windows"].text
    assert "rem in the zone Europe/Berlin" in found["windows"].text
    hourly = written(Every(timedelta(hours=1)))
    assert "\n" not in hourly["cron"].text
    assert "OnCalendar=*-*-* *:00:00 UTC\n" in hourly["systemd"].text
    assert "OnUnitActiveSec=3000s\n" in written(Every(timedelta(minutes=50)))["systemd"].text


def test_the_public_address_is_quoted_as_well() -> None:
    """It is the operator's word, and may have any path."""
    found = written(base_url="https://beat.example/a%20b$c'd")
    url = "https://beat.example/a%20b$c'd/ping/pk123/nightly-backup"
    assert shlex.split(found["script"].text.splitlines()[0].replace("\\$", "$")) == [f"ping={url}"]
    assert r"/a\%20b\$c'd/ping" in found["cron"].text
    assert "$ping = 'https://beat.example/a%20b$c''d/ping/pk123/nightly-backup'" in found["powershell"].text
    assert r"/a%%20b\\$$c\'d/ping" in found["systemd"].text
    compile(found["python"].text, "python", "exec")
    compile(found["celery"].text, "celery", "exec")


def test_windows_takes_the_line() -> None:
    """`/TR` has 261 characters at most."""
    run = written(slug="a" * 100)["windows"].text.partition('/TR "')[2].partition('"')[0]
    assert len(run) <= 261

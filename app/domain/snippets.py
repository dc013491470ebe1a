"""Lines to copy that let a job ping one check: for shells, cron, systemd, Python, Celery, Windows, Kubernetes, GitHub Actions.

All of them keep to the same: the ping never makes the job fail or hides how it ended; it gives up after a while; a start is tried
once, so that a job waits for it ten seconds at most. Names of checks are people's words and stand in none of them: files bear
a slug. `your-command` and `your_job()` stand for the job.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.elsewhere import NIGHT, as_cron, as_on_calendar, as_task
from app.domain.schedule import Every, Schedule
from app.domain.slug import slug_of

ONCE = "curl -fsS -m 10 -o /dev/null"
AGAIN = "curl -fsS -m 10 --retry 5 -o /dev/null"
LONGEST_NAME = 40
OWN_TIMES = "put the job's own times here"


@dataclass(frozen=True, slots=True)
class Snippet:
    """`key` is a word for anchors, `language` one for what it is written in, `when` a sentence on what it is for."""

    key: str
    name: str
    language: str
    text: str
    when: str


@dataclass(frozen=True, slots=True)
class Target:
    """The check that is pinged: its URL, a name that files may have, its schedule, and how Celery names it."""

    url: str
    name: str
    schedule: Schedule
    base_url: str
    id: str

    @property
    def zone(self) -> str:
        """Of its schedule; empty for a period, which has none."""
        return "" if isinstance(self.schedule, Every) else self.schedule.zone


def ping_url(base_url: str, monitor: UUID | str, ping_key: str | None, slug: str) -> str:
    """Where a check is pinged: by ping key and slug where it has both, else by its id."""
    return f"{base_url}/ping/{ping_key}/{slug}" if ping_key and slug else f"{base_url}/ping/{monitor}"


def target(base_url: str, monitor: UUID | str, ping_key: str | None, slug: str, name: str, schedule: Schedule) -> Target:
    """The check of this id, slug and name."""
    short = (slug or slug_of(name))[:LONGEST_NAME].replace("_", "-").strip("-") or "job"
    return Target(ping_url(base_url, monitor, ping_key, slug), short, schedule, base_url, slug or str(monitor))


def snippets(to: Target) -> Sequence[Snippet]:
    """All of them, those that most people want first."""
    return tuple(write(to) for write in WRITTEN)


def shell(to: Target) -> Snippet:
    """One line."""
    text = f"your-command; ended=$?; {AGAIN} {_sh(to.url, '/$ended')} || true; (exit $ended)"
    use = "Behind any command: says that it ended, and with which exit status, which the line ends with too."
    return Snippet("shell", "Shell", "sh", text, use)


def script(to: Target) -> Snippet:
    """Lines for the top of a script."""
    text = f"""ping={_sh(to.url)}
{ONCE} "$ping/start" || true
trap '{AGAIN} "$ping/$?" || true' EXIT
"""
    return Snippet("script", "Shell script", "sh", text, "At the top of a script: says when it starts, and however it ends.")


def cron(to: Target) -> Snippet:
    """A line of a crontab, in which a percent sign would begin the input of the command."""
    known = as_cron(to.schedule)
    notes = [] if known else [f"# {OWN_TIMES}"]
    if known and to.zone:
        notes.append(f"# in the zone {to.zone}: cron goes by the clock of its machine")
    line = f"{known or NIGHT} your-command; {AGAIN} {_sh(to.url, '/$?')}".replace("%", r"\%")
    return Snippet("cron", "cron", "crontab", "\n".join([*notes, line]), "A line for crontab -e.")


def systemd(to: Target) -> Snippet:
    """A service and its timer. systemd would fill in `$` and `%` by itself, so both stand twice."""
    result = "case $SERVICE_RESULT in success) s=0;; exit-code) s=$EXIT_STATUS;; *) s=fail;; esac; "
    start = _unit(f"{ONCE} {_sh(to.url, '/start')}")
    stop = _unit(result + f"{AGAIN} {_sh(to.url, '/$s')}")
    lines = as_on_calendar(to.schedule)
    if lines:
        when = "".join(f"OnCalendar={line}\n" for line in lines) + "Persistent=true\n"
    elif isinstance(to.schedule, Every):
        when = f"OnActiveSec=1min\nOnUnitActiveSec={int(to.schedule.period.total_seconds())}s\n"
    else:
        when = f"# {OWN_TIMES}\nOnCalendar=*-*-* 03:00:00\nPersistent=true\n"
    text = f"""# /etc/systemd/system/{to.name}.service
[Unit]
Description={to.name}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStartPre=-/bin/sh -c '{start}'
ExecStart=/usr/local/bin/your-command
ExecStopPost=-/bin/sh -c '{stop}'

# /etc/systemd/system/{to.name}.timer
[Unit]
Description={to.name}

[Timer]
{when}
[Install]
WantedBy=timers.target
"""
    use = f"Two files, then systemctl daemon-reload and systemctl enable --now {to.name}.timer. Kills and timeouts are told."
    return Snippet("systemd", "systemd", "ini", text, use)


def python(to: Target) -> Snippet:
    """With the standard library alone."""
    text = f'''import sys
import time
import urllib.request

PING = {json.dumps(to.url)}


def ping(what="", tries=5):
    """Say how the job does. What goes wrong here never reaches it."""
    for n in range(tries):
        time.sleep(n)
        try:
            urllib.request.urlopen(PING + what, timeout=10).close()
            return
        except Exception as error:
            print(f"ping: {{error}}", file=sys.stderr)


ping("/start", tries=1)
try:
    your_job()
except SystemExit as end:
    ping("/fail" if end.code else "")
    raise
except BaseException:
    ping("/fail")
    raise
ping()
'''
    return Snippet("python", "Python", "python", text, "Around the function that does the work; nothing to install.")


def command(to: Target) -> Snippet:
    """The SDK's command in front of the job's."""
    text = f"pip install missedbeat\nmissedbeat run {_sh(to.url)} -- your-command\n"
    use = "In front of any command: says when it starts and how it ends, with the last of what it wrote. Signals are handed on."
    return Snippet("command", "missedbeat run", "sh", text, use)


def sdk(to: Target) -> Snippet:
    """A block of a Python program that reports to this check."""
    text = f"""# pip install missedbeat; MISSEDBEAT_KEY holds a read-write key of this project
import missedbeat

missedbeat.configure(url={json.dumps(to.base_url)})

with missedbeat.run({json.dumps(to.id)}) as run:
    your_job()
    run.log("all of it")
"""
    use = "Around the work: nothing waits for the network, and a program that is killed is missed within a minute."
    return Snippet("sdk", "Python SDK", "python", text, use)


def celery(to: Target) -> Snippet:
    """A task that reports to this check, whoever starts it."""
    text = f"""# pip install "missedbeat[celery]"; MISSEDBEAT_KEY holds a read-write key of this project
from missedbeat.celery import instrument

app.conf.missedbeat_monitors = {{"tasks.your_task": {json.dumps(to.id)}}}
instrument(app, url={json.dumps(to.base_url)})
"""
    use = (
        "Where the application is made. One task reports to this check, whoever starts it; every entry of Beat's schedule gets a "
        "check of its own."
    )
    return Snippet("celery", "Celery", "python", text, use)


def powershell(to: Target) -> Snippet:
    """For Windows PowerShell 5.1, which does not try again by itself, and later ones."""
    url = to.url.replace("'", "''")
    text = f"""$ping = '{url}'
[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12

function Send-Ping([string]$What, [int]$Tries = 5) {{
    for ($n = 0; $n -lt $Tries; $n++) {{
        Start-Sleep -Seconds $n
        try {{
            Invoke-RestMethod -Uri "$ping$What" -TimeoutSec 10 -UseBasicParsing -ErrorAction Stop | Out-Null
            return
        }} catch {{
            Write-Warning "ping: $_" -WarningAction Continue
        }}
    }}
}}

Send-Ping '/start' -Tries 1
$status = -1
try {{
    & 'C:\\Jobs\\your-command.exe'
    $status = $LASTEXITCODE
}} finally {{
    if ($status -ge 0 -and $status -le 255) {{ Send-Ping "/$status" }} else {{ Send-Ping '/fail' }}
}}
exit $status
"""
    use = "A script around a program: says when it starts, and with which exit status it ends. Works with 5.1 and later."
    return Snippet("powershell", "PowerShell", "powershell", text, use)


def task(to: Target) -> Snippet:
    """What has the Task Scheduler of Windows run that script."""
    options = as_task(as_cron(to.schedule))
    notes = "" if options else f"rem {OWN_TIMES}\n"
    if options and to.zone:
        notes = f"rem in the zone {to.zone}: Windows goes by the clock of its machine\n"
    script_file = f"C:\\Jobs\\{to.name}.ps1"
    run = f"powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -File {script_file}"
    text = f'{notes}schtasks /Create /TN "{to.name}" {options or "/SC DAILY /ST 03:00"} /RU SYSTEM /TR "{run}"\n'
    use = f"Save the script for PowerShell as {script_file}, then run this once in a command prompt of an administrator."
    return Snippet("windows", "Windows task", "bat", text, use)


def kubernetes(to: Target) -> Snippet:
    """A CronJob of Kubernetes 1.27 and later, which knows zones."""
    known = as_cron(to.schedule)
    notes = "" if known else f"  # {OWN_TIMES}"
    zone = f"  timeZone: {json.dumps(to.zone)}\n" if to.zone else ""
    text = f"""apiVersion: batch/v1
kind: CronJob
metadata:
  name: {json.dumps(to.name)}
spec:
  schedule: {json.dumps(known or NIGHT)}{notes}
{zone}  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: job
              image: your-image
              command: ["/bin/sh", "-c"]
              args:
                - |
                  {ONCE} {_sh(to.url, "/start")} || true
                  your-command
                  status=$?
                  {AGAIN} {_sh(to.url, "/$status")} || true
                  exit $status
"""
    use = "For kubectl apply -f. The image needs curl. A pod that never begins says nothing, and its silence is told."
    return Snippet("kubernetes", "Kubernetes", "yaml", text, use)


def github(to: Target) -> Snippet:
    """A workflow with the zone in GitHub's own word; the URL is a secret of the repository, for many read a workflow."""
    known = as_cron(to.schedule)
    note = "" if known else f"  # {OWN_TIMES}"
    zone = f"      timezone: {json.dumps(to.zone)}\n" if to.zone else ""
    secret = to.url.replace("'", "")
    text = f"""# gh secret set PING_URL --body '{secret}'
name: {json.dumps(to.name)}
on:
  schedule:
    - cron: {json.dumps(known or NIGHT)}{note}
{zone}  workflow_dispatch:
jobs:
  job:
    runs-on: ubuntu-latest
    env:
      PING_URL: ${{{{ secrets.PING_URL }}}}
    steps:
      - run: {ONCE} "$PING_URL/start" || true
      - uses: actions/checkout@v4
      - run: your-command
      - if: success()
        run: {AGAIN} "$PING_URL" || true
      - if: failure() || cancelled()
        run: {AGAIN} "$PING_URL/fail" || true
"""
    use = "A file in .github/workflows/. GitHub often starts late, and every 5 minutes at most: give it grace."
    return Snippet("github", "GitHub Actions", "yaml", text, use)


def _sh(url: str, tail: str = "") -> str:
    """A word of a shell: the URL as it is, and behind it what the shell fills in."""
    for char in '\\"$`':
        url = url.replace(char, "\\" + char)
    return f'"{url}{tail}"'


def _unit(command: str) -> str:
    """A command between single quotes in a unit of systemd."""
    return command.replace("\\", "\\\\").replace("'", "\\'").replace("$", "$$").replace("%", "%%")


WRITTEN = (shell, script, command, cron, systemd, python, sdk, celery, powershell, task, kubernetes, github)

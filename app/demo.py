"""`demo`: a job pings, falls silent and comes back, and what people are told is printed as it arrives. The service, the job,
the mail server and the Slack-like receiver are real, and gone at the end."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import default as default_policy
from pathlib import Path
from typing import Any

import typer
from aiosmtpd.smtp import SMTP, Envelope

from app.clock import monotonic
from app.errors import BadSettings, MissedbeatError

PERIOD, GRACE = 3, 1
JOB = """
import sys, time, urllib.request
while True:
    urllib.request.urlopen(sys.argv[1], timeout=5).read()
    time.sleep(float(sys.argv[2]))
"""
START_LIMIT, ALERT_LIMIT = 40.0, 20.0


class Receivers:
    """A mail server and a web server on this machine; what comes in is printed and remembered."""

    def __init__(self) -> None:
        self.mails = 0
        self.slacks = 0
        self._changed = asyncio.Event()

    async def open(self) -> tuple[int, int]:
        """Listen; returns the ports of mail and web."""
        mail = await asyncio.get_running_loop().create_server(lambda: SMTP(self, hostname="demo"), "127.0.0.1", 0)
        web = await asyncio.start_server(self._hear_slack, "127.0.0.1", 0)
        self._servers = (mail, web)
        ports = [server.sockets[0].getsockname()[1] for server in self._servers]
        return ports[0], ports[1]

    def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.close()

    async def told(self, messages: int) -> None:
        """Return once so many have arrived by each way. Raises TimeoutError."""
        async with asyncio.timeout(ALERT_LIMIT):
            while self.mails < messages or self.slacks < messages:
                await self._changed.wait()
                self._changed.clear()

    async def handle_DATA(self, server: SMTP, session: object, envelope: Envelope) -> str:  # noqa: N802 (aiosmtpd's name)
        """A mail came."""
        mail = message_from_bytes(envelope.original_content or b"", policy=default_policy)
        text = mail.get_body(("plain",))
        body = str(text.get_content()) if text is not None else ""
        _show("mail", f"To: {mail['to']}\nSubject: {mail['subject']}\n\n{body.strip()}", typer.colors.MAGENTA)
        self.mails += 1
        self._changed.set()
        return "250 OK"

    async def _hear_slack(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].split("\r\n")[0] or 0)
        said = json.loads(await reader.readexactly(length))
        _show("Slack", said["text"], typer.colors.CYAN)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()
        self.slacks += 1
        self._changed.set()


def run_demo() -> None:
    """The whole of it, in under a minute."""
    began = monotonic()
    try:
        asyncio.run(_demo())
    except TimeoutError:
        raise DemoFailed("what should have arrived did not arrive in time; try `missedbeat-server serve` to see why") from None
    _step(f"That was all of it: {monotonic() - began:.0f} s. `make run` starts it for real.")


class DemoFailed(MissedbeatError):
    """The demo did not come to its end."""


async def _demo() -> None:
    receivers = Receivers()
    mail_port, web_port = await receivers.open()
    with tempfile.TemporaryDirectory(prefix="missedbeat-demo-") as folder, _service(Path(folder), mail_port) as service:
        _step("Starting the service with its own PostgreSQL ...")
        base = await _ready(Path(folder), service)
        keys = await asyncio.to_thread(_new_project, Path(folder))
        _call(base, keys, "channels/", {"kind": "slack", "name": "ops", "url": f"http://127.0.0.1:{web_port}/services/demo"})
        _call(base, keys, "channels/", {"kind": "email", "name": "on call", "address": "oncall@example.org"})
        rule = {"name": "nightly-backup", "slug": "nightly-backup", "timeout": PERIOD, "grace": GRACE, "channels": "*"}
        ping_url = _call(base, keys, "checks/", rule)["ping_url"]
        _step(f"A job runs every {PERIOD} s and pings its URL each time.")
        with _job(ping_url) as job:
            await asyncio.sleep(2 * PERIOD)
            _step("Now it is killed, as by the OOM killer: it raises nothing and logs nothing.")
            job.kill()
        await receivers.told(1)
        _step("People know. The job is started again.")
        with _job(ping_url):
            await receivers.told(2)
        _step("And they know that it is back.")
    receivers.close()


@contextmanager
def _service(folder: Path, mail_port: int) -> Any:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MISSEDBEAT_") and k != "DATABASE_URL"}
    environment |= {
        "MISSEDBEAT_MIN_PERIOD": "1", "MISSEDBEAT_ALLOW_NETWORKS": "127.0.0.0/8", "MISSEDBEAT_SMTP_HOST": "127.0.0.1",
        "MISSEDBEAT_SMTP_PORT": str(mail_port), "MISSEDBEAT_SMTP_TLS": "none",
    }  # fmt: skip
    command = [sys.executable, "-P", "-m", "app.cli", "serve", "--port", "0", "--data", str(folder / "data")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)  # noqa: S603
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _job(ping_url: str) -> Any:
    process = subprocess.Popen([sys.executable, "-c", JOB, ping_url, str(PERIOD)])  # noqa: S603
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def _ready(folder: Path, service: "subprocess.Popen[bytes]") -> str:
    """The address of the service once it is ready."""
    announced = folder / "data" / "base_url"
    give_up_at = monotonic() + START_LIMIT
    while monotonic() < give_up_at:
        if service.poll() is not None:
            raise BadSettings((folder / "log").read_text())
        if announced.exists() and await asyncio.to_thread(_is_ready, announced.read_text()):
            return announced.read_text()
        await asyncio.sleep(0.1)
    raise TimeoutError


def _is_ready(base: str) -> bool:
    try:
        urllib.request.urlopen(f"{base}/readyz", timeout=2).close()  # noqa: S310
    except OSError:
        return False
    return True


def _new_project(folder: Path) -> dict[str, str]:
    command = [sys.executable, "-P", "-m", "app.cli", "project", "create", "Demo", "--json", "--data", str(folder / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)  # noqa: S603
    return dict(json.loads(done.stdout))


def _call(base: str, keys: dict[str, str], path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310
        f"{base}/api/v3/{path}", json.dumps(body).encode(), {"X-Api-Key": keys["api_key"]}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return dict(json.load(answer))


def _step(words: str) -> None:
    typer.secho(f"\n▸ {words}", fg=typer.colors.GREEN, bold=True)


def _show(way: str, words: str, colour: str) -> None:
    for line in words.splitlines():
        typer.secho(f"  {way:>5} │ {line}", fg=colour)

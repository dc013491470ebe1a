"""Pings by mail: Python's own SMTP client, the real mail door, the real PostgreSQL."""

import asyncio
import contextlib
import signal
import smtplib
import socket
import ssl
import subprocess
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from app.store import embedded
from tests.journeys.running import COMMAND, Service, environment, serving, until
from tests.processes import standing_still
from tests.receivers import certify

pytestmark = pytest.mark.anyio

DOMAIN = "ping.example.org"
MAIL = {"MISSEDBEAT_PING_EMAIL_DOMAIN": DOMAIN, "MISSEDBEAT_SMTPD_PORT": "0"}
RULE = {"timeout": 3600, "grace": 60}
SENDER = "job@example.com"


def letter(subject: str = "Backup", text: str = "ok\n", **headers: str) -> bytes:
    """A mail with a Message-ID."""
    made = EmailMessage()
    made["Subject"] = subject
    made["Message-ID"] = headers.pop("message_id", "<1@example.com>")
    for name, value in headers.items():
        made[name] = value
    made.set_content(text)
    return made.as_bytes(policy=policy.SMTP)


def send(port: int, to: str | list[str], mail: bytes, sender: str = SENDER) -> tuple[int, str]:
    """The code of the answer, and its words; of the first recipient's where all are refused."""
    try:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="job.example.com", timeout=20) as client:
            client.sendmail(sender, to, mail)
    except smtplib.SMTPRecipientsRefused as refused:
        code, words = next(iter(refused.recipients.values()))
        return code, words.decode()
    except smtplib.SMTPResponseException as refused:
        return refused.smtp_code, str(refused.smtp_error)
    except (smtplib.SMTPServerDisconnected, ConnectionError):
        return 0, "hung up"
    return 250, ""


async def sent(service: Service, to: str | list[str], mail: bytes, **more: Any) -> int:
    """The code a mail is answered with."""
    return (await asyncio.to_thread(send, service.mail_port, to, mail, **more))[0]


async def pings(service: Service, check: dict[str, Any]) -> list[dict[str, Any]]:
    """What was heard of it, newest first."""
    return list((await service.api("GET", f"checks/{check['uuid']}/pings/"))["pings"])


async def test_a_mail_to_a_checks_address_is_a_ping(tmp_path: Path) -> None:
    """By the address the API shows, and by ping key and slug; kept with sender and text; several recipients each count; what is
    no address is refused while the sender listens, and keeps nobody else's mail back."""
    async with serving(tmp_path / "data", **MAIL) as service:
        check = await service.api("POST", "checks/", {**RULE, "name": "by mail", "slug": "by-mail"})
        other = await service.api("POST", "checks/", {**RULE, "name": "other", "slug": "other"})
        assert check["ping_email"] == f"{check['uuid']}@{DOMAIN}"
        read_only = (await service.client.get("/api/v3/checks/", headers={"X-Api-Key": service.keys["api_key_readonly"]})).json()
        assert "ping_email" not in read_only["checks"][0]

        assert await sent(service, check["ping_email"], letter()) == 250
        (ping,) = await pings(service, check)
        assert (ping["type"], ping["scheme"], ping["method"], ping["remote_addr"]) == ("success", "email", "", "127.0.0.1")
        assert ping["ua"] == f"Email from {SENDER}"
        body = (await service.client.get(ping["body_url"], headers={"X-Api-Key": service.keys["api_key"]})).content
        assert body == letter()
        assert (await service.api("GET", f"checks/{check['uuid']}"))["status"] == "up"

        by_slug = f"{service.keys['ping_key']}+Other@PING.Example.org"
        everybody = [check["uuid"].upper() + f"@{DOMAIN}", by_slug, f"{check['uuid']}@example.org"]
        assert await sent(service, everybody, letter(message_id="<2@example.com>")) == 250
        assert (len(await pings(service, check)), len(await pings(service, other))) == (2, 1)

        for nobody in (
            f"{uuid4()}@{DOMAIN}", f"{service.keys['ping_key']}+nobody@{DOMAIN}", f"postmaster@{DOMAIN}",
            f"{service.keys['ping_key'].swapcase()}+other@{DOMAIN}", f"{check['uuid']}@example.org",
        ):  # fmt: skip
            assert await sent(service, nobody, letter()) == 550, nobody
        assert 'result="ok"} 3.0' in (await service.client.get("/metrics")).text
    log = (tmp_path / "data.log").read_text()
    assert check["uuid"] not in log
    assert "Traceback" not in log


async def test_the_same_mail_sent_again_by_a_mail_server_counts_once(tmp_path: Path) -> None:
    """A mail server that lost our answer sends the same bytes; a job that mails the same words again has another Message-ID, or
    none, and counts. Bounces, with their empty sender, count as any mail."""
    async with serving(tmp_path / "data", **MAIL) as service:
        check = await service.api("POST", "checks/", {**RULE, "name": "x", "slug": "x"})
        address = check["ping_email"]
        for expected, mail in (
            (1, letter()), (1, letter()), (2, letter(message_id="<2@example.com>")), (3, letter(text="other\n")),
            (4, b"Subject: ok\r\n\r\nok\r\n"), (5, b"Subject: ok\r\n\r\nok\r\n"),
        ):  # fmt: skip
            assert await sent(service, address, mail) == 250
            assert len(await pings(service, check)) == expected
        assert await sent(service, address, b"Subject: bounce\r\n\r\n", sender="") == 250
        assert (await pings(service, check))[0]["ua"] == "Email from <>"


async def test_keywords_in_subject_and_text_decide_what_a_mail_says(tmp_path: Path) -> None:
    """Failure before success before start, in encoded subjects and in HTML, in the whole of a long text; else ignored, or a
    failure where the check says so."""
    words = {"start_kw": "BEGIN", "success_kw": "SUCCESS, läuft", "failure_kw": "FAIL"}
    async with serving(tmp_path / "data", **MAIL) as service:
        fields = {**RULE, **words, "filter_subject": True, "filter_body": True}
        check = await service.api("POST", "checks/", {**fields, "name": "x", "slug": "x"})
        strict = await service.api("POST", "checks/", {**fields, "name": "y", "slug": "y", "filter_default_fail": True})
        html = b"Subject: x\r\nContent-Type: text/html\r\n\r\n<style>FAIL</style><b>SUC</b>CESS"
        for number, (mail, said) in enumerate((
            (letter("Backup: SUCCESS"), "success"),
            (letter("Sicherung läuft"), "success"),
            (letter("BEGIN"), "start"),
            (letter("SUCCESS", "but: FAIL\n"), "fail"),
            (letter("SUCCESS", "line\n" * 40_000 + "FAIL\n"), "fail"),
            (html, "success"),
            (b"Subject: x\r\n\r\nFAIL " + b"x" * 5_000 + b"\r\n.\r\n", "fail"),
            (letter("nothing"), "ign"),
        )):  # fmt: skip
            numbered = mail.replace(b"<1@", f"<{number}@".encode())
            assert await sent(service, check["ping_email"], numbered) == 250
            assert (await pings(service, check))[0]["type"] == said, mail[:200]
        assert await sent(service, strict["ping_email"], letter("nothing")) == 250
        assert (await pings(service, strict))[0]["type"] == "fail"
        long = (await service.api("GET", f"checks/{check['uuid']}/pings/"))["pings"][3]
        kept = await service.client.get(long["body_url"], headers={"X-Api-Key": service.keys["api_key"]})
        assert len(kept.content) == 100_000


async def mail_without_rest(service: Service, check: dict[str, Any], codes: list[int], until_set: asyncio.Event) -> None:
    """Send one mail after the other, and note what each was answered with."""
    while not until_set.is_set():
        codes.append(await sent(service, check["ping_email"], letter(message_id=f"<{len(codes)}@example.com>")))


async def test_kill_9_of_the_mail_door_loses_no_mail_that_was_acknowledged(tmp_path: Path) -> None:
    """It is started again, senders wait meanwhile, what was answered 250 is there; and the web door is not disturbed."""
    async with serving(tmp_path / "data", **MAIL) as service:
        checks = [await service.api("POST", "checks/", {**RULE, "name": str(n), "slug": str(n)}) for n in range(4)]
        stop = asyncio.Event()
        answers: list[list[int]] = [[] for _ in checks]

        async def all_were_taken_some_of() -> bool:
            return all(codes.count(250) > 3 for codes in answers)

        pairs = list(zip(checks, answers, strict=True))
        senders = [asyncio.create_task(mail_without_rest(service, check, codes, stop)) for check, codes in pairs]
        for _ in range(3):
            await asyncio.sleep(1)
            pid = service.kill("smtpd")
            await until(lambda pid=pid: another(service, pid), 10)  # type: ignore[misc]
        await until(all_were_taken_some_of, 45)
        stop.set()
        await asyncio.gather(*senders)
        for check, codes in pairs:
            assert codes.count(250) <= len(await pings(service, check)) <= len(codes)


async def another(service: Service, pid: int) -> bool:
    """Whether another mail door runs than that one."""
    with contextlib.suppress(psutil.Error):  # it dies while we look
        return any(child.pid != pid for child in service.children("smtpd"))
    return False


async def test_while_the_database_is_away_the_sender_is_asked_to_try_again(tmp_path: Path) -> None:
    """Neither lost nor bounced: 451 at the address or at the mail, and 250 once it is back."""
    async with serving(tmp_path / "data", **MAIL) as service:
        check = await service.api("POST", "checks/", {**RULE, "name": "x", "slug": "x"})
        assert await sent(service, check["ping_email"], letter()) == 250
        postmaster = service.children("postgres")[0].pid
        with smtplib.SMTP("127.0.0.1", service.mail_port, local_hostname="job.example.com", timeout=60) as client:
            client.ehlo()
            client.mail(SENDER)
            assert client.rcpt(check["ping_email"])[0] == 250
            with standing_still(postmaster):
                assert (await asyncio.to_thread(client.data, letter(message_id="<2@example.com>")))[0] == 451
                client.mail(SENDER)
                assert (await asyncio.to_thread(client.rcpt, check["ping_email"]))[0] == 451
        await until(lambda: accepted(service, check, letter(message_id="<2@example.com>")), 30)
        assert len(await pings(service, check)) in (2, 3)


async def accepted(service: Service, check: dict[str, Any], mail: bytes) -> bool:
    """Whether a mail is answered 250."""
    return await sent(service, check["ping_email"], mail) == 250


async def test_the_mail_door_alone_offers_tls_and_answers_before_it_stops(tmp_path: Path) -> None:
    """`missedbeat-server smtpd` by itself, without the secret key; SIGTERM ends it with 0 and tells who is there."""
    _, trusting = certify(tmp_path, "localhost")
    server = embedded.start(tmp_path / "database", fsync=False)
    settings = {"DATABASE_URL": server.dsn, "MISSEDBEAT_SECRET_KEY": "k" * 40}
    try:
        async with serving(tmp_path / "data", **settings) as service:
            check = await service.api("POST", "checks/", {**RULE, "name": "x", "slug": "x"})
            assert "ping_email" not in check
            environ = environment(
                **MAIL, DATABASE_URL=server.dsn, MISSEDBEAT_SMTPD_TLS_CERT=str(tmp_path / "receiver.pem"), COLUMNS="200"
            )
            door = subprocess.Popen([COMMAND, "smtpd"], env=environ, cwd=tmp_path)
            try:
                port = await until(lambda: listening(door.pid), 20)
                await asyncio.to_thread(send_encrypted, port, f"{check['uuid']}@{DOMAIN}", trusting)
                assert len(await pings(service, check)) == 1
                with socket.create_connection(("127.0.0.1", port)) as idle:
                    assert idle.recv(100).startswith(b"220 ")
                    door.send_signal(signal.SIGTERM)
                    assert idle.recv(100).startswith(b"421 ")
                    assert idle.recv(100) == b""
                assert await asyncio.to_thread(door.wait, 15) == 0
            finally:
                door.kill()
                door.wait()
    finally:
        server.stop()


async def listening(pid: int) -> int:
    """The port a process listens on; 0 where it does not."""
    with contextlib.suppress(psutil.Error):
        found = psutil.Process(pid).net_connections("inet")
        return next((int(c.laddr.port) for c in found if c.status == psutil.CONN_LISTEN), 0)
    return 0


def send_encrypted(port: int, to: str, trusting: ssl.SSLContext) -> None:
    """A mail after STARTTLS; nobody is asked to sign in."""
    with smtplib.SMTP("localhost", port, local_hostname="job.example.com", timeout=20) as client:
        client.starttls(context=trusting)
        client.ehlo()
        assert not client.has_extn("auth")
        client.sendmail(SENDER, to, letter())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "MISSEDBEAT_PING_EMAIL_DOMAIN: must be set"),
        ({"MISSEDBEAT_PING_EMAIL_DOMAIN": "a@b"}, "MISSEDBEAT_PING_EMAIL_DOMAIN: must be the domain"),
        (MAIL, "DATABASE_URL: must be set"),
        ({**MAIL, "MISSEDBEAT_SMTPD_TLS_CERT": "nowhere.pem"}, "MISSEDBEAT_SMTPD_TLS_CERT: must be a file"),
        ({**MAIL, "MISSEDBEAT_SMTPD_PORT": "x"}, "MISSEDBEAT_SMTPD_PORT: "),
    ],
)
def test_the_mail_door_says_what_it_needs(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    """One line, exit status 1."""
    done = subprocess.run(
        [COMMAND, "smtpd"], env=environment(**settings), capture_output=True, text=True, check=False, cwd=tmp_path, timeout=30
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1

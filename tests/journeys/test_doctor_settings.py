"""`doctor` and the other commands on settings that cannot be meant: one clear line for each, never a traceback."""

import asyncio
from pathlib import Path

import pytest

from tests.journeys.consulting import asked, refused
from tests.receivers import HttpReceiver

pytestmark = pytest.mark.anyio

PASSWORD = "a-password-nobody-may-see"
KEY = "k" * 40
AWAY = "postgresql://u:p@127.0.0.1:1/x"


@pytest.mark.parametrize("command", ["doctor", "web", "worker", "migrate", "dsn"])
@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("h:port/x", "its host or port cannot be read"),
        ("h:70000/x", "the port 70000 is not between"),
        ("h/x?nonsense=1", "'nonsense' is not an option"),
    ],
)
def test_a_database_url_that_cannot_be_read_is_one_line(tmp_path: Path, command: str, rest: str, words: str) -> None:
    """From every command, before anything is connected to."""
    url = f"postgresql://u:{PASSWORD}@{rest}"
    line = refused(tmp_path, command, DATABASE_URL=url, MISSEDBEAT_SECRET_KEY=KEY)
    assert line.startswith("missedbeat-server: DATABASE_URL: ")
    assert words in line
    assert PASSWORD not in line


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("u@a..b/x", "its host or port cannot be read"),
        ("u@[::1/x", "its host or port cannot be read"),
        (f"u:x@y:{PASSWORD}@h:1/x", "its host or port cannot be read"),
        ("u@h/x?connect_timeout=soon", "a whole number of seconds"),
        ("u@h/x?autocommit=1", "'autocommit' is not an option"),
    ],
)
def test_other_slips_in_a_database_url_are_lines_too(tmp_path: Path, rest: str, words: str) -> None:
    """A password that was not encoded, and is not printed."""
    line = refused(tmp_path, "doctor", DATABASE_URL=f"postgresql://{rest}")
    assert words in line
    assert PASSWORD not in line


@pytest.mark.parametrize(
    ("name", "value"), [("MISSEDBEAT_BASE_URL", "https://h:port"), ("MISSEDBEAT_HEARTBEAT_URL", "http://h:99999/x")]
)
def test_an_address_with_a_port_that_is_none_is_a_line(tmp_path: Path, name: str, value: str) -> None:
    """Wherever an address is set."""
    line = refused(tmp_path, "worker", DATABASE_URL=AWAY, MISSEDBEAT_SECRET_KEY=KEY, **{name: value})
    assert line.startswith(f"missedbeat-server: {name}: Port ")


def test_a_file_of_settings_that_cannot_be_read_is_a_line(tmp_path: Path) -> None:
    """Such as one that is not text."""
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    line = refused(tmp_path, "doctor")
    assert ".env: the file cannot be read" in line


def test_names_that_are_no_settings_are_said_with_the_nearest_that_is(tmp_path: Path) -> None:
    """From the environment and from .env; neither the SDK's names nor any value are."""
    (tmp_path / ".env").write_text(f"MISSEDBEAT_SMPT_PASSWORD={PASSWORD}\nPOSTGRES_PASSWORD=x\nMISSEDBEAT_PORT=8001\n")
    for name, meant in (
        ("MISSEDBEAT_HEARTBEATURL", "MISSEDBEAT_HEARTBEAT_URL"),
        ("MISSEDBEAT_DATABASE_URL", "DATABASE_URL"),
        ("MISSEDBEAT_XYZZY", ".env.example"),
    ):
        _, _, printed = asked(tmp_path, DATABASE_URL=AWAY, MISSEDBEAT_KEY=PASSWORD, **{name: PASSWORD})
        assert f"{name} in the environment is no setting" in printed
        assert meant in printed
        assert "MISSEDBEAT_SMPT_PASSWORD in .env is no setting" in printed
        assert "MISSEDBEAT_SMTP_PASSWORD" in printed
        assert printed.count("no setting") == 2
        assert PASSWORD not in printed
    (tmp_path / ".env").unlink()
    assert "settings" not in asked(tmp_path, DATABASE_URL=AWAY, MISSEDBEAT_KEY=PASSWORD)[1]


@pytest.mark.parametrize("name", ["MISSEDBEAT_TRUSTED_PROXIES", "MISSEDBEAT_ALLOW_NETWORKS"])
@pytest.mark.parametrize(
    ("networks", "everybody"),
    [("10.0.0.0/8,0.0.0.0/0", True), ("::/0", True), ("0.0.0.0/1,128.0.0.0/1", True), ("10.0.0.0/8,fd00::/8", False)],
)
def test_networks_that_are_everybodys_are_said(tmp_path: Path, name: str, networks: str, everybody: bool) -> None:
    """In one piece or in several."""
    status, found, _ = asked(tmp_path, DATABASE_URL=AWAY, **{name: networks})
    assert status == 1
    assert ("networks" in found) is everybody
    assert not everybody or (found["networks"][0] == "wrong" and name in found["networks"][1])


@pytest.mark.parametrize(
    ("base_url", "url", "ours"),
    [
        ("https://ping.example.com", "https://PING.example.com:443/ping/x", True),
        ("https://example.com/missedbeat", "https://example.com/missedbeat/ping/x", True),
        ("https://example.com/missedbeat", "https://example.com/other/ping/x", False),
        ("https://ping.example.com", "http://localhost:8000/ping/x", True),
        ("https://ping.example.com", "http://localhost:8001/ping/x", False),
        ("", "http://127.0.0.1:8000/ping/x", True),
        ("https://ping.example.com", "https://hc.example.com/ping/x", False),
    ],
)
def test_a_heartbeat_to_ourselves_is_said(tmp_path: Path, base_url: str, url: str, ours: bool) -> None:
    """By the public address or by the port on this machine; not one of another service on the same host."""
    settings = {"MISSEDBEAT_BASE_URL": base_url, "MISSEDBEAT_HEARTBEAT_URL": url}
    found = asked(tmp_path, DATABASE_URL=AWAY, **settings)[1]
    assert ("heartbeat" in found) is ours


async def test_what_answers_at_the_public_address_is_said(tmp_path: Path) -> None:
    """Ourselves, something else, what stands in front; nothing is a note, for jobs may come another way than the doctor."""
    async with HttpReceiver() as receiver:
        for status, body, state in (
            (200, "alive", "ok"),
            (200, "welcome", "wrong"),
            (404, "", "wrong"),
            (502, "", "wrong"),
            (301, "", "wrong"),
            (403, "", "note"),
        ):
            receiver.answer(status, body)
            found = (await asyncio.to_thread(asked, tmp_path, DATABASE_URL=AWAY, MISSEDBEAT_BASE_URL=receiver.url("/base")))[1]
            assert found["reached"][0] == state
            assert receiver.requests[-1].target == "/base/livez"
        assert len(receiver.requests) == 6
        gone = receiver.url("")
    assert asked(tmp_path, DATABASE_URL=AWAY, MISSEDBEAT_BASE_URL=gone)[1]["reached"][0] == "note"

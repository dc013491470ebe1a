"""Codes of a second step, against the vectors of RFC 6238."""

import base64
import re
from datetime import UTC, datetime, timedelta

import pytest

from app.manage import one_time_codes

SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)  # fmt: skip
def test_the_codes_are_those_of_the_rfc(seconds: int, code: str) -> None:
    """The last six of its eight digits (SHA-1, appendix B); also as apps show them, in two groups."""
    now = datetime.fromtimestamp(seconds, UTC)
    assert one_time_codes.step_of(SECRET, code, now, None) == seconds // 30
    assert one_time_codes.step_of(SECRET, f" {code[:3]} {code[3:]} ", now, None) == seconds // 30


def test_a_clock_may_be_a_step_off_and_a_code_is_worth_nothing_after_a_later_one() -> None:
    """Both ways, and no more; `after` is the last step that was used."""
    then = datetime.fromtimestamp(1234567890, UTC)
    step = 1234567890 // 30
    opens = [one_time_codes.step_of(SECRET, "005924", then + timedelta(seconds=30 * n), None) is not None for n in range(-3, 4)]
    assert opens == [False, False, True, True, True, False, False]
    assert one_time_codes.step_of(SECRET, "005924", then, step - 1) == step
    assert one_time_codes.step_of(SECRET, "005924", then, step) is None
    for wrong in ("", "00592", "0059244", "０05924", "abcdef"):
        assert one_time_codes.step_of(SECRET, wrong, then, None) is None


def test_secrets_and_recovery_codes_are_long_and_never_the_same() -> None:
    """160 and 80 bits; a recovery code is the same code however it is typed."""
    assert len({one_time_codes.new_secret() for _ in range(50)}) == 50
    assert len(one_time_codes.new_secret()) == 32
    codes = one_time_codes.new_recovery_codes()
    assert len(set(codes)) == 10
    for code in codes:
        assert re.fullmatch(r"[a-z2-7]{4}(-[a-z2-7]{4}){3}", code)
        assert one_time_codes.plain(f" {code.upper()} ") == one_time_codes.plain(code.replace("-", " "))


def test_the_picture_is_drawn_without_words_style_or_script() -> None:
    """It stands in the page, whose policy allows nothing inline."""
    address = one_time_codes.address_of(SECRET, '"><script>@example.org', "beat.example:8000")
    assert address.startswith("otpauth://totp/Missedbeat%20beat.example%208000:")
    assert f"secret={SECRET}" in address
    picture = one_time_codes.picture_of(address)
    assert picture.startswith("<svg")
    assert not re.search(r"script|style|\son\w+=|<text|<title|<desc", picture)

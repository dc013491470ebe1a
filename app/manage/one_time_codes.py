"""Codes of a second step: those that an app shows (TOTP, RFC 6238: six digits, 30 seconds), and those to fall back on."""

import base64
import hmac
import secrets
from datetime import datetime

import pyotp
import segno

STEP = 30
DRIFT = 1  # a clock may be a step off, as RFC 6238 has it
RECOVERY_CODES = 10
RECOVERY_BYTES = 10  # 80 bits


def new_secret() -> str:
    """160 bits, as the app takes them."""
    return pyotp.random_base32()


def step_of(secret: str, code: str, now: datetime, after: int | None) -> int | None:
    """The step whose code this is, about now and `after` the last that was used; None where it is none. A code opens once."""
    digits = "".join(code.split())
    present = int(now.timestamp()) // STEP
    totp = pyotp.TOTP(secret)
    for step in range(present - DRIFT, present + DRIFT + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), digits.encode()) and (after is None or step > after):
            return step
    return None


def address_of(secret: str, email: str, host: str) -> str:
    """What the picture says: an `otpauth:` address, under a name that its owner knows it by."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=f"Missedbeat {host}".replace(":", " "))


def picture_of(address: str) -> str:
    """A QR code as SVG, to stand in a page: nothing of it is fetched, dark on light whatever the theme."""
    code = segno.make(address, error="m", micro=False)
    return code.svg_inline(scale=5, border=3, dark="#000", light="#fff", svgclass="qr", lineclass=None, omitsize=False)


def new_recovery_codes() -> list[str]:
    """Ten, shown once."""
    return [_recovery_code() for _ in range(RECOVERY_CODES)]


def plain(recovery_code: str) -> str:
    """The same code however its letters and dashes are typed."""
    return "".join(c for c in recovery_code.lower() if c.isalnum())


def _recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().lower()
    return "-".join(text[n : n + 4] for n in range(0, len(text), 4))

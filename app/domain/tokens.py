"""Keys and ids nobody can guess: how they are made, told apart, checked and hashed."""

import base64
import hashlib
import hmac
import re
import secrets
import string
import zlib
from typing import Literal
from uuid import UUID

ALPHABET = string.digits + string.ascii_letters
RANDOM_LENGTH = 30
CHECKSUM_LENGTH = 6
Scope = Literal["rw", "ro", "ping"]
API_KEY = re.compile(rf"mb_(rw|ro|ping)_([0-9A-Za-z]{{{RANDOM_LENGTH}}})([0-9A-Za-z]{{{CHECKSUM_LENGTH}}})")


def new_api_key(scope: Scope) -> str:
    """`mb_rw_…`, `mb_ro_…` or `mb_ping_…`: 30 random characters (178 bits) and a checksum. Shown once; only its hash is kept."""
    random = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))
    return f"mb_{scope}_{random}{_checksum(random)}"


def looks_like_api_key(text: str) -> bool:
    """Whether form and checksum are right: a mistyped key is refused without a look-up."""
    match = API_KEY.fullmatch(text)
    return match is not None and _checksum(match[2]) == match[3]


def hashed(key: str) -> bytes:
    """SHA-256: enough for a key of full entropy, and quick to look up."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def basic_user(authorization: str) -> str:
    """The user that an Authorization header names by Basic, where many services put a key; empty where it names none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[0]
    except ValueError:
        return ""


def new_ping_key() -> str:
    """A project's key in ping URLs by slug: 22 characters (131 bits)."""
    return "".join(secrets.choice(ALPHABET) for _ in range(22))


def new_secret() -> str:
    """Of a session or a link: 43 URL-safe characters (256 bits)."""
    return secrets.token_urlsafe(32)


def unique_key(monitor_id: UUID) -> str:
    """A name for a monitor that does not tell its ping id: 40 hex characters of its SHA-256."""
    return hashlib.sha256(b"monitor:" + monitor_id.bytes).hexdigest()[:40]


def canary_path(secret_key: str) -> str:
    """Where the service's own check-ins come in: an address that only who knows its secret key can tell."""
    return f"/ping/canary/{hmac.new(secret_key.encode(), b'canary', hashlib.sha256).hexdigest()[:40]}"


def _checksum(random: str) -> str:
    number, digits = zlib.crc32(random.encode()), ""
    while len(digits) < CHECKSUM_LENGTH:
        number, rest = divmod(number, len(ALPHABET))
        digits += ALPHABET[rest]
    return digits

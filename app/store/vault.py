"""Secrets at rest: sealed with a key that never enters the database, bound to their project and channel, or to what of a person
they are. And signatures, for what we hand out and must know again."""

import base64
import hmac
import json
import os
from typing import cast
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.errors import BadSettings

VERSION = b"\x01"
NONCE_LENGTH = 12


class Vault:
    """AES-256-GCM and HMAC-SHA256, each under a key of its own, derived from MISSEDBEAT_SECRET_KEY."""

    def __init__(self, secret_key: str) -> None:
        self._cipher = AESGCM(_derived(secret_key, b"missedbeat channel secrets 1"))
        self._people = AESGCM(_derived(secret_key, b"missedbeat secrets of people 1"))
        self._signing_key = _derived(secret_key, b"missedbeat signatures 1")

    def seal(self, project: UUID, channel: UUID, secrets: dict[str, str]) -> bytes:
        """Ciphertext that opens only as this channel of this project."""
        nonce = os.urandom(NONCE_LENGTH)
        return VERSION + nonce + self._cipher.encrypt(nonce, json.dumps(secrets).encode(), project.bytes + channel.bytes)

    def open(self, project: UUID, channel: UUID, sealed: bytes) -> dict[str, str]:
        """What was sealed. Raises BadSettings when the key is another or the row was moved."""
        return _opened(self._cipher, sealed, project.bytes + channel.bytes, "channel's")

    def seal_for(self, purpose: str, owner: UUID, secrets: dict[str, str]) -> bytes:
        """Ciphertext that opens only for this purpose (`letter`, `totp`) and this owner, the row's id."""
        nonce = os.urandom(NONCE_LENGTH)
        return VERSION + nonce + self._people.encrypt(nonce, json.dumps(secrets).encode(), owner.bytes + purpose.encode())

    def open_for(self, purpose: str, owner: UUID, sealed: bytes) -> dict[str, str]:
        """What was sealed for it. Raises BadSettings when the key is another or the row was moved."""
        return _opened(self._people, sealed, owner.bytes + purpose.encode(), f"{purpose}'s")

    def sign(self, purpose: str, text: str) -> str:
        """43 URL-safe characters that nobody without the key can make; those of one purpose are worth nothing for another.
        `purpose` holds no NUL."""
        signed = f"{purpose}\0{text}".encode("utf-8", "surrogatepass")
        return base64.urlsafe_b64encode(hmac.digest(self._signing_key, signed, "sha256")).decode().rstrip("=")


def set_up_token(vault: Vault) -> str:
    """Lets whoever holds it make the first account of a service: `serve` shows it on the terminal while nobody has one."""
    return vault.sign("set-up", "the first account")


def _opened(cipher: AESGCM, sealed: bytes, bound: bytes, whose: str) -> dict[str, str]:
    nonce, text = sealed[1 : 1 + NONCE_LENGTH], sealed[1 + NONCE_LENGTH :]
    try:
        return cast(dict[str, str], json.loads(cipher.decrypt(nonce, text, bound)))
    except InvalidTag:
        raise BadSettings(f"MISSEDBEAT_SECRET_KEY is not the key that this {whose} secret was sealed with") from None


def _derived(secret_key: str, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret_key.encode())

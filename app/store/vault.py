"""Secrets at rest: sealed with a key that never enters the database, bound to their project and channel."""

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
    """AES-256-GCM under a key derived from MISSEDBEAT_SECRET_KEY."""

    def __init__(self, secret_key: str) -> None:
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"missedbeat channel secrets 1").derive(secret_key.encode())
        self._cipher = AESGCM(key)

    def seal(self, project: UUID, channel: UUID, secrets: dict[str, str]) -> bytes:
        """Ciphertext that opens only as this channel of this project."""
        nonce = os.urandom(NONCE_LENGTH)
        return VERSION + nonce + self._cipher.encrypt(nonce, json.dumps(secrets).encode(), project.bytes + channel.bytes)

    def open(self, project: UUID, channel: UUID, sealed: bytes) -> dict[str, str]:
        """What was sealed. Raises BadSettings when the key is another or the row was moved."""
        nonce, text = sealed[1 : 1 + NONCE_LENGTH], sealed[1 + NONCE_LENGTH :]
        try:
            return cast(dict[str, str], json.loads(self._cipher.decrypt(nonce, text, project.bytes + channel.bytes)))
        except InvalidTag:
            raise BadSettings("MISSEDBEAT_SECRET_KEY is not the key that this channel's secret was sealed with") from None

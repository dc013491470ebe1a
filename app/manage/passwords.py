"""Passwords: hashed and compared with argon2id, in threads of their own, so many at once and no more.

Comparing takes tens of milliseconds on purpose. The two threads stand back behind everything else that the machine has to do: a
crowd that signs in delays no ping.
"""

import asyncio
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Annotated, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from fastapi import Depends, Request

from app.domain.password import normal
from app.errors import Unavailable

THREADS = 2
MOST_WAITING = 40  # those at work included: the last of them waits about a second
NICENESS = 10
HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)  # OWASP's first choice: 19 MiB, two rounds
T = TypeVar("T")


def hash_of(password: str) -> str:
    """What is kept of a password. Takes long: pages go through `Passwords`."""
    return HASHER.hash(normal(password))


def matches(password_hash: str | None, password: str) -> bool:
    """Whether it is this password; takes as long for somebody who has none. Takes long: pages go through `Passwords`."""
    dummy = _nobodys()  # before anything else, so that the first of a process tells nothing by its time
    try:
        return HASHER.verify(password_hash or dummy, normal(password)) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(password_hash: str) -> bool:
    """Whether it was made with other parameters than those of today: make a new one at the next sign-in."""
    return HASHER.check_needs_rehash(password_hash)


class Passwords:
    """The threads of one web process."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "passwords", initializer=_stand_back)
        self._waiting = 0

    async def hash_of(self, password: str) -> str:
        """As above. Raises Unavailable where too many wait already."""
        return await self._run(lambda: hash_of(password))

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """As above. Raises Unavailable where too many wait already."""
        return await self._run(lambda: matches(password_hash, password))

    def close(self) -> None:
        """Let the threads go; what waits is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise Unavailable("too many people are signing in at this moment: try again shortly", retry_after=3)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def passwords_of(request: Request) -> Passwords:
    """The door's."""
    found: Passwords = request.app.state.passwords
    return found


PasswordThreads = Annotated[Passwords, Depends(passwords_of)]


@cache
def _nobodys() -> str:
    return HASHER.hash(secrets.token_urlsafe(16))


def _stand_back() -> None:
    """On Linux a thread has a niceness of its own; elsewhere it stays as it is."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)

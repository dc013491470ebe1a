"""A browser for tests: keeps cookies, sends forms with the headers that browsers send, reads what a page says.

anna = await signed_up(world, "anna@example.org")       # an account, made past the pages
browser = Browser(world)
await browser.sign_in(anna)
page = await browser.see("/")
page = await browser.send("/logout")
"""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Self
from uuid import UUID

import httpx

from app.domain.role import Role
from app.manage.passwords import hash_of
from app.store import blackouts, memberships, users
from tests.patient import Patient
from tests.world import World

PASSWORD = "a long walk by the sea"
ADDRESS = "203.0.113.9"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account."""

    id: UUID
    email: str
    password: str


class Page:
    """An answer, as somebody reads it."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.status = answer.status_code
        self.headers = answer.headers
        self.html = answer.text

    @property
    def text(self) -> str:
        """What stands on it, without tags, one blank between words."""
        body = re.sub(r"<(head|script|style).*?</\1>", " ", self.html, flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())

    @property
    def goes_to(self) -> str:
        """Where it sends the browser; empty where it stays."""
        return str(self.headers.get("location", ""))

    def cookie(self, name: str) -> set[str]:
        """How it sets a cookie: the attributes of this very one. A sign-in sets several."""
        (line,) = [line for line in self.headers.get_list("set-cookie") if line.startswith(f"{name}=")]
        return set(line.split("; ")[1:])

    def value(self, name: str) -> str | None:
        """What a field of its form shows; None where there is no such field."""
        for tag in re.findall(r"<input[^>]*>", self.html):
            if f' name="{name}"' in tag:
                found = re.search(r'\svalue="([^"]*)"', tag)
                return html.unescape(found[1]) if found else ""
        return None


class Browser:
    """One browser, at an address of its own. Redirects are not followed: a test says where it goes."""

    def __init__(self, world: World, address: str = ADDRESS, base_url: str = "http://missedbeat.test") -> None:
        transport = Patient(world.web, client=(address, 40_000))
        headers = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "user-agent": "Mozilla/5.0 (test)"}
        self.client = httpx.AsyncClient(transport=transport, base_url=base_url, headers=headers)
        self.origin = base_url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def see(self, path: str, **headers: str) -> Page:
        """Look at a page."""
        return Page(await self.client.get(path, headers={"sec-fetch-site": "none", **_named(headers)}))

    async def send(self, path: str, fields: Mapping[str, Any] | None = None, **headers: str) -> Page:
        """Send a form from a page of ours; `origin="https://evil.example"` and the like as another site would. An empty header is
        left out."""
        ours = {"sec-fetch-site": "same-origin", "origin": self.origin, **_named(headers)}
        given = {name: value for name, value in ours.items() if value}
        return Page(await self.client.post(path, data=dict(fields or {}), headers=given))

    async def sign_in(self, person: Person, **fields: str) -> Page:
        """By password."""
        return await self.send("/login", {"email": person.email, "password": person.password, **fields})


async def signed_up(world: World, email: str = "anna@example.org", verified: bool = True) -> Person:
    """An account, made past the pages."""
    async with world.sessions() as session:
        made = await users.create(session, email, _hash_of_all(), await blackouts.now(session), verified)
        await session.commit()
    return Person(made.id, email, PASSWORD)


async def joined(world: World, person: Person, role: Role, project: UUID | None = None) -> None:
    """Somebody becomes a member of a project, the world's where none is named."""
    async with world.sessions() as session:
        await memberships.add(session, project or world.project.id, person.id, role, await blackouts.now(session))
        await session.commit()


@cache
def _hash_of_all() -> str:
    """Hashing takes time: all who are signed up share one."""
    return hash_of(PASSWORD)


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}

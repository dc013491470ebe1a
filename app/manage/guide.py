"""The guide: the Markdown of docs/ as HTML for the pages below /docs. Written by us alone and public, so nothing in it is asked
of the database. Links between its files lead to their pages, and addresses in examples are those of this very service."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

import app

FOLDER = Path(app.__file__).parent.parent / "docs"
GROUPS: Mapping[str, Sequence[str]] = {
    "Start here": ("start", "monitors", "pings"),
    "Using it": (
        "dashboard", "channels", "python", "command", "celery", "schedulers", "email-pings", "badges", "teams", "migrating",
    ),
    "Hosting it": ("self-hosting", "operations", "security"),
    "Reference": ("api", "events", "metrics", "promises", "performance"),
}  # fmt: skip # docs/decisions is for who changes the program, and stays there
ABOUT = {
    "start": "From nothing to a check that alerts, in five minutes.",
    "monitors": "When a check is due, late and down, what runs are, and what counts for what.",
    "pings": "Every form of a ping, what may go with it, and what the answers mean.",
    "dashboard": "What the pages of a project show, and how they stay true while they are open.",
    "channels": "Mail, Slack and webhooks: how messages are sent, tried again and kept in order.",
    "python": "A decorator or a block around a job of any Python program.",
    "command": "`missedbeat run` in front of a command: start, end, output, and that it lives.",
    "celery": "Each entry of Beat's schedule as a check of its own, by two lines.",
    "schedulers": "One line for each of APScheduler, RQ, Dramatiq and Huey.",
    "email-pings": "For jobs that can send a mail and nothing else.",
    "badges": "Small public pictures that say how checks stand.",
    "teams": "Members and roles, invitations, keys, the log, deleting, plans.",
    "migrating": "From Healthchecks, Cronitor, Sentry and others: the URLs stay, the host changes.",
    "self-hosting": "Processes, a proxy, PostgreSQL, backups, upgrades.",
    "operations": "What to watch, and what to do when an alert about the service itself fires.",
    "security": "What is promised, what is not, and what you must set.",
    "api": "Keys, what is more than Healthchecks' API and what is different, errors and limits.",
    "events": "How any program reports what it runs, in batches, as the Python SDK does.",
    "metrics": "A project's checks and channels for Prometheus.",
    "promises": "What holds, with which figures, and the tests that prove it.",
    "performance": "What is measured, how, and what it is.",
}
FILES = {name: f"{name}.md" for names in GROUPS.values() for name in names} | {"operations": "operations/README.md"}
NAMES = {file: name for name, file in FILES.items()}
EXAMPLES = re.compile(r"https://ping\.example\.com(?![\w.-])|http://127\.0\.0\.1:8000(?!\d)|(?<=MISSEDBEAT_URL=)https://…")
MENTION = re.compile(r"docs/((?:operations/)?[\w-]+\.md)")
# What is wider than a phone scrolls by itself, by keys as well; a table's corner is no heading.
BETTER = {
    "<table>": '<div class="scroll" tabindex="0"><table>',
    "</table>": "</table></div>",
    "<pre>": '<pre tabindex="0">',
    "<th></th>": "<td></td>",
}


@dataclass(frozen=True, slots=True)
class Heading:
    """A part of a page, and the anchor that leads there."""

    anchor: str
    words: str


@dataclass(frozen=True, slots=True)
class Article:
    """A page of the guide: its title, its text, its parts."""

    name: str
    title: str
    text: Markup
    parts: Sequence[Heading]


@cache
def names() -> dict[str, str]:
    """The pages in the order of the contents, each with what links call it: the first words of its title."""
    return {name: re.split("[:,]", title)[0] for name, title in titles().items()}


@cache
def titles() -> dict[str, str]:
    """The pages in the same order, each with its title."""
    return {name: _source(name).partition("\n")[0].removeprefix("# ") for name in FILES}


@cache
def article(name: str, base_url: str) -> Article:
    """The page of this name on the service with this public address. Raises KeyError."""
    title, parser = titles()[name], markdown()
    tokens = parser.parse(_source(name))[3:]  # without the title
    parts = list(_anchored(tokens))
    return Article(name, title, written(parser, tokens, FILES[name], base_url), parts)


def markdown() -> MarkdownIt:
    """What reads the files: tables, no HTML, no pictures."""
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def written(parser: MarkdownIt, tokens: Sequence[Token], file: str, base_url: str) -> Markup:
    """What was read of a file, as HTML."""
    prefix = urlsplit(base_url).path.rstrip("/")
    dressed = [_dressed(token, PurePosixPath(file).parent, base_url, prefix) for token in tokens]
    html = parser.renderer.render(dressed, parser.options, {})
    for plain, better in BETTER.items():
        html = html.replace(plain, better)
    return Markup(html)  # noqa: S704 (parsed with HTML switched off)


def _source(name: str) -> str:
    return (FOLDER / FILES[name]).read_text(encoding="utf-8")


def _anchored(tokens: Sequence[Token]) -> Iterator[Heading]:
    """Give each heading an anchor, and name those of the second level."""
    taken: set[str] = set()
    for heading, words in pairwise(tokens):
        if heading.type != "heading_open":
            continue
        plain = "".join(child.content for child in words.children or ())
        anchor = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-") or "part"
        while anchor in taken:
            anchor += "-again"
        taken.add(anchor)
        heading.attrSet("id", anchor)
        if heading.tag == "h2":
            yield Heading(anchor, plain)


def _dressed(token: Token, folder: PurePosixPath, base_url: str, prefix: str) -> Token:
    """A token with our address in its examples and its links led to pages; columns are aligned by the stylesheet alone."""
    token.attrs.pop("style", None)
    if token.type in ("code_block", "fence"):
        token.content, token.info = _ours(token.content, base_url), ""
    if token.children:
        token.children = list(_linked(token.children, folder, base_url, prefix))
    return token


def _ours(text: str, base_url: str) -> str:
    return EXAMPLES.sub(lambda _: base_url, text)


def _linked(children: Sequence[Token], folder: PurePosixPath, base_url: str, prefix: str) -> Iterator[Token]:
    """The parts of a paragraph. A link to a file that is no page becomes the file's name; the name of one that is, a link."""
    closing: list[str] = []
    for child in children:
        if child.type == "link_open":
            target, there = _target(str(child.attrs["href"]), folder, prefix)
            closing.append("" if there else target)
            if there:
                child.attrs["href"] = target
                yield child
        elif child.type == "link_close":
            file = closing.pop()
            yield Token("code_inline", "code", 0, content=f" ({file})") if file else child
        elif child.type in ("text", "code_inline") and not closing:
            child.content = _ours(child.content, base_url)
            yield from _mentions(child, prefix)
        else:
            yield child


def _target(href: str, folder: PurePosixPath, prefix: str) -> tuple[str, bool]:
    """Where a link leads, and whether it leads anywhere."""
    if href.startswith("#") or urlsplit(href).scheme:
        return href, True
    path, _, anchor = href.partition("#")
    name = NAMES.get(_normal(folder / path))
    return (f"{prefix}/docs/{name}" + (f"#{anchor}" if anchor else ""), True) if name else (href, False)


def _normal(path: PurePosixPath) -> str:
    """Without `..`, as long as it stays inside docs."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def _mentions(token: Token, prefix: str) -> Iterator[Token]:
    """Text or code that names files of the guide, as in docs/pings.md: each as a link that bears the page's title."""
    if token.type == "code_inline":
        found = MENTION.fullmatch(token.content)
        yield from _link(found, prefix) if found and found[1] in NAMES else [token]
        return
    start = 0
    for found in MENTION.finditer(token.content):
        if found[1] in NAMES:
            yield _text(token.content[start : found.start()])
            yield from _link(found, prefix)
            start = found.end()
    yield _text(token.content[start:])


def _link(found: re.Match[str], prefix: str) -> Iterator[Token]:
    name = NAMES[found[1]]
    yield Token("link_open", "a", 1, attrs={"href": f"{prefix}/docs/{name}"})
    yield _text(names()[name])
    yield Token("link_close", "a", -1)


def _text(words: str) -> Token:
    more: dict[str, Any] = {"content": words}
    return Token("text", "", 0, **more)

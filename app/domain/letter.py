"""A mail to a person, in words: what it is about, one link, how long that is good, who asked for it, and what to do if it was not
them. How it is dressed and sent stands in `notify/letters.py`."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from app.domain.span import in_words

LONGEST_NAME = 100
LONGEST_LIST = 400  # of monitors by name


class LetterKind(StrEnum):
    """Why people are written to."""

    VERIFY = "verify"
    KNOWN_ALREADY = "known_already"
    LOGIN = "login"
    CHANGE_ADDRESS = "change_address"
    ADDRESS_CHANGED = "address_changed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    INVITATION = "invitation"
    MONITOR_PAUSED = "monitor_paused"
    PROJECT_DELETING = "project_deleting"
    PROJECT_KEPT = "project_kept"


@dataclass(frozen=True, slots=True)
class Letter:
    """All of it is plain text on lines of their own; `link` is empty where there is nothing to do. `closing`: what to do if it
    was not them."""

    kind: LetterKind
    subject: str
    sentence: str
    link: str = ""
    label: str = ""
    valid: str = ""
    asked: str = ""
    closing: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked for it: the address and the browser that the request came from, as far as it says."""

    address: str
    browser: str


# What each kind says: subject, sentence, what stands on the link. `{name}` is the project or monitor, `{by}` a person's address.
WORDS: dict[LetterKind, tuple[str, str, str]] = {
    LetterKind.VERIFY: (
        "Confirm your address",
        "Somebody, probably you, signed up at {host} with this address.",
        "Confirm the address",
    ),
    LetterKind.KNOWN_ALREADY: (
        "You have an account already",
        "Somebody, probably you, signed up at {host} with this address, which has an account there already.",
        "Sign in",
    ),
    LetterKind.LOGIN: (
        "Your link to sign in",
        "Somebody, probably you, wants to sign in at {host} with this address.",
        "Sign in",
    ),
    LetterKind.CHANGE_ADDRESS: (
        "Confirm your new address",
        "{by} wants to sign in at {host} with this address from now on.",
        "Confirm the address",
    ),
    LetterKind.ADDRESS_CHANGED: (
        "Your address was changed",
        "The address of your account at {host} was changed to another one.",
        "",
    ),
    LetterKind.PASSWORD_CHANGED: (
        "Your password was changed",
        "The password of your account at {host} was changed, and all other browsers were signed out.",
        "",
    ),
    LetterKind.INVITATION: (
        "{by} invites you to {name}",
        "{by} invites you to the project {name} at {host}.",
        "Look at the invitation",
    ),
    LetterKind.MONITOR_PAUSED: (
        "Paused: {short}",
        "{by} paused at {host}: {name}. Nobody is told when a paused check falls silent.",
        "Look at it",
    ),
    LetterKind.PROJECT_DELETING: (
        "{name} will be deleted",
        "{by} deleted the project {name} at {host}. It goes on {until}, with all its checks and their history. Until then "
        "everything goes on as before, and an owner can keep it.",
        "Look at the project",
    ),
    LetterKind.PROJECT_KEPT: (
        "{name} stays",
        "{by} kept the project {name} at {host}: it will not be deleted after all.",
        "Look at the project",
    ),
}
ONCE = "The link is good for {valid} and opens once, in the browser that asked for it."
VALID = {LetterKind.INVITATION: "The link is good for {valid}, for whoever signs in with this address."}
DO_NOTHING = "If it was not you, do nothing: without the link nothing happens."
CLOSING = {
    LetterKind.INVITATION: "If you do not want to come, do nothing: without the link nothing happens.",
    LetterKind.ADDRESS_CHANGED: "If it was not you, tell whoever runs {host} now: nobody signs in with this address any more.",
    LetterKind.PASSWORD_CHANGED: "If it was not you, sign in by mail now, which takes no password, and choose another.",
    LetterKind.MONITOR_PAUSED: "",
    LetterKind.PROJECT_DELETING: "",
    LetterKind.PROJECT_KEPT: "",
}


def compose(
    kind: LetterKind, *, host: str, link: str = "", valid: timedelta | None = None, asked: Asked | None = None,
    name: str = "", by: str = "", until: str = "",
) -> Letter:  # fmt: skip
    """The letter. `host` is the public address as people know it; `until` when a deletion is for good; names that others chose
    are clipped and kept to one line."""
    subject, sentence, label = WORDS[kind]
    most = LONGEST_LIST if kind is LetterKind.MONITOR_PAUSED else LONGEST_NAME
    given = {"host": host, "name": _line(name, most), "short": _line(name, LONGEST_NAME), "by": _line(by, 254), "until": until}
    return Letter(
        kind=kind,
        subject=subject.format(**given),
        sentence=sentence.format(**given),
        link=link,
        label=label if link else "",
        valid=VALID.get(kind, ONCE).format(valid=in_words(valid)) if link and valid is not None else "",
        asked=f"Asked for from {_line(asked.address, 60)}, {_line(asked.browser, 120) or 'no browser named'}." if asked else "",
        closing=CLOSING.get(kind, DO_NOTHING).format(**given),
    )


def _line(text: str, most: int) -> str:
    """On one line, without what no screen shows, clipped."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else line[: most - 1] + "…"

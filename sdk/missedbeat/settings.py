"""What `instrument` was told and what the environment says, read once. Nonsense is named and left out, never raised."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union
from urllib.parse import urlsplit, urlunsplit

from missedbeat.guard import guard
from missedbeat.post import origin_of
from missedbeat.wanted import Monitor

BeforeSend = Callable[[dict[str, Any]], Optional[dict[str, Any]]]
Scope = Union[str, Callable[[Any, Any], bool]]

WORDS = ("none", "type", "message", "traceback")
PATH = "/api/v3/events"
MOST_APP = 50
HOUSEKEEPING = ("celery.backend_cleanup", "celery.chord_unlock", "celery.accumulate")
"""Celery's own tasks that do nothing for anybody. Its others (`celery.chain`, `celery.starmap`, …) are how it sends a user's."""

NOT_SET_UP = (
    "Missedbeat is not set up: set MISSEDBEAT_URL to the address of your Missedbeat and MISSEDBEAT_KEY to a read-write key of "
    "your project. Until then nothing is reported."
)

logger = logging.getLogger("missedbeat")


@dataclass(frozen=True)
class Settings:
    """Where events go, and which. `url` is that of the service; empty with an empty `key`: nowhere."""

    url: str = ""
    key: str = ""
    app: str = "celery"
    environment: str = ""
    disabled: bool = False
    offline: bool = False
    scope: Scope = "beat"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = HOUSEKEEPING
    once: tuple[str, ...] = ()
    monitors: Mapping[str, Monitor] = field(default_factory=dict)
    register: bool = True
    reconcile: bool = True
    heartbeat: float | None = 15.0
    exceptions: str = "message"
    before_send: BeforeSend | None = None
    eager: bool = False
    max_buffer: int = 10_000
    flush_timeout: float = 2.0
    spool: str = ""
    probe: str = ""
    probe_patience: float = 60.0

    @property
    def is_complete(self) -> bool:
        """Whether there is somewhere to send to."""
        return bool(self.url and self.key) or self.offline

    @property
    def address(self) -> str:
        """Where events are posted."""
        return self.url.rstrip("/") + PATH


def read(app_name: Any, given: Mapping[str, Any], asked: str = "instrument") -> Settings:
    """Of the arguments of `instrument`, or whatever function was `asked`, and the environment, in this order."""
    default = Settings()
    said = {name: value for name, value in given.items() if value is not None or name == "heartbeat"}
    unknown = set(said) - set(Settings.__dataclass_fields__)
    if unknown:
        logger.warning("%s() knows no %s; it is ignored", asked, ", ".join(sorted(unknown)))
    said.setdefault("spool", os.environ.get("MISSEDBEAT_SPOOL", ""))
    checked = {name: _checked(asked, name, read_one, said, getattr(default, name)) for name, read_one in READERS.items()}
    return Settings(
        url=_address(_text(said.get("url") or os.environ.get("MISSEDBEAT_URL", ""))),
        key=_sound_key(_key_of(_text(said.get("key") or os.environ.get("MISSEDBEAT_KEY", "")))),
        app=(_text(app_name) or default.app)[:MOST_APP],
        environment=_text(said.get("environment") or os.environ.get("MISSEDBEAT_ENVIRONMENT", ""))[:MOST_APP],
        disabled=_switched_on("MISSEDBEAT_DISABLED"),
        offline=_switched_on("MISSEDBEAT_OFFLINE"),
        probe=_text(os.environ.get("MISSEDBEAT_PROBE", "")),
        probe_patience=_probe_patience(os.environ.get("MISSEDBEAT_PROBE_PATIENCE", "")),
        **checked,
    )


def _key_of(said: str) -> str:
    """A key as it is, or as it stands in the file that `file:/path` names."""
    if not said.startswith("file:"):
        return said
    try:
        return Path(said[len("file:") :]).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        logger.warning("MISSEDBEAT_KEY: the file that it names cannot be read: %s", error)
        return ""


def _checked(asked: str, name: str, read_one: Callable[[Any], Any], said: Mapping[str, Any], default: Any) -> Any:
    """One argument, or its default with a word about it where it makes no sense."""
    if name not in said:
        return default
    try:
        return read_one(said[name])
    except (TypeError, ValueError, AttributeError) as error:
        logger.warning("%s(%s=%r): %s; %r is used instead", asked, name, said[name], error, default)
        return default


def _address(url: str) -> str:
    """The URL without what is not used of it; empty where it is none. It is not logged: a key may stand in it."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if sound:
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    if url:
        shown = f" ({origin_of(url)} …)" if origin_of(url) else ""
        logger.warning("MISSEDBEAT_URL is no address%s; it must look like https://missedbeat.example.com", shown)
    return ""


def _sound_key(key: str) -> str:
    """A key that a header can hold, or none: it goes nowhere, and no message shows it."""
    if not (key.isascii() and key.isprintable()) or " " in key:
        logger.warning("MISSEDBEAT_KEY holds characters that no key has (a blank, a line break, …): copy it anew")
        return ""
    return key


def _text(value: Any) -> str:
    return str(value or "").strip()


def _switched_on(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in ("1", "true", "yes", "on")


def _patterns(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(_string(one) for one in value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _scope(value: Any) -> Scope:
    if callable(value) or value in ("beat", "all"):
        return value  # type: ignore[no-any-return]
    raise ValueError('it is "beat", "all" or a function of a task and its request')


def _words(value: Any) -> str:
    if value not in WORDS:
        raise ValueError("it is one of " + ", ".join(WORDS))
    return str(value)


def _monitors(value: Mapping[str, Any]) -> dict[str, Monitor]:
    """Those that make sense; each of the others with a word about it."""
    return {str(name): monitor for name, monitor in value.items() if _is_sound(str(name), monitor)}


def _is_sound(name: str, monitor: Any) -> bool:
    sound = isinstance(monitor, Monitor) and guard.run(monitor.declared) is not None
    if not sound:
        logger.warning("instrument(monitors=…): %r is no sound Monitor(...): %r; it is ignored", name, monitor)
    return sound


def _seconds(value: Any) -> float | None:
    """None switches it off."""
    if value is None or value is False or value == 0:
        return None
    if not 1 <= float(value) <= 3600:
        raise ValueError("it is a number of seconds from 1 to 3600, or None")
    return float(value)


def _patience(value: Any) -> float:
    return min(max(float(value), 0.0), 60.0)


def _probe_patience(said: str) -> float:
    """How many seconds a worker may stand still before it counts as dead."""
    seconds, error = guard.attempt(float, said.strip() or "60")
    if error is not None or not 1 <= (seconds or 0.0) <= 3600:
        logger.warning("MISSEDBEAT_PROBE_PATIENCE=%r: it is a number of seconds from 1 to 3600; 60 is used instead", said)
        return 60.0
    return seconds or 60.0


def _most(value: Any) -> int:
    return max(int(value), 10)


def _folder(value: Any) -> str:
    """Where it leads from wherever this process stands later; empty for none."""
    path = _string(os.fspath(value)).strip()
    return str(Path(path).expanduser().absolute()) if path else ""


def _function(value: Any) -> Any:
    if not callable(value):
        raise TypeError("it is a function of an event")
    return value


READERS: dict[str, Callable[[Any], Any]] = {
    "scope": _scope, "include": _patterns, "exclude": _patterns, "once": _patterns, "monitors": _monitors, "register": bool,
    "reconcile": bool, "heartbeat": _seconds, "exceptions": _words, "before_send": _function, "eager": bool, "max_buffer": _most,
    "flush_timeout": _patience, "spool": _folder,
}  # fmt: skip

"""Exceptions in words, as far as `exceptions=` lets them out. Arguments and results of tasks are never among them."""

from __future__ import annotations

from types import TracebackType

from missedbeat.guard import guard

MOST = 500
FRAMES = 5


def words_of(error: BaseException, how: str) -> str:
    """At most 500 characters; a name where an exception cannot even say its message."""
    if how == "none":
        return ""
    name = type(error).__name__
    if how == "type":
        return name[:MOST]
    message = guard.run(_message_of, error)
    words = f"{name}: {message}" if message else name
    if how == "traceback":
        words = f"{words[: MOST // 2]}\n{_places(error.__traceback__)}"
    return words[:MOST]


def _message_of(error: BaseException) -> str:
    """Its message, where some exceptions show themselves as code."""
    name = type(error).__name__
    if name == "TimeLimitExceeded":
        return f"{error.args[0]} s" if error.args else ""
    if name == "Reject":
        return str(getattr(error, "reason", None) or "")
    message = str(error)
    return ", ".join(map(str, error.args)) if message.startswith(f"{name}(") else message


def _places(traceback: TracebackType | None) -> str:
    """The innermost places, innermost first; no source is read for it, that could take long."""
    places: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename}:{traceback.tb_lineno} in {code.co_name}")
        traceback = traceback.tb_next
    return "\n".join(reversed(places[-FRAMES:]))

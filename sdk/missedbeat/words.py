"""Exceptions in words, as far as `exceptions=` lets them out. Arguments and results of tasks are never among them."""

from __future__ import annotations

import re
from types import TracebackType

from missedbeat.guard import guard

MOST = 500
FRAMES = 5

SHOW_VALUES = frozenset({"SchedulingError", "MaybeEncodingError"})
"""Beat's error, which says the entry's name, and that may be the call with its arguments; the pool's, which says a result."""
CODING = frozenset({"EncodeError", "DecodeError"})
"""Kombu's, in the words of the serializer: those of Python and its json name types, those of yaml and pickle show values."""
PLAIN = (TypeError, ValueError)
RETRIES_USED_UP = re.compile(r"(Can't retry .*?) args:.*", re.DOTALL)
"""Celery's words, when a task retries too often without an exception of its own."""


def words_of(error: BaseException, how: str) -> str:
    """At most 500 characters; a name where an exception cannot even say its message."""
    if how == "none":
        return ""
    while type(error).__name__ == "SchedulingError" and (cause := error.__cause__ or error.__context__):
        error = cause
    name = type(error).__name__
    if how == "type":
        return name[:MOST]
    message = guard.run(_message_of, error)
    words = f"{name}: {message}" if message else name
    if how == "traceback":
        words = f"{words[: MOST // 2]}\n{_places(error.__traceback__)}"
    return words[:MOST]


def _message_of(error: BaseException) -> str:
    """Its message, where some exceptions show themselves as code, and others show arguments and results."""
    name = type(error).__name__
    if name in SHOW_VALUES:
        return ""
    if name in CODING:
        cause = error.__cause__ or error.__context__
        return str(error) if cause is None or isinstance(cause, PLAIN) else type(cause).__name__
    if hasattr(error, "error_count") and type(error).__module__.startswith("pydantic"):
        return f"{error.title}: {', '.join(one['type'] for one in error.errors())}"  # type: ignore[attr-defined]
    if name == "TimeLimitExceeded":
        return f"{error.args[0]} s" if error.args else ""
    if name == "Reject":
        return str(getattr(error, "reason", None) or "")
    message = str(error)
    message = ", ".join(map(str, error.args)) if message.startswith(f"{name}(") else message
    return RETRIES_USED_UP.sub(r"\1", message)


def _places(traceback: TracebackType | None) -> str:
    """The innermost places, innermost first; no source is read for it, that could take long."""
    places: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename}:{traceback.tb_lineno} in {code.co_name}")
        traceback = traceback.tb_next
    return "\n".join(reversed(places[-FRAMES:]))

"""The words of what can go wrong; what number HTTP gives them stands in `app/web.py`."""


class MissedbeatError(Exception):
    """Anything this service refuses on purpose; `str()` is a sentence for the person who asked."""


class NotFound(MissedbeatError):
    """The thing does not exist, or not for this caller: the two answers never differ."""


class Conflict(MissedbeatError):
    """The thing is not in a state in which this can be done."""


class Invalid(MissedbeatError):
    """What was sent does not make sense; the message names the field and says what would, `detail` more where there is more."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class TooLarge(MissedbeatError):
    """More was sent than is read."""


class OverLimit(MissedbeatError):
    """The project has as much of this as its plan allows."""


class TooMany(MissedbeatError):
    """More calls than are allowed: good again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooSlow(MissedbeatError):
    """What was announced did not arrive in time."""


class NotAllowed(MissedbeatError):
    """The caller is not known, or its key may not do this."""


class Unavailable(MissedbeatError):
    """Our fault and for the moment: safe to repeat after `retry_after` seconds."""

    def __init__(self, message: str = "try again shortly", retry_after: int = 2) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Forbidden(MissedbeatError):
    """The caller is known, and this is not for them: a role that is too low, a form that was not sent from a page of ours."""


class BadSettings(MissedbeatError):
    """The settings do not allow a start; one line for each thing to mend."""


def in_words(error: BaseException) -> str:
    """What went wrong, in one line for the log: its kind and the first line of what it says."""
    return f"{type(error).__name__}: {error}".splitlines()[0]

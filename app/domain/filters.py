"""What a check-in says by its words: keywords in a body or a subject, as Healthchecks has them."""

from dataclasses import dataclass
from typing import Any

from app.domain.state import Signal


@dataclass(frozen=True, slots=True)
class Filters:
    """The keywords (lists with commas, case-sensitive) and where they are looked for."""

    start_kw: str = ""
    success_kw: str = ""
    failure_kw: str = ""
    filter_subject: bool = False
    filter_body: bool = False
    filter_http_body: bool = False
    filter_default_fail: bool = False

    def to_json(self) -> dict[str, Any]:
        """What differs from the default: {} for most monitors."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name))}

    def of_request(self, said: Signal, body: bytes) -> Signal:
        """What an HTTP ping says: the path's signal, unless its body is filtered."""
        return self._by_words(body.decode(errors="replace")) if self.filter_http_body else said

    def of_mail(self, subject: str, text: str) -> Signal:
        """What a mail says: success, unless its subject or text is filtered."""
        if not (self.filter_subject or self.filter_body):
            return Signal.SUCCESS
        return self._by_words("\n".join([subject] * self.filter_subject + [text] * self.filter_body))

    def _by_words(self, words: str) -> Signal:
        """Failure is looked for before success, success before start. Source: Healthchecks."""
        for keywords, signal in (
            (self.failure_kw, Signal.FAIL),
            (self.success_kw, Signal.SUCCESS),
            (self.start_kw, Signal.START),
        ):
            if any(keyword.strip() in words for keyword in keywords.split(",") if keyword.strip()):
                return signal
        return Signal.FAIL if self.filter_default_fail else Signal.IGNORED

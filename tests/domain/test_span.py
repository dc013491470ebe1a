"""Spans of time in words."""

from datetime import timedelta

import pytest

from app.domain.span import in_words


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(0), "1 second"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(seconds=44.2), "45 seconds"),
        (timedelta(seconds=60), "1 minute"),
        (timedelta(seconds=61), "2 minutes"),
        (timedelta(minutes=10), "10 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(hours=36), "36 hours"),
        (timedelta(days=7), "7 days"),
    ],
)
def test_a_span_is_said_in_the_largest_unit_that_it_is_a_whole_number_of(span: timedelta, words: str) -> None:
    """As people say them; who is told to wait so long has waited long enough."""
    assert in_words(span) == words

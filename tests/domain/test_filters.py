"""Keyword filters: what words make of a ping."""

import pytest

from app.domain.filters import Filters
from app.domain.state import Signal

HTTP = Filters(start_kw="begin", success_kw="done, OK", failure_kw="error,  fatal ", filter_http_body=True)


@pytest.mark.parametrize(
    ("said", "body", "heard"),
    [
        (Signal.SUCCESS, b"all done", Signal.SUCCESS),
        (Signal.SUCCESS, b"begin, then done, then a fatal thing", Signal.FAIL),
        (Signal.SUCCESS, b"begin and done", Signal.SUCCESS),
        (Signal.SUCCESS, b"begin", Signal.START),
        (Signal.SUCCESS, b"Error DONE ok", Signal.IGNORED),
        (Signal.SUCCESS, b"", Signal.IGNORED),
        (Signal.FAIL, b"done", Signal.SUCCESS),
        (Signal.LOG, b"error", Signal.FAIL),
        (Signal.SUCCESS, b"\xff\xfe error \xff", Signal.FAIL),
    ],
)
def test_failure_is_looked_for_first_then_success_then_start(said: Signal, body: bytes, heard: Signal) -> None:
    """Case counts, commas part keywords, blanks around them do not count; bytes that are no text hurt nobody."""
    assert HTTP.of_request(said, body) is heard


def test_without_a_filter_the_path_speaks() -> None:
    """Keywords alone filter nothing: somebody must have said where to look for them."""
    keywords = Filters(failure_kw="error", success_kw="done")
    assert keywords.of_request(Signal.SUCCESS, b"error") is Signal.SUCCESS
    assert keywords.of_request(Signal.FAIL, b"done") is Signal.FAIL
    assert keywords.of_mail("error", "error") is Signal.SUCCESS


def test_what_no_keyword_fits_fails_where_that_is_wanted() -> None:
    """filter_default_fail turns silence of the keywords into a failure; empty keywords fit nothing."""
    strict = Filters(success_kw="done", failure_kw=" , ,", filter_http_body=True, filter_default_fail=True)
    assert strict.of_request(Signal.SUCCESS, b"what?") is Signal.FAIL
    assert strict.of_request(Signal.SUCCESS, b"done") is Signal.SUCCESS


def test_a_mail_is_read_where_the_filters_say() -> None:
    """Subject, text, or both; a filter on HTTP bodies does not touch mail."""
    subject = Filters(success_kw="done", failure_kw="failed", filter_subject=True)
    assert subject.of_mail("backup done", "failed") is Signal.SUCCESS
    assert subject.of_mail("hello", "done") is Signal.IGNORED
    text = Filters(success_kw="done", failure_kw="failed", filter_body=True)
    assert text.of_mail("backup done", "it failed") is Signal.FAIL
    both = Filters(success_kw="done", failure_kw="failed", filter_subject=True, filter_body=True)
    assert both.of_mail("backup done", "it failed") is Signal.FAIL
    assert HTTP.of_mail("error", "error") is Signal.SUCCESS


def test_only_what_differs_is_kept() -> None:
    """A monitor without filters keeps nothing, and what is kept reads back the same."""
    assert Filters().to_json() == {}
    assert HTTP.to_json() == {
        "start_kw": "begin",
        "success_kw": "done, OK",
        "failure_kw": "error,  fatal ",
        "filter_http_body": True,
    }
    assert Filters(**HTTP.to_json()) == HTTP

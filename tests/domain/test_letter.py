"""Letters in words."""

from datetime import timedelta

import pytest

from app.domain.letter import Asked, LetterKind, compose


@pytest.mark.parametrize("kind", LetterKind)
def test_every_letter_has_words_and_no_name_breaks_its_lines(kind: LetterKind) -> None:
    """A project's name, an address and a browser are other people's words: on one line, clipped, never read as ours."""
    hostile = "Evil\r\nBcc: all@example.org {host} " + "x" * 500
    made = compose(
        kind, host="beat.example", link="https://beat.example/l", valid=timedelta(days=7), asked=Asked(hostile, hostile),
        name=hostile, by=hostile,
    )  # fmt: skip
    for words in (made.subject, made.sentence, made.label, made.valid, made.asked, made.closing):
        assert words.isprintable()
        assert len(words) < 1000
    assert made.subject
    assert "beat.example" in made.sentence
    assert "Evil Bcc: all@example.org {host}" in made.sentence or "Evil" not in made.sentence


def told(kind: LetterKind) -> str:
    """How good the link is, and what to do for whom it was not."""
    made = compose(
        kind, host="beat.example", link="https://beat.example/l", valid=timedelta(days=7), name="shop", by="bob@b.test"
    )
    return f"{made.valid} {made.closing}".strip()


def test_every_letter_says_what_to_do_that_can_be_done() -> None:
    """An old address signs in no more, an old password does not either, an invitation opens in any browser until it is taken."""
    assert told(LetterKind.INVITATION) == (
        "The link is good for 7 days, for whoever signs in with this address. "
        "If you do not want to come, do nothing: without the link nothing happens."
    )
    assert told(LetterKind.ADDRESS_CHANGED).endswith(
        "If it was not you, tell whoever runs beat.example now: nobody signs in with this address any more."
    )
    assert told(LetterKind.PASSWORD_CHANGED).endswith(
        "If it was not you, sign in by mail now, which takes no password, and choose another."
    )

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

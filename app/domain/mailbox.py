"""A person's address: what may be one, and when two are the same."""

import re

from app.errors import Invalid

MAILBOX = re.compile(r"(?=.{3,254}\Z)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def is_mailbox(text: str) -> bool:
    """Whether mail can be sent there: one address in ASCII, without a name. What looks like an encoded word of RFC 2047 is none:
    mail programs decode it, and another mailbox comes out."""
    return MAILBOX.fullmatch(text) is not None and ".." not in text and "=?" not in text


def checked(text: str) -> str:
    """The address without spaces around it. Raises Invalid."""
    address = text.strip()
    if not is_mailbox(address):
        raise Invalid("give one e-mail address such as anna@example.com")
    return address


def key_of(text: str) -> str:
    """What two spellings of one address have in common. RFC 5321 lets mailboxes differ in case; no provider does."""
    return text.strip().lower()

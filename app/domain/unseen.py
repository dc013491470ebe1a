"""Characters that turn text round or that nobody sees: with them a name can pass for another. Joiners stay."""

UNSEEN = "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff"
"""As a class of a regular expression has them."""

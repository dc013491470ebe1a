"""Slugs: what may stand for a monitor in a URL beside its project's ping key."""

import re
import unicodedata
from collections.abc import Container

LONGEST = 100
SLUG = re.compile(rf"[a-z0-9_-]{{1,{LONGEST}}}")


def free(wanted: str, taken: Container[str]) -> str:
    """`wanted`, or where it is taken `wanted-2`, `wanted-3` and so on; none stays none."""
    slug, n = wanted, 1
    while slug and slug in taken:
        n += 1
        slug = f"{wanted[:90]}-{n}"
    return slug


def slug_of(name: str) -> str:
    """A slug derived from a name, as Healthchecks (Django's slugify) does; empty where nothing of it can stand in one."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain)).strip("-_")[:LONGEST]

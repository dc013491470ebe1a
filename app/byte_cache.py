"""Bytes kept in this process's memory by a key that says all that they hang on: so none is ever wrong, and any may be dropped."""

MOST = 8_000_000
EACH = 250  # bytes that an entry takes beside its text: two objects and a place in a table that may be half empty


class ByteCache:
    """At most so many bytes, what keeps them included. What was not asked for lately goes, half of everything at a time: a list
    asks for a thousand at once, and to note of each when that was would take longer than to look it up."""

    def __init__(self, most: int = MOST) -> None:
        self._half = most // 2
        self._size = 0
        self._young: dict[str, bytes] = {}
        self._old: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """What was put there, or None where it is not kept any more."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: str, value: bytes) -> None:
        """Keep it for a while; what is larger than all that may be kept is not."""
        size = len(key) + len(value) + EACH
        if size > self._half:
            return
        if self._size + size > self._half:
            self._old, self._young, self._size = self._young, {}, 0
        self._young[key] = value
        self._size += size

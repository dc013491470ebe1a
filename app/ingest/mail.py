"""What a mail says: its subject and its text, whatever its charsets, encodings and parts. Nothing here raises; what makes no
sense is taken for the text it looks like.

Whoever has a ping address may send 10 MB of anything, so every step is linear in the mail's size. The standard library's
parsers of whole mails and of header values are not, and are not used.
"""

import binascii
import codecs
import hashlib
import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from itertools import islice

from app.ingest.markup import words_of
from app.ingest.ping import Mail

HEAD_LIMIT = 64_000
VALUE_LIMIT = 2_000
SUBJECT_LIMIT = 10_000
MOST_PARTS = 500
DEEPEST = 10
LOOKED_AT = 1_000
HEADED = re.compile(rb"(?:>?From [^\n]*\n)?[!-9;-~]+[ \t]*:")
MBOX_LINE = re.compile(rb">?From [^\n]*\n")
BLANK_LINE = re.compile(rb"\n\r?\n")
NEXT_HEADER = re.compile(rb"\r?\n(?![ \t])")
PARAMETER = re.compile(r""";\s*(charset|boundary)\*?\s*=\s*(?:"([^"]*)"|([^\s;"]+))""", re.IGNORECASE)
NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/=\s]")
NO_CHARSETS = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"})  # slow, or no mail's

Headers = dict[str, bytes]


def read_mail(raw: bytes) -> Mail:
    """The subject, and every text that is no attachment: plain ones as they are, HTML as its words."""
    headers, _ = _split(raw)
    return Mail(_subject(headers.get("subject", b"")), "\n".join(_texts(raw)))


def repeat_key(raw: bytes) -> str | None:
    """By what a mail server's second attempt is known: the same bytes with the same Message-ID. None without a Message-ID: a job
    that mails a plain `ok` every night does not repeat itself."""
    headers, _ = _split(raw)
    return f"mail:{hashlib.sha256(raw).hexdigest()}" if headers.get("message-id", b"").strip() else None


def _split(part: bytes) -> tuple[Headers, bytes]:
    """The headers, by their names in lower case, of several of one name the first; and what follows them. A part that does not
    begin like a header has none."""
    if HEADED.match(part) is None:
        return {}, part
    mbox, blank = MBOX_LINE.match(part), BLANK_LINE.search(part)
    head, body = (part, b"") if blank is None else (part[: blank.start()], part[blank.end() :])
    headers: Headers = {}
    for line in NEXT_HEADER.split(head[mbox.end() if mbox else 0 :][:HEAD_LIMIT]):
        name, colon, value = line.partition(b":")
        if colon:
            headers.setdefault(name.strip().lower().decode("latin-1"), value)
    return headers, body


def _subject(value: bytes) -> str:
    """The subject with its encoded words (RFC 2047) decoded; one that cannot be decoded stays as it came."""
    text = _decode(value[:SUBJECT_LIMIT], "").replace("\r", "").replace("\n", "").strip()
    try:
        pieces = decode_header(text)
    except (HeaderParseError, ValueError):
        return text
    return "".join(
        piece if isinstance(piece, str) else _decode(piece, charset) if charset else piece.decode("raw-unicode-escape", "replace")
        for piece, charset in pieces
    )


def _texts(mail: bytes) -> Iterator[str]:
    """The texts of a mail's parts, in their order; mails within it too. A multipart without parts is itself a text."""
    waiting, seen = [(mail, 0)], 0
    while waiting and seen < MOST_PARTS:
        (part, depth), seen = waiting.pop(), seen + 1
        headers, body = _split(part)
        kind, parameters = _kind(headers)
        if depth and _word(headers, "content-disposition") == "attachment":
            continue
        inner = _parts(kind, parameters.get("boundary", ""), body) if depth < DEEPEST else []
        waiting += [(one, depth + 1) for one in reversed(inner)]
        if not inner and not kind.startswith(("image/", "audio/", "video/", "application/")):
            text = _decode(_decoded(body, _word(headers, "content-transfer-encoding")), parameters.get("charset", ""))
            yield words_of(text) if kind == "text/html" else text


def _kind(headers: Headers) -> tuple[str, dict[str, str]]:
    """The content type and those of its parameters that say how to read it."""
    value = _decode(headers.get("content-type", b"")[:VALUE_LIMIT], "")
    found: dict[str, str] = {}
    for parameter in PARAMETER.finditer(value):
        found.setdefault(parameter[1].lower(), parameter[2] if parameter[2] is not None else parameter[3])
    kind = value.partition(";")[0].strip().lower()
    return kind if "/" in kind else "text/plain", found


def _word(headers: Headers, name: str) -> str:
    """A header's value without its parameters."""
    return headers.get(name, b"")[:VALUE_LIMIT].partition(b";")[0].strip().lower().decode("latin-1")


def _parts(kind: str, boundary: str, body: bytes) -> list[bytes]:
    """What a multipart, or a part that is a mail, holds."""
    if kind == "message/rfc822":
        return [body]
    if not kind.startswith("multipart/") or not boundary.strip():
        return []
    line = rb"(?:\A|\n)--" + re.escape(boundary.rstrip().encode()) + rb"(--)?[ \t]*\r?(?=\n|\Z)"
    edges = list(islice(re.finditer(line, body), MOST_PARTS))
    parts = []
    ends = [*(edge.start() for edge in edges[1:]), len(body)]
    for edge, end in zip(edges, ends, strict=False):
        if edge[1]:
            break
        parts.append(body[edge.end() + 1 : end])
    return parts


def _decoded(body: bytes, encoding: str) -> bytes:
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    if encoding == "base64" and NO_BASE64.search(body[:LOOKED_AT]) is None:  # below it a list's footer may stand
        try:
            return binascii.a2b_base64(body + b"===")  # padding that is missing; what is too much is not read
        except binascii.Error:
            return body
    return body


def _decode(data: bytes, charset: str) -> str:
    """As text: by its charset, where that is one; else as UTF-8 if it can be, else as Latin-1."""
    try:
        name = codecs.lookup(charset[:40]).name if charset else "ascii"
        if name not in NO_CHARSETS and name != "ascii":
            return data.decode(name, "replace")
    except (LookupError, ValueError):
        pass
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")

"""Webhooks: our own JSON body or the user's templates, signed by Standard Webhooks (https://www.standardwebhooks.com). What is
said stands in `domain/message.py`."""

import base64
import json
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import quote

from standardwebhooks import Webhook

from app.domain.message import Message, Outcome, Parcel, clean
from app.errors import Invalid
from app.notify.outbound import Outbound, OutboundError, check_url, outcome_of, outcome_of_failure

FIELDS = ("url", "method", "headers", "body_down", "body_up", "secret", "secret_before")
METHODS = ("POST", "PUT", "PATCH", "GET")
TEMPLATE_LIMIT = 10_000
HEADERS_LIMIT = 20
HEADER_LIMIT = 1_000
TEXT_LIMIT = 1_000
PLACEHOLDER = re.compile(r"\$(NAME|STATUS|SLUG|TAGS|SINCE|REASON|EXPLAIN|NOW)(?![A-Z0-9_])")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
OUR_HEADERS = re.compile(r"host|content-length|transfer-encoding|connection|upgrade|te|trailer|expect|accept-encoding|webhook-.*")
JSON_TYPE = "application/json"

Values = Mapping[str, str]
Escape = Callable[[str], str]


def check_settings(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Takes `url` and optionally `method`, `headers`, `body_down`, `body_up`, `secret` and, while it is changed,
    `secret_before`. URL, headers and bodies may hold keys, so all are secrets; a signing secret is made where none is given.
    Raises Invalid."""
    for field in given:
        if field not in FIELDS:
            raise Invalid(f"{clean(field, 60)}: a webhook takes {', '.join(FIELDS)}")
    url = check_url(given.get("url"))
    method = str(given.get("method") or "POST").upper()
    if method not in METHODS:
        raise Invalid(f"method: choose one of {', '.join(METHODS)}")
    headers = _checked_headers({} if given.get("headers") is None else given["headers"])
    kept = {"url": given["url"], "secret": _checked_secret(given.get("secret") or new_secret(), "secret")}
    if given.get("secret_before"):
        kept["secret_before"] = _checked_secret(given["secret_before"], "secret_before")
    if headers:
        kept["headers"] = json.dumps(headers)
    for field in ("body_down", "body_up"):
        if given.get(field):
            kept[field] = _checked_template(given[field], field, headers)
    return {"host": url.host, "method": method}, kept


async def send(parcel: Parcel, outbound: Outbound) -> Outcome:
    """One signed attempt."""
    kept = parcel.secrets()
    method = str(parcel.settings.get("method", "POST"))
    values = values_of(parcel.message, parcel.attempt_at)
    own_headers = {name.lower(): value for name, value in json.loads(kept.get("headers", "{}")).items()}
    content, content_type = _content(parcel.message, kept, method, own_headers, values)
    headers = {"content-type": content_type} | own_headers | signature(parcel, content, kept)
    url = fill(kept.get("url", ""), values, _in_url)
    try:
        answer = await outbound.post(url, content=content, headers=headers, method=method)
    except OutboundError as error:
        return outcome_of_failure(error)
    return outcome_of(answer, parcel.attempt_at, hide=(url, *own_headers.values(), *_signing_secrets(kept)))


def body(message: Message) -> dict[str, Any]:
    """Our own body. `explain` is the message's sentence, so it also says what has changed since."""
    told = message.told
    data: dict[str, Any] = {"project": clean(told.project, TEXT_LIMIT), "monitor": None}
    if told.kind == "blackout":
        data["jobs"] = message.output.splitlines()
    elif told.name or told.slug or told.unique_key:
        words = {"unique_key": told.unique_key, "slug": told.slug, "name": told.name}
        data["monitor"] = {key: clean(text, TEXT_LIMIT) for key, text in words.items()}
        data["monitor"]["tags"] = [clean(tag, TEXT_LIMIT) for tag in told.tags]
    data["since"] = _iso(told.down_since or told.at)
    if told.kind != "monitor.down" and told.down_since:
        data["until"] = _iso(told.at)
    data |= {"reason": clean(told.reason, TEXT_LIMIT), "explain": message.sentence, "incident_url": message.link or None}
    if told.earlier:
        before = told.before()
        data["earlier"] = [{"type": b.kind, "timestamp": _iso(b.at), "reason": clean(b.reason, TEXT_LIMIT)} for b in before]
        data["earlier_count"] = max(told.earlier_count, len(before))
    if told.instead_of:
        data["instead_of"] = clean(told.instead_of, TEXT_LIMIT)
    if told.kind == "channel.failed":
        data |= {"channel": clean(told.channel, TEXT_LIMIT), "failure": clean(told.failure, TEXT_LIMIT)}
    return {"type": message.kind, "timestamp": _iso(told.at), "data": data}


def signature(parcel: Parcel, content: bytes, kept: Mapping[str, str]) -> dict[str, str]:
    """The three headers of Standard Webhooks; one signature for each secret that may be in use at the receiver."""
    at = parcel.attempt_at.astimezone(UTC)  # the library takes the wall time for UTC, whatever its zone says
    text = content.decode()
    signed = [Webhook(key).sign(parcel.delivery_id, at, text) for key in _signing_secrets(kept)]
    headers = {"webhook-id": parcel.delivery_id, "webhook-timestamp": str(int(at.timestamp()))}
    return headers | ({"webhook-signature": " ".join(signed)} if signed else {})


def new_secret() -> str:
    """192 random bits, as Standard Webhooks writes them."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def values_of(message: Message, now: datetime) -> dict[str, str]:
    """What the placeholders stand for; single clean lines."""
    told = message.told
    words = {"NAME": told.name, "SLUG": told.slug, "TAGS": " ".join(told.tags), "REASON": told.reason}
    return {key: clean(text, TEXT_LIMIT) for key, text in words.items()} | {
        "STATUS": message.kind.removeprefix("monitor."),
        "SINCE": _iso(told.down_since or told.at),
        "EXPLAIN": message.sentence,
        "NOW": _iso(now),
    }


def fill(template: str, values: Values, escaped: Escape) -> str:
    """Placeholders to values in one pass: a `$NAME` that comes out of a value stays as it is."""
    return PLACEHOLDER.sub(lambda found: escaped(values[found[1]]), template)


def _content(message: Message, kept: Mapping[str, str], method: str, headers: Values, values: Values) -> tuple[bytes, str]:
    """Body and its type. One template serves for both where only one is given; what is neither up nor down goes as down."""
    if method == "GET":
        return b"", "text/plain"
    order = ("body_up", "body_down") if message.kind == "monitor.up" else ("body_down", "body_up")
    template = next((kept[field] for field in order if kept.get(field)), None)
    if template is None:
        return json.dumps(body(message), ensure_ascii=False).encode(), JSON_TYPE
    content_type = _content_type(template, headers)
    return fill(template, values, _escape_for(content_type)).encode(), content_type


def _content_type(template: str, headers: Values) -> str:
    """As the user's headers say; else by its look."""
    given = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    return given or (JSON_TYPE if template.lstrip()[:1] in ("{", "[") else "text/plain; charset=utf-8")


def _escape_for(content_type: str) -> Escape:
    """How a value is written so that it stays a value in a body of this type."""
    kind = content_type.lower()
    if "json" in kind:
        return lambda value: json.dumps(value, ensure_ascii=False)[1:-1]
    if "x-www-form-urlencoded" in kind:
        return _in_url
    return escape if "xml" in kind or "html" in kind else str


def _in_url(value: str) -> str:
    """Percent-encoded, dots too where there is nothing else: `..` must not walk up the path."""
    return quote(value, safe="") if value.strip(".") else value.replace(".", "%2E")


def _signing_secrets(kept: Mapping[str, str]) -> list[str]:
    return [kept[field] for field in ("secret", "secret_before") if kept.get(field)]


def _checked_secret(given: object, field: str) -> str:
    try:
        if isinstance(given, str) and given.startswith("whsec_"):
            key = base64.b64decode(given.removeprefix("whsec_"), validate=True)
            if 24 <= len(key) <= 64:
                return given
    except ValueError:
        pass
    raise Invalid(f"{field}: 'whsec_' and 24 to 64 bytes in base64, or leave it out and one is made")


def _checked_headers(given: object) -> dict[str, str]:
    if not isinstance(given, Mapping) or len(given) > HEADERS_LIMIT:
        raise Invalid(f"headers: give an object of at most {HEADERS_LIMIT} names and values")
    for name, value in given.items():
        if not isinstance(name, str) or not HEADER_NAME.fullmatch(name):
            raise Invalid(f"headers: {clean(str(name), 60)!r} is not a valid header name")
        if OUR_HEADERS.fullmatch(name.lower()):
            raise Invalid(f"headers: {name} is set by us; leave it out")
        if not isinstance(value, str) or len(value) > HEADER_LIMIT or not value.isascii() or not value.isprintable():
            raise Invalid(f"headers: the value of {name} is at most {HEADER_LIMIT:,} ASCII characters without line breaks")
    return {name: value.strip() for name, value in given.items()}


def _checked_template(given: object, field: str, headers: Values) -> str:
    if not isinstance(given, str) or len(given) > TEMPLATE_LIMIT:
        raise Invalid(f"{field}: text of at most {TEMPLATE_LIMIT:,} characters")
    if given.encode(errors="replace").decode() != given:
        raise Invalid(f"{field}: this is not valid Unicode (half of a surrogate pair)")
    content_type = _content_type(given, headers)
    if "json" in content_type.lower():
        sample = dict.fromkeys(("NAME", "STATUS", "SLUG", "TAGS", "SINCE", "REASON", "EXPLAIN", "NOW"), 'a "b"')
        try:
            json.loads(fill(given, sample, _escape_for(content_type)))
        except ValueError as error:
            raise Invalid(f"{field}: this is not JSON once filled in ({error}); put placeholders inside quotes") from None
    return given


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

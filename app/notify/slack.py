"""Slack's incoming webhooks, and those who speak their form (Mattermost, Rocket.Chat). What is said stands in
`domain/message.py`."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.domain.message import Message, Outcome, Parcel, Verdict, clean
from app.errors import Invalid
from app.notify.outbound import Answer, Outbound, OutboundError, check_url, outcome_of, outcome_of_failure

HEADER_LIMIT = 150  # Slack refuses a longer header block, and more than ten fields in a section
FIELDS_LIMIT = 10
GONE_WORDS = ("no_service", "channel_is_archived", "channel_not_found", "team_disabled")


def check_settings(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Takes `url` alone. The URL is the secret; its host is kept in clear, to tell channels apart. Raises Invalid."""
    for field in given:
        if field != "url":
            raise Invalid(f"{clean(field, 60)}: a Slack channel takes url only")
    url = check_url(given.get("url"))
    return {"host": url.host}, {"url": str(given["url"])}


async def send(parcel: Parcel, outbound: Outbound) -> Outcome:
    """One attempt to post the message; any 2xx is success."""
    url = parcel.secrets().get("url", "")
    content = json.dumps(payload(parcel.message), ensure_ascii=False).encode()
    try:
        answer = await outbound.post(url, content=content, headers={"content-type": "application/json; charset=utf-8"})
    except OutboundError as error:
        return outcome_of_failure(error)
    outcome = outcome_of(answer, parcel.attempt_at, hide=(url,))
    return replace(outcome, verdict=Verdict.GONE) if _is_gone(answer) else outcome


def payload(message: Message) -> dict[str, Any]:
    """Block Kit with all words as `plain_text`, shown as written. `text` is what notifications and receivers without blocks
    show, so it says everything too; nothing in it is a mention, a link or an image but our own link."""
    lines = [message.title, message.sentence, *(f"{label}: {value}" for label, value in message.facts), _output(message)]
    link = [f"<{_escape(message.link)}|Incident>"] if message.link else []
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(message.title[:HEADER_LIMIT])},
        {"type": "section", "text": _plain(message.sentence)},
    ]
    if message.facts:
        fields = [_plain(f"{label}: {value}") for label, value in message.facts[:FIELDS_LIMIT]]
        blocks.append({"type": "section", "fields": fields})
    if message.output:
        blocks.append({"type": "section", "text": _plain(_output(message))})
    if link:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": link[0]}]})
    text = "\n".join([*(_escape(line) for line in lines if line), *link])
    return {"text": text, "mrkdwn": False, "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _escape(text: str) -> str:
    """Slack's three characters; and for Mattermost an invisible seam in @all and in ![](…), where Slack needs none."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("@", "@\u200b").replace("](", "]\u200b(")


def _is_gone(answer: Answer) -> bool:
    """Slack answers 404 for a removed webhook, and says so in a word for an archived channel."""
    return answer.status == 404 or (answer.status >= 400 and any(word in answer.text for word in GONE_WORDS))


def _output(message: Message) -> str:
    return f"Last output:\n{message.output}" if message.output else ""

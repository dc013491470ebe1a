"""Who comes to a ping URL without being the job: link previewers, mail scanners, search engines, and an Alertmanager that says
its Watchdog has stopped. They are answered 200 and kept as ignored: a link pasted into a chat is no sign of life."""

import json
import re
from functools import lru_cache

PREVIEWERS = re.compile(
    r"\b(Slackbot|Slack-ImgProxy|Discordbot|TelegramBot|WhatsApp/|facebookexternalhit|facebookcatalog|Facebot|Twitterbot"
    r"|LinkedInBot|SkypeUriPreview|MicrosoftPreview|ms-office|Microsoft Office|TeamsBot|SafeLinks?|BingPreview|bingbot|Googlebot"
    r"|Google-InspectionTool|GoogleOther|Google-PageRenderer|Google-Safety|AdsBot-Google|APIs-Google|Mediapartners-Google"
    r"|GoogleImageProxy|Google-Read-Aloud|Storebot-Google|Applebot|DuckDuckBot|YandexBot|Baiduspider|PetalBot|AhrefsBot"
    r"|SemrushBot|Mattermost-Bot|Rocket\.Chat|redditbot|Pinterestbot|Embedly|Iframely|Mastodon/|Proofpoint|Mimecast|urlscan"
    r"|VirusTotal|GPTBot|ChatGPT-User|OAI-SearchBot|ClaudeBot|PerplexityBot|CCBot|Bytespider|Amazonbot|archive\.org_bot)",
    re.IGNORECASE,
)
STATUS = re.compile(rb'"status"\s*:\s*"(firing|resolved)"')


def previews(method: str, user_agent: str) -> bool:
    """Whether this looks at a link instead of pinging: a known previewer, scanner or crawler with GET or HEAD."""
    return method in ("GET", "HEAD") and _previewer(user_agent)


@lru_cache(maxsize=4096)
def _previewer(user_agent: str) -> bool:
    return PREVIEWERS.search(user_agent) is not None


def resolves(body: bytes) -> bool:
    """Whether this is an Alertmanager's message that a Watchdog alert is over: the sign that nothing is alive any more.

    Source: Alertmanager's webhook format, version 4; the group's `status` stands before its alerts.
    """
    if body[:1] != b"{" or b'"alerts"' not in body or b"resolved" not in body:
        return False
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):  # cut off at the limit, say
        found = STATUS.search(body)
        return found is not None and found[1] == b"resolved"
    return isinstance(message.get("alerts"), list) and message.get("status") == "resolved"

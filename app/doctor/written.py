"""What is written in the settings and cannot be meant: names that do not exist, networks that are everybody's."""

import os
from collections.abc import Iterator
from difflib import get_close_matches
from ipaddress import collapse_addresses
from urllib.parse import SplitResult, urlsplit

from pydantic_settings import DotEnvSettingsSource

from app.doctor.address import is_local
from app.doctor.check import Check
from app.settings import Networks, Settings

PREFIX = "MISSEDBEAT_"
OF_THE_SDK = {f"{PREFIX}{name}" for name in ("URL", "KEY", "ENVIRONMENT", "DISABLED", "OFFLINE")}
OF_TESTS = {f"{PREFIX}FAILPOINTS"}


def check_written(settings: Settings) -> Iterator[Check]:
    """Nothing where all of it can be meant."""
    yield from _unknown_names()
    yield from _everybody(
        "MISSEDBEAT_TRUSTED_PROXIES", settings.trusted_proxies, "whoever calls may claim any address",
        "Name the proxies alone, such as 127.0.0.1/32",
    )  # fmt: skip
    yield from _everybody(
        "MISSEDBEAT_ALLOW_NETWORKS", settings.allow_networks, "whoever may make a channel reaches every machine that we reach",
        "Name the networks of your own receivers alone, such as 10.1.2.0/24",
    )  # fmt: skip
    if settings.heartbeat_url and _is_us(urlsplit(settings.heartbeat_url), settings):
        words = "MISSEDBEAT_HEARTBEAT_URL is this service itself, which notices nothing when it stops"
        yield Check("heartbeat", "wrong", words, "Set it to a check of another service, or of another Missedbeat elsewhere")


def _unknown_names() -> Iterator[Check]:
    ours = {name.upper() for name in Settings.model_fields}
    known = {"DATABASE_URL"} | {PREFIX + name for name in ours - {"DATABASE_URL"}} | OF_THE_SDK | OF_TESTS
    written = {name.upper(): "the environment" for name in os.environ}
    written |= {name.upper(): ".env" for name in DotEnvSettingsSource(Settings).env_vars}
    for name in sorted(name for name in written if name.startswith(PREFIX) and name not in known):
        near = get_close_matches(name.removeprefix(PREFIX), sorted(ours), n=1)
        real = "".join(n if n == "DATABASE_URL" else PREFIX + n for n in near)
        remedy = f"Is {real} meant?" if real else "Take it out; .env.example has all names"
        yield Check("settings", "wrong", f"{name} in {written[name]} is no setting and does nothing", remedy)


def _everybody(name: str, networks: Networks, harm: str, remedy: str) -> Iterator[Check]:
    for version, words in ((4, "0.0.0.0/0"), (6, "::/0")):
        joined = collapse_addresses([network for network in networks if network.version == version])  # type: ignore[type-var]
        if any(network.prefixlen == 0 for network in joined):
            yield Check("networks", "wrong", f"{name} covers {words}, which is everybody: {harm}", remedy)


def _is_us(called: SplitResult, settings: Settings) -> bool:
    ours = urlsplit(settings.address)
    if _end(called) == _end(ours):
        return f"{called.path}/".startswith(f"{ours.path}/")
    return is_local(called.hostname or "") and _end(called)[1] == settings.port


def _end(parts: SplitResult) -> tuple[str, int]:
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

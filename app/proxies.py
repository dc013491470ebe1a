"""Where a request came from: the peer, or behind proxies of ours what they say of it."""

import ipaddress
import re
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAPPED = "::ffff"
WITH_PORT = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}):\d+|\[([0-9a-fA-F:.]+)\](?::\d+)?")


class Proxies:
    """Those whose X-Forwarded-For is believed."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self._trusted = tuple(trusted)

    def trusts(self, address: str) -> bool:
        """Whether this is one of ours."""
        if not self._trusted:
            return False
        try:
            ip = ipaddress.ip_address(unmapped(address))
        except ValueError:
            return False
        return any(ip in network for network in self._trusted)

    def origin_of(self, peer: str, forwarded_for: bytes) -> str:
        """Who asked: the peer itself unless it is a proxy of ours, then the nearest address that is none; garbage in the header
        never fails a request."""
        peer = unmapped(peer)
        if not self.trusts(peer):
            return peer
        for part in reversed(forwarded_for.decode("latin-1").split(",")):
            with_port = WITH_PORT.fullmatch(part.strip())
            try:
                given = (with_port[1] or with_port[2]) if with_port else part.strip()
                address = str(ipaddress.ip_address(unmapped(given)))
            except ValueError:
                return peer
            if not self.trusts(address):
                return address
            peer = address
        return peer


def unmapped(address: str) -> str:
    """The IPv4 address that a socket for both kinds writes as `::ffff:198.51.100.7`; any other text as it is."""
    start, _, rest = address.rpartition(":")
    return rest if start.lower() == MAPPED and "." in rest else address

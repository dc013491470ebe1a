"""How often something may be tried: leaky buckets, by account and by address. They are kept in `store/attempts.py`."""

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """So many at once, and after that one every so many seconds. `kind` names the bucket."""

    kind: str
    at_once: int
    every: float


SIGN_IN_ACCOUNT = Limit("sign-in account", 10, 60)
SIGN_IN_ADDRESS = Limit("sign-in address", 30, 10)
INVITATIONS = Limit("invitations of a user", 20, 600)
TESTS = Limit("tests of a channel", 10, 30)  # nobody's mailbox is flooded by them
LETTER_ACCOUNT = Limit("letter account", 5, 600)  # letters to one address: nobody's mailbox is flooded from here
LETTER_ADDRESS = Limit("letter address", 20, 60)
CODE_ACCOUNT = Limit("code account", 5, 120)  # of a million codes three are right: one in five hundred days of guessing


def network_of(address: str) -> str:
    """Whom an address counts for: itself, of IPv6 its /64, which one line has whole."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address) or ip.ipv4_mapped is not None:
        return str(getattr(ip, "ipv4_mapped", None) or ip)
    return str(ipaddress.ip_network((ip, 64), strict=False))

"""Whose session it is: the client's address, also behind proxies that are trusted, and how addresses are counted."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from settings import Network

MAX_HOPS = 16
IPV6_PREFIX = 64
"""One subscriber's share: a /64 has more addresses than any limit could count."""
UNKNOWN = "unknown"


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def is_of(peer: str, networks: Sequence[Network]) -> bool:
    """Whether `peer` is an address of one of `networks`."""
    address = _parse(peer)
    return address is not None and any(address in network for network in networks)


def client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """The address that limits count: `peer`, or where that is a trusted proxy, the last hop that is not one.

    `forwarded_for` is X-Forwarded-For, whose left part is whatever the client wrote: it is read from the right, and
    only as far as the proxies are trusted. An IPv6 address stands for its /64.
    """
    address = _parse(peer)
    hops = forwarded_for.split(",")[-MAX_HOPS:] if forwarded_for else []
    while hops and address is not None and any(address in network for network in trusted):
        hop = _parse(hops.pop())
        if hop is None:
            break
        address = hop
    if address is None:
        return UNKNOWN
    if isinstance(address, IPv6Address):
        return str(ip_network((address, IPV6_PREFIX), strict=False))
    return str(address)

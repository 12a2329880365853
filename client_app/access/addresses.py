"""The address that limits count, also behind proxies that are trusted: the relay's rule (`tests/contracts/address`)."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

Network = IPv4Network | IPv6Network

MOST_HOPS = 16
IPV6_PREFIX = 64
"""One subscriber has a whole /64: more addresses than any limit could count."""
UNKNOWN = "unknown"


def address_of(request: HttpRequest) -> str:
    """The visitor's address, as limits count it."""
    peer, hops = request.META.get("REMOTE_ADDR", ""), request.headers.get("X-Forwarded-For", "")
    return client_address(peer, hops, settings.FACESWAP.trusted_proxies)


def login_address(request: HttpRequest) -> str | None:
    """`address_of` as one address, which is what django-axes stores; None: unknown."""
    address = address_of(request).partition("/")[0]
    return None if address == UNKNOWN else address


def client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """`peer`, or where that is a trusted proxy, the last hop of X-Forwarded-For that is not one.

    Its left part is whatever the visitor wrote, so it is read from the right, and only as far as proxies are trusted.
    """
    address = _read(peer)
    for hop in reversed(forwarded_for.split(",")[-MOST_HOPS:]):
        if address is None or not any(address in network for network in trusted):
            break
        nearer = _read(hop)
        if nearer is None:
            break
        address = nearer
    if isinstance(address, IPv6Address):
        return str(ip_network((address, IPV6_PREFIX), strict=False))
    return UNKNOWN if address is None else str(address)


def _read(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address

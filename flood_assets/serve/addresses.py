"""Find out which address a request comes from. Pure.

A proxy tells it in a header, and so can anybody: it is believed only of proxies that the operator has named.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Network = IPv4Network | IPv6Network

_KNOWN = 4096
_FOR = re.compile(r'for="?([^;,"\s]*)"?', re.IGNORECASE)


def client_of(trusted: Sequence[Network]) -> Callable[[Any], str]:
    """Return a function that gives the client of an ASGI scope: an IPv4 address, or the /64 of an IPv6 one.

    Behind trusted proxies it is the last address in `X-Forwarded-For` or `Forwarded` that is none of theirs. Where both
    headers are there and differ, one came from the client: then it is the proxy's own address.

    Args:
        trusted: networks of the proxies.
    """
    parsed = lru_cache(_KNOWN)(_address)
    shown = lru_cache(_KNOWN)(_shown)

    @lru_cache(_KNOWN)
    def trusts(text: str) -> bool:
        found = parsed(text)
        return found is not None and any(found in network for network in trusted)

    def client(scope: Any) -> str:
        peer = scope["client"][0] if scope.get("client") else ""
        if not trusted or not trusts(peer):
            return shown(peer)
        found = {shown(last(peer, hops)) for hops in _told(scope["headers"])}
        return found.pop() if len(found) == 1 else shown(peer)

    def last(peer: str, hops: list[str]) -> str:
        for hop in reversed(hops):
            if parsed(hop) is None:
                break
            peer = hop
            if not trusts(hop):
                break
        return peer

    return client


def _told(headers: Sequence[tuple[bytes, bytes]]) -> list[list[str]]:
    """Return the addresses that each of the two headers tells, those of the nearest proxy last."""
    told = []
    for name in (b"x-forwarded-for", b"forwarded"):
        if values := [value.decode("latin-1") for key, value in headers if key == name]:
            parts = ",".join(values)[-2000:].split(",")
            if name == b"forwarded":
                parts = [match[1] if (match := _FOR.search(part)) else "" for part in parts]
            told.append([part.strip() for part in parts])
    return told


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, which may have a port, as in 192.0.2.1:80 and [2001:db8::1]:80; None for another text."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _shown(text: str) -> str:
    found = _address(text)
    if isinstance(found, IPv6Address):
        return f"{IPv6Address(int(found) >> 64 << 64)}/64"
    return text[:64] if found is None else str(found)

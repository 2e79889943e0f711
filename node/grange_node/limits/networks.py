"""The network that somebody asks from, for sharing out what there is little of.

    network_of("203.0.113.9")    203.0.113.0/24
    network_of("2001:db8::1")    2001:db8::/48

A key costs nothing to make, and one machine has as many IPv6 addresses as it likes; what is told apart here
costs something: 256 IPv4 addresses, or an IPv6 network of 48 bits, as a site gets it. All behind one NAT, and
all customers of a /48, are one network and share what it gets. Who is behind a proxy on this machine that
sends `X-Forwarded-For` is told by that (uvicorn sees to it); other proxies are one network each.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, NewType

Network = NewType("Network", str)

IPV4_BITS: Final = 24
IPV6_BITS: Final = 48
UNKNOWN: Final = Network("")
"""The network of callers without an address, as over a pipe, or with one that cannot be read."""
REMEMBERED_ADDRESSES: Final = 4096
"""Each request asks, and most come from an address that asked before."""


@lru_cache(REMEMBERED_ADDRESSES)
def network_of(address: str) -> Network:
    """The network of an address as a server shows it; UNKNOWN if it is not an IP address."""
    parsed = parse_address(address)
    if parsed is None:
        return UNKNOWN
    bits = IPV6_BITS if isinstance(parsed, IPv6Address) else IPV4_BITS
    return Network(str(ip_network((parsed, bits), strict=False)))


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address without its zone; IPv4 where it is written as IPv6. None if it is not an IP address."""
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed

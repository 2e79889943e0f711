"""Where a farmer is, as far as it matters for what fails together.

Decides what counts as one network: a /16 of IPv4 or a /32 of IPv6, loopback excepted.
"""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network

from grange.chain import Farmer
from grange.peer.errors import FarmerUnreachable
from grange.peer.names import looked_up
from grange.peer.peer import endpoint_url

IPV4_NETWORK_BITS = 16
IPV6_NETWORK_BITS = 32


async def networks_of(farmer: Farmer) -> frozenset[str]:
    """The networks that a farmer's host name leads to; FarmerUnreachable if it leads nowhere."""
    url = endpoint_url(farmer)
    assert url.host is not None
    try:
        found = await looked_up(url.host, url.port)
    except (OSError, UnicodeError) as error:
        raise FarmerUnreachable(f"Farmer {farmer.id}: {url.host} is not known.") from error
    return networks(address for _, address, _ in found)


def networks(addresses: Iterable[str]) -> frozenset[str]:
    """The /16 of IPv4 and /32 of IPv6 that addresses are in; loopback is in none."""
    return frozenset(label for label in map(_network, addresses) if label)


def _network(text: str) -> str:
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_loopback:
        return ""
    bits = IPV4_NETWORK_BITS if address.version == 4 else IPV6_NETWORK_BITS
    return str(ip_network((address, bits), strict=False))

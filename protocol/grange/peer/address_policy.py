"""Where farmers may be: on the public internet, or anywhere if the chain is a devnet.

Farmers register what endpoint they like, and anyone who stores, reads or repairs connects to it. So a
stranger could have us knock at routers, at a cloud's metadata service, at all that trusts the inside of a
network. Who keeps farms of its own there says so with GRANGE_PRIVATE_FARMERS=1. Decides which addresses are
refused, after names were looked up; leaves connecting to aiohttp.
"""

import os
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, Self

import aiohttp

from grange.chain.confirmations import DEVNET_CHAIN_IDS

PRIVATE_VARIABLE: Final = "GRANGE_PRIVATE_FARMERS"
_PUBLIC: Final = IPv6Network("2000::/3")
"""All of IPv6 that is given out as public addresses."""
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
"""Here networks without IPv4 have the addresses of IPv4."""


class AddressRefused(aiohttp.ClientError):
    """The address is not one of the public internet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPolicy:
    """Which addresses are connected to. As a middleware of aiohttp it refuses URLs with any other; names are
    the resolver's."""

    anywhere: bool

    @classmethod
    def on(cls, chain_id: int) -> Self:
        """For farmers of a market on this chain."""
        return cls(anywhere=chain_id in DEVNET_CHAIN_IDS or os.environ.get(PRIVATE_VARIABLE) == "1")

    def allows(self, address: str) -> bool:
        """Whether we connect there; False for what is not an address."""
        if self.anywhere:
            return True
        try:
            found = _meant(ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found not in _PUBLIC:
            return False
        return found.is_global and not found.is_multicast

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Raises AddressRefused."""
        host = request.url.host or ""
        if is_address(host) and not self.allows(host):
            raise AddressRefused(refusal(host))
        return await handler(request)


def is_address(host: str) -> bool:
    """Whether a host is an address already, which no resolver sees, or what some take for one, as 127.1."""
    return ":" in host or host.replace(".", "").isdecimal()


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Where an address leads: addresses of IPv4 can be written in several ways as ones of IPv6."""
    if not isinstance(address, IPv6Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def refusal(host: str) -> str:
    """What is said of a host that is not connected to."""
    return f"{host} is in a private network; {PRIVATE_VARIABLE}=1 allows that"

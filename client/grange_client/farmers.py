"""Finding farmers: who the chain knows, who of them answers, and where they are.

Decides whom to ask (those whose offer on chain could fit, a bounded number, spread by chance), that an answer
must come from the farmer it should come from, and what counts as one network: a /16 of IPv4 or a /32 of IPv6,
loopback excepted. Leaves the choice to `select`.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network

from grange.chain import Farmer
from grange.types import Address, FarmerId
from grange_client.answers import Info
from grange_client.errors import FarmerLied, FarmerUnreachable, Told
from grange_client.peer import Peer, endpoint_url
from grange_client.select import Candidate, Record
from grange_client.unforeseen import dealing_with

MAX_PROBED = 512
"""Farmers asked for one order, however many there are."""
MAX_PROBES_AT_ONCE = 64
IPV4_NETWORK_BITS = 16
IPV6_NETWORK_BITS = 32
_UNKNOWN = Record()

OpenPeer = Callable[[Farmer], Peer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Who answered, and what was wrong with those who did not."""

    candidates: tuple[Candidate, ...]
    silent: dict[FarmerId, str] = field(default_factory=dict)


async def probe(
    farmers: Iterable[Farmer],
    open_peer: OpenPeer,
    *,
    chain_id: int,
    market: Address,
    records: Mapping[FarmerId, Record],
    tie: bytes = b"",
) -> Found:
    """Ask farmers how they are, side by side."""
    asked = sorted(farmers, key=lambda farmer: sha256(tie + farmer.id.to_bytes(4)).digest())[:MAX_PROBED]
    gate = asyncio.Semaphore(MAX_PROBES_AT_ONCE)

    async def one(farmer: Farmer) -> Candidate | str:
        async with gate:
            try:
                with dealing_with(farmer.id):
                    info = await open_peer(farmer).info()
                    _check(farmer, info, chain_id, market)
                    networks = await networks_of(farmer)
            except Told as error:
                return error.what
        record = records.get(farmer.id, _UNKNOWN)
        return Candidate(farmer=farmer, free_bytes=info.free_bytes, networks=networks, record=record)

    answers = await asyncio.gather(*(one(farmer) for farmer in asked))
    candidates = [answer for answer in answers if isinstance(answer, Candidate)]
    silent = {f.id: a for f, a in zip(asked, answers, strict=True) if isinstance(a, str)}
    return Found(candidates=tuple(sorted(candidates, key=lambda c: c.farmer.id)), silent=silent)


async def networks_of(farmer: Farmer) -> frozenset[str]:
    """The networks that a farmer's host name leads to; FarmerUnreachable if it leads nowhere."""
    url = endpoint_url(farmer)
    assert url.host is not None
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FarmerUnreachable(f"Farmer {farmer.id}: {url.host} is not known.") from error
    return networks(str(address[4][0]) for address in found)


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


def _check(farmer: Farmer, info: Info, chain_id: int, market: Address) -> None:
    if info.farmer != farmer.id:
        raise FarmerLied(f"Farmer {info.farmer} answers where farmer {farmer.id} should be.")
    if info.chain_id != chain_id or info.market.lower() != market.lower():
        raise FarmerLied(f"Farmer {farmer.id} serves another market.")


def could_fit(farmers: Sequence[Farmer], *, epochs: int) -> list[Farmer]:
    """Farmers that are worth asking, by what the chain says of them."""
    return [
        f for f in farmers if f.offer.capacity_bytes and f.stake and f.offer.longest_term_epochs >= epochs
    ]

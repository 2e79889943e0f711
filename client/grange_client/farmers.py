"""Finding farmers: who the chain knows, who of them answers, and where they are.

Decides whom to ask (those whose offer on chain could fit, a bounded number, spread by chance), how
many at once. Leaves the choice to `select`.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from grange.chain import Farmer
from grange.errors import Told
from grange.peer import Peer, dealing_with, networks_of
from grange.types import FarmerId
from grange_client.select import Candidate, Record

MAX_PROBED = 512
"""Farmers asked for one order, however many there are."""
MAX_PROBES_AT_ONCE = 64
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
                    info = await open_peer(farmer).greet()
                    networks = await networks_of(farmer)
            except Told as error:
                return error.what
        record = records.get(farmer.id, _UNKNOWN)
        return Candidate(farmer=farmer, free_bytes=info.free_bytes, networks=networks, record=record)

    answers = await asyncio.gather(*(one(farmer) for farmer in asked))
    candidates = [answer for answer in answers if isinstance(answer, Candidate)]
    silent = {f.id: a for f, a in zip(asked, answers, strict=True) if isinstance(a, str)}
    return Found(candidates=tuple(sorted(candidates, key=lambda c: c.farmer.id)), silent=silent)


def could_fit(farmers: Sequence[Farmer], *, epochs: int) -> list[Farmer]:
    """Farmers that are worth asking, by what the chain says of them."""
    return [
        f for f in farmers if f.offer.capacity_bytes and f.stake and f.offer.longest_term_epochs >= epochs
    ]

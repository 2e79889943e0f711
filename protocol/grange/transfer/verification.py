"""Ways to know that what a farmer sent is what the order has.

    SealedBlocks    with the key: the seals are opened, nothing else is asked for, and faults are looked into
                    only where one does not open
    ListedRoots     without the key: each piece is compared with its root before anything is made of it
    PlainBlocks     blocks that are not sealed one by one: anyone who reads opens what is in them, and where
                    that fails has the pieces compared with their roots

Each is given to a `Fetcher`, which asks for what is missing.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from grange.errors import AuthenticationFailed, UserError
from grange.executors import Executors
from grange.kernel import Codec, merkle_roots
from grange.layout import Geometry
from grange.seal import OrderKey
from grange.transfer.aging import Aging, Freshness
from grange.transfer.fault_attribution import find_faults, listed_roots, require_root, shown_root
from grange.transfer.sources import Source
from grange.transfer.stripes import Stripe
from grange.types import OrderId
from grange.units import HASH_BYTES

FOR_GOOD = Freshness(fresh_seconds=inf, usable_seconds=inf)
"""What a slot's root on chain vouches for does not change."""


@dataclass(slots=True, kw_only=True)
class Fetched:
    """What of a stripe is there: the bytes of slots, and the columns of blocks that were made of them."""

    stripe: Stripe
    arrived: dict[int, memoryview] = field(default_factory=dict)
    opened: dict[int, list[bytes]] = field(default_factory=dict)


class Verifier(Protocol):
    """A way to know it. What is said of a source's fault costs it the stripe, and if it lied, all of them."""

    async def read(self, source: Source, stripe: Stripe) -> bytes:
        """The stripe of a slot. Raises one of FARMER_FAULTS, or OverBudget."""

    async def take(self, fetched: Fetched, source: Source) -> Mapping[int, UserError]:
        """Look at what has arrived from a source; gives faults by slot."""

    async def complete(self, fetched: Fetched) -> Mapping[int, UserError]:
        """Of k slots that arrived make the wanted columns that are missing; gives faults by slot."""

    async def close(self) -> None:
        """End what goes on in the background."""


class SealedBlocks:
    """With the order's key."""

    def __init__(
        self,
        order: OrderId,
        geometry: Geometry,
        key: OrderKey,
        sources: Mapping[int, Source],
        executors: Executors,
    ) -> None:
        self._order = order
        self._geometry = geometry
        self._key = key
        self._sources = sources
        self._executors = executors
        self._codec = Codec(geometry.k, geometry.n)

    async def read(self, source: Source, stripe: Stripe) -> bytes:
        """The bytes as they come."""
        return await read_stripe(source, self._order, self._geometry, stripe)

    async def take(self, fetched: Fetched, source: Source) -> Mapping[int, UserError]:
        """Open a column of blocks that came as they are. If one does not open, it may be the farmer's fault,
        or ours: we may have been told wrongly which order's key opens it. Then AuthenticationFailed is
        raised."""
        stripe, slot = fetched.stripe, source.slot
        done = stripe.columns <= fetched.opened.keys()
        if slot >= self._geometry.k or (slot not in stripe.columns and done):
            return {}
        try:
            data = fetched.arrived[slot]
            fetched.opened[slot] = await self._executors.on_cpu_unless_short(
                len(data), self._open, stripe, slot, data
            )
        except AuthenticationFailed as error:
            return await self._convict(fetched, error, [slot])
        return {}

    async def complete(self, fetched: Fetched) -> Mapping[int, UserError]:
        """Compute the wanted columns that are missing, or find out who keeps them from opening. Raises
        AuthenticationFailed if nobody does."""
        missing = sorted(fetched.stripe.columns - fetched.opened.keys())
        try:
            size_bytes = sum(map(len, fetched.arrived.values()))
            fetched.opened |= await self._executors.on_cpu_unless_short(
                size_bytes, self._decode, fetched, missing
            )
        except AuthenticationFailed as error:
            suspects = [slot for slot in fetched.arrived if slot not in fetched.opened]
            return await self._convict(fetched, error, suspects)
        return {}

    async def close(self) -> None:
        """Nothing goes on in the background."""

    def blocks(self, fetched: Fetched) -> dict[int, bytes]:
        """The wanted blocks, by index."""
        stripe = fetched.stripe
        return {
            self._geometry.block_at(segment, column): fetched.opened[column][index]
            for column in stripe.columns
            for index, segment in enumerate(stripe.segments)
        }

    def _open(self, stripe: Stripe, column: int, data: memoryview) -> list[bytes]:
        size = self._geometry.piece_bytes
        return [
            self._key.open(self._geometry.block_at(segment, column), data[index * size : (index + 1) * size])
            for index, segment in enumerate(stripe.segments)
        ]

    def _decode(self, fetched: Fetched, missing: list[int]) -> dict[int, list[bytes]]:
        size = self._geometry.piece_bytes
        columns: dict[int, list[bytes]] = {column: [] for column in missing}
        for index, segment in enumerate(fetched.stripe.segments):
            part = slice(index * size, (index + 1) * size)
            blocks = self._codec.blocks({slot: data[part] for slot, data in fetched.arrived.items()})
            for column in missing:
                block = self._geometry.block_at(segment, column)
                columns[column].append(self._key.open(block, blocks[column]))
        return columns

    async def _convict(
        self, fetched: Fetched, error: AuthenticationFailed, suspects: list[int]
    ) -> dict[int, UserError]:
        """Those whose pieces of this segment are not what the chain knows."""
        size = self._geometry.piece_bytes
        segment, _ = self._geometry.place_of(error.block_index)
        start = (segment - fetched.stripe.first) * size
        sent = {slot: (self._sources[slot], fetched.arrived[slot][start : start + size]) for slot in suspects}
        faults = await find_faults(self._order, self._geometry.segments, segment, sent, self._executors)
        if not faults:
            raise error
        return faults


class ListedRoots:
    """Without a key. A farmer's list of piece roots is believed when it leads to the slot's root on chain;
    where it is not whole (`grange.reads`) each piece's own path takes its place."""

    def __init__(self, order: OrderId, geometry: Geometry, executors: Executors) -> None:
        self._order = order
        self._executors = executors
        self._geometry = geometry
        self._roots: dict[int, Aging[bytes]] = {}

    async def read(self, source: Source, stripe: Stripe) -> bytes:
        """The bytes, all of them right."""
        expected = [await self._expected(source, segment) for segment in stripe.segments]
        data = await read_stripe(source, self._order, self._geometry, stripe)
        size = self._geometry.piece_bytes
        pieces = [memoryview(data)[start : start + size] for start in range(0, len(data), size)]
        roots = await self._executors.on_cpu(merkle_roots, pieces)
        for segment, computed, right in zip(stripe.segments, roots, expected, strict=True):
            require_root(source, segment, computed, right)
        return data

    async def take(self, fetched: Fetched, source: Source) -> Mapping[int, UserError]:
        """It was looked at when it was read."""
        return {}

    async def complete(self, fetched: Fetched) -> Mapping[int, UserError]:
        """Nothing is made of it here."""
        return {}

    async def close(self) -> None:
        """End the reading of lists."""
        await asyncio.gather(*(roots.close() for roots in self._roots.values()))

    async def _expected(self, source: Source, segment: int) -> bytes:
        if source.slot not in self._roots:
            self._roots[source.slot] = Aging(lambda: self._list(source), FOR_GOOD)
        roots = await self._roots[source.slot].get()
        if roots:
            return roots[segment * HASH_BYTES : (segment + 1) * HASH_BYTES]
        assert source.open_peer is not None
        return await shown_root(source.open_peer(), self._order, source, segment, self._geometry.segments)

    async def _list(self, source: Source) -> bytes:
        assert source.open_peer is not None
        return await listed_roots(
            source.open_peer(), self._order, source, self._geometry.segments, self._executors
        )


class PlainBlocks:
    """Blocks as they are, of an order whose content is sealed in itself.

    What comes is not looked at, unless it is to be `proven`: then stripes must be of whole pieces, and each
    piece is compared with its root, which its path has to lead from to the slot's on chain.
    """

    def __init__(
        self, order: OrderId, geometry: Geometry, executors: Executors, *, proven: bool = False
    ) -> None:
        self._order = order
        self._geometry = geometry
        self._executors = executors
        self._proven = proven
        self._codec = Codec(geometry.k, geometry.n)

    async def read(self, source: Source, stripe: Stripe) -> bytes:
        """The bytes; right if they are to be proven."""
        data = await read_stripe(source, self._order, self._geometry, stripe)
        if self._proven:
            assert stripe.part is None
            await self._prove(source, stripe, data)
        return data

    async def take(self, fetched: Fetched, source: Source) -> Mapping[int, UserError]:
        """A column that came as it is."""
        stripe, slot = fetched.stripe, source.slot
        if slot in stripe.columns:
            fetched.opened[slot] = self._pieces(stripe, fetched.arrived[slot])
        return {}

    async def complete(self, fetched: Fetched) -> Mapping[int, UserError]:
        """Compute the wanted columns that are missing."""
        size_bytes = sum(map(len, fetched.arrived.values()))
        fetched.opened |= await self._executors.on_cpu_unless_short(size_bytes, self._decode, fetched)
        return {}

    async def close(self) -> None:
        """Nothing goes on in the background."""

    def _decode(self, fetched: Fetched) -> dict[int, list[bytes]]:
        missing = sorted(fetched.stripe.columns - fetched.opened.keys())
        columns: dict[int, list[bytes]] = {column: [] for column in missing}
        pieces = {slot: self._pieces(fetched.stripe, data) for slot, data in fetched.arrived.items()}
        for index in range(len(fetched.stripe.segments)):
            blocks = self._codec.blocks({slot: of_slot[index] for slot, of_slot in pieces.items()})
            for column in missing:
                columns[column].append(bytes(blocks[column]))
        return columns

    def _pieces(self, stripe: Stripe, data: memoryview) -> list[bytes]:
        size = len(data) // len(stripe.segments)
        return [bytes(data[start : start + size]) for start in range(0, len(data), size)]

    async def _prove(self, source: Source, stripe: Stripe, data: bytes) -> None:
        size = self._geometry.piece_bytes
        pieces = [memoryview(data)[start : start + size] for start in range(0, len(data), size)]
        assert source.open_peer is not None
        for segment, computed in zip(
            stripe.segments, await self._executors.on_cpu(merkle_roots, pieces), strict=True
        ):
            expected = await shown_root(
                source.open_peer(), self._order, source, segment, self._geometry.segments
            )
            require_root(source, segment, computed, expected)


async def read_stripe(source: Source, order: OrderId, geometry: Geometry, stripe: Stripe) -> bytes:
    """The bytes of a stripe of a slot, unchecked. Raises one of FARMER_FAULTS, or OverBudget."""
    assert source.open_peer is not None
    return await source.open_peer().read(order, source.slot, *stripe.range_in(geometry))

"""Who has proven lately, out of events: how far back, and how much is read."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from grange.chain import Event, Head, some_proven
from grange.chain.events import EventFilter
from grange.chain.proofs import MAX_PROOF_BLOCKS, MAX_ROUNDS, STRETCHES
from grange.types import Epoch

EPOCH_BLOCKS = 100


class _Parameters:
    epoch_blocks = EPOCH_BLOCKS


class FakeChain:
    """Farmer n has proven every epoch in its first block."""

    parameters = _Parameters()

    def __init__(self, block: int, farmers: int) -> None:
        self.block = block
        self.count = farmers
        self.asked: list[tuple[int, int, int]] = []

    async def head(self) -> Head:
        return Head(number=self.block, hash=bytes(32), timestamp=0, epoch=Epoch(self.block // EPOCH_BLOCKS))

    async def logs(
        self, first: int, last: int, events: Sequence[str], args: Mapping[str, Sequence[int]]
    ) -> list[Event]:
        assert events == ["Proven"]
        wanted = args.get("farmer", range(1, self.count + 1))
        self.asked.append((first, last, len(wanted)))
        return [
            Event(
                name="Proven",
                args={"farmer": farmer, "epoch": block // EPOCH_BLOCKS, "amount": 1},
                block=block,
                block_hash=bytes(32),
                tx_hash=bytes(32),
                log_index=farmer,
            )
            for block in range(-(-first // EPOCH_BLOCKS) * EPOCH_BLOCKS, last + 1, EPOCH_BLOCKS)
            for farmer in wanted
        ]

    async def logs_of_ranges(
        self, ranges: Sequence[tuple[int, int]], chosen: EventFilter
    ) -> list[list[Event]]:
        assert chosen.events == ("Proven",)
        return [await self.logs(first, last, ["Proven"], {}) for first, last in ranges]


async def test_no_more_than_so_many_blocks_are_read() -> None:
    chain: Any = FakeChain(block=10 * MAX_PROOF_BLOCKS, farmers=0)
    await some_proven(chain, epochs=10**6, at_most=1, farmers=1, head=await chain.head(), chance=Random(1))
    first = min(first for first, _, _ in chain.asked)
    assert chain.block - first + 1 == MAX_PROOF_BLOCKS


async def test_some_of_very_many_are_found_without_reading_all() -> None:
    """As many as were asked for, out of no more stretches of blocks than a few requests hold."""
    chain: Any = FakeChain(block=100_050, farmers=20_000)
    found = await some_proven(
        chain, epochs=4, at_most=800, farmers=20_000, head=await chain.head(), chance=Random(1)
    )
    assert len(found) == 800
    assert len(chain.asked) <= MAX_ROUNDS * STRETCHES
    assert all(99_600 <= first <= last <= 100_050 for first, last, _ in chain.asked)


async def test_where_nobody_proves_the_search_ends() -> None:
    chain: Any = FakeChain(block=100_050, farmers=0)
    assert (
        await some_proven(
            chain, epochs=4, at_most=800, farmers=20_000, head=await chain.head(), chance=Random(1)
        )
        == set()
    )
    assert chain.asked[-1] == (99_600, 100_050, 0)
    assert len(chain.asked) <= MAX_ROUNDS * STRETCHES + 1

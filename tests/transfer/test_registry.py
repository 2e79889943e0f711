"""Who is read of a market: everybody, or of very many a sample."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from market_rules import PARAMETERS
from test_directory import farmer

from grange.chain import Event, Farmer, Head
from grange.chain.events import EventFilter
from grange.transfer.registry import MAX_READ, NEWCOMERS_READ, SAMPLE, Registered, read_registered
from grange.types import Epoch, FarmerId

HEAD = Head(number=1_000 * PARAMETERS.epoch_blocks, hash=bytes(32), timestamp=0, epoch=Epoch(1_000))


class FakeChain:
    """Farmers with the highest ids prove, all in the first block of each epoch; what is asked is counted."""

    parameters = PARAMETERS

    def __init__(self, count: int, proving: int = 0) -> None:
        self.count = count
        self.proving = range(count - proving + 1, count + 1)
        self.read = 0
        self.events = 0

    async def head(self) -> Head:
        return HEAD

    async def farmers_unless_more(self, limit: int) -> tuple[list[Farmer], int]:
        shown = [] if self.count > limit else [farmer(number) for number in range(1, self.count + 1)]
        self.read += len(shown)
        return shown, self.count

    async def farmers_by_id(self, farmers: Sequence[FarmerId]) -> list[Farmer]:
        self.read += len(farmers)
        return [farmer(number) for number in farmers]

    async def logs(
        self, first: int, last: int, events: Sequence[str], args: Mapping[str, Sequence[int]]
    ) -> list[Event]:
        proved = [one for one in args.get("farmer", self.proving) if one in self.proving]
        blocks = PARAMETERS.epoch_blocks
        found = [
            Event(
                name="Proven",
                args={"farmer": one, "epoch": block // blocks, "amount": 1},
                block=block,
                block_hash=bytes(32),
                tx_hash=bytes(32),
                log_index=one,
            )
            for block in range(-(-first // blocks) * blocks, last + 1, blocks)
            for one in proved
        ]
        self.events += len(found)
        return found

    async def logs_of_ranges(
        self, ranges: Sequence[tuple[int, int]], chosen: EventFilter
    ) -> list[list[Event]]:
        return [await self.logs(first, last, chosen.events, chosen.args) for first, last in ranges]


async def read(chain: Any, known: Sequence[int] = ()) -> Registered:
    return await read_registered(chain, [FarmerId(one) for one in known], chance=Random(1))


async def test_up_to_a_thousand_are_all_read() -> None:
    chain = FakeChain(MAX_READ, proving=3)
    found = await read(chain)
    assert (len(found.farmers), found.left_out, found.count) == (MAX_READ, 0, MAX_READ)
    assert found.proven.keys() == {998, 999, 1_000}


async def test_of_more_a_sample_is_read_the_known_ones_first() -> None:
    """And some of those that proved lately, whose proofs are counted; the rest is left to chance."""
    chain = FakeChain(50_000, proving=5_000)
    found = await read(chain, known=[17, 23, 60_000])
    assert (len(found.farmers), found.count, chain.read) == (SAMPLE, 50_000, SAMPLE)
    assert {17, 23} <= found.farmers.keys()
    proving = found.farmers.keys() & {*chain.proving}
    assert len(proving) >= SAMPLE - NEWCOMERS_READ - 2
    assert len(found.farmers.keys() - proving) > NEWCOMERS_READ / 2
    assert found.proven.keys() == proving
    assert all(len(epochs) == 17 for epochs in found.proven.values())


async def test_those_that_we_know_leave_room_for_others() -> None:
    found = await read(FakeChain(50_000, proving=5_000), known=range(1, 10_001))
    assert len(found.farmers.keys() & {*range(1, 10_001)}) < SAMPLE / 2


async def test_where_nobody_proves_all_are_read_by_chance() -> None:
    found = await read(FakeChain(50_000))
    assert len(found.farmers) == SAMPLE
    assert not found.proven

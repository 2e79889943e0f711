"""Who is read of a market: everybody, or of very many a sample."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from market_rules import PARAMETERS
from test_directory import Directory, farmer

from grange.chain import Event, Farmer, Head
from grange.chain.events import EventFilter
from grange.chain.registry import MAX_READ, NEWCOMERS_READ, SAMPLE, Registered, read_registered
from grange.transfer import directory as directory_module
from grange.transfer.selection import Reputation, Requirements, choose
from grange.types import Epoch, FarmerId
from grange.units import GIB, TOKEN

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

    def shown(self, number: int) -> Farmer:
        proving = number in self.proving
        return replace(farmer(number), epochs_proven=17 * proving, committed_rate=TOKEN * proving)

    async def farmers_unless_more(self, limit: int) -> tuple[list[Farmer], int]:
        shown = [] if self.count > limit else [self.shown(number) for number in range(1, self.count + 1)]
        self.read += len(shown)
        return shown, self.count

    async def farmers_by_id(self, farmers: Sequence[FarmerId]) -> list[Farmer]:
        self.read += len(farmers)
        return [self.shown(number) for number in farmers]

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
    assert found.proving == {998, 999, 1_000}
    assert chain.events == 0  # what they have proven is in what the market shows of them


async def test_of_more_a_sample_is_read_the_known_ones_first() -> None:
    """And some of those that proved lately, whose proofs are counted; the rest is left to chance."""
    chain = FakeChain(50_000, proving=5_000)
    found = await read(chain, known=[17, 23, 60_000])
    assert (len(found.farmers), found.count, chain.read) == (SAMPLE, 50_000, SAMPLE)
    assert {17, 23} <= found.farmers.keys()
    proving = found.farmers.keys() & {*chain.proving}
    assert len(proving) >= SAMPLE - NEWCOMERS_READ - 2
    assert len(found.farmers.keys() - proving) > NEWCOMERS_READ / 2
    assert found.proving == proving


async def test_those_that_we_know_leave_room_for_others() -> None:
    found = await read(FakeChain(50_000, proving=5_000), known=range(1, 10_001))
    assert len(found.farmers.keys() & {*range(1, 10_001)}) < SAMPLE / 2


async def test_where_nobody_proves_all_are_read_by_chance() -> None:
    found = await read(FakeChain(50_000))
    assert len(found.farmers) == SAMPLE
    assert not found.proving


LONG_EPOCHS = replace(PARAMETERS, epoch_blocks=10_000)
HONEST = 60
K, N = 10, 30


class FloodedMarket:
    """Sixty honest farmers that prove, and any number of a stranger's names around them.

    Names that prove are of one owner, which then is what bounds them; the others of as many as they are.
    """

    parameters = LONG_EPOCHS

    def __init__(self, names: int, *, stake: int, pay: int, young: bool = False) -> None:
        """`pay` is what a proof of a name pays, 0 if none proves. In a `young` market nobody does."""
        self.count = HONEST + names
        gap = self.count // HONEST
        self.honest = {FarmerId(1 + number * gap) for number in range(HONEST)}
        self.stake, self.pay = stake, pay
        self.young = young
        self.proving = [*range(1, self.count + 1)] if pay else [] if young else sorted(self.honest)
        self.proofs: dict[int, list[int]] = {}
        for one in self.proving:
            self.proofs.setdefault(one * 7_919 % LONG_EPOCHS.epoch_blocks, []).append(one)

    def shown(self, number: int) -> Farmer:
        if number in self.honest:
            proven = not self.young
            return replace(farmer(number), epochs_proven=17 * proven, committed_rate=TOKEN * proven)
        boss = farmer(self.count + 1 if self.pay else number).owner
        offer = replace(farmer(number).offer, price_per_gib_epoch=TOKEN // 2)
        proven = 17 if self.pay else 0
        return replace(
            farmer(number),
            owner=boss,
            stake=self.stake,
            offer=offer,
            epochs_proven=proven,
            committed_rate=self.pay,
        )

    async def registered(self, known: Collection[FarmerId] = ()) -> Registered:
        chain: Any = self
        return await read_registered(chain, known, chance=Random(1))

    async def head(self) -> Head:
        block = 1_000 * LONG_EPOCHS.epoch_blocks - 1
        return Head(number=block, hash=bytes(32), timestamp=0, epoch=Epoch(999))

    async def farmers_unless_more(self, limit: int) -> tuple[list[Farmer], int]:
        if self.count > limit:
            return [], self.count
        return [self.shown(number) for number in range(1, self.count + 1)], self.count

    async def farmers_by_id(self, farmers: Sequence[FarmerId]) -> list[Farmer]:
        return [self.shown(number) for number in farmers]

    async def logs(
        self, first: int, last: int, events: Sequence[str], args: Mapping[str, Sequence[int]]
    ) -> list[Event]:
        wanted = {*args["farmer"]} if "farmer" in args else None
        found = []
        for block in range(first, last + 1):
            epoch, offset = divmod(block, LONG_EPOCHS.epoch_blocks)
            for one in self.proofs.get(offset, ()):
                if wanted is None or one in wanted:
                    pay = TOKEN if one in self.honest else self.pay
                    found.append(
                        Event(
                            name="Proven",
                            args={"farmer": one, "epoch": epoch, "amount": pay},
                            block=block,
                            block_hash=bytes(32),
                            tx_hash=bytes(32),
                            log_index=one,
                        )
                    )
        return found

    async def logs_of_ranges(
        self, ranges: Sequence[tuple[int, int]], chosen: EventFilter
    ) -> list[list[Event]]:
        return [await self.logs(first, last, chosen.events, chosen.args) for first, last in ranges]


@pytest.mark.parametrize("remembers", [False, True])
@pytest.mark.parametrize(
    ("names", "stake", "pay"),
    [
        pytest.param(2_000, 1, 0, id="2,000 names that can take nothing"),
        pytest.param(100_000, 1, 0, id="100,000 names that can take nothing"),
        pytest.param(100_000, 500 * TOKEN, 0, id="100,000 names with stake enough"),
        pytest.param(2_000, 9 * TOKEN, 1, id="2,000 names that prove next to nothing"),
    ],
)
async def test_a_flood_of_names_takes_no_more_than_the_share_of_strangers(
    names: int, stake: int, pay: int, remembers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every honest farmer is asked, the order is full, and the market does not count as young."""

    async def networks_of(one: Farmer) -> frozenset[str]:
        return frozenset({f"net {one.id}"})

    monkeypatch.setattr(directory_module, "networks_of", networks_of)
    market: Any = FloodedMarket(names, stake=stake, pay=pay)
    directory = Directory(market)
    memory = {one: Reputation(successes=1) for one in sorted(market.honest)[:5]} if remembers else {}
    needed = Requirements(
        k=K, n=N, slot_bytes=GIB, start=Epoch(1_000), end=Epoch(1_030), collateral_epochs=16
    )
    found = await directory.find_candidates(needed, reputations=memory)
    await directory.close()
    assert market.honest <= {one.farmer.id for one in found.candidates}
    choice = choose(found.candidates, found.priced(needed))
    taken = {one.farmer.id for one in choice.ranked[:N]}
    assert len(taken) == N
    assert not choice.young
    assert len(taken - market.honest) <= (N - K) // 2


MONEY = 16_000 * TOKEN
"""What the stranger of the next test has: half of what sixty honest farmers have at stake."""


@pytest.mark.parametrize(
    ("min_stake", "hidden"),
    [
        pytest.param(8 * TOKEN, True, id="a slot's collateral is the least stake"),
        pytest.param(500 * TOKEN, False, id="the least stake is what an honest farmer has"),
    ],
)
async def test_a_flood_of_names_costs_its_owner_the_least_stake_for_each(
    min_stake: int, hidden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a market where nobody has proven yet names at the price floor take what they are drawn for, and the
    quote says that it is young. To hide the honest farmers takes thousands, at the market's least stake each:
    then a third of the stake has more than an order can lose, else it has not."""

    async def networks_of(one: Farmer) -> frozenset[str]:
        return frozenset({f"net {one.id}"})

    monkeypatch.setattr(directory_module, "networks_of", networks_of)
    names = MONEY // min_stake
    market: Any = FloodedMarket(names, stake=min_stake, pay=0, young=True)
    directory = Directory(market)
    needed = Requirements(
        k=K, n=N, slot_bytes=GIB, start=Epoch(1_000), end=Epoch(1_030), collateral_epochs=16
    )
    found = await directory.find_candidates(needed)
    await directory.close()
    asked = {one.farmer.id for one in found.candidates}
    choice = choose(found.candidates, found.priced(needed))
    assert choice.young
    taken = len({one.farmer.id for one in choice.ranked[:N]} - market.honest)
    assert (taken > N - K) is hidden
    assert taken < N
    assert (names > MAX_READ) is hidden
    assert (len(market.honest & asked) < HONEST) is hidden

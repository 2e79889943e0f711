"""The farmers of a market: what is asked of the chain and of them, and how often."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from market_rules import PARAMETERS

from grange.chain import Farmer, TransactionReverted
from grange.chain.registry import Registered
from grange.messages import NOBODY
from grange.peer import FarmerUnreachable
from grange.transfer import directory as directory_module
from grange.transfer.aging import Freshness
from grange.transfer.directory import FarmerDirectory
from grange.transfer.retry import RetryPolicy
from grange.transfer.selection import Reputation, Requirements
from grange.types import NO_LIMIT, Epoch, FarmerId, Offer, address_from
from grange.units import GIB, TOKEN
from grange.wire.bodies import Info

NEEDED = Requirements(k=2, n=4, slot_bytes=GIB, start=Epoch(11), end=Epoch(20), collateral_epochs=16)


def farmer(number: int) -> Farmer:
    return Farmer(
        id=FarmerId(number),
        owner=address_from(bytes(16) + number.to_bytes(4)),
        operator=address_from(bytes(16) + number.to_bytes(4)),
        stake=500 * TOKEN,
        committed_rate=0,
        settled_epoch=Epoch(0),
        misses=0,
        strikes=0,
        epochs_proven=0,
        registered_block=0,
        ceiling=NO_LIMIT,
        loss_limit=NO_LIMIT,
        lapsed=False,
        endpoint=f"http://farm{number}",
        offer=Offer(
            price_per_gib_epoch=TOKEN,
            egress_price_per_gib=0,
            capacity_bytes=1 << 40,
            longest_term_epochs=400,
        ),
    )


class Market:
    """A chain with some farmers, which counts what it is asked."""

    parameters = PARAMETERS

    def __init__(self, count: int) -> None:
        self.known = {FarmerId(number): farmer(number) for number in range(1, count + 1)}
        self.asked: list[str] = []
        self.sample: set[FarmerId] | None = None

    async def registered(self, known: Collection[FarmerId] = ()) -> Registered:
        self.asked.append("everybody")
        shown = {one: self.known[one] for one in self.known if self.sample is None or one in self.sample}
        return Registered(
            epoch=Epoch(10),
            farmers=shown,
            left_out=len(self.known) - len(shown),
        )

    async def farmers_by_id(self, farmers: Sequence[FarmerId]) -> list[Farmer]:
        self.asked.append(f"by id {sorted(farmers)}")
        if not self.known.keys() >= {*farmers}:
            raise TransactionReverted("farmer", "UnknownFarmer", {})
        return [self.known[farmer] for farmer in farmers]


class Directory(FarmerDirectory):
    """Farmers that answer without sockets, in a time of our own."""

    def __init__(self, market: Market) -> None:
        self.now = 0.0
        self.greeted: list[FarmerId] = []
        self.gone: set[FarmerId] = set()
        nothing: Any = None
        super().__init__(
            market,
            nothing,
            nothing,
            nothing,
            policy=RetryPolicy(),
            freshness=Freshness(fresh_seconds=10, usable_seconds=20),
            clock=lambda: self.now,
        )

    def peer(self, farmer: Farmer, payments: object = None) -> Any:
        async def greet() -> Info:
            self.greeted.append(farmer.id)
            if farmer.id in self.gone:
                raise FarmerUnreachable(f"Farmer {farmer.id} is away.")
            return Info(farmer=farmer.id, chain_id=1, market=NOBODY, free_bytes=5 * GIB)

        return SimpleNamespace(greet=greet)


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    async def networks_of(farmer: Farmer) -> frozenset[str]:
        return frozenset({f"net {farmer.id}"})

    monkeypatch.setattr(directory_module, "networks_of", networks_of)


async def test_a_second_order_asks_neither_the_chain_nor_the_farmers_again() -> None:
    market = Market(8)
    directory = Directory(market)
    first = await directory.find_candidates(NEEDED)
    assert {one.farmer.id for one in first.candidates} == set(range(1, 9))
    asked, greeted = [*market.asked], [*directory.greeted]
    assert asked == ["everybody"]
    second = await directory.find_candidates(replace(NEEDED, shuffle_seed=b"another"))
    assert second.candidates == first.candidates
    assert (market.asked, directory.greeted) == (asked, greeted)
    await directory.close()


async def test_who_does_not_answer_is_left_alone_for_a_while_and_then_asked_again() -> None:
    directory = Directory(Market(3))
    directory.gone = {FarmerId(2)}
    for _ in range(2):
        found = await directory.probe([farmer(1), farmer(2)])
        assert found.silent == {2: "Farmer 2 is away."}
        assert [(one.free_bytes, one.networks) for one in found.candidates] == [(5 * GIB, {"net 1"})]
    assert directory.greeted.count(FarmerId(2)) == 1
    directory.now, directory.gone = 25.0, set()
    assert not (await directory.probe([farmer(1), farmer(2)])).silent


async def test_another_endpoint_is_asked_at_once() -> None:
    directory = Directory(Market(1))
    await directory.probe([farmer(1)])
    await directory.probe([replace(farmer(1), endpoint="http://elsewhere")])
    assert directory.greeted == [1, 1]


async def test_some_farmers_are_read_without_the_others() -> None:
    market = Market(8)
    directory = Directory(market)
    assert (await directory.by_id([FarmerId(3), FarmerId(2)])).keys() == {2, 3}
    assert (await directory.by_id([FarmerId(3), FarmerId(4)])).keys() == {3, 4}
    assert market.asked == ["by id [2, 3]", "by id [4]"]
    directory.now = 10.0
    market.known[FarmerId(3)] = replace(farmer(3), stake=1)
    assert (await directory.by_id([FarmerId(3)]))[FarmerId(3)].stake == 1


async def test_some_farmers_are_not_read_again_while_everybody_is_known() -> None:
    market = Market(8)
    directory = Directory(market)
    await directory.registered()
    assert (await directory.by_id([FarmerId(3), FarmerId(2)])).keys() == {2, 3}
    directory.now = 10.0
    await directory.by_id([FarmerId(3)])
    assert market.asked == ["everybody", "by id [3]"]
    await directory.close()


async def test_a_farmer_that_the_endpoint_does_not_know_keeps_no_other_from_being_found() -> None:
    directory = Directory(Market(3))
    assert (await directory.by_id([FarmerId(3), FarmerId(7)])).keys() == {3}


async def test_after_a_failure_everything_is_asked_again() -> None:
    market = Market(4)
    directory = Directory(market)
    await directory.find_candidates(NEEDED)
    directory.forget()
    await directory.find_candidates(NEEDED)
    assert market.asked.count("everybody") == 2
    assert sorted(directory.greeted) == [1, 1, 2, 2, 3, 3, 4, 4]


async def test_farmers_of_the_order_and_those_excluded_are_not_asked() -> None:
    """But those beside the slot are known, with their networks and terms, for they limit who may join."""
    directory = Directory(Market(6))
    ours = {FarmerId(1): Reputation(kept=((Epoch(7), Epoch(30)),))}
    found = await directory.find_candidates(
        NEEDED, reputations=ours, beside=[FarmerId(1)], excluded=[FarmerId(2)]
    )
    assert {one.farmer.id for one in found.candidates} == {3, 4, 5, 6}
    [beside] = found.beside
    assert (beside.farmer.id, beside.networks, beside.kept_epochs) == (1, {"net 1"}, 3)
    assert 1 not in directory.greeted
    assert 2 not in directory.greeted


async def test_a_farmer_beside_that_the_endpoint_does_not_know_keeps_no_other_from_being_found() -> None:
    """It registered a moment ago, and the endpoint is behind."""
    directory = Directory(Market(4))
    found = await directory.find_candidates(NEEDED, beside=[FarmerId(1), FarmerId(9)])
    assert {one.farmer.id for one in found.candidates} == {2, 3, 4}
    assert [one.farmer.id for one in found.beside] == [1]


async def test_who_keeps_a_slot_is_asked_whatever_the_chain_says_of_it() -> None:
    market = Market(4)
    market.known[FarmerId(1)] = replace(farmer(1), lapsed=True)
    directory = Directory(market)
    found = await directory.find_candidates(NEEDED, keepers=[FarmerId(1)])
    assert {one.farmer.id for one in found.candidates} == {1, 2, 3, 4}
    assert found.unfit == {1: "has lapsed for its misses"}


async def test_of_a_large_market_keepers_are_read_wherever_they_are() -> None:
    """Those that an extension asks, and those that have slots beside it."""
    market = Market(50)
    market.sample = {FarmerId(number) for number in range(1, 21)}
    directory = Directory(market)
    found = await directory.find_candidates(NEEDED, keepers=[FarmerId(30)], beside=[FarmerId(40)])
    assert {one.farmer.id for one in found.candidates} == {*market.sample, 30}
    assert [one.farmer.id for one in found.beside] == [40]
    assert found.registered == 50
    await directory.close()


async def test_of_a_large_market_one_that_the_endpoint_does_not_know_keeps_nobody_from_being_read() -> None:
    market = Market(50)
    market.sample = {FarmerId(1)}
    directory = Directory(market)
    assert (await directory.by_id([FarmerId(30), FarmerId(51)])).keys() == {30}
    await directory.close()


async def test_what_can_not_be_used_any_more_is_not_remembered_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Anyone who runs for years meets very many farmers, and each may change its endpoint."""
    monkeypatch.setattr(directory_module, "MAX_ANSWERS", 3)
    directory = Directory(Market(9))
    for number in range(1, 10):
        directory.now += 30.0
        await directory.probe([farmer(number)])
        await directory.by_id([FarmerId(number)])
        assert len(directory._answers) <= 3
        assert len(directory._some) == 1
    await directory.close()

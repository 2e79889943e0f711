"""Who is asked to take a slot that is handed over, out of all farmers of the market."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from repair_farmers import FakeDirectory
from repair_ground import Ground, nothing
from repair_market import FakeMarket, order_as_read

from grange.allow_lists import AllowLists, Listed
from grange.chain.orders import OrderIncomplete, OrderState
from grange.types import Epoch, FarmerId, OrderId
from grange.units import rate_rounded_up
from grange_node.acceptance.terms import HIGHEST_HAND_OVER_FACTOR
from grange_node.errors import HandOverStopped
from grange_node.hand_over.taker_candidates import rank_takers
from grange_node.hand_over.takers import _LiveTakerDirectory

OTHERS = {6, 7, 8, 9}


class Market:
    """Farmers 1 to 5 have the slots of an order, and 1 hands its slot over."""

    def __init__(self) -> None:
        self.ground = Ground()
        self.ground.place()
        wallet = self.ground.keeps[FarmerId(1)].wallet
        self.market = FakeMarket(self.ground, wallet, nothing)
        self.directory = FakeDirectory(self.market, self.ground, wallet, nothing)

    async def find(
        self, *, wanted: Sequence[int] = (), but: Sequence[int] = (), rate_factor: float | None = None
    ) -> FarmerId | None:
        epoch = Epoch(self.ground.epoch)
        self.directory.learn(await self.market.farmers_of(epoch))
        takers = _LiveTakerDirectory(directory=self.directory, market=self.market, epoch=epoch)
        order_state = await order_as_read(self.market)
        if rate_factor is not None:
            price = self.ground.farmer(FarmerId(6)).offer.price_per_gib_epoch
            asked = rate_rounded_up(price, order_state.geometry.slot_bytes)
            order_state = paying(order_state, int(rate_factor * asked))
        found = await takers.find(
            order_state, 0, wanted=[FarmerId(one) for one in wanted], but=[FarmerId(one) for one in but]
        )
        if found is not None:
            assert takers.farmer(found).id == found
        return found


def paying(order_state: OrderState, rate: int) -> OrderState:
    first = replace(order_state.slots[0], rate=rate)
    return replace(order_state, slots=(first, *order_state.slots[1:]))


@pytest.fixture
def market() -> Market:
    return Market()


async def test_any_farmer_without_a_slot_of_the_order_may_take_it(market: Market) -> None:
    assert await market.find(rate_factor=1) in OTHERS


async def test_of_those_that_are_named_and_of_no_others(market: Market) -> None:
    assert await market.find(wanted=[8], rate_factor=1) == 8
    assert await market.find(wanted=[2], rate_factor=1) is None, "it has a slot of the order"
    assert await market.find(wanted=[1], rate_factor=1) is None, "it is the giver"
    assert await market.find(wanted=[8], but=[8], rate_factor=1) is None


async def test_one_that_is_gone_lapsed_or_has_declined_is_passed_over(market: Market) -> None:
    market.ground.keeps[FarmerId(6)].gone = True
    market.ground.lapse(7)
    assert await market.find(but=[8], rate_factor=1) == 9


async def test_a_preview_names_all_that_would_take_a_slot_and_leaves_out_orders_that_are_not_shown(
    market: Market,
) -> None:
    """The first is the one that the farm would bring it to; no farmer gets anything but a look at it."""
    first = await market.find(rate_factor=1)
    epoch, order_state = Epoch(market.ground.epoch), await order_as_read(market.market)
    price = market.ground.farmer(FarmerId(6)).offer.price_per_gib_epoch
    order_state = paying(order_state, rate_rounded_up(price, order_state.geometry.slot_bytes))
    takers = _LiveTakerDirectory(directory=market.directory, market=market.market, epoch=epoch)
    hidden = OrderId(b"\x5a" * 32)

    async def order_of(order: OrderId) -> OrderState | None:
        if order == hidden:
            raise OrderIncomplete("its events are not shown")
        return order_state

    found = await rank_takers(order_of, takers, [(order_state.id, 0), (hidden, 1)], [])
    assert found.keys() == {(order_state.id, 0)}
    assert found[order_state.id, 0][0] == first
    assert set(found[order_state.id, 0]) == OTHERS
    only = await rank_takers(order_of, takers, [(order_state.id, 0)], [FarmerId(8)])
    assert only[order_state.id, 0] == (8,)
    assert not any(market.ground.keeps[FarmerId(one)].sent for one in OTHERS)


async def test_a_slot_that_pays_too_little_or_far_too_much_is_for_nobody(market: Market) -> None:
    assert await market.find(rate_factor=0.5) is None
    assert await market.find(rate_factor=HIGHEST_HAND_OVER_FACTOR) in OTHERS
    assert await market.find(rate_factor=HIGHEST_HAND_OVER_FACTOR + 1) is None


async def test_a_farmer_that_the_endpoint_hides_is_not_dealt_with(market: Market) -> None:
    await market.find(rate_factor=1)
    takers = _LiveTakerDirectory(directory=market.directory, market=market.market, epoch=Epoch(1))
    with pytest.raises(HandOverStopped, match="does not show farmer 99"):
        takers.farmer(FarmerId(99))


async def test_lists_say_to_whom_slots_are_handed_over(market: Market) -> None:
    """By id or operator; also of those that are named."""
    market.directory.lists = AllowLists(allowed=(Listed(who=FarmerId(9)),))
    assert await market.find(rate_factor=1) == 9
    assert await market.find(wanted=[8], rate_factor=1) is None
    market.directory.lists = AllowLists(denied=tuple(Listed(who=FarmerId(one)) for one in (6, 8, 9)))
    assert await market.find(rate_factor=1) == 7

"""What stands in front of slots that are to go is moved to the end of its book by the farm itself."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from giving_support import Giving, giving, lets
from node_support import FARMER, pass_blocks

from grange.chain import TransactionReverted
from grange.types import Epoch
from grange_node.hand_over.giver import FIRST_REST_SECONDS

FORBIDDEN = 0
SLOTS = 34
"""Of so many equal ones two must stay alive, where the first does."""


async def give_up(given: Giving, indices: Sequence[int]) -> list[int]:
    """As the farm's own repair does with slots that nobody can rebuild; gives those that are left."""
    node = given.farm.node
    await node.follower.refresh()
    left = await node.self_repairer._declarer.give_up([given.slots[index].key for index in indices])
    await node.follower.refresh()
    return [index for index in indices if given.slots[index].key in left]


async def test_all_but_the_first_are_handed_over_where_its_renter_forbids_that(tmp_path: Path) -> None:
    async with giving(tmp_path, SLOTS) as given:
        given.ask(*given.slots)
        lets(given.market, given.slots[0], FORBIDDEN)
        for _ in range(8):
            await given.tick()
            given.farm.clock.now += FIRST_REST_SECONDS
        takers = [taker for takers in given.market.hand_overs for taker in takers]
        assert sorted(takers) == [FARMER] + [8] * (SLOTS - 1)
        assert given.farm.node.ledger.committed_rate(Epoch(given.market.epoch)) == given.slots[0].rate
        [own] = [one for one in given.farm.node.ledger.handed_over() if one.taker == FARMER]
        assert own.order == given.slots[0].order
        assert (FARMER, given.market.epoch) not in given.market.bonds, "nothing is bound"
        notes = {one.order: one.note for one in given.listed()}
        assert notes[given.slots[0].order] == "the order's renter does not allow it"
        await given.next_epoch()
        assert given.market.events("Proven")[-1].args["amount"] == given.slots[0].rate
        assert (await given.farm.get(given.slots[0])).status_code == 200


async def test_all_but_the_first_are_given_up_where_that_is_healthy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "grange.farm")
    async with giving(tmp_path, SLOTS) as given:
        wanted = range(1, SLOTS)
        assert await give_up(given, wanted) == list(wanted), "what was moved is read before anything goes"
        assert "1 slot moved to the end" in caplog.text
        assert await give_up(given, wanted) == []
        assert given.market.hand_overs == [[FARMER]]
        await given.next_epoch()
        assert given.farm.node.ledger.committed_rate(Epoch(given.market.epoch)) == given.slots[0].rate


async def test_with_strikes_as_much_is_given_up_as_may_and_the_rest_when_they_are_gone(
    tmp_path: Path,
) -> None:
    async with giving(tmp_path, SLOTS) as given:
        given.market.strikes = 1
        pass_blocks(given.farm)
        wanted = range(1, SLOTS)
        assert len(left := await give_up(given, wanted)) == 1
        assert given.market.hand_overs == []
        given.market.strikes = 0
        pass_blocks(given.farm)
        assert await give_up(given, left) == left
        assert await give_up(given, left) == []
        assert given.market.hand_overs == [[FARMER]]


async def test_what_the_market_does_not_let_us_move_is_tried_once_an_epoch_and_the_rest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its stake may be too small for what it holds, after misses."""
    async with giving(tmp_path, SLOTS) as given:
        tried: list[int] = []

        async def refuse(*_: object) -> None:
            tried.append(given.market.epoch)
            raise TransactionReverted("handOver", "StakeTooSmall", {"farmer": FARMER})

        monkeypatch.setattr(given.market, "hand_over", refuse)
        left = await give_up(given, range(1, SLOTS))
        assert (len(left), "StakeTooSmall" in caplog.text) == (1, True)
        await give_up(given, left)
        assert len(tried) == 1
        await given.next_epoch()
        await give_up(given, left)
        assert len(tried) == 2


async def test_an_order_that_is_not_shown_as_it_is_in_the_book_is_not_moved(tmp_path: Path) -> None:
    async with giving(tmp_path, SLOTS) as given:
        given.farm.node.self_repairer._declarer._front._order_of = _no_order
        assert len(await give_up(given, range(1, SLOTS))) == 1
        assert given.market.hand_overs == []


async def _no_order(_: object) -> None:
    return None

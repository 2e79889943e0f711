"""Handing slots over: brought to a taker, passed by one transaction, answered for until it has proven."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from giving_support import ALLOWED, giving, lets, order_of
from node_support import FARMER, parcel, pass_blocks

from grange.audit import BookState
from grange.chain import Farmer, Receipt, TransactionReverted
from grange.chain.calls import Call
from grange.chain.orders import OrderState
from grange.errors import GrangeError
from grange.messages import slots_hash
from grange.types import NO_LIMIT, Epoch, FarmerId, OrderId, Parting
from grange_node.chain.chain_follower import View
from grange_node.chain.farm_market import FarmMarket
from grange_node.errors import ChainDown
from grange_node.hand_over.giver import FIRST_REST_SECONDS, LONGEST_REST_SECONDS
from grange_node.leaving.remainder import MAX_HANDED_OVER
from grange_node.pieces.slot_folder import piece_name, slot_path


async def test_a_slot_is_brought_and_handed_over(tmp_path: Path) -> None:
    async with giving(tmp_path) as given:
        [slot] = given.slots
        given.ask(slot)
        await given.tick()
        assert given.market.hand_overs == [[8]]
        assert given.takers[FarmerId(8)].pieces[slot.order, slot.slot] == dict(enumerate(slot.pieces))
        [entry] = given.farm.node.ledger.handed_over()
        assert (entry.taker, entry.lost_epoch) == (8, given.market.epoch)
        assert given.farm.node.ledger.committed_rate(given.market.epoch) == 0
        await given.tick()
        assert given.market.hand_overs == [[8]], "it is not handed over twice"
        given.market.down = True
        assert not await given.farm.node.giver.tick(), "the chain is not asked for what has passed"


async def test_it_is_proven_in_the_epoch_in_which_it_passes_and_not_after(tmp_path: Path) -> None:
    async with giving(tmp_path, 2) as given:
        given.ask(given.slots[0])
        epoch = given.market.epoch
        await given.tick()
        await given.next_epoch()
        assert [event.args["epoch"] for event in given.market.events("Proven")][-2:] == [epoch, epoch + 1]
        rates = [event.args["amount"] for event in given.market.events("Proven")]
        assert rates[-1] == given.slots[1].rate, "what was handed over is the taker's to prove"
        assert rates[-2] == sum(slot.rate for slot in given.slots)


async def test_the_bytes_stay_until_the_taker_has_proven_and_go_then(tmp_path: Path) -> None:
    async with giving(tmp_path) as given:
        [slot] = given.slots
        given.ask(slot)
        await given.tick()
        node = given.farm.node
        await node.bonds.tick()
        assert given.market.bonds, "nobody has proven yet"
        given.market.missing.add(FarmerId(8))
        for _ in range(3):
            pass_blocks(given.farm, given.market.rules.epoch_blocks)
            given.taker_proves()
            await node.follower.refresh()
            await node.bonds.tick()
            await node.collector.collect()
        assert given.market.bonds, "it has missed all epochs"
        assert (await given.farm.get(slot)).status_code == 200, "anyone who reads it can still have it here"
        given.market.missing.clear()
        await node.bonds.tick()
        assert not given.market.bonds
        assert given.listed(), "a reorg may still take it back"
        await given.settle_bonds()
        assert given.listed() == []
        await node.follower.refresh()
        await node.collector.collect()
        assert node.ledger.acceptance(slot.order, slot.slot) is None
        assert node.capacity.bytes_of(slot.key) == 0


async def test_what_is_left_of_the_collateral_is_released_when_the_taker_lapses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with giving(tmp_path) as given:
        given.ask(*given.slots)
        await given.tick()
        await given.next_epoch()
        taker = given.takers[FarmerId(8)]
        given.market.others[taker.id] = taker.farmer(lapsed=True, settled_epoch=Epoch(1))
        caplog.set_level("INFO", "grange.farm")
        await given.farm.node.bonds.tick()
        assert not given.market.bonds
        assert "are lost for epochs that it missed" in caplog.text


async def test_a_taker_that_proves_nothing_keeps_no_other_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the market is asked for few of them at a time."""
    monkeypatch.setattr("grange_node.hand_over.bonds.MAX_ASKED", 1)
    async with giving(tmp_path, 2) as given:
        given.ask(given.slots[0], wanted=[8])
        given.ask(given.slots[1], wanted=[9])
        await given.tick()
        assert sorted(given.market.hand_overs[0]) == [8, 9]
        given.market.missing.add(FarmerId(8))
        await given.next_epoch()
        given.taker_proves()
        for _ in range(3):
            await given.farm.node.bonds.tick()
        assert [taker for taker, _ in given.market.bonds] == [8]


async def test_several_pass_in_one_transaction(tmp_path: Path) -> None:
    async with giving(tmp_path, 3) as given:
        given.ask(*given.slots)
        await given.tick()
        assert given.market.hand_overs == [[8, 8, 8]]
        await given.next_epoch()
        given.taker_proves()
        await given.farm.node.bonds.tick()
        assert len(given.market.events("Released")) == 1, "what went to one farmer in one epoch is one bond"


async def test_a_farm_hands_over_all_in_as_many_transactions_as_it_takes(tmp_path: Path) -> None:
    """To the last slot, whatever an audit would have left to draw from."""
    async with giving(tmp_path, MAX_HANDED_OVER + 6) as given:
        given.ask(*given.slots)
        for _ in range(2):
            await given.tick()
        assert [len(takers) for takers in given.market.hand_overs] == [MAX_HANDED_OVER, 6]
        assert given.farm.node.ledger.committed_rate(Epoch(given.market.epoch)) == 0


async def test_only_those_that_are_wanted_are_asked(tmp_path: Path) -> None:
    async with giving(tmp_path) as given:
        given.ask(*given.slots, wanted=[9])
        await given.tick()
        assert given.market.hand_overs == [[9]]
        assert given.takers[FarmerId(8)].puts == 0


@pytest.mark.parametrize("fault", ["gone", "refuses", "lies", "the market"])
async def test_one_that_does_not_take_it_gives_way_to_another(tmp_path: Path, fault: str) -> None:
    async with giving(tmp_path) as given:
        taker = given.takers[FarmerId(8)]
        given.ask(*given.slots)
        match fault:
            case "refuses":
                taker.refuses = "stake_too_small"
            case "lies":
                taker.lies = True
            case "the market":
                given.market.refused_takers[FarmerId(8)] = "StakeTooSmall"
            case _:
                taker.gone = True
        for _ in range(3):
            await given.tick()
            given.farm.clock.now += FIRST_REST_SECONDS
        assert given.market.hand_overs == [[9]]


async def test_a_taker_that_lost_pieces_gets_them_again(tmp_path: Path) -> None:
    async with giving(tmp_path, takers=[8]) as given:
        [slot] = given.slots
        taker = given.takers[FarmerId(8)]
        taker.refuses = "stake_too_small"
        given.ask(slot)
        await given.tick()
        del taker.pieces[slot.order, slot.slot][1]
        taker.refuses = ""
        given.farm.clock.now += FIRST_REST_SECONDS
        await given.tick()
        given.farm.clock.now += 4 * FIRST_REST_SECONDS
        await given.tick()
        assert given.market.hand_overs == [[8]]
        assert taker.puts == len(slot.pieces) + 1


@pytest.mark.parametrize("excuse", ["stake_too_small", "lost_pieces"])
async def test_a_taker_that_takes_all_bytes_and_does_not_sign_gets_them_twice_at_most(
    tmp_path: Path, excuse: str
) -> None:
    """However often it is asked, and though nobody else takes the slot; asked for again, it may once more."""
    async with giving(tmp_path, takers=[8]) as given:
        [slot] = given.slots
        taker = given.takers[FarmerId(8)]
        taker.refuses = "not_found" if excuse == "lost_pieces" else excuse
        given.ask(slot)
        for _ in range(12):
            await given.tick()
            # It threw everything away.
            taker.pieces.clear()
            given.farm.clock.now += 4 * LONGEST_REST_SECONDS
        assert taker.puts == 2 * len(slot.pieces)
        assert given.listed()[0].avoided == {8}
        taker.refuses = ""
        given.ask(slot)
        for _ in range(2):
            await given.tick()
            given.farm.clock.now += 4 * LONGEST_REST_SECONDS
        assert given.market.hand_overs == [[8]]


async def test_a_taker_that_has_signed_for_as_much_as_it_will_is_asked_again(tmp_path: Path) -> None:
    """It has the bytes, and nobody sends them to it again."""
    async with giving(tmp_path, takers=[8]) as given:
        [slot] = given.slots
        taker = given.takers[FarmerId(8)]
        taker.refuses = "limit_reached"
        given.ask(slot)
        for _ in range(8):
            await given.tick()
            given.farm.clock.now += 4 * LONGEST_REST_SECONDS
        assert not given.listed()[0].avoided
        taker.refuses = ""
        for _ in range(2):
            await given.tick()
            given.farm.clock.now += 4 * LONGEST_REST_SECONDS
        assert given.market.hand_overs == [[8]]
        assert taker.puts == len(slot.pieces)


async def test_one_that_nobody_takes_is_said_so_and_tried_again(tmp_path: Path) -> None:
    async with giving(tmp_path, takers=[]) as given:
        given.ask(*given.slots)
        await given.tick()
        assert [one.note for one in given.listed()] == ["no farmer that answers takes it"]
        asked = given.market.orders_asked
        await given.tick()
        assert given.market.orders_asked == asked, "it is left alone for a while"


async def test_with_strikes_nothing_passes_until_they_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grange_node.hand_over.giver.LONGEST_WAIT_SECONDS", 0.0)
    async with giving(tmp_path) as given:
        given.market.strikes = 1
        pass_blocks(given.farm)
        given.ask(*given.slots)
        await given.tick()
        assert given.market.hand_overs == []
        assert given.takers[FarmerId(8)].puts == 0, "no taker keeps room for it meanwhile"
        assert ["strikes" in one.note for one in given.listed()] == [True]
        given.market.strikes = 0
        pass_blocks(given.farm)
        given.farm.clock.now += FIRST_REST_SECONDS
        monkeypatch.setattr("grange_node.hand_over.giver.LONGEST_WAIT_SECONDS", 60.0)
        await given.tick()
        assert given.market.hand_overs == [[8]]


async def test_before_the_epoch_is_proven_nothing_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grange_node.hand_over.giver.LONGEST_WAIT_SECONDS", 0.0)
    async with giving(tmp_path) as given:
        given.ask(*given.slots)
        pass_blocks(given.farm, given.market.rules.epoch_blocks)
        await given.farm.node.follower.refresh()
        await given.tick()
        assert given.market.hand_overs == []
        monkeypatch.setattr("grange_node.hand_over.giver.LONGEST_WAIT_SECONDS", 60.0)
        await given.prove()
        await given.tick()
        assert given.market.hand_overs == [[8]]
        assert given.takers[FarmerId(8)].puts == len(given.slots[0].pieces), "they were there already"


async def test_when_the_epoch_ends_before_the_transaction_is_mined_it_passes_in_the_next(
    tmp_path: Path,
) -> None:
    """As when the chain has stood still for hours, and goes on with another epoch."""
    async with giving(tmp_path) as given:
        market, hand_over = given.market, given.market.hand_over

        async def late(*args: Any) -> Receipt:
            market.hand_over = hand_over  # type: ignore[method-assign]
            market.mine_to_epoch(market.epoch + 1)
            return await hand_over(*args)

        market.hand_over = late  # type: ignore[method-assign]
        given.ask(*given.slots)
        await given.tick()
        assert market.hand_overs == []
        assert ["EpochNotProven" in one.note for one in given.listed()] == [True]
        await given.prove()
        given.farm.clock.now += FIRST_REST_SECONDS
        await given.tick()
        assert market.hand_overs == [[8]]
        assert given.takers[FarmerId(8)].puts == len(given.slots[0].pieces)


async def test_while_the_chain_is_away_nothing_is_lost(tmp_path: Path) -> None:
    async with giving(tmp_path) as given:
        given.ask(*given.slots)
        given.market.down = True
        with pytest.raises(ChainDown):
            await given.farm.node.giver.tick()
        given.market.down = False
        given.farm.clock.now += 2
        await given.tick()
        assert given.market.hand_overs == [[8]]


async def test_what_comes_back_to_us_is_not_let_go(tmp_path: Path) -> None:
    """The taker has handed it back before what we answered for was released."""
    async with giving(tmp_path) as given:
        [slot] = given.slots
        given.ask(slot)
        await given.tick()
        await given.next_epoch()
        given.market.place(slot.placed())
        given.taker_proves()
        await given.farm.node.follower.refresh()
        await given.settle_bonds()
        assert not given.market.bonds
        record = given.farm.node.ledger.acceptance(slot.order, slot.slot)
        assert record is not None
        assert not record.given_up
        assert [one.place for one in given.listed()] == [(slot.order, slot.slot)]


@pytest.mark.parametrize(
    ("hand_overs", "words"),
    [(0, "does not allow it"), (ALLOWED | 5 << 7 | 2, "2 slots of an order may be handed over")],
    ids=["forbidden", "as many as may"],
)
async def test_what_the_order_does_not_let_pass_is_not_sent(
    tmp_path: Path, hand_overs: int, words: str
) -> None:
    async with giving(tmp_path, 2) as given:
        period = given.slots[0].end // given.market.rules.grid_epochs
        period -= given.market.epoch // given.market.rules.grid_epochs
        lets(given.market, given.slots[0], hand_overs and ALLOWED | period << 7 | 2)
        given.ask(*given.slots)
        await given.tick()
        assert given.market.hand_overs == [[8]], "the other goes"
        assert [words in one.note for one in given.listed() if one.order == given.slots[0].order] == [True]
        assert (given.slots[0].order, given.slots[0].slot) not in given.takers[FarmerId(8)].pieces


@pytest.mark.parametrize("error", [GrangeError("no"), RuntimeError("a bug")])
async def test_whatever_is_wrong_with_one_the_others_pass(tmp_path: Path, error: Exception) -> None:
    async with giving(tmp_path, 2) as given:
        find = given.directory.find

        async def find_or_fail(order_state: OrderState, *args: Any, **named: Any) -> FarmerId | None:
            if order_state.id == given.slots[0].order:
                raise error
            return await find(order_state, *args, **named)

        given.directory.find = find_or_fail  # type: ignore[method-assign]
        given.ask(*given.slots)
        await given.tick()
        assert given.market.hand_overs == [[8]]


async def test_what_is_refused_keeps_no_other_from_passing(tmp_path: Path) -> None:
    async with giving(tmp_path, 3) as given:
        given.market.refused_orders[given.slots[1].order] = "TooManyHandOvers"
        given.ask(*given.slots)
        await given.tick()
        assert given.market.hand_overs == [[8], [8]]
        [left] = [one for one in given.listed() if one.order == given.slots[1].order]
        assert "TooManyHandOvers" in left.note


async def test_the_limit_of_the_owner_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The market counts what is handed over as what is declared lost."""
    async with giving(tmp_path, 3) as given:
        rate = given.slots[0].rate
        monkeypatch.setattr("grange_node.hand_over.giver.left_to_lose", lambda *_: 2 * rate)
        given.ask(*given.slots)
        await given.tick()
        assert given.market.hand_overs == [[8, 8]]


async def test_what_was_given_up_in_another_book_counts_against_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def left(_: Farmer, books: Iterable[BookState], epoch: Epoch) -> int:
        seen.append(len(list(books)))
        return NO_LIMIT

    monkeypatch.setattr("grange_node.hand_over.giver.left_to_lose", left)
    async with giving(tmp_path) as given:
        await given.farm.keep(parcel(seed=7, end=given.slots[0].end - given.market.rules.grid_epochs))
        await given.next_epoch()
        given.ask(*given.slots)
        await given.tick()
        assert set(seen) == {2}


async def test_an_order_that_changes_while_it_is_brought_is_shown_as_it_is(tmp_path: Path) -> None:
    """Another slot of it was refilled, or passed: nobody would sign for it as it was."""
    async with giving(tmp_path) as given:
        [slot] = given.slots
        find, order = given.directory.find, given.order
        changed = False

        async def now(wanted: OrderId) -> OrderState | None:
            found = await order(wanted)
            if found is None or not changed:
                return found
            first = replace(found.slots[0], farmer=FarmerId(77), start=Epoch(given.market.epoch + 1))
            return replace(found, slots=(first, *found.slots[1:]))

        async def find_and_change(*args: Any, **named: Any) -> FarmerId | None:
            nonlocal changed
            taker, changed = await find(*args, **named), True
            held = await now(slot.order)
            assert held is not None
            known = given.market.orders[slot.order]
            given.market.orders[slot.order] = replace(known, slots_hash=held.slots_hash)
            return taker

        given.farm.node.giver._order_of = now
        given.directory.find = find_and_change  # type: ignore[method-assign]
        given.ask(slot)
        await given.tick()
        assert given.market.hand_overs == [[8]]


async def test_what_is_withdrawn_while_it_is_brought_stays(tmp_path: Path) -> None:
    async with giving(tmp_path) as given:
        given.ask(*given.slots)
        hand_overs = given.farm.node.giver._setting.hand_overs
        find = given.directory.find

        async def find_and_withdraw(*args: object, **named: object) -> FarmerId | None:
            hand_overs.remove([(given.slots[0].order, given.slots[0].slot)])
            return await find(*args, **named)  # type: ignore[arg-type]

        given.directory.find = find_and_withdraw  # type: ignore[method-assign, assignment]
        await given.tick()
        assert given.market.hand_overs == []


async def test_after_a_restart_it_goes_on_with_the_same_taker(tmp_path: Path) -> None:
    """Also when the transaction was mined and the answer lost: nothing is sent twice."""
    async with giving(tmp_path) as given:
        market, clock = given.market, given.farm.clock
        given.ask(*given.slots)
        market.lose_answer = True
        with pytest.raises(Exception, match="connection lost"):
            await given.farm.node.giver.tick()
        assert [one.taker for one in given.listed()] == [8]
    market.lose_answer = False
    async with giving(tmp_path, market=market, clock=clock, begin=False) as again:
        await again.farm.node.follower.refresh()
        await again.tick()
        assert market.hand_overs == [[8]]
        await again.next_epoch()
        again.taker_proves()
        await again.settle_bonds()
        assert again.listed() == []
        await again.farm.node.follower.refresh()
        pass_blocks(again.farm, market.rules.epoch_blocks)
        await again.farm.node.follower.refresh()
        await again.farm.node.collector.collect()
        slot = again.slots[0]
        assert again.farm.node.ledger.acceptance(slot.order, slot.slot) is None


async def test_a_hand_over_that_a_reorg_takes_back_is_done_again(tmp_path: Path) -> None:
    async with giving(tmp_path) as given:
        given.ask(*given.slots)
        orders = dict(given.market.orders)
        await given.tick()
        given.market.reorg(1)
        given.market.orders, given.market.bonds = orders, {}
        given.market.mine(2)
        node = given.farm.node
        await node.follower.refresh()
        assert node.ledger.handed_over() == []
        assert node.ledger.committed_rate(Epoch(given.market.epoch)) == given.slots[0].rate
        await given.prove()
        await given.tick()
        assert given.market.hand_overs == [[8], [8]]


async def test_a_damaged_piece_is_not_brought_and_is_mended_first(tmp_path: Path) -> None:
    async with giving(tmp_path) as given:
        [slot] = given.slots
        node = given.farm.node
        path = tmp_path / "slots" / slot_path(slot.key) / piece_name(1, slot.roots[1])
        path.write_bytes(bytes(len(slot.pieces[1])))
        given.ask(slot)
        await given.tick()
        assert given.market.hand_overs == []
        assert [damage.pieces for damage in node.damaged_pieces.all()] == [(1,)]
        path.write_bytes(slot.pieces[1])
        given.farm.clock.now += FIRST_REST_SECONDS
        await given.tick()
        assert given.market.hand_overs == [[8]]


async def test_an_order_that_ended_is_in_the_list_no_more(tmp_path: Path) -> None:
    async with giving(tmp_path, takers=[]) as given:
        given.ask(*given.slots)
        given.market.mine_to_epoch(given.slots[0].end)
        await given.farm.node.follower.refresh()
        await given.farm.node.bonds.tick()
        assert given.listed() == []


async def test_a_slot_that_has_not_begun_waits(tmp_path: Path) -> None:
    async with giving(tmp_path) as given:
        late = parcel(seed=7, end=given.slots[0].end)
        await given.farm.keep(late)
        given.slots.append(late)
        given.ask(late)
        await given.tick()
        assert given.market.hand_overs == []
        assert given.farm.node.ledger.handed_over() == []


async def test_what_is_bound_is_released_also_when_the_order_is_long_over(tmp_path: Path) -> None:
    """The taker proved nothing to the end, and the farm forgets all else of the order."""
    async with giving(tmp_path) as given:
        [slot] = given.slots
        node = given.farm.node
        given.ask(slot)
        await given.tick()
        given.market.missing.add(FarmerId(8))
        given.market.mine_to_epoch(slot.end + 3)
        given.farm.clock.now += 10**7
        node.follower.read_soon()
        await node.follower.refresh()
        for _ in range(2):
            await given.settle_bonds()
            await node.collector.collect()
        assert node.ledger.acceptance(slot.order, slot.slot) is None, "the bytes are gone"
        assert given.market.bonds
        given.market.missing.clear()
        given.taker_proves()
        await given.settle_bonds()
        assert not given.market.bonds
        await node.collector.collect()
        assert node.ledger.handed_over() == []


async def test_what_came_back_and_passed_on_again_stays_until_the_last_taker_has_proven(
    tmp_path: Path,
) -> None:
    """Also after a restart: what was released of the first hand-over says nothing of the second."""
    async with giving(tmp_path) as given:
        [slot] = given.slots
        market, clock = given.market, given.farm.clock
        given.ask(slot, wanted=[8])
        await given.tick()
        await given.next_epoch()
        given.taker_proves(8)
        await given.settle_bonds()
        assert given.listed() == []
        market.place(slot.placed())
        order = order_of(slot, FARMER, Epoch(market.epoch + 1))
        hashed = slots_hash(order.geometry.leaf_count, order.geometry.piece_leaves, order.slots)
        market.orders[slot.order] = replace(market.orders[slot.order], slots_hash=hashed)
        await given.next_epoch()
        given.ask(slot, wanted=[9])
        await given.tick()
        assert market.hand_overs == [[8], [9]]
    async with giving(tmp_path, market=market, clock=clock, begin=False) as again:
        again.slots = [slot]
        market.missing.add(FarmerId(9))
        await again.next_epoch()
        again.taker_proves()
        await again.settle_bonds()
        assert [one.taker for one in again.listed()] == [9], "the second taker has proven nothing"
        market.missing.clear()
        await again.settle_bonds()
        assert again.listed() == []


async def test_bytes_go_when_the_release_is_read_not_when_the_market_says_that_nothing_is_bound(
    tmp_path: Path,
) -> None:
    """An endpoint may say so of a block that a reorg takes back, or lie."""
    async with giving(tmp_path) as given:
        [slot] = given.slots
        given.ask(slot)
        await given.tick()
        await given.next_epoch()
        given.taker_proves()
        bound = dict(given.market.bonds)
        given.market.bonds.clear()
        for _ in range(2):
            await given.settle_bonds()
        record = given.farm.node.ledger.acceptance(slot.order, slot.slot)
        assert record is not None
        assert not record.given_up
        given.market.bonds = bound
        await given.settle_bonds()
        assert given.listed() == []


async def test_a_release_that_a_reorg_takes_back_is_asked_for_again(tmp_path: Path) -> None:
    async with giving(tmp_path) as given:
        given.ask(*given.slots)
        await given.tick()
        await given.next_epoch()
        given.taker_proves()
        bound = dict(given.market.bonds)
        await given.settle_bonds()
        assert given.farm.node.ledger.bound() == []
        given.market.reorg(1)
        given.market.mine(2)
        given.market.bonds = bound
        given.farm.node.follower.read_soon()
        await given.farm.node.follower.refresh()
        assert len(given.farm.node.ledger.bound()) == 1
        await given.settle_bonds()
        assert not given.market.bonds


async def test_an_order_that_changes_while_a_proof_is_waited_for_costs_no_taker(tmp_path: Path) -> None:
    """Another of its slots passed on. The taker is shown the order as it is, and nothing is brought again."""
    async with giving(tmp_path) as given:
        [slot] = given.slots
        giver, order = given.farm.node.giver, given.order
        until_proven = giver._until_proven
        changed: list[OrderState] = []

        async def order_now(asked: OrderId) -> OrderState | None:
            return changed[0] if changed else await order(asked)

        async def change(view: View) -> View | None:
            state = await order(slot.order)
            assert state is not None
            other = next(index for index in range(state.n) if index != slot.slot)
            slots = list(state.slots)
            slots[other] = replace(slots[other], farmer=FarmerId(77), start=Epoch(given.market.epoch))
            changed.append(replace(state, slots=tuple(slots)))
            hashed = slots_hash(state.geometry.leaf_count, state.geometry.piece_leaves, slots)
            given.market.orders[slot.order] = replace(given.market.orders[slot.order], slots_hash=hashed)
            return await until_proven(view)

        giver._order_of = order_now
        giver._until_proven = change  # type: ignore[method-assign]
        given.ask(slot)
        await given.tick()
        assert given.market.hand_overs == [[8]]
        assert given.takers[FarmerId(8)].puts == len(slot.pieces)


async def test_a_slot_that_is_not_ours_by_its_order_is_left_alone_for_a_while(tmp_path: Path) -> None:
    """Many of them would else be tried again and again, and no other would ever have its turn."""
    async with giving(tmp_path, 2) as given:
        order = given.order
        looked_at: list[OrderId] = []

        async def order_now(asked: OrderId) -> OrderState | None:
            looked_at.append(asked)
            return None if asked == given.slots[0].order else await order(asked)

        given.farm.node.giver._order_of = order_now
        given.ask(given.slots[0])
        await given.tick()
        await given.tick()
        assert looked_at == [given.slots[0].order]


@pytest.mark.parametrize("name", ["Unknown", "OutOfGas", "AcceptanceExpired"])
async def test_a_taker_that_makes_a_transaction_fail_at_our_cost_is_asked_no_more(
    tmp_path: Path, name: str
) -> None:
    """It took away what the market looks at, and gave it back in the same block, or signed for few blocks."""
    async with giving(tmp_path) as given:
        market, hand_over = given.market, given.market.hand_over
        paid = 0

        async def refused(partings: Sequence[Parting], epoch: Epoch) -> Receipt:
            nonlocal paid
            if partings[0].passings[0].takeover.farmer == 8:
                paid += 1
                raise TransactionReverted("handOver", name, {}, tx_hash=bytes(32))
            return await hand_over(partings, epoch)

        market.hand_over = refused  # type: ignore[method-assign]
        given.ask(*given.slots)
        for _ in range(3):
            await given.tick()
            given.farm.clock.now += 10 * FIRST_REST_SECONDS
        assert market.hand_overs == [[9]]
        assert paid == 1


async def test_a_taker_that_takes_for_ever_keeps_no_other_slot_from_passing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grange_node.hand_over.giver.LONGEST_BRING_SECONDS", 2.0)
    async with giving(tmp_path, 2) as given:
        given.takers[FarmerId(8)].hangs = True
        given.ask(given.slots[0], wanted=[8])
        given.ask(given.slots[1], wanted=[9])
        await given.tick()
        assert given.market.hand_overs == [[9]]
        given.takers[FarmerId(8)].hangs = False
        given.farm.clock.now += FIRST_REST_SECONDS
        await given.tick()
        assert given.market.hand_overs == [[9], [8]]


async def test_what_was_let_go_and_is_ours_again_is_not_given_up(tmp_path: Path) -> None:
    """It came back before its bytes were removed: that others have it is asked of no endpoint any more."""
    async with giving(tmp_path) as given:
        [slot] = given.slots
        ledger = given.farm.node.ledger
        given.ask(slot)
        await given.tick()
        await given.next_epoch()
        given.taker_proves()
        await given.settle_bonds()
        record = ledger.acceptance(slot.order, slot.slot)
        assert record is not None
        assert record.given_up
        given.market.place(slot.placed())
        await given.farm.node.follower.refresh()
        record = ledger.acceptance(slot.order, slot.slot)
        assert record is not None
        assert not record.given_up


async def test_a_transaction_is_of_no_use_after_what_a_taker_signed_has_run_out(tmp_path: Path) -> None:
    """It is given up then, before it costs gas, and never sent again when it has."""
    async with giving(tmp_path, 2) as given:
        market, sent = given.market, list[tuple[Call, dict[str, Any]]]()
        hand_over, epoch = market.hand_over, given.market.epoch
        passed: list[Parting] = []

        async def noted(partings: Sequence[Parting], epoch: Epoch) -> Receipt:
            passed.extend(partings)
            return await hand_over(partings, epoch)

        market.hand_over = noted  # type: ignore[method-assign]
        given.ask(*given.slots)
        await given.tick()

        async def send(call: Call, **how: Any) -> None:
            sent.append((call, how))

        market.sender.send = send  # type: ignore[method-assign, assignment]
        [parting] = passed
        first, second = parting.passings
        early = replace(second, takeover=replace(second.takeover, deadline_block=epoch + 3))
        for passings in (parting.passings, (first, early)):
            await FarmMarket.hand_over(market, [replace(parting, passings=passings)], epoch)
        last = (epoch + 1) * market.rules.epoch_blocks - 1
        assert [how["last_block"] for _, how in sent] == [last, epoch + 3]
        assert all(call.rests_on_others for call, _ in sent), "it is paid for once"


async def test_those_that_a_slow_taker_kept_from_their_turn_come_first_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grange_node.hand_over.giver.LONGEST_BRING_SECONDS", 1.0)
    monkeypatch.setattr("grange_node.hand_over.giver.MAX_SENT_AT_ONCE", 1)
    async with giving(tmp_path, 2) as given:
        given.takers[FarmerId(8)].hangs = True
        given.ask(given.slots[0], wanted=[8])
        given.ask(given.slots[1], wanted=[9])
        await given.tick()
        assert given.market.hand_overs == [], "the first in the book was the first"
        given.farm.clock.now += 1
        await given.tick()
        assert given.market.hand_overs == [[9]]

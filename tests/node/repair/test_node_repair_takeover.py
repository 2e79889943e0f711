"""Taking over a vacant slot: what a farmer checks before it signs for a repairer, and what follows."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from node_support import (
    FARMER,
    MARKET,
    OFFER,
    OPERATOR,
    PARAMETERS,
    PIECE_LEAVES,
    FakeMarket,
    Farm,
    config_for,
    error_of,
    open_farm,
    parcel,
    pass_blocks,
)
from takeover_support import (
    RENTER,
    REPAIRER,
    VACANT,
    brought,
    claimed,
    order_state,
    put_on_chain,
    rebuilt,
    shown,
)

from grange.audit import loss_words
from grange.chain import Wallet
from grange.chain.orders import OrderState
from grange.messages import (
    AcceptanceMessage,
    Domain,
    acceptance_digest,
    recover,
    signature_from,
    slots_hash,
    tenure_word,
)
from grange.types import NO_FARMER, Epoch, OrderId, Slot
from grange.units import TOKEN
from grange_node.acceptance.takeover import TAKEOVER_LIFE_BLOCKS
from grange_node.config import OfferFile
from grange_node.ledger.books import books_from
from grange_node.records import SlotState


async def test_a_slot_that_began_vacant_is_taken_over_like_one_that_fell_vacant(farm: Farm) -> None:
    """As some may when an order is extended by mandate: nobody had it before."""
    slot = await brought(farm, holder=NO_FARMER)
    response = await claimed(farm, slot)
    assert response.status_code == 200, response.text
    assert response.json()["farmer"] == FARMER


async def test_a_farmer_signs_for_a_vacant_slot_with_the_bounty_for_the_repairer(farm: Farm) -> None:
    slot = await brought(farm)
    response = await claimed(farm, slot)
    assert response.status_code == 200, response.text
    answer = response.json()
    digest = acceptance_digest(
        Domain(chain_id=1337, market=MARKET),
        AcceptanceMessage(
            order=slot.order,
            farmer=FARMER,
            slot=VACANT,
            root=slot.root,
            leaf_count=answer["leaf_count"],
            rate=slot.rate,
            end=Epoch(slot.end),
            deadline_block=answer["deadline_block"],
            previous=tenure_word(slot.slots()[VACANT].start),
            repairer=REPAIRER.address,
        ),
    )
    signature = signature_from(bytes.fromhex(answer["r"]), bytes.fromhex(answer["vs"]))
    assert recover(digest, signature) == OPERATOR.address
    assert answer["deadline_block"] == farm.market.height + TAKEOVER_LIFE_BLOCKS
    assert (await claimed(farm, slot)).json() == answer


async def test_a_slot_that_was_taken_over_is_placed_and_proven(farm: Farm) -> None:
    slot = await brought(farm)
    assert (await claimed(farm, slot)).status_code == 200
    farm.market.place(slot.placed())
    await farm.node.follower.refresh()
    record = farm.node.ledger.slot(slot.key)
    assert record is not None
    assert record.state is SlotState.PLACED
    assert not record.renter_proven, "who rebuilt it may read no more than others"
    farm.market.mine_to_epoch(farm.market.epoch + 2, offset=1)
    await farm.node.prover.step(await farm.node.follower.refresh())
    assert farm.market.sent_proofs == 1


async def test_a_slot_that_was_taken_over_and_lost_is_not_signed_for_again(farm: Farm) -> None:
    """Its pieces are gone, and the takeover of before is still in time."""
    slot = await brought(farm)
    assert (await claimed(farm, slot)).status_code == 200
    farm.market.place(slot.placed())
    farm.market.mine_to_epoch(farm.market.epoch + 1, offset=1)
    await farm.node.follower.refresh()
    [book] = books_from(farm.market.entries())
    await farm.market.declare_loss(book.end, loss_words(book, 0), extension=False)
    await farm.node.follower.refresh()
    response = await claimed(farm, slot)
    assert (response.status_code, error_of(response)) == (409, "conflict")


async def test_a_slot_that_is_kept_is_not_signed_for(farm: Farm) -> None:
    slot = await brought(farm)
    farm.market.vacant.clear()
    response = await claimed(farm, slot)
    assert (response.status_code, error_of(response)) == (409, "conflict")


async def test_an_order_that_is_not_on_chain_is_not_found(farm: Farm) -> None:
    slot = await brought(farm)
    farm.market.orders.clear()
    assert (await claimed(farm, slot)).status_code == 404


@pytest.mark.parametrize("field", ["leaf_count", "slots", "rate"])
async def test_slots_that_the_chain_does_not_keep_the_hash_of_are_refused(farm: Farm, field: str) -> None:
    slot = await brought(farm)
    if field == "rate":
        slots = slot.claim()["slots"]
        slots[VACANT]["rate"] *= 2
        response = await claimed(farm, slot, slots=slots)
    elif field == "slots":
        response = await claimed(farm, slot, slots=slot.claim()["slots"][:-1])
    else:
        response = await claimed(farm, slot, leaf_count=2 * PIECE_LEAVES)
    assert (response.status_code, error_of(response)) == (422, "root_mismatch")


async def test_other_pieces_than_the_order_has_are_refused(farm: Farm) -> None:
    """The root is the one on chain: what a repairer rebuilt wrongly is found before anything is signed."""
    slot = await brought(farm)
    other = replace(slot, pieces=parcel(seed=9).pieces)
    put_on_chain(farm.market, other)
    response = await claimed(farm, other)
    assert (response.status_code, error_of(response)) == (422, "root_mismatch")


async def test_a_farmer_of_the_order_takes_no_other_slot_of_it(farm: Farm) -> None:
    slot = await brought(farm)
    slots = [Slot(farmer=FARMER, root=bytes(32), rate=slot.rate, start=Epoch(1)), *slot.slots()[1:]]
    farm.market.orders[slot.order] = replace(
        farm.market.orders[slot.order],
        slots_hash=slots_hash(len(slot.pieces) * PIECE_LEAVES, PIECE_LEAVES, slots),
    )
    response = await claimed(farm, slot, slots=shown(slots))
    assert (response.status_code, error_of(response)) == (409, "conflict")


async def test_only_the_one_that_brought_the_pieces_is_signed_for(farm: Farm) -> None:
    slot = await brought(farm)
    response = await claimed(farm, slot, repairer=RENTER.address)
    assert (response.status_code, error_of(response)) == (403, "foreign")
    thief = replace(slot, renter=Wallet(b"\x06" * 32))
    assert (await claimed(farm, thief)).status_code == 404


async def test_who_brought_nothing_makes_us_ask_the_chain_nothing(farm: Farm) -> None:
    slot = rebuilt()
    put_on_chain(farm.market, slot)
    assert (await claimed(farm, slot)).status_code == 404
    assert farm.market.orders_asked == 0


async def test_two_repairers_are_not_both_accepted_for_a_slot(farm: Farm) -> None:
    first = await brought(farm)
    second = await brought(farm, renter=Wallet(b"\x06" * 32))
    assert (await claimed(farm, first)).status_code == 200
    response = await claimed(farm, second)
    assert (response.status_code, error_of(response)) == (409, "already_accepted")
    assert response.json()["detail"]["deadline_block"] == farm.market.height + TAKEOVER_LIFE_BLOCKS


async def test_a_takeover_that_others_wait_for_is_not_given_again(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one could hold all farmers for ever, and keep an order from being repaired."""
    first = await brought(farm, end=40)

    async def history(_: OrderId) -> OrderState:
        return order_state(first)

    monkeypatch.setattr(farm.node.collector, "_history", history)
    assert (await claimed(farm, first)).status_code == 200
    farm.market.mine(TAKEOVER_LIFE_BLOCKS - 10)
    await farm.node.follower.refresh()
    assert (await claimed(farm, first)).json()["deadline_block"] == farm.market.height + TAKEOVER_LIFE_BLOCKS
    second = rebuilt(renter=Wallet(b"\x06" * 32), end=40)
    await farm.put(second, 0)
    assert error_of(await claimed(farm, second)) == "not_found", "it has not all pieces"
    await farm.upload(second)
    assert error_of(await claimed(farm, second)) == "already_accepted"
    farm.market.mine(TAKEOVER_LIFE_BLOCKS - 10)
    await farm.node.follower.refresh()
    assert error_of(await claimed(farm, first)) == "already_accepted"
    pass_blocks(farm, 100)
    farm.clock.now += 2 * TAKEOVER_LIFE_BLOCKS
    await farm.node.follower.refresh()
    await farm.node.collector.collect()
    assert (await claimed(farm, second)).status_code == 200


async def test_a_rate_below_the_price_is_refused_and_one_far_above_is_not(farm: Farm) -> None:
    """A renter could bind stake with a rate that nobody asked for; that of a placed order was paid."""
    cheap = await brought(farm, rate=1)
    response = await claimed(farm, cheap)
    assert (response.status_code, error_of(response)) == (409, "terms_refused")
    dear = rebuilt(rate=TOKEN)
    put_on_chain(farm.market, dear)
    assert (await claimed(farm, dear)).status_code == 200


@pytest.mark.parametrize(("price", "status"), [(4, 409), (5, 200), (6, 200)])
async def test_a_slot_that_is_read_for_less_than_we_ask_is_refused(
    tmp_path: Path, price: int, status: int
) -> None:
    """What reading costs at most was agreed when the slot was placed, and is signed as it stands there."""
    known = config_for(tmp_path).offer_terms
    asking_five = OfferFile(**(known.model_dump() | {"egress_price_per_gib": 5}))
    async with open_farm(tmp_path, offer_terms=asking_five) as farm:
        response = await claimed(farm, await brought(farm, read_price=price))
        assert response.status_code == status
        assert status == 409 or response.json()["max_egress_price_per_gib"] == price


async def test_an_order_that_ends_before_we_could_begin_is_refused(farm: Farm) -> None:
    slot = await brought(farm)
    farm.market.mine_to_epoch(slot.end - 1)
    await farm.node.follower.refresh()
    response = await claimed(farm, slot)
    assert (response.status_code, error_of(response)) == (409, "terms_refused")


async def test_a_takeover_needs_stake_and_no_money_of_the_renters(tmp_path: Path) -> None:
    rate = rebuilt().rate
    market = FakeMarket(stake=rate * PARAMETERS.collateral_epochs - 1)
    async with open_farm(tmp_path, market=market) as farm:
        slot = await brought(farm)
        market.balances[REPAIRER.address] = 0
        response = await claimed(farm, slot)
        assert (response.status_code, error_of(response)) == (409, "stake_too_small")
        market.stake += 1
        market.mine()
        await farm.node.follower.refresh()
        assert (await claimed(farm, slot)).status_code == 200


async def test_no_chain_no_takeover(farm: Farm) -> None:
    slot = await brought(farm)
    farm.market.down = True
    response = await claimed(farm, slot)
    assert (response.status_code, error_of(response)) == (503, "chain_unavailable")


@pytest.mark.parametrize(
    "change",
    [
        {"leaf_count": 0},
        {"piece_leaves": 0},
        {"slots": [[1, "00", 1, 1]]},
        {"slots": [[1]]},
        {"slots": 3},
        {"surprise": 1},
    ],
)
async def test_a_claim_that_makes_no_sense_is_malformed(farm: Farm, change: dict[str, Any]) -> None:
    slot = await brought(farm)
    response = await claimed(farm, slot, **change)
    assert (response.status_code, error_of(response)) == (400, "malformed")


def test_the_price_of_the_tests_slot_is_the_farmers() -> None:
    assert rebuilt().rate >= OFFER.price_per_gib_epoch * sum(map(len, rebuilt().pieces)) >> 30

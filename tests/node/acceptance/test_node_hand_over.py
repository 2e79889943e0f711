"""Taking a slot that its farmer hands over: what is checked before we sign for it, and what follows."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from giving_support import registered_farmer
from node_support import (
    DOMAIN,
    FARMER,
    OPERATOR,
    PARAMETERS,
    FakeMarket,
    Farm,
    config_for,
    error_of,
    open_farm,
    parcel,
    pass_blocks,
)
from takeover_support import RENTER, VACANT, Rebuilt, claimed, order_state, put_on_chain, shown

from grange.chain import Farmer, Wallet
from grange.chain.orders import OrderState
from grange.messages import AcceptanceMessage, acceptance_digest, recover, signature_from, tenure_word
from grange.types import NO_FARMER, Epoch, FarmerId, OrderId
from grange_node.acceptance.giver_limits import LONGEST_BLOCKS
from grange_node.acceptance.takeover import TAKEOVER_LIFE_BLOCKS
from grange_node.acceptance.terms import HIGHEST_HAND_OVER_FACTOR
from grange_node.config import OfferFile
from grange_node.limits.networks import UNKNOWN
from grange_node.records import SlotState

GIVER = FarmerId(20 + VACANT)
GIVERS_KEY, GIVERS_OWNER = Wallet(b"\x05" * 32), Wallet(b"\x07" * 32)
ALLOWED = 1 << 11
"""As the contract packs it (contracts/types/HandOverTally.sol)."""


@dataclass(kw_only=True)
class Passed(Rebuilt):
    """A slot that its farmer passes on."""

    def claim(self, **changes: Any) -> dict[str, Any]:
        asked = super().claim() | {"use": "hand_over"}
        return {name: value for name, value in asked.items() if name != "repairer"} | changes


def passed(seed: int = 0, **fields: Any) -> Passed:
    source = parcel(seed=seed)
    return Passed(renter=fields.pop("renter", GIVERS_KEY), pieces=source.pieces, slot=VACANT, **fields)


def giver(**changes: Any) -> Farmer:
    keys = {"owner": GIVERS_OWNER.address, "operator": GIVERS_KEY.address}
    return registered_farmer(GIVER, **(keys | changes))


def put_there(market: FakeMarket, slot: Passed, *, hand_overs: int = ALLOWED, **changes: Any) -> None:
    """The order of a slot that a farmer has and may pass on."""
    put_on_chain(market, slot, hand_overs=hand_overs)
    market.vacant.clear()
    market.others[GIVER] = giver(**changes)


async def brought(farm: Farm, hand_overs: int = ALLOWED, **fields: Any) -> Passed:
    """All pieces are there, and the chain has the order."""
    slot = passed(**fields)
    put_there(farm.market, slot, hand_overs=hand_overs)
    await farm.upload(slot)
    return slot


async def asked(farm: Farm, slot: Passed, status: int, code: str, **changes: Any) -> httpx.Response:
    response = await claimed(farm, slot, **changes)
    assert (response.status_code, error_of(response)) == (status, code), response.text
    return response


async def test_a_slot_that_began_vacant_is_handed_over_by_nobody(farm: Farm) -> None:
    slot = await brought(farm, holder=NO_FARMER)
    await asked(farm, slot, 409, "conflict")


async def test_a_farmer_signs_for_a_slot_that_the_giver_hands_over(farm: Farm) -> None:
    slot = await brought(farm)
    response = await claimed(farm, slot)
    assert response.status_code == 200, response.text
    answer = response.json()
    message = AcceptanceMessage(
        order=slot.order,
        farmer=FARMER,
        slot=VACANT,
        root=slot.root,
        leaf_count=answer["leaf_count"],
        rate=slot.rate,
        end=Epoch(slot.end),
        deadline_block=answer["deadline_block"],
        previous=tenure_word(slot.slots()[VACANT].start),
        giver=GIVER,
    )
    signature = signature_from(bytes.fromhex(answer["r"]), bytes.fromhex(answer["vs"]))
    assert recover(acceptance_digest(DOMAIN, message), signature) == OPERATOR.address
    assert answer["deadline_block"] == farm.market.height + TAKEOVER_LIFE_BLOCKS
    assert (await claimed(farm, slot)).json() == answer, "asked again, it is the same"


async def test_the_owner_of_the_giver_may_hand_over_too(farm: Farm) -> None:
    slot = await brought(farm, renter=GIVERS_OWNER)
    assert (await claimed(farm, slot)).status_code == 200


async def test_a_slot_that_was_handed_over_is_placed_and_proven(farm: Farm) -> None:
    slot = await brought(farm)
    assert (await claimed(farm, slot)).status_code == 200
    farm.market.place(slot.placed())
    await farm.node.follower.refresh()
    record = farm.node.ledger.slot(slot.key)
    assert record is not None
    assert record.state is SlotState.PLACED
    assert not record.renter_proven, "the giver may read no more of it than others"
    farm.market.mine_to_epoch(farm.market.epoch + 2, offset=1)
    await farm.node.prover.step(await farm.node.follower.refresh())
    assert farm.market.sent_proofs == 1


async def test_a_slot_whose_giver_never_passes_it_on_makes_room_again(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The acceptance lapses: what it bound of room and stake is free."""
    before = farm.node.capacity.free_bytes(UNKNOWN)
    slot = await brought(farm, end=40)

    async def history(_: OrderId) -> OrderState:
        return order_state(slot)

    monkeypatch.setattr(farm.node.collector, "_history", history)
    assert (await claimed(farm, slot)).status_code == 200
    assert farm.node.capacity.free_bytes(UNKNOWN) < before
    assert farm.node.ledger.accepted_rate(farm.market.height) == slot.rate
    pass_blocks(farm, 2 * TAKEOVER_LIFE_BLOCKS)
    await farm.node.follower.refresh()
    await farm.node.collector.collect()
    assert farm.node.ledger.slot(slot.key) is None
    assert farm.node.capacity.free_bytes(UNKNOWN) == before
    assert farm.node.ledger.accepted_rate(farm.market.height) == 0


async def test_only_the_farmer_that_has_the_slot_is_signed_for(farm: Farm) -> None:
    """Anyone who reads an order could else bind the stake of those that keep none of it."""
    await asked(farm, await brought(farm, renter=Wallet(b"\x06" * 32)), 403, "foreign")


async def test_a_giver_that_brought_nothing_makes_us_ask_the_chain_nothing(farm: Farm) -> None:
    slot = passed()
    put_there(farm.market, slot)
    await asked(farm, slot, 404, "not_found")
    assert farm.market.orders_asked == 0


async def test_without_all_the_bytes_nothing_is_signed(farm: Farm) -> None:
    slot = passed()
    put_there(farm.market, slot)
    await farm.put(slot, 0)
    await asked(farm, slot, 404, "not_found")


async def test_other_bytes_than_the_order_has_are_not_signed_for(farm: Farm) -> None:
    slot = await brought(farm)
    other = replace(slot, pieces=parcel(seed=9).pieces)
    put_there(farm.market, other)
    await asked(farm, other, 422, "root_mismatch")


@pytest.mark.parametrize("field", ["leaf_count", "slots", "rate", "farmer"])
async def test_slots_that_the_chain_does_not_keep_the_hash_of_are_refused(farm: Farm, field: str) -> None:
    slot = await brought(farm)
    slots = shown(slot.slots())
    if field == "rate":
        slots[VACANT]["rate"] *= 2
    if field == "farmer":
        slots[0]["farmer"] = slots[VACANT]["farmer"]
    if field == "slots":
        slots.pop()
    changes: dict[str, Any] = {"leaf_count": 64} if field == "leaf_count" else {"slots": slots}
    await asked(farm, slot, 422, "root_mismatch", **changes)


async def test_a_slot_that_the_order_does_not_have_is_not_found(farm: Farm) -> None:
    slot = await brought(farm)
    beyond = replace(slot, slot=60)
    await farm.upload(beyond)
    await asked(farm, beyond, 404, "not_found", slots=shown(slot.slots()))


async def test_an_order_that_is_not_on_chain_is_not_found(farm: Farm) -> None:
    slot = await brought(farm)
    farm.market.orders.clear()
    await asked(farm, slot, 404, "not_found")


@pytest.mark.parametrize("changes", [{"strikes": 1}, {"lapsed": True}], ids=["late", "lapsed"])
async def test_a_giver_that_the_market_would_refuse_is_not_signed_for(
    farm: Farm, changes: dict[str, Any]
) -> None:
    slot = await brought(farm)
    farm.market.others[GIVER] = giver(**changes)
    await asked(farm, slot, 409, "conflict")


async def test_a_slot_that_was_declared_lost_is_for_repairers(farm: Farm) -> None:
    slot = await brought(farm)
    lost = {"order": slot.order, "farmer": GIVER, "slot": VACANT, "from": Epoch(1), "lost_epoch": Epoch(2)}
    farm.market.mine(events=[("LossDeclared", lost | {"collateral": 0})])
    await asked(farm, slot, 409, "conflict")


async def test_with_strikes_we_take_nothing_from_others(farm: Farm) -> None:
    slot = await brought(farm)
    farm.market.strikes = 1
    pass_blocks(farm)
    await farm.node.follower.refresh()
    await asked(farm, slot, 409, "terms_refused")


async def test_an_order_that_forbids_it_is_not_handed_over(farm: Farm) -> None:
    await asked(farm, await brought(farm, hand_overs=0), 409, "conflict")


async def test_no_more_of_an_order_is_signed_for_than_may_pass_on_in_a_grid_period(farm: Farm) -> None:
    """Of 5 slots with k = 2 one may."""
    slot = passed()
    period = slot.end // PARAMETERS.grid_epochs - farm.market.epoch // PARAMETERS.grid_epochs
    await brought(farm, hand_overs=ALLOWED | period << 7 | 1)
    await asked(farm, slot, 409, "conflict")
    put_there(farm.market, slot, hand_overs=ALLOWED | (period + 1) << 7 | 1)
    assert (await claimed(farm, slot)).status_code == 200, "the other was in the period before"


async def test_two_are_not_both_accepted_for_a_slot(farm: Farm) -> None:
    """The giver by its operator, and by its owner."""
    first, second = await brought(farm), await brought(farm, renter=GIVERS_OWNER)
    assert (await claimed(farm, first)).status_code == 200
    await asked(farm, second, 409, "already_accepted")


async def test_a_rate_below_the_price_is_refused(farm: Farm) -> None:
    await asked(farm, await brought(farm, rate=1), 409, "terms_refused")


async def test_a_rate_far_above_the_price_binds_no_stake(farm: Farm) -> None:
    """Anyone could place an order with itself at any rate, and bind the stake of all others with one slot."""
    price = passed().rate
    slot = await brought(farm, rate=HIGHEST_HAND_OVER_FACTOR * price)
    dear = replace(slot, rate=slot.rate + 1)
    put_there(farm.market, dear)
    await asked(farm, dear, 409, "terms_refused")
    put_there(farm.market, slot)
    assert (await claimed(farm, slot)).status_code == 200


@pytest.mark.parametrize("second_key", [GIVERS_KEY, GIVERS_OWNER])
async def test_a_giver_binds_a_quarter_of_our_stake_by_what_it_does_not_hand_over(
    tmp_path: Path, second_key: Wallet
) -> None:
    """By its operator and its owner together. What it handed over is no matter, nor what others hand over."""
    rate = passed().rate
    market = FakeMarket(stake=8 * rate * PARAMETERS.collateral_epochs)
    async with open_farm(tmp_path, market=market) as farm:
        for salt in (bytes([1]) * 32, bytes([2]) * 32):
            assert (await claimed(farm, await brought(farm, order_salt=salt))).status_code == 200
        third = await brought(farm, order_salt=bytes([3]) * 32, renter=second_key)
        await asked(farm, third, 429, "limit_reached")
        pass_blocks(farm, TAKEOVER_LIFE_BLOCKS)
        await farm.node.follower.refresh()
        assert (await claimed(farm, third)).status_code == 200, "what was signed before has run out"


async def test_a_slot_is_signed_for_again_for_a_while_and_then_not(tmp_path: Path) -> None:
    """A giver that never sends its transaction keeps neither our stake nor our disk."""
    known = config_for(tmp_path).offer_terms
    for_long = OfferFile(**(known.model_dump() | {"longest_term_epochs": 80}))
    async with open_farm(tmp_path, offer_terms=for_long) as farm:
        slot = await brought(farm, end=64)
        for _ in range(LONGEST_BLOCKS // TAKEOVER_LIFE_BLOCKS):
            assert (await claimed(farm, slot)).status_code == 200
            pass_blocks(farm, TAKEOVER_LIFE_BLOCKS)
            await farm.node.follower.refresh()
        await asked(farm, slot, 409, "conflict")
        assert farm.node.ledger.accepted_rate(farm.market.height) == 0


async def test_a_slot_that_is_read_for_less_than_we_ask_is_refused(tmp_path: Path) -> None:
    known = config_for(tmp_path).offer_terms
    asking_five = OfferFile(**(known.model_dump() | {"egress_price_per_gib": 5}))
    async with open_farm(tmp_path, offer_terms=asking_five) as farm:
        await asked(farm, await brought(farm, read_price=4), 409, "terms_refused")


async def test_an_order_that_ends_before_we_could_begin_is_refused(farm: Farm) -> None:
    slot = await brought(farm)
    farm.market.mine_to_epoch(slot.end - 1)
    await farm.node.follower.refresh()
    response = await claimed(farm, slot)
    assert response.status_code == 409, response.text


async def test_it_needs_stake_and_no_money_of_the_renters(tmp_path: Path) -> None:
    rate = passed().rate
    market = FakeMarket(stake=rate * PARAMETERS.collateral_epochs - 1)
    async with open_farm(tmp_path, market=market) as farm:
        slot = await brought(farm)
        market.balances[RENTER.address] = 0
        await asked(farm, slot, 409, "stake_too_small")
        market.stake += 1
        market.mine()
        await farm.node.follower.refresh()
        assert (await claimed(farm, slot)).status_code == 200


async def test_a_giver_without_money_does_not_fill_our_disk(farm: Farm) -> None:
    slot = passed()
    put_there(farm.market, slot)
    farm.market.balances[GIVERS_KEY.address] = 0
    response = await farm.put(slot, 0)
    assert (response.status_code, error_of(response)) == (402, "vault_too_small")


async def test_no_chain_no_hand_over(farm: Farm) -> None:
    slot = await brought(farm)
    farm.market.down = True
    await asked(farm, slot, 503, "chain_unavailable")


@pytest.mark.parametrize("change", [{"leaf_count": 0}, {"slots": [[1]]}, {"repairer": RENTER.address}])
async def test_a_request_that_makes_no_sense_is_malformed(farm: Farm, change: dict[str, Any]) -> None:
    await asked(farm, await brought(farm), 400, "malformed", **change)

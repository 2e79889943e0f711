"""What calls are held to take is no less than what was measured, and not much more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from grange.audit import LEAF_WORDS
from grange.chain import Call, call_sizes, calls
from grange.chain.codec import market_abi
from grange.chain.gas_cost import CallSize
from grange.messages import held_group
from grange.types import (
    Acceptance,
    Address,
    Epoch,
    FarmerId,
    Held,
    MandateTerms,
    OrderId,
    Parting,
    Passing,
    Permit,
    Slot,
    Takeover,
    Terms,
    Voucher,
)

GAS: Final = json.loads((Path(__file__).parents[1] / "contracts" / "gas.json").read_text())
WORD = b"\xff" * 32
SOMEBODY = Address("0x" + "22" * 20)
ME = FarmerId(1)
PERMIT = Permit(value=1, deadline=1, v=27, r=WORD, s=WORD)
TERMS = Terms(salt=WORD, end=Epoch(30), leaf_count=9, piece_leaves=1, k=1)
SLOT = Slot(farmer=ME, root=WORD, rate=1, start=Epoch(1))
TAKEOVER = Takeover(slot=1, farmer=ME, deadline_block=1, r=WORD, vs=WORD)
ACCEPTANCE = Acceptance(
    farmer=ME, root=WORD, rate=1, max_egress_price_per_gib=1, deadline_block=1, r=WORD, vs=WORD
)
VOUCHER = Voucher(renter=SOMEBODY, cumulative=1, signature=WORD + WORD)
MANDATE = MandateTerms(
    highest_price=1, highest_egress_price=1, fee=1, until=Epoch(30), term_epochs=10, total=1
)
SAMPLE_WORDS = 3 + LEAF_WORDS + 31 + 10
"""Of a slot of 2**31 leaves in a book of a thousand."""


def held(slots: int) -> Held:
    return Held(order=OrderId(WORD), leaf_count=9, piece_leaves=1, slots=(SLOT,) * slots)


def parting(slots: int) -> Parting:
    """One slot of an order of so many."""
    group = held_group(held(slots), 0)
    passing = Passing(held=group, index=1, first=1, path=(WORD,) * 7, takeover=TAKEOVER)
    return Parting(end=Epoch(30), extension=False, passings=(passing,))


MEASURED = {
    "a proof": (
        call_sizes.PROOF,
        calls.prove(ME, Epoch(1), [WORD] * (5 * SAMPLE_WORDS)),
        "prove, 1 TiB, 128 slots",
    ),
    "a seed": (call_sizes.RECORD_SEED, calls.record_seed(), "recordSeed"),
    "a claim": (call_sizes.CLAIM, calls.claim(SOMEBODY, 1), "claim"),
    "a release": (call_sizes.RELEASE, calls.release(ME, ME, Epoch(1)), "release"),
    "a voucher": (call_sizes.redeem(1), calls.redeem(ME, [VOUCHER]), "redeem, 1 voucher"),
    "8 slots": (call_sizes.place(8), calls.place(TERMS, [ACCEPTANCE] * 8, PERMIT), "place, 8 slots"),
    "30 more": (
        call_sizes.extend(30),
        calls.extend(held(30), TERMS, [ACCEPTANCE] * 30, PERMIT),
        "extend, 30 slots",
    ),
    "30 by mandate": (
        call_sizes.extend(30),
        calls.extend_by_mandate(held(30), [ACCEPTANCE] * 30, SOMEBODY),
        "extendByMandate, 30 slots",
    ),
    "a refilled slot": (
        call_sizes.refill_of_order(1) + call_sizes.refilled_slot(),
        calls.refill(held(1), SOMEBODY, [TAKEOVER]),
        "refill, 1 slot",
    ),
    "a mandate": (
        call_sizes.give_mandate(1),
        calls.give_mandate(1, MANDATE, orders=[OrderId(WORD)]),
        "giveMandate, 1 order",
    ),
    "8 slots closed": (call_sizes.close(8), calls.close(held(8)), "close, 8 slots"),
    "30 closed": (call_sizes.close(30), calls.close(held(30)), "close, of 30 slots"),
    "a slot of 30 handed over": (
        call_sizes.hand_over(30),
        calls.hand_over(ME, [parting(30)]),
        "handOver, 1 slot, of 30",
    ),
}


@pytest.mark.parametrize(("size", "call", "figure"), MEASURED.values(), ids=MEASURED)
def test_a_call_takes_no_more_than_is_counted_for_it(size: CallSize, call: Call, figure: str) -> None:
    assert GAS[figure] <= size.gas <= 3 * GAS[figure]
    data_bytes = len(market_abi().encode_call(call.function, call.args))
    assert data_bytes <= size.data_bytes <= 1.5 * data_bytes + 64


def test_more_slots_take_more_data_as_the_abi_has_it() -> None:
    for slots in (1, 8, 80):
        refill = calls.refill(held(slots), SOMEBODY, [TAKEOVER] * min(slots, 3))
        counted = call_sizes.refill_of_order(slots) + call_sizes.refilled_slot() * min(slots, 3)
        data_bytes = len(market_abi().encode_call(refill.function, refill.args))
        assert data_bytes <= counted.data_bytes <= 1.5 * data_bytes


def test_evicting_takes_about_what_is_counted() -> None:
    """A farmer whose absence has not been settled costs more; the reward is that of the whole."""
    assert GAS["evict, settled before"] <= call_sizes.EVICT.gas
    assert len(market_abi().encode_call("evict", (ME,))) == call_sizes.EVICT.data_bytes

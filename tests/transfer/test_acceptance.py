"""What a farmer signs: taken only if it is what was asked for, no matter who else would have to pay for
it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from transfer_fakes import KEYS, OPERATORS, farmer_of

from grange.chain import Farmer
from grange.errors import UserError
from grange.layout import Geometry
from grange.messages import (
    NO_GIVER,
    NOBODY,
    AcceptanceMessage,
    Domain,
    sign_acceptance,
    takeover_from,
    tenure_word,
)
from grange.peer import FarmerLied, FarmerRefused, FarmerUnreachable
from grange.transfer.acceptance import (
    DEARER_CODE,
    OTHER_SIGNER_CODE,
    AcceptanceTerms,
    Keeper,
    SlotRequest,
    collect,
)
from grange.transfer.retry import LAPSES_CODE, RetryPolicy
from grange.types import Acceptance, Epoch, FarmerId, Held, OrderId, Slot, address_from
from grange.wire.bodies import AcceptanceAnswer, AcceptanceRequest, HandOverRequest, TakeOverRequest

DOMAIN = Domain(chain_id=1337, market=address_from(b"\x01" * 20))
ORDER = OrderId(b"\x0d" * 32)
GEOMETRY = Geometry(k=1, n=3, piece_bytes=2048, segments=2)
ROOTS = [bytes([slot + 1]) * 32 for slot in range(3)]
RATE = 700
DEADLINE = 50
TERMS = AcceptanceTerms(domain=DOMAIN, order=ORDER, geometry=GEOMETRY, end=Epoch(40), salt=b"\x05" * 32)
HELD = Held(
    order=ORDER,
    leaf_count=GEOMETRY.leaf_count,
    piece_leaves=GEOMETRY.piece_leaves,
    slots=tuple(
        Slot(farmer=FarmerId(9), root=root, rate=RATE, start=Epoch(3 + slot))
        for slot, root in enumerate(ROOTS)
    ),
)
TAKING_OVER = replace(TERMS, salt=b"", repairer=OPERATORS[2], held=HELD)
HANDING_OVER = replace(TERMS, salt=b"", giver=FarmerId(9), held=HELD)


def request(slot: int = 0) -> SlotRequest:
    return SlotRequest(slot=slot, root=ROOTS[slot], keeper=Keeper(farmer=farmer_of(slot + 1), rate=RATE))


def answered(
    asked: SlotRequest, *, key: bytes | None = None, previous: bytes | None = None, **changes: Any
) -> Any:
    """A farmer's answer; `changes` are what it signs instead of what it was asked."""
    message = AcceptanceMessage(
        order=ORDER,
        farmer=asked.keeper.farmer.id,
        slot=asked.slot,
        root=asked.root,
        leaf_count=GEOMETRY.leaf_count,
        rate=asked.keeper.rate,
        end=Epoch(40),
        deadline_block=DEADLINE,
    )
    if previous is not None:
        message = replace(message, previous=previous, repairer=OPERATORS[2])
    message = replace(message, **changes)
    signed = sign_acceptance(DOMAIN, key or KEYS[asked.keeper.farmer.id - 1], message)
    return AcceptanceAnswer.model_construct(
        farmer=message.farmer,
        slot=message.slot,
        root=message.root,
        rate=message.rate,
        max_egress_price_per_gib=message.max_egress_price_per_gib,
        leaf_count=message.leaf_count,
        end=message.end,
        deadline_block=message.deadline_block,
        r=signed.r,
        vs=signed.vs,
    )


def test_what_was_asked_for_is_taken_as_the_market_takes_it() -> None:
    acceptance = TERMS.check(answered(request()), request(), DEADLINE)
    assert (acceptance.farmer, acceptance.root, acceptance.rate) == (1, ROOTS[0], RATE)
    cheaper = TERMS.check(answered(request(), rate=RATE - 1), request(), DEADLINE)
    assert cheaper.rate == RATE - 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"farmer": FarmerId(2)}, "another farmer"),
        ({"slot": 1}, "another slot"),
        ({"root": ROOTS[1]}, "another root"),
        ({"leaf_count": 1}, "another leaf count"),
        ({"end": Epoch(48)}, "another end"),
        ({"rate": RATE + 1}, "another price"),
    ],
)
def test_what_was_not_asked_for_is_a_lie(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(FarmerLied, match=words):
        TERMS.check(answered(request(), **changes), request(), DEADLINE)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda: answered(request(), key=KEYS[1]), OTHER_SIGNER_CODE),
        (lambda: answered(request(), order=OrderId(b"\x0e" * 32)), OTHER_SIGNER_CODE),
        (lambda: answered(request(), previous=ROOTS[0]), OTHER_SIGNER_CODE),
        (lambda: answered(request(), deadline_block=DEADLINE - 1), LAPSES_CODE),
        (lambda: answered(request(), max_egress_price_per_gib=1), DEARER_CODE),
    ],
    ids=["another key", "another order", "another use", "lapses too soon", "dearer to read than offered"],
)
def test_what_the_market_would_not_take_is_refused_and_is_not_a_lie(
    answer: Callable[[], AcceptanceAnswer], code: str
) -> None:
    """A key may have been rotated since, and time passes."""
    with pytest.raises(FarmerRefused) as raised:
        TERMS.check(answer(), request(), DEADLINE)
    assert raised.value.code == code


@pytest.mark.parametrize("asked", [4, 5, 6])
def test_reading_costs_no_more_than_a_mandate_pays_whatever_the_offer_says(asked: int) -> None:
    """A farmer that wants more is left out, as the market would refuse the extension of all."""
    terms = replace(TERMS, highest_egress_price=5)
    farmer = request().keeper.farmer
    dear = replace(farmer, offer=replace(farmer.offer, egress_price_per_gib=10))
    of_it = replace(request(), keeper=Keeper(farmer=dear, rate=RATE))
    answer = answered(of_it, max_egress_price_per_gib=asked)
    if asked > 5:
        with pytest.raises(FarmerRefused) as raised:
            terms.check(answer, of_it, DEADLINE)
        assert raised.value.code == DEARER_CODE
    else:
        assert terms.check(answer, of_it, DEADLINE).max_egress_price_per_gib == asked


def test_a_vacant_slot_is_taken_over_at_its_very_rate_and_from_its_present_tenure() -> None:
    asked = request(1)
    good = answered(asked, previous=tenure_word(Epoch(4)))
    takeover = takeover_from(1, TAKING_OVER.check(good, asked, DEADLINE))
    assert (takeover.slot, takeover.farmer, takeover.deadline_block) == (1, 2, DEADLINE)
    with pytest.raises(FarmerLied, match="another price"):
        TAKING_OVER.check(answered(asked, previous=tenure_word(Epoch(4)), rate=RATE - 1), asked, DEADLINE)
    with pytest.raises(FarmerRefused):
        TAKING_OVER.check(answered(asked, previous=tenure_word(Epoch(3))), asked, DEADLINE)


def test_a_slot_that_is_handed_over_is_signed_for_its_giver_alone() -> None:
    asked, by_tenure = request(1), {"previous": tenure_word(Epoch(4)), "repairer": NOBODY}
    good = answered(asked, **by_tenure, giver=FarmerId(9))
    takeover = takeover_from(1, HANDING_OVER.check(good, asked, DEADLINE))
    assert (takeover.slot, takeover.farmer, takeover.deadline_block) == (1, 2, DEADLINE)
    assert isinstance(HANDING_OVER.body(asked), HandOverRequest)
    assert isinstance(TAKING_OVER.body(asked), TakeOverRequest)
    for giver in (NO_GIVER, FarmerId(8)):
        with pytest.raises(FarmerRefused):
            HANDING_OVER.check(answered(asked, **by_tenure, giver=giver), asked, DEADLINE)
    with pytest.raises(FarmerLied, match="another price for reading"):
        HANDING_OVER.check(
            answered(asked, **by_tenure, giver=FarmerId(9), max_egress_price_per_gib=1), asked, DEADLINE
        )


@dataclass
class Signing:
    """A farmer that signs what it is asked, after so many errors."""

    farmer: Farmer
    asked: SlotRequest
    errors: list[Exception] = field(default_factory=list)
    bodies: list[AcceptanceRequest] = field(default_factory=list)

    async def accept(self, order: OrderId, slot: int, body: AcceptanceRequest) -> AcceptanceAnswer:
        self.bodies.append(body)
        if self.errors:
            raise self.errors.pop(0)
        assert (order, slot) == (ORDER, self.asked.slot)
        return answered(self.asked)  # type: ignore[no-any-return]


async def collected(peers: list[Signing], **options: Any) -> dict[int, Acceptance | UserError]:
    by_id = {peer.farmer.id: peer for peer in peers}

    async def sleep(_: float) -> None:
        pass

    return await collect(
        [peer.asked for peer in peers],
        TERMS,
        open_peer=lambda farmer: by_id[farmer.id],  # type: ignore[arg-type, return-value]
        policy=RetryPolicy(sleep=sleep),
        deadline_block=DEADLINE,
        **options,
    )


async def test_each_slot_has_an_acceptance_or_the_reason_why_not() -> None:
    """One that fails costs the others nothing, whatever kind of error it is."""
    peers = [Signing(farmer_of(slot + 1), request(slot)) for slot in range(3)]
    peers[0].errors = [FarmerRefused("no more stake", status=409, code="stake_too_small")]
    peers[2].errors = [ZeroDivisionError("a bug")]
    answers = await collected(peers)
    assert isinstance(answers[1], Acceptance)
    assert [type(answers[slot]).__name__ for slot in (0, 2)] == ["FarmerRefused", "FarmerErrorContained"]
    assert peers[1].bodies[0].root == ROOTS[1]


async def test_one_that_does_not_answer_at_first_is_asked_again() -> None:
    [peer] = peers = [Signing(farmer_of(1), request(0))]
    peer.errors = [FarmerUnreachable("away"), FarmerRefused("busy", status=409, code="conflict")]
    assert isinstance((await collected(peers))[0], Acceptance)
    peer.errors = [FarmerRefused("too soon", status=0, code=LAPSES_CODE)]
    assert isinstance((await collected(peers))[0], FarmerRefused)
    peer.errors = [FarmerRefused("too soon", status=0, code=LAPSES_CODE)]
    assert isinstance((await collected(peers, is_last=lambda: True))[0], Acceptance)


def test_reading_costs_what_was_signed_and_at_most_what_was_offered() -> None:
    offer = replace(farmer_of(1).offer, egress_price_per_gib=8)
    seller = replace(request(), keeper=Keeper(farmer=replace(farmer_of(1), offer=offer), rate=RATE))
    for price in (0, 7, 8):
        signed = TERMS.check(answered(seller, max_egress_price_per_gib=price), seller, DEADLINE)
        assert signed.max_egress_price_per_gib == price
    with pytest.raises(FarmerRefused):
        TERMS.check(answered(seller, max_egress_price_per_gib=9), seller, DEADLINE)


def test_a_vacant_slot_keeps_its_price_for_reading() -> None:
    slots = tuple(replace(slot, max_egress_price_per_gib=5) for slot in HELD.slots)
    taking_over = replace(TAKING_OVER, held=replace(HELD, slots=slots))
    previous = tenure_word(HELD.slots[0].start)
    answer = answered(request(), previous=previous, max_egress_price_per_gib=5)
    assert taking_over.check(answer, request(), DEADLINE)
    for price in (4, 6):
        answer = answered(request(), previous=previous, max_egress_price_per_gib=price)
        with pytest.raises(FarmerLied, match="another price for reading"):
            taking_over.check(answer, request(), DEADLINE)

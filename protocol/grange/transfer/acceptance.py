"""Asking farmers for the acceptances of an order's slots, and checking what they sign.

    terms = AcceptanceTerms(domain=..., order=..., geometry=..., end=..., salt=...)
    answers = await collect(requests, terms, open_peer=..., policy=..., deadline_block=...)

The market checks signature and deadline again, and would refuse the whole order for one bad slot; what it
cannot know, such as a root that is not the one that we sent, would be paid for. So all is checked here first.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from grange.chain import Farmer
from grange.errors import BadSignature, UserError
from grange.layout import Geometry
from grange.messages import (
    NO_GIVER,
    NO_ORDER,
    NOBODY,
    AcceptanceMessage,
    Domain,
    acceptance_signer,
    tenure_word,
)
from grange.peer import (
    FARMER_FAULTS,
    FarmerLied,
    FarmerRefused,
    dealing_with,
)
from grange.transfer.directory import OpenPeer
from grange.transfer.retry import LAPSES_CODE, RetryPolicy
from grange.types import Acceptance, Address, Epoch, FarmerId, Held, OrderId
from grange.units import MAX_RATE
from grange.wire.bodies import (
    AcceptanceAnswer,
    AcceptanceRequest,
    ExtendRequest,
    HandOverRequest,
    MandateRequest,
    PlaceRequest,
    TakeOverRequest,
)

DEARER_CODE = "dearer"
"""Our own word for an acceptance by which reading may cost more than the farmer's offer says."""
OTHER_SIGNER_CODE = "signer"
"""Our own word for an acceptance that another key signed than the chain has as the farmer's operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """A farmer that is to keep a slot, and what it is paid.

    `reason` says why it and not the one before it; empty for the first.
    """

    farmer: Farmer
    rate: int
    """Base units per epoch."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRequest:
    """One slot for which an acceptance is asked."""

    slot: int
    root: bytes
    keeper: Keeper


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceTerms:
    """What is the same for all slots of an order. For slots that another farmer has, it is shown as it is
    `held`: to take over vacant ones for a `repairer`, or those that a `giver` passes on."""

    domain: Domain
    order: OrderId
    geometry: Geometry
    end: Epoch
    salt: bytes = b""
    previous: OrderId = NO_ORDER
    """The order that this one extends."""
    repairer: Address = NOBODY
    """Who is paid the bounties, or the fee for extending by mandate."""
    giver: FarmerId = NO_GIVER
    highest_egress_price: int = MAX_RATE
    """The most that may be asked for reading a GiB, whatever a farmer's offer says."""
    held: Held | None = None

    def body(self, request: SlotRequest) -> AcceptanceRequest:
        """What the farmer of a slot is asked to accept, as it goes over the wire."""
        if self.held is not None and self.giver:
            return HandOverRequest.showing(self.held)
        if self.held is not None:
            return TakeOverRequest.showing(self.held, self.repairer)
        if self.repairer != NOBODY:
            return MandateRequest(previous=self.previous)
        placing = PlaceRequest(
            salt=self.salt,
            k=self.geometry.k,
            pieces=self.geometry.segments,
            piece_leaves=self.geometry.piece_leaves,
            root=request.root,
            rate=request.keeper.rate,
            end=self.end,
        )
        if self.previous == NO_ORDER:
            return placing
        return ExtendRequest(**placing.model_dump(exclude={"use"}), previous=self.previous)

    def _previous(self, slot: int) -> bytes:
        return self.previous if self.held is None else tenure_word(self.held.slots[slot].start)

    def check(self, answer: AcceptanceAnswer, request: SlotRequest, deadline_block: int) -> Acceptance:
        """The acceptance as the market takes it.

        Raises FarmerLied when it is for anything else than what was asked for, or dearer; FarmerRefused when
        it lapses before `deadline_block`, when reading may cost more than the farmer's offer says, or when
        another key than the operator's signed it for this use.
        """
        farmer, rate = request.keeper.farmer, request.keeper.rate
        asked = {
            "farmer": (answer.farmer, farmer.id),
            "slot": (answer.slot, request.slot),
            "root": (answer.root, request.root),
            "leaf count": (answer.leaf_count, self.geometry.leaf_count),
            "end": (answer.end, self.end),
        }
        for name, (got, expected) in asked.items():
            if got != expected:
                raise FarmerLied(f"Farmer {farmer.id} accepts another {name} than was asked for.")
        if not 0 < answer.rate <= rate or (self.held is not None and answer.rate != rate):
            raise FarmerLied(f"Farmer {farmer.id} accepts at another price than was offered.")
        self._check_egress(answer, request)
        message = AcceptanceMessage(
            order=self.order,
            farmer=farmer.id,
            slot=request.slot,
            root=answer.root,
            leaf_count=answer.leaf_count,
            rate=answer.rate,
            max_egress_price_per_gib=answer.max_egress_price_per_gib,
            end=Epoch(answer.end),
            deadline_block=answer.deadline_block,
            previous=self._previous(request.slot),
            repairer=self.repairer,
            giver=self.giver,
        )
        try:
            signer = acceptance_signer(self.domain, message, r=answer.r, vs=answer.vs)
        except BadSignature as error:
            raise FarmerLied(f"Farmer {farmer.id}'s signature is not valid.") from error
        if signer != farmer.operator:
            # Its key may have been rotated since we looked, or our endpoint be behind: that is not a lie.
            raise FarmerRefused(
                f"Farmer {farmer.id}'s acceptance is signed by {signer}, who is not its operator.",
                status=0,
                code=OTHER_SIGNER_CODE,
            )
        if answer.deadline_block < deadline_block:
            raise FarmerRefused(
                f"Farmer {farmer.id}'s acceptance lapses at block {answer.deadline_block}: too soon.",
                status=0,
                code=LAPSES_CODE,
            )
        return Acceptance(
            farmer=farmer.id,
            root=answer.root,
            rate=answer.rate,
            max_egress_price_per_gib=answer.max_egress_price_per_gib,
            deadline_block=answer.deadline_block,
            r=answer.r,
            vs=answer.vs,
        )

    def _check_egress(self, answer: AcceptanceAnswer, request: SlotRequest) -> None:
        """A slot that another had keeps its price for reading; anyone else was chosen by its offer, which it
        may have raised since."""
        farmer, most = request.keeper.farmer, answer.max_egress_price_per_gib
        if self.held is not None and most != self.held.slots[request.slot].max_egress_price_per_gib:
            raise FarmerLied(f"Farmer {farmer.id} accepts another price for reading than the slot has.")
        if self.held is None and most > min(farmer.offer.egress_price_per_gib, self.highest_egress_price):
            raise FarmerRefused(
                f"Farmer {farmer.id} wants more for reading than its offer on chain says, or we pay.",
                status=0,
                code=DEARER_CODE,
            )


async def collect(
    requests: Iterable[SlotRequest],
    terms: AcceptanceTerms,
    *,
    open_peer: OpenPeer,
    policy: RetryPolicy,
    deadline_block: int,
    is_last: Callable[[], bool] = lambda: False,
) -> dict[int, Acceptance | UserError]:
    """What each farmer answers, by slot: an acceptance that is good until `deadline_block`, or why there is
    none. All are asked at once. `is_last` says that no other farmer could take the place of one."""

    async def one(request: SlotRequest) -> Acceptance | UserError:
        farmer = request.keeper.farmer

        async def ask() -> Acceptance:
            answer = await open_peer(farmer).accept(terms.order, request.slot, terms.body(request))
            return terms.check(answer, request, deadline_block)

        try:
            with dealing_with(farmer.id):
                return await policy.call(ask, is_last=is_last)
        except FARMER_FAULTS as error:
            return error

    wanted = list(requests)
    answers = await asyncio.gather(*map(one, wanted))
    return {request.slot: answer for request, answer in zip(wanted, answers, strict=True)}

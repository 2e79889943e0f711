"""Whether a farmer's promise is the one that was asked for. Pure: values in, an acceptance or an error out.

The market checks signature and deadline again, and would refuse the whole order for one bad slot; what it
cannot know, such as a root that is not the one we sent, would be paid for. So everything is checked here
first.
"""

from grange.chain import Farmer
from grange.errors import BadSignature
from grange.messages import Domain, acceptance_signer
from grange.peer.answers import Promise, Proposal
from grange.peer.errors import FarmerLied, FarmerRefused
from grange.types import Acceptance, Epoch, OrderId, Takeover

LAPSES_CODE = "deadline"
"""Our own word for a promise that is right and lapses too soon."""
OTHER_SIGNER_CODE = "signer"
"""Our own word for a promise that somebody else signed than the chain has as its operator."""


def checked_acceptance(
    promise: Promise,
    *,
    domain: Domain,
    order: OrderId,
    slot: int,
    farmer: Farmer,
    proposal: Proposal,
    deadline_block: int,
) -> Acceptance:
    """The acceptance as the market takes it: to place, to extend, or (see `checked_takeover`) to take over.

    Raises FarmerLied when it is for anything else than what was asked, or dearer; FarmerRefused when it
    lapses before `deadline_block`, or anyone but the farmer's operator signed it for this order and market.
    """
    asked = {
        "farmer": (promise.farmer, farmer.id),
        "slot": (promise.slot, slot),
        "root": (promise.root, proposal.root),
        "leaf count": (promise.leaf_count, proposal.leaf_count),
        "end": (promise.end, proposal.end),
    }
    for name, (got, expected) in asked.items():
        if got != expected:
            raise FarmerLied(f"Farmer {farmer.id} promises another {name} than was asked for.")
    if not 0 < promise.rate <= proposal.rate:
        raise FarmerLied(f"Farmer {farmer.id} promises at another price than was offered.")
    acceptance = Acceptance(
        farmer=farmer.id,
        root=promise.root,
        rate=promise.rate,
        deadline_block=promise.deadline_block,
        r=promise.r,
        vs=promise.vs,
    )
    try:
        signer = acceptance_signer(
            domain,
            acceptance,
            order=order,
            slot=slot,
            leaf_count=proposal.leaf_count,
            end=Epoch(promise.end),
            previous=proposal.follows(slot),
            repairer=proposal.repairer,
        )
    except BadSignature as error:
        raise FarmerLied(f"Farmer {farmer.id}'s signature is not valid.") from error
    if signer != farmer.operator:
        # Its key may have been rotated since we looked, or our endpoint be behind: that is no lie.
        raise FarmerRefused(
            f"Farmer {farmer.id}'s promise is signed by {signer}, who is not its operator.",
            status=0,
            code=OTHER_SIGNER_CODE,
        )
    if promise.deadline_block < deadline_block:
        raise FarmerRefused(
            f"Farmer {farmer.id}'s promise lapses at block {promise.deadline_block}, which is too soon.",
            status=0,
            code=LAPSES_CODE,
        )
    return acceptance


def checked_takeover(
    promise: Promise,
    *,
    domain: Domain,
    order: OrderId,
    slot: int,
    farmer: Farmer,
    proposal: Proposal,
    deadline_block: int,
) -> Takeover:
    """The consent to take over a vacant slot, at its very rate. Raises as `checked_acceptance` does."""
    if promise.rate != proposal.rate:
        raise FarmerLied(f"Farmer {farmer.id} promises at another price than the slot has.")
    acceptance = checked_acceptance(
        promise,
        domain=domain,
        order=order,
        slot=slot,
        farmer=farmer,
        proposal=proposal,
        deadline_block=deadline_block,
    )
    return Takeover(
        slot=slot,
        farmer=acceptance.farmer,
        deadline_block=acceptance.deadline_block,
        r=acceptance.r,
        vs=acceptance.vs,
    )

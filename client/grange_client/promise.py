"""Whether a farmer's promise is the one that was asked for. Pure: values in, an acceptance or an error out.

The market checks signature and deadline again, and would refuse the whole order for one bad slot; what it
cannot know, such as a root that is not the one we sent, would be paid for. So everything is checked here
first.
"""

from grange.errors import BadSignature
from grange.messages import Domain, acceptance_signer
from grange.types import Acceptance, Epoch, OrderId, Terms
from grange_client.answers import Promise, Proposal
from grange_client.errors import FarmerLied, FarmerRefused
from grange_client.select import Chosen

LAPSES_CODE = "deadline"
"""Our own word for a promise that is right and lapses too soon."""


def checked_acceptance(
    promise: Promise,
    *,
    domain: Domain,
    order: OrderId,
    slot: int,
    chosen: Chosen,
    proposal: Proposal,
    terms: Terms,
    deadline_block: int,
) -> Acceptance:
    """The acceptance as the market takes it.

    Raises FarmerLied when it is for anything else than what was asked, dearer, or signed by anyone but the
    farmer's operator for this order on this market; FarmerRefused when it lapses before `deadline_block`.
    """
    farmer = chosen.farmer
    asked = {
        "farmer": (promise.farmer, farmer.id),
        "slot": (promise.slot, slot),
        "root": (promise.root, proposal.root),
        "leaf count": (promise.leaf_count, terms.leaf_count),
        "end": (promise.end, terms.end),
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
            domain, acceptance, order=order, slot=slot, leaf_count=terms.leaf_count, end=Epoch(promise.end)
        )
    except BadSignature as error:
        raise FarmerLied(f"Farmer {farmer.id} signed its promise with nobody's key.") from error
    if signer != farmer.operator:
        raise FarmerLied(f"Farmer {farmer.id}'s promise is signed by {signer}, who is not its operator.")
    if promise.deadline_block < deadline_block:
        raise FarmerRefused(
            f"Farmer {farmer.id}'s promise lapses at block {promise.deadline_block}, which is too soon.",
            status=0,
            code=LAPSES_CODE,
        )
    return acceptance

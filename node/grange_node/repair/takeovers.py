"""Asking the farmers that are to have the slots of an order for their signatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from grange.chain import Farmer
from grange.chain.orders import OrderState
from grange.errors import UserError
from grange.messages import NO_GIVER, NOBODY, Domain, takeover_from
from grange.peer import Peer
from grange.transfer.acceptance import AcceptanceTerms, Keeper, SlotRequest, collect
from grange.transfer.retry import RetryPolicy
from grange.types import Acceptance, Address, FarmerId, Takeover


async def collect_takeovers(
    order_state: OrderState,
    keepers: Mapping[int, Keeper],
    *,
    domain: Domain,
    open_peer: Callable[[Farmer], Peer],
    policy: RetryPolicy,
    deadline_block: int,
    repairer: Address = NOBODY,
    giver: FarmerId = NO_GIVER,
) -> tuple[list[Takeover], dict[int, UserError]]:
    """What the keepers sign, by slot, for a `repairer` or for the `giver` that hands the slots over, good up
    to `deadline_block` at least; and why others do not sign."""
    answers = await collect(
        [
            SlotRequest(slot=slot, root=order_state.slots[slot].root, keeper=keeper)
            for slot, keeper in keepers.items()
        ],
        AcceptanceTerms(
            domain=domain,
            order=order_state.id,
            geometry=order_state.geometry,
            end=order_state.end,
            repairer=repairer,
            giver=giver,
            held=order_state.held,
        ),
        open_peer=open_peer,
        policy=policy,
        deadline_block=deadline_block,
    )
    takeovers, failed = list[Takeover](), dict[int, UserError]()
    for slot, answer in answers.items():
        if isinstance(answer, Acceptance):
            takeovers.append(takeover_from(slot, answer))
        else:
            failed[slot] = answer
    return takeovers, failed

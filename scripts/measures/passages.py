"""What it costs to pass slots on, to take one back that was lost, and to extend an order by mandate."""

from __future__ import annotations

from collections.abc import Sequence

from grange import audit
from grange.chain import Sender, calls
from grange.messages import (
    AcceptanceMessage,
    extension_id,
    held_group,
    sign_acceptance,
    sign_takeover,
    tenure_word,
)
from grange.types import Epoch, Held, MandateTerms, Parting, Passing
from grange.units import TOKEN
from measures.farms import Farm
from measures.ground import PARAMETERS, RATE, Ground

ORDERS = 16
PASSED = 4
"""Slots in a call, each of another order; the taker has taken one before."""
TERM_EPOCHS = 60
GAS_TOKEN_WEI = 10**18
MANDATE = 1


async def measure_passing(ground: Ground, slots: int) -> None:
    """A farmer with a slot in each of some orders passes four of them on at once: from the front of its book,
    and from within it. It has lost another one, and takes that back."""
    farms = await ground.farms(slots)
    giver, (taker,) = farms[0], await ground.farms(1)
    grid = PARAMETERS.grid_epochs
    epoch = await ground.begin_epoch()
    end = Epoch((epoch + TERM_EPOCHS) // grid * grid)
    held = []
    for _ in range(ORDERS):
        head = await ground.chain.head()
        prepared = ground.prepare(farms, head, end)
        await ground.gas(calls.place(prepared.terms, prepared.acceptances))
        held.append(prepared.enter(head.epoch))
    await ground.begin_epoch()
    await ground.together(await ground.proofs([giver]))
    await ground.devnet.faucet(giver.operator.address, GAS_TOKEN_WEI)
    sender = Sender(ground.chain, giver.operator, policy=ground.sender.policy)
    lost = ORDERS - 1
    await ground.gas(
        calls.declare_loss(giver.id, end, audit.loss_words(giver.book(end), lost)), sender=sender
    )
    ground.put(f"recover_{slots}", await ground.gas(calls.recover(giver.id, held[lost], 0), sender=sender))

    async def passed(first: int, count: int) -> float:
        passings = [
            await _passing(ground, giver, taker, held[index], index) for index in range(first, first + count)
        ]
        parting = Parting(end=end, extension=False, passings=tuple(passings))
        return await ground.gas(calls.hand_over(giver.id, [parting]), sender=sender) / count

    ground.put(f"hand_over_{slots}_alone", await passed(0, 1))
    ground.put(f"hand_over_per_slot_{slots}", await passed(1, PASSED))
    ground.put(f"hand_over_per_slot_{slots}_from_within", await passed(PASSED + 3, PASSED))


async def _passing(ground: Ground, giver: Farm, taker: Farm, held: Held, index: int) -> Passing:
    book = next(iter(giver.books.values()))
    slot = held.slots[0]
    head = await ground.chain.head()
    message = AcceptanceMessage(
        order=held.order,
        farmer=taker.id,
        slot=0,
        root=slot.root,
        leaf_count=held.leaf_count,
        rate=slot.rate,
        max_egress_price_per_gib=slot.max_egress_price_per_gib,
        end=book.end,
        deadline_block=head.number + PARAMETERS.epoch_blocks,
        previous=tenure_word(slot.start),
        giver=giver.id,
    )
    return Passing(
        held=held_group(held, 0),
        index=index,
        first=book.entries[index].first,
        path=tuple(book.mountain.path(index)),
        takeover=sign_takeover(ground.chain.domain, taker.operator.private_key, message),
    )


async def measure_mandate(ground: Ground, held: Held, farms: Sequence[Farm], end: Epoch) -> int:
    """What it takes to extend an order by mandate until then, for the fee, by an account that has earned
    before. Then it never happened."""
    before = Epoch(end - PARAMETERS.grid_epochs)
    terms = MandateTerms(
        highest_price=TOKEN,
        highest_egress_price=TOKEN,
        fee=1,
        until=end,
        term_epochs=end - before,
        total=10**6 * TOKEN,
    )
    head = await ground.chain.head()
    extender = ground.wallet.address
    acceptances = [
        sign_acceptance(
            ground.chain.domain,
            farm.operator.private_key,
            AcceptanceMessage(
                order=extension_id(held.order, end),
                farmer=farm.id,
                slot=slot,
                root=held.slots[slot].root,
                leaf_count=held.leaf_count,
                rate=RATE,
                end=end,
                deadline_block=head.number + PARAMETERS.epoch_blocks,
                previous=held.order,
                repairer=extender,
            ),
        )
        for slot, farm in enumerate(farms)
    ]
    async with ground.undone():
        await ground.gas(calls.give_mandate(MANDATE, terms, orders=[held.order]))
        return await ground.gas(calls.extend_by_mandate(held, acceptances, extender))

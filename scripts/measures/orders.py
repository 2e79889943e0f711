"""An order's life, call by call, for orders of several sizes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from grange.chain import calls
from grange.messages import AcceptanceMessage, sign_takeover, tenure_word
from grange.types import Epoch, Held
from measures.farms import Farm
from measures.ground import PARAMETERS, RATE, Ground
from measures.passages import measure_mandate

ORDERS = 16
TERM_EPOCHS = 60


async def measure_place(ground: Ground, slots: int) -> None:
    """Orders at farmers that were fresh before the first: all go into the same books."""
    farms = await ground.farms(slots)
    end = _date(Epoch(await ground.begin_epoch() + TERM_EPOCHS))
    gas = []
    for _ in range(ORDERS):
        prepared = ground.prepare(farms, await ground.chain.head(), end)
        gas.append(await ground.gas(calls.place(prepared.terms, prepared.acceptances)) / slots)
    name = f"place_per_slot_{slots}"
    ground.put(name, statistics.mean(gas[1:]))
    ground.put(f"{name}_first", gas[0])
    ground.put(f"{name}_second", gas[1])
    ground.put(f"{name}_min", min(gas[1:]))
    ground.put(f"{name}_max", max(gas[1:]))
    prepared = ground.prepare(farms, await ground.chain.head(), end)
    async with ground.permit(slots * RATE * TERM_EPOCHS) as permit:
        with_permit = await ground.gas(calls.place(prepared.terms, prepared.acceptances, permit))
    ground.put(f"{name}_with_permit", with_permit / slots)


async def measure_life(ground: Ground, slots: int) -> None:
    """Orders that are extended and closed, one whose farmers vanish, so that others take all of it, and one
    whose farmers vanished and that is closed with nobody having settled or evicted them."""
    farms = await ground.farms(4 * slots)
    kept, late, takers, gone = [farms[start : start + slots] for start in range(0, 4 * slots, slots)]
    absence = PARAMETERS.max_misses + 3
    end = _date(Epoch(await ground.chain.current_epoch() + PARAMETERS.grid_epochs + absence))
    await ground.go_to(Epoch(end - absence))
    abandoned = await _placed(ground, gone, end)
    await ground.go_to(Epoch(end - 3))
    proven, other = [await _placed(ground, kept, end) for _ in range(2)]
    missed = await _placed(ground, late, end)
    for epoch in (end - 2, end - 1):
        await ground.go_to(Epoch(epoch))
        await ground.together(await ground.proofs([*kept, *(late if epoch == end - 1 else late[1:])]))
    after = Epoch(end + PARAMETERS.grid_epochs)
    await _extended(ground, other, kept, after, f"extend_per_slot_{slots}_first")
    extended = await _extended(ground, proven, kept, after, f"extend_per_slot_{slots}")
    await ground.go_to(Epoch(end + 1))
    ground.put(f"close_{slots}", await ground.gas(calls.close(missed)))
    ground.put(f"close_{slots}_all_proven", await ground.gas(calls.close(proven)))
    ground.put(f"close_{slots}_to_be_evicted", await ground.gas(calls.close(abandoned)))
    await ground.go_to(Epoch(end + PARAMETERS.max_misses))
    evicted = await ground.together([calls.evict(farm.id) for farm in kept])
    ground.put(f"evict_of_an_order_of_{slots}", statistics.mean(receipt.gas_used for receipt in evicted))
    await _placed(ground, takers, after)
    gas = await _refilled(ground, extended, takers, after)
    ground.put(f"refill_per_slot_{slots}", gas / slots)


async def _placed(ground: Ground, farms: Sequence[Farm], end: Epoch) -> Held:
    head = await ground.chain.head()
    prepared = ground.prepare(farms, head, end)
    await ground.gas(calls.place(prepared.terms, prepared.acceptances))
    return prepared.enter(head.epoch)


async def _extended(ground: Ground, held: Held, farms: Sequence[Farm], end: Epoch, name: str) -> Held:
    """Extended with a permit and without, in the same state: only the latter stays."""
    head = await ground.chain.head()
    before = _date(Epoch(head.epoch + PARAMETERS.grid_epochs))
    prepared = ground.prepare(farms, head, end, previous=held.order)
    async with ground.undone(), ground.permit(len(farms) * RATE * (end - before)) as permit:
        gas = await ground.gas(calls.extend(held, prepared.terms, prepared.acceptances, permit))
        ground.put(f"{name}_with_permit", gas / len(farms))
    by_mandate = await measure_mandate(ground, held, farms, end)
    gas = await ground.gas(calls.extend(held, prepared.terms, prepared.acceptances))
    ground.put(name, gas / len(farms))
    ground.put(f"{name}_by_mandate", by_mandate / len(farms))
    ground.put(f"{name}_by_mandate_more", by_mandate - gas)
    return prepared.enter(Epoch(before - 1), extension=True)


async def _refilled(ground: Ground, held: Held, takers: Sequence[Farm], end: Epoch) -> int:
    head = await ground.chain.head()
    takeovers = [
        sign_takeover(
            ground.chain.domain,
            taker.operator.private_key,
            AcceptanceMessage(
                order=held.order,
                farmer=taker.id,
                slot=slot,
                root=held.slots[slot].root,
                leaf_count=held.leaf_count,
                rate=RATE,
                end=end,
                deadline_block=head.number + PARAMETERS.epoch_blocks,
                previous=tenure_word(held.slots[slot].start),
                repairer=ground.wallet.address,
            ),
        )
        for slot, taker in enumerate(takers)
    ]
    return await ground.gas(calls.refill(held, ground.wallet.address, takeovers))


def _date(epoch: Epoch) -> Epoch:
    """The last grid date up to an epoch."""
    return Epoch(epoch // PARAMETERS.grid_epochs * PARAMETERS.grid_epochs)

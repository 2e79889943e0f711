"""What a farmer of 1 TiB costs, in however many slots it keeps it."""

from __future__ import annotations

import statistics

from grange import audit
from grange.chain import Sender, calls
from grange.types import Epoch
from grange.units import LEAF_BYTES, MAX_PIECE_LEAVES
from measures.farms import Farm
from measures.ground import PARAMETERS, Ground

FARM_BYTES = 1 << 40
PROOFS = 4
TERM_EPOCHS = 120
EPOCHS_A_MONTH = 30
GAS_TOKEN_WEI = 10**18


async def measure_farmer(ground: Ground, slots: int, lost: tuple[int, ...] = ()) -> None:
    """It proves, loses some slots if `lost` says so, and vanishes. After a missed epoch it is settled; after
    its lapse it is evicted, once with the settling in the same call and once with it before."""
    (farm,) = await ground.farms(1)
    pieces = -(-FARM_BYTES // (slots * LEAF_BYTES * MAX_PIECE_LEAVES))
    grid = PARAMETERS.grid_epochs
    end = Epoch((await ground.chain.current_epoch() + TERM_EPOCHS) // grid * grid)
    await ground.fill(farm, slots, pieces * MAX_PIECE_LEAVES, end)
    gas, words = [], 0
    for _ in range(PROOFS + 1):
        await ground.begin_epoch()
        (proof,) = await ground.proofs([farm])
        gas.append(await ground.gas(proof))
        words = len(proof.args[2])
    name = f"prove_5_samples_1TiB_{slots}_slots"
    ground.put(name, statistics.mean(gas[1:]))
    ground.put(f"{name}_first", gas[0])
    ground.put(f"{name}_min", min(gas[1:]))
    ground.put(f"{name}_max", max(gas[1:]))
    ground.put(f"{name}_words", words)
    ground.put(f"month_{slots}_slots", EPOCHS_A_MONTH * statistics.mean(gas[1:]))
    if lost:
        await _declare(ground, farm, end, lost)
    last = await ground.chain.current_epoch()
    await ground.go_to(Epoch(last + 2))
    async with ground.undone():
        ground.put(f"settle_{slots}_slots", await ground.gas(calls.settle(farm.id)))
    await ground.go_to(Epoch(last + 1 + PARAMETERS.max_misses))
    async with ground.undone():
        ground.put(f"evict_{slots}_slots_unsettled", await ground.gas(calls.evict(farm.id)))
    await ground.gas(calls.settle(farm.id))
    ground.put(f"evict_{slots}_slots", await ground.gas(calls.evict(farm.id)))


async def measure_evict_of_all_books(ground: Ground) -> None:
    """A farmer with a slot to every date that there is, that vanishes until several of them have passed."""
    (farm,) = await ground.farms(1)
    epoch = await ground.begin_epoch()
    grid = PARAMETERS.grid_epochs
    dates = [Epoch((epoch // grid + nth) * grid) for nth in range(1, PARAMETERS.max_books + 1)]
    for date in dates:
        prepared = ground.prepare([farm], await ground.chain.head(), date)
        await ground.gas(calls.place(prepared.terms, prepared.acceptances))
    await ground.go_to(Epoch(epoch + 2 * grid))
    ground.put("evict_all_books_unsettled", await ground.gas(calls.evict(farm.id)))


async def _declare(ground: Ground, farm: Farm, end: Epoch, counts: tuple[int, ...]) -> None:
    """So many of its slots at once, each time others."""
    await ground.devnet.faucet(farm.operator.address, GAS_TOKEN_WEI)
    sender = Sender(ground.chain, farm.operator, policy=ground.sender.policy)
    book, next_index = farm.book(end), 0
    for count in counts:
        indices = range(next_index, next_index + count)
        words = [word for index in indices for word in audit.loss_words(book, index)]
        gas = await ground.gas(calls.declare_loss(farm.id, end, words), sender=sender)
        ground.put(f"declare_loss_per_slot_{count}", gas / count)
        next_index += count

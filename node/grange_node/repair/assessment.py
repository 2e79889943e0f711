"""How an order stands: which slots are live, which are vacant, and what is offered for those.

Follows the contract: a slot is vacant after the epoch in which its farmer declared it lost, or from the first
after its farmer lapsed; the bounty begins to rise with the declaration, or with the first block of the first
epoch after the lapse, whether the farmer is evicted or not. A slot of a farmer that still has to answer for
the epoch of its loss, or may still take it back, is neither live nor vacant. Decides nothing else: whether to
act on it is `grange.repair`'s to say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from grange.chain import Eviction, Farmer, Head, Loss
from grange.chain.orders import OrderState
from grange.repair import (
    Need,
    Vacancy,
    bounty_rounded_down,
    collateral_epochs_rounded_down,
    counted_on,
    full_bounty_rounded_down,
    last_recovery_block,
    most_bounty_rounded_down,
)
from grange.types import NO_FARMER, Epoch, FarmerId, Parameters, Slot
from grange_node.repair.market import RepairMarket


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A farmer's time with a slot is over: since when, and what of its stake the slot has."""

    since_block: int
    collateral: int
    lost_epoch: Epoch | None = None
    """If it was by a declaration of loss: the last epoch that its farmer answers for."""

    def may_be_taken_back(self, block: int, parameters: Parameters) -> bool:
        """Whether the farmer that declared it lost may find it again in the block after this."""
        auction_blocks = parameters.auction_epochs * parameters.epoch_blocks
        return self.lost_epoch is not None and block < last_recovery_block(self.since_block, auction_blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """An order at some block."""

    order_state: OrderState
    live: tuple[int, ...]
    """Slots to read from."""
    vacancies: tuple[Vacancy, ...]
    need: Need


async def assess(
    market: RepairMarket, order_state: OrderState, farmers: Mapping[FarmerId, Farmer], head: Head
) -> Assessment:
    """Look at each slot of an order. Raises ChainError."""
    parameters = market.parameters
    first = Epoch((head.number + 1) // parameters.epoch_blocks + 1)
    live: list[int] = []
    late = 0
    vacancies: list[Vacancy] = []
    for index, slot in enumerate(order_state.slots):
        if slot.farmer == NO_FARMER:
            since = began_vacant(slot, order_state.end, parameters)
            full = full_bounty(slot.rate, since.collateral, order_state.end - first, parameters)
            vacancies.append(Vacancy(slot=index, since_block=since.since_block, full_bounty=full))
            continue
        holder = farmers[slot.farmer]
        loss = await market.loss(order_state.id, index, slot.start) if index in order_state.lost else None
        eviction = await market.eviction(slot.farmer) if holder.lapsed else None
        ended = ending(slot, holder, loss, eviction, parameters)
        if ended is not None and ended.may_be_taken_back(head.number, parameters):
            continue
        if ended is not None:
            if ended.lost_epoch is not None and await market.missed(slot.farmer, ended.lost_epoch):
                ended = after_missed_loss(ended, slot, parameters)
            full = full_bounty(slot.rate, ended.collateral, order_state.end - first, parameters)
            vacancies.append(Vacancy(slot=index, since_block=ended.since_block, full_bounty=full))
        elif loss is None:
            live.append(index)
            late += holder.strikes > 0
    return Assessment(
        order_state=order_state,
        live=tuple(live),
        vacancies=tuple(vacancies),
        need=Need(
            k=order_state.k,
            n=order_state.n,
            live=counted_on(len(live), late, order_state.k),
            vacancies=tuple(vacancies) if first >= order_state.start else (),
            end_block=(order_state.end - 1) * parameters.epoch_blocks,
        ),
    )


def ending(
    slot: Slot, holder: Farmer, loss: Loss | None, eviction: Eviction | None, parameters: Parameters
) -> Ended | None:
    """Whether a slot is vacant, by what the contract says of it; None if not, or not yet."""
    if loss is not None and loss.lost_epoch <= holder.settled_epoch:
        return Ended(since_block=loss.lost_block, collateral=loss.collateral, lost_epoch=loss.lost_epoch)
    if not holder.lapsed:
        return None
    if eviction is not None:
        epochs = eviction.collateral_epochs
    else:
        epochs = collateral_epochs_rounded_down(
            stake=holder.stake,
            committed_rate=holder.committed_rate,
            collateral_epochs=parameters.collateral_epochs,
        )
    return Ended(
        since_block=(holder.settled_epoch + 1) * parameters.epoch_blocks, collateral=epochs * slot.rate
    )


def began_vacant(slot: Slot, end: Epoch, parameters: Parameters) -> Ended:
    """A slot that nobody had, of an order that ends with `end`: as much is set aside as a bounty can be."""
    return Ended(
        since_block=(slot.start - 1) * parameters.epoch_blocks,
        collateral=most_bounty_rounded_down(
            rate=slot.rate,
            epochs=end - slot.start,
            loss_per_miss=parameters.penalty + parameters.fine,
            collateral_epochs=parameters.collateral_epochs,
        ),
    )


def after_missed_loss(ended: Ended, slot: Slot, parameters: Parameters) -> Ended:
    """The epoch of the loss was missed: the slot's own collateral pays for that."""
    spent = (parameters.penalty + parameters.fine) * slot.rate
    return replace(ended, collateral=max(0, ended.collateral - spent))


def offered(looked: Assessment, slots: Collection[int], parameters: Parameters, block: int) -> int:
    """What the bounties of some slots come to in a block."""
    auction_blocks = parameters.auction_epochs * parameters.epoch_blocks
    return sum(
        bounty_rounded_down(vacancy.full_bounty, max(0, block - vacancy.since_block), auction_blocks)
        for vacancy in looked.vacancies
        if vacancy.slot in slots
    )


def full_bounty(rate: int, collateral: int, left_epochs: int, parameters: Parameters) -> int:
    """The most that is ever offered for a slot with so many epochs left."""
    return full_bounty_rounded_down(
        rate=rate,
        collateral=collateral,
        left_epochs=left_epochs,
        loss_per_miss=parameters.penalty + parameters.fine,
        collateral_epochs=parameters.collateral_epochs,
    )

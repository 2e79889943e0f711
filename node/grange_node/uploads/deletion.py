"""When what a slot holds may be removed: the one rule for all of it (docs/adr/0070).

    staged                    nobody came back to finish the upload, and no event says that it is placed,
                              or it says so of another upload of the slot, which we signed
    signed, never placed      its deadline is past by a buried block and by our own clock, and the contract,
                              asked for the order, has none; or the slot is another's
    placed at any time        the end that we signed is past by a buried block and by our own clock; or the
                              slot is another's, and we declared it lost ourselves, or handed it over

A slot is another's if the order's slots as its events tell them have another farmer there, since a whole
epoch, and hash to the `slotsHash` that the contract keeps. Of what was placed this counts only if we gave it
away: one endpoint can make up events, the hash, and that we have lapsed. Nothing else removes what was
placed: neither that the contract has no such order, nor an event, nor that events are missing. An endpoint
may lie in every answer; it cannot turn our clock, so the chain is taken to be no further than it can have
come by that (`sightings`).

Pure: values in, a decision out. Leaves asking and removing to `collector`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from grange.chain import Order
from grange.chain.orders import OrderState
from grange.types import Epoch, FarmerId
from grange_node.records import SlotRecord, SlotState

STAGING_IDLE_SECONDS: Final = 6 * 3600
"""How long a staged slot may wait for its next piece or for its acceptance, by a clock that nobody sets."""

COME_BACK_SECONDS: Final = 15 * 60
"""How long it may at least, after each start: anyone who fills it could not while the farm was away."""

PLACEMENT_GRACE_BLOCKS: Final = 64
"""Blocks after an acceptance's deadline in which a reorg could still bring a placement."""

END_GRACE_EPOCHS: Final = 1
"""Epochs after an order ends in which it can still be fetched, and after which a slot that another took over
is taken to be its."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """The time by all clocks that matter here: our own, and the chain as far as its events were read and our
    own clock bears that out."""

    seconds: float
    read_to_block: int
    epoch: Epoch


class Word(Enum):
    """What the contract, asked directly, says of a slot."""

    NOT_ASKED = auto()
    NO_ORDER = auto()
    ANOTHERS = auto()
    UNCLEAR = auto()
    """That it is ours, or nothing that could be checked."""


def is_due(record: SlotRecord, idle_seconds: float, now: Now, word: Word = Word.NOT_ASKED) -> bool:
    """Whether a slot is to be removed. `idle_seconds` is how long nobody has come to fill it."""
    if record.state is SlotState.STAGED:
        return not record.was_placed and idle_seconds > STAGING_IDLE_SECONDS
    if word is Word.ANOTHERS or _has_ended(record, now):
        return True
    return not record.was_placed and word is Word.NO_ORDER and _has_expired(record, now)


def idle_at_start(noted_seconds: float) -> float:
    """For how long nobody has come to fill a staged slot, when a process begins that finds this noted."""
    return min(max(0.0, noted_seconds), float(STAGING_IDLE_SECONDS - COME_BACK_SECONDS))


def is_worth_asking(record: SlotRecord, now: Now) -> bool:
    """Whether the contract's word could make a slot due."""
    if record.state is SlotState.STAGED or _has_ended(record, now):
        return False
    return record.given_up if record.was_placed else _has_expired(record, now)


def word_of(
    order: Order | None, order_state: OrderState | None, record: SlotRecord, farmer: FarmerId, epoch: Epoch
) -> Word:
    """What the contract's order and the slots that its events tell say of one of ours in an epoch."""
    if order is None:
        return Word.NO_ORDER
    slot = record.key.slot
    if order_state is None or slot >= order_state.n:
        return Word.UNCLEAR
    if order_state.slots_hash != order.slots_hash:
        return Word.UNCLEAR
    holder = order_state.slots[slot]
    if holder.farmer == farmer or epoch < holder.start + END_GRACE_EPOCHS:
        return Word.UNCLEAR
    return Word.ANOTHERS


def _has_ended(record: SlotRecord, now: Now) -> bool:
    buried = now.epoch >= record.agreed.end + END_GRACE_EPOCHS
    return buried and record.ends_at is not None and now.seconds >= record.ends_at


def _has_expired(record: SlotRecord, now: Now) -> bool:
    assert record.deadline_block is not None
    buried = now.read_to_block > record.deadline_block + PLACEMENT_GRACE_BLOCKS
    return buried and record.deadline_at is not None and now.seconds >= record.deadline_at

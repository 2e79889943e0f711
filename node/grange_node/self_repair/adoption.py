"""Taking slots into the ledger that the chain says are ours and of which the ledger knows nothing: after a
start with another data folder, or without the ledger.

Terms are taken as the chain tells them; what is not here of such a slot is damage, and is mended like any
other. One that was placed when this ledger had long begun, somebody else signed for, with our key, no matter
whether its bytes are here: that is kept in the ledger and said.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Final

from grange.chain import ChainUnavailable
from grange.chain.orders import OrderState
from grange.errors import GrangeError
from grange.executors import Executors
from grange.kernel import root_of_hashes
from grange.messages import NO_ORDER
from grange.types import OrderId
from grange.units import format_count
from grange_node.acceptance.terms import ACCEPTANCE_LIFE_BLOCKS
from grange_node.chain.chain_follower import ChainFollower, View
from grange_node.config import Config
from grange_node.errors import EndsNode, PieceDamaged
from grange_node.ledger.ledger import Ledger
from grange_node.pieces.capacity import Capacity
from grange_node.pieces.store import Store
from grange_node.records import AFTER_PLACING, Entry, SlotTerms
from grange_node.self_repair.damaged_pieces import DamagedPieces
from grange_node.self_repair.rebuilder import Rebuilder
from grange_node.slot_key import SlotKey

ADOPT_AGAIN_SECONDS: Final = 15.0
"""Between two questions about a slot that events gave us and its order did not."""

log = logging.getLogger("grange.farm")


class Adoption:
    """Looks for such slots, again and again."""

    def __init__(
        self,
        *,
        config: Config,
        store: Store,
        ledger: Ledger,
        capacity: Capacity,
        follower: ChainFollower,
        damaged_pieces: DamagedPieces,
        rebuilder: Rebuilder,
        steady: Callable[[], float],
        executors: Executors,
    ) -> None:
        """`steady` gives seconds by a clock that nobody sets."""
        self._config = config
        self._store = store
        self._ledger = ledger
        self._capacity = capacity
        self._follower = follower
        self._damaged_pieces = damaged_pieces
        self._rebuilder = rebuilder
        self._steady = steady
        self._executors = executors
        self._not_ours: dict[tuple[OrderId, int], float] = {}
        """Slots that events once gave us and that their orders do not, and when we asked."""

    async def adopt(self, view: View) -> None:
        """Take slots into the ledger that the chain says are ours and of which it knows nothing: after a
        start with another data folder, or without the ledger. However far its events were read: the order's
        own tell whose the slot is now."""
        if view.farmer.owner != self._config.owner:
            # Another chain, on which our number is somebody else's.
            return
        begun = await self._executors.in_database(self._ledger.begun_block, view.head.number)
        orphans = await self._executors.in_database(self._ledger.orphans, view.head.epoch)
        places = {(entry.order, entry.slot) for entry in orphans}
        self._not_ours = {place: asked for place, asked in self._not_ours.items() if place in places}
        for entry in orphans:
            place = entry.order, entry.slot
            if self._steady() - self._not_ours.get(place, -math.inf) < ADOPT_AGAIN_SECONDS:
                continue
            try:
                order_state = await self._rebuilder.order(entry.order)
            except (EndsNode, ChainUnavailable):
                raise
            except GrangeError as error:
                # One whose events cannot be had must not keep the others from being mended.
                log.warning("slot %d of order %s is not taken in: %s", entry.slot, entry.order.hex(), error)
                order_state = None
            if order_state is None or not order_state.holds(entry.slot, self._config.farmer):
                self._not_ours[place] = self._steady()
                continue
            self._not_ours.pop(place, None)
            key = SlotKey(renter=order_state.renter, order=entry.order, slot=entry.slot)
            terms = _terms(order_state, entry)
            lender = await self._executors.in_database(self._ledger.acceptance, terms.previous, key.slot)
            end_block = terms.end * self._config.parameters.epoch_blocks
            ends_at = await self._follower.date_of(end_block, view, attested=False)
            missing = await self._executors.on_disk(self._missing, key, terms)
            # Also when all of it is here: who has the key can bring the bytes as any renter does.
            is_unsigned = entry.block > begun + ACCEPTANCE_LIFE_BLOCKS
            adopt = partial(
                self._ledger.adopt, unsigned_operator=view.farmer.operator if is_unsigned else None
            )
            await self._executors.in_database(adopt, key, terms, entry.block, ends_at)
            self._capacity.forget(key)
            # It may have gone while we asked; then its bytes are ours.
            if lender is not None and self._store.shares and self._capacity.knows(lender.key):
                self._capacity.share(key, lender.key, terms.slot_bytes)
            else:
                self._capacity.add(key, terms.slot_bytes, pieces=terms.pieces)
            self._capacity.set_placed(key, True)
            if is_unsigned:
                log.error(
                    "%s was placed with this farm in block %d, and this farm did not sign for it: somebody "
                    "else may have the operator's key. What to do says: grange farm status",
                    key,
                    entry.block,
                )
            log.warning(
                "%s is ours by the chain and was not known; %d of its %s are here",
                key,
                terms.pieces - len(missing),
                format_count(terms.pieces, "piece"),
            )
            await self._executors.in_database(self._damaged_pieces.note, key, missing, view.head.epoch)

    def _missing(self, key: SlotKey, terms: SlotTerms) -> list[int]:
        """Which pieces are not here, by their names; all, if those that are make another slot."""
        every = list(range(terms.pieces))
        try:
            held = self._store.pieces(key)
        except PieceDamaged:
            return every
        missing = [piece for piece in every if piece not in held]
        if not missing and root_of_hashes(b"".join(held[piece].root for piece in every)) != terms.root:
            return every
        return missing


def _terms(order_state: OrderState, entry: Entry) -> SlotTerms:
    return SlotTerms(
        pieces=order_state.geometry.segments,
        piece_leaves=order_state.geometry.piece_leaves,
        root=entry.root,
        rate=entry.rate,
        max_egress_price_per_gib=order_state.slots[entry.slot].max_egress_price_per_gib,
        end=entry.end,
        previous=order_state.previous if entry.extension else NO_ORDER,
        start=entry.start if entry.extension else AFTER_PLACING,
    )

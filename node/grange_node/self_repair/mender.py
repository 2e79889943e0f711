"""Mending one slot: what can be read again is not damaged any more, an extension has its pieces from the slot
that it prolongs, and the rest is rebuilt from the other farmers as far as they show it in this epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Final

from grange.chain import ChainUnavailable
from grange.chain.orders import OrderState
from grange.errors import GrangeError
from grange.executors import Executors
from grange.kernel import root_of_hashes
from grange.messages import NO_ORDER
from grange.peer import OverBudget
from grange.reads import is_open, open_epoch
from grange.types import Epoch, FarmerId
from grange.units import format_count
from grange_node.chain.chain_follower import View
from grange_node.errors import EndsNode, Mismatch, NodeWorldError, PieceDamaged, PieceMissing, RepairStopped
from grange_node.pieces.store import Store
from grange_node.records import SlotRecord
from grange_node.self_repair.damaged_pieces import Damage, DamagedPieces
from grange_node.self_repair.judge import Judge
from grange_node.self_repair.rebuilder import Give, Rebuilder
from grange_node.self_repair.scrubber import is_whole
from grange_node.slot_key import SlotKey

TRIED_AGAIN: Final = 8
"""Pieces of a slot that are read once more before the others of the order are asked for all."""

log = logging.getLogger("grange.farm")


class Mender:
    """Mends slots one after the other."""

    def __init__(
        self,
        *,
        farmer: FarmerId,
        store: Store,
        damaged_pieces: DamagedPieces,
        rebuilder: Rebuilder,
        judge: Judge,
        epoch: Callable[[], Epoch],
        executors: Executors,
    ) -> None:
        """`epoch` is the one up to which the ledger has read the chain; called in a thread."""
        self._farmer = farmer
        self._store = store
        self._damaged_pieces = damaged_pieces
        self._rebuilder = rebuilder
        self._judge = judge
        self._epoch = epoch
        self._executors = executors
        self._looked_at: dict[SlotKey, Epoch] = {}
        """Slots of which nothing is open, by the epoch in which that was found."""

    def remember_only(self, keys: Collection[SlotKey]) -> None:
        """The other slots are kept no more."""
        self._looked_at = {key: epoch for key, epoch in self._looked_at.items() if key in keys}

    async def mend(self, record: SlotRecord, damage: Damage, view: View, asked_for: Collection[int]) -> bool:
        """Mend a slot as far as that can be done now, those pieces first that an audit asks for. False if it
        cannot be mended and to go on is dearer than to give it up.

        Whatever is wrong with one slot, the others are mended too: raises only what ends the node, and
        ChainUnavailable.
        """
        try:
            return await self._mend(record, damage, view, asked_for)
        except (EndsNode, ChainUnavailable):
            raise
        except GrangeError as error:
            log.warning("%s is not mended: %s", record.key, error)
        except Exception:
            log.exception("%s is not mended: this is a bug; going on with the others", record.key)
        return True

    async def _mend(self, record: SlotRecord, damage: Damage, view: View, asked_for: Collection[int]) -> bool:
        """False if it cannot be mended and to go on is dearer than to give the slot up."""
        key, epoch = record.key, view.head.epoch
        if self._looked_at.get(key) == epoch and not any(is_open(piece, epoch) for piece in damage.pieces):
            return True
        try:
            broken = await self._executors.on_disk(self._still_broken, record, damage.pieces)
            order_state = await self._rebuilder.order(key.order)
            if order_state is None or not order_state.holds(key.slot, self._farmer):
                # Closed, or another's; or the endpoint hides its events, and then nothing is hopeless.
                log.warning("%s is not mended: by its events it is closed, or another farmer's", key)
                return True
            left = await self._executors.on_disk(self._borrow, record, broken)
            closed = await self._rebuild(order_state, key, left, asked_for)
            if not closed:
                await self._executors.on_disk(self._complete, record)
        except (NodeWorldError, Mismatch, OverBudget) as error:
            # Of this slot alone: what fails for one must not keep the others from being mended.
            log.warning("%s is not mended: %s", key, error)
            return not await self._judge.is_lost(record, damage, view)
        if not closed:
            self._judge.forgive(key)
            pieces = format_count(len(broken), "piece")
            log.info("%s is mended: %s, %d rebuilt from others", key, pieces, len(left))
        elif self._looked_at.get(key) != epoch:
            self._looked_at[key] = epoch
            log.info(
                "%s: %s can be rebuilt only in later epochs, the next in epoch %d",
                key,
                format_count(len(closed), "piece"),
                min(open_epoch(piece, Epoch(epoch + 1)) for piece in closed),
            )
        return True

    async def _rebuild(
        self, order_state: OrderState, key: SlotKey, left: Sequence[int], asked_for: Collection[int]
    ) -> list[int]:
        """Have pieces rebuilt, those first that an audit asks for; gives those that are closed."""
        if not left:
            return []
        ordered = sorted(left, key=lambda piece: piece not in asked_for)
        with self._judge.timing():
            return await self._rebuilder.rebuild(order_state, key.slot, ordered, self._giver(key))

    def _still_broken(self, record: SlotRecord, pieces: Sequence[int]) -> list[int]:
        """Without those that can be read again: a disk may fail for a moment, and others are paid.
        Where none of the first few can be, the others are not tried: a dying disk takes long for each."""
        key, terms = record.key, record.agreed
        held = self._store.listed(key)
        roots = b"".join(held[index].root for index in sorted(held))
        if len(held) == terms.pieces and root_of_hashes(roots) != terms.root:
            return list(pieces)
        broken: list[int] = []
        for tried, piece in enumerate(pieces):
            if tried == len(broken) == TRIED_AGAIN:
                return list(pieces)
            if piece in held and is_whole(self._store, key, piece):
                self._damaged_pieces.mended(key, piece)
            else:
                broken.append(piece)
        return broken

    def _borrow(self, record: SlotRecord, pieces: Sequence[int]) -> list[int]:
        """Take pieces of an extension from the slot that it prolongs; gives those that are not whole there,
        or not the same."""
        key, previous = record.key, record.agreed.previous
        if previous == NO_ORDER:
            return list(pieces)
        lender = SlotKey(renter=key.renter, order=previous, slot=key.slot)
        left = []
        for piece in pieces:
            try:
                self._store.borrow(lender, key, piece)
                self._damaged_pieces.mended(key, piece)
            except (PieceMissing, PieceDamaged, Mismatch):
                left.append(piece)
        return left

    def _giver(self, key: SlotKey) -> Give:
        async def give(piece: int, data: bytes) -> None:
            await self._executors.on_disk(self._store.mend, key, piece, data)
            await self._executors.in_database(self._damaged_pieces.mended, key, piece)
            self._judge.note(key, len(data))

        return give

    def _complete(self, record: SlotRecord) -> None:
        """Seal what was not sealed. Raises Mismatch when the pieces are not the slot's."""
        terms = record.agreed
        held = self._store.pieces(record.key)
        if len(held) != terms.pieces:
            raise RepairStopped(f"{len(held):,} of {format_count(terms.pieces, 'piece')} are here")
        if root_of_hashes(b"".join(held[index].root for index in range(terms.pieces))) != terms.root:
            self._damaged_pieces.note(record.key, range(terms.pieces), self._epoch())
            raise Mismatch("what was rebuilt does not lead to the slot's root: nobody can rebuild it")
        self._store.seal(record.key, terms.pieces)

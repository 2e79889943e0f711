"""What becomes of damage: pieces are rebuilt from the other farmers' before an audit asks for them, or the
slot is declared lost when that is cheaper than the misses to come.

    damage known --rebuilt--> mended
         |  ^
         |  |-- not in the third of the pieces that is open in this epoch: again in the epoch in which it is
         |  '-- cannot be rebuilt now: again with every tick
         '----- known since an earlier epoch, and going on is dearer (`policy`) --> declared lost

The other farmers show a third of the pieces in each epoch (`grange.reads`), so a lost disk is whole again
after three epochs if a third can be read in one. What an audit asks for comes first; if it lies in a closed
third, that epoch is missed.

A slot that the chain says is ours and that no ledger knows (the data folder's disk is gone, or the ledger
alone) is taken in on the terms that the chain tells, and what is not here of it is damage. An extension
has its bytes from the slot that it prolongs, where they are there. Decides what is ours to mend. Leaves
finding damage to `scrubber` and the prover, and reading from others to `rebuilder`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from grange.chain import ChainUnavailable
from grange.chain.orders import OrderState
from grange.errors import GrangeError
from grange.executors import Executors
from grange.kernel import root_of_hashes
from grange.messages import NO_ORDER
from grange.peer import OverBudget
from grange.reads import READ_THIRDS, is_open, open_epoch
from grange.types import Epoch, OrderId
from grange_node.chain.chain_follower import ChainFollower, View
from grange_node.chain.farm_market import FarmMarket
from grange_node.config import Config
from grange_node.errors import (
    EndsNode,
    Mismatch,
    NodeWorldError,
    PieceDamaged,
    PieceMissing,
    RepairStopped,
    StoreFailed,
)
from grange_node.ledger.ledger import Ledger
from grange_node.pieces.capacity import Capacity
from grange_node.pieces.store import Store
from grange_node.pieces.volume import Volume
from grange_node.records import AFTER_PLACING, Entry, SlotRecord, SlotState, SlotTerms
from grange_node.self_repair.damaged_pieces import Damage, DamagedPieces
from grange_node.self_repair.judge import Judge
from grange_node.self_repair.loss_declaration import MAX_DECLARED, LossDeclarer
from grange_node.self_repair.rebuilder import Give, Rebuilder
from grange_node.self_repair.scrubber import is_whole
from grange_node.self_repair.thirds import bytes_by_third
from grange_node.slot_key import SlotKey

SELF_REPAIR_SECONDS: Final = 5.0
ADOPT_AGAIN_SECONDS: Final = 15.0
"""Between two questions about a slot that events gave us and its order did not."""
TRIED_AGAIN: Final = 8
"""Pieces of a slot that are read once more before the others of the order are asked for all."""
SCRUBBED: Final = "scrubbed_at"
"""Under this name the end of the last round is told, in Unix seconds."""

log = logging.getLogger("grange.farm")


class SelfRepairer:
    """Looks at what is damaged, again and again."""

    def __init__(
        self,
        *,
        config: Config,
        store: Store,
        ledger: Ledger,
        capacity: Capacity,
        market: FarmMarket,
        follower: ChainFollower,
        damaged_pieces: DamagedPieces,
        volume: Volume,
        rebuilder: Rebuilder,
        clock: Callable[[], float],
        steady: Callable[[], float],
        executors: Executors,
    ) -> None:
        """`clock` gives Unix seconds, `steady` seconds by a clock that nobody sets."""
        self._config = config
        self._store = store
        self._ledger = ledger
        self._capacity = capacity
        self._follower = follower
        self._damaged_pieces = damaged_pieces
        self._volume = volume
        self._rebuilder = rebuilder
        self._clock = clock
        self._executors = executors
        self._steady = steady
        self._not_ours: dict[tuple[OrderId, int], float] = {}
        """Slots that events once gave us and that their orders do not, and when we asked."""
        self._suspects: dict[SlotKey, None] = {}
        """Slots in which damage was met lately, for the scrubber."""
        self._drawn: set[tuple[SlotKey, int]] = set()
        """What audits asked for and is damaged."""
        self._looked_at: dict[SlotKey, Epoch] = {}
        """Slots of which nothing is open, by the epoch in which that was found."""
        self._judge = Judge(config, store, ledger, follower, steady, executors=executors)
        self._declarer = LossDeclarer(
            ledger=ledger,
            market=market,
            follower=follower,
            damaged_pieces=damaged_pieces,
            executors=executors,
        )

    # What is damaged.

    def kept(self) -> list[SlotRecord]:
        """The slots that audits ask for now or later."""
        epoch = self._epoch()
        lost = {(entry.order, entry.slot) for entry in self._ledger.entries(epoch) if entry.lost}
        return [
            record
            for record in self._ledger.slots(SlotState.PLACED)
            if record.agreed.end > epoch and (record.key.order, record.key.slot) not in lost
        ]

    async def found(self, key: SlotKey, piece: int) -> None:
        """A piece is gone or wrong. While the whole data folder is not there, that says nothing."""
        if not await self._executors.on_disk(self._volume.is_there):
            return
        if await self._executors.in_database(self._note, key, piece):
            log.warning("piece %d of %s is damaged", piece, key)
            self._suspects[key] = None

    def _note(self, key: SlotKey, piece: int) -> int:
        return self._damaged_pieces.note(key, [piece], self._epoch())

    def next_suspect(self) -> SlotKey | None:
        """A slot in which damage was met and that was not given yet; None if there is none."""
        key = next(iter(self._suspects), None)
        if key is not None:
            del self._suspects[key]
        return key

    @asynccontextmanager
    async def reading(self, key: SlotKey, piece: int) -> AsyncIterator[None]:
        """What the body meets while it reads a piece is damage as much as what an audit meets."""
        try:
            yield
        except (PieceMissing, PieceDamaged, StoreFailed):
            await self.found(key, piece)
            raise

    async def drawn(self, key: SlotKey, piece: int) -> None:
        """A piece is gone or wrong, and an audit asks for it."""
        if (key, piece) not in self._drawn:
            self._drawn.add((key, piece))
            await self.found(key, piece)

    async def scrubbed(self) -> None:
        """All pieces were looked at."""
        await self._executors.in_database(self._damaged_pieces.tell, SCRUBBED, int(self._clock()))

    async def tick(self) -> None:
        """Mend what can be mended, give up what cannot. Raises ChainError, NodeWorldError."""
        view = self._follower.view
        if view is None:
            return
        await self._executors.on_disk(self._volume.require)
        # A lapsed farm mends nothing, but what it has helps those that repair its orders.
        await self._adopt(view)
        if view.farmer.lapsed:
            return
        kept = {record.key: record for record in await self._executors.in_database(self.kept)}
        await self._executors.on_disk(self._note_vanished, kept.values())
        damages = await self._executors.in_database(self._damaged_pieces.all)
        for damage in damages:
            if damage.key not in kept:
                await self._executors.in_database(self._damaged_pieces.forget, damage.key)
        damages = [damage for damage in damages if damage.key in kept]
        self._drawn &= {(damage.key, piece) for damage in damages for piece in damage.pieces}
        self._looked_at = {key: epoch for key, epoch in self._looked_at.items() if key in kept}
        self._judge.remember_only(kept)
        ordered = sorted(damages, key=lambda damage: self._rank(kept[damage.key], damage))
        too_slow = await self._too_slow(ordered, kept, view)
        for first in range(0, len(too_slow), MAX_DECLARED):
            await self._declarer.give_up(too_slow[first : first + MAX_DECLARED])
        hopeless: list[SlotKey] = []
        found = 0
        for damage in ordered:
            if self._epoch_now() != view.head.epoch:
                # Another third is open, and another audit asks.
                break
            if damage.key in too_slow or await self._mend_alone(kept[damage.key], damage, view):
                continue
            hopeless.append(damage.key)
            found += 1
            if found % MAX_DECLARED == 0:
                hopeless = await self._declarer.give_up(hopeless)
        if hopeless:
            await self._declarer.give_up(hopeless)

    async def _too_slow(
        self, ordered: Sequence[Damage], kept: Mapping[SlotKey, SlotRecord], view: View
    ) -> list[SlotKey]:
        """Slots whose turn comes too late for them."""
        ahead = [0] * READ_THIRDS
        found: list[SlotKey] = []
        for damage in ordered:
            record = kept[damage.key]
            if await self._judge.takes_too_long(record, damage, view, ahead):
                found.append(damage.key)
                continue
            for third, size_bytes in enumerate(bytes_by_third(damage.pieces, record.agreed.piece_bytes)):
                ahead[third] += size_bytes
        return found

    def _note_vanished(self, kept: Iterable[SlotRecord]) -> None:
        """All pieces of a slot are gone if its folder is."""
        for record in kept:
            if self._store.has_folder(record.key):
                continue
            if self._damaged_pieces.note(record.key, range(record.agreed.pieces), self._epoch()):
                log.warning("the folder of %s is gone", record.key)

    def _rank(self, record: SlotRecord, damage: Damage) -> tuple[bool, Epoch]:
        """What an audit asks for comes first, and extensions behind what they prolong, from which they are
        mended."""
        is_drawn = any((damage.key, piece) in self._drawn for piece in damage.pieces)
        return not is_drawn, record.agreed.start

    def _epoch_now(self) -> Epoch:
        view = self._follower.view
        assert view is not None
        return view.head.epoch

    def _epoch(self) -> Epoch:
        return Epoch(max(0, self._ledger.cursor().block) // self._config.parameters.epoch_blocks)

    async def _adopt(self, view: View) -> None:
        """Take slots into the ledger that the chain says are ours and of which it knows nothing: after a
        start with another data folder, or without the ledger. However far its events were read: the order's
        own tell whose the slot is now."""
        if view.farmer.owner != self._config.owner:
            # Another chain, on which our number is somebody else's.
            return
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
            await self._executors.in_database(self._ledger.adopt, key, terms, entry.block, ends_at)
            self._capacity.forget(key)
            if lender is not None and self._store.shares:
                self._capacity.share(key, lender.key, terms.slot_bytes)
            else:
                self._capacity.add(key, terms.slot_bytes, pieces=terms.pieces)
            self._capacity.set_placed(key, True)
            missing = await self._executors.on_disk(self._missing, key, terms)
            log.warning(
                "%s is ours by the chain and was not known; %d of its %d pieces are here",
                key,
                terms.pieces - len(missing),
                terms.pieces,
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

    # Mending.

    async def _mend_alone(self, record: SlotRecord, damage: Damage, view: View) -> bool:
        """The same as `_mend`; whatever else is wrong with one slot, the others are mended too."""
        try:
            return await self._mend(record, damage, view)
        except (EndsNode, ChainUnavailable):
            raise
        except GrangeError as error:
            log.warning("%s is not mended: %s", record.key, error)
        except Exception:
            log.exception("%s is not mended: this is a bug; going on with the others", record.key)
        return True

    async def _mend(self, record: SlotRecord, damage: Damage, view: View) -> bool:
        """False if it cannot be mended and to go on is dearer than to give the slot up."""
        key, epoch = record.key, view.head.epoch
        if self._looked_at.get(key) == epoch and not any(is_open(piece, epoch) for piece in damage.pieces):
            return True
        try:
            broken = await self._executors.on_disk(self._still_broken, record, damage.pieces)
            order_state = await self._rebuilder.order(key.order)
            if order_state is None or not order_state.holds(key.slot, self._config.farmer):
                # Closed, or another's; or the endpoint hides its events, and then nothing is hopeless.
                log.warning("%s is not mended: by its events it is closed, or another farmer's", key)
                return True
            left = await self._executors.on_disk(self._borrow, record, broken)
            closed = await self._rebuild(order_state, key, left)
            if not closed:
                await self._executors.on_disk(self._complete, record)
        except (NodeWorldError, Mismatch, OverBudget) as error:
            # Of this slot alone: what fails for one must not keep the others from being mended.
            log.warning("%s is not mended: %s", key, error)
            return not await self._judge.is_lost(record, damage, view)
        if not closed:
            self._judge.forgive(key)
            log.info("%s is mended: %d pieces, %d rebuilt from others", key, len(broken), len(left))
        elif self._looked_at.get(key) != epoch:
            self._looked_at[key] = epoch
            log.info(
                "%s: %d pieces can be rebuilt only in later epochs, the next in epoch %d",
                key,
                len(closed),
                min(open_epoch(piece, Epoch(epoch + 1)) for piece in closed),
            )
        return True

    async def _rebuild(self, order_state: OrderState, key: SlotKey, left: Sequence[int]) -> list[int]:
        """Have pieces rebuilt, those first that an audit asks for; gives those that are closed."""
        if not left:
            return []
        ordered = sorted(left, key=lambda piece: (key, piece) not in self._drawn)
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
            raise RepairStopped(f"{len(held)} of {terms.pieces} pieces are here")
        if root_of_hashes(b"".join(held[index].root for index in range(terms.pieces))) != terms.root:
            self._damaged_pieces.note(record.key, range(terms.pieces), self._epoch())
            raise Mismatch("what was rebuilt does not lead to the slot's root: nobody can rebuild it")
        self._store.seal(record.key, terms.pieces)


def _terms(order_state: OrderState, entry: Entry) -> SlotTerms:
    return SlotTerms(
        pieces=order_state.geometry.segments,
        piece_leaves=order_state.geometry.piece_leaves,
        root=entry.root,
        rate=entry.rate,
        end=entry.end,
        previous=order_state.previous if entry.extension else NO_ORDER,
        start=entry.start if entry.extension else AFTER_PLACING,
    )

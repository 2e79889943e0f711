"""What becomes of damage: pieces are rebuilt from the other farmers' before an audit asks for them, or the
slot is declared lost when that is cheaper than the misses to come.

    damage known --rebuilt--> mended
         |  ^
         |  '-- cannot be rebuilt now: again with every tick
         '----- cannot be rebuilt since an earlier epoch, and going on is dearer (`policy`) --> declared lost

A slot that the chain says is ours and that no ledger knows (the data folder's disk is gone, or the ledger
alone) is taken in on the terms that the chain tells, and what is not here of it is damage. An extension
has its bytes from the slot that it prolongs, where they are there. Decides what is ours to mend. Leaves
finding damage to `scrubber` and the prover, and reading from others to `rebuilder`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from grange.audit import BookState, loss_words
from grange.chain import ChainUnavailable, TransactionReverted
from grange.errors import GrangeError
from grange.merkle import root_of_hashes
from grange.messages import NO_ORDER
from grange.peer import OverBudget
from grange.types import Epoch, OrderId
from grange_node.care.damages import Damage, Damages
from grange_node.care.giving_up import MAX_DECLARED, declarable
from grange_node.care.policy import is_dearer
from grange_node.care.rebuilder import Give, Rebuilder
from grange_node.care.scrubber import is_whole
from grange_node.chain_link import ChainLink
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
from grange_node.ledger import Ledger
from grange_node.proof import books_from
from grange_node.records import AFTER_PLACING, Entry, SlotRecord, SlotState, SlotTerms
from grange_node.repair.chart import Charted
from grange_node.room import Room
from grange_node.slot_key import SlotKey
from grange_node.store import Store
from grange_node.volume import Volume
from grange_node.watcher import View, Watcher

CARE_SECONDS: Final = 5.0
ADOPT_AGAIN_SECONDS: Final = 15.0
"""Between two questions about a slot that events gave us and its order did not."""
TRIED_AGAIN: Final = 8
"""Pieces of a slot that are read once more before the others of the order are asked for all."""
SCRUBBED: Final = "scrubbed_at"
"""Under this name the end of the last round is told, in Unix seconds."""

log = logging.getLogger("grange.farm")


class Carer:
    """Looks at what is damaged, again and again."""

    def __init__(
        self,
        *,
        config: Config,
        store: Store,
        ledger: Ledger,
        room: Room,
        link: ChainLink,
        watcher: Watcher,
        damages: Damages,
        volume: Volume,
        rebuilder: Rebuilder,
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives Unix seconds."""
        self._config = config
        self._store = store
        self._ledger = ledger
        self._room = room
        self._link = link
        self._watcher = watcher
        self._damages = damages
        self._volume = volume
        self._rebuilder = rebuilder
        self._clock = clock
        self._not_ours: dict[tuple[OrderId, int], float] = {}
        """Slots that events once gave us and that their orders do not, and when to ask again."""

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
        if not await asyncio.to_thread(self._volume.is_there):
            return
        if await asyncio.to_thread(self._damages.note, key, [piece], self._epoch()):
            log.warning("piece %d of %s is damaged", piece, key)

    @asynccontextmanager
    async def reading(self, key: SlotKey, piece: int) -> AsyncIterator[None]:
        """What the body meets while it reads a piece is damage as much as what an audit meets."""
        try:
            yield
        except (PieceMissing, PieceDamaged, StoreFailed):
            await self.found(key, piece)
            raise

    async def scrubbed(self) -> None:
        """All pieces were looked at."""
        await asyncio.to_thread(self._damages.tell, SCRUBBED, int(self._clock()))

    async def tick(self) -> None:
        """Mend what can be mended, give up what cannot. Raises ChainError, NodeWorldError."""
        view = self._watcher.view
        if view is None or view.farmer.lapsed:
            return
        await asyncio.to_thread(self._volume.require)
        await self._adopt(view)
        kept = {record.key: record for record in await asyncio.to_thread(self.kept)}
        await asyncio.to_thread(self._note_vanished, kept.values())
        damages = await asyncio.to_thread(self._damages.all)
        for damage in damages:
            if damage.key not in kept:
                await asyncio.to_thread(self._damages.forget, damage.key)
        damages = [damage for damage in damages if damage.key in kept]
        hopeless: list[SlotKey] = []
        found = 0
        # Extensions behind what they prolong, from which they are mended.
        for damage in sorted(damages, key=lambda damage: kept[damage.key].agreed.start):
            if not await self._mend_alone(kept[damage.key], damage):
                hopeless.append(damage.key)
                found += 1
                if found % MAX_DECLARED == 0:
                    hopeless = await self._give_up(hopeless)
        if hopeless:
            await self._give_up(hopeless)

    def _note_vanished(self, kept: Iterable[SlotRecord]) -> None:
        """All pieces of a slot are gone if its folder is."""
        for record in kept:
            if self._store.has_folder(record.key):
                continue
            if self._damages.note(record.key, range(record.agreed.pieces), self._epoch()):
                log.warning("the folder of %s is gone", record.key)

    def _epoch(self) -> Epoch:
        return Epoch(max(0, self._ledger.cursor().block) // self._config.parameters.epoch_blocks)

    async def _adopt(self, view: View) -> None:
        """Take slots into the ledger that the chain says are ours and of which it knows nothing: after a
        start with another data folder, or without the ledger. However far its events were read: the order's
        own tell whose the slot is now."""
        if view.farmer.owner != self._config.owner:
            # Another chain, on which our number is somebody else's.
            return
        for entry in await asyncio.to_thread(self._ledger.orphans, view.head.epoch):
            place = entry.order, entry.slot
            if self._clock() < self._not_ours.get(place, 0.0):
                continue
            charted = await self._rebuilder.order(entry.order)
            if charted is None or not charted.holds(entry.slot, self._config.farmer):
                self._not_ours[place] = self._clock() + ADOPT_AGAIN_SECONDS
                continue
            self._not_ours.pop(place, None)
            key = SlotKey(renter=charted.renter, order=entry.order, slot=entry.slot)
            terms = _terms(charted, entry)
            lender = self._ledger.promise(terms.previous, key.slot)
            end_block = terms.end * self._config.parameters.epoch_blocks
            ends_at = await self._watcher.date_of(end_block, view, attested=False)
            await asyncio.to_thread(self._ledger.adopt, key, terms, entry.block, ends_at)
            self._room.forget(key)
            if lender is not None and self._store.shares:
                self._room.share(key, lender.key, terms.slot_bytes)
            else:
                self._room.add(key, terms.slot_bytes)
            self._room.set_placed(key, True)
            missing = await asyncio.to_thread(self._missing, key, terms)
            log.warning(
                "%s is ours by the chain and was not known; %d of its %d pieces are not here",
                key,
                len(missing),
                terms.pieces,
            )
            await asyncio.to_thread(self._damages.note, key, missing, view.head.epoch)

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

    async def _mend_alone(self, record: SlotRecord, damage: Damage) -> bool:
        """The same as `_mend`; whatever else is wrong with one slot, the others are mended too."""
        try:
            return await self._mend(record, damage)
        except (EndsNode, ChainUnavailable):
            raise
        except GrangeError as error:
            log.warning("%s is not mended: %s", record.key, error)
        except Exception:
            log.exception("%s is not mended: this is a bug; going on with the others", record.key)
        return True

    async def _mend(self, record: SlotRecord, damage: Damage) -> bool:
        """False if it cannot be mended and to go on is dearer than to give the slot up."""
        key = record.key
        try:
            broken = await asyncio.to_thread(self._still_broken, record, damage.pieces)
            charted = await self._rebuilder.order(key.order)
            if charted is None or not charted.holds(key.slot, self._config.farmer):
                raise RepairStopped("the order is closed, or the slot is another's by now")
            left = await asyncio.to_thread(self._borrow, record, broken)
            if left:
                await self._rebuilder.rebuild(charted, key.slot, left, self._giver(key))
            await asyncio.to_thread(self._complete, record)
        except (NodeWorldError, Mismatch, OverBudget) as error:
            # Of this slot alone: what fails for one must not keep the others from being mended.
            log.warning("%s is not mended: %s", key, error)
            return not await self._is_hopeless(record, damage)
        log.info("%s is mended: %d pieces, %d rebuilt from others", key, len(broken), len(left))
        return True

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
                self._damages.mended(key, piece)
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
                self._damages.mended(key, piece)
            except (PieceMissing, PieceDamaged, Mismatch):
                left.append(piece)
        return left

    def _giver(self, key: SlotKey) -> Give:
        async def give(piece: int, data: bytes) -> None:
            await asyncio.to_thread(self._store.mend, key, piece, data)
            await asyncio.to_thread(self._damages.mended, key, piece)

        return give

    def _complete(self, record: SlotRecord) -> None:
        """Seal what was not sealed. Raises Mismatch when the pieces are not the slot's."""
        terms = record.agreed
        held = self._store.pieces(record.key)
        if len(held) != terms.pieces:
            raise RepairStopped(f"{len(held)} of {terms.pieces} pieces are here")
        if root_of_hashes(b"".join(held[index].root for index in range(terms.pieces))) != terms.root:
            self._damages.note(record.key, range(terms.pieces), self._epoch())
            raise Mismatch("what was rebuilt does not lead to the slot's root: nobody can rebuild it")
        self._store.seal(record.key, terms.pieces)

    # Giving up.

    async def _is_hopeless(self, record: SlotRecord, damage: Damage) -> bool:
        view = self._watcher.view
        assert view is not None
        epoch, terms = view.head.epoch, record.agreed
        if epoch <= damage.since:
            return False
        total_rate = await asyncio.to_thread(self._ledger.rate_at_start, epoch)
        return bool(total_rate) and is_dearer(
            damaged_pieces=len(damage.pieces),
            pieces=terms.pieces,
            rate=terms.rate,
            total_rate=total_rate,
            left_epochs=terms.end - epoch,
            parameters=self._config.parameters,
        )

    async def _give_up(self, keys: Sequence[SlotKey]) -> list[SlotKey]:
        """Declare slots lost, those of a book together; gives those that are left."""
        view = self._watcher.view
        assert view is not None
        epoch = view.head.epoch
        if self._ledger.cursor().block < view.head.number:
            return list(keys)
        entries = await asyncio.to_thread(self._ledger.entries, epoch)
        named = {(key.order, key.slot): key for key in keys}
        left = dict(named)
        for book in books_from(entries):
            wanted = [index for index, entry in enumerate(book.entries) if (entry.order, entry.slot) in named]
            chosen = declarable(book, wanted, epoch)
            if not chosen:
                continue
            if await self._declare(book, [(index, named[_slot_at(book, index)]) for index in chosen]):
                for index in chosen:
                    left.pop(_slot_at(book, index), None)
        return list(left.values())

    async def _declare(self, book: BookState, lost: Sequence[tuple[int, SlotKey]]) -> bool:
        """Declare entries of a book lost, each with the slot's name here."""
        words = [word for index, _ in lost for word in loss_words(book, index)]
        try:
            receipt = await self._link.declare_loss(book.end, words, extension=book.extension)
        except TransactionReverted as error:
            log.warning("%d slots cannot be declared lost: %s", len(lost), error.name)
            return False
        self._watcher.read_soon()
        for _, key in lost:
            log.error(
                "%s is declared lost in block %d: its collateral is forfeit, the rest goes on",
                key,
                receipt.block,
            )
            await asyncio.to_thread(self._damages.forget, key)
        return True


def _slot_at(book: BookState, index: int) -> tuple[OrderId, int]:
    entry = book.entries[index]
    return entry.order, entry.slot


def _terms(charted: Charted, entry: Entry) -> SlotTerms:
    return SlotTerms(
        pieces=charted.leaf_count // charted.piece_leaves,
        piece_leaves=charted.piece_leaves,
        root=entry.root,
        rate=entry.rate,
        end=entry.end,
        previous=charted.previous if entry.extension else NO_ORDER,
        start=entry.start if entry.extension else AFTER_PLACING,
    )

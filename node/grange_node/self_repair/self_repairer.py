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
alone) is taken in first (`adoption`). Decides what is ours to mend, and in which order. Leaves finding damage
to `scrubber` and the prover, and mending one slot to `mender`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from grange.executors import Executors
from grange.reads import READ_THIRDS
from grange.types import Epoch
from grange_node.chain.chain_follower import ChainFollower, View
from grange_node.chain.farm_market import FarmMarket
from grange_node.config import Config
from grange_node.errors import (
    PieceDamaged,
    PieceMissing,
    StoreFailed,
)
from grange_node.leaving.book_front import BookFront
from grange_node.ledger.ledger import Ledger
from grange_node.pieces.capacity import Capacity
from grange_node.pieces.store import Store
from grange_node.pieces.volume import Volume
from grange_node.records import SlotRecord, SlotState
from grange_node.self_repair.adoption import Adoption
from grange_node.self_repair.damaged_pieces import Damage, DamagedPieces
from grange_node.self_repair.judge import Judge
from grange_node.self_repair.loss_declaration import MAX_DECLARED, LossDeclarer
from grange_node.self_repair.mender import Mender
from grange_node.self_repair.rebuilder import Rebuilder
from grange_node.self_repair.recovery import Recovery
from grange_node.self_repair.thirds import bytes_by_third
from grange_node.slot_key import SlotKey

SELF_REPAIR_SECONDS: Final = 5.0
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
        front: BookFront,
        clock: Callable[[], float],
        steady: Callable[[], float],
        executors: Executors,
    ) -> None:
        """`clock` gives Unix seconds, `steady` seconds by a clock that nobody sets."""
        self._config = config
        self._store = store
        self._ledger = ledger
        self._follower = follower
        self._damaged_pieces = damaged_pieces
        self._volume = volume
        self._clock = clock
        self._executors = executors
        self._suspects: dict[SlotKey, None] = {}
        """Slots in which damage was met lately, for the scrubber."""
        self._drawn: set[tuple[SlotKey, int]] = set()
        """What audits asked for and is damaged."""
        self._judge = Judge(config, store, ledger, follower, steady, executors=executors)
        self._declarer = LossDeclarer(
            ledger=ledger,
            market=market,
            follower=follower,
            damaged_pieces=damaged_pieces,
            front=front,
            executors=executors,
        )
        self._adoption = Adoption(
            config=config,
            store=store,
            ledger=ledger,
            capacity=capacity,
            follower=follower,
            damaged_pieces=damaged_pieces,
            rebuilder=rebuilder,
            steady=steady,
            executors=executors,
        )
        self._recovery = Recovery(
            config=config,
            store=store,
            ledger=ledger,
            market=market,
            follower=follower,
            rebuilder=rebuilder,
            executors=executors,
        )
        self._mender = Mender(
            farmer=config.farmer,
            store=store,
            damaged_pieces=damaged_pieces,
            rebuilder=rebuilder,
            judge=self._judge,
            epoch=self._epoch,
            executors=executors,
        )

    # What is damaged.

    def kept(self) -> list[SlotRecord]:
        """The slots that audits ask for now or later."""
        epoch = self._epoch()
        entries = self._ledger.entries(epoch)
        taken_back = {(entry.order, entry.slot) for entry in entries if not entry.lost}
        lost = {(entry.order, entry.slot) for entry in entries if entry.lost} - taken_back
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
        await self._adoption.adopt(view)
        if view.farmer.lapsed:
            return
        await self._recovery.take_back(view)
        kept = {record.key: record for record in await self._executors.in_database(self.kept)}
        await self._executors.on_disk(self._note_vanished, kept.values())
        damages = await self._executors.in_database(self._damaged_pieces.all)
        for damage in damages:
            if damage.key not in kept:
                await self._executors.in_database(self._damaged_pieces.forget, damage.key)
        damages = [damage for damage in damages if damage.key in kept]
        self._drawn &= {(damage.key, piece) for damage in damages for piece in damage.pieces}
        self._mender.remember_only(kept)
        self._judge.remember_only(kept)
        ordered = sorted(damages, key=lambda damage: self._rank(kept[damage.key], damage))
        too_slow = await self._too_slow(ordered, kept, view)
        if too_slow:
            await self._declarer.give_up(too_slow)
        hopeless: list[SlotKey] = []
        found = 0
        for damage in ordered:
            if self._epoch_now() != view.head.epoch:
                # Another third is open, and another audit asks.
                break
            asked_for = {piece for piece in damage.pieces if (damage.key, piece) in self._drawn}
            if damage.key in too_slow or await self._mender.mend(kept[damage.key], damage, view, asked_for):
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

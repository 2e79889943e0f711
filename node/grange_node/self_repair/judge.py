"""Whether to go on with a damaged slot, or to give it up while that is still cheaper.

Two cases. What the others show can be rebuilt, a third in each epoch: then the epochs are counted that this
takes, by how fast this farm has read so far and by what is mended before (`thirds`). What nobody can
rebuild stays damaged to the end. Decides when a slot may be judged at all: not in the epoch in which the
damage was found, and not for a failure of a moment. Leaves the sums to `policy`, and declaring to
`loss_declaration`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from grange.executors import Executors
from grange_node.chain.chain_follower import ChainFollower, View
from grange_node.config import Config
from grange_node.errors import PieceDamaged
from grange_node.ledger.ledger import Ledger
from grange_node.pieces.store import Store
from grange_node.records import SlotRecord
from grange_node.self_repair.damaged_pieces import Damage
from grange_node.self_repair.policy import is_dearer
from grange_node.self_repair.thirds import damaged_in_coming_epochs
from grange_node.slot_key import SlotKey

LEAST_SAMPLE: Final = 0.1
"""For so much of an epoch pieces must have been rebuilt before the speed is believed: a single piece takes
mostly the time to find the others."""


class Judge:
    """Judges slots, and remembers how fast they are rebuilt."""

    def __init__(
        self,
        config: Config,
        store: Store,
        ledger: Ledger,
        follower: ChainFollower,
        steady: Callable[[], float],
        *,
        executors: Executors,
    ) -> None:
        """`steady` gives seconds by a clock that nobody sets: a jump would look like a slow line."""
        self._config = config
        self._store = store
        self._ledger = ledger
        self._follower = follower
        self._steady = steady
        self._executors = executors
        self._rebuilt_bytes = 0.0
        self._rebuilding_seconds = 0.0
        self._failing: dict[SlotKey, int] = {}
        """Slots that could not be rebuilt the last time, by the block in which that began."""

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Pieces are being rebuilt. What comes to nothing says nothing of the line's speed."""
        begun, before = self._steady(), self._rebuilt_bytes
        try:
            yield
        finally:
            if self._rebuilt_bytes > before:
                epoch_seconds = self._follower.epoch_seconds() or math.inf
                # It ends with the epoch: what is longer is a computer that slept.
                self._rebuilding_seconds += min(self._steady() - begun, epoch_seconds)
                if self._rebuilding_seconds > epoch_seconds:
                    # What was long ago counts less and less.
                    self._rebuilt_bytes /= 2
                    self._rebuilding_seconds /= 2

    def note(self, key: SlotKey, size_bytes: int) -> None:
        """So much of a slot was rebuilt."""
        self._rebuilt_bytes += size_bytes
        self._failing.pop(key, None)

    def forgive(self, key: SlotKey) -> None:
        """A slot is whole, however that came: what fails later begins then."""
        self._failing.pop(key, None)

    def remember_only(self, keys: Container[SlotKey]) -> None:
        """The other slots are kept no more."""
        self._failing = {key: first for key, first in self._failing.items() if key in keys}

    async def is_lost(self, record: SlotRecord, damage: Damage, view: View) -> bool:
        """Whether to give up a slot that cannot be rebuilt now. Not before that was so for half an epoch:
        rebuilding takes several, and in one of them others may be away for a moment."""
        first = self._failing.setdefault(record.key, view.head.number)
        if view.head.number - first < self._config.parameters.epoch_blocks // 2:
            return False
        return await self._is_dearer(record, damage, view, None)

    async def takes_too_long(
        self, record: SlotRecord, damage: Damage, view: View, ahead: Sequence[int]
    ) -> bool:
        """Whether to give up a slot that can be rebuilt, since that takes so many epochs that the misses
        until then cost more. `ahead` are the bytes by third that are rebuilt before it."""
        bytes_per_epoch = self._bytes_per_epoch()
        if math.isinf(bytes_per_epoch):
            return False
        terms = record.agreed
        coming = damaged_in_coming_epochs(
            damage.pieces,
            piece_bytes=terms.piece_bytes,
            epoch=view.head.epoch,
            ahead=ahead,
            bytes_per_epoch=bytes_per_epoch,
            left_epochs=terms.end - view.head.epoch,
        )
        if not await self._executors.on_disk(self._knows_roots, record):
            # Not even what is here can be shown to an audit before all of the slot is.
            coming = [terms.pieces if count else 0 for count in coming]
        return await self._is_dearer(record, damage, view, coming)

    async def _is_dearer(
        self, record: SlotRecord, damage: Damage, view: View, coming: Sequence[int] | None
    ) -> bool:
        epoch, terms = view.head.epoch, record.agreed
        if epoch <= damage.since:
            return False
        total_rate = await self._executors.in_database(self._ledger.rate_at_start, epoch)
        return bool(total_rate) and is_dearer(
            damaged_pieces=len(damage.pieces),
            pieces=terms.pieces,
            rate=terms.rate,
            total_rate=total_rate,
            left_epochs=terms.end - epoch,
            parameters=self._config.parameters,
            coming=coming,
            strikes=view.farmer.strikes,
        )

    def _bytes_per_epoch(self) -> float:
        """What can be rebuilt in an epoch, by what it took so far; no limit as long as that is too little to
        tell."""
        epoch_seconds = self._follower.epoch_seconds()
        if epoch_seconds is None or self._rebuilding_seconds < LEAST_SAMPLE * epoch_seconds:
            return math.inf
        return self._rebuilt_bytes / self._rebuilding_seconds * epoch_seconds

    def _knows_roots(self, record: SlotRecord) -> bool:
        try:
            return len(self._store.pieces(record.key)) == record.agreed.pieces
        except PieceDamaged:
            return False

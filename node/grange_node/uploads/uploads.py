"""Uploads: pieces on their way into slots, and letting go of what is not wanted any more.

Order of things, so that a kill in between loses nothing:

    piece:   for the first of a slot the renter's funds; its bytes, all of them; ledger row `staged`, then the
             piece on disk, then the answer; a first piece that fails takes row and folder with it
    drop:    folder out of the way in one step, then the ledger row

Decided here: that only staged slots take pieces, what stays of one that failed, and that what was signed goes
only when the rule in `deletion` says so. Left to others: what may happen to a slot at the same time
(`slot_locks`), how much may come (`capacity`), and signing for what is complete (`acceptance_service`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from grange.executors import Executors
from grange_node.chain.account_funds import AccountFunds
from grange_node.config import Config
from grange_node.errors import Conflict, NodeWorldError, NotFound, TooMuch
from grange_node.ledger.ledger import Ledger
from grange_node.limits.networks import Network
from grange_node.pieces.capacity import Capacity
from grange_node.pieces.slot_locks import SlotLocks
from grange_node.pieces.store import Store
from grange_node.records import SlotRecord, SlotState
from grange_node.slot_key import SlotKey
from grange_node.uploads.body import ReadInto
from grange_node.uploads.deletion import Now, Word, is_due
from grange_node.uploads.price import asked_rate

log = logging.getLogger("grange.farm")


class Uploads:
    """What fills a slot and what removes it, on the renter's request or the collector's."""

    def __init__(
        self,
        *,
        config: Config,
        store: Store,
        ledger: Ledger,
        capacity: Capacity,
        funds: AccountFunds,
        locks: SlotLocks,
        clock: Callable[[], float],
        executors: Executors,
    ) -> None:
        """`clock` gives Unix seconds."""
        self._config = config
        self._store = store
        self._ledger = ledger
        self._capacity = capacity
        self._locks = locks
        self._clock = clock
        self._executors = executors
        self._funds = funds

    async def receive(
        self,
        key: SlotKey,
        piece: int,
        size_bytes: int,
        root: bytes,
        read_into: ReadInto,
        *,
        network: Network,
    ) -> bool:
        """Store a piece that arrives from somebody in a network. True when it is new, False when it was here
        already.

        Raises TooMuch or Malformed for more or fewer bytes than announced, TooMuch for an index that no slot
        here can have, Mismatch for other bytes, Conflict, StorageFull, TooBusy; for the first piece of a slot
        VaultTooSmall and ChainDown. Whatever goes wrong, nothing of the piece stays behind.
        """
        if (piece + 1) * size_bytes > self._capacity.capacity_bytes:
            raise TooMuch(
                "a slot with that many pieces is larger than all the capacity on offer",
                capacity_bytes=self._capacity.capacity_bytes,
            )
        with self._locks.using(key):
            if not self._capacity.knows(key):
                await self._funds.require(key.renter, network, self._one_epoch(key, size_bytes))
            self._capacity.claim(key, size_bytes, pieces=1, network=network)
            stored = False

            def keep(data: memoryview) -> None:
                # Noted here: if we are stopped meanwhile, it is stored all the same.
                nonlocal stored
                stored = self._keep(key, piece, data, root)

            try:
                data = memoryview(bytearray(size_bytes))
                await read_into(data)
                await self._executors.on_disk(keep, data)
            finally:
                if not stored:
                    self._capacity.add(key, -size_bytes, pieces=-1)
                    await self._forget_if_empty(key)
            if stored:
                self._locks.touch(key)
            return stored

    async def keep_on(
        self, kept: SlotKey, key: SlotKey, slot_bytes: int, pieces: int, *, network: Network
    ) -> None:
        """Have what is kept as one slot as another too, whose order extends that of the first.

        May be repeated. Raises Conflict, StorageFull, TooBusy, PieceMissing.
        """
        with self._locks.using(key), self._locks.using(kept):
            self._locks.touch(key)
            await self._executors.in_database(self._ledger.stage, key, int(self._clock()))
            if not self._store.shares:
                added_bytes = slot_bytes - self._capacity.bytes_of(key)
                self._capacity.claim(key, added_bytes, pieces=pieces, network=network)
            await self._executors.on_disk(self._store.link, kept, key)
            if self._store.shares:
                self._capacity.share(key, kept, slot_bytes, network=network)

    async def withdraw_staging(self, key: SlotKey) -> None:
        """Drop what a renter staged. Raises NotFound, and Conflict for what is accepted."""
        record = await self._executors.in_database(self._ledger.slot, key)
        if record is None:
            raise NotFound("nothing of this slot is here")
        if record.state is not SlotState.STAGED:
            raise Conflict(
                "this slot is accepted; it stays until its deadline or its end",
                state=record.state.value,
                deadline_block=record.deadline_block,
            )
        if not self._locks.is_free(key):
            raise Conflict("this slot is in use at the moment")
        await self.remove(key)

    async def drop(self, key: SlotKey, now: Now, word: Word) -> bool:
        """Remove a slot from disk and ledger if it is due by what it is in this moment. Raises Conflict while
        it is in use."""

        def may_go(record: SlotRecord | None) -> bool:
            return record is not None and is_due(record, self._locks.idle_seconds(key), now, word)

        if not may_go(await self._executors.in_database(self._ledger.slot, key)):
            return False
        if not self._locks.is_free(key):
            raise Conflict("this slot is in use at the moment")
        await self._remove(key, may_go)
        return True

    async def remove(self, key: SlotKey) -> None:
        """Remove what was never signed: its requests are all done, or it failed with the one that is at it.
        Raises Conflict for what is accepted or placed."""

        def may_go(record: SlotRecord | None) -> bool:
            return record is None or (record.state is SlotState.STAGED and not record.was_placed)

        await self._remove(key, may_go)

    async def _remove(self, key: SlotKey, may_go: Callable[[SlotRecord | None], bool]) -> None:
        """Raises Conflict for what may not go by what it is once no request can come to it any more."""
        with self._locks.leaving(key):
            if not may_go(await self._executors.in_database(self._ledger.slot, key)):
                raise Conflict("this slot is accepted; it stays until its deadline or its end")
            await self._executors.on_disk(self._store.drop, key)
            await self._executors.in_database(self._ledger.release, key)
            self._capacity.forget(key)

    def _one_epoch(self, key: SlotKey, size_bytes: int) -> int:
        """What an epoch costs of all that the renter would have waiting here with so many bytes more."""
        return asked_rate(self._config.offer, self._capacity.unplaced_bytes(key.renter) + size_bytes)

    async def _forget_if_empty(self, key: SlotKey) -> None:
        """Leave nothing of a slot whose first piece failed, unless another request is at it."""
        if self._locks.count(key) > 1 or self._capacity.bytes_of(key):
            return
        try:
            await self.remove(key)
        except (Conflict, NodeWorldError) as error:
            # What failed first is what the renter must hear; the collector comes by later.
            log.warning("%s holds nothing and cannot be removed: %s", key, error)

    def _keep(self, key: SlotKey, piece: int, data: memoryview, root: bytes) -> bool:
        """All that is done with a piece on a thread, in one trip. True when it is new."""
        held = self._store.piece(key, piece)
        if held is not None:
            if (held.root, held.size_bytes) != (root, len(data)):
                raise Conflict(
                    f"piece {piece} is already here with another root; delete the slot first",
                    root=held.root.hex(),
                )
            # It may be there only because a kill came before its name was flushed.
            self._store.flush(key)
            return False
        record = self._ledger.slot(key)
        if record is None:
            self._locks.touch(key)
            self._ledger.stage(key, int(self._clock()))
        elif record.state is not SlotState.STAGED:
            raise Conflict("this slot is already accepted; it takes no more pieces")
        writer = self._store.begin(key, piece, len(data))
        try:
            writer.write(data)
            return writer.commit(root)
        finally:
            writer.abandon()

"""Taking slots in: pieces, promises, and letting go of what is not wanted any more.

Order of things, so that a kill in between loses nothing and promises nothing:

    piece:   for the first of a slot the renter's purse; ledger row `staged`, then the piece on disk, then
             the answer; a first piece that fails takes row and folder with it
    promise: all pieces on disk, their root compared, roots written down, ledger row `accepted`, signature
    drop:    folder out of the way in one step, then the ledger row

Decided here: what may happen to a slot at the same time as what else. A slot that pieces are arriving
for is not accepted or dropped; a slot that is being dropped takes no pieces. Promises are made one at a
time, so that stake is never promised twice. The terms themselves are judged in `promise`, the room in
`room`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from grange.chain import ChainError, Wallet
from grange.merkle import root_of_hashes
from grange.messages import order_id, sign_acceptance, sign_takeover
from grange.types import Acceptance, Held, OrderId, Takeover
from grange.units import format_tokens
from grange_node.arrival import drained, written
from grange_node.chain_link import ChainLink
from grange_node.config import Config
from grange_node.errors import (
    ChainDown,
    Conflict,
    Foreign,
    Malformed,
    Mismatch,
    NodeWorldError,
    NotFound,
    Promised,
    TermsRefused,
    TooMuch,
    VaultTooSmall,
)
from grange_node.extension import check_same, start_of
from grange_node.ledger import Ledger
from grange_node.promise import (
    ACCEPTANCE_LIFE_BLOCKS,
    HIGHEST_RATE_FACTOR,
    RENEWAL_BLOCKS,
    Standing,
    asked_rate,
    check_shape,
    check_stake,
    check_terms,
    cost,
)
from grange_node.purses import Purses
from grange_node.records import SlotRecord, SlotState, SlotTerms
from grange_node.room import Room
from grange_node.slot_key import SlotKey
from grange_node.store import PieceWriter, Store
from grange_node.takeover import TAKEOVER_LIFE_BLOCKS, terms_of
from grange_node.watcher import View, Watcher

MAX_MISSING_SHOWN = 100

log = logging.getLogger("grange.farm")


class Intake:
    """What changes a slot, on the renter's request or the collector's."""

    def __init__(
        self,
        *,
        config: Config,
        wallet: Wallet,
        store: Store,
        ledger: Ledger,
        room: Room,
        link: ChainLink,
        watcher: Watcher,
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives Unix seconds."""
        self._config = config
        self._wallet = wallet
        self._store = store
        self._ledger = ledger
        self._room = room
        self._link = link
        self._watcher = watcher
        self._clock = clock
        self._purses = Purses(link, clock)
        self._promising = asyncio.Lock()
        self._busy: Counter[SlotKey] = Counter()
        self._leaving: set[SlotKey] = set()
        self._touched: dict[SlotKey, float] = {}
        self._contested: set[SlotKey] = set()
        """Promises that somebody else, with all pieces here, asked for in vain."""
        self._opened_at = clock()

    # Pieces.

    async def receive(
        self, key: SlotKey, piece: int, size_bytes: int, root: bytes, body: AsyncIterator[bytes]
    ) -> bool:
        """Store a piece that arrives. True when it is new, False when it was here already.

        Raises TooMuch or Malformed for more or fewer bytes than announced, TooMuch for an index that no slot
        here can have, Mismatch for other bytes, Conflict, NoRoom, TooBusy; for the first piece of a slot
        VaultTooSmall and ChainDown. Whatever goes wrong, nothing of the piece stays behind.
        """
        if (piece + 1) * size_bytes > self._room.capacity_bytes:
            raise TooMuch(
                "a slot with so many pieces is larger than all the capacity on offer",
                capacity_bytes=self._room.capacity_bytes,
            )
        with self._using(key):
            if not self._room.knows(key):
                await self._purses.require(key.renter, self._one_epoch(key, size_bytes))
            self._room.claim(key, size_bytes)
            stored = False
            try:
                writer = await asyncio.to_thread(self._begin, key, piece, size_bytes, root)
                if writer is None:
                    await drained(body, size_bytes)
                else:
                    stored = await written(writer, body, root)
            finally:
                if not stored:
                    self._room.add(key, -size_bytes)
                    await self._forget_if_empty(key)
            if stored:
                self._touched[key] = self._clock()
            return stored

    def _one_epoch(self, key: SlotKey, size_bytes: int) -> int:
        """What an epoch costs of all that the renter would have waiting here with so many bytes more."""
        return asked_rate(self._config.offer, self._room.unplaced_bytes(key.renter) + size_bytes)

    async def _forget_if_empty(self, key: SlotKey) -> None:
        """Leave nothing of a slot whose first piece failed, unless another request is at it."""
        if self._busy[key] > 1 or self._room.bytes_of(key):
            return
        try:
            await self._remove(key)
        except NodeWorldError as error:
            # What failed first is what the renter must hear; the collector comes by later.
            log.warning("%s holds nothing and cannot be removed: %s", key, error)

    def _begin(self, key: SlotKey, piece: int, size_bytes: int, root: bytes) -> PieceWriter | None:
        held = self._store.piece(key, piece)
        if held is not None:
            if (held.root, held.size_bytes) != (root, size_bytes):
                raise Conflict(
                    f"piece {piece} is already here with another root; delete the slot first",
                    root=held.root.hex(),
                )
            return None
        record = self._ledger.slot(key)
        if record is None:
            self._ledger.stage(key, int(self._clock()))
        elif record.state is not SlotState.STAGED:
            raise Conflict("this slot is already accepted; it takes no more pieces")
        return self._store.begin(key, piece, size_bytes)

    # Promises.

    async def accept(self, key: SlotKey, salt: bytes, terms: SlotTerms) -> Acceptance:
        """Promise to keep a slot, if all of it is here and the terms are ours.

        The same terms again give the same acceptance until it is about to expire, and then one with a later
        deadline; other terms for a slot that was promised raise Conflict. Raises Malformed, Foreign,
        NotFound, Mismatch, TermsRefused, StakeTooSmall, VaultTooSmall, ChainDown.
        """
        _check_renter(key, salt)
        check_shape(terms)

        async def judge(record: SlotRecord, view: View) -> None:
            await self._check_bargain(record, terms, view)

        async with self._promising:
            with self._using(key):
                deadline_block = await self._promise(key, terms, judge, ACCEPTANCE_LIFE_BLOCKS)
        return sign_acceptance(
            self._config.domain,
            self._wallet.private_key,
            order=key.order,
            farmer=self._config.farmer,
            slot=key.slot,
            root=terms.root,
            leaf_count=terms.leaf_count,
            rate=terms.rate,
            end=terms.end,
            deadline_block=deadline_block,
            previous=terms.previous,
        )

    async def extend(self, key: SlotKey, salt: bytes, terms: SlotTerms, previous: OrderId) -> Acceptance:
        """Promise to keep a slot on, from the end of the order `previous` to that of another.

        What we keep of `previous` need not be sent again; where the file system has no second names it is
        copied, and needs the room (NoRoom, TooBusy). Who keeps none of it is sent the pieces like those of a
        new slot. Repeated and refused like `accept`; raises NotFound and TermsRefused besides, when
        `previous` cannot be extended, and Mismatch when we keep something else of it.
        """
        _check_renter(key, salt)
        if self._ledger.slot(key) is None and self._ledger.promise(previous, key.slot) is None:
            raise NotFound("nothing of this slot is here")
        view = await self._watcher.recent()
        try:
            order = await self._link.order(previous)
        except ChainError as error:
            raise ChainDown(f"the chain cannot be asked at the moment: {error}") from error
        epoch, grid = view.head.epoch, self._config.parameters.grid_epochs
        start = start_of(order, key.renter, key.slot, epoch=epoch, grid_epochs=grid)
        terms = replace(terms, previous=previous, start=start)
        kept = self._ledger.promise(previous, key.slot)
        if kept is None or kept.state is not SlotState.PLACED:
            return await self.accept(key, salt, terms)
        check_same(kept, terms)
        known = self._ledger.slot(key)
        try:
            if known is None or known.state is SlotState.STAGED:
                with self._using(key), self._using(kept.key):
                    await self._keep_on(kept.key, key, kept.agreed.slot_bytes)
            return await self.accept(key, salt, terms)
        finally:
            record = self._ledger.slot(key)
            if record is not None and record.state is SlotState.STAGED and not self._busy[key]:
                await self._remove(key)

    async def _keep_on(self, kept: SlotKey, key: SlotKey, slot_bytes: int) -> None:
        await asyncio.to_thread(self._ledger.stage, key, int(self._clock()))
        if not self._store.shares:
            self._room.claim(key, slot_bytes - self._room.bytes_of(key))
        await asyncio.to_thread(self._store.link, kept, key)
        if self._store.shares:
            self._room.share(key, kept, slot_bytes)

    async def take_over(self, key: SlotKey, held: Held) -> tuple[SlotTerms, Takeover]:
        """Consent to take over a vacant slot of a placed order, with the bounty for whoever sent its pieces.

        `held` is the order as the chain keeps its hash: the terms are in there, and on chain. Repeated like
        `accept`. Raises NotFound, Mismatch and Conflict for what does not agree with the chain or is not
        vacant, and what `accept` raises, but for the renter's money: the slot is paid for.
        """
        if self._ledger.slot(key) is None:
            # Before the chain is asked: strangers that brought nothing must not make us a burden to it.
            raise NotFound("nothing of this slot is here")
        view = await self._watcher.recent()
        try:
            order = await self._link.order(key.order)
            terms = terms_of(order, held, key.slot, self._config.farmer)
            check_shape(terms)
            vacant = await self._link.is_vacant(key.order, key.slot, held.slots[key.slot])
        except ChainError as error:
            raise ChainDown(f"the chain cannot be asked at the moment: {error}") from error
        if not vacant:
            raise Conflict(
                "this slot is not vacant", farmer=held.slots[key.slot].farmer, block=view.head.number
            )

        async def judge(record: SlotRecord, view: View) -> None:
            self._check_own(record, terms, view, highest_factor=None)

        async with self._promising:
            with self._using(key):
                deadline_block = await self._promise(key, terms, judge, TAKEOVER_LIFE_BLOCKS)
        return terms, sign_takeover(
            self._config.domain,
            self._wallet.private_key,
            order=key.order,
            farmer=self._config.farmer,
            slot=key.slot,
            root=terms.root,
            leaf_count=terms.leaf_count,
            rate=terms.rate,
            end=terms.end,
            deadline_block=deadline_block,
            replaces=held.slots[key.slot].start,
            repairer=key.renter,
        )

    async def _promise(
        self,
        key: SlotKey,
        terms: SlotTerms,
        judge: Callable[[SlotRecord, View], Awaitable[None]],
        life_blocks: int,
    ) -> int:
        """Make sure of the pieces and of the terms, and write the promise down; gives its deadline."""
        record = self._ledger.slot(key)
        if record is None:
            raise NotFound("nothing of this slot is here")
        if record.state is not SlotState.STAGED and record.agreed != terms:
            raise Conflict(
                "this slot was promised on other terms",
                deadline_block=record.deadline_block,
                rate=record.agreed.rate,
                end=record.agreed.end,
                root=record.agreed.root.hex(),
            )
        other = self._ledger.promise(key.order, key.slot)
        if other is not None and other.key != key:
            await asyncio.to_thread(self._check_pieces, key, terms)
            self._contested.add(other.key)
            raise Promised("this slot is promised to another", deadline_block=other.deadline_block)
        view = await self._watcher.recent()
        record = self._ledger.slot(key) or record
        lasts_to = view.head.number + RENEWAL_BLOCKS
        if record.state is SlotState.PLACED or (record.deadline_block or 0) > lasts_to:
            assert record.deadline_block is not None
            return record.deadline_block
        if key in self._contested and life_blocks == TAKEOVER_LIFE_BLOCKS:
            # Whoever neither uses its consent nor lets go of it would keep the slot from repair for ever.
            raise Promised("another wants this slot, too, and is next", deadline_block=record.deadline_block)
        await asyncio.to_thread(self._check_pieces, key, terms)
        await judge(record, view)
        deadline_block = view.head.number + life_blocks
        await asyncio.to_thread(self._record, key, terms, deadline_block)
        self._touched.pop(key, None)
        log.info(
            "%s accepted: %d bytes at %s tokens an epoch until %d, to be placed by block %d",
            key,
            terms.slot_bytes,
            format_tokens(terms.rate),
            terms.end,
            deadline_block,
        )
        return deadline_block

    async def _check_bargain(self, record: SlotRecord, terms: SlotTerms, view: View) -> None:
        if self._open_cost(record, view):
            # What was placed since we last read is out of the vault already: it must not count twice.
            view = await self._watcher.newest()
        self._check_own(record, terms, view, highest_factor=HIGHEST_RATE_FACTOR)
        try:
            funds = await self._link.funds(record.key.renter)
        except ChainError as error:
            raise ChainDown(f"the chain cannot be asked at the moment: {error}") from error
        promised_cost = self._open_cost(record, view)
        needed = cost(terms, view.head.epoch) + promised_cost
        if funds < needed:
            raise VaultTooSmall(
                "the renter cannot pay for this slot and for those that are promised to it and not placed",
                funds=funds,
                needed=needed,
                promised=promised_cost,
            )

    def _check_own(
        self, record: SlotRecord, terms: SlotTerms, view: View, *, highest_factor: int | None
    ) -> None:
        """Whether we may and want to: our key, our terms, our stake."""
        config, epoch = self._config, view.head.epoch
        if view.farmer.operator != self._wallet.address:
            raise TermsRefused(
                "this node's key is no longer the farmer's operator", operator=view.farmer.operator
            )
        if view.farmer.lapsed:
            raise TermsRefused("this farmer has lapsed for its misses, and the market gives it no slots")
        check_terms(terms, config.offer, config.parameters, epoch, highest_factor=highest_factor)
        read_to = self._ledger.cursor().block
        promised = self._ledger.promised_rate(read_to)
        if record.state is SlotState.ACCEPTED and (record.deadline_block or 0) > read_to:
            promised -= record.agreed.rate
        standing = Standing(
            stake=view.farmer.stake,
            committed_rate=self._ledger.committed_rate(epoch),
            promised_rate=promised,
        )
        check_stake(terms, standing, config.parameters.collateral_epochs)

    def _open_cost(self, record: SlotRecord, view: View) -> int:
        """What the renter would pay for its other slots that we promised and that may still be placed."""
        open_promises = self._ledger.open_promises(record.key.renter, self._ledger.cursor().block)
        return sum(cost(other.agreed, view.head.epoch) for other in open_promises if other.key != record.key)

    def _check_pieces(self, key: SlotKey, terms: SlotTerms) -> None:
        held = self._store.pieces(key)
        missing = [index for index in range(terms.pieces) if index not in held]
        if missing:
            raise NotFound(
                f"{len(missing)} of {terms.pieces} pieces are not here", missing=missing[:MAX_MISSING_SHOWN]
            )
        if len(held) != terms.pieces:
            raise Conflict(f"{len(held)} pieces are here and the slot is to have {terms.pieces}")
        if any(piece.size_bytes != terms.piece_bytes for piece in held.values()):
            raise Malformed("the pieces are not all of the announced size", piece_bytes=terms.piece_bytes)
        computed = root_of_hashes(b"".join(held[index].root for index in range(terms.pieces)))
        if computed != terms.root:
            raise Mismatch(
                "the pieces here lead to another root than announced",
                announced=terms.root.hex(),
                computed=computed.hex(),
            )

    def _record(self, key: SlotKey, terms: SlotTerms, deadline_block: int) -> None:
        self._store.seal(key, terms.pieces)
        self._ledger.accept(key, terms, deadline_block)

    # Letting go.

    async def withdraw_staging(self, key: SlotKey) -> None:
        """Drop what a renter staged. Raises NotFound, and Conflict for what is promised."""
        record = self._ledger.slot(key)
        if record is None:
            raise NotFound("nothing of this slot is here")
        if record.state is not SlotState.STAGED:
            raise Conflict(
                "this slot is promised; it stays until its deadline or its end",
                state=record.state.value,
                deadline_block=record.deadline_block,
            )
        await self.drop(key)

    async def drop(self, key: SlotKey) -> None:
        """Remove a slot from disk and ledger. Raises Conflict while it is in use."""
        if self._busy[key] or key in self._leaving:
            raise Conflict("this slot is in use at the moment")
        await self._remove(key)

    async def _remove(self, key: SlotKey) -> None:
        self._leaving.add(key)
        try:
            await asyncio.to_thread(self._store.drop, key)
            await asyncio.to_thread(self._ledger.release, key)
            self._room.forget(key)
            self._touched.pop(key, None)
            self._contested.discard(key)
        finally:
            self._leaving.discard(key)

    def idle_since(self, record: SlotRecord) -> float:
        """When a staged slot last got a piece; what happened before this process began counts as its
        beginning."""
        return max(record.staged_at, self._touched.get(record.key, self._opened_at))

    def is_busy(self, key: SlotKey) -> bool:
        """Whether the slot is being used by a request."""
        return self._busy[key] > 0

    @contextmanager
    def _using(self, key: SlotKey) -> Iterator[None]:
        if key in self._leaving:
            raise Conflict("this slot is being removed; try again")
        self._busy[key] += 1
        try:
            yield
        finally:
            self._busy[key] -= 1
            if not self._busy[key]:
                del self._busy[key]


def _check_renter(key: SlotKey, salt: bytes) -> None:
    if order_id(key.renter, salt) != key.order:
        raise Foreign("the order is not this renter's: its id is no hash of renter and salt")

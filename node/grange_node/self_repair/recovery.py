"""Slots that the farm declared lost and has again: taken back while the market lets it, for a part of what
was forfeit.

    declared lost, all its pieces are here and whole, nobody else has it,
    and the first quarter of its auction is not over                     --> taken back

A disk that came back is the case. Decides which slots to take back, and does; what is not whole by then is
for repairers. Leaves declaring losses to `loss_declaration`.
"""

from __future__ import annotations

import logging
from typing import Final

from grange.chain import Loss, TransactionReverted
from grange.executors import Executors
from grange.kernel import root_of_hashes
from grange.repair import RECOVERY_SHARE, last_recovery_block
from grange.types import Epoch, OrderId
from grange_node.chain.chain_follower import ChainFollower, View
from grange_node.chain.farm_market import FarmMarket
from grange_node.config import Config
from grange_node.errors import NodeWorldError
from grange_node.ledger.ledger import Ledger
from grange_node.pieces.store import Store
from grange_node.records import Entry, SlotRecord
from grange_node.self_repair.rebuilder import Rebuilder

MAX_LOOKED_AT: Final = 8
"""Slots whose pieces are read in one tick: all of each has to be read."""

log = logging.getLogger("grange.farm")


class Recovery:
    """Takes slots back on chain."""

    def __init__(
        self,
        *,
        config: Config,
        store: Store,
        ledger: Ledger,
        market: FarmMarket,
        follower: ChainFollower,
        rebuilder: Rebuilder,
        executors: Executors,
    ) -> None:
        self._config = config
        self._store = store
        self._ledger = ledger
        self._market = market
        self._follower = follower
        self._rebuilder = rebuilder
        self._executors = executors
        self._tried: set[tuple[OrderId, int, int]] = set()
        """Tenures that were read, and are not whole or not to be had."""

    async def take_back(self, view: View) -> None:
        """Take back what can be. Raises ChainError, NodeWorldError."""
        for entry, record in await self._executors.in_database(self._lost, view):
            tenure = entry.order, entry.slot, entry.start
            loss = await self._market.loss(entry.order, entry.slot, entry.start)
            if loss is None or not self._is_early(loss, view):
                self._tried.add(tenure)
                continue
            if loss.lost_epoch > view.farmer.settled_epoch:
                # Whether its epoch was proven is not known yet: again with a later tick.
                continue
            self._tried.add(tenure)
            if not await self._executors.on_disk(self._is_whole, record):
                continue
            await self._send(entry, record)

    def _lost(self, view: View) -> list[tuple[Entry, SlotRecord]]:
        """What we declared lost not long ago, and hold a record of; some of it."""
        # The first quarter, and the epochs in which it begins and ends.
        since = Epoch(view.head.epoch - self._config.parameters.auction_epochs // RECOVERY_SHARE - 2)
        found: list[tuple[Entry, SlotRecord]] = []
        for entry in self._ledger.declared_lost(view.head.epoch, since):
            if (entry.order, entry.slot, entry.start) in self._tried or entry.end <= view.head.epoch + 1:
                continue
            record = self._ledger.acceptance(entry.order, entry.slot)
            if record is not None and len(found) < MAX_LOOKED_AT:
                found.append((entry, record))
        return found

    def _is_early(self, loss: Loss, view: View) -> bool:
        parameters = self._config.parameters
        auction_blocks = parameters.auction_epochs * parameters.epoch_blocks
        return view.head.number < last_recovery_block(loss.lost_block, auction_blocks)

    def _is_whole(self, record: SlotRecord) -> bool:
        """Whether all pieces are here as they were: each is read and hashed."""
        try:
            held = self._store.pieces(record.key)
            if len(held) != record.agreed.pieces:
                return False
            for piece in range(record.agreed.pieces):
                self._store.read_verified(record.key, piece)
        except NodeWorldError:
            return False
        roots = b"".join(held[piece].root for piece in range(record.agreed.pieces))
        return root_of_hashes(roots) == record.agreed.root

    async def _send(self, entry: Entry, record: SlotRecord) -> None:
        order_state = await self._rebuilder.order(entry.order)
        if order_state is None or not order_state.holds(entry.slot, self._config.farmer):
            return
        try:
            receipt = await self._market.recover(order_state.held, entry.slot)
        except TransactionReverted as error:
            log.warning(
                "%s is whole again and cannot be taken back: %s%s",
                record.key,
                error.name,
                ". Add to the stake" if error.name == "StakeTooSmall" else "",
            )
            return
        self._follower.read_soon()
        await self._executors.in_database(self._ledger.note_taken_back, entry.order, entry.slot)
        log.warning(
            "%s was declared lost and is whole: taken back in block %d, for a quarter of its collateral",
            record.key,
            receipt.block,
        )

"""What a farm answers for after it has handed slots over, and letting go of what it kept.

    passed, collateral bound --the taker has proven once, or lapsed--> released, and free to be removed

The ledger knows from the chain what was handed over, to whom and when, and what was released. All that passed
to one farmer in one epoch is released together, also when its order is long over. Until then the bytes stay
here. Decides when the market is asked; leaves removing them to the collector, which looks at the chain once
more.
"""

from __future__ import annotations

import logging
from typing import Final

from grange.chain import Farmer, TransactionReverted
from grange.chain.call_sizes import RELEASE
from grange.executors import Executors
from grange.types import Epoch, FarmerId, OrderId
from grange_node.chain.chain_follower import ChainFollower
from grange_node.chain.farm_market import FarmMarket
from grange_node.hand_over.list_file import HandOverList
from grange_node.ledger.ledger import Ledger

MAX_ASKED: Final = 20
"""Bonds that the market is asked for in one tick."""

log = logging.getLogger("grange.farm")


class Bonds:
    """One farm's. It is asked with `tick`."""

    def __init__(
        self,
        *,
        farmer: FarmerId,
        hand_overs: HandOverList,
        ledger: Ledger,
        market: FarmMarket,
        follower: ChainFollower,
        executors: Executors,
    ) -> None:
        self._farmer = farmer
        self._hand_overs = hand_overs
        self._ledger = ledger
        self._market = market
        self._follower = follower
        self._executors = executors
        self._asked: dict[tuple[FarmerId, Epoch], int] = {}
        """By taker and epoch, in which round each was looked at last."""
        self._rounds = 0
        self._looked_in = Epoch(-1)

    async def tick(self) -> bool:
        """Have released what can be, and let go of it; False if there is nothing. Raises ChainError,
        StorageFull, StoreFailed."""
        view = self._follower.view
        if view is None or self._follower.is_held:
            return False
        if self._looked_in != view.head.epoch:
            await self._executors.in_database(self._forget_others, view.head.epoch)
            self._looked_in = view.head.epoch
        await self._executors.in_database(self._let_go, view.head.epoch)
        bonds = await self._executors.in_database(self._bonds)
        due = [bond for bond in bonds if bond[1] < view.head.epoch]
        if not due:
            return False
        # Those that were asked for last come last: one whose taker proves nothing keeps no other bound.
        due = sorted(due, key=lambda bond: self._asked.get(bond, 0))[:MAX_ASKED]
        self._rounds += 1
        self._asked |= dict.fromkeys(due, self._rounds)
        takers = {one.id: one for one in await self._market.farmers_by_id([taker for taker, _ in due])}
        for taker, epoch in due:
            await self._release(takers[taker], epoch)
        return True

    def _bonds(self) -> set[tuple[FarmerId, Epoch]]:
        """By taker and epoch, what we still answer for."""
        bonds: set[tuple[FarmerId, Epoch]] = set()
        for entry in self._ledger.bound():
            assert entry.taker is not None, "it was handed over"
            assert entry.lost_epoch is not None, "it was handed over"
            bonds.add((entry.taker, entry.lost_epoch))
        return bonds

    async def _release(self, taker: Farmer, epoch: Epoch) -> None:
        """Have released what is bound by what passed to a farmer in an epoch, if it can be."""
        if taker.settled_epoch <= epoch and not taker.lapsed:
            return
        bound = await self._market.bound(self._farmer, taker.id, epoch)
        if not bound:
            # Another had it released. That counts when its event is read: then no reorg has taken it back.
            return
        if bound <= (await self._market.gas_value()).base_units(RELEASE):
            log.debug("what farmer %d answers for does not pay for the gas", taker.id)
            return
        try:
            receipt = await self._market.release(taker.id, epoch)
        except TransactionReverted as error:
            # Another had it released, or the taker has missed all epochs so far.
            log.debug("what farmer %d answers for is not released: %s", taker.id, error)
            return
        self._follower.read_soon()
        for event in receipt.events:
            if event.name == "Released":
                burnt = event.args["burnt"]
                log.info(
                    "farmer %d has taken over what it got in epoch %d: %s of the stake are free%s",
                    taker.id,
                    epoch,
                    self._market.unit.exact(event.args["returned"]),
                    f", {self._market.unit.exact(burnt)} are lost for epochs that it missed" if burnt else "",
                )

    def _let_go(self, epoch: Epoch) -> None:
        """What was released may be removed, if we brought it to the farmer that has it, and it has not come
        back since, nor passed on again."""
        listed = {hand_over.place: hand_over.taker for hand_over in self._hand_overs.all()}
        if not listed:
            return
        passed = {((entry.order, entry.slot), entry.taker) for entry in self._ledger.handed_over()}
        bound = {(entry.order, entry.slot) for entry in self._ledger.bound()}
        places = {place for place in listed if (place, listed[place]) in passed} - bound - self._here(epoch)
        for place in places:
            self._ledger.note_given_up(*place)
        self._hand_overs.remove(places)

    def _here(self, epoch: Epoch) -> set[tuple[OrderId, int]]:
        """The slots that are ours."""
        return {(one.order, one.slot) for one in self._ledger.entries(epoch) if not one.lost}

    def _forget_others(self, epoch: Epoch) -> None:
        """What is in the list and not ours any more, nor answered for: its order ended, or it is lost."""
        listed = {one.place for one in self._hand_overs.all()}
        if listed:
            bound = {(one.order, one.slot) for one in self._ledger.handed_over()}
            self._hand_overs.remove(listed - self._here(epoch) - bound)

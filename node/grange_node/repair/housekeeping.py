"""Keeping the market in order: evicting farmers that have lapsed, closing orders that are over.

A farmer that missed too much is out by the contract's own rule, and the bounties of its slots rise by
themselves; who evicts it gets an epoch of its pay. Evicting settles the farmer too, and settling alone is
worth nothing to anybody. Decides who is worth the gas: whose reward pays for the transaction. The others are
evicted by the call that refills a slot of theirs. What closing an order pays out is its renter's, and the
rewards of closing are those of evicting: so orders are closed for those renters alone for whom we were asked
to.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from grange.chain import Farmer, TransactionReverted
from grange.chain.call_sizes import EVICT
from grange.chain.gas_value import GasValue
from grange.chain.orders import OrderState
from grange.types import FarmerId, OrderId
from grange_node.repair.market import RepairMarket

MAX_EVICTIONS_PER_TICK: Final = 16
MAX_CLOSINGS_PER_TICK: Final = 4

log = logging.getLogger("grange.repair")


def reward(farmer: Farmer) -> int:
    """What evicting a lapsed farmer brings: an epoch of its pay, as far as its stake goes."""
    return min(farmer.stake, farmer.committed_rate)


async def evict_lapsed(market: RepairMarket, farmers: Iterable[Farmer], gas: GasValue) -> list[FarmerId]:
    """Evict lapsed farmers that are worth it. Raises ChainError."""
    cost = gas.base_units(EVICT)
    evicted: list[FarmerId] = []
    for farmer in farmers:
        if not farmer.lapsed or reward(farmer) < max(1, cost):
            continue
        if await market.eviction(farmer.id) is not None:
            continue
        try:
            receipt = await market.evict(farmer.id)
        except TransactionReverted as error:
            log.info("farmer %d is not evicted: %s", farmer.id, error.name)
            continue
        log.info("farmer %d evicted in block %d", farmer.id, receipt.block)
        evicted.append(farmer.id)
        if len(evicted) == MAX_EVICTIONS_PER_TICK:
            break
    return evicted


async def close_ended(market: RepairMarket, ended: Iterable[OrderState]) -> list[OrderId]:
    """Close orders that are over, some of them at a time. Raises ChainError."""
    closed: list[OrderId] = []
    for order_state in ended:
        try:
            receipt = await market.close(order_state.held)
        except TransactionReverted as error:
            log.info("order %s is not closed: %s", order_state.id.hex()[:12], error.name)
            continue
        log.info("order %s closed in block %d", order_state.id.hex()[:12], receipt.block)
        closed.append(order_state.id)
        if len(closed) == MAX_CLOSINGS_PER_TICK:
            break
    return closed

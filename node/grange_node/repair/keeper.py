"""Evicting farmers that have lapsed: for the reward, and because bounties begin with it.

A farmer that missed too much is out by the contract's own rule, but its stake becomes the bounties of its
slots only when somebody says so. Decides who is worth the gas: whose stake pays for it, and whoever holds a
slot of an order that is still to be kept, at no loss greater than one transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from grange.chain import Farmer, TransactionReverted
from grange.types import FarmerId
from grange_node.repair.market import Market

EVICT_GAS: Final = 110_000
MAX_EVICTIONS_PER_TICK: Final = 16

log = logging.getLogger("grange.repair")


def reward(farmer: Farmer) -> int:
    """What evicting a lapsed farmer brings: an epoch of its pay, as far as its stake goes."""
    return min(farmer.stake, farmer.committed_rate)


async def evict_lapsed(
    market: Market, farmers: Mapping[FarmerId, Farmer], wanted: frozenset[FarmerId], gas_price: int
) -> list[FarmerId]:
    """Evict lapsed farmers: those that pay for it, and the `wanted` ones. `gas_price` is in base units."""
    evicted: list[FarmerId] = []
    for farmer in farmers.values():
        if not farmer.lapsed or await market.eviction(farmer.id) is not None:
            continue
        if farmer.id not in wanted and reward(farmer) < max(1, EVICT_GAS * gas_price):
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

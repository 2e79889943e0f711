"""Saying in time that the operator's gas tokens run out: once when it is low, once when it is used up, and
once when there is enough again. And that gas costs more than the cap, when that begins and when it is over.
"""

from __future__ import annotations

import logging
from enum import IntEnum
from typing import Final

from grange.chain import ChainError
from grange.types import Address
from grange_node.chain.farm_market import FarmMarket
from grange_node.chain.funding import GasReserve

GAS_SECONDS: Final = 60.0
"""How often the account is looked at."""

log = logging.getLogger("grange.farm")


class Level(IntEnum):
    """How the account stands."""

    ENOUGH = 0
    LOW = 1
    EMPTY = 2


class GasWatch:
    """Looks at the operator's account and warns."""

    def __init__(self, market: FarmMarket, operator: Address) -> None:
        """`operator` is the account that pays for proofs."""
        self._market = market
        self._operator = operator
        self._said = Level.ENOUGH
        self._said_held_back = False

    async def tick(self) -> None:
        """Look once. A chain that does not answer is what another loop speaks of."""
        try:
            reserve = await self._market.gas_reserve()
        except ChainError:
            return
        self._say_held_back(reserve)
        level = _level_of(reserve)
        if level > self._said:
            log.warning("gas: %s", reserve.warning(self._operator))
            self._said = level
        elif level is Level.ENOUGH and self._said is not Level.ENOUGH:
            log.info("gas: the operator has %s again", reserve.describe())
            self._said = level

    def _say_held_back(self, reserve: GasReserve) -> None:
        if reserve.is_held_back and not self._said_held_back:
            log.error("gas: %s", reserve.cap_warning())
        elif self._said_held_back and not reserve.is_held_back:
            log.info("gas: a unit costs less than the cap again")
        self._said_held_back = reserve.is_held_back


def _level_of(reserve: GasReserve) -> Level:
    if reserve.is_empty:
        return Level.EMPTY
    return Level.LOW if reserve.is_low else Level.ENOUGH

"""Saying in time that misses have made the stake too small: once when it begins, once when the next miss
would make the farm lapse, and once when all is covered again.
"""

from __future__ import annotations

import logging
from enum import IntEnum

from grange_node.chain.chain_follower import ChainFollower
from grange_node.chain.farm_market import FarmMarket
from grange_node.chain.stake_cover import StakeCover

log = logging.getLogger("grange.farm")


class Level(IntEnum):
    """How the stake stands."""

    ENOUGH = 0
    SHORT = 1
    LAST = 2
    """The next miss makes the farm lapse."""


class StakeWatch:
    """Looks at the stake and warns."""

    def __init__(self, market: FarmMarket, follower: ChainFollower) -> None:
        self._market = market
        self._follower = follower
        self._said = Level.ENOUGH

    async def tick(self) -> None:
        """Look once, at what is known of the chain."""
        view = self._follower.view
        if view is None or view.farmer.lapsed:
            return
        cover = StakeCover.of(view.farmer, self._market.parameters)
        level = Level.LAST if cover.is_last else Level.SHORT if cover.missing else Level.ENOUGH
        if level > self._said:
            log.log(
                logging.ERROR if level is Level.LAST else logging.WARNING,
                "stake: %s",
                cover.warning(self._market.unit),
            )
        elif level is Level.ENOUGH and self._said is not Level.ENOUGH:
            log.info("stake: it covers all again")
        self._said = level

"""What the chain says of the farmers of a market, at one time.

Registered       the values, with who has proven which epochs lately
Registry         where they come from: the market of a renter, or of a repairer, which follows the chain
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from grange.chain import Chain, Farmer, TransactionReverted, proven_epochs
from grange.tasks import together
from grange.transfer.sampling import HISTORY_EPOCHS
from grange.types import Epoch, FarmerId, Parameters

UNKNOWN_FARMER = "UnknownFarmer"
"""The contract's word for an id that no farmer has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """All farmers as they stand in an epoch, and those of the last epochs that each has proven, if any."""

    epoch: Epoch
    farmers: Mapping[FarmerId, Farmer]
    proven: Mapping[FarmerId, Collection[Epoch]]

    def proving(self, epochs: int) -> set[FarmerId]:
        """Those that have proven one of the last `epochs` epochs or the present one."""
        return {farmer for farmer, proven in self.proven.items() if max(proven) >= self.epoch - epochs}


class Registry(Protocol):
    """Where it comes from. Raises the errors of `grange.chain`."""

    @property
    def parameters(self) -> Parameters:
        """The market's constants."""

    async def registered(self) -> Registered:
        """All farmers."""

    async def farmers_by_id(self, farmers: Sequence[FarmerId]) -> list[Farmer]:
        """Some of them, in the order asked for; TransactionReverted if there is no such farmer."""


async def read_registered(chain: Chain) -> Registered:
    """All farmers, out of the chain. Raises the errors of the chain."""
    head, farmers, proven = await together(
        chain.head(), chain.farmers(), proven_epochs(chain, epochs=HISTORY_EPOCHS)
    )
    return Registered(epoch=head.epoch, farmers={farmer.id: farmer for farmer in farmers}, proven=proven)


async def read_some(registry: Registry, farmers: Sequence[FarmerId]) -> dict[FarmerId, Farmer]:
    """Those of some farmers that the endpoint knows: one that is behind does not know the newest."""
    try:
        found = await registry.farmers_by_id(farmers)
    except TransactionReverted as error:
        if error.name != UNKNOWN_FARMER:
            raise
        known = (await registry.registered()).farmers
        return {farmer: known[farmer] for farmer in farmers if farmer in known}
    return {farmer.id: farmer for farmer in found}

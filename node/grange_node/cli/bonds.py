"""What `grange farm release` does: free the stake that hand-overs bind, by what the chain shows alone.

A running farm does it by itself (`hand_over.bonds`), as its ledger tells. This is for one that runs no more,
or whose ledger is lost: the market's events name each hand-over, and its views what is bound by it now.
Anyone may have it released, so any key that has gas does; it goes to the earnings of the farmer's owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from grange.chain import Chain, Farmer, Sender, TransactionReverted, calls
from grange.tasks import together
from grange.token_unit import TokenUnit
from grange.types import Epoch, FarmerId
from grange.units import format_count

ASKED_AT_ONCE: Final = 50
NOTHING_BOUND: Final = (
    "Nothing is bound by hand-overs, as far as this endpoint shows events. One that keeps no old events does "
    "not show old hand-overs: see with another one."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bond:
    """What a farmer has bound by what it handed over to another in an epoch. Amounts in base units."""

    taker: FarmerId
    epoch: Epoch
    amount: int
    obstacle: str = ""
    """Why it can't be released now; empty if it can, or was."""
    returned: int = 0
    burnt: int = 0
    """For epochs that the taker missed before it had proven once."""

    def to_json(self) -> dict[str, Any]:
        """For scripts. Amounts are strings."""
        return {
            "taker": self.taker,
            "epoch": self.epoch,
            "bound": str(self.amount),
            "obstacle": self.obstacle,
            "returned": str(self.returned),
            "burnt": str(self.burnt),
        }


async def read_bonds(chain: Chain, farmer: FarmerId, first_block: int) -> list[Bond]:
    """What is bound now, by all that a farmer has handed over since a block, the oldest first. Raises
    ChainError."""
    events = await chain.logs(first_block, None, ["SlotHandedOver"], {"farmer": farmer})
    pairs = sorted(
        {(Epoch(one.args["epoch"]), FarmerId(one.args["taker"])) for one in events if one.args["bound"]}
    )
    bonds: list[Bond] = []
    for first in range(0, len(pairs), ASKED_AT_ONCE):
        part = pairs[first : first + ASKED_AT_ONCE]
        amounts = await together(*(chain.bound(farmer, taker, epoch) for epoch, taker in part))
        takers = {one.id: one for one in await chain.farmers_by_id(sorted({taker for _, taker in part}))}
        bonds += [
            Bond(taker=taker, epoch=epoch, amount=amount, obstacle=_obstacle(takers[taker], epoch))
            for (epoch, taker), amount in zip(part, amounts, strict=True)
            if amount
        ]
    return bonds


def _obstacle(taker: Farmer, epoch: Epoch) -> str:
    if taker.settled_epoch > epoch or taker.lapsed:
        return ""
    return "its taker has not proven since"


async def release_bonds(sender: Sender, farmer: FarmerId, bonds: Sequence[Bond]) -> list[Bond]:
    """Have released what can be, a transaction each; what came of each. Raises ChainError."""
    done: list[Bond] = []
    for bond in bonds:
        if bond.obstacle:
            done.append(bond)
            continue
        try:
            receipt = await sender.send(calls.release(farmer, bond.taker, bond.epoch))
        except TransactionReverted as error:
            # It has missed all epochs so far, or another had it released.
            done.append(replace(bond, obstacle=f"the market does not release it now: {error.name}"))
            continue
        told = receipt.event("Released").args
        done.append(replace(bond, returned=told["returned"], burnt=told["burnt"]))
    return done


def describe_bonds(bonds: Sequence[Bond], unit: TokenUnit) -> str:
    """Lines for a person, before or after."""
    if not bonds:
        return NOTHING_BOUND
    lines = []
    for bond in bonds:
        what = f"farmer {bond.taker}, handed over in epoch {bond.epoch}: {unit.exact(bond.amount)} bound"
        if bond.returned or bond.burnt:
            what += f", {unit.exact(bond.returned)} returned"
            what += f" and {unit.exact(bond.burnt)} lost for epochs that it missed" if bond.burnt else ""
        elif bond.obstacle:
            what += f"; {bond.obstacle}"
        lines.append(what)
    if returned := sum(bond.returned for bond in bonds):
        lines.append(
            f"{unit.exact(returned)} are in the owner's earnings now. To take them out: grange farm withdraw"
        )
    elif not any(not bond.obstacle for bond in bonds):
        lines.append(f"{format_count(len(bonds), 'bond')}, and none can be released now.")
    return "\n".join(lines)

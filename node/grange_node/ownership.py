"""Which farmer on the market is ours.

Anyone may register a farmer that names our key as its operator. The stake that we would add to it, and all
that it earns, would belong to the stranger who owns it. So a farmer is ours only if it is both: owned by the
account that we mean, and operated by the key in this home.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from grange.chain import Chain, Farmer, TransactionReverted, Wallet, read_block_clock
from grange.types import Address, FarmerId
from grange_node.config import load_owner_key
from grange_node.errors import FarmerForeign, Lapsed


def accepted_owners(home: Path, wallet: Wallet, named: Address | None) -> frozenset[Address]:
    """Who may own a farmer of ours: the account that `--owner` names; without it this key, or the key it had
    before it was rotated."""
    if named is not None:
        return frozenset((named,))
    kept = load_owner_key(home)
    return frozenset((wallet.address,)) | (frozenset((kept.address,)) if kept else frozenset())


def find_ours(farmers: Iterable[Farmer], owners: Collection[Address], operator: Address) -> Farmer | None:
    """The first farmer that is ours and has not lapsed. Farmers of others that name our key are passed
    over."""
    return next(
        (one for one in farmers if one.owner in owners and one.operator == operator and not one.lapsed), None
    )


async def read_ours(chain: Chain, farmer: FarmerId, owners: Collection[Address], operator: Address) -> Farmer:
    """The farmer with an id that we believe to be ours. Raises FarmerForeign when it is not."""
    try:
        found = await chain.farmer(farmer)
    except TransactionReverted as error:
        if error.name != "UnknownFarmer":
            raise
        raise FarmerForeign(
            f"the market {chain.market} has no farmer {farmer}, though this home says that it is ours. The "
            "chain is not the one that the farm was set up on: a devnet that is started again is a new chain"
        ) from error
    if found.owner not in owners:
        raise FarmerForeign(
            f"farmer {farmer} belongs to {found.owner}, which is not {_or(owners)}. If that is an account of "
            f"yours, name it: --owner {found.owner}. If it is not, this farm is somebody else's: nothing was "
            "sent to it. Set up your own with another --home"
        )
    if found.operator != operator:
        raise FarmerForeign(
            f"farmer {farmer} is operated by {found.operator}, and the key in this home is {operator}. If "
            "you were changing the key, finish with: grange farm rotate-key. Otherwise put the right "
            "operator.key back"
        )
    return found


async def check_not_lapsed(chain: Chain, farmer: Farmer) -> None:
    """Raise Lapsed, with what it means and how to begin again, when the farmer has lapsed."""
    if farmer.lapsed:
        epoch = farmer.settled_epoch + 1
        raise Lapsed(farmer.id, (await read_block_clock(chain)).describe_epoch(epoch))


def _or(owners: Collection[Address]) -> str:
    return " or ".join(sorted(owners))

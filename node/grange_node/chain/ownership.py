"""Which farmer on the market is ours.

A farmer names our key as its operator only if the key consented, but anybody may own it: the stake that we
would add to it, and all that it earns, would belong to a stranger who talked us into it. So a farmer is ours
only if it is both: owned by the account that we mean, and operated by the key in this home.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from grange.chain import Chain, Farmer, TransactionReverted, Wallet, read_block_clock
from grange.chain.registry import MAX_READ
from grange.types import Address, FarmerId
from grange_node.config import Config, load_owner_address
from grange_node.errors import FarmerForeign, Lapsed

UNKNOWN_FARMER: Final = "UnknownFarmer"
START_OVER: Final = (
    "Move this home and its data folder away, or choose another --home and another --data, and set up again: "
    "grange farm init."
)
_NEW_CHAIN: Final = "A devnet that is started again is a new chain, on which nothing of the old one counts."


def accepted_owners(home: Path, wallet: Wallet, named: Address | None) -> frozenset[Address]:
    """Who may own a farmer of ours: the account that `--owner` names; without it this key, or the key it had
    before it was rotated."""
    if named is not None:
        return frozenset((named,))
    kept = load_owner_address(home)
    return frozenset((wallet.address,)) | (frozenset((kept,)) if kept else frozenset())


def find_ours(farmers: Iterable[Farmer], owners: Collection[Address], operator: Address) -> Farmer | None:
    """The first farmer that is ours and has not lapsed. Farmers of others that name our key are passed
    over."""
    return next(
        (one for one in farmers if one.owner in owners and one.operator == operator and not one.lapsed), None
    )


async def find_farmer(
    chain: Chain, owners: Collection[Address], operator: Address, *, since_block: int | None
) -> Farmer | None:
    """The first farmer that is ours, of those registered since a block, if it is known. Raises ChainError.

    Reads all farmers of a market that has few, and MAX_READ at most of a large one: those that the market's
    events name for our owner, first those with our key as operator, since anybody can name our owner.
    """
    farmers, count = await chain.farmers_unless_more(MAX_READ)
    if count <= MAX_READ:
        return find_ours(farmers, owners, operator)
    if since_block is None:
        since_block = (await chain.farmer(FarmerId(1))).registered_block
    events = await chain.logs(since_block, None, ["FarmerRegistered"], {"owner": sorted(owners)})
    named = sorted(events, key=lambda event: event.args["operator"] != operator)[:MAX_READ]
    ids = sorted(FarmerId(event.args["farmer"]) for event in named)
    return find_ours(await chain.farmers_by_id(ids), owners, operator)


async def read_ours(chain: Chain, config: Config, owners: Collection[Address], operator: Address) -> Farmer:
    """The farmer that a home's settings name. Raises FarmerForeign when it is not ours."""
    try:
        farmer = await chain.farmer(config.farmer)
    except TransactionReverted as error:
        if error.name != UNKNOWN_FARMER:
            raise
        raise unknown_farmer(config) from error
    if farmer.owner not in owners:
        raise FarmerForeign(
            f"Farmer {farmer.id} belongs to {farmer.owner}, which is not {_or(owners)}.",
            detail="Nothing was sent to it.",
            hint=f"If that is an account of yours, name it: --owner {farmer.owner}. If it is not, this farm "
            "is somebody else's: set up your own with another --home.",
        )
    if farmer.operator != operator:
        raise other_operator(farmer, operator)
    return farmer


def check_owner(farmer: Farmer, config: Config) -> None:
    """Raise FarmerForeign when the farmer on chain has another owner than the home's settings say."""
    if farmer.owner != config.owner:
        raise FarmerForeign(
            f"Farmer {farmer.id} belongs to {farmer.owner}, and this home says that it belongs to "
            f"{config.owner}.",
            detail=_NEW_CHAIN,
            hint=START_OVER,
        )


def unknown_farmer(config: Config) -> FarmerForeign:
    """For a market that does not know our farmer."""
    return FarmerForeign(
        f"The market {config.market} has no farmer {config.farmer_id}, though this home says that it is "
        "ours.",
        detail=_NEW_CHAIN,
        hint=START_OVER,
    )


def other_operator(farmer: Farmer, operator: Address) -> FarmerForeign:
    """For a farmer that has another operator than the key in this home."""
    return FarmerForeign(
        f"Farmer {farmer.id} is operated by {farmer.operator}, and the key in this home is {operator}.",
        hint="If you were changing the key, finish with: grange farm rotate-key. Otherwise put the right "
        "operator.key back.",
    )


async def check_not_lapsed(chain: Chain, farmer: Farmer) -> None:
    """Raise Lapsed, with what it means and how to begin again, when the farmer has lapsed."""
    if farmer.lapsed:
        epoch = farmer.settled_epoch + 1
        raise Lapsed(farmer.id, (await read_block_clock(chain)).describe_epoch(epoch))


def _or(owners: Collection[Address]) -> str:
    return " or ".join(sorted(owners))

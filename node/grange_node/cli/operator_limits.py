"""What a farmer's owner lets its operator do alone, and so what the key in a farm's home is worth to a thief.

Two limits, which the market keeps: up to how much of the stake the operator may commit, and how much of it
it may give up in an epoch by declaring slots lost. The market counts rates; people think of stake, which is
`collateral_epochs` times a rate. The owner itself gives up as much as it wants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from grange.chain import Wallet, calls
from grange.chain.sender import burying_sender
from grange.token_unit import TokenUnit
from grange.types import NO_LIMIT
from grange_node.chain.ownership import check_not_lapsed, check_owner
from grange_node.config import Config, connect
from grange_node.errors import NotOwner


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorLimits:
    """What an operator may do alone, in base units of stake; None without a limit."""

    committed_stake: int | None
    lost_stake: int | None
    """In an epoch."""


async def read_operator_limits(config: Config) -> OperatorLimits:
    """The limits as the chain has them. Raises ChainError."""
    async with connect(config) as chain:
        farmer = await chain.farmer(config.farmer)
        epochs = chain.parameters.collateral_epochs
        return OperatorLimits(
            committed_stake=_stake(farmer.ceiling, epochs), lost_stake=_stake(farmer.loss_limit, epochs)
        )


async def set_operator_limits(
    config: Config, owner: Wallet, change: Callable[[OperatorLimits], OperatorLimits]
) -> OperatorLimits:
    """Have the owner set the limits that `change` makes of the present ones; gives them as they are kept,
    rounded down.

    Raises NotOwner, FarmerForeign, Lapsed, ChainError.
    """
    if owner.address != config.owner:
        raise NotOwner(
            f"Farmer {config.farmer_id} belongs to {config.owner}, who alone may limit its operator, and "
            f"this key is {owner.address}.",
            hint="Give the owner's key with --owner-key FILE.",
        )
    wanted = change(await read_operator_limits(config))
    async with connect(config) as chain:
        farmer = await chain.farmer(config.farmer)
        check_owner(farmer, config)
        await check_not_lapsed(chain, farmer)
        epochs = chain.parameters.collateral_epochs
        call = calls.set_limits(
            config.farmer,
            ceiling=_rate(wanted.committed_stake, epochs),
            loss_limit=_rate(wanted.lost_stake, epochs),
        )
        await burying_sender(chain, owner, policy=config.fees.policy).send(call)
    return await read_operator_limits(config)


def describe_operator_limits(limits: OperatorLimits, unit: TokenUnit) -> str:
    """Sentences for a person."""
    committed = (
        "all of the stake"
        if limits.committed_stake is None
        else f"up to {unit.exact(limits.committed_stake)} of the stake"
    )
    lost = f"any {unit.name}" if limits.lost_stake is None else unit.exact(limits.lost_stake)
    return (
        f"The operator may commit {committed} to slots, and give up {lost} of it in an epoch by "
        "declaring slots lost."
    )


def _stake(rate: int, collateral_epochs: int) -> int | None:
    return None if rate == NO_LIMIT else rate * collateral_epochs


def _rate(stake: int | None, collateral_epochs: int) -> int:
    return NO_LIMIT if stake is None else min(stake // collateral_epochs, NO_LIMIT)

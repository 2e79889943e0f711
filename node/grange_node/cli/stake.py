"""How much room a stake answers for.

Each slot needs `collateralEpochs` epochs of its pay at stake, so a stake is also a limit on what can be let:
stake / (collateralEpochs x price) GiB, whatever the disk holds.
"""

from __future__ import annotations

from grange.token_unit import TokenUnit
from grange.types import Offer
from grange.units import GIB, format_size


def covered_bytes(stake: int, price_per_gib_epoch: int, collateral_epochs: int) -> int | None:
    """The bytes that a stake answers for at a price; None if there is no limit, as at a price of 0."""
    if price_per_gib_epoch == 0:
        return None
    return max(0, stake) * GIB // (collateral_epochs * price_per_gib_epoch)


def stake_for(size_bytes: int, price_per_gib_epoch: int, collateral_epochs: int) -> int:
    """The stake that so many bytes need at a price, in base units."""
    return -(-size_bytes * collateral_epochs * price_per_gib_epoch // GIB)


def describe_coverage(stake: int, offer: Offer, collateral_epochs: int, unit: TokenUnit) -> str:
    """Sentences for a person: how much of the room on offer the stake covers, and what would cover all of
    it."""
    price, capacity = offer.price_per_gib_epoch, offer.capacity_bytes
    covered = covered_bytes(stake, price, collateral_epochs)
    shown = unit.rounded_up(stake)
    if covered is None or covered >= capacity:
        return f"A stake of {shown} covers all of the {format_size(capacity)} on offer."
    whole = unit.rounded_up(stake_for(capacity, price, collateral_epochs))
    return (
        f"A stake of {shown} covers {format_size(covered)} ({covered / GIB:.3g} GiB) of the "
        f"{format_size(capacity)} on offer. The rest cannot be let: each GiB needs {collateral_epochs} "
        f"epochs of its price at stake. All of it needs a stake of {whole}, or a lower price."
    )

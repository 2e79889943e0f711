"""What reading costs, before it is read. Pure arithmetic over blocks and prices.

Decides what to expect (every block from the farmer that holds it, or rebuilt from the cheapest k where that
one is gone) and how much it may be at most unless the person says otherwise: farmers that fail, lie or are
late are paid for what they sent, and others after them. Leaves paying to `grange.peer`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grange.layout import Geometry
from grange.token_unit import TokenUnit
from grange.transfer.stripes import Stripe, stripes_for
from grange.units import egress_rounded_up
from grange.wire.limits import STEP_BYTES
from grange_client.errors import NotEnoughMoney

DETOURS = 2
"""How many times everything may be fetched from the dearest k before a download stops to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCost:
    """What reading costs, in base units, and what it may cost where things go wrong."""

    expected: int
    at_most: int


def estimate_read_cost(geometry: Geometry, blocks: Iterable[int], prices: Sequence[int | None]) -> ReadCost:
    """What these blocks cost; `prices[i]` is that of slot i's farmer per GiB, None if it cannot be read."""
    return estimate_stripes(geometry, stripes_for(geometry, blocks), prices)


def estimate_stripes(geometry: Geometry, stripes: Iterable[Stripe], prices: Sequence[int | None]) -> ReadCost:
    """The same of stripes."""
    expected = at_most = 0
    known = sorted(price for price in prices if price is not None)
    for stripe in stripes:
        _, size_bytes = stripe.range_in(geometry)
        direct = [prices[column] for column in stripe.columns]
        asked = [price for price in direct if price is not None]
        if len(asked) < len(direct):
            asked = known[: geometry.k]
        expected += sum(_read(price, size_bytes) for price in asked)
        at_most += DETOURS * sum(_read(price, size_bytes) for price in known[-geometry.k :])
    return ReadCost(expected=expected, at_most=at_most)


def check_vault(expected: int, vault: int, unredeemed: int, unit: TokenUnit) -> None:
    """Raise NotEnoughMoney unless a vault pays for a download and for all vouchers that are still out."""
    missing = expected + unredeemed - vault
    if not expected or missing <= 0:
        return
    means = f"It costs about {unit.rounded_up(expected)}; "
    means += f"{unit.rounded_down(vault)} are in the vault"
    aside = f", of which {unit.rounded_up(unredeemed)} are set aside for earlier reads"
    means += f"{aside}." if unredeemed else "."
    raise too_small(missing, unit, means)


def too_small(missing: int, unit: TokenUnit, means: str = "") -> NotEnoughMoney:
    """The error of a vault from which downloads cannot be paid."""
    return NotEnoughMoney(
        f"The vault is {unit.rounded_up(missing)} too small to pay for reading.",
        detail=means,
        hint=f"Put them in with `grange deposit {unit.number_rounded_up(missing)}`, and go on.",
    )


def _read(price_per_gib: int, size_bytes: int) -> int:
    whole, rest = divmod(size_bytes, STEP_BYTES)
    return whole * egress_rounded_up(price_per_gib, STEP_BYTES) + egress_rounded_up(price_per_gib, rest)

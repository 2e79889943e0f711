"""Sentences about a market, for those who are about to use it."""

from typing import Final

from grange.chain.endpoint import is_of_this_computer
from grange.chain.gateway import Chain
from grange.chain.presets import Difference, differences, nearest_preset
from grange.token_unit import TokenUnit
from grange.units import GIB

MONTH_SECONDS: Final = 30 * 86_400
TB: Final = 10**12


def describe_cautions(chain: Chain) -> list[str]:
    """What a person should know of a market before money goes there."""
    is_here = all(is_of_this_computer(connection.url) for connection in chain.rpc.connections)
    told = ["" if chain.pins is None or is_here else chain.pins.caution, describe_unusual(chain)]
    return [sentences for sentences in told if sentences]


def describe_unusual(chain: Chain) -> str:
    """Which of a market's parameters are not those of a preset; empty if all are."""
    preset = nearest_preset(chain.parameters, decimals=chain.unit.decimals)
    others = differences(chain.parameters, decimals=chain.unit.decimals, preset=preset)
    if not others:
        return ""
    names = ", ".join(describe_difference(one, chain.unit) for one in others)
    return (
        f"The market's parameters are not those of a preset. Beside {preset.name}: {names}. "
        "`grange market describe` says what that means."
    )


def describe_difference(one: Difference, unit: TokenUnit) -> str:
    """What a parameter is, and what it usually is."""
    shown = [describe_value(one.name, value, unit) for value in (one.value, one.usual)]
    return f"{one.name} is {shown[0]}, not {shown[1]}"


def describe_price_steps(unit: TokenUnit, epoch_seconds: float) -> str:
    """How fine prices can be: what the least price comes to for a terabyte and a month of 30 days, and the
    least that a slot costs in it."""
    epochs = round(MONTH_SECONDS / epoch_seconds) if epoch_seconds else 0
    step = -(-TB * epochs // GIB)
    return (
        f"in steps of {unit.exact(1)} for a GiB and epoch, {unit.rounded_up(step)} for a TB and month; a "
        f"slot costs {unit.rounded_up(epochs)} a month at least"
    )


def describe_value(name: str, value: int, unit: TokenUnit) -> str:
    """A parameter's value for a person."""
    return unit.exact(value) if name == "min_stake" else f"{value:,}"

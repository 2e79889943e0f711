"""What `grange fees`, `grange farm fees` and `grange repair fees` have in common: options and words.

    settings = changed_fees(settings, choice)        what was asked for, checked
    await show_fees(opening, settings, calls, as_json=...)
                                                     the cap, the price, and what calls cost now

Decides options and words. Leaves where settings are kept to each of them.
"""

import json
import shlex
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError
from rich.console import Console

from grange.chain.fee_settings import FeeSettings
from grange.chain.fees import FeeLevel, read_fee_level
from grange.chain.gas_cost import CallSize, GasPrices, read_data_prices
from grange.chain.gas_value import GasPriceFeed, GasValue
from grange.chain.gateway import Chain
from grange.chain.rpc import Rpc
from grange.cli.presenter import print_prose
from grange.errors import Misuse
from grange.plain_errors import describe_invalid
from grange.tasks import together
from grange.units import format_gwei, format_usd, parse_gwei, parse_usd

NONE: Final = "none"
"""In place of a price or a command: there is to be none."""

MaxFeeOption = Annotated[
    str | None, typer.Option(metavar="GWEI", help="What is offered for a unit of gas at most.")
]
GasUsdOption = Annotated[
    str | None,
    typer.Option(
        metavar="DOLLARS", help="What a gas token is worth, so that gas is shown as money; or none."
    ),
]
GasUsdCommandOption = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help="A program that prints what a gas token is worth, with its arguments; or none.",
    ),
]
TokenUsdOption = Annotated[
    str | None, typer.Option(metavar="DOLLARS", help="What a token of the market is worth; 1 if not given.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeChoice:
    """What was typed; None leaves it as it is."""

    max_fee_gwei: str | None = None
    gas_usd: str | None = None
    gas_usd_command: str | None = None
    token_usd: str | None = None


def changed_fees(settings: FeeSettings, choice: FeeChoice) -> FeeSettings:
    """The settings with what was asked for. Raises Misuse."""
    changes: dict[str, Any] = {}
    if choice.max_fee_gwei is not None:
        parse_gwei(choice.max_fee_gwei)
        changes["max_fee_gwei"] = choice.max_fee_gwei
    if choice.gas_usd is not None:
        changes["gas_usd"] = None if choice.gas_usd == NONE else _price(choice.gas_usd)
    if choice.token_usd is not None:
        changes["token_usd"] = _price(choice.token_usd)
    if choice.gas_usd_command is not None:
        is_none = choice.gas_usd_command == NONE
        changes["gas_usd_command"] = () if is_none else _words(choice.gas_usd_command)
    try:
        return FeeSettings.model_validate(settings.model_dump() | changes)
    except ValidationError as error:
        raise Misuse(describe_invalid(error)) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeesNow:
    """What is set, and what it comes to."""

    settings: FeeSettings
    level: FeeLevel
    value: GasValue
    calls: Mapping[str, CallSize]
    trouble: str
    """Why the command gives no price."""

    def to_json(self) -> dict[str, Any]:
        """For scripts. Amounts are strings, in wei or in dollars."""
        return {
            **self.settings.model_dump(mode="json"),
            "base_fee_wei": str(self.level.base_wei),
            "tip_wei": str(self.level.tip_wei),
            "data_byte_wei": str(self.value.prices.data.byte_wei),
            "price": None if self.value.microusd is None else format_usd(self.value.microusd),
            "trouble": self.trouble,
            "calls": {
                name: {
                    "wei": str(self.value.prices.cost_wei(size)),
                    "usd": None if (usd := self.value.usd(size)) is None else format_usd(usd),
                }
                for name, size in self.calls.items()
            },
        }


async def look_at_fees(rpc: Rpc, settings: FeeSettings, calls: Mapping[str, CallSize]) -> FeesNow:
    """Ask the chain and, if there is one, the command. Raises ChainError."""
    feed = GasPriceFeed(settings)
    level, data, microusd = await together(
        read_fee_level(rpc, settings.policy), read_data_prices(rpc), feed.microusd()
    )
    value = GasValue(
        prices=GasPrices(gas_wei=level.gas_wei, data=data),
        microusd=microusd,
        token_microusd=settings.token_microusd,
    )
    return FeesNow(settings=settings, level=level, value=value, calls=calls, trouble=feed.trouble)


async def show_fees(
    opening: AbstractAsyncContextManager[Chain],
    settings: FeeSettings,
    calls: Mapping[str, CallSize],
    *,
    as_json: bool,
) -> None:
    """Look by a chain that is opened for it, and print. Raises ChainError."""
    async with opening as chain:
        now = await look_at_fees(chain.rpc, settings, calls)
    print_fees(now, as_json=as_json)


def print_fees(now: FeesNow, *, as_json: bool) -> None:
    """One JSON object, or sentences."""
    if as_json:
        print(json.dumps(now.to_json()))
        return
    out = Console(markup=False, emoji=False, highlight=False)
    for line in describe_fees(now):
        print_prose(out, line)


def describe_fees(now: FeesNow) -> list[str]:
    """Sentences for a person."""
    lines = [f"More than {now.settings.max_fee_gwei} gwei is not offered for a unit of gas."]
    if now.level.base_wei >= now.settings.policy.max_fee_wei:
        lines.append("It costs that much now: nothing is sent until gas is cheaper.")
    return [*lines, *describe_gas(now)]


def describe_gas(now: FeesNow) -> list[str]:
    """What gas costs, whatever is offered for it."""
    prices = now.value.prices
    lines = [
        f"A unit of gas costs {format_gwei(prices.gas_wei)} gwei now: {format_gwei(now.level.base_wei)} for "
        f"all, and a tip of {format_gwei(now.level.tip_wei)}."
    ]
    if prices.data.byte_wei:
        lines.append(
            f"The chain charges {format_gwei(prices.data.byte_wei)} gwei besides for a byte of a transaction."
        )
    calls = [f"  {name}: {now.value.describe(size)}" for name, size in now.calls.items()]
    return [*lines, *_price_lines(now), *calls]


def _price_lines(now: FeesNow) -> list[str]:
    lines = [now.trouble] if now.trouble else []
    if now.value.microusd is not None:
        lines.append(
            f"A gas token counts for {format_usd(now.value.microusd)}, and a token for "
            f"{format_usd(now.settings.token_microusd)}."
        )
    elif not now.settings.has_price:
        lines.append("Nothing says what gas is worth. To see it as money: --gas-usd, or --gas-usd-command.")
    return lines


def _price(text: str) -> str:
    if not parse_usd(text):
        raise Misuse(f"{text!r} is not a price: give more than 0")
    return text


def _words(command: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise Misuse(f"{command!r} is not a command: {error}") from None
    if not words:
        raise Misuse("the command is empty: give a program and its arguments")
    return words

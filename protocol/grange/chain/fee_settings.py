"""What a home has decided of fees: what it offers at most, and what gas is worth in dollars.

    fees.json   max_fee_gwei      more a unit of gas is not offered
                gas_usd           what a gas token is worth
                gas_usd_command   a program that prints that, and its arguments
                token_usd         what a token of the market is worth

In the home of a renter, a farm or a repairer, readable by its owner only; without the file all is as
`FeeSettings` says. Decides the form. Leaves the price to `gas_value`, and asking for it to `grange.cli.fees`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from grange.chain.fees import DEFAULT_MAX_FEE_WEI, SendPolicy
from grange.errors import Category, Misuse, UserError, WorldError
from grange.storage.atomic_file import replace_file
from grange.storage.settings_file import read_settings
from grange.units import format_gwei, parse_gwei, parse_usd

FEES_NAME: Final = "fees.json"
MAX_WORDS: Final = 32
"""Of a command: a program and its arguments."""


class FeeSettingsInvalid(UserError, WorldError):
    """What is in fees.json can't be used."""

    category = Category.SETUP


def _checked_usd(text: str) -> str:
    return _checked(text, parse_usd)


def _checked_gwei(text: str) -> str:
    return _checked(text, parse_gwei)


def _checked(text: str, parse: Callable[[str], int]) -> str:
    try:
        amount = parse(text)
    except Misuse as error:
        raise ValueError(str(error)) from None
    if not amount:
        raise ValueError(f"{text!r} is nothing: give more than 0")
    return text


_Usd = Annotated[str, AfterValidator(_checked_usd)]


class FeeSettings(BaseModel):
    """What fees.json holds. Amounts are decimal numbers in text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_fee_gwei: Annotated[str, AfterValidator(_checked_gwei)] = format_gwei(DEFAULT_MAX_FEE_WEI)
    gas_usd: _Usd | None = None
    gas_usd_command: Annotated[tuple[str, ...], Field(max_length=MAX_WORDS)] = ()
    token_usd: _Usd = "1"

    @property
    def policy(self) -> SendPolicy:
        """With what transactions are sent."""
        return SendPolicy(max_fee_wei=parse_gwei(self.max_fee_gwei))

    @property
    def gas_microusd(self) -> int | None:
        """What a gas token is worth, in millionths of a dollar, if it was given as a number."""
        return None if self.gas_usd is None else parse_usd(self.gas_usd)

    @property
    def token_microusd(self) -> int:
        """What a token is worth, in millionths of a dollar."""
        return parse_usd(self.token_usd)

    @property
    def has_price(self) -> bool:
        """Whether anything says what gas is worth."""
        return self.gas_usd is not None or bool(self.gas_usd_command)


def load_fee_settings(home: Path) -> FeeSettings:
    """What the home has decided. Raises FeeSettingsInvalid."""
    read = read_settings(home / FEES_NAME, FeeSettings, invalid=FeeSettingsInvalid)
    return FeeSettings() if read is None else read


def save_fee_settings(home: Path, settings: FeeSettings) -> None:
    """Write fees.json in one step. Raises OSError."""
    replace_file(home / FEES_NAME, settings.model_dump_json(indent=2) + "\n")

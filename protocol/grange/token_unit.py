"""Amounts of a market's token, read and shown in its own unit.

    unit = TokenUnit(symbol="USDC", decimals=6)
    unit.parse("12.5")                12_500_000 base units
    unit.exact(12_500_000)            "12.5 USDC"
    unit.rounded_up(1)                "0.000001 USDC"
    unit.number_rounded_down(1)       "0.000001", where the symbol stands elsewhere

All arithmetic is in whole numbers. Decides what of a token's symbol is shown: its maker chose it, so that it
may be long, act on a terminal, or be the name of what pays for gas. Leaves asking the token to
`grange.chain.token_facts`.
"""

import re
from dataclasses import dataclass
from typing import Final

from grange.errors import Misuse
from grange.units import FREE, TOKEN_DECIMALS, format_base_units

MAX_DECIMALS: Final = 77
"""One token of more is more than 256 bits hold."""
SHOWN_DECIMALS: Final = 6
SHOWN_DIGITS: Final = 4
"""A person sees an amount to a millionth of a token, and the first four digits of what is less than that
shows."""
PLAIN_NAME: Final = "tokens"
"""What amounts are called whose token has no symbol that can be shown."""

# It stands behind an amount: beginning with digits it would look like a part of it, as in "5 000USDC".
_PLAIN_SYMBOL: Final = re.compile(r"(?=.{1,12}\Z)[$₮]?[A-Za-z][A-Za-z0-9.$₮_+-]*")
_GAS_SYMBOLS: Final = frozenset(("ETH", "POL", "MATIC", "BNB", "AVAX", "XDAI", "CELO", "MNT"))
_MAX_WHOLE_DIGITS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUnit:
    """How a token counts, and what it is called. Raises Misuse for decimals that no token can have."""

    symbol: str = ""
    """As it may be shown (`plain_symbol`); "" if there is none."""
    decimals: int = TOKEN_DECIMALS

    def __post_init__(self) -> None:
        if not 0 <= self.decimals <= MAX_DECIMALS:
            raise Misuse(f"a token with {self.decimals} decimals has amounts that no contract can hold")

    @property
    def name(self) -> str:
        """What stands behind an amount."""
        return self.symbol or PLAIN_NAME

    @property
    def one(self) -> int:
        """Base units in one token."""
        return int(10**self.decimals)

    def parse(self, text: str) -> int:
        """A decimal number of tokens as base units. Raises Misuse for anything else, parts of a base unit
        too."""
        amount = re.fullmatch(rf"([0-9]{{1,{_MAX_WHOLE_DIGITS}}})(?:\.([0-9]{{1,{MAX_DECIMALS}}}))?", text)
        if amount is None:
            raise Misuse(f"{text!r} is not an amount of {self.name}; write it like {self._example}")
        whole, part = amount.groups(default="")
        if len(part) > self.decimals:
            at_most = f"{self.decimals} digits after the point" if self.decimals else "no parts"
            raise Misuse(
                f"{text!r} is not an amount of {self.name}: it has {at_most}; write it like {self._example}"
            )
        return int(whole) * self.one + int(part.ljust(self.decimals, "0") or "0")

    def number(self, base_units: int) -> str:
        """Exact, without trailing zeros and without the symbol."""
        return format_base_units(base_units, self.decimals)

    def number_rounded_up(self, base_units: int) -> str:
        """For a person, without the symbol: nothing looks cheaper than it is."""
        unit = self._shown_unit(base_units)
        return self.number(-(-base_units // unit) * unit)

    def number_rounded_down(self, base_units: int) -> str:
        """For a person, without the symbol: nothing looks like more."""
        unit = self._shown_unit(base_units)
        return self.number(base_units // unit * unit)

    def exact(self, base_units: int) -> str:
        """All digits, with the symbol: "12.5 USDC"."""
        return f"{self.number(base_units)} {self.name}"

    def rounded_up(self, base_units: int) -> str:
        """An amount for a person, rounded up so that nothing looks cheaper than it is."""
        return f"{self.number_rounded_up(base_units)} {self.name}"

    def rounded_down(self, base_units: int) -> str:
        """An amount for a person, rounded down so that nothing looks like more."""
        return f"{self.number_rounded_down(base_units)} {self.name}"

    def is_free(self, rate: int) -> bool:
        """Whether a rate is the least that the market takes, one base unit, and that is next to nothing. It
        is not where a token has few decimals."""
        return rate <= (1 if self.decimals >= SHOWN_DECIMALS else 0)

    def rate_number(self, base_units: int) -> str:
        """What a slot costs an epoch, for a person: "free" for the least that the market takes."""
        return FREE if self.is_free(base_units) else self.number_rounded_up(base_units)

    @property
    def _example(self) -> str:
        return "12.5" if self.decimals else "12"

    def _shown_unit(self, base_units: int) -> int:
        digits = len(str(abs(base_units)))
        return int(10 ** max(0, min(self.decimals - SHOWN_DECIMALS, digits - SHOWN_DIGITS)))


PLAIN_UNIT: Final = TokenUnit()
"""That of a token with 18 decimals of which nothing else is known."""


def plain_symbol(symbol: str) -> str:
    """What of a token's symbol is shown: as it is if it is short and plain, and "" otherwise. Cut or mended,
    it could look like another's. A token that calls itself like a gas token is shown as one that does."""
    if _PLAIN_SYMBOL.fullmatch(symbol) is None:
        return ""
    return f"{symbol}-token" if symbol.upper() in _GAS_SYMBOLS else symbol

"""What a market's token says of itself."""

import asyncio
from dataclasses import dataclass

from grange.chain.errors import ChainError, ChainUnavailable
from grange.chain.gateway import Chain
from grange.errors import Category, UserError, WorldError
from grange.units import format_count

MAX_SYMBOL_CHARACTERS = 20


class NotToken(UserError, WorldError):
    """What is at the address is not an ERC-20 token."""

    category = Category.WRONG_CHAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """Symbol, decimals, and whether it knows permits (EIP-2612)."""

    symbol: str
    decimals: int
    has_permit: bool

    @property
    def text(self) -> str:
        """The same in words."""
        permit = "with" if self.has_permit else "without"
        return (
            f"{self.symbol or 'without a symbol'}, {format_count(self.decimals, 'decimal')}, {permit} permits"
        )


async def read_token_facts(chain: Chain) -> TokenFacts:
    """Ask the token. Raises NotToken where there is none, and ChainUnavailable."""
    symbol, decimals, separator = await asyncio.gather(
        *(_read(chain, name) for name in ("symbol", "decimals", "DOMAIN_SEPARATOR"))
    )
    if not isinstance(decimals, int):
        raise NotToken(
            f"The contract at {chain.token} does not say how many decimals it has: it is not a token.",
            hint="Give the address of an ERC-20 token of this chain.",
        )
    shown = "".join(one for one in str(symbol or "") if one.isprintable())[:MAX_SYMBOL_CHARACTERS]
    return TokenFacts(symbol=shown, decimals=decimals, has_permit=separator is not None)


async def _read(chain: Chain, name: str) -> object:
    """None if the contract has nothing to say."""
    try:
        value: object = await chain.read_token(name)
    except ChainUnavailable:
        raise
    except ChainError:
        return None
    return value

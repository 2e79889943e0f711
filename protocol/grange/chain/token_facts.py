"""What a market's token says of itself.

    facts = await read_token_facts(chain.rpc, chain.token)
    facts.unit.exact(1_500_000)        "1.5 USDC"

The answers are a stranger's: each is read as bare bytes, and what can't be understood counts as not there.
Permits that a token says it knows are only tried (`allowance`). Of several endpoints all that answer have to
say the same decimals: with others an amount would look cheaper than it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from grange.chain.answers import bytes_from
from grange.chain.codec import token_abi
from grange.chain.errors import ChainError, RpcError
from grange.chain.gathering import Question
from grange.chain.refusals import is_by_contract
from grange.chain.rpc import Rpc
from grange.errors import Category, UserError, WorldError
from grange.token_unit import MAX_DECIMALS, TokenUnit, plain_symbol
from grange.types import Address
from grange.units import format_count

WORD_BYTES: Final = 32
MAX_SYMBOL_BYTES: Final = 64
_FUNCTIONS: Final = ("decimals", "symbol", "DOMAIN_SEPARATOR")


class NotToken(UserError, WorldError):
    """What is at the address is not an ERC-20 token whose amounts can be shown."""

    category = Category.WRONG_CHAIN


class DecimalsDisputed(UserError, WorldError):
    """Endpoints do not agree on how a token counts."""

    category = Category.CHAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """How it counts, and whether it says that it knows permits (EIP-2612)."""

    unit: TokenUnit
    has_permit: bool

    @property
    def text(self) -> str:
        """The same in words."""
        permit = "with" if self.has_permit else "without"
        name = self.unit.symbol or "without a symbol that can be shown"
        return f"{name}, {format_count(self.unit.decimals, 'decimal')}, {permit} permits"


async def read_token_facts(rpc: Rpc, token: Address) -> TokenFacts:
    """Ask the token. Raises NotToken where there is none, DecimalsDisputed, and what the chain raises."""
    data = [token_abi().encode_call(name, ()) for name in _FUNCTIONS]
    questions = [("eth_call", ({"to": token, "data": "0x" + one.hex()}, "latest")) for one in data]
    said = [_facts_from(token, answers) for answers in await _ask(rpc, questions)]
    disputed = {one.unit.decimals for one in said}
    if len(disputed) > 1:
        raise DecimalsDisputed(
            f"The endpoints do not agree on how many decimals the token {token} has: "
            f"{' or '.join(map(str, sorted(disputed)))}.",
            detail="One of them lies, and amounts would look other than they are.",
            hint="Look the token up elsewhere, and leave out the endpoint that is wrong.",
        )
    return said[0]


async def _ask(rpc: Rpc, questions: Sequence[Question]) -> list[list[Any]]:
    """The answers of each endpoint that gives some; a refusal is an answer."""
    if rpc.is_alone:
        return [await rpc.batch_or_refused(questions)]
    said = await rpc.ask_everybody(questions, may_refuse=True)
    answered = [answers for _, answers in said if not isinstance(answers, ChainError)]
    if not answered:
        raise said[0][1]
    return answered


def _facts_from(token: Address, answers: Sequence[Any]) -> TokenFacts:
    decimals, symbol, separator = map(_bytes_said, _FUNCTIONS, answers)
    if len(decimals) != WORD_BYTES or int.from_bytes(decimals) > MAX_DECIMALS:
        raise NotToken(
            f"The contract at {token} does not say how many decimals it has: it is not a token.",
            hint="Give the address of an ERC-20 token of this chain.",
        )
    unit = TokenUnit(symbol=plain_symbol(_symbol_from(symbol)), decimals=int.from_bytes(decimals))
    return TokenFacts(unit=unit, has_permit=len(separator) == WORD_BYTES and any(separator))


def _bytes_said(function: str, answer: Any) -> bytes:
    """Empty if the contract refuses. Raises RpcError where the endpoint does."""
    if isinstance(answer, RpcError):
        if is_by_contract(answer):
            return b""
        raise answer
    return bytes_from(answer, f"what {function} returns")


def _symbol_from(data: bytes) -> str:
    """A string as contracts return it, or a word of letters, as some of the oldest do."""
    raw = data.rstrip(b"\0")
    if len(data) != WORD_BYTES:
        start = 2 * WORD_BYTES
        size = int.from_bytes(data[WORD_BYTES:start])
        if int.from_bytes(data[:WORD_BYTES]) != WORD_BYTES or size > min(MAX_SYMBOL_BYTES, len(data) - start):
            return ""
        raw = data[start : start + size]
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return ""

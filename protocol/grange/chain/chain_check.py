"""What an endpoint has to show before it is asked anything else: the right chain, and the market on it.

    parameters = await ChainCheck(chain_id=1, genesis=None, market=market).check(connection)

Each of several endpoints is looked at in this way when it is first asked, so that none of another chain is
ever believed. Decides what is looked at; leaves when to `rpc`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from grange.chain.answers import block_hash_from, bytes_from, quantity
from grange.chain.codec import market_abi, market_interface
from grange.chain.connection import Connection
from grange.chain.errors import (
    AnswerUnreadable,
    ChainReplaced,
    ChainUnavailable,
    MarketNotFound,
    RpcError,
    WrongChain,
)
from grange.chain.gathering import Question
from grange.types import Address, Parameters

CHAIN_ID_METHOD: Final = "eth_chainId"
BLOCK_METHOD: Final = "eth_getBlockByNumber"
_TRUE: Final = "0x" + (1).to_bytes(32).hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainCheck:
    """What every endpoint must serve. `chain_id` None is any, `genesis` None is not looked at."""

    chain_id: int | None
    genesis: bytes | None
    """The hash of block 0. A devnet that is started again has the chain id and the market address of the one
    before; only its first block tells them apart."""
    market: Address

    async def check(self, connection: Connection) -> tuple[int, Parameters]:
        """The chain's id and the market's parameters. Raises WrongChain, ChainReplaced, MarketNotFound and
        what the connection raises.

        An endpoint that does not show block 0 cannot be checked by it, and is taken.
        """
        chain_id = await read_chain_id(connection)
        if self.chain_id is not None and chain_id != self.chain_id:
            raise WrongChain(connection.url, self.chain_id, chain_id)
        if self.genesis is not None:
            block = await connection.ask((BLOCK_METHOD, ("0x0", False)))
            if block is not None and (genesis := block_hash_from(block)) != self.genesis:
                raise ChainReplaced(connection.url, self.genesis, genesis)
        return chain_id, await _read_parameters(connection, self.market)


async def read_chain_id(connection: Connection) -> int:
    """The id of the chain that an endpoint serves."""
    answer = await connection.ask((CHAIN_ID_METHOD, ()))
    try:
        return quantity(answer, "a chain id")
    except AnswerUnreadable as error:
        raise ChainUnavailable(connection.url, f"it gives {answer!r} as its chain id") from error


async def _read_parameters(connection: Connection, market: Address) -> Parameters:
    def asking(function: str, *args: Any) -> Question:
        request = {"to": market, "data": "0x" + market_abi().encode_call(function, args).hex()}
        return "eth_call", (request, "latest")

    answers: Sequence[Any] = await connection.ask_each(
        [
            ("eth_getCode", (market, "latest")),
            asking("parameters"),
            asking("supportsInterface", market_interface()),
        ]
    )
    code, shown, supported = answers
    if isinstance(code, RpcError):
        raise code
    if code in ("0x", "0x0", None):
        raise MarketNotFound(connection.url, market, "no contract at this address")
    try:
        if isinstance(shown, RpcError):
            raise shown
        answer = bytes_from(shown, "the market's parameters")
        fields = market_abi().decode_result("parameters", answer)
    except (RpcError, AnswerUnreadable) as error:
        raise MarketNotFound(connection.url, market, "the contract there is not a market") from error
    if supported != _TRUE:
        raise MarketNotFound(
            connection.url,
            market,
            "the market there has other calls than those that this version of Grange knows",
        )
    return Parameters(**{**fields, "token": Address(fields["token"])})

"""What an endpoint has to show before it is asked anything else: the right chain, and the market on it.

    check = ChainCheck(chain_id=1, genesis=None, market=market)
    chain_id, parameters = await check.check(connection, shown_before, now)

Each of several endpoints is looked at in this way when it is first asked, so that none of another chain is
ever believed. Decides what is looked at, in one request where the endpoint takes several questions at once;
leaves when to `rpc`.
"""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from grange.chain.answers import block_hash_from, bytes_from, quantity
from grange.chain.codec import market_abi, market_interface
from grange.chain.connection import BatchRefused, Connection
from grange.chain.errors import (
    AnswerUnreadable,
    ChainReplaced,
    ChainUnavailable,
    MarketNotFound,
    RpcError,
    WrongChain,
)
from grange.chain.gathering import Question
from grange.chain.market_pins import MarketPins
from grange.types import Address, Parameters

CHAIN_ID_METHOD: Final = "eth_chainId"
BLOCK_METHOD: Final = "eth_getBlockByNumber"
KEPT_SECONDS: Final = 60.0
"""For so long an answer need not be asked for again. After that it may be of another chain: a devnet's."""
_TRUE: Final = "0x" + (1).to_bytes(32).hex()


@dataclass(slots=True, kw_only=True)
class ShownBefore:
    """What an endpoint that failed in between has answered of what it has to show. Otherwise one that answers
    every second question would begin again and again, and never come to the end."""

    answers: dict[str, Any] = field(default_factory=dict)
    since: float = -math.inf

    def forget(self, now: float) -> None:
        """Begin again."""
        self.answers, self.since = {}, now


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainCheck:
    """What every endpoint must serve. `chain_id` None is any, `genesis` None is not looked at."""

    chain_id: int | None
    genesis: bytes | None
    """The hash of block 0. A devnet that is started again has the chain id and the market address of the one
    before; only its first block tells them apart."""
    market: Address
    pins: MarketPins | None = None
    """Of the market as it was when it was looked at: its code has to be that."""

    async def check(
        self, connection: Connection, shown_before: ShownBefore, now: float
    ) -> tuple[int, Parameters]:
        """The chain's id and the market's parameters. Raises WrongChain, ChainReplaced, MarketNotFound,
        MarketForged and what the connection raises. `now` is in seconds that only go forward.

        An endpoint that does not show block 0 cannot be checked by it, and is taken.
        """
        if now - shown_before.since > KEPT_SECONDS:
            shown_before.forget(now)
        answers = shown_before.answers
        await _ask_what_is_left(connection, self._questions(), answers)
        # All is there to be judged, once: what is asked after this is asked again.
        shown_before.forget(now)
        chain_id = _chain_id_from(connection, _unless_refused(answers["chain id"]))
        if self.chain_id is not None and chain_id != self.chain_id:
            raise WrongChain(connection.url, self.chain_id, chain_id)
        if self.genesis is not None:
            block = _unless_refused(answers["first block"])
            if block is not None and (genesis := block_hash_from(block)) != self.genesis:
                raise ChainReplaced(connection.url, self.genesis, genesis)
        if self.pins is not None:
            self.pins.check(connection.url, answers["code"])
        elif _unless_refused(answers["code"]) in ("0x", "0x0", None):
            raise MarketNotFound(connection.url, self.market, "no contract at this address")
        return chain_id, _parameters_from(connection, self.market, answers)

    def _questions(self) -> dict[str, Question]:
        def asking(function: str, *args: Any) -> Question:
            request = {"to": self.market, "data": "0x" + market_abi().encode_call(function, args).hex()}
            return "eth_call", (request, "latest")

        questions: dict[str, Question] = {
            "chain id": (CHAIN_ID_METHOD, ()),
            "code": ("eth_getCode", (self.market, "latest")) if self.pins is None else self.pins.question(),
            "parameters": asking("parameters"),
            "interface": asking("supportsInterface", market_interface()),
        }
        if self.genesis is not None:
            questions["first block"] = (BLOCK_METHOD, ("0x0", False))
        return questions


async def _ask_what_is_left(
    connection: Connection, questions: Mapping[str, Question], answers: dict[str, Any]
) -> None:
    """Put into `answers` what is not there yet. What was answered before an error stays."""
    left = {name: question for name, question in questions.items() if name not in answers}
    said: list[Any]
    try:
        said = await connection.ask_many(list(left.values()))
    except BatchRefused:
        said = await asyncio.gather(*map(connection.ask_or_refused, left.values()), return_exceptions=True)
    failures: list[BaseException] = []
    for name, one in zip(left, said, strict=True):
        if isinstance(one, BaseException) and not isinstance(one, RpcError):
            failures.append(one)
        else:
            answers[name] = one
    if failures:
        raise failures[0]


def _unless_refused(answer: Any) -> Any:
    if isinstance(answer, RpcError):
        raise answer
    return answer


def _chain_id_from(connection: Connection, answer: Any) -> int:
    try:
        return quantity(answer, "a chain id")
    except AnswerUnreadable as error:
        raise ChainUnavailable(connection.url, f"it gives {answer!r} as its chain id") from error


def _parameters_from(connection: Connection, market: Address, answers: Mapping[str, Any]) -> Parameters:
    shown, supported = answers["parameters"], answers["interface"]
    try:
        answer = bytes_from(_unless_refused(shown), "the market's parameters")
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

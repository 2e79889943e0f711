"""Questions that are asked in the same moment go to the endpoint together, and the same one goes once.

    vault, tokens = await together(chain.vault(account), chain.token_balance(account))     one HTTP request

Nothing is kept: an answer is never older than the question. A question waits for others a few turns of the
event loop, which is how deep calls are nested that begin together, and no longer. Only short reads are
gathered; a search for events, which may take long, and what is sent go by themselves. For one event loop.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

GATHERED_METHODS: Final = frozenset(
    {
        "eth_blockNumber",
        "eth_call",
        "eth_chainId",
        "eth_estimateGas",
        "eth_gasPrice",
        "eth_getBalance",
        "eth_getBlockByNumber",
        "eth_getCode",
        "eth_getTransactionByHash",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
        "eth_maxPriorityFeePerGas",
    }
)

AWAITED_TURNS: Final = 3
"""Turns of the event loop in which others may join the first question."""

Question = tuple[str, Sequence[Any]]
"""A method and its parameters."""
Answer = Any
"""What the endpoint answered, or the ChainError that it comes to."""


class Gathering:
    """Gathers the questions of one endpoint."""

    def __init__(
        self,
        ask_one: Callable[[Question], Awaitable[Any]],
        ask_many: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]],
    ) -> None:
        """`ask_one` gives the result of a question or raises; `ask_many` gives an answer to each, and raises
        where there is none to any."""
        self._ask_one = ask_one
        self._ask_many = ask_many
        self._open: dict[str, tuple[Question, asyncio.Future[Any]]] = {}
        self._underway: set[asyncio.Task[None]] = set()

    async def ask(self, method: str, params: Sequence[Any]) -> Any:
        """The result, asked together with all that is asked now. Raises ChainError.

        Anyone who is cancelled takes no answer from the others.
        """
        key = json.dumps([method, list(params)])
        if key not in self._open:
            loop = asyncio.get_running_loop()
            if not self._open:
                loop.call_soon(self._wait_or_send, AWAITED_TURNS)
            future = loop.create_future()
            # If nobody waits any more, nobody is to be told of a failure either.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._open[key] = (method, params), future
        return await asyncio.shield(self._open[key][1])

    async def close(self) -> None:
        """Give up what is underway."""
        for task in self._underway:
            task.cancel()
        await asyncio.gather(*self._underway, return_exceptions=True)

    def _wait_or_send(self, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._wait_or_send, turns - 1)
        else:
            self._send()

    def _send(self) -> None:
        gathered, self._open = list(self._open.values()), {}
        task = asyncio.get_running_loop().create_task(self._answer(gathered))
        self._underway.add(task)
        task.add_done_callback(self._underway.discard)

    async def _answer(self, gathered: Sequence[tuple[Question, "asyncio.Future[Any]"]]) -> None:
        questions = [question for question, _ in gathered]
        try:
            answers = await (self._ask_many(questions) if len(questions) > 1 else self._one(questions[0]))
        except Exception as error:
            # A mistake of ours, too, is for those who asked: cancelled, they would end without a word.
            answers = [error] * len(gathered)
        except BaseException:
            for _, future in gathered:
                future.cancel()
            raise
        for (_, future), answer in zip(gathered, answers, strict=True):
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _one(self, question: Question) -> Sequence[Answer]:
        return [await self._ask_one(question)]

"""JSON-RPC over HTTP with limits: the only place that sees the HTTP library's errors.

Decides: how long a request may take, what is tried again and how often, and what each kind of failure is
called.
Leaves to others: what is asked, and what a contract's refusal means.

A request is repeated only when the transport failed. All that we send is safe to repeat: reads are, and a raw
transaction has one hash however often it arrives.
"""

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, Self

import aiohttp
from pydantic_core import from_json

from grange.chain.endpoint import without_secrets
from grange.chain.errors import AnswerTooLong, ChainError, ChainTimeout, ChainUnavailable, RpcError
from grange.chain.gathering import GATHERED_METHODS, Gathering, Question
from grange.errors import Misuse
from grange.plain_errors import describe_http_error
from grange.units import format_size

MAX_BATCH_REQUESTS = 100
MAX_CONNECTIONS = 16
MAX_ANSWER_BYTES = 64 * 2**20
"""The longest answer that is read, after decompression. An endpoint without end would fill the memory."""
BATCHES_AGAIN_SECONDS = 600.0
"""For so long an endpoint that refused a batch is asked one by one."""
BATCH_REFUSING_STATUSES = frozenset({400, 405, 413, 415, 422, 501})
"""With these some endpoints answer a batch, and not the questions in it."""
_HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait for the endpoint, and how often to ask again.

    At worst a request ends after (retries + 1) * request_seconds plus the pauses, which double.
    """

    connect_seconds: float = 5.0
    request_seconds: float = 20.0
    retries: int = 2
    pause_seconds: float = 0.2


class _BodyTooLong(Exception):
    """More than MAX_ANSWER_BYTES came."""


class _BoundedResponse(aiohttp.ClientResponse):
    """A response whose body has a limit."""

    async def read(self) -> bytes:
        """The whole body. Raises _BodyTooLong."""
        body = bytearray()
        async for part in self.content.iter_any():
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                self.close()
                raise _BodyTooLong
        return bytes(body)


class Rpc:
    """One endpoint: single requests and batches; raises ChainUnavailable, ChainTimeout or RpcError."""

    def __init__(self, url: str, timeouts: Timeouts) -> None:
        self.url = url
        self._timeouts = timeouts
        self._numbers = count()
        self._session: aiohttp.ClientSession | None = None
        self._batches_from = -math.inf
        """When batches are tried, by the clock of `time.monotonic`."""
        self._gathering = Gathering(self._ask, self._ask_many)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(
                total=self._timeouts.request_seconds, sock_connect=self._timeouts.connect_seconds
            ),
            response_class=_BoundedResponse,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._gathering.close()
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, *params: Any) -> Any:
        """The result of one question; short reads of the same moment go in one request."""
        if method in GATHERED_METHODS:
            return await self._gathering.ask(method, params)
        return await self._ask((method, params))

    async def batch(self, requests: Sequence[Question]) -> list[Any]:
        """The results of several requests, in their order; the first refusal among them is raised."""
        results = await self._ask_many(requests)
        for result in results:
            if isinstance(result, ChainError):
                raise result
        return results

    async def _ask(self, question: Question) -> Any:
        method, params = question
        response = await self._with_retries(method, partial(self._one, method, params))
        return self._result(method, response)

    async def _ask_many(self, requests: Sequence[Question]) -> list[Any]:
        """For each its result, or why it has none."""
        results: list[Any] = []
        for start in range(0, len(requests), MAX_BATCH_REQUESTS):
            results += await self._answers(requests[start : start + MAX_BATCH_REQUESTS])
        return results

    async def _answers(self, requests: Sequence[Question]) -> list[Any]:
        if time.monotonic() >= self._batches_from:
            try:
                responses = await self._with_retries(requests[0][0], partial(self._many, requests))
            except RpcError:
                # It refuses the batch as a whole, as some do with more than a few questions, and others in a
                # bad moment.
                self._batches_from = time.monotonic() + BATCHES_AGAIN_SECONDS
            else:
                return [
                    self._result_or_error(method, response)
                    for (method, _), response in zip(requests, responses, strict=True)
                ]
        return await asyncio.gather(*map(self._ask_or_error, requests))

    async def _ask_or_error(self, question: Question) -> Any:
        try:
            return await self._ask(question)
        except ChainError as error:
            return error

    def _result_or_error(self, method: str, response: Any) -> Any:
        try:
            return self._result(method, response)
        except ChainError as error:
            return error

    async def _one(self, method: str, params: Sequence[Any]) -> Any:
        return await self._post(_request(next(self._numbers), method, params))

    async def _many(self, requests: Sequence[Question]) -> list[Any]:
        numbers = [next(self._numbers) for _ in requests]
        content = [_request(number, *request) for number, request in zip(numbers, requests, strict=True)]
        try:
            answers = await self._post(content)
        except aiohttp.ClientResponseError as error:
            if error.status not in BATCH_REFUSING_STATUSES:
                raise
            raise RpcError("batch", error.status, "refused by its HTTP status", None) from None
        if not isinstance(answers, list):
            self._result("batch", answers)
            raise ChainUnavailable(self.url, "a batch was answered by a single response")
        if len(answers) != len(requests):
            raise ChainUnavailable(self.url, f"{len(answers)} answers to a batch of {len(requests)}")
        by_number = {
            answer["id"]: answer
            for answer in answers
            if isinstance(answer, dict) and isinstance(answer.get("id"), int)
        }
        # They may come in any order. A KeyError is a question that has no answer.
        return [by_number[number] for number in numbers]

    async def _post(self, content: object) -> Any:
        if self._session is None:
            raise Misuse("an endpoint is asked inside its `async with`")
        async with self._session.post(self.url, data=json.dumps(content), headers=_HEADERS) as response:
            response.raise_for_status()
            # Python's own parser nests as deep as the recursion limit, which other libraries raise so far
            # that the stack ends first, and with it the process. This one has a limit of its own.
            return from_json(await response.read())

    async def _with_retries(self, method: str, request: Callable[[], Awaitable[Any]]) -> Any:
        pause = self._timeouts.pause_seconds
        for attempt in range(self._timeouts.retries + 1):
            try:
                return await self._translated(method, request)
            except AnswerTooLong:
                # It would be as long again.
                raise
            except ChainUnavailable:
                if attempt == self._timeouts.retries:
                    raise
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError("unreachable")

    async def _translated(self, method: str, request: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await request()
        # Not `from error` where the library's words may have the whole URL in them.
        except TimeoutError:
            raise ChainTimeout(self.url, method, self._timeouts.request_seconds) from None
        except _BodyTooLong:
            limit = format_size(MAX_ANSWER_BYTES)
            raise AnswerTooLong(self.url, f"the answer to {method} is longer than {limit}") from None
        except aiohttp.ClientResponseError as error:
            raise ChainUnavailable(self.url, f"HTTP status {error.status} to {method}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ChainUnavailable(self.url, describe_http_error(error)) from None
        except (ValueError, KeyError) as error:
            raise ChainUnavailable(self.url, f"the answer to {method} is not JSON-RPC") from error

    def _result(self, method: str, response: Any) -> Any:
        error = response.get("error") if isinstance(response, dict) else None
        if isinstance(error, dict):
            code, message = error.get("code"), without_secrets(str(error.get("message", "")), self.url)
            raise RpcError(method, code if isinstance(code, int) else 0, message, _revert_data(error))
        if not isinstance(response, dict) or "result" not in response:
            raise ChainUnavailable(self.url, f"the answer to {method} is not JSON-RPC")
        return response["result"]


def _request(number: int, method: str, params: Sequence[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def _revert_data(error: dict[str, Any]) -> bytes | None:
    """Revert data as engines nest it: `data` itself (geth, anvil) or `data.data` (hardhat)."""
    data = error.get("data")
    if isinstance(data, dict):
        data = data.get("data")
    if not isinstance(data, str) or not data.startswith("0x"):
        return None
    try:
        return bytes.fromhex(data[2:])
    except ValueError:
        return None

"""JSON-RPC over HTTP to one endpoint, with limits: the only place that sees the HTTP library's errors.

Decides how long a request may take, how long an answer may be, what each kind of failure is called, and how
many blocks' logs are asked for. Nothing is asked twice here: that, and whom to ask, is left to `rpc`; what is
asked, and what a contract's refusal means, to others.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import count
from typing import Any

import aiohttp
from pydantic_core import from_json

from grange.chain.endpoint import public_part, without_secrets
from grange.chain.errors import (
    AnswerTooLong,
    ChainTimeout,
    ChainUnavailable,
    RateLimited,
    RpcError,
)
from grange.chain.gathering import Question
from grange.chain.health import Health, LogRange
from grange.chain.refusals import LOGS_METHOD, TOO_MANY_REQUESTS, is_about_access, is_about_quota
from grange.errors import Misuse
from grange.plain_errors import describe_http_error
from grange.units import format_size

MAX_CONNECTIONS = 16
MAX_ANSWER_BYTES = 64 * 2**20
"""The longest answer that is read, after decompression. An endpoint without end would fill the memory."""
BATCHES_AGAIN_SECONDS = 600.0
"""For so long an endpoint that refused a batch is asked one by one."""
BATCH_REFUSING_STATUSES = frozenset({400, 405, 413, 415, 422, 501})
"""With these some endpoints answer a batch, and not the questions in it."""
_HEADERS = {"Content-Type": "application/json"}
_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait for an endpoint, and how often to ask again.

    At worst a question to one endpoint ends after (retries + 1) * request_seconds plus the pauses, which
    double. Of several endpoints each is asked in every turn. Those that want fewer questions are asked more
    often in that time: see `rpc.BUSY_FACTOR`.
    """

    connect_seconds: float = 5.0
    request_seconds: float = 20.0
    retries: int = 2
    pause_seconds: float = 0.2


class BatchRefused(Exception):
    """The endpoint does not answer several questions in one request."""


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


class Connection:
    """One endpoint. All methods raise ChainUnavailable and what comes below it, or RpcError."""

    def __init__(self, url: str, timeouts: Timeouts, clock: Callable[[], float]) -> None:
        """`clock` gives seconds that only go forward."""
        self.url = url
        self._clock = clock
        self.health = Health()
        self._timeouts = timeouts
        self._numbers = count()
        self._session: aiohttp.ClientSession | None = None
        self._batches_from = -math.inf
        """When batches are tried, by the clock."""
        self._log_range = LogRange()

    @property
    def name(self) -> str:
        """What may be shown of its URL."""
        return public_part(self.url)

    @property
    def log_blocks(self) -> int:
        """How many blocks' logs it gives at once, as far as it was found out."""
        return self._log_range.blocks(self._clock())

    def open(self) -> None:
        """Get ready to ask; nothing is sent."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(
                total=self._timeouts.request_seconds, sock_connect=self._timeouts.connect_seconds
            ),
            response_class=_BoundedResponse,
        )

    async def close(self) -> None:
        """Hang up."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, question: Question) -> Any:
        """The result of one question."""
        method, params = question
        with self._learning_range([question]):
            response = await self._translated(method, partial(self._one, method, params))
            return self._result(method, response)

    async def ask_many(self, questions: Sequence[Question]) -> list[Any]:
        """For each question its result, or the RpcError that it has instead. Raises BatchRefused besides."""
        if self._clock() < self._batches_from:
            raise BatchRefused
        with self._learning_range(questions):
            try:
                responses = await self._translated(questions[0][0], partial(self._many, questions))
            except RpcError:
                # It refuses the batch as a whole, as some do with more than a few questions, and others in a
                # bad moment.
                self._batches_from = self._clock() + BATCHES_AGAIN_SECONDS
                raise BatchRefused from None
            answers = [
                self._result_or_error(method, response)
                for (method, _), response in zip(questions, responses, strict=True)
            ]
        for question, answer in zip(questions, answers, strict=True):
            if isinstance(answer, RpcError):
                self._note_refused([question])
        return answers

    async def ask_each(self, questions: Sequence[Question]) -> list[Any]:
        """The same, one by one where it takes no batch."""
        try:
            return await self.ask_many(questions)
        except BatchRefused:
            return await asyncio.gather(*map(self.ask_or_refused, questions))

    async def ask_or_refused(self, question: Question) -> Any:
        """The result of one question, or the RpcError that it has instead."""
        try:
            return await self.ask(question)
        except RpcError as error:
            return error

    async def _one(self, method: str, params: Sequence[Any]) -> Any:
        number = next(self._numbers)
        response = await self.post(_request(number, method, params))
        if isinstance(response, dict) and response.get("id") not in (number, str(number), None):
            raise ChainUnavailable(self.url, f"the answer to {method} is that to another question")
        return response

    async def _many(self, questions: Sequence[Question]) -> list[Any]:
        numbers = [next(self._numbers) for _ in questions]
        content = [_request(number, *question) for number, question in zip(numbers, questions, strict=True)]
        try:
            answers = await self.post(content)
        except aiohttp.ClientResponseError as error:
            if error.status not in BATCH_REFUSING_STATUSES:
                raise
            raise RpcError("batch", error.status, "refused by its HTTP status", None) from None
        if not isinstance(answers, list):
            self._result("batch", answers)
            raise ChainUnavailable(self.url, "a batch was answered by a single response")
        if len(answers) != len(questions):
            raise ChainUnavailable(self.url, f"{len(answers)} answers to a batch of {len(questions)}")
        by_number = {
            answer["id"]: answer
            for answer in answers
            if isinstance(answer, dict) and isinstance(answer.get("id"), int)
        }
        # They may come in any order. A KeyError is a question that has no answer.
        return [by_number[number] for number in numbers]

    async def post(self, content: object) -> Any:
        """What the endpoint answers to a request body, as it came."""
        if self._session is None:
            raise Misuse("an endpoint is asked inside its `async with`")
        async with self._session.post(self.url, data=json.dumps(content), headers=_HEADERS) as response:
            response.raise_for_status()
            # Python's own parser nests as deep as the recursion limit, which other libraries raise so far
            # that the stack ends first, and with it the process. This one has a limit of its own.
            return from_json(await response.read())

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
            raise self._status_error(method, error) from None
        except (aiohttp.ClientError, OSError) as error:
            raise ChainUnavailable(self.url, describe_http_error(error)) from None
        except (ValueError, KeyError) as error:
            raise ChainUnavailable(self.url, f"the answer to {method} is not JSON-RPC") from error

    def _status_error(self, method: str, error: aiohttp.ClientResponseError) -> ChainUnavailable:
        reason = f"HTTP status {error.status} to {method}"
        wait = None if error.headers is None else _retry_after_seconds(error.headers.get("Retry-After"))
        if error.status == TOO_MANY_REQUESTS or (error.status == _UNAVAILABLE and wait is not None):
            return RateLimited(self.url, reason, wait)
        return ChainUnavailable(self.url, reason)

    def _result_or_error(self, method: str, response: Any) -> Any:
        try:
            return self._result(method, response)
        except RpcError as error:
            return error

    def _result(self, method: str, response: Any) -> Any:
        error = response.get("error") if isinstance(response, dict) else None
        if isinstance(error, dict):
            code, message = error.get("code"), without_secrets(str(error.get("message", "")), self.url)
            refusal = RpcError(method, code if isinstance(code, int) else 0, message, _revert_data(error))
            if is_about_quota(refusal):
                raise RateLimited(self.url, message, None)
            if is_about_access(refusal):
                raise ChainUnavailable(self.url, message)
            raise refusal
        if not isinstance(response, dict) or "result" not in response:
            raise ChainUnavailable(self.url, f"the answer to {method} is not JSON-RPC")
        return response["result"]

    @contextmanager
    def _learning_range(self, questions: Sequence[Question]) -> Iterator[None]:
        """Takes note of logs of too many blocks for the endpoint."""
        try:
            yield
        except (AnswerTooLong, ChainTimeout, RpcError):
            self._note_refused(questions)
            raise

    def _note_refused(self, questions: Sequence[Question]) -> None:
        if blocks := log_blocks_of(questions):
            self._log_range.note_refused(blocks, self._clock())


def log_blocks_of(questions: Sequence[Question]) -> int | None:
    """How many blocks' logs are asked for, at most by one of the questions; None where that is not known."""
    ranges = [_blocks(params[0]) for method, params in questions if method == LOGS_METHOD]
    return max((blocks for blocks in ranges if blocks is not None), default=None)


def _blocks(where: Mapping[str, str]) -> int | None:
    if "blockHash" in where:
        return 1
    if where["toBlock"] == "latest":
        return None
    return int(where["toBlock"], 16) - int(where["fromBlock"], 16) + 1


def _request(number: int, method: str, params: Sequence[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def _retry_after_seconds(value: str | None) -> float | None:
    """What the header says: seconds, or a date."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


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

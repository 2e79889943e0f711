"""JSON-RPC over HTTP with limits: the only place that sees the HTTP library's errors.

Decides: how long a request may take, what is tried again and how often, and what each kind of failure is
called.
Leaves to others: what is asked, and what a contract's refusal means.

A request is repeated only when the transport failed. All that we send is safe to repeat: reads are, and a raw
transaction has one hash however often it arrives.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

import aiohttp
from pydantic_core import from_json
from web3 import AsyncHTTPProvider
from web3.types import RPCEndpoint, RPCResponse

from grange.chain.endpoint import without_secrets
from grange.chain.errors import ChainTimeout, ChainUnavailable, RpcError
from grange.plain_errors import describe_http_error
from grange.units import format_size

MAX_BATCH_REQUESTS = 100
MAX_CONNECTIONS = 16
MAX_ANSWER_BYTES = 64 * 2**20
"""The longest answer that is read, after decompression. An endpoint without end would fill the memory."""
_RETRIED_STATUS = (429, 502, 503, 504)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait for the endpoint, and how often to ask again.

    At worst a request ends after (retries + 1) * request_seconds plus the pauses, which double.
    """

    connect_seconds: float = 5.0
    request_seconds: float = 20.0
    retries: int = 2
    pause_seconds: float = 0.2


class _AnswerTooLong(Exception):
    """More than MAX_ANSWER_BYTES came."""


class _BoundedResponse(aiohttp.ClientResponse):
    """A response whose body has a limit."""

    async def read(self) -> bytes:
        """The whole body. Raises _AnswerTooLong."""
        body = bytearray()
        async for part in self.content.iter_any():
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                self.close()
                raise _AnswerTooLong
        return bytes(body)


class _Provider(AsyncHTTPProvider):
    """web3's provider with a JSON parser that has a limit of its own on nesting.

    Python's own nests as deep as the recursion limit, which a library below web3 raises so far that the stack
    ends first, and with it the process.
    """

    @staticmethod
    def decode_rpc_response(raw_response: bytes) -> RPCResponse:
        """An object, or a list of numbered objects. Raises ValueError for anything else."""
        answer = from_json(raw_response)
        numbered = answer if isinstance(answer, list) else []
        if not isinstance(answer, dict | list) or not all(
            isinstance(one, dict) and isinstance(one.get("id"), int) for one in numbered
        ):
            raise ValueError("neither an object nor a list of numbered ones")
        return cast(RPCResponse, answer)


class Rpc:
    """One endpoint: single requests and batches; raises ChainUnavailable, ChainTimeout or RpcError."""

    def __init__(self, url: str, timeouts: Timeouts) -> None:
        self.url = url
        self._timeouts = timeouts
        self._session: aiohttp.ClientSession | None = None
        self._provider = _Provider(
            url,
            request_kwargs={
                "timeout": aiohttp.ClientTimeout(
                    total=timeouts.request_seconds, sock_connect=timeouts.connect_seconds
                )
            },
            exception_retry_configuration=None,
        )

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS), response_class=_BoundedResponse
        )
        await self._provider.cache_async_session(self._session)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def provider(self) -> AsyncHTTPProvider:
        """web3's provider underneath."""
        return self._provider

    async def call(self, method: str, *params: Any) -> Any:
        """The result of one request."""
        response = await self._with_retries(method, lambda: self._one(method, params))
        return self._result(method, response)

    async def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The results of several requests, in their order; the first refusal among them is raised."""
        results: list[Any] = []
        for start in range(0, len(requests), MAX_BATCH_REQUESTS):
            part = requests[start : start + MAX_BATCH_REQUESTS]
            responses = await self._with_retries(part[0][0], lambda part=part: self._many(part))
            results += [
                self._result(method, response) for (method, _), response in zip(part, responses, strict=True)
            ]
        return results

    async def _one(self, method: str, params: Sequence[Any]) -> Any:
        return await self._provider.make_request(RPCEndpoint(method), list(params))

    async def _many(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        responses = await self._provider.make_batch_request(
            [(RPCEndpoint(method), list(params)) for method, params in requests]
        )
        if not isinstance(responses, list):
            self._result("batch", responses)
            raise ChainUnavailable(self.url, "a batch was answered by a single response")
        if len(responses) != len(requests):
            raise ChainUnavailable(self.url, f"{len(responses)} answers to a batch of {len(requests)}")
        return cast(list[Any], responses)

    async def _with_retries(self, method: str, request: Any) -> Any:
        pause = self._timeouts.pause_seconds
        for attempt in range(self._timeouts.retries + 1):
            try:
                return await self._translated(method, request)
            except ChainUnavailable:
                if attempt == self._timeouts.retries:
                    raise
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError("unreachable")

    async def _translated(self, method: str, request: Any) -> Any:
        try:
            return await request()
        # Not `from error` where the library's words may have the whole URL in them.
        except TimeoutError:
            raise ChainTimeout(self.url, method, self._timeouts.request_seconds) from None
        except _AnswerTooLong:
            limit = format_size(MAX_ANSWER_BYTES)
            raise ChainUnavailable(self.url, f"the answer to {method} is longer than {limit}") from None
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

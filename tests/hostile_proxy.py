"""An endpoint that stands before an honest one and lies, as a test tells it to."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

from grange.chain.codec import market_abi
from grange.keccak import keccak256

OLD_HEAD: Final = "old head"
NO_LOGS: Final = "no logs"
OTHER_HASHES: Final = "other hashes"
NO_LOGS_AND_OTHER_HASHES: Final = "no logs, other hashes"
BUSY: Final = "429"
HANGS: Final = "hangs"
RANDOM_TYPES: Final = "random types"
LEAP: Final = "leap"
NO_ORDERS: Final = "no orders"
SILLY_FEES: Final = "silly fees"
LIES: Final = (
    OLD_HEAD, NO_LOGS, OTHER_HASHES, NO_LOGS_AND_OTHER_HASHES, BUSY, HANGS, RANDOM_TYPES, LEAP, NO_ORDERS,
    SILLY_FEES,
)  # fmt: skip
"""All that it can do."""
_SILLY_FEE: Final = hex(10**30)
LEAP_BLOCKS: Final = 10_000
_NONSENSE: Final[tuple[Any, ...]] = (
    None, 5, True, "", "0x", "0xzz", [], [None], {}, {"number": 16}, "0x" + "5a" * 40, "0x" + "ff" * 33
)  # fmt: skip
_ORDER: Final = "0x" + market_abi().function("order").selector.hex()


@dataclass
class HostileProxy:
    """Honest until `lie` is set."""

    behind: str
    url: str = ""
    lie: str | None = None
    retry_after: str = "1"
    """What it says when it is busy, in seconds."""
    keeps: str | None = None
    """A method that it answers by itself: a transaction is dropped, a receipt not shown."""
    change: Callable[[str, Any], Any] | None = None
    """What it makes of the answer to a method."""
    every_second: bool = False
    """Whether an honest node answers every second request, as behind one URL for several."""
    asked: list[str] = field(default_factory=list)
    """Methods, in the order in which they were asked."""
    _old: int = 0
    _requests: int = 0
    _random: random.Random = field(default_factory=lambda: random.Random(7))

    @classmethod
    @asynccontextmanager
    async def before(cls, url: str) -> AsyncIterator[HostileProxy]:
        """Serve in front of an endpoint."""
        proxy = cls(behind=url)
        app = web.Application()
        app.router.add_post("/", proxy._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield proxy
        finally:
            await runner.cleanup()

    async def begin(self, lie: str) -> None:
        """Lie from now on; the old head is that of now."""
        self._old = int((await self._forward(_question("eth_blockNumber")))["result"], 16)
        self.lie = lie

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        content = await request.json()
        questions = content if isinstance(content, list) else [content]
        self.asked += [one["method"] for one in questions]
        self._requests += 1
        if self.every_second and self._requests % 2:
            return web.json_response(await self._forward(content))
        if self.lie == BUSY:
            return web.Response(status=429, headers={"Retry-After": self.retry_after})
        if self.lie == HANGS:
            await asyncio.Event().wait()
        answers = [await self._answer_to(one) for one in questions]
        for question, answer in zip(questions, answers, strict=True):
            if "result" in answer:
                answer["result"] = self._told(question, answer["result"])
                if self.change is not None:
                    answer["result"] = self.change(question["method"], answer["result"])
        return web.json_response(answers if isinstance(content, list) else answers[0])

    async def _answer_to(self, question: dict[str, Any]) -> Any:
        if question["method"] == self.keeps:
            return _kept(question)
        if self.lie == LEAP and _last_block_of_logs(question) > self._old + LEAP_BLOCKS // 100:
            # As nodes do that don't have the block.
            error = {"code": -32602, "message": "block range extends beyond current head block"}
            return {"jsonrpc": "2.0", "id": question["id"], "error": error}
        return await self._forward(self._altered(question))

    async def _forward(self, content: Any) -> Any:
        async with aiohttp.ClientSession() as session, session.post(self.behind, json=content) as response:
            return await response.json()

    def _altered(self, question: dict[str, Any]) -> dict[str, Any]:
        """What is asked of the honest endpoint instead."""
        method, params = question["method"], question["params"]
        if self.lie == OLD_HEAD and params and params[-1] in ("latest", "pending"):
            return {**question, "params": [*params[:-1], hex(self._old)]}
        if self.lie == OLD_HEAD and method == "eth_getBlockByNumber":
            number = self._old if params[0] == "latest" else int(params[0], 16)
            shown = number if number <= self._old else 1 << 40
            return {**question, "params": [hex(shown), *params[1:]]}
        if self.lie == LEAP and method == "eth_getBlockByNumber" and params[0] != "latest":
            return (
                {**question, "params": ["latest", *params[1:]]}
                if int(params[0], 16) > self._old
                else question
            )
        return question

    def _told(self, question: dict[str, Any], result: Any) -> Any:
        method = question["method"]
        if self.lie == RANDOM_TYPES:
            return self._random.choice(_NONSENSE)
        if self.lie == SILLY_FEES:
            return _with_silly_fees(method, result)
        if self.lie in (NO_LOGS, NO_LOGS_AND_OTHER_HASHES) and method == "eth_getLogs":
            return []
        if self.lie == OLD_HEAD and method == "eth_getLogs":
            return [log for log in result if int(log["blockNumber"], 16) <= self._old]
        if self.lie == OLD_HEAD and method == "eth_blockNumber":
            return hex(self._old)
        if (
            self.lie == NO_ORDERS
            and method == "eth_call"
            and question["params"][0]["data"].startswith(_ORDER)
        ):
            return "0x" + "00" * ((len(result) - 2) // 2)
        if method == "eth_getBlockByNumber" and isinstance(result, dict):
            return self._block(question["params"][0], result)
        return result

    def _block(self, tag: str, block: dict[str, Any]) -> dict[str, Any]:
        number = int(block["number"], 16)
        if self.lie in (OTHER_HASHES, NO_LOGS_AND_OTHER_HASHES) and number > 0:
            return {**block, "hash": _other(block["hash"])}
        if self.lie == LEAP:
            shown = number + LEAP_BLOCKS if tag == "latest" else int(tag, 16)
            if shown > number or tag == "latest":
                return {**block, "number": hex(shown), "hash": _other(hex(shown))}
        return block


def _kept(question: dict[str, Any]) -> dict[str, Any]:
    is_sent = question["method"] == "eth_sendRawTransaction"
    raw = bytes.fromhex(question["params"][0][2:]) if is_sent else b""
    return {"id": question["id"], "result": "0x" + keccak256(raw).hex() if is_sent else None}


def _last_block_of_logs(question: dict[str, Any]) -> int:
    """Of those whose logs are asked for; 0 if none are, or up to the newest."""
    last = question["params"][0].get("toBlock", "latest") if question["method"] == "eth_getLogs" else "latest"
    return 0 if last == "latest" else int(last, 16)


def _other(text: str) -> str:
    return "0x" + hashlib.sha256(text.encode()).hexdigest()


def _question(method: str, *params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}


def _with_silly_fees(method: str, result: Any) -> Any:
    """More than all the gas tokens there are, for gas and for its tip, and of gas more than a block has."""
    if method == "eth_getBlockByNumber" and result is not None:
        return {**result, "baseFeePerGas": _SILLY_FEE}
    asked = ("eth_maxPriorityFeePerGas", "eth_gasPrice", "eth_estimateGas")
    return _SILLY_FEE if method in asked else result

"""Counting what a process asks: requests to JSON-RPC endpoints, questions in them, requests to farmers.

    with counted() as asked:
        ...
    asked.rpc, asked.questions, asked.farmers

`python -m speed.requests FILE ARGUMENT...` runs the command `grange` with these arguments and writes the
counts of its whole process as JSON into FILE.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

AWAITING_METHOD = "eth_getTransactionReceipt"
"""How often a transaction is looked for depends on when the next block comes."""


@dataclass(slots=True)
class Asked:
    """What was asked in a while."""

    rpc_methods: list[list[str]] = field(default_factory=list)
    """HTTP requests to JSON-RPC endpoints, each with the methods of its questions."""
    paths: list[str] = field(default_factory=list)
    """Requests to farmers, each as a method and a path."""
    waits: list[tuple[bool, float, float]] = field(default_factory=list)
    """Of each request whether it went to a farmer, when it was sent, and when the head of its answer came."""

    @property
    def rpc(self) -> int:
        """HTTP requests to JSON-RPC endpoints, without those that only wait for a transaction."""
        return sum(AWAITING_METHOD not in methods for methods in self.rpc_methods)

    @property
    def questions(self) -> int:
        """Questions in all of them."""
        return sum(map(len, self.rpc_methods))

    @property
    def farmers(self) -> int:
        """Requests to farmers."""
        return len(self.paths)

    def waited_seconds(self, *, for_farmers: bool) -> float:
        """How long requests were under way, those of one moment counted once."""
        total, until = 0.0, 0.0
        for _, begun, ended in sorted(wait for wait in self.waits if wait[0] is for_farmers):
            total += max(0.0, ended - max(begun, until))
            until = max(until, ended)
        return total

    def shown(self) -> dict[str, int]:
        """As the benches print it."""
        return {"rpc_requests": self.rpc, "rpc_questions": self.questions, "farmer_requests": self.farmers}


@contextmanager
def counted() -> Iterator[Asked]:
    """Count what this process asks inside, over all of its HTTP sessions."""
    asked = Asked()
    request = aiohttp.ClientSession._request

    async def counting(session: aiohttp.ClientSession, method: str, url: Any, **options: Any) -> Any:
        content = _json_rpc(options.get("data"))
        if content is None:
            asked.paths.append(f"{method} {url}")
        else:
            asked.rpc_methods.append([one["method"] for one in content])
        begun = time.perf_counter()
        try:
            return await request(session, method, url, **options)
        finally:
            asked.waits.append((content is None, begun, time.perf_counter()))

    aiohttp.ClientSession._request = counting  # type: ignore[method-assign, assignment]
    try:
        yield asked
    finally:
        aiohttp.ClientSession._request = request  # type: ignore[method-assign]


def _json_rpc(data: object) -> Sequence[dict[str, Any]] | None:
    if not isinstance(data, str) or '"jsonrpc"' not in data:
        return None
    content = json.loads(data)
    return content if isinstance(content, list) else [content]


def main() -> None:
    """Run `grange` and write down what it asked."""
    from grange_client.cli.entry import main as grange  # noqa: PLC0415  counted before it is loaded

    target, sys.argv = Path(sys.argv[1]), ["grange", *sys.argv[2:]]
    with counted() as asked:
        try:
            grange()
        finally:
            target.write_text(json.dumps(asked.shown() | {"paths": dict(Counter(asked.paths))}))


if __name__ == "__main__":
    main()

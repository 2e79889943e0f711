"""Counting what this process asks of JSON-RPC endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from grange.chain.connection import Connection

AWAITING_METHOD = "eth_getTransactionReceipt"
"""How often a transaction is looked for depends on when the next block comes."""
CONTROL = "evm_"
"""What steers a devnet is no product's question."""


@dataclass(slots=True)
class Asked:
    """The HTTP requests of a while, each a list of methods."""

    requests: list[list[str]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """HTTP requests, without those that only wait for a transaction."""
        return sum(AWAITING_METHOD not in methods for methods in self.requests)


class RequestCounter:
    """Counts in all connections of this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = Asked()
        post = Connection.post

        async def counted(connection: Connection, content: Any) -> Any:
            asked = [one["method"] for one in (content if isinstance(content, list) else [content])]
            if not asked[0].startswith(CONTROL):
                self._now.requests.append(asked)
            return await post(connection, content)

        monkeypatch.setattr(Connection, "post", counted)

    @contextmanager
    def counting(self, what: str, *, at_most: int) -> Iterator[Asked]:
        """Count what is asked inside, print it, and fail if it is more than `at_most` HTTP requests."""
        self._now = asked = Asked()
        yield asked
        self._now = Asked()
        print(f"{what}: {asked.count} HTTP requests, {sum(map(len, asked.requests))} questions")
        for methods in asked.requests:
            print("   ", *methods)
        assert asked.count <= at_most, f"{what} takes {asked.count} requests, and {at_most} are enough"

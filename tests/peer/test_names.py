"""Names that farmers choose: anyone who is slow to tell an address holds up nothing but itself."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from test_read_payments import DOMAIN, WALLET, farmer

from grange.chain import Farmer
from grange.peer import FarmerUnreachable, Peer, PeerTimeouts, Signer, names, networks_of, open_session

TIMEOUTS = PeerTimeouts(info_seconds=0.2)


def named(number: int) -> Farmer:
    return replace(farmer(), endpoint=f"http://slow{number}.example")


@pytest.fixture
def slow_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody tells where anybody is, until the test is over."""
    over = threading.Event()

    def never(*_: Any, **__: Any) -> list[Any]:
        over.wait(60)
        raise socket.gaierror("unknown")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    monkeypatch.setattr(names, "LOOKUP_SECONDS", 0.2)
    yield
    over.set()


@pytest.mark.usefixtures("slow_names")
async def test_slow_names_keep_nobody_from_the_threads_that_all_share() -> None:
    many = (os.cpu_count() or 1) + 4
    signer = Signer(domain=DOMAIN, wallet=WALLET, timeouts=TIMEOUTS)
    async with open_session(TIMEOUTS, chain_id=DOMAIN.chain_id) as session:
        asked = [Peer(named(number), session, signer).greet() for number in range(many)]
        asked += [networks_of(named(number)) for number in range(many)]
        errors = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(error, FarmerUnreachable) for error in errors), errors
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(lambda: 1) == 1

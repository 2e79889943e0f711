"""A renter with a thousand orders asks no more of its endpoint than one with two."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from client_fakes import CALM, WORDS
from paper_chain import PaperChain, order_number
from request_counts import RequestCounter

from grange.chain import Sender
from grange.chain.renter_events import MAX_ORDERS_PER_REQUEST
from grange_client.downloads import downloads as downloads_module
from grange_client.downloads.reader import OrderReader
from grange_client.files.manifest import Manifest
from grange_client.keys.recovery_phrase import identity
from grange_client.orders.market import RenterMarket
from grange_client.renter import Renter

ORDERS = 1_000
PER_BLOCK = 2


@pytest.fixture
def paper() -> PaperChain:
    paper = PaperChain(identity(WORDS).wallet.address)
    paper.register(10)
    for first in range(0, ORDERS, PER_BLOCK):
        paper.place(range(first, first + PER_BLOCK))
    return paper


@pytest.fixture
def market(paper: PaperChain, monkeypatch: pytest.MonkeyPatch) -> RenterMarket:
    chain = paper.chain(monkeypatch)
    return RenterMarket(Sender(chain, identity(WORDS).wallet))


@pytest.fixture
def counter(market: RenterMarket, monkeypatch: pytest.MonkeyPatch) -> RequestCounter:
    return RequestCounter(monkeypatch)


async def test_a_thousand_orders_are_listed_in_twenty_requests(
    paper: PaperChain,
    market: RenterMarket,
    counter: RequestCounter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a catalog, with all their names; later in one, or three after a block and a repair."""

    async def fetch(reader: OrderReader, allow: Callable[[Iterable[int]], None]) -> tuple[Manifest, bytes]:
        return Manifest(name=reader.order.id.hex(), created=1, entries=()), b""

    monkeypatch.setattr(downloads_module, "fetch_manifest", fetch)
    path: Any = tmp_path / "catalog.sqlite"
    async with Renter.assembled(
        identity=identity(WORDS), market=market, catalog_path=path, policy=CALM
    ) as renter:
        with counter.counting("first list of a thousand orders", at_most=20):
            listed = await renter.orders()
        assert {known.name for known in listed} == {order_number(one).hex() for one in range(ORDERS)}
        with counter.counting("list of a thousand orders", at_most=1):
            assert await renter.orders() == listed
        paper.refill(7, 1, 9)
        requests = 2 + -(-ORDERS // MAX_ORDERS_PER_REQUEST)
        with counter.counting("list of a thousand orders after a repair", at_most=requests):
            repaired = {known.order.id: known.order for known in await renter.orders()}
        assert repaired[order_number(7)].slots[1].farmer == 9
        assert len(repaired) == ORDERS
    async with Renter.assembled(
        identity=identity(WORDS), market=market, catalog_path=path, policy=CALM
    ) as renter:
        with counter.counting("list of a thousand orders by a new command", at_most=requests):
            assert len(await renter.orders()) == ORDERS

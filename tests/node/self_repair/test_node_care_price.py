"""What a farm pays for mending its own: no more than the slot is worth to it, and no more than it needs."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from repair_farmers import FakeDirectory
from repair_ground import END, ORDER, PARAMETERS, PIECE_BYTES, RATE, Ground, K, nothing
from repair_market import FakeMarket, order_as_read

from grange.chain import Wallet
from grange.executors import Executors
from grange.peer import OverBudget
from grange.types import Epoch, OrderId
from grange.units import GIB, TOKEN, egress_rounded_up
from grange_node.errors import RepairStopped
from grange_node.self_repair import rebuilder as rebuilder_module
from grange_node.self_repair import repair_spending as spending_module
from grange_node.self_repair.rebuilder import LiveRebuilder
from grange_node.self_repair.repair_spending import SPENDING_NAME, RepairSpending

WALLET = Wallet(b"\x01" * 32)
WORTH = RATE * (PARAMETERS.collateral_epochs + END)


@pytest.fixture
def ground() -> Ground:
    made = Ground()
    made.slots = made.place()
    made.mine_to_next_epoch()
    return made


async def mended(
    ground: Ground,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    pieces: list[int],
    times: int = 1,
    *,
    restarts: bool = False,
    given: Callable[[], Awaitable[None]] | None = None,
) -> tuple[FakeMarket, FakeDirectory, list[Exception]]:
    """The first farmer rebuilds pieces of its slot, again and again, in one life or in as many."""
    market = FakeMarket(ground, WALLET, nothing)
    directory = FakeDirectory(market, ground, WALLET, nothing)

    @asynccontextmanager
    async def known(*_: object) -> AsyncIterator[FakeDirectory]:
        yield directory

    async def give(piece: int, data: bytes) -> None:
        assert data == ground.slots[0][piece]
        if given is not None:
            await given()

    monkeypatch.setattr(rebuilder_module, "RepairMarket", lambda _: market)
    monkeypatch.setattr(rebuilder_module, "open_directory", known)
    errors = list[Any]()
    with Executors.open() as executors:
        own = LiveRebuilder(folder, market.sender, executors)
        for turn in range(times):
            if restarts and turn:
                own = LiveRebuilder(folder, market.sender, executors)
            try:
                await own.rebuild(await order_as_read(market), 0, pieces, give)
            except (OverBudget, RepairStopped) as error:
                errors.append(error)
    return market, directory, errors


async def test_a_piece_costs_no_more_than_a_piece(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has not the money for whole slots mends what little is damaged."""
    for keep in ground.keeps.values():
        keep.egress_price = TOKEN
    market, directory, errors = await mended(ground, tmp_path, monkeypatch, [4])
    price = K * egress_rounded_up(TOKEN, PIECE_BYTES)
    assert (market.funded, directory.spent, errors) == ([price], price, [])


async def test_no_more_is_paid_for_a_slot_than_giving_it_up_costs(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renter that has the other slots at farmers of its own could ask any price for them."""
    for keep in ground.keeps.values():
        keep.egress_price = WORTH * GIB // PIECE_BYTES
    market, directory, errors = await mended(ground, tmp_path, monkeypatch, [4])
    assert (market.funded, directory.spent) == ([], 0)
    assert isinstance(errors[0], OverBudget)


@pytest.mark.parametrize("restarts", [False, True])
async def test_rot_that_is_paid_for_again_and_again_costs_no_more_than_the_slot(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarts: bool
) -> None:
    for keep in ground.keeps.values():
        keep.egress_price = WORTH // 10 * GIB // PIECE_BYTES
        keep.lies = True
    _, directory, errors = await mended(ground, tmp_path, monkeypatch, [4], times=30, restarts=restarts)
    assert len(errors) == 30
    assert 0 < directory.spent <= WORTH


async def test_a_farm_that_stops_while_it_mends_stops_also_with_a_full_disk(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for keep in ground.keeps.values():
        keep.egress_price = TOKEN

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def given() -> None:
        monkeypatch.setattr(spending_module, "write_private", full)
        mending.cancel()
        await asyncio.sleep(0)

    mending = asyncio.create_task(mended(ground, tmp_path, monkeypatch, [4], given=given))
    await asyncio.wait([mending])
    assert mending.cancelled()


def test_what_mending_has_cost_is_remembered_until_its_order_ends(tmp_path: Path) -> None:
    large, other = 1 << 70, OrderId(b"\x02" * 32)
    spending = RepairSpending(tmp_path)
    spending.note(ORDER, 1, large, end=Epoch(20), epoch=Epoch(5))
    spending.note(ORDER, 2, 7, end=Epoch(10), epoch=Epoch(5))
    again = RepairSpending(tmp_path)
    assert [again.paid(ORDER, slot) for slot in (1, 2, 3)] == [large, 7, 0]
    again.note(other, 0, 1, end=Epoch(30), epoch=Epoch(10))
    assert [RepairSpending(tmp_path).paid(ORDER, slot) for slot in (1, 2)] == [large, 0]


@pytest.mark.parametrize(
    "spoilt",
    [
        "",
        "[]",
        '{"a": 1}',
        '{"a": {"paid": "x", "end": 1}}',
        "{",
        "[" * 10**6,
        '{"a": {"paid": 1e999, "end": 1}}',
    ],
    ids=lambda text: text[:40],
)
def test_a_spoilt_memory_of_costs_is_begun_again(tmp_path: Path, spoilt: str) -> None:
    (tmp_path / SPENDING_NAME).write_text(spoilt)
    spending = RepairSpending(tmp_path)
    assert spending.paid(ORDER, 0) == 0
    spending.note(ORDER, 0, 3, end=Epoch(9), epoch=Epoch(1))
    assert RepairSpending(tmp_path).paid(ORDER, 0) == 3

"""Repairs of an order in no danger: a third of it in each epoch, through restarts; and mending alike."""

from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from repair_fakes import Clock, repairing, until_done
from repair_farmers import FakeDirectory, FakePeer
from repair_ground import ORDER, SEGMENTS, Ground, K, nothing
from repair_market import FakeMarket, order_as_read

from grange.executors import Executors
from grange.peer import PieceClosed
from grange.repair import is_eager
from grange.types import Epoch, FarmerId
from grange.wire.codes import ErrorCode
from grange_node.errors import RepairStopped
from grange_node.repair.jobs import Outcome
from grange_node.repair.repairer import LONGEST_RETRY_SECONDS, Repairer
from grange_node.self_repair import rebuilder as rebuilder_module
from grange_node.self_repair.rebuilder import LiveRebuilder

N = 8
VACANT = 3


@pytest.fixture
def ground() -> Ground:
    """2 of 8: calm with one slot vacant, in danger with two."""
    made = Ground(farmers=12, n=N)
    made.slots = made.place()
    made.mine_to_next_epoch()
    made.lapse(VACANT + 1)
    made.evict_now(VACANT + 1)
    made.mine_to_next_epoch()
    assert not is_eager(N - 1, K, N)
    assert is_eager(N - 2, K, N)
    return made


async def passes(ground: Ground, repairer: Repairer, times: int = 3) -> None:
    """As much as can be done in this epoch."""
    for _ in range(times):
        await repairer.tick()
        await repairer.idle()


def sent(ground: Ground) -> set[int]:
    """Pieces of the vacant slot that a new farmer holds."""
    return {
        piece
        for keep in ground.keeps.values()
        for (_, order, slot), pieces in keep.sent.items()
        if (order, slot) == (ORDER, VACANT)
        for piece in pieces
    }


def third(epoch: int) -> set[int]:
    return {piece for piece in range(SEGMENTS) if piece % 3 == epoch % 3}


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_calm_order_is_repaired_in_three_epochs_each_piece_read_once(
    ground: Ground, tmp_path: Path, restarts: bool
) -> None:
    """What was sent in one epoch stays at the taker for the next."""
    expected: set[int] = set()
    if restarts:
        for turn in range(3):
            async with repairing(ground, tmp_path) as repairer:
                await passes(ground, repairer)
                expected |= third(ground.epoch)
                assert sent(ground) == expected
                assert bool(repairer.jobs.under_way()) == (turn < 2)
            ground.mine_to_next_epoch()
    else:
        async with repairing(ground, tmp_path) as repairer:
            for turn in range(3):
                await passes(ground, repairer)
                expected |= third(ground.epoch)
                assert sent(ground) == expected
                assert bool(repairer.jobs.under_way()) == (turn < 2)
                ground.mine_to_next_epoch()
    async with repairing(ground, tmp_path) as repairer:
        [job] = repairer.jobs.done()
    assert job.outcome is Outcome.REFILLED
    assert ground.pieces_at(VACANT) == ground.slots[VACANT]
    assert sum(keep.reads for keep in ground.keeps.values()) == K * SEGMENTS
    assert sum(keep.puts for keep in ground.keeps.values()) == SEGMENTS


async def test_a_closed_third_is_no_fault_of_the_farmers(ground: Ground, tmp_path: Path) -> None:
    """Nobody is at fault, and nobody is asked again and again while nothing is open."""
    async with repairing(ground, tmp_path) as repairer:
        await passes(ground, repairer)
        reads = sum(keep.reads for keep in ground.keeps.values())
        await passes(ground, repairer, times=20)
        assert sum(keep.reads for keep in ground.keeps.values()) == reads
        [job] = repairer.jobs.under_way()
        assert job.at_fault == ()


async def test_takers_are_asked_now_and_then_while_a_repair_waits(ground: Ground, tmp_path: Path) -> None:
    """A farmer forgets an upload that nobody asks for in six hours, and an epoch may last a day."""
    listings: list[str] = []

    async def watch(what: str) -> None:
        listings.append(what)

    clock = Clock()
    async with repairing(ground, tmp_path, watch=watch, clock=clock) as repairer:
        await passes(ground, repairer)
        del listings[:]
        await passes(ground, repairer)
        assert "listing" not in listings
        clock.now += LONGEST_RETRY_SECONDS
        await passes(ground, repairer)
        assert "listing" in listings
        assert "read" not in listings


async def test_an_order_that_falls_into_danger_is_repaired_at_once(ground: Ground, tmp_path: Path) -> None:
    """All of it is open then, in the middle of an epoch."""
    async with repairing(ground, tmp_path) as repairer:
        await passes(ground, repairer)
        assert sent(ground) == third(ground.epoch)
        ground.lapse(VACANT + 2)
        ground.evict_now(VACANT + 2)
        await until_done(ground, repairer)
    assert ground.pieces_at(VACANT) == ground.slots[VACANT]


async def test_a_farm_mends_a_third_in_each_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is whole: a lost slot is back after three."""
    ground = Ground(farmers=12, n=N)
    ground.slots = ground.place()
    ground.mine_to_next_epoch()
    given, left = set[int](), list(range(SEGMENTS))
    for _ in range(3):
        left = await mended(ground, tmp_path, monkeypatch, pieces=left, given=given)
        assert given == set(range(SEGMENTS)) - set(left)
        assert third(ground.epoch) <= given
        ground.mine_to_next_epoch()
    assert left == []
    assert sum(keep.reads for keep in ground.keeps.values()) == K * SEGMENTS


async def test_a_farm_mends_everything_at_once_while_its_order_is_in_danger(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.lapse(VACANT + 2)
    ground.evict_now(VACANT + 2)
    given, every = set[int](), list(range(SEGMENTS))
    assert await mended(ground, tmp_path, monkeypatch, pieces=every, given=given) == []
    assert given == set(range(SEGMENTS))


async def test_mending_goes_on_when_the_epoch_ends_in_the_middle_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = Ground(farmers=12, n=N)
    ground.slots = ground.place()
    ground.mine_to_next_epoch()
    given = set[int]()
    before = third(ground.epoch)
    left = await mended(
        ground,
        tmp_path,
        monkeypatch,
        pieces=list(range(SEGMENTS)),
        given=given,
        after=ground.mine_to_next_epoch,
    )
    assert given == {min(before)}
    assert sorted({*left, *given}) == list(range(SEGMENTS))


async def mended(
    ground: Ground,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    pieces: list[int],
    given: set[int],
    after: Any = None,
) -> list[int]:
    """The first farmer rebuilds pieces of its slot; gives those that are left. `after` the first piece
    something happens."""
    wallet = ground.keeps[FarmerId(1)].wallet
    market = FakeMarket(ground, wallet, nothing)
    directory = FakeDirectory(market, ground, wallet, nothing)

    @asynccontextmanager
    async def known(*_: object) -> Any:
        yield directory

    async def give(piece: int, data: bytes) -> None:
        assert data == ground.slots[0][piece]
        if not given and after is not None:
            after()
        given.add(piece)

    monkeypatch.setattr(rebuilder_module, "RepairMarket", lambda _: market)
    monkeypatch.setattr(rebuilder_module, "open_directory", known)
    order = await order_as_read(market)
    with Executors.open() as executors:
        rebuilder = LiveRebuilder(folder, market.sender, executors)
        return await rebuilder.rebuild(order, 0, pieces, give)


async def test_who_says_that_an_open_piece_is_closed_refuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else farmers could keep another waiting for ever, which would then never give its slot up."""
    ground = Ground(farmers=12, n=N)
    ground.slots = ground.place()
    ground.mine_to_next_epoch()

    async def closed(*_: object) -> bytes:
        raise PieceClosed("closed", status=403, code=ErrorCode.CLOSED_UNTIL_EPOCH, open_epoch=Epoch(1 << 31))

    with monkeypatch.context() as patched:
        patched.setattr(FakePeer, "read", closed)
        with pytest.raises(RepairStopped):
            await mended(ground, tmp_path, patched, pieces=list(range(SEGMENTS)), given=set())


async def test_one_that_says_closed_holds_up_no_repair(ground: Ground, tmp_path: Path) -> None:
    """The others show the piece, and the repair goes on."""
    liar, read = ground.keeps[FarmerId(1)], FakePeer.read

    async def at_times(self: FakePeer, *wanted: Any) -> bytes:
        if self._keep is liar:
            liar.puts += 1
            closed = ErrorCode.CLOSED_UNTIL_EPOCH
            raise PieceClosed("closed", status=403, code=closed, open_epoch=Epoch(1 << 31))
        return await read(self, *wanted)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(FakePeer, "read", at_times)
        async with repairing(ground, tmp_path) as repairer:
            await passes(ground, repairer)
            assert sent(ground) == third(ground.epoch)
    assert liar.puts > 0

"""What hangs in one place holds up nothing that does not need it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from node_support import Farm, open_farm, parcel

from grange.executors import Executors
from grange_node.audit.prover import Action


class Stuck(Executor):
    """Does what it is given, and from `hang` on nothing, until it is let go."""

    def __init__(self) -> None:
        self.waiting = list[Callable[[], object]]()
        self.is_stuck = False
        self._came = asyncio.Event()
        self._threads = ThreadPoolExecutor(2)

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if not self.is_stuck:
            return self._threads.submit(work, *args, **kwargs)
        result = Future[Any]()

        def do() -> None:
            if result.set_running_or_notify_cancel():
                result.set_result(work(*args, **kwargs))

        self.waiting.append(do)
        self._came.set()
        return result

    async def holds_up(self, count: int) -> None:
        """Until so much waits for it."""
        while len(self.waiting) < count:
            self._came.clear()
            await self._came.wait()

    def let_go(self) -> None:
        self.is_stuck = False
        while self.waiting:
            self.waiting.pop(0)()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._threads.shutdown(wait, cancel_futures=cancel_futures)


@asynccontextmanager
async def farming(folder: Path, *, stuck: str) -> AsyncIterator[tuple[Farm, Stuck]]:
    """A farm that keeps a slot, and one of whose executors can hang."""
    executor = Stuck()
    with Executors.open() as executors:
        setattr(executors, stuck, executor)
        async with open_farm(folder, executors=executors) as farm:
            await farm.keep(parcel())
            yield farm, executor
    executor.shutdown()


async def test_a_disk_that_hangs_keeps_no_proof_from_being_made_and_sent(tmp_path: Path) -> None:
    async with farming(tmp_path, stuck="disk") as (farm, disk):
        disk.is_stuck = True
        upload = asyncio.create_task(farm.put(parcel(1, seed=9), 0))
        await disk.holds_up(1)
        farm.market.mine_to_epoch(farm.market.epoch + 1, offset=1)
        assert await farm.node.prover.step(await farm.node.follower.refresh()) is Action.PROVE
        assert (await farm.node.follower.refresh()).farmer.settled_epoch == farm.market.epoch
        assert not upload.done()
        disk.let_go()
        assert (await upload).status_code == 201


async def test_a_disk_that_hangs_keeps_nobody_from_info(tmp_path: Path) -> None:
    async with farming(tmp_path, stuck="disk") as (farm, disk):
        before = (await farm.http.get("/v1/info")).json()
        disk.is_stuck = True
        assert (await farm.http.get("/v1/info")).json() == before
        assert before["free_bytes"] > 0
        assert not disk.waiting


async def test_a_database_that_hangs_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    """All that loops and routes ask of it goes to its own threads: whatever waits for it, info answers."""
    async with farming(tmp_path, stuck="database") as (farm, database):
        database.is_stuck = True
        node, view = farm.node, farm.node.follower.view
        assert view is not None
        works: list[Coroutine[Any, Any, Any]] = [
            node.follower.refresh(),
            node.collector.collect(),
            node.prover.step(view),
            node.self_repairer.tick(),
            farm.get(parcel()),
        ]
        waiting = [asyncio.create_task(work) for work in works]
        await database.holds_up(len(waiting))
        assert (await farm.http.get("/v1/info")).status_code == 200
        assert not any(task.done() for task in waiting)
        database.let_go()
        *_, read = await asyncio.gather(*waiting)
        assert read.status_code == 200


def test_blocking_work_goes_to_a_named_executor_and_never_to_the_loops_own() -> None:
    """The pool of `asyncio.to_thread` is one for everything: a slow fsync in it delays proofs."""
    packages = Path(__file__).parents[2]
    wrong = [
        str(path.relative_to(packages))
        for package in ("protocol", "node", "client", "devnet", "simulate")
        for path in sorted((packages / package).rglob("*.py"))
        if "to_thread" in (text := path.read_text()) or "run_in_executor(None" in text
    ]
    assert not wrong

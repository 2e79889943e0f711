"""Threads for what blocks, told apart by what it waits for.

    disk        files: a slow fsync holds up what needs the disk, and nothing else
    cpu         hashing, coding, proofs
    database    SQLite

With one pool for everything, a disk that hangs would take the last thread, and no proof would be made.
Decides how many threads each has. Leaves to the callers what belongs where: work that does several things
goes where its slowest part belongs, so that it takes one trip to a thread.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Final, ParamSpec, TypeVar

from grange.tasks import wait_out

DISK_THREADS: Final = 8
"""Disks do several things at once, and better so."""
CPU_THREADS: Final = (os.cpu_count() or 1) + 1
"""One may be reading the file that it computes from."""
DATABASE_THREADS: Final = 4
"""Each file takes one write at a time; the others are for reads, which do not wait for it."""

SHORT_BYTES: Final = 32 << 10
"""What is hashed, coded or encrypted in less time than it takes to go to a thread and back."""

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Executors:
    """Where one program has its blocking work done. For one event loop; who opens it closes it.

    Anyone who is cancelled gets no further before the work has ended that was begun: a thread can't be
    stopped, and must not go on with files and locks that its caller has let go. Work that has not begun is
    dropped.
    """

    def __init__(self, *, disk: Executor, cpu: Executor, database: Executor) -> None:
        """Executors of one's own, which the caller closes. Most use `Executors.open`."""
        self.disk = disk
        self.cpu = cpu
        self.database = database

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Executors]:
        """Threads of its own. At the end what has begun is waited for, and what has not is dropped."""
        executors = cls(
            disk=ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="disk"),
            cpu=ThreadPoolExecutor(CPU_THREADS, thread_name_prefix="cpu"),
            database=ThreadPoolExecutor(DATABASE_THREADS, thread_name_prefix="database"),
        )
        try:
            yield executors
        finally:
            executors.close()

    def close(self) -> None:
        """Wait for what has begun, and drop what has not. May be repeated."""
        for executor in (self.disk, self.cpu, self.database):
            executor.shutdown(cancel_futures=True)

    async def on_disk(
        self, work: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """What `work` gives, which reads or writes files. Raises what it raises."""
        return await _run(self.disk, work, *args, **kwargs)

    async def on_cpu(
        self, work: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """What `work` gives, which computes. Raises what it raises."""
        return await _run(self.cpu, work, *args, **kwargs)

    async def on_cpu_unless_short(
        self, size_bytes: int, work: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """The same for work on so many bytes, which is done at once where they are few."""
        if size_bytes <= SHORT_BYTES:
            return work(*args, **kwargs)
        return await _run(self.cpu, work, *args, **kwargs)

    async def in_database(
        self, work: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """What `work` gives, which asks SQLite. Raises what it raises."""
        return await _run(self.database, work, *args, **kwargs)


async def _run(
    executor: Executor, work: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
) -> Result:
    begun = executor.submit(partial(work, *args, **kwargs))
    try:
        return await asyncio.wrap_future(begun)
    except asyncio.CancelledError:
        if not begun.cancel():
            ended = asyncio.wrap_future(begun)
            await wait_out(ended)
            ended.exception()
        raise

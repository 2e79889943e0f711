"""From a drive to the disk: what is at a place of it, as files in a directory.

    root = only_at(session, nodes, root, b"photos/2024")         in a thread: a tree with that alone
    cost = reading_cost(state.live_packs.values(), root.size_bytes)
    result = await restore_into(session, nodes, root, Path("back"), options, watch=display)

What was named comes under its own name, with all that it is: a directory has its mode and its time. One event
loop; files are written in a thread.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from grange.transfer.events import Listener, Progress, ProgressEvent, Step
from grange.units import MIB, egress_rounded_up
from grange_client.drive.edits.new_nodes import NewNodes
from grange_client.drive.entry import EMPTY, Directory
from grange_client.drive.journal import PackDescriptor
from grange_client.drive.restore import RestoreOptions, RestoreResult, restore
from grange_client.drive.restore.local_chunks import chunk_check
from grange_client.drive.tree import find_path
from grange_client.drive.tree_edit import put_entry
from grange_client.drive_session import DriveSession
from grange_client.errors import BadPath
from grange_client.files.scan import shown

OVERHEAD_PART = 10
"""Of what is read, one part in so many more at most: lists of chunks, and directories."""
OVERHEAD_BYTES = 16 * MIB
TELL_SECONDS: Final = 0.1
"""So often somebody is told how far a restore is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingCost:
    """What reading so much takes out of the vault, in base units."""

    expected: int
    at_most: int


def only_at(session: DriveSession, nodes: NewNodes, root: Directory, path: bytes) -> Directory:
    """In a thread: a tree in which there is only what is at a path, under its own name; all of it for an
    empty path. Raises BadPath if nothing is there, and what reading raises."""
    if not path:
        return root
    entry = find_path(nodes, root, path)
    if entry is None:
        raise BadPath(
            f"There is nothing at /{shown(path)} in this drive.",
            hint="It may be mistyped, or have been there at another time.",
        )
    return put_entry(nodes, session.keys.border_secret, EMPTY, entry.name, entry, made_ns=entry.mtime_ns)


def reading_cost(packs: Iterable[PackDescriptor], size_bytes: int) -> ReadingCost:
    """What reading so much content of a drive costs, by the prices that its farmers have signed. Pure."""
    prices = [slot.max_egress_price_per_gib for pack in packs for slot in pack.slots]
    if not any(prices) or not size_bytes:
        return ReadingCost(expected=0, at_most=0)
    most_bytes = size_bytes + size_bytes // OVERHEAD_PART + OVERHEAD_BYTES
    return ReadingCost(
        expected=egress_rounded_up(sum(prices) // len(prices), size_bytes),
        at_most=egress_rounded_up(max(prices), most_bytes),
    )


async def restore_into(
    session: DriveSession,
    nodes: NewNodes,
    root: Directory,
    target: Path,
    options: RestoreOptions,
    *,
    watch: Listener,
) -> RestoreResult:
    """Put a tree into a directory. Broken off, the next run goes on with what is there. Raises like
    `drive.restore.restore`."""
    loop = asyncio.get_running_loop()

    told = PacedProgress(lambda event: loop.call_soon_threadsafe(watch, event))
    watch(Step(what="Restoring", total_bytes=root.size_bytes))
    try:
        return await session.in_thread(
            lambda: restore(
                nodes,
                root,
                target,
                options=options,
                is_chunk=chunk_check(session.keys),
                find=session.catalog.find,
                watch=told,
            )
        )
    finally:
        told.flush()


class PacedProgress:
    """A listener for one thread that hands progress on a few times a second, and all else at once.

    To wake another thread for each small file takes both of them as long as half of what it takes to restore
    it.
    """

    def __init__(
        self, watch: Callable[[ProgressEvent], object], *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._watch = watch
        self._now = now
        self._told = now()
        self._size_bytes = 0

    def __call__(self, event: ProgressEvent) -> None:
        """One event."""
        if not isinstance(event, Progress):
            self.flush()
            self._watch(event)
            return
        self._size_bytes += event.size_bytes
        if self._now() - self._told >= TELL_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Hand on what was collected."""
        size_bytes, self._size_bytes = self._size_bytes, 0
        self._told = self._now()
        if size_bytes:
            self._watch(Progress(size_bytes=size_bytes))

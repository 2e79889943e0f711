"""Times and modes of what is restored, as near as the target's file system keeps them.

A file system that lacks a time or a mode must not keep anyone from the contents: what it lacks is noted.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from grange_client.files.scan import Entry

COARSEST_TIME_NS = 2 * 10**9
"""A time that is off by less than this was rounded by the file system, as some do to two seconds."""
MAX_REMARKS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something that is not in the target as it was stored."""

    path: bytes
    reason: str


class Remarks:
    """What is to be said at the end: the first of them, and how many there were."""

    def __init__(self) -> None:
        self.first: list[Remark] = []
        self.count = 0

    def add(self, path: bytes, reason: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < MAX_REMARKS:
            self.first.append(Remark(path=path, reason=reason))


def set_mode(entry: Entry, descriptor: int, inexact: Remarks) -> None:
    """Set an open file's or directory's mode, and look at what became of it."""
    try:
        os.fchmod(descriptor, entry.mode)
    except OSError as error:
        inexact.add(entry.path, f"its mode {entry.mode:o} cannot be set here: {error.strerror}")
        return
    kept = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if kept != entry.mode:
        inexact.add(entry.path, f"its mode {entry.mode:o} cannot be kept here and became {kept:o}")


def set_time(
    entry: Entry,
    keep: Callable[[tuple[int, int]], None],
    look: Callable[[], os.stat_result],
    inexact: Remarks,
) -> None:
    """Set a time and look at what became of it.

    A file system takes the nearest time that it knows, and does not say so.
    """
    stored_ns = entry.mtime_ns
    try:
        keep((stored_ns, stored_ns))
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is out of range"
        inexact.add(entry.path, f"its time {time_text(stored_ns)} cannot be set here: {reason}")
        return
    kept_ns = look().st_mtime_ns
    if abs(kept_ns - stored_ns) >= COARSEST_TIME_NS:
        stored, kept = time_text(stored_ns), time_text(kept_ns)
        inexact.add(entry.path, f"its time {stored} cannot be kept here and became {kept}")


def time_text(mtime_ns: int) -> str:
    """A time of change in UTC to a second; the Unix seconds where no calendar reaches."""
    seconds = mtime_ns // 10**9
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{seconds} s"

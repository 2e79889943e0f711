"""Which commits of a drive are kept, and how much of each pack they need. In a thread: it reads commits and
trees, from farmers where they are not at hand.
"""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from grange.errors import UserError
from grange.types import Epoch
from grange_client.drive.catalog import Catalog
from grange_client.drive.chunk import ChunkId, ChunkKey, ChunkType, id_of
from grange_client.drive.chunk_store import ChunkReader
from grange_client.drive.commit import unpack_commit
from grange_client.drive.drive_state import DriveState
from grange_client.drive.edits.names import tags_of
from grange_client.drive.liveness import LiveMarking, mark_live
from grange_client.drive.retention import DatedCommit, Retention, RetentionPlan, retain
from grange_client.errors import BadRetention
from grange_client.keep.measuring import MeasuredPacks, measure_packs

MAX_PAST: Final = 1_000_000
"""Commits of a drive whose dates are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedCommits:
    """The commits of a drive as retention sees them, as far as they can be read."""

    live: tuple[DatedCommit, ...]
    past: Mapping[ChunkId, frozenset[ChunkId]]
    """The parents of every commit that was read, of those that are not kept any more too."""
    unread: tuple[UserError, ...] = ()
    """Why live commits could not be read."""

    def retain(self, retention: Retention, *, now_ns: int) -> RetentionPlan:
        """What some rules keep and drop. `now_ns` is the chain's time. Raises BadRetention."""
        return retain(self.live, retention, now_ns=now_ns, known_past=self.past)


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededPacks:
    """What a look makes of the drive's content."""

    measured: MeasuredPacks
    withdrawable: tuple[ChunkId, ...] = ()
    problems: tuple[str, ...] = ()
    """What a person should know of it."""

    @property
    def is_complete(self) -> bool:
        """Whether all that is needed is known."""
        return self.measured.is_complete


def read_dated_commits(reader: ChunkReader, state: DriveState) -> DatedCommits:
    """Date, parents and tags of every live commit, and the parents of those behind them."""
    named: dict[ChunkId, set[str]] = {}
    for tag, tagged in tags_of(state).items():
        named.setdefault(tagged, set()).add(tag)
    live = state.live_commits
    dated: list[DatedCommit] = []
    past: dict[ChunkId, frozenset[ChunkId]] = {}
    unread: list[UserError] = []
    pending: deque[ChunkKey] = deque(live.values())
    while pending and len(past) < MAX_PAST:
        key = pending.popleft()
        one: ChunkId = id_of(key)
        if one in past:
            continue
        try:
            commit = unpack_commit(reader.read(ChunkType.COMMIT, key))
        except UserError as error:
            # Of one that is not kept any more the chunk may be gone.
            past[one] = frozenset()
            if one in live:
                unread.append(error)
            continue
        past[one] = frozenset(map(id_of, commit.parents))
        if one in live:
            tags = frozenset(named.get(one, ()))
            dated.append(DatedCommit(id=one, time_ns=commit.time_ns, parents=past[one], tags=tags))
        pending.extend(commit.parents)
    return DatedCommits(live=tuple(dated), past=past, unread=tuple(unread))


def measure_drive(
    catalog: Catalog,
    reader: ChunkReader,
    state: DriveState,
    retention: Retention | None,
    *,
    now_ns: int,
    after: Epoch,
) -> NeededPacks:
    """Apply the rules to the live commits, and measure what the kept ones need; one may rely on packs that
    are paid for beyond `after`. `now_ns` is the chain's time. Raises CatalogChanged."""
    keys = state.live_commits
    withdrawable: tuple[ChunkId, ...] = ()
    problems: list[str] = []
    if keys and retention is not None:
        dated = read_dated_commits(reader, state)
        if dated.unread:
            problems.append(f"No old version is dropped while one cannot be read. {dated.unread[0]}")
        else:
            try:
                withdrawable = dated.retain(retention, now_ns=now_ns).dropped
            except BadRetention as error:
                problems.append(f"No old version is dropped. {error}")
    dropped = set(withdrawable)

    def mark(kept: Collection[ChunkKey]) -> LiveMarking:
        return mark_live(catalog, reader, kept=kept)

    measured = measure_packs(
        catalog,
        mark,
        live=list(keys.values()),
        kept=[key for one, key in keys.items() if one not in dropped],
        after=after,
    )
    marking = measured.marking
    if marking.missing:
        problems.append("Something that a version needs is in no pack that is known here. Nothing is let go.")
    elif marking.unread:
        problems.append(f"A part of the drive cannot be read now, so nothing is let go. {marking.unread[0]}")
    return NeededPacks(measured=measured, withdrawable=withdrawable, problems=tuple(problems))

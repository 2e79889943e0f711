"""The commits of a drive: in order, by name, by time.

history = read_history(source, state)
history.commits                 newest first
history.resolve("before")       a tag, the beginning of an id, or "latest"
history.heads                   what the drive has now: mostly one commit
history.heads_at(time_ns)       what it had then
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

from grange.errors import UserError
from grange.times import format_time
from grange_client.drive.chunk import ChunkId, ChunkKey, ChunkType, id_of
from grange_client.drive.chunk_store import ChunkSource, WantedChunk
from grange_client.drive.commit import Commit, unpack_commit
from grange_client.drive.drive_state import DriveState
from grange_client.drive.edits.names import tags_of
from grange_client.drive.entry import NANOSECONDS
from grange_client.drive.views.typed_time import HOW
from grange_client.errors import UnknownCommit

LATEST = "latest"
HEAD = "head"
SHORT_ID_CHARACTERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedCommit:
    """A commit, and what the drive says of it."""

    id: ChunkId
    key: ChunkKey
    commit: Commit
    tags: tuple[str, ...]
    parents: tuple[ChunkId, ...]
    """Those that are not kept any more, too."""
    is_head: bool

    @property
    def short_id(self) -> str:
        """What a person types."""
        return self.id.hex()[:SHORT_ID_CHARACTERS]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All commits that are kept."""

    commits: tuple[LoggedCommit, ...]
    """Newest first; none before one that comes from it, whatever the clocks of devices said."""
    unreadable: Mapping[ChunkId, UserError]
    """Those of which the chunk is not to be had, and why."""

    def resolve(self, name: str) -> LoggedCommit:
        """The commit that somebody means: a tag, else an id or the beginning of one, or `latest`.

        Raises UnknownCommit for none, and for a beginning that several have.
        """
        if name == LATEST and self.commits:
            return self.commits[0]
        exact = [one for one in self.commits if one.id.hex() == name.lower()]
        # Any device may give a tag: none may stand in for what is sure without it.
        for one in exact or self.commits:
            if exact or name in one.tags:
                return one
        found = [one for one in self.commits if one.id.hex().startswith(name.lower())] if name else []
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(one.id.hex()[: len(name) + 4] for one in found[:3])
            raise UnknownCommit(f"{len(found)} commits begin with {name}: {some} …", hint="Write more of it.")
        raise UnknownCommit(
            f"The drive has no commit {name}.",
            detail="One is named by its tag, by how its id begins, or by a time.",
            hint=f"`grange log` lists them. {HOW}",
        )

    @property
    def heads(self) -> tuple[LoggedCommit, ...]:
        """What the drive has now, the newest first: several where devices wrote at once and nobody merged
        that yet; none if no commit can be read."""
        parents = {parent for one in self.commits for parent in one.parents}
        # Where journals say of all commits that others come from them, the commits tell.
        return tuple(one for one in self.commits if one.is_head) or tuple(
            one for one in self.commits if one.id not in parents
        )

    def heads_at(self, time_ns: int) -> tuple[LoggedCommit, ...]:
        """What the drive had at a time, as far as it is kept: the newest commit, and others of that time
        that nobody had merged yet. Raises UnknownCommit if there was none yet, or it is not kept."""
        there = [one for one in self.commits if one.commit.time_ns <= time_ns]
        if not there:
            raise self._too_old()
        passed = {parent for one in there for parent in one.parents}
        later = {parent for one in self.commits if one.commit.time_ns > time_ns for parent in one.parents}
        # Of what came after any other commit nothing is kept: the newest one has it, as far as one can tell.
        return tuple(
            one
            for one in there
            if one.id not in passed and (one is there[0] or one.is_head or one.id in later)
        )

    def _too_old(self) -> UnknownCommit:
        if not self.commits:
            return UnknownCommit("The drive has no commit yet.", hint="`grange put` makes the first one.")
        oldest = min(one.commit.time_ns for one in self.commits)
        return UnknownCommit(
            "No commit that is kept is so old.",
            detail=f"The oldest one is of {format_time(oldest / NANOSECONDS)}.",
            hint="`grange log` lists all.",
        )

    def base_of(self, commit: LoggedCommit) -> LoggedCommit | None:
        """What a commit is compared with: the newest of its parents that is kept."""
        return next((one for one in self.commits if one.id in commit.parents), None)


def read_history(
    source: ChunkSource, state: DriveState, *, only: Collection[ChunkId] | None = None
) -> History:
    """All live commits of a drive, or `only` some. One that cannot be read is named, and the others are
    there. Raises what the source raises for all chunks at once."""
    tags: dict[ChunkId, list[str]] = {}
    for tag, commit_id in tags_of(state).items():
        tags.setdefault(commit_id, []).append(tag)
    heads = state.heads
    logged: dict[ChunkId, LoggedCommit] = {}
    unreadable: dict[ChunkId, UserError] = {}
    keys = {
        WantedChunk(type=ChunkType.COMMIT, key=key): commit_id
        for commit_id, key in state.live_commits.items()
        if only is None or commit_id in only
    }
    for fetched in source.fetch(list(keys)):
        commit_id = keys[fetched.wanted]
        try:
            if fetched.error is not None:
                raise fetched.error
            commit = unpack_commit(fetched.content)
        except UserError as error:
            unreadable[commit_id] = error
            continue
        logged[commit_id] = LoggedCommit(
            id=commit_id,
            key=fetched.wanted.key,
            commit=commit,
            tags=tuple(tags.get(commit_id, ())),
            parents=tuple(id_of(parent) for parent in commit.parents),
            is_head=commit_id in heads,
        )
    return History(commits=_newest_first(logged), unreadable=unreadable)


def _newest_first(logged: Mapping[ChunkId, LoggedCommit]) -> tuple[LoggedCommit, ...]:
    """By time, but children before their parents."""
    children = dict.fromkeys(logged, 0)
    for one in logged.values():
        for parent in one.parents:
            if parent in children:
                children[parent] += 1
    ready: list[tuple[int, ChunkId]] = []
    for commit_id, count in children.items():
        if not count:
            heappush(ready, (-logged[commit_id].commit.time_ns, commit_id))
    ordered = []
    while ready:
        one = logged[heappop(ready)[1]]
        ordered.append(one)
        for parent in one.parents:
            if parent in children:
                children[parent] -= 1
                if not children[parent]:
                    heappush(ready, (-logged[parent].commit.time_ns, parent))
    return tuple(ordered)

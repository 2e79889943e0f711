"""Two commits that came from one, made one again: from what, and what the new commit is.

    commit = merge_commits(store, border_secret, ours, theirs, commit_of)

Devices that merge the same commits get the same commit, bit for bit, so they need not merge again. It has no
name and no time of its own: both are those of the newer side.

Two commits may come from several newest ones: one device merges what another had, and the other what the
first had. If one of these were the base, what was deleted in another and restored since would look as if it
were deleted now. So they are merged first, and that tree is the base. Pure.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from grange_client.drive.chunk import ChunkKey
from grange_client.drive.chunk_store import ChunkStore
from grange_client.drive.commit import Commit, merge_bases
from grange_client.drive.entry import EMPTY, NANOSECONDS, Directory
from grange_client.drive.merge import Side, merge
from grange_client.errors import BadCommit

MAX_BASES_MERGED: Final = 64
"""Merges of bases for one merge: each may have several bases itself."""

CommitOf = Callable[[ChunkKey], Commit | None]
"""A commit by its key; None if nothing is known of it any more."""
IsKept = Callable[[ChunkKey], bool]
"""Whether the tree of a commit is kept. Of one that was withdrawn its own chunk stays for a while, and says
what it came from."""


def always_kept(_: ChunkKey) -> bool:
    """Where only commits are known that are kept."""
    return True


def merge_commits(
    store: ChunkStore,
    border_secret: bytes,
    ours: ChunkKey,
    theirs: ChunkKey,
    commit_of: CommitOf,
    *,
    is_kept: IsKept = always_kept,
) -> Commit:
    """The commit that has what both changed; the same with the sides exchanged. For two of which none comes
    from the other.

    Where the tree of a base is not kept any more, an empty one takes its place: nothing vanishes then, what
    one side deleted comes back, and files that differ are there twice. An older base would have a file that
    one side put back as it was look like one that it never changed. Raises BadCommit for one of the two that
    is not known, or for too long a history, BadTree, and what the store raises.
    """
    merging = _Merging(store, border_secret, commit_of, is_kept)
    sides = [merging.commit(key) for key in (ours, theirs)]
    newer = max(sides, key=lambda commit: (commit.time_ns, commit.device))
    return Commit(
        root=merge(
            store,
            border_secret,
            base=merging.base([ours], theirs),
            ours=Side(root=sides[0].root, mark=mark_of(sides[0])),
            theirs=Side(root=sides[1].root, mark=mark_of(sides[1])),
        ),
        parents=tuple(sorted((ours, theirs))),
        time_ns=newer.time_ns,
        device=newer.device,
    )


def mark_of(commit: Commit) -> bytes:
    """What a name of this commit gets where it gives way to another: "device, time", the time in UTC."""
    seconds = commit.time_ns // NANOSECONDS
    try:
        time = (datetime(1970, 1, 1) + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H.%M")
    except OverflowError:
        time = str(seconds)
    return f"{commit.device}, {time}".encode()


@dataclass(slots=True)
class _Merging:
    store: ChunkStore
    border_secret: bytes
    commit_of: CommitOf
    is_kept: IsKept
    bases_merged: int = 0

    def commit(self, key: ChunkKey) -> Commit:
        commit = self.commit_of(key)
        if commit is None:
            raise BadCommit("A commit that is to be merged is not kept any more.")
        return commit

    def base(self, ones: Iterable[ChunkKey], other: ChunkKey) -> Directory:
        """The tree that some commits, merged already, and another come from."""
        keys = merge_bases(ones, other, self._parents_of)
        known = [self.commit_of(key) for key in keys if self.is_kept(key)]
        bases = [commit for commit in known if commit is not None]
        if not keys or len(bases) < len(keys):
            return EMPTY
        root, mark = bases[0].root, mark_of(bases[0])
        for place, commit in enumerate(bases[1:], 1):
            if self.bases_merged == MAX_BASES_MERGED:
                return EMPTY
            self.bases_merged += 1
            root = merge(
                self.store,
                self.border_secret,
                base=self.base(keys[:place], keys[place]),
                ours=Side(root=root, mark=mark),
                theirs=Side(root=commit.root, mark=mark_of(commit)),
            )
        return root

    def _parents_of(self, key: ChunkKey) -> tuple[ChunkKey, ...]:
        commit = self.commit_of(key)
        return () if commit is None else commit.parents

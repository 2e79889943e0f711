"""Commits without a disk: of a tree that was edited, and of heads that went apart. Pure.

    made = commit_tree(store, root, parents, time_ns=…, device=…, message=…)
    past = KnownCommits(reader, state)
    made = merge_heads(store, border_secret, past.heads(), past.commit_of, is_kept=past.is_kept)

What comes out is in the store; it is part of the drive once a journal publishes it, with `made.records`.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from grange_client.drive.chunk import ChunkKey, ChunkType
from grange_client.drive.chunk_store import ChunkStore
from grange_client.drive.commit import Commit, is_ancestor, pack_commit, unpack_commit
from grange_client.drive.commit_merge import CommitOf, IsKept, always_kept, merge_commits
from grange_client.drive.drive_state import publish_commit
from grange_client.drive.entry import Directory
from grange_client.drive.journal import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCommit:
    """A commit that was made, and what the journal of its pack has to say."""

    key: ChunkKey
    commit: Commit
    records: tuple[Record, ...]


def commit_tree(
    store: ChunkStore,
    root: Directory,
    parents: Collection[ChunkKey],
    *,
    time_ns: int,
    device: str,
    message: str = "",
) -> NewCommit:
    """The commit that has this tree. Raises BadCommit for a device or a message that no commit can have."""
    commit = Commit(
        root=root,
        parents=tuple(sorted(set(parents))),
        time_ns=time_ns,
        device=device,
        message=message,
    )
    return _written(store, commit)


def merge_heads(
    store: ChunkStore,
    border_secret: bytes,
    heads: Iterable[ChunkKey],
    commit_of: CommitOf,
    *,
    is_kept: IsKept = always_kept,
) -> list[NewCommit]:
    """The commits that make one head of several, the last of which has all; none if there is one head only.

    Everybody who merges the same heads makes the same commits, bit for bit. Raises BadCommit, BadTree, and
    what the store raises.
    """
    made: dict[ChunkKey, NewCommit] = {}

    def known(key: ChunkKey) -> Commit | None:
        return made[key].commit if key in made else commit_of(key)

    def kept(key: ChunkKey) -> bool:
        return key in made or is_kept(key)

    def parents_of(key: ChunkKey) -> tuple[ChunkKey, ...]:
        commit = known(key)
        return () if commit is None else commit.parents

    pending = sorted(set(heads))
    while len(pending) > 1:
        ours, theirs, *rest = pending
        if is_ancestor(ours, theirs, parents_of):
            pending = [theirs, *rest]
        elif is_ancestor(theirs, ours, parents_of):
            pending = [ours, *rest]
        else:
            merged = merge_commits(store, border_secret, ours, theirs, known, is_kept=kept)
            new = _written(store, merged)
            made[new.key] = new
            pending = [new.key, *rest]
    return list(made.values())


def read_commit(store: ChunkStore, key: ChunkKey) -> Commit:
    """A commit out of its chunk. Raises BadCommit, and what the store raises."""
    return unpack_commit(store.read(ChunkType.COMMIT, key))


def _written(store: ChunkStore, commit: Commit) -> NewCommit:
    key = store.write(ChunkType.COMMIT, pack_commit(commit))
    records = publish_commit(key, commit.parents)
    return NewCommit(key=key, commit=commit, records=records)

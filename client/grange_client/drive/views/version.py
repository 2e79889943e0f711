"""Which version of a drive a person means, and what is in it. Pure.

    version = find_version(history, "3 days ago", now_ns=now)
    nodes = NewNodes(keys, chunks)
    root = root_of(version, past, nodes, border_secret)   what is in it, read through `nodes`

A version is typed as a time, as a commit's id or the beginning of it, as a tag, or as `head`. A time comes
before a tag that looks like one, and a whole id before all: any device may give a tag. A version is mostly
one commit; where devices had written at once, what they had together, as a merge would have it.
"""

from dataclasses import dataclass
from datetime import tzinfo
from typing import Final

from grange_client.drive.chunk import ChunkId
from grange_client.drive.drive_state import DriveState
from grange_client.drive.edits.known_commits import KnownCommits
from grange_client.drive.edits.names import tags_of
from grange_client.drive.edits.new_commit import merge_heads
from grange_client.drive.edits.new_nodes import NewNodes
from grange_client.drive.entry import EMPTY, Directory
from grange_client.drive.views.history import HEAD, LATEST, History, LoggedCommit
from grange_client.drive.views.typed_time import read_time
from grange_client.errors import BadName

_NOW: Final = (HEAD, LATEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The drive at a time."""

    commits: tuple[LoggedCommit, ...]
    """The newest first; more than one if nobody had merged them, none in a drive without any."""

    @property
    def newest(self) -> LoggedCommit | None:
        """Its last commit."""
        return self.commits[0] if self.commits else None

    @property
    def is_unmerged(self) -> bool:
        """Whether it is of several commits."""
        return len(self.commits) > 1


def find_version(history: History, text: str = HEAD, *, now_ns: int, zone: tzinfo | None = None) -> Version:
    """The version that a text means. Raises UnknownCommit for none, for several, and for a time before the
    first; BadTime for a time that is in no calendar."""
    if text.lower() in _NOW:
        return Version(commits=history.heads)
    if not any(one.id.hex() == text.lower() for one in history.commits):
        time = read_time(text, now_ns=now_ns, zone=zone)
        if time is not None:
            return Version(commits=history.heads_at(time.last_ns))
    return Version(commits=(history.resolve(text),))


def commits_needed(state: DriveState, text: str, *, now_ns: int) -> set[ChunkId] | None:
    """The commits that have to be read to find a version; None: all. Raises BadTime as `find_version`."""
    live, word = state.live_commits, text.lower()
    heads = set(state.heads)
    if word in _NOW:
        return heads or None
    if word not in {one.hex() for one in live} and read_time(text, now_ns=now_ns) is not None:
        return None
    tagged = tags_of(state).get(text)
    return {one for one in live if one == tagged or (word and one.hex().startswith(word))}


def check_tag_can_be_typed(tag: str) -> None:
    """Raise BadName for a tag that would be read as something else."""
    if tag.lower() in _NOW or read_time(tag, now_ns=0) is not None:
        raise BadName(
            f"{tag} is no name for a tag: where it is typed it would mean another version.",
            hint="Choose a name that is no time, and not head or latest.",
        )


def root_of(version: Version, past: KnownCommits, nodes: NewNodes, border_secret: bytes) -> Directory:
    """What is in a version. Several commits are merged for it, in `nodes` alone. Raises BadCommit, BadTree
    and what reading raises."""
    if not version.is_unmerged:
        return version.commits[0].commit.root if version.commits else EMPTY
    keys = [one.key for one in version.commits]
    made = merge_heads(nodes, border_secret, keys, past.commit_of, is_kept=past.is_kept)
    # They are newest commits: none of them comes from another, so that there is something to merge.
    return made[-1].commit.root if made else version.commits[0].commit.root

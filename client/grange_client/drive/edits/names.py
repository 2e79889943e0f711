"""What a drive is called, and the tags of its commits, as named values of its journals.

    record = tag_commit(state, "before the move", commit, seconds=now)      goes into the next journal
    tags_of(state)                                                          tags of commits that are live

The last one to say something is right, for everybody the same; see `DriveState.new_value`.
"""

from typing import Final

from grange.types import Epoch
from grange_client.drive.chunk import ChunkId
from grange_client.drive.drive_name import check_drive_name
from grange_client.drive.drive_state import DriveState
from grange_client.drive.journal import HASH_BYTES, MAX_NAME_CHARACTERS, NamedValue
from grange_client.errors import BadName

NAME: Final = "name"
POLICY_PREFIX: Final = "policy/"
TAG_PREFIX: Final = "tag/"
MAX_TAG_CHARACTERS: Final = MAX_NAME_CHARACTERS - len(TAG_PREFIX)


def name_of(state: DriveState) -> str:
    """What the drive is called; empty if nobody said."""
    return state.values.get(NAME, b"").decode(errors="replace")


def rename(state: DriveState, name: str, *, seconds: int) -> NamedValue:
    """The record that gives the drive a name. Raises BadName."""
    return state.new_value(NAME, check_drive_name(name).encode(), seconds=seconds)


def tags_of(state: DriveState) -> dict[str, ChunkId]:
    """Which commit each tag names. One whose commit is not kept any more is none."""
    live = state.live_commits
    return {
        name.removeprefix(TAG_PREFIX): ChunkId(value)
        for name, value in sorted(state.values.items())
        if name.startswith(TAG_PREFIX) and len(value) == HASH_BYTES and ChunkId(value) in live
    }


def tag_commit(state: DriveState, tag: str, commit: ChunkId, *, seconds: int) -> NamedValue:
    """The record that gives a commit a tag, in place of the one that has it. Raises BadName."""
    _check(tag)
    return state.new_value(TAG_PREFIX + tag, commit, seconds=seconds)


def untag(state: DriveState, tag: str, *, seconds: int, gone_until: Epoch) -> NamedValue:
    """The record that takes a tag away; checkpoints say so until an epoch. Raises BadName for one that is not
    there."""
    if TAG_PREFIX + tag not in state.values:
        raise BadName(f"There is no tag {tag}.", hint="It may be mistyped.")
    return state.new_value(TAG_PREFIX + tag, b"", seconds=seconds, gone_until=gone_until)


def _check(name: str) -> None:
    if not 0 < len(name) <= MAX_TAG_CHARACTERS or not name.isprintable() or name.strip() != name:
        raise BadName(
            "A tag is called by 1 to "
            f"{MAX_TAG_CHARACTERS} characters that can be printed, without a space at the ends."
        )
    if set(name) & set(":@/"):
        raise BadName("The name of a tag has none of : @ and /.")

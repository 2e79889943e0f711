"""What is not in the target as it is in the drive: said at the end, by kind and with how many."""

from collections.abc import Mapping
from enum import Enum

from grange_client.files.attributes import Remarks


class RemarkKind(Enum):
    """Why something is not as it was stored. The values are what programs read."""

    UNREADABLE = "unreadable"
    """Left out: a chunk of it is not to be had, or is damaged."""
    NAME = "name"
    """Left out: the target cannot have this name, or has it for another."""
    IN_THE_WAY = "in-the-way"
    """Left out: something else is there, and may not be replaced."""
    NOT_WRITTEN = "not-written"
    """Left out: the target does not let us write there."""
    KEPT = "kept"
    """What was there stayed, as was asked for."""
    HARD_LINK = "hard-link"
    """A file of its own now, though it is one with others in the drive."""
    OWNER = "owner"
    EXTENDED = "extended-attribute"
    ACCESS_LIST = "access-list"
    MODE = "mode"
    TIME = "time"
    OUTSIDE = "points-outside"
    """A symbolic link that points out of the target: it is there, and nothing was written through it."""


LEFT_OUT = frozenset({RemarkKind.UNREADABLE, RemarkKind.NAME, RemarkKind.IN_THE_WAY, RemarkKind.NOT_WRITTEN})
"""Of these the content is not in the target."""


class RestoreRemarks:
    """All remarks of one restore: of each kind the first ones, and how many there were."""

    def __init__(self) -> None:
        self._by_kind = {kind: Remarks() for kind in RemarkKind}

    def of(self, kind: RemarkKind) -> Remarks:
        """Those of one kind."""
        return self._by_kind[kind]

    def add(self, kind: RemarkKind, path: bytes, reason: str) -> None:
        """One more."""
        self._by_kind[kind].add(path, reason)

    @property
    def by_kind(self) -> Mapping[RemarkKind, Remarks]:
        """Those kinds of which there are any."""
        return {kind: remarks for kind, remarks in self._by_kind.items() if remarks.count}

    @property
    def left_out_count(self) -> int:
        """How many entries are not in the target."""
        return sum(self._by_kind[kind].count for kind in LEFT_OUT)

"""What is asked of a restore, and what came of it."""

from dataclasses import dataclass
from enum import Enum

from grange_client.drive.restore.names import NameRule
from grange_client.drive.restore.remarks import RestoreRemarks


class Existing(Enum):
    """What becomes of files and links that are in the target already. Directories are always gone into, and
    nothing but files and links ever gives way."""

    REFUSE = "refuse"
    """Nothing is changed if one of them differs; what is the same is left as it is."""
    SKIP = "skip"
    """They stay, whatever they are."""
    REPLACE_OTHER = "replace-other"
    """Those that differ give way; what is the same is left as it is."""
    REPLACE = "replace"
    """All give way."""

    @property
    def replaces(self) -> bool:
        """Whether anything gives way."""
        return self in (Existing.REPLACE, Existing.REPLACE_OTHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """How to restore."""

    existing: Existing = Existing.REFUSE
    names: NameRule = NameRule.AS_STORED
    owners: bool = True
    """Whether files are given to their owners, where the system lets us."""
    compare_content: bool = True
    """Whether a file of the right size and time is read before it counts as the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """What was done."""

    files: int
    """Written, also as further names of one."""
    directories: int
    links: int
    unchanged: int
    """Files and links that were there already."""
    size_bytes: int
    """Of the files that were written."""
    fetched_bytes: int
    """Content that came from farmers; equal chunks that came once count once."""
    reused_bytes: int
    """Content that was found on the disk: of files that were there, and of a run that was broken off."""
    remarks: RestoreRemarks

    @property
    def is_complete(self) -> bool:
        """Whether all content is there; what could not be set of it is among the remarks."""
        return not self.remarks.left_out_count

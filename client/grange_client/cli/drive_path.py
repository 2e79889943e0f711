"""A place in a drive as a person types it: `main:/photos/2024`, `main:` for all of it.

    place = drive_path("main:/photos/2024")      DrivePath(drive="main", names=(b"photos", b"2024"))
    drive_path("./main:/photos")                 None: a local path

A drive's name, a colon, and then `/` or nothing. All else is a local path: what begins with `/` or `./`, a
single letter before the colon (a disk in Windows), a colon within a name. Names that are not UTF-8, or cannot
be printed, are typed as they are shown: a backslash is doubled, `\\xff` is the byte ff.
"""

import os
import unicodedata
from dataclasses import dataclass
from typing import Final

from grange_client.drive.drive_name import MAIN, is_drive_name
from grange_client.errors import BadPath
from grange_client.files.scan import MAX_PART_BYTES, MAX_PATH_BYTES, from_shown, shown

_HOW = "A place in a drive is written main:/photos/2024, and all of a drive main: alone."


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivePath:
    """A drive by its name, and where in it."""

    drive: str
    names: tuple[bytes, ...] = ()
    """From the root on; none for the root itself."""

    @property
    def path(self) -> bytes:
        """The names joined by `/`, as trees have them; empty for the root."""
        return b"/".join(self.names)

    @property
    def shown(self) -> str:
        """As it may be typed again."""
        return f"{self.drive}:/{shown(self.path)}"

    def below(self, *names: bytes) -> "DrivePath":
        """What is further down."""
        return DrivePath(drive=self.drive, names=(*self.names, *names))


DEFAULT_PLACE: Final = DrivePath(drive=MAIN)
"""Where things go, and what is looked at, if nobody says."""


def drive_path(text: str) -> DrivePath | None:
    """The place in a drive that is meant; None if it is a local path, or a name without a drive.

    Raises BadPath for a place that no drive has.
    """
    name, colon, rest = text.partition(":")
    if not colon or rest[:1] not in ("", "/"):
        return None
    name = unicodedata.normalize("NFC", name)
    return DrivePath(drive=name, names=_names(text, rest)) if is_drive_name(name) else None


def require_drive_path(text: str) -> DrivePath:
    """The place in a drive that is meant. Raises BadPath if it is none."""
    place = drive_path(text)
    if place is None:
        typed = shown(os.fsencode(text))
        raise BadPath(
            f"{typed} is not a place in a drive.",
            detail=_HOW,
            hint=f"Did you mean {DEFAULT_PLACE.drive}:/{typed.strip('/')}? `grange orders` has the commands "
            "for single orders.",
        )
    return place


def _names(text: str, rest: str) -> tuple[bytes, ...]:
    path = from_shown(rest).removeprefix(b"/")
    if not path:
        return ()
    names = tuple(path.removesuffix(b"/").split(b"/"))
    if any(one in (b".", b"..") for one in names):
        reason = "Nothing in a drive is called . or .. : write the whole path."
    elif not all(names):
        reason = "There is a name without a character in it: two slashes stand side by side."
    elif any(b"\0" in one for one in names):
        reason = "No name has a zero byte in it."
    elif len(path) > MAX_PATH_BYTES or any(len(one) > MAX_PART_BYTES for one in names):
        reason = f"A name has at most {MAX_PART_BYTES:,} bytes, and a path {MAX_PATH_BYTES:,}."
    else:
        return names
    raise BadPath(f"{shown(os.fsencode(text))} is not a place in a drive.", detail=reason)

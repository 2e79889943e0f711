"""What a drive may be called, and which drive a name means. Pure.

    check_drive_name("photos")
    named = names_of_drives({0: "", 1: "photos"})       {0: "main", 1: "photos"}

A name is typed before a colon, as in `photos:/2024`, in shells that give a meaning to most other characters;
so it is letters, digits, `-`, `_` and `.`. One letter before a colon is a disk in Windows, and stays one.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Final

from grange_client.errors import BadName

MAIN: Final = "main"
"""The drive with number 0, which is there from the start."""
MAX_DRIVE_NAME_CHARACTERS: Final = 64
_BETWEEN: Final = "-_."


def is_drive_name(name: str) -> bool:
    """Whether a drive may be called so."""
    return (
        1 < len(name) <= MAX_DRIVE_NAME_CHARACTERS
        and name[0].isalnum()
        and all(one.isalnum() or one in _BETWEEN for one in name)
        and unicodedata.normalize("NFC", name) == name
    )


def check_drive_name(name: str) -> str:
    """A name for a drive, in the form in which it is compared. Raises BadName."""
    normal = unicodedata.normalize("NFC", name)
    if not is_drive_name(normal):
        raise BadName(
            "A drive is called by 2 to "
            f"{MAX_DRIVE_NAME_CHARACTERS} letters, digits, hyphens, underscores and dots, of which the first "
            "is a letter or a digit.",
            hint="It is typed before a colon, as in photos:/2024.",
        )
    return normal


def names_of_drives(said: Mapping[int, str]) -> dict[int, str]:
    """How each drive is called, by what its journals say; the same for everybody who sees the same drives.

    Number 0 is always `main`. Where two say the same, or a name that cannot be typed, the one with the lower
    number has it, and the other one's number is behind its own.
    """
    names = {0: MAIN} if 0 in said else {}
    taken = {MAIN}
    for number in sorted(said.keys() - {0}):
        names[number] = next(one for one in _candidates(said[number], number) if one not in taken)
        taken.add(names[number])
    return names


def _candidates(said: str, number: int) -> Iterator[str]:
    """Names for a drive, the best first; never ends."""
    if is_drive_name(said):
        yield said
        yield f"{said[: MAX_DRIVE_NAME_CHARACTERS - 6]}-{number}"
    yield f"drive-{number}"
    yield from (f"drive-{number}.{turn}" for turn in count(1))

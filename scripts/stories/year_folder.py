"""A folder that somebody works in: documents that change a little every day, and pictures that do not.

    folder = Folder.begin(path, seed=15)
    folder.live_a_day(3)

What happens on a day is the same in every telling. Nothing in it can be compressed, so that no bill looks
better than it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

DOCUMENTS: Final = 150
DOCUMENT_BYTES: Final = (8 << 10, 96 << 10)
PICTURES: Final = 12
PICTURE_BYTES: Final = 3 << 19
CHANGED_A_DAY: Final = 4
CHANGED_BYTES: Final = 4 << 10
NOTE_BYTES: Final = 16 << 10
RENAMED_EACH_DAYS: Final = 6
REMOVED_EACH_DAYS: Final = 9
LARGEST_CHANGED_BYTES: Final = 1 << 20
"""Larger files are not worked on: they are pictures."""
NOTES: Final = "notes"


@dataclass(slots=True, kw_only=True)
class Folder:
    """The folder, and what is drawn for it."""

    path: Path
    seed: int

    @classmethod
    def begin(cls, path: Path, *, seed: int) -> Folder:
        """A new one."""
        drawn = Random(seed)
        for number in range(DOCUMENTS):
            _write(path / f"documents/{number % 10}/{number:03d}.txt", drawn, drawn.randint(*DOCUMENT_BYTES))
        for number in range(PICTURES):
            _write(path / f"pictures/{number:02d}.jpg", drawn, PICTURE_BYTES)
        return cls(path=path, seed=seed)

    def live_a_day(self, day: int) -> None:
        """What changes on a day: some documents, a new note; now and then a name, and something goes."""
        drawn = Random(f"{self.seed} {day}")
        documents = [one for one in self.files() if one.stat().st_size <= LARGEST_CHANGED_BYTES]
        for one in drawn.sample(documents, min(CHANGED_A_DAY, len(documents))):
            _change(one, drawn)
        _write(self.path / NOTES / f"day-{day:03d}.txt", drawn, NOTE_BYTES)
        if day % RENAMED_EACH_DAYS == 0 and documents:
            one = drawn.choice(documents)
            one.rename(one.with_name(f"renamed-{day:03d}{one.suffix}"))
        elif day % REMOVED_EACH_DAYS == 0 and documents:
            drawn.choice(documents).unlink()

    def note_of(self, day: int) -> Path:
        """The note of a day, below the folder."""
        return Path(NOTES) / f"day-{day:03d}.txt"

    def files(self) -> Iterator[Path]:
        """All files, in the same order every time."""
        return (one for one in sorted(self.path.rglob("*")) if one.is_file() and not one.is_symlink())

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(one.stat().st_size for one in self.files())


def _write(path: Path, drawn: Random, size_bytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(drawn.randbytes(size_bytes))


def _change(path: Path, drawn: Random) -> None:
    """Some bytes in the middle become others."""
    size_bytes = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(drawn.randint(0, max(0, size_bytes - CHANGED_BYTES)), os.SEEK_SET)
        file.write(drawn.randbytes(min(CHANGED_BYTES, size_bytes)))

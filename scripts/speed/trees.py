"""Trees of files to back up: many small ones of text, or few large ones that nothing compresses.

A number makes the same tree again. `change` changes a share of it in place; names and sizes stay.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from grange.units import KIB, MIB

IN_DIRECTORY: Final = 100
LARGE_FILES: Final = 8
SMALLEST_BYTES: Final = 200
TYPICAL_BYTES: Final = 2 * KIB
LARGEST_BYTES: Final = 64 * KIB
_PART_BYTES: Final = 16 * MIB
_WORDS: Final = 20_000
_TEXT_BYTES: Final = 4 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A directory of files."""

    root: Path
    part: str
    """What a partial restore asks for: a directory of it."""
    change: Callable[[float], None]
    """Changes a share of it: of small files so many, of large ones so much of each."""

    def files(self, part: str = "") -> Iterator[Path]:
        """All of them, or those below a name."""
        return files_below(self.root / part)

    def size_bytes(self, part: str = "") -> int:
        """Of these."""
        return sum(file.stat().st_size for file in self.files(part))


def make_small(root: Path, files: int, seed: int) -> Tree:
    """Texts of 2 KiB in the middle and 64 KiB at most, in directories of a hundred."""
    draw = random.Random(seed)
    text = _text(draw)

    def content(number: int, edition: int) -> bytes:
        own = random.Random(f"{seed} {number}")
        size = int(min(LARGEST_BYTES, max(SMALLEST_BYTES, own.lognormvariate(0, 1) * TYPICAL_BYTES)))
        start = own.randrange(len(text) - size)
        return (b"letter %d, edition %d\n" % (number, edition) + text[start : start + size])[:size]

    def path(number: int) -> Path:
        directory = root / f"{number // IN_DIRECTORY**2:02d}" / f"{number // IN_DIRECTORY % IN_DIRECTORY:02d}"
        return directory / f"letter {number}.txt"

    for number in range(files):
        if number % IN_DIRECTORY == 0:
            path(number).parent.mkdir(parents=True)
        path(number).write_bytes(content(number, 1))

    def change(share: float) -> None:
        for number in range(0, files, round(1 / share)):
            path(number).write_bytes(content(number, 2))

    return Tree(root=root, part="00/00", change=change)


def make_large(root: Path, size_bytes: int, seed: int) -> Tree:
    """Eight files of random bytes."""
    draw = random.Random(seed)
    each = size_bytes // LARGE_FILES
    paths = [root / f"{number}" / "film.bin" for number in range(LARGE_FILES)]
    for path in paths:
        path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            for start in range(0, each, _PART_BYTES):
                file.write(draw.randbytes(min(_PART_BYTES, each - start)))

    def change(share: float) -> None:
        """One stretch in the middle of each."""
        for path in paths:
            with path.open("r+b") as file:
                file.seek(each // 2)
                file.write(draw.randbytes(int(each * share)))

    return Tree(root=root, part="0", change=change)


def check_same(tree: Tree, back: Path, part: str = "") -> None:
    """End the program unless what came back is the tree, or that part of it."""
    if _digests(back, part) != _digests(tree.root, part):
        raise SystemExit(f"{back} is not what was backed up")


def files_below(folder: Path) -> Iterator[Path]:
    """All files in it and in what is in it."""
    return (Path(above) / name for above, _, names in os.walk(folder) for name in names)


def _digests(root: Path, part: str) -> dict[str, bytes]:
    return {
        str(file.relative_to(root)): sha256(file.read_bytes()).digest() for file in files_below(root / part)
    }


def _text(draw: random.Random) -> bytes:
    """Words of which some are far more frequent than others, as in a language."""
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(2, 9))) for _ in range(_WORDS)]
    weights = [1 / rank for rank in range(1, _WORDS + 1)]
    chosen = draw.choices(words, weights, k=_TEXT_BYTES // 5)
    return " ".join(chosen).encode()[:_TEXT_BYTES]

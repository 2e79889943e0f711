"""Directories to store, the same for the same seed: everything in them that could get lost on the way."""

from __future__ import annotations

import os
import random
from pathlib import Path

SMALL_FILES = 240
LARGE_BYTES = 2_600_000
OLD_TIME_NS = -315_619_200_123_456_789
"""In 1960, before the epoch of Unix."""
FAR_TIME_NS = 4_102_444_800_987_654_321
"""In 2100."""


def odd_tree(root: Path, seed: int) -> Path:
    """A few hundred files, and one of each thing that is easily forgotten."""
    rng = random.Random(seed)
    root.mkdir()
    top = os.fsencode(root)
    for number in range(SMALL_FILES):
        folder = root / f"shelf-{number % 7}" / f"box-{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        _write(os.fsencode(folder / f"{number:03d}.bin"), rng.randbytes(rng.randrange(3_000)))
    _write(os.path.join(top, b"large.bin"), rng.randbytes(LARGE_BYTES))
    for number in range(5):
        _write(os.path.join(top, b"empty-%d" % number), b"")
    (root / "empty-folder" / "another").mkdir(parents=True)
    for name in (b"not-utf-8-\xff\xfe\x80", b"new\nline", b"-rf", b" spaces ", b"\xe4\xb8\xad", b"x" * 255):
        _write(os.path.join(top, name), name)
    os.mkdir(os.path.join(top, b"folder-\xff"))
    _write(os.path.join(top, b"folder-\xff", b"inside-\xfe"), b"inside")
    deep = root.joinpath(*("deep",) * 30)
    deep.mkdir(parents=True)
    (deep / "down.txt").write_text("here")
    os.link(root / "large.bin", root / "large-again.bin")
    _links(top)
    _modes_and_times(root, rng)
    return root


def plain_file(path: Path, size_bytes: int, seed: int) -> Path:
    """One file of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(seed).randbytes(size_bytes))
    return path


def _links(top: bytes) -> None:
    for name, target in (
        (b"link-to-file", b"empty-0"),
        (b"link-to-folder", b"shelf-1"),
        (b"link-up", b"../somewhere/else"),
        (b"link-to-nowhere-\xfd", b"/nowhere/\xff"),
        (b"link-to-itself", b"link-to-itself"),
    ):
        os.symlink(target, os.path.join(top, name))


def _modes_and_times(root: Path, rng: random.Random) -> None:
    """From the bottom up, as writing into a folder changes its time."""
    modes = (0o400, 0o600, 0o644, 0o755, 0o4711, 0o2750, 0o777)
    for folder, folders, files in os.walk(os.fsencode(root), topdown=False):
        for name in files + [one for one in folders if os.path.islink(os.path.join(folder, one))]:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, rng.choice(modes))
            _age(path, rng)
        os.chmod(folder, rng.choice((0o700, 0o755, 0o1777, 0o500)))
        _age(folder, rng)
    special = {"empty-1": OLD_TIME_NS, "empty-2": FAR_TIME_NS, "empty-3": 0, "empty-folder": 1}
    for name, moment in special.items():
        os.utime(root / name, ns=(moment, moment))
    os.chmod(root, 0o750)
    _age(os.fsencode(root), rng)


def _age(path: bytes, rng: random.Random) -> None:
    moment = rng.randrange(10**18, 17 * 10**17)
    os.utime(path, ns=(moment, moment), follow_symlinks=False)


def _write(path: bytes, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)

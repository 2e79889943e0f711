"""Compares two directory trees byte for byte: contents, modes, modification times, links, what is missing.

Decides nothing: it lists the differences. It follows no symbolic link.
"""

from __future__ import annotations

import filecmp
import os
import stat
from pathlib import Path


def entries(root: Path) -> dict[bytes, os.stat_result]:
    """Every file, directory and link below `root`, by its path relative to it; `root` itself is b"."."""
    top = os.fsencode(root)
    found = {b".": os.lstat(top)}
    pending = [b""]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(top, folder)) as listing:  # noqa: PTH118 - names are bytes
            for item in listing:
                name = os.path.join(folder, item.name)  # noqa: PTH118
                found[name] = item.stat(follow_symlinks=False)
                if item.is_dir(follow_symlinks=False):
                    pending.append(name)
    return found


def differences(left: Path, right: Path) -> list[str]:
    """One line for each difference between the trees; empty when they are identical."""
    ours, theirs = entries(left), entries(right)
    lines = [f"missing: {os.fsdecode(name)}" for name in sorted(ours.keys() - theirs.keys())]
    lines += [f"not in the original: {os.fsdecode(name)}" for name in sorted(theirs.keys() - ours.keys())]
    for name in sorted(ours.keys() & theirs.keys()):
        lines += [
            f"{os.fsdecode(name)}: {what}" for what in _unlike(left, right, name, ours[name], theirs[name])
        ]
    return lines


def _unlike(left: Path, right: Path, name: bytes, a: os.stat_result, b: os.stat_result) -> list[str]:
    if stat.S_IFMT(a.st_mode) != stat.S_IFMT(b.st_mode):
        return ["another kind of file"]
    path_a, path_b = (os.path.join(os.fsencode(root), name) for root in (left, right))  # noqa: PTH118
    if stat.S_ISLNK(a.st_mode):
        return [] if os.readlink(path_a) == os.readlink(path_b) else ["the link points elsewhere"]  # noqa: PTH115
    what = []
    if stat.S_IMODE(a.st_mode) != stat.S_IMODE(b.st_mode):
        what.append(f"mode {stat.S_IMODE(b.st_mode):o} instead of {stat.S_IMODE(a.st_mode):o}")
    if a.st_mtime_ns != b.st_mtime_ns:
        what.append(f"modification time {b.st_mtime_ns} instead of {a.st_mtime_ns}")
    if stat.S_ISREG(a.st_mode) and not filecmp.cmp(path_a, path_b, shallow=False):
        what.append("other contents")
    return what

"""Comparing directories, times and modes included."""

# ruff: noqa: PTH115, PTH118, PTH123, PTH208  names are bytes here, and pathlib knows only text

import os
import stat
from pathlib import Path


def listing(root: Path) -> dict[bytes, tuple[object, ...]]:
    """Everything below a directory that should come back: kind, mode, time, contents or target."""
    found: dict[bytes, tuple[object, ...]] = {}
    pending = [os.fsencode(root)]
    while pending:
        path = pending.pop()
        info = os.lstat(path)
        name = os.path.relpath(path, os.fsencode(root))
        if stat.S_ISDIR(info.st_mode):
            found[name] = ("directory", info.st_mode, info.st_mtime_ns)
            pending += [os.path.join(path, child) for child in os.listdir(path)]
        elif stat.S_ISLNK(info.st_mode):
            found[name] = ("link", info.st_mtime_ns, os.readlink(path))
        else:
            with open(path, "rb") as file:
                found[name] = ("file", info.st_mode, info.st_mtime_ns, file.read())
    return found

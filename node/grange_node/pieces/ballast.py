"""Room kept back on the disk for the farm's databases: a file that is given up when the disk is full.

The reserve keeps our pieces from filling the disk. Nothing keeps others from it: a log, a backup, another
farm. The databases need little, but a little in each epoch: a proof noted, a voucher. What is kept back lasts
for months of that. The file is filled with random bytes, since a file system may keep holes and zeros without
keeping room for them. It is made again once there is room. Decides how much, and why a file: see
docs/adr/0080-when-the-disk-is-full.md.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from grange.storage.atomic_file import clean_folder, replace_file

BALLAST_NAME: Final = "ballast"
BALLAST_BYTES: Final = 2 << 20
ROOM_FOR_ANOTHER_BYTES: Final = 4 * BALLAST_BYTES
"""It is made only where so much is free: what was given up must not be taken back at once."""

log = logging.getLogger("grange.farm")


class Ballast:
    """The file, in the data folder."""

    def __init__(self, folder: Path, free_bytes: Callable[[], int]) -> None:
        """`free_bytes` gives what the disk has left; it may raise OSError."""
        self._path = folder / BALLAST_NAME
        self._free_bytes = free_bytes

    def give_up(self) -> bool:
        """Make its room free. False if there is nothing to give up."""
        try:
            self._path.unlink()
        except OSError:
            return False
        log.warning("the disk is full: %d MiB that were kept back are given up", BALLAST_BYTES >> 20)
        return True

    def keep(self) -> None:
        """Make it unless it is there or the disk has too little room; give it up if there is none at all."""
        with suppress(OSError):
            if self._path.exists():
                if self._free_bytes() < BALLAST_BYTES // 4:
                    self.give_up()
                return
            # What a killed process had begun to make may be the room that is missing.
            clean_folder(self._path.parent)
            if self._free_bytes() >= ROOM_FOR_ANOTHER_BYTES:
                replace_file(self._path, os.urandom(BALLAST_BYTES))

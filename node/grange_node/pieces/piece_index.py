"""Which pieces of a slot are held: read off its folder once, and remembered while there is room.

Decides what is believed of a folder: the list of roots where it was written, else the files' names. Left to
`store`: the lock that all calls are made under.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import suppress

from grange_node.errors import PieceDamaged, StoreFailed
from grange_node.files import Files
from grange_node.pieces.folders import Folders, translated
from grange_node.pieces.slot_folder import ROOTS_NAME, Piece, piece_at, unpack_roots
from grange_node.slot_key import SlotKey

MAX_CACHED_PIECES = 200_000
"""Slots count as a piece more each, so that empty ones are not kept for nothing."""


class PieceIndex:
    """Pieces by slot and index, without their bytes."""

    def __init__(self, folders: Folders, files: Files) -> None:
        self._folders = folders
        self._files = files
        self._cache: OrderedDict[SlotKey, dict[int, Piece]] = OrderedDict()
        self._cached_pieces = 0

    def __len__(self) -> int:
        """How many slots are remembered."""
        return len(self._cache)

    def of(self, key: SlotKey) -> dict[int, Piece]:
        """What is held of a slot, not to be changed; empty when there is nothing. Raises PieceDamaged."""
        held = self._cache.get(key)
        if held is not None:
            self._cache.move_to_end(key)
            return held
        held = self._load(key)
        self._cache[key] = held
        self._cached_pieces += len(held)
        while self._cached_pieces + len(self._cache) > MAX_CACHED_PIECES and len(self._cache) > 1:
            _, evicted = self._cache.popitem(last=False)
            self._cached_pieces -= len(evicted)
        return held

    def known(self, key: SlotKey) -> dict[int, Piece]:
        """The list of pieces; one that cannot be read, for its content or a bad sector, is removed, and made
        again from the files' names, which say as much."""
        try:
            return self.of(key)
        except (PieceDamaged, StoreFailed):
            self._files.unlink(self._folders.of(key) / ROOTS_NAME)
            return self.of(key)

    def add(self, key: SlotKey, piece: int, held: Piece) -> bool:
        """A piece is on the disk under its name. True when it was not known before."""
        index = self.of(key)
        is_new = piece not in index
        self._cached_pieces += is_new
        index[piece] = held
        return is_new

    def forget(self, key: SlotKey) -> None:
        """Read the folder again when it is asked for next."""
        evicted = self._cache.pop(key, None)
        if evicted is not None:
            self._cached_pieces -= len(evicted)

    def _load(self, key: SlotKey) -> dict[int, Piece]:
        folder = self._folders.of(key)
        with translated(f"listing {key}"):
            try:
                return unpack_roots((folder / ROOTS_NAME).read_bytes())
            except FileNotFoundError:
                pass
            except ValueError as error:
                raise PieceDamaged(f"the list of roots of {key} is damaged: {error}") from error
            held: dict[int, Piece] = {}
            with suppress(FileNotFoundError):
                for entry in os.scandir(folder):
                    found = piece_at(entry.name)
                    if found is not None and entry.is_file():
                        held[found[0]] = Piece(found[1], entry.stat().st_size)
            return held

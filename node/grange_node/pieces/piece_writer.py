"""A piece while it arrives: hashed and written at once, into a file that nobody else knows of.

Decides that what hashes to another root than announced is not kept. Left to `store`: the room for it, and its
name.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from grange.kernel import PieceHasher
from grange_node.errors import Mismatch
from grange_node.files import Files
from grange_node.pieces.folders import translated
from grange_node.slot_key import SlotKey


class PieceWriter:
    """A piece on its way in: hashed as it is written, and not there before `commit` returns."""

    def __init__(
        self,
        *,
        files: Files,
        key: SlotKey,
        piece: int,
        size_bytes: int,
        path: Path,
        descriptor: int,
        keep: Callable[[PieceWriter], bool],
        release: Callable[[int], None],
    ) -> None:
        """Made by `Store.begin`. `keep` gives the written file its name, `release` the room for it back."""
        self.key = key
        self.piece = piece
        self.size_bytes = size_bytes
        self.path = path
        self.root = b""
        self.has_name = False
        """Whether the file has been given its name, and is not where it was written any more."""
        self._files = files
        self._keep = keep
        self._release = release
        self._descriptor: int | None = descriptor
        self._hasher = PieceHasher()

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Hash and append. Raises StorageFull."""
        assert self._descriptor is not None
        self._hasher.update(chunk)
        with translated(f"writing piece {self.piece} of {self.key}"):
            self._files.write(self._descriptor, memoryview(chunk))

    def commit(self, announced_root: bytes) -> bool:
        """Make the piece durable under its name. True when it is new, False when it was here already.

        Raises Mismatch when the bytes hash to another root than announced, Conflict when the index is
        taken by other bytes, StorageFull.
        """
        assert self._descriptor is not None
        try:
            self.root = self._hasher.root()
            if self.root != announced_root:
                raise Mismatch(
                    "the bytes that came hash to another root than announced",
                    announced=announced_root.hex(),
                    computed=self.root.hex(),
                )
            with translated(f"storing piece {self.piece} of {self.key}"):
                self._files.fsync(self._descriptor)
            return self._keep(self)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leave nothing behind of a piece that was not committed. Harmless afterwards."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        self._release(self.size_bytes)
        with suppress(OSError):
            self._files.close(descriptor)
        if not self.has_name:
            with suppress(OSError):
                self._files.unlink(self.path)

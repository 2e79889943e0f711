"""Where new chunks go: into packs, or nowhere where only their number is asked for."""

from typing import Protocol

from grange_client.drive.chunk import SealedChunk


class ChunkSink(Protocol):
    """Takes chunks, each once and always in the same order for the same files."""

    def add(self, chunk: SealedChunk) -> None:
        """One more. May block until there is room, and raise what ends the backup."""


class NoSink:
    """Takes chunks and forgets them."""

    def add(self, chunk: SealedChunk) -> None:
        """Nothing becomes of it."""

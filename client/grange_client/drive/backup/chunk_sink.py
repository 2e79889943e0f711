"""Where new chunks go: into packs, or nowhere where only their number is asked for."""

from collections.abc import Collection, Sequence
from typing import Protocol

from grange.types import OrderId
from grange_client.drive.catalog import Place
from grange_client.drive.chunk import SealedChunk


class ChunkSink(Protocol):
    """Takes chunks, each once and always in the same order for the same files."""

    def add(self, chunk: SealedChunk) -> None:
        """One more. May block until there is room, and raise what ends the backup."""

    def rely(self, places: Sequence[Place]) -> None:
        """These are not added, since they are in packs already: what is made needs them there."""

    def rely_on_packs(self, packs: Collection[OrderId]) -> None:
        """Of these it needs some chunks, and has not looked which."""


class NoSink:
    """Takes chunks and forgets them."""

    def add(self, chunk: SealedChunk) -> None:
        """Nothing becomes of it."""

    def rely(self, places: Sequence[Place]) -> None:
        """Nor of this."""

    def rely_on_packs(self, packs: Collection[OrderId]) -> None:
        """Nor of this."""

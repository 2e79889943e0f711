"""From blocks to pieces: the blocks of a segment are coded and hashed.

What blocks are made of is the source's: sealed files (`sealed_stream`), or a pack as it is. Decides that one
nonce never seals two plaintexts: the root of every piece is remembered when it is first
made, and a piece that is made again (for another farmer) and differs is not handed out: the source changed.
What was coded is decoded, for a sample
of the segments: a fault of memory or of a library costs nothing now and everything at the end.
Pure computation, meant to run in worker threads; leaves sending to `grange.transfer`.
"""

import threading
from collections.abc import Iterable
from typing import Protocol

from grange.kernel import Codec, merkle_roots, root_of_hashes
from grange.layout import Geometry
from grange.transfer.slot_upload import Piece
from grange.units import HASH_BYTES
from grange_client.errors import NotReadable, SourceChanged

DECODED_SEGMENTS = 16
"""One segment of so many is decoded again, the first always: decoding costs about as much as coding."""
_UNKNOWN = bytes(HASH_BYTES)


class BlockSource(Protocol):
    """What the data pieces of an order are made of. Any thread may ask."""

    def blocks(self, segment: int) -> list[bytes]:
        """The k blocks of a segment, each exactly one piece. Raises SourceChanged and NotReadable."""

    def changed(self, segment: int) -> SourceChanged:
        """The error for a segment that is not what it was."""

    def check_unchanged(self) -> None:
        """Look once more at all that was read. Raises SourceChanged."""


class PieceRoots:
    """The root of every piece that was ever made for an order; 32 bytes each."""

    def __init__(self, geometry: Geometry) -> None:
        self._rows = [bytearray(HASH_BYTES * geometry.segments) for _ in range(geometry.n)]
        self._lock = threading.Lock()

    def note(self, slot: int, segment: int, root: bytes) -> bool:
        """Remember a root, or compare it with what was remembered; False if it differs."""
        place = slice(HASH_BYTES * segment, HASH_BYTES * (segment + 1))
        with self._lock:
            known = bytes(self._rows[slot][place])
            if known == _UNKNOWN:
                self._rows[slot][place] = root
                return True
        return known == root

    def slot_root(self, slot: int) -> bytes:
        """The root of a whole slot, once all of its pieces were made."""
        return root_of_hashes(self._rows[slot])


class SegmentEncoder:
    """Makes the pieces of any segment of one order, as often as needed. Safe in several threads."""

    def __init__(self, source: BlockSource, geometry: Geometry) -> None:
        self.geometry = geometry
        self.roots = PieceRoots(geometry)
        self.source = source
        self._codec = Codec(geometry.k, geometry.n)

    def pieces(self, segment: int, slots: Iterable[int]) -> list[Piece]:
        """The pieces of a segment for these slots. Raises SourceChanged and NotReadable."""
        wanted = sorted(slots)
        blocks = self.source.blocks(segment)
        k = self.geometry.k
        parity = self._codec.parity(blocks) if wanted and wanted[-1] >= k else []
        if parity and segment % DECODED_SEGMENTS == 0:
            self._check_coded(segment, blocks, parity)
        pieces = [blocks[slot] if slot < k else parity[slot - k] for slot in wanted]
        made = []
        for slot, data, root in zip(wanted, pieces, merkle_roots(pieces), strict=True):
            if not self.roots.note(slot, segment, root):
                raise self.source.changed(segment)
            made.append(Piece(slot=slot, segment=segment, data=data, root=root))
        return made

    def learn_roots(self, segment: int) -> None:
        """Make all pieces of a segment for their roots alone: they were sent before. Raises as `pieces`."""
        self.pieces(segment, range(self.geometry.n))

    def _check_coded(self, segment: int, blocks: list[bytes], parity: list[bytes]) -> None:
        """Whether the pieces that are farthest from the blocks give them back."""
        k, n = self.geometry.k, self.geometry.n
        pieces = dict(list(enumerate([*blocks, *parity]))[n - k :])
        if self._codec.blocks(pieces) != blocks:
            raise not_readable("coded", segment)


def not_readable(what: str, segment: int) -> NotReadable:
    """The error for a segment that does not come back."""
    return NotReadable(
        f"Segment {segment} could not be read back after it was {what}.",
        detail="The memory of this machine may be faulty. Nothing was placed and nothing is paid.",
        hint="Try again. If it happens again, test the memory.",
    )

"""Cutting what is wanted of an order into stripes: the same bytes of several slots, decoded together.

Pure. A stripe is as long as memory allows, and asks of a slot only what is wanted of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from grange.errors import Misuse
from grange.layout import Geometry
from grange.units import LEAF_BYTES

STRIPE_BYTES = 32 << 20
"""What one stripe takes of memory, unless one segment is already more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stripe:
    """Segments `first` to before `end`, and which of their columns are wanted.

    Where a block needs not be whole, of a single segment `part` may say which of its piece's bytes: the code
    works byte by byte, so the same bytes of any k pieces give those of the others.
    """

    first: int
    end: int
    columns: frozenset[int]
    part: tuple[int, int] | None = None
    """First byte, and the one behind the last."""

    def __post_init__(self) -> None:
        assert self.part is None or self.end == self.first + 1

    def range_in(self, geometry: Geometry) -> tuple[int, int]:
        """Where it begins in a slot, and how many bytes it has there."""
        start = self.first * geometry.piece_bytes
        if self.part is not None:
            return start + self.part[0], self.part[1] - self.part[0]
        return start, (self.end - self.first) * geometry.piece_bytes

    @property
    def whole(self) -> "Stripe":
        """With all of its pieces."""
        return Stripe(first=self.first, end=self.end, columns=self.columns)

    @property
    def segments(self) -> range:
        """By index."""
        return range(self.first, self.end)


def stripes_for(geometry: Geometry, wanted: Iterable[int]) -> list[Stripe]:
    """Stripes that cover these blocks: neighbouring segments with the same columns share one."""
    columns: dict[int, set[int]] = {}
    for block in wanted:
        segment, column = geometry.place_of(block)
        columns.setdefault(segment, set()).add(column)
    most = max(1, STRIPE_BYTES // (geometry.piece_bytes * geometry.k))
    stripes: list[Stripe] = []
    for segment in sorted(columns):
        last = stripes[-1] if stripes else None
        if (
            last is not None
            and last.end == segment
            and last.columns == columns[segment]
            and segment - last.first < most
        ):
            stripes[-1] = Stripe(first=last.first, end=segment + 1, columns=last.columns)
        else:
            stripes.append(Stripe(first=segment, end=segment + 1, columns=frozenset(columns[segment])))
    return stripes


def stripes_for_bytes(geometry: Geometry, offset_bytes: int, size_bytes: int) -> list[Stripe]:
    """Stripes that together cover these bytes of the data pieces. Raises Misuse for what is beyond.

    The first and the last block are taken in part, rounded to leaves, if that is less.
    """
    end_bytes = offset_bytes + size_bytes
    if offset_bytes < 0 or size_bytes < 0 or end_bytes > geometry.data_bytes:
        raise Misuse(f"{size_bytes} bytes at {offset_bytes} are outside of {geometry.data_bytes}")
    piece_bytes = geometry.piece_bytes
    stripes: list[Stripe] = []
    whole: list[int] = []
    for block in range(offset_bytes // piece_bytes, -(-end_bytes // piece_bytes) if size_bytes else 0):
        begin = max(0, offset_bytes - block * piece_bytes) // LEAF_BYTES * LEAF_BYTES
        end = -(-min(piece_bytes, end_bytes - block * piece_bytes) // LEAF_BYTES) * LEAF_BYTES
        if (begin, end) == (0, piece_bytes):
            whole.append(block)
            continue
        segment, column = geometry.place_of(block)
        stripes.append(Stripe(first=segment, end=segment + 1, columns=frozenset({column}), part=(begin, end)))
    return [*stripes, *stripes_for(geometry, whole)]

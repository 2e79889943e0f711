"""Cutting what is wanted of an order into stripes: the same bytes of several slots, decoded together.

Pure. A stripe is as long as memory allows, and asks of a slot only what is wanted of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from grange.layout import Geometry

STRIPE_BYTES = 32 << 20
"""What one stripe takes of memory, unless one segment is already more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stripe:
    """Segments `first` to before `end`, and which of their columns are wanted as plaintext."""

    first: int
    end: int
    columns: frozenset[int]

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

"""Stripes: what is read of an order's slots for some bytes of its data pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange.errors import Misuse
from grange.layout import Geometry
from grange.transfer.stripes import stripes_for_bytes
from grange.units import LEAF_BYTES

shapes = st.builds(
    lambda k, more, piece, segments: Geometry(
        k=k, n=k + more, piece_bytes=LEAF_BYTES << piece, segments=segments
    ),
    st.integers(1, 5),
    st.integers(0, 2),
    st.integers(0, 4),
    st.integers(1, 9),
)


@given(geometry=shapes, data=st.data())
def test_stripes_cover_the_bytes_and_little_more(geometry: Geometry, data: st.DataObject) -> None:
    """Each byte that is wanted is in one stripe, and no other but those of the leaves at both ends."""
    offset = data.draw(st.integers(0, geometry.data_bytes))
    size = data.draw(st.integers(0, geometry.data_bytes - offset))
    covered = []
    for stripe in stripes_for_bytes(geometry, offset, size):
        start, length = stripe.range_in(geometry)
        for column in stripe.columns:
            for at in range(start, start + length):
                segment, within = divmod(at, geometry.piece_bytes)
                covered.append(geometry.block_at(segment, column) * geometry.piece_bytes + within)
    assert len(covered) == len(set(covered))
    assert set(range(offset, offset + size)) <= set(covered)
    first, last = offset // LEAF_BYTES * LEAF_BYTES, -(-(offset + size) // LEAF_BYTES) * LEAF_BYTES
    assert not size or (min(covered), max(covered)) == (first, last - 1)
    assert size or not covered


def test_bytes_beyond_the_order_are_refused() -> None:
    """Before, behind, and a length that is none."""
    geometry = Geometry(k=2, n=3, piece_bytes=LEAF_BYTES, segments=1)
    for offset, size in ((-1, 1), (0, geometry.data_bytes + 1), (1, geometry.data_bytes), (0, -1)):
        with pytest.raises(Misuse):
            stripes_for_bytes(geometry, offset, size)

"""Layout: every byte has one place, padding is bounded, and a trailer is what it was or an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange.errors import BadTrailer, Misuse
from grange.layout import (
    MAX_PADDING_SHARE,
    MIN_PACK_BYTES,
    TRAILER_BYTES,
    Geometry,
    Trailer,
    is_piece_size,
    rounded_pack_bytes,
)
from grange.units import LEAF_BYTES, MAX_PIECE_BYTES, TAG_BYTES

codes = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n)))
streams = st.one_of(st.integers(0, 10**5), st.integers(0, 10**9), st.integers(0, 10**12))


@given(streams, codes)
def test_the_stream_fits_and_its_padding_is_bounded(stream_bytes: int, code: tuple[int, int]) -> None:
    """At most one part in 32, unless one segment holds it all: then half the piece would not do."""
    k, n = code
    geometry = Geometry.for_stream(stream_bytes, k, n)
    padding = geometry.capacity_bytes - TRAILER_BYTES - stream_bytes
    assert padding >= 0
    if padding * MAX_PADDING_SHARE > stream_bytes:
        assert geometry.segments == 1
        half = k * (geometry.piece_bytes // 2 - TAG_BYTES)
        assert geometry.piece_bytes == LEAF_BYTES or half < stream_bytes + TRAILER_BYTES


@given(streams, codes)
def test_no_larger_piece_would_do(stream_bytes: int, code: tuple[int, int]) -> None:
    k, n = code
    geometry = Geometry.for_stream(stream_bytes, k, n)
    if (geometry.capacity_bytes - TRAILER_BYTES - stream_bytes) * MAX_PADDING_SHARE > stream_bytes:
        return
    larger = geometry.piece_bytes * 2
    while larger <= MAX_PIECE_BYTES:
        segment_bytes = k * (larger - TAG_BYTES)
        padding = -(stream_bytes + TRAILER_BYTES) % segment_bytes
        assert padding * MAX_PADDING_SHARE > stream_bytes
        larger *= 2


@given(streams, codes)
def test_the_chain_tells_the_whole_shape(stream_bytes: int, code: tuple[int, int]) -> None:
    k, n = code
    geometry = Geometry.for_stream(stream_bytes, k, n)
    leaf_count, piece_leaves = geometry.leaf_count, geometry.piece_leaves
    assert geometry == Geometry.from_leaves(k=k, n=n, leaf_count=leaf_count, piece_leaves=piece_leaves)
    assert geometry.slot_bytes == leaf_count * LEAF_BYTES
    assert is_piece_size(geometry.piece_bytes)


@given(st.integers(0, 3 * 10**6), codes, st.data())
def test_every_byte_is_in_exactly_the_blocks_named(
    stream_bytes: int, code: tuple[int, int], data: st.DataObject
) -> None:
    geometry = Geometry.for_stream(stream_bytes, *code)
    offset = data.draw(st.integers(0, geometry.capacity_bytes))
    size = data.draw(st.integers(0, geometry.capacity_bytes - offset))
    blocks = geometry.blocks_of(offset, size)
    if not size:
        assert not blocks
        return
    assert blocks[0] * geometry.block_bytes <= offset < (blocks[0] + 1) * geometry.block_bytes
    last = offset + size - 1
    assert blocks[-1] * geometry.block_bytes <= last < (blocks[-1] + 1) * geometry.block_bytes
    assert blocks[-1] < geometry.blocks


def test_blocks_go_round_the_first_k_slots_segment_by_segment() -> None:
    geometry = Geometry(k=3, n=5, piece_bytes=1024, segments=4)
    assert [geometry.place_of(block) for block in range(4)] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    for block in range(geometry.blocks):
        assert geometry.block_at(*geometry.place_of(block)) == block
    assert geometry.piece_range(2) == (2048, 3072)
    assert (geometry.block_bytes, geometry.capacity_bytes) == (1008, 12 * 1008)


def test_the_shapes_of_common_orders() -> None:
    """What a reader may check by hand; also what keeps the rule from changing unnoticed."""
    mib = 1 << 20
    shapes = {
        stream_bytes: (geometry.piece_bytes, geometry.segments)
        for stream_bytes in (0, 1_000, 100_000, 10 * mib, 100 * mib, 1 << 30, 1 << 40)
        for geometry in [Geometry.for_stream(stream_bytes, 10, 30)]
    }
    assert shapes == {
        0: (512, 1),
        1_000: (512, 1),
        100_000: (2048, 5),
        10 * mib: (32_768, 33),
        100 * mib: (262_144, 41),
        1 << 30: (mib, 103),
        1 << 40: (mib, 104_860),
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 0},
        {"k": 6},
        {"n": 81},
        {"piece_bytes": 256},
        {"piece_bytes": 1536},
        {"piece_bytes": 2 * MAX_PIECE_BYTES},
        {"segments": 0},
        {"segments": 1 << 32},
    ],
    ids=str,
)
def test_shapes_that_no_order_has_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(Misuse):
        Geometry(**({"k": 3, "n": 5, "piece_bytes": 512, "segments": 1} | wrong))


def test_what_is_outside_of_the_order_is_refused() -> None:
    geometry = Geometry(k=3, n=5, piece_bytes=512, segments=2)
    wrong = [
        lambda: geometry.place_of(6),
        lambda: geometry.place_of(-1),
        lambda: geometry.block_at(2, 0),
        lambda: geometry.block_at(0, 3),
        lambda: geometry.blocks_of(0, geometry.capacity_bytes + 1),
        lambda: geometry.blocks_of(-1, 1),
        lambda: geometry.piece_range(2),
        lambda: Geometry.for_stream(-1, 1, 1),
        lambda: Geometry.for_stream(1, 2, 1),
        lambda: Geometry.for_stream(1 << 60, 1, 1),
        lambda: Geometry.from_leaves(k=1, n=1, leaf_count=3, piece_leaves=2),
        lambda: Geometry.from_leaves(k=1, n=1, leaf_count=3, piece_leaves=0),
        lambda: Geometry.from_leaves(k=1, n=1, leaf_count=3, piece_leaves=3),
    ]
    for ask in wrong:
        with pytest.raises(Misuse):
            ask()


GEOMETRY = Geometry(k=3, n=5, piece_bytes=512, segments=2)
TRAILER = Trailer(
    manifest_offset_bytes=1000, manifest_bytes=200, stream_bytes=1200, manifest_sha256=b"h" * 32
)


@st.composite
def trailers(draw: st.DrawFn) -> Trailer:
    stream_bytes = draw(st.integers(0, GEOMETRY.capacity_bytes - TRAILER_BYTES))
    offset_bytes = draw(st.integers(0, stream_bytes))
    return Trailer(
        manifest_offset_bytes=offset_bytes,
        manifest_bytes=draw(st.integers(0, stream_bytes - offset_bytes)),
        stream_bytes=stream_bytes,
        manifest_sha256=draw(st.binary(min_size=32, max_size=32)),
    )


@given(trailers())
def test_a_trailer_is_read_as_it_was_written(trailer: Trailer) -> None:
    assert len(trailer.pack()) == TRAILER_BYTES
    assert Trailer.unpack(trailer.pack(), GEOMETRY) == trailer


def test_the_trailers_bytes_are_what_the_protocol_says() -> None:
    expected = b"GRANGE\0\1" + b"".join(number.to_bytes(8) for number in (1000, 200, 1200)) + b"h" * 32
    assert TRAILER.pack() == expected


@pytest.mark.parametrize(
    ("offset", "new", "message"),
    [
        (0, b"X", "written by something else"),
        (7, b"\2", "version 2"),
        (8, (1001).to_bytes(8), "beyond"),
        (16, (201).to_bytes(8), "beyond"),
        (24, (GEOMETRY.capacity_bytes - TRAILER_BYTES + 1).to_bytes(8), "more than the order holds"),
    ],
)
def test_a_wrong_trailer_says_what_is_wrong(offset: int, new: bytes, message: str) -> None:
    raw = TRAILER.pack()
    with pytest.raises(BadTrailer, match=message):
        Trailer.unpack(raw[:offset] + new + raw[offset + len(new) :], GEOMETRY)


def test_a_trailer_of_another_length_or_of_zeros_is_refused() -> None:
    for raw in (TRAILER.pack()[1:], b"", bytes(TRAILER_BYTES)):
        with pytest.raises(BadTrailer):
            Trailer.unpack(raw, GEOMETRY)


@pytest.mark.parametrize(
    "wrong", [{"manifest_bytes": 201}, {"manifest_offset_bytes": -1}, {"manifest_sha256": b""}], ids=str
)
def test_no_wrong_trailer_is_written(wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {
        "manifest_offset_bytes": 1000,
        "manifest_bytes": 200,
        "stream_bytes": 1200,
        "manifest_sha256": bytes(32),
    }
    with pytest.raises(Misuse):
        Trailer(**(fields | wrong))  # type: ignore[arg-type]


@given(pack_bytes=st.integers(0, 1 << 40), code=codes)
def test_a_pack_fits_and_what_it_holds_tells_little(pack_bytes: int, code: tuple[int, int]) -> None:
    """An order holds the pack, and not much more; all packs that round to one size have the same shape."""
    geometry = Geometry.for_pack(pack_bytes, *code)
    rounded = rounded_pack_bytes(pack_bytes)
    assert pack_bytes <= rounded <= geometry.data_bytes
    assert (rounded - pack_bytes) * 32 <= max(pack_bytes, 32 * MIN_PACK_BYTES)
    if geometry.segments > 1:
        assert (geometry.data_bytes - rounded) * MAX_PADDING_SHARE <= rounded
    assert rounded_pack_bytes(rounded) == rounded
    assert Geometry.for_pack(rounded, *code) == geometry


def test_sizes_of_packs_have_few_values() -> None:
    """Between a size and its double there are at most 64 that an order shows, up to a TiB."""
    for exponent in range(16, 40):
        sizes = {rounded_pack_bytes(int((1 << exponent) * (1 + part / 999))) for part in range(1, 999)}
        assert len(sizes) <= 64
    assert {rounded_pack_bytes(size) for size in (0, 1, 5000, MIN_PACK_BYTES)} == {MIN_PACK_BYTES}


def test_a_pack_that_no_order_holds_is_refused() -> None:
    """A negative size, and one beyond what a farmer may take."""
    for size in (-1, 1 << 60):
        with pytest.raises(Misuse):
            Geometry.for_pack(size, 1, 1)

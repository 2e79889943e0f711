"""Erasure coding, by pyeclib and compiled: any k of n rebuild, in every shape, whatever the buffers."""

import threading
from importlib import import_module
from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyeclib.ec_iface import ECDriver

from grange.erasure import REBUILD_STRIP_BYTES, STRIP_BYTES, Codec
from grange.errors import Misuse, TooFewPieces
from grange.layout import Geometry

SHAPES = [(1, 1), (1, 3), (2, 3), (3, 3), (4, 8), (10, 30), (33, 40), (29, 80), (79, 80)]


def segment_of(k: int, block_bytes: int, seed: int = 0) -> bytes:
    # Any bytes will do, as long as no two blocks are equal.
    size = k * block_bytes
    return (0x9E3779B97F4A7C15_F39CC0605CEDC834 * (seed + 3) ** 40 % 256**size).to_bytes(size)


@pytest.fixture(scope="module", params=["erasure", "erasure_compiled"])
def codec_of(request: pytest.FixtureRequest) -> type[Codec]:
    """The reference, and the kernel where it is installed."""
    if request.param == "erasure_compiled":
        pytest.importorskip("grange_kernel", reason="the kernel is not built (scripts/kernel)")
    codec: type[Codec] = import_module(f"grange.{request.param}").Codec
    return codec


@st.composite
def a_shape(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 40))
    return draw(st.integers(1, n)), n


@given(a_shape(), st.binary(min_size=1, max_size=100), st.randoms(use_true_random=False))
def test_any_k_of_n_rebuild(
    codec_of: type[Codec], shape: tuple[int, int], seed: bytes, random: Random
) -> None:
    k, n = shape
    segment = bytes(byte ^ number // len(seed) for number, byte in enumerate(seed * k))
    codec = codec_of(k, n)
    pieces = codec.encode(segment)
    assert len(pieces) == n
    kept = random.sample(range(n), random.randint(k, n))
    assert codec.decode({index: pieces[index] for index in kept}) == segment


@pytest.mark.parametrize(("k", "n"), [(1, 4), (2, 5), (3, 6), (4, 8)])
def test_every_single_choice_of_k_rebuilds_everything(codec_of: type[Codec], k: int, n: int) -> None:
    codec = codec_of(k, n)
    segment = segment_of(k, 32)
    pieces = dict(enumerate(codec.encode(segment)))
    for kept in combinations(range(n), k):
        have = {index: pieces[index] for index in kept}
        missing = [index for index in range(n) if index not in kept]
        assert codec.decode(have) == segment
        assert codec.rebuild(have, missing) == {index: pieces[index] for index in missing}


@pytest.mark.parametrize(("k", "n"), SHAPES)
def test_the_first_k_pieces_are_the_blocks(codec_of: type[Codec], k: int, n: int) -> None:
    segment = segment_of(k, 512)
    pieces = codec_of(k, n).encode(segment)
    assert b"".join(pieces[:k]) == segment
    assert {len(piece) for piece in pieces} == {512}


@pytest.mark.parametrize(("k", "n"), SHAPES)
def test_the_last_k_pieces_give_all_others_back(codec_of: type[Codec], k: int, n: int) -> None:
    codec = codec_of(k, n)
    segment = segment_of(k, 512)
    pieces = codec.encode(segment)
    last = {index: pieces[index] for index in range(n - k, n)}
    assert codec.decode(last) == segment
    missing = list(range(n - k))
    assert codec.rebuild(last, missing) == {index: pieces[index] for index in missing}


@pytest.mark.parametrize(
    "block_bytes",
    [1, STRIP_BYTES - 1, STRIP_BYTES, STRIP_BYTES + 1, REBUILD_STRIP_BYTES + 1, 3 * REBUILD_STRIP_BYTES],
)
def test_strips_leave_no_trace(codec_of: type[Codec], block_bytes: int) -> None:
    """Coding in strips gives what one call of pyeclib gives, headers taken off."""
    segment = segment_of(4, block_bytes)
    whole = ECDriver(k=4, m=3, ec_type="isa_l_rs_cauchy").encode(segment)
    codec = codec_of(4, 7)
    pieces = codec.encode(segment)
    assert pieces == [fragment[80:] for fragment in whole]
    last = {index: pieces[index] for index in range(3, 7)}
    assert codec.decode(last) == segment
    assert codec.rebuild(last, [2, 0]) == {0: pieces[0], 2: pieces[2]}


def test_with_k_of_one_every_piece_is_the_block(codec_of: type[Codec]) -> None:
    assert codec_of(1, 5).encode(b"block") == [b"block"] * 5


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(codec_of: type[Codec], kind: type) -> None:
    codec = codec_of(3, 5)
    segment = segment_of(3, 40)
    pieces = codec.encode(kind(segment))
    assert pieces == codec.encode(segment)
    assert codec.parity([kind(piece) for piece in pieces[:3]]) == pieces[3:]
    have = {index: kind(pieces[index]) for index in (1, 3, 4)}
    assert codec.decode(have) == segment
    assert codec.rebuild(have, [0]) == {0: pieces[0]}


def test_blocks_that_are_there_are_handed_back_without_a_copy(codec_of: type[Codec]) -> None:
    codec = codec_of(3, 5)
    pieces = codec.encode(segment_of(3, 40))
    blocks = codec.blocks({0: pieces[0], 2: pieces[2], 4: pieces[4]})
    assert blocks[0] is pieces[0]
    assert blocks[2] is pieces[2]
    assert blocks == pieces[:3]


def test_threads_may_share_a_codec(codec_of: type[Codec]) -> None:
    codec = codec_of(4, 8)
    failures = []

    def work(seed: int) -> None:
        segment = segment_of(4, 5000, seed)
        for _ in range(10):
            pieces = codec.encode(segment)
            if codec.decode({index: pieces[index] for index in range(4, 8)}) != segment:
                failures.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_fewer_than_k_pieces_are_refused_with_both_numbers(codec_of: type[Codec]) -> None:
    codec = codec_of(4, 8)
    pieces = codec.encode(segment_of(4, 40))
    have = {index: pieces[index] for index in (1, 5, 7)}
    for ask in (lambda: codec.decode(have), lambda: codec.blocks(have), lambda: codec.rebuild(have, [0])):
        with pytest.raises(TooFewPieces, match=r"3 pieces .* 4 do") as caught:
            ask()
        assert (caught.value.have, caught.value.need) == (3, 4)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (2, 1), (1, 81), (-1, 3)])
def test_shapes_that_no_order_has_are_refused(codec_of: type[Codec], k: int, n: int) -> None:
    with pytest.raises(Misuse):
        codec_of(k, n)


def test_what_does_not_belong_together_is_refused(codec_of: type[Codec]) -> None:
    codec = codec_of(2, 4)
    pieces = codec.encode(segment_of(2, 40))
    wrong = [
        lambda: codec.encode(b""),
        lambda: codec.encode(bytes(81)),
        lambda: codec.parity([pieces[0]]),
        lambda: codec.parity([pieces[0], pieces[1][1:]]),
        lambda: codec.decode({0: pieces[0], 4: pieces[1]}),
        lambda: codec.decode({0: pieces[0], 1: pieces[1][1:]}),
        lambda: codec.decode({0: b"", 1: b""}),
        lambda: codec.rebuild({0: pieces[0], 1: pieces[1]}, [1]),
        lambda: codec.rebuild({0: pieces[0], 1: pieces[1]}, [4]),
    ]
    for ask in wrong:
        with pytest.raises(Misuse):
            ask()


def test_a_whole_segment_of_the_largest_pieces(codec_of: type[Codec]) -> None:
    """10 of 30, 1 MiB pieces, as the client sends them, with ten blocks lost."""
    geometry = Geometry.for_stream(10 * 1024 * 1024 - 10 * 16 - 64, 10, 30)
    assert (geometry.piece_bytes, geometry.segments) == (1024 * 1024, 1)
    segment = bytes(range(256)) * (geometry.piece_bytes * geometry.k // 256)
    codec = codec_of(10, 30)
    pieces = codec.encode(segment)
    assert codec.decode({index: pieces[index] for index in range(12, 22)}) == segment

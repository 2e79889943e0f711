"""Fragment headers: ours are pyeclib's, byte for byte, and what differs is refused before it can do harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyeclib.ec_iface import ECDriver

from grange.errors import UnknownCodec
from grange.fragments import HEADER_BYTES, FragmentHeaders, sample_segment


def learned(k: int, n: int) -> tuple[FragmentHeaders, list[bytes]]:
    sample = ECDriver(k=k, m=n - k, ec_type="isa_l_rs_cauchy").encode(sample_segment(k, 64))
    return FragmentHeaders.learn(k, sample, 64), sample


@given(k=st.integers(1, 60), m=st.integers(1, 60), piece_bytes=st.integers(1, 3000))
def test_headers_made_again_are_pyeclibs_own(k: int, m: int, piece_bytes: int) -> None:
    headers, _ = learned(k, k + m)
    fragments = ECDriver(k=k, m=m, ec_type="isa_l_rs_cauchy").encode(bytes(k * piece_bytes))
    for index, fragment in enumerate(fragments):
        assert headers.make(index, piece_bytes) == fragment[:HEADER_BYTES]


@pytest.mark.parametrize(("k", "n"), [(2, 3), (10, 30), (29, 80), (79, 80)])
@pytest.mark.parametrize("piece_bytes", [512, 65536])
def test_headers_made_again_are_pyeclibs_own_in_the_shapes_we_use(k: int, n: int, piece_bytes: int) -> None:
    headers, _ = learned(k, n)
    fragments = ECDriver(k=k, m=n - k, ec_type="isa_l_rs_cauchy").encode(bytes(k * piece_bytes))
    for index, fragment in enumerate(fragments):
        assert headers.make(index, piece_bytes) == fragment[:HEADER_BYTES]


@given(st.integers(0, 6 * 144 - 1), st.integers(0, 7))
def test_a_coder_that_differs_in_any_bit_is_refused(byte: int, bit: int) -> None:
    """Whether it is a header or what it computes. The versions may differ if all headers agree on them."""
    _, sample = learned(4, 6)
    number, offset = divmod(byte, 144)
    changed = bytearray(sample[number])
    changed[offset] ^= 1 << bit
    sample[number] = bytes(changed)
    with pytest.raises(UnknownCodec):
        FragmentHeaders.learn(4, sample, 64)


def test_another_version_with_the_same_layout_is_learned() -> None:
    theirs = FragmentHeaders(k=4, backend_version=7, library_version=8)
    _, sample = learned(4, 6)
    sample = [theirs.make(index, 64) + one[HEADER_BYTES:] for index, one in enumerate(sample)]
    assert FragmentHeaders.learn(4, sample, 64) == theirs


def test_longer_headers_are_refused() -> None:
    _, sample = learned(4, 6)
    with pytest.raises(UnknownCodec, match="80 bytes"):
        FragmentHeaders.learn(4, [one + b"\0" for one in sample], 64)


@pytest.mark.parametrize("name", ["isa_l_rs_vand", "liberasurecode_rs_vand"])
def test_another_code_is_refused(name: str) -> None:
    sample = ECDriver(k=4, m=3, ec_type=name).encode(sample_segment(4, 64))
    with pytest.raises(UnknownCodec):
        FragmentHeaders.learn(4, sample, 64)

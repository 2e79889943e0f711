"""Borders follow from the content: not from how it is read, and a change moves only those beside it."""

import random
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from client.drive.drive_samples import drive_keys
from hypothesis import given, settings
from hypothesis import strategies as st

from grange import kernel
from grange_client.drive.chunker import (
    COMMON,
    GEAR_BYTES,
    MAX_BYTES,
    MIN_BYTES,
    NORMAL_BYTES,
    RARE,
    Chunker,
)
from grange_client.drive.plain_borders import WINDOW_BYTES

GEAR = random.Random(9).randbytes(GEAR_BYTES)
CHUNKER = Chunker(GEAR)
WITH_NUMPY = Chunker(GEAR, compiled=False)
BOTH = pytest.mark.parametrize("chunker", [CHUNKER, WITH_NUMPY], ids=["as it is", "numpy"])
SAMPLE = random.Random(1).randbytes(8 << 20)


def lengths(content: bytes, chunker: Chunker = CHUNKER) -> list[int]:
    return [len(chunk) for chunk in chunker.split([content])]


def plain_cut(gear: bytes, content: bytes) -> int:
    """The rule as the protocol says it, byte by byte."""
    table = [int.from_bytes(gear[8 * value : 8 * value + 8]) for value in range(256)]
    total = 0
    for index, value in enumerate(content[:MAX_BYTES]):
        total = (total << 1) + table[value] & (1 << 64) - 1
        length = index + 1
        if length >= MIN_BYTES and length >= WINDOW_BYTES:
            threshold = RARE if length < NORMAL_BYTES else COMMON
            if total < int(threshold) and length < MAX_BYTES:
                return length
    return min(len(content), MAX_BYTES)


@BOTH
@pytest.mark.parametrize("start", [0, (5 << 20) + 3])
def test_the_first_border_is_where_the_rule_puts_it(start: int, chunker: Chunker) -> None:
    content = SAMPLE[start : start + (3 << 20)]
    assert chunker.cut(content) == plain_cut(GEAR, content)


@pytest.mark.parametrize("threshold", ["rare", "common"])
@BOTH
def test_a_border_is_found_wherever_it_lies(
    threshold: str, chunker: Chunker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also around the ends of the parts that are looked at in one step."""
    often = (1 << 64) // 3000
    monkeypatch.setattr(f"grange_client.drive.chunker.{threshold.upper()}", np.uint64(often))
    monkeypatch.setitem(globals(), threshold.upper(), often)
    for start in range(0, 9_000, 3_000):
        content = SAMPLE[start : start + (1 << 20)]
        assert chunker.cut(content) == plain_cut(GEAR, content)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 7 << 20), st.integers(0, 1000), st.integers(0, 200_000), st.integers(1, 20))
def test_the_kernel_and_numpy_find_the_same(start: int, first: int, more: int, often: int) -> None:
    """Also where nothing is found, and where there is nothing to look at."""
    content = memoryview(SAMPLE)[start : start + 300_000]
    threshold = np.uint64((1 << 64) // (10 * often**3))
    lengths_to_try = WINDOW_BYTES + first, WINDOW_BYTES + first + more, threshold
    assert CHUNKER._find(content, *lengths_to_try) == WITH_NUMPY._find(content, *lengths_to_try)


@pytest.mark.skipif(kernel.find_border is None, reason="there is no kernel, or one from before drives")
def test_the_kernel_refuses_what_it_cannot_look_at() -> None:
    assert kernel.find_border is not None
    for gear, first, limit in ((GEAR[1:], 64, 65), (GEAR, 63, 64), (GEAR, 64, 102), (GEAR, 200, 201)):
        with pytest.raises(ValueError, match=r"gear|lengths"):
            kernel.find_border(bytes(100), gear, first, limit, 1)
    assert kernel.find_border(bytes(100), GEAR, 5, 5, 1) is None
    assert kernel.find_border(bytes(100), GEAR, 64, 101, 1) is None


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, len(SAMPLE)), max_size=8))
def test_borders_do_not_depend_on_how_the_input_is_fed(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(SAMPLE)]
    parts = [SAMPLE[start:end] for start, end in pairwise(places)]
    assert [len(chunk) for chunk in CHUNKER.split(parts)] == lengths(SAMPLE)


def test_byte_by_byte_is_the_same_too() -> None:
    content = SAMPLE[: 5 * MIN_BYTES]
    small = (content[index : index + 1] for index in range(len(content)))
    assert [len(chunk) for chunk in CHUNKER.split(small)] == lengths(content)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, len(SAMPLE)), st.binary(min_size=1, max_size=3), st.integers(0, 3))
def test_a_small_change_makes_few_new_chunks(place: int, inserted: bytes, removed: int) -> None:
    """One byte more anywhere, or one less: what was sent before is nearly all that is needed."""
    before = set(CHUNKER.split([SAMPLE]))
    after = list(CHUNKER.split([SAMPLE[:place] + inserted + SAMPLE[place + removed :]]))
    new = [chunk for chunk in after if chunk not in before]
    assert sum(map(len, new)) <= 10 << 20
    assert len(new) <= 4


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, MIN_BYTES - 1, MIN_BYTES, MIN_BYTES + 1])
def test_a_small_file_is_one_chunk_and_an_empty_one_has_none(size: int) -> None:
    assert lengths(SAMPLE[:size]) == ([size] if size else [])


def test_the_chunks_in_a_row_are_the_file() -> None:
    assert b"".join(CHUNKER.split([SAMPLE])) == SAMPLE


def test_all_but_the_last_chunk_keep_to_the_bounds() -> None:
    found = lengths(SAMPLE)
    assert all(MIN_BYTES <= length <= MAX_BYTES for length in found[:-1])
    assert len(found) > 5


@pytest.mark.parametrize("content", [bytes(9 << 20), b"ab" * (5 << 20)], ids=["zeros", "a pattern"])
def test_content_that_repeats_is_cut_at_the_longest(content: bytes) -> None:
    """And so twice the same chunk, which is kept once."""
    found = lengths(content)
    assert set(found[:-1]) == {MAX_BYTES}


def test_files_are_cut_alike_with_and_without_the_kernel() -> None:
    assert list(CHUNKER.split([SAMPLE])) == list(WITH_NUMPY.split([SAMPLE]))


def test_another_table_cuts_elsewhere() -> None:
    """Who does not know the drive's secret does not know where a file is cut."""
    other = drive_keys().chunker
    assert not set(_ends(lengths(SAMPLE))[:-1]) & set(_ends(lengths(SAMPLE, other))[:-1])


@pytest.mark.long
def test_chunks_have_a_mebibyte_on_average() -> None:
    content = random.Random(5).randbytes(58 << 20)
    found = lengths(content)
    assert 0.9 < len(content) / len(found) / (1 << 20) < 1.1


def test_what_is_read_is_not_held_longer_than_needed() -> None:
    """A file of any size streams: never more than one longest chunk and the part that comes in."""
    taken = 0

    def parts() -> Iterator[bytes]:
        nonlocal taken
        for start in range(0, len(SAMPLE), 1 << 20):
            taken += 1 << 20
            yield SAMPLE[start : start + (1 << 20)]

    given = 0
    for chunk in CHUNKER.split(parts()):
        assert taken - given <= MAX_BYTES + (1 << 20)
        given += len(chunk)


def _ends(found: list[int]) -> list[int]:
    total = 0
    return [total := total + length for length in found]

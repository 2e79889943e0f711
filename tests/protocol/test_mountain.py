"""The mountain range against the algorithm as the contract has it: a stack of peaks."""

import dataclasses

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from grange import mountain
from grange.errors import Misuse
from grange.mountain import Entry, Mountain, entry_hash
from grange.types import Epoch, OrderId


class Stack:
    """What the contract does on append, step by step."""

    def __init__(self) -> None:
        self.count = 0
        self.peaks: list[bytes] = []

    def append(self, node: bytes) -> None:
        count, position = self.count, self.count.bit_count()
        while count & 1:
            position -= 1
            node = keccak(self.peaks[position] + node)
            count >>= 1
        self.peaks[position:] = [node]
        self.count += 1


def hashes(count: int) -> list[bytes]:
    return [keccak(number.to_bytes(4)) for number in range(count)]


@pytest.mark.parametrize("count", [*range(40), 63, 64, 65, 255, 256, 1000])
def test_peaks_are_the_contracts_stack(count: int) -> None:
    stack = Stack()
    for one in hashes(count):
        stack.append(one)
    built = Mountain(hashes(count))
    assert built.count == stack.count == count
    assert built.peaks == stack.peaks


@pytest.mark.parametrize("count", [*range(1, 34), 63, 64, 65, 100])
def test_every_path_verifies_at_every_count(count: int) -> None:
    built = Mountain(hashes(count))
    for index, one in enumerate(hashes(count)):
        path = built.path(index)
        assert len(path) == mountain.path_length(index, count)
        assert mountain.verify(built.peaks, one, index, count, path)


@st.composite
def an_entry(draw: st.DrawFn) -> tuple[int, int]:
    count = draw(st.integers(1, 300))
    return draw(st.integers(0, count - 1)), count


@given(an_entry())
def test_the_peak_is_found_by_walking_the_set_bits_from_the_top(at: tuple[int, int]) -> None:
    index, count = at
    start = position = 0
    for height in reversed(range(count.bit_length())):
        if count >> height & 1:
            if index < start + (1 << height):
                assert mountain.peak_of(index, count) == (position, height)
                return
            start += 1 << height
            position += 1
    raise AssertionError("no peak holds the entry")


@given(an_entry(), st.data())
def test_no_other_index_verifies(at: tuple[int, int], data: st.DataObject) -> None:
    index, count = at
    built = Mountain(hashes(count))
    other = data.draw(st.integers(-1, count + 1).filter(lambda one: one != index))
    assert not mountain.verify(built.peaks, hashes(count)[index], other, count, built.path(index))


@given(an_entry(), st.data())
def test_any_flipped_bit_is_noticed(at: tuple[int, int], data: st.DataObject) -> None:
    index, count = at
    built = Mountain(hashes(count))
    nodes = [hashes(count)[index], *built.path(index)]
    number, bit = divmod(data.draw(st.integers(0, len(nodes) * 256 - 1)), 256)
    nodes[number] = (int.from_bytes(nodes[number]) ^ 1 << bit).to_bytes(32)
    assert not mountain.verify(built.peaks, nodes[0], index, count, nodes[1:])


@given(an_entry())
def test_a_path_or_a_stack_of_another_length_does_not_verify(at: tuple[int, int]) -> None:
    index, count = at
    built = Mountain(hashes(count))
    one, path = hashes(count)[index], built.path(index)
    assert not mountain.verify(built.peaks, one, index, count, [*path, bytes(32)])
    assert not mountain.verify([*built.peaks, bytes(32)], one, index, count, path)
    assert not mountain.verify(built.peaks, one, index, count, path[:-1]) or not path
    with pytest.raises(Misuse, match="hashes, not"):
        mountain.peak_from_path(one, index, count, [*path, bytes(32)])


def test_a_hundred_thousand_entries_are_no_burden() -> None:
    built = Mountain(hashes(100_000))
    for index in (0, 65_535, 65_536, 99_999):
        one = keccak(index.to_bytes(4))
        assert mountain.verify(built.peaks, one, index, 100_000, built.path(index))


entries = st.builds(
    Entry,
    order=st.binary(min_size=32, max_size=32).map(OrderId),
    slot=st.integers(0, 255),
    root=st.binary(min_size=32, max_size=32),
    leaf_count=st.integers(0, 2**32 - 1),
    from_epoch=st.integers(0, 2**32 - 1).map(Epoch),
    first=st.integers(0, 2**80 - 1),
    rate=st.integers(0, 2**80 - 1),
)


@given(entries)
def test_an_entrys_hash_is_that_of_its_abi_encoding(entry: Entry) -> None:
    encoded = encode(
        ["bytes32", "uint8", "bytes32", "uint32", "uint32", "uint80", "uint80"], dataclasses.astuple(entry)
    )
    assert len(encoded) == 224
    assert entry_hash(entry) == keccak(encoded)


@pytest.mark.parametrize(
    "wrong",
    [
        {"order": bytes(31)},
        {"root": bytes(33)},
        {"slot": 256},
        {"leaf_count": 2**32},
        {"from_epoch": -1},
        {"first": 2**80},
        {"rate": -1},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_does_not_fit_on_chain_has_no_hash(wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {
        "order": bytes(32),
        "slot": 0,
        "root": bytes(32),
        "leaf_count": 1,
        "from_epoch": 1,
        "first": 0,
        "rate": 1,
    }
    with pytest.raises(Misuse):
        entry_hash(Entry(**(fields | wrong)))  # type: ignore[arg-type]


def test_only_hashes_are_appended_and_only_entries_have_paths() -> None:
    built = Mountain(hashes(3))
    with pytest.raises(Misuse):
        built.append(bytes(31))
    for index in (-1, 3):
        with pytest.raises(Misuse):
            built.path(index)

"""Values and bytes of ABI types are those of eth_abi, and what no contract writes is refused."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from hypothesis import given
from hypothesis import strategies as st

from grange.chain.abi_types import AbiType, Component, Struct, abi_type
from grange.errors import Misuse
from grange.types import address_from

WORD = 32
PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "uint8": st.integers(0, (1 << 8) - 1),
    "uint80": st.integers(0, (1 << 80) - 1),
    "uint256": st.integers(0, (1 << 256) - 1),
    "bool": st.booleans(),
    "address": st.binary(min_size=20, max_size=20).map(address_from),
    "bytes1": st.binary(min_size=1, max_size=1),
    "bytes32": st.binary(min_size=32, max_size=32),
    "bytes": st.binary(max_size=70),
    "string": st.text(max_size=40),
}
TYPES = st.recursive(
    st.sampled_from([*PLAIN]).map(lambda kind: {"type": kind}),
    lambda inner: st.one_of(
        inner.map(lambda one: {**one, "type": one["type"] + "[]"}),
        st.lists(inner, min_size=1, max_size=4).map(
            lambda fields: {
                "type": "tuple",
                "components": [{**one, "name": f"field{i}"} for i, one in enumerate(fields)],
            }
        ),
    ),
    max_leaves=6,
)


def values_of(component: Component) -> st.SearchStrategy[Any]:
    kind: str = component["type"]
    if kind.endswith("[]"):
        return st.lists(values_of({**component, "type": kind[:-2]}), max_size=3).map(tuple)
    if kind == "tuple":
        return st.tuples(*map(values_of, component["components"]))
    return PLAIN[kind]


def as_eth_abi(value: Any) -> Any:
    """What we read as eth_abi gives it: structs as tuples, addresses in lower case."""
    if isinstance(value, dict):
        return tuple(map(as_eth_abi, value.values()))
    if isinstance(value, tuple):
        return tuple(map(as_eth_abi, value))
    return value.lower() if isinstance(value, str) and value.startswith("0x") else value


def parameter(component: Component) -> Struct:
    return Struct([{**component, "name": "value"}])


@given(st.data())
def test_a_value_is_written_and_read_as_eth_abi_does(data: st.DataObject) -> None:
    component = data.draw(TYPES)
    value = data.draw(values_of(component))
    kind = abi_type(component)
    written = parameter(component).encode_all([value])
    assert written == encode([kind.name], [value])
    read, end = parameter(component).decode(written, 0)
    assert as_eth_abi(read["value"]) == as_eth_abi(value)
    assert end == len(written)


@given(st.data())
def test_what_we_read_of_wrong_bytes_eth_abi_reads_too(data: st.DataObject) -> None:
    """We may refuse more than it does, and never read something else."""
    component = data.draw(TYPES)
    kind = abi_type(component)
    written = bytearray(parameter(component).encode_all([data.draw(values_of(component))]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(written) - 1))
        written[at] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        read, _ = parameter(component).decode(bytes(written), 0)
        with suppress(UnicodeDecodeError):
            assert as_eth_abi(read["value"]) == as_eth_abi(decode([kind.name], bytes(written))[0])


@pytest.mark.parametrize("kind", PLAIN)
def test_what_ends_too_early_is_refused(kind: str) -> None:
    """At each byte at which it can end."""
    value = {"string": "snow", "bytes": b"snow", "bool": True, "address": "0x" + "11" * 20}.get(kind)
    if value is None:
        value = b"\x01" * int(kind[5:]) if kind.startswith("bytes") else 7
    written = parameter({"type": kind}).encode_all([value])
    for length in range(len(written)):
        with pytest.raises(ValueError, match=r"."):
            parameter({"type": kind}).decode(written[:length], 0)


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("uint8", 1 << 8),
        ("uint80", 1 << 80),
        ("bool", 2),
        ("address", 1 << 160),
        ("bytes1", 1),
        ("string", 64),
        ("string", 0),
    ],
)
def test_words_that_a_contract_does_not_write_are_refused(kind: str, word: int) -> None:
    """Too large, padded with something, or a pointer that leads elsewhere. eth_abi refuses numbers too."""
    data = word.to_bytes(WORD) + bytes(WORD * 2)
    with pytest.raises(ValueError, match=r"."):
        parameter({"type": kind}).decode(data, 0)
    if word > 64 or kind == "bool":
        with pytest.raises(DecodingError):
            decode([kind], data)


def test_a_list_cannot_be_made_of_the_same_bytes_many_times() -> None:
    """A thousand pointers to one text of a kilobyte would be a megabyte, and so on with longer ones."""
    count, text = 1000, b"x" * 1024
    heads = (WORD * count).to_bytes(WORD) * count
    data = WORD.to_bytes(WORD) + count.to_bytes(WORD) + heads + len(text).to_bytes(WORD) + text
    assert len(decode(["string[]"], data)[0]) == count
    with pytest.raises(ValueError, match="pointer"):
        parameter({"type": "string[]"}).decode(data, 0)


@pytest.mark.parametrize("length", [1, 1 << 40, (1 << 256) - 1])
def test_a_list_that_says_it_is_longer_than_the_data_is_refused_at_once(length: int) -> None:
    data = WORD.to_bytes(WORD) + length.to_bytes(WORD)
    with pytest.raises(ValueError, match="longer than the data"):
        parameter({"type": "uint8[]"}).decode(data, 0)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256),
        ("uint8", -1),
        ("uint8", True),
        ("uint8", "7"),
        ("bool", 1),
        ("bytes1", b""),
        ("bytes32", bytes(33)),
        ("bytes", "text"),
        ("string", b"bytes"),
        ("address", "0x11"),
        ("address", 5),
    ],
)
def test_a_value_that_does_not_fit_is_a_mistake_of_ours(kind: str, value: Any) -> None:
    with pytest.raises(Misuse):
        abi_type({"type": kind}).encode(value)


@pytest.mark.parametrize("kind", ["int8", "uint7", "uint8[3]", "fixed", "bytes33", "bytes0", ""])
def test_types_that_our_contracts_do_not_use_are_not_guessed(kind: str) -> None:
    with pytest.raises(Misuse):
        abi_type({"type": kind})


def test_a_struct_is_written_from_attributes_and_read_by_names() -> None:
    """`from` is a word of Python's own, and the attribute is called `start`."""

    class Held:
        start = 7
        leaf_count = 9

    held: AbiType = abi_type(
        {
            "type": "tuple",
            "components": [{"name": "from", "type": "uint32"}, {"name": "leafCount", "type": "uint32"}],
        }
    )
    written = held.encode(Held())
    assert written == held.encode((7, 9)) == encode(["uint32", "uint32"], [7, 9])
    assert held.decode(written, 0) == ({"from": 7, "leaf_count": 9}, 2 * WORD)


def test_as_many_values_are_written_as_there_are_parameters() -> None:
    with pytest.raises(Misuse, match="takes 1 values, and 2 were given"):
        parameter({"type": "bool"}).encode_all([True, False])

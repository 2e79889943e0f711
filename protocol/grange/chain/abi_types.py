"""The types of a contract's ABI: how a value of each is written as bytes, and read back.

    kind = abi_type({"type": "uint32", "name": "count"})
    kind.decode(kind.encode(7), 0)            (7, 32): the value, and where it ends

Decides how Solidity's values look in Python: structs are written from anything with attributes of their
fields' names, and read as dicts, with names in snake_case; lists are read as tuples, addresses as checksummed
`str`, bytes32 as `bytes`. What Solidity would not write is refused: a number outside its type, bytes of
another length (Misuse when writing), padding that is not zero, a pointer to anywhere but where the next value
begins (ValueError when reading). So no answer makes more of its bytes than once. Of text, what is not UTF-8
is replaced: anyone who registers chooses its bytes, and one farmer's endpoint must not keep anybody from
reading the list of all. `eth_abi` reads and writes the same in the tests (docs/adr/0100).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Final, Protocol

from grange.errors import Misuse
from grange.types import ADDRESS_BYTES, address_from

WORD_BYTES: Final = 32
MAX_BITS: Final = 8 * WORD_BYTES

Component = Mapping[str, Any]
"""A parameter or a field, as the compiler describes it."""


@cache
def snake(name: str) -> str:
    """`leafCount` to `leaf_count`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().lstrip("_")


def type_name(component: Component) -> str:
    """What signatures call the type of a parameter or a field."""
    kind: str = component["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(map(type_name, component['components']))}){kind.removeprefix('tuple')}"


class AbiType(Protocol):
    """A type. `name` is what signatures call it, `head_bytes` what it takes among its neighbours: all of it,
    or, of a value without a fixed length, the pointer to it."""

    name: str
    head_bytes: int
    is_dynamic: bool

    def encode(self, value: Any) -> bytes:
        """The value as bytes. Raises Misuse for one that the type cannot have."""

    def decode(self, data: bytes, at: int) -> tuple[Any, int]:
        """The value that begins there, and where it ends. Raises ValueError."""


def abi_type(component: Component) -> AbiType:
    """The type of a parameter or a field. Raises Misuse for one that our contracts do not use."""
    kind: str = component["type"]
    if kind.endswith("[]"):
        return _List(abi_type({**component, "type": kind[:-2]}))
    if kind == "tuple":
        return Struct(component["components"])
    made = _PLAIN.get(kind)
    if made is None:
        raise Misuse(f"values of the type {kind} cannot be written or read here")
    return made()


class Struct:
    """Values side by side: a struct, or the parameters of a call, an event or an error."""

    def __init__(self, components: Iterable[Component]) -> None:
        self.components = tuple(components)
        """As the compiler describes them."""
        self.names = tuple(snake(one["name"]) for one in self.components)
        self.types = tuple(map(abi_type, self.components))
        self.name = f"({','.join(one.name for one in self.types)})"
        self.is_dynamic = any(one.is_dynamic for one in self.types)
        self.head_bytes = WORD_BYTES if self.is_dynamic else sum(one.head_bytes for one in self.types)

    def encode(self, value: Any) -> bytes:
        """A tuple of the values, or anything with attributes of their names."""
        if isinstance(value, tuple):
            return self.encode_all(value)
        return self.encode_all([getattr(value, _attribute(name)) for name in self.names])

    def encode_all(self, values: Sequence[Any]) -> bytes:
        """As many values as there are names, in order."""
        if len(values) != len(self.types):
            raise Misuse(f"{self.name} takes {len(self.types)} values, and {len(values)} were given")
        return _encode(self.types, values)

    def decode(self, data: bytes, at: int) -> tuple[dict[str, Any], int]:
        """The values by name."""
        values, end = _decode(self.types, data, at)
        return dict(zip(self.names, values, strict=True)), end


class _List:
    is_dynamic = True
    head_bytes = WORD_BYTES

    def __init__(self, inner: AbiType) -> None:
        self.name = f"{inner.name}[]"
        self._inner = inner

    def encode(self, value: Sequence[Any]) -> bytes:
        return len(value).to_bytes(WORD_BYTES) + _encode([self._inner] * len(value), value)

    def decode(self, data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        begin = at + WORD_BYTES
        length = int.from_bytes(_word(data, at))
        if length * self._inner.head_bytes > len(data) - begin:
            raise ValueError("a list is longer than the data")
        values, end = _decode([self._inner] * length, data, begin)
        return tuple(values), end


class _OneWord:
    """What has a word of its own."""

    is_dynamic = False
    head_bytes = WORD_BYTES


class _Number(_OneWord):
    def __init__(self, bits: int) -> None:
        self.name = f"uint{bits}"
        self._bits = bits

    def encode(self, value: int) -> bytes:
        if not isinstance(value, int) or isinstance(value, bool) or value < 0 or value >> self._bits:
            raise Misuse(f"{value!r} does not fit in a {self.name}")
        return value.to_bytes(WORD_BYTES)

    def decode(self, data: bytes, at: int) -> tuple[int, int]:
        value = int.from_bytes(_word(data, at))
        if value >> self._bits:
            raise ValueError(f"a {self.name} is too large")
        return value, at + WORD_BYTES


class _Flag(_OneWord):
    name = "bool"

    def encode(self, value: bool) -> bytes:
        if not isinstance(value, bool):
            raise Misuse(f"{value!r} is neither true nor false")
        return value.to_bytes(WORD_BYTES)

    def decode(self, data: bytes, at: int) -> tuple[bool, int]:
        value = int.from_bytes(_word(data, at))
        if value > 1:
            raise ValueError("a bool is neither true nor false")
        return value == 1, at + WORD_BYTES


class _Account(_OneWord):
    name = "address"

    def encode(self, value: str | bytes) -> bytes:
        if not isinstance(value, str | bytes):
            raise Misuse(f"{value!r} is not an address")
        return bytes.fromhex(address_from(value)[2:]).rjust(WORD_BYTES, b"\0")

    def decode(self, data: bytes, at: int) -> tuple[str, int]:
        word = _word(data, at)
        _require_zero(word[:-ADDRESS_BYTES])
        return address_from(word[-ADDRESS_BYTES:]), at + WORD_BYTES


class _FixedBytes(_OneWord):
    def __init__(self, size: int) -> None:
        self.name = f"bytes{size}"
        self._size = size

    def encode(self, value: bytes) -> bytes:
        if len(_raw(value)) != self._size:
            raise Misuse(f"a {self.name} has {self._size} bytes, not {len(value)}")
        return _raw(value).ljust(WORD_BYTES, b"\0")

    def decode(self, data: bytes, at: int) -> tuple[bytes, int]:
        word = _word(data, at)
        _require_zero(word[self._size :])
        return word[: self._size], at + WORD_BYTES


class _Bytes:
    name = "bytes"
    is_dynamic = True
    head_bytes = WORD_BYTES

    def encode(self, value: bytes) -> bytes:
        raw = _raw(value)
        return len(raw).to_bytes(WORD_BYTES) + raw.ljust(_padded(len(raw)), b"\0")

    def decode(self, data: bytes, at: int) -> tuple[bytes, int]:
        begin = at + WORD_BYTES
        length = int.from_bytes(_word(data, at))
        end = begin + _padded(length)
        if end > len(data):
            raise ValueError("bytes go on after the end of the data")
        _require_zero(data[begin + length : end])
        return data[begin : begin + length], end


class _Text(_Bytes):
    name = "string"

    def encode(self, value: str) -> bytes:  # type: ignore[override]
        if not isinstance(value, str):
            raise Misuse(f"{value!r} is not text")
        return super().encode(value.encode())

    def decode(self, data: bytes, at: int) -> tuple[str, int]:  # type: ignore[override]
        raw, end = super().decode(data, at)
        return raw.decode(errors="replace"), end


_PLAIN: Final[dict[str, Callable[[], AbiType]]] = {
    "address": _Account,
    "bool": _Flag,
    "bytes": _Bytes,
    "string": _Text,
    **{f"uint{bits}": partial(_Number, bits) for bits in range(8, MAX_BITS + 1, 8)},
    **{f"bytes{size}": partial(_FixedBytes, size) for size in range(1, WORD_BYTES + 1)},
}


def _encode(types: Sequence[AbiType], values: Sequence[Any]) -> bytes:
    """All heads, then what the pointers among them lead to."""
    heads, tails, tail_at = [], [], sum(one.head_bytes for one in types)
    for one, value in zip(types, values, strict=True):
        part = one.encode(value)
        if one.is_dynamic:
            heads.append(tail_at.to_bytes(WORD_BYTES))
            tails.append(part)
            tail_at += len(part)
        else:
            heads.append(part)
    return b"".join(heads + tails)


def _decode(types: Sequence[AbiType], data: bytes, at: int) -> tuple[list[Any], int]:
    values, head, tail = [], at, at + sum(one.head_bytes for one in types)
    for one in types:
        if one.is_dynamic:
            if int.from_bytes(_word(data, head)) != tail - at:
                raise ValueError("a pointer does not lead to where the next value begins")
            value, tail = one.decode(data, tail)
            head += WORD_BYTES
        else:
            value, head = one.decode(data, head)
        values.append(value)
    return values, tail


def _word(data: bytes, at: int) -> bytes:
    word = data[at : at + WORD_BYTES]
    if len(word) != WORD_BYTES:
        raise ValueError("the data ends too early")
    return word


def _require_zero(padding: bytes) -> None:
    if any(padding):
        raise ValueError("padding is not zero")


def _raw(value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise Misuse(f"{value!r} is not bytes")
    return bytes(value)


def _padded(length: int) -> int:
    """Up to the end of its last word."""
    return -(-length // WORD_BYTES) * WORD_BYTES


def _attribute(name: str) -> str:
    """The attribute that holds a struct's field: `from` is a word of Python's own, and is called `start`."""
    return "start" if name == "from" else name

"""Contract ABIs as package data, and values to bytes and back by them.

Decides: how a contract's names map to Python's (camelCase to snake_case, structs to anything with attributes
of those names, bytes32 to `bytes`, addresses to checksummed `str`), and how revert data and logs are read.
Leaves to others: talking to a chain (`gateway.py`, `sender.py`) and what the values mean (`views.py`).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, cast

from eth_abi.abi import encode
from eth_abi.codec import ABICodec
from eth_abi.decoding import StringDecoder
from eth_abi.exceptions import DecodingError, EncodingError
from eth_abi.registry import ABIRegistry, BaseEquals, registry
from eth_utils.abi import (
    collapse_if_tuple,
    event_signature_to_log_topic,
    function_signature_to_4byte_selector,
)

from grange.chain.answers import count, hash_from
from grange.chain.errors import AnswerUnreadable
from grange.chain.events import Event
from grange.errors import Misuse
from grange.types import address_from

MAX_REASON_CHARACTERS = 200
_SELECTOR_BYTES = 4
_ERROR_STRING_SELECTOR = bytes.fromhex("08c379a0")
_PANIC_SELECTOR = bytes.fromhex("4e487b71")

DECODING_ERRORS = (DecodingError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, Misuse)
"""What comes of bytes that are not as the ABI says: the library names only some of it."""

Component = Mapping[str, Any]


def snake(name: str) -> str:
    """`leafCount` to `leaf_count`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().lstrip("_")


def _attribute(name: str) -> str:
    """The attribute that holds a struct's field: `from` is a word of Python's own, and is called `start`."""
    return "start" if name == "from" else snake(name)


def to_abi(value: Any, component: Component) -> Any:
    """A Python value as eth_abi wants it: structs (anything with the fields' names) become tuples."""
    kind: str = component["type"]
    if kind.endswith("]"):
        inner = {**component, "type": kind[: kind.rindex("[")]}
        return [to_abi(item, inner) for item in value]
    if kind != "tuple":
        return value
    fields: Sequence[Component] = component["components"]
    if isinstance(value, tuple):
        return tuple(to_abi(item, field) for item, field in zip(value, fields, strict=True))
    return tuple(to_abi(getattr(value, _attribute(field["name"])), field) for field in fields)


def from_abi(value: Any, component: Component) -> Any:
    """What eth_abi decoded in Python's terms: structs become dicts with snake_case keys."""
    kind: str = component["type"]
    if kind.endswith("]"):
        inner = {**component, "type": kind[: kind.rindex("[")]}
        return tuple(from_abi(item, inner) for item in value)
    if kind == "tuple":
        return {
            snake(field["name"]): from_abi(item, field)
            for field, item in zip(component["components"], value, strict=True)
        }
    if kind == "address":
        return address_from(value)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One function, event or error of an ABI."""

    name: str
    signature: str
    inputs: tuple[Component, ...]
    outputs: tuple[Component, ...] = ()

    @property
    def selector(self) -> bytes:
        """The first four bytes of calldata or revert data."""
        return function_signature_to_4byte_selector(self.signature)

    @property
    def topic(self) -> bytes:
        """An event's first topic."""
        return event_signature_to_log_topic(self.signature)

    @property
    def indexed(self) -> tuple[Component, ...]:
        """An event's indexed parameters, in the order of its topics."""
        return tuple(parameter for parameter in self.inputs if parameter.get("indexed"))

    def encode_inputs(self, arguments: Sequence[Any]) -> bytes:
        """The arguments ABI-encoded, without a selector."""
        if len(arguments) != len(self.inputs):
            raise Misuse(f"{self.signature} takes {len(self.inputs)} values, and {len(arguments)} were given")
        values = [to_abi(value, component) for value, component in zip(arguments, self.inputs, strict=True)]
        return _encode(self.inputs, values)


class Abi:
    """A contract's interface: functions by name, events by first topic, errors by selector."""

    def __init__(self, entries: Iterable[Component]) -> None:
        self.entries = tuple(entries)
        """As the compiler writes them."""
        self.functions: dict[str, Element] = {}
        self.events: dict[str, Element] = {}
        self.errors: dict[bytes, Element] = {}
        self.constructor_inputs: tuple[Component, ...] = ()
        for entry in self.entries:
            self._add(entry)
        self._events_by_topic = {event.topic: event for event in self.events.values()}

    def _add(self, entry: Component) -> None:
        inputs = tuple(entry.get("inputs", ()))
        if entry["type"] == "constructor":
            self.constructor_inputs = inputs
        if entry["type"] not in ("function", "event", "error"):
            return
        types = ",".join(collapse_if_tuple(cast(Any, component)) for component in inputs)
        element = Element(
            name=entry["name"],
            signature=f"{entry['name']}({types})",
            inputs=inputs,
            outputs=tuple(entry.get("outputs", ())),
        )
        if entry["type"] == "function":
            self.functions[element.name] = element
        elif entry["type"] == "event":
            self.events[element.name] = element
        else:
            self.errors[element.selector] = element

    def function(self, name: str) -> Element:
        """The function of this name; raises Misuse if there is none."""
        try:
            return self.functions[name]
        except KeyError:
            raise Misuse(f"the contract has no function {name!r}") from None

    def event(self, name: str) -> Element:
        """The event of this name; raises Misuse if there is none."""
        try:
            return self.events[name]
        except KeyError:
            raise Misuse(f"the contract has no event {name!r}") from None

    def encode_call(self, name: str, arguments: Sequence[Any]) -> bytes:
        """Calldata for a function: selector and arguments."""
        function = self.function(name)
        return function.selector + function.encode_inputs(arguments)

    def encode_constructor(self, arguments: Sequence[Any]) -> bytes:
        """Constructor arguments, to be appended to the bytecode."""
        constructor = Element(name="constructor", signature="constructor", inputs=self.constructor_inputs)
        return constructor.encode_inputs(arguments)

    def decode_result(self, name: str, data: bytes) -> Any:
        """What a function returned: one value as such, several as a dict by snake_case name.

        Raises AnswerUnreadable for bytes that it cannot have returned.
        """
        outputs = self.function(name).outputs
        with _reading(f"what {name} returns"):
            values = _decode(outputs, data)
            if len(outputs) == 1:
                return from_abi(values[0], outputs[0])
            return {
                snake(component["name"]): from_abi(value, component)
                for component, value in zip(outputs, values, strict=True)
            }

    def decode_log(self, log: Mapping[str, Any]) -> Event | None:
        """A JSON-RPC log as an event; None if the ABI has no such event.

        Raises AnswerUnreadable for a log that is none, or that no such event writes.
        """
        with _reading("a log"):
            return self._decoded_log(log)

    def _decoded_log(self, log: Mapping[str, Any]) -> Event | None:
        topics = [bytes.fromhex(topic.removeprefix("0x")) for topic in log["topics"]]
        element = self._events_by_topic.get(topics[0]) if topics else None
        if element is None:
            return None
        plain = tuple(parameter for parameter in element.inputs if not parameter.get("indexed"))
        indexed = element.indexed
        raw = dict(
            zip((p["name"] for p in plain), _decode(plain, bytes.fromhex(log["data"][2:])), strict=True)
        )
        for parameter, topic in zip(indexed, topics[1:], strict=True):
            raw[parameter["name"]] = _decode((parameter,), topic)[0]
        return Event(
            name=element.name,
            args={snake(p["name"]): from_abi(raw[p["name"]], p) for p in element.inputs},
            block=count(log["blockNumber"], "a log's block"),
            block_hash=hash_from(log["blockHash"], "a log's block"),
            tx_hash=hash_from(log["transactionHash"], "a log's transaction"),
            log_index=count(log["logIndex"], "a log's place"),
        )

    def decode_error(self, data: bytes) -> tuple[str, dict[str, Any]]:
        """Revert data as the error's name and its values by snake_case name."""
        selector, body = data[:_SELECTOR_BYTES], data[_SELECTOR_BYTES:]
        try:
            if selector == _ERROR_STRING_SELECTOR:
                return "Error", {"message": _LENIENT.decode(["string"], body)[0]}
            if selector == _PANIC_SELECTOR:
                return "Panic", {"code": _LENIENT.decode(["uint256"], body)[0]}
            if selector in self.errors:
                element = self.errors[selector]
                values = _decode(element.inputs, body)
                return element.name, {
                    snake(component["name"]): from_abi(value, component)
                    for component, value in zip(element.inputs, values, strict=True)
                }
        except DECODING_ERRORS:
            pass
        return "Unknown", {"data": data} if data else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A compiled contract as the package ships it."""

    abi: Abi
    bytecode: bytes


class _AnyText(StringDecoder):  # type: ignore[misc, unused-ignore]
    """Strings in which what is no UTF-8 is replaced."""

    @classmethod
    def from_type_str(cls, _type: str, _registry: ABIRegistry) -> "_AnyText":
        """As eth_abi makes its decoders."""
        return cls("replace")


def _lenient() -> ABICodec:
    texts: ABIRegistry = registry.copy()  # type: ignore[no-untyped-call]
    texts.unregister_decoder("string")
    is_string = BaseEquals("string", with_sub=False)  # type: ignore[no-untyped-call]
    texts.register_decoder(is_string, _AnyText, label="string")
    return ABICodec(texts)


_LENIENT = _lenient()


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except DECODING_ERRORS as error:
        raise AnswerUnreadable(what, ascii(str(error))[:MAX_REASON_CHARACTERS]) from error


def _encode(components: Sequence[Component], values: Sequence[Any]) -> bytes:
    try:
        return encode([collapse_if_tuple(cast(Any, c)) for c in components], values)
    except (EncodingError, OverflowError) as error:
        raise Misuse(f"values do not fit the contract's types: {error}") from error


def _decode(components: Sequence[Component], data: bytes) -> tuple[Any, ...]:
    # Solidity does not check that a string is UTF-8, and whoever registers chooses its bytes: one farmer's
    # endpoint must not keep anybody from reading the list of all.
    types = [collapse_if_tuple(cast(Any, c)) for c in components]
    return _LENIENT.decode(types, data)


@cache
def artifact(contract: str) -> Artifact:
    """ABI and bytecode of "Market" or "GrangeToken" out of the package's data."""
    text = resources.files("grange.chain").joinpath("abi", f"{contract}.json").read_text(encoding="utf-8")
    content = json.loads(text)
    return Artifact(abi=Abi(content["abi"]), bytecode=bytes.fromhex(content["bytecode"].removeprefix("0x")))


def market_abi() -> Abi:
    """The market's interface."""
    return artifact("Market").abi


def token_abi() -> Abi:
    """The devnet token's interface; of other tokens only the ERC-20 and EIP-2612 part is used."""
    return artifact("GrangeToken").abi

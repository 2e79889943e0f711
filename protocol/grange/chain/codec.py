"""Contract ABIs as package data; calls, results, events and errors to bytes and back by them.

Decides how functions, events and errors of a contract are found, and how revert data and logs are read.
Leaves to others: values of each type (`abi_types.py`), talking to a chain (`gateway.py`, `sender.py`) and
what the values mean (`views.py`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, reduce
from importlib import resources
from operator import xor
from typing import Any

from grange.chain.abi_types import Component, Struct, type_name
from grange.chain.answers import count, hash_from
from grange.chain.errors import AnswerUnreadable
from grange.chain.events import Event
from grange.errors import Misuse
from grange.keccak import keccak256

MAX_REASON_CHARACTERS = 200
_SELECTOR_BYTES = 4
_OF_OTHER_STANDARDS = ("supportsInterface", "eip712Domain")

DECODING_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, Misuse)
"""What comes of bytes that are not as the ABI says, and of answers that are not as JSON-RPC says."""


class Element:
    """One function, event or error of an ABI."""

    def __init__(self, entry: Component) -> None:
        self.name: str = entry.get("name", "")
        self._entry = entry

    # Made when they are first used: of over a hundred elements a command uses a few.

    @cached_property
    def inputs(self) -> Struct:
        """What it takes."""
        return Struct(self._entry.get("inputs", ()))

    @cached_property
    def outputs(self) -> Struct:
        """What it returns."""
        return Struct(self._entry.get("outputs", ()))

    @cached_property
    def signature(self) -> str:
        """Its name and types, as they are hashed."""
        # Not by `inputs`: all events and errors are looked up by their hashes, and few of them are read.
        return f"{self.name}({','.join(map(type_name, self._entry.get('inputs', ())))})"

    @cached_property
    def topic(self) -> bytes:
        """An event's first topic."""
        return keccak256(self.signature.encode())

    @property
    def selector(self) -> bytes:
        """The first four bytes of calldata or revert data."""
        return self.topic[:_SELECTOR_BYTES]

    @cached_property
    def indexed(self) -> Struct:
        """An event's indexed parameters, in the order of its topics."""
        return Struct(one for one in self.inputs.components if one.get("indexed"))

    @cached_property
    def plain(self) -> Struct:
        """An event's other parameters, in the order of its data."""
        return Struct(one for one in self.inputs.components if not one.get("indexed"))

    def encode_inputs(self, arguments: Sequence[Any]) -> bytes:
        """The arguments ABI-encoded, without a selector. Raises Misuse for values that do not fit."""
        return self.inputs.encode_all(arguments)

    def decode_log(self, topics: Sequence[bytes], data: bytes) -> dict[str, Any]:
        """An event's values by name, in the order of its parameters. Raises one of DECODING_ERRORS."""
        values, _ = self.plain.decode(data, 0)
        indexed = zip(self.indexed.names, self.indexed.types, topics[1:], strict=True)
        values |= {name: kind.decode(topic, 0)[0] for name, kind, topic in indexed}
        return {name: values[name] for name in self.inputs.names}


class Abi:
    """A contract's interface: functions by name, events by first topic, errors by selector."""

    def __init__(self, entries: Iterable[Component]) -> None:
        self.entries = tuple(entries)
        """As the compiler writes them."""
        self.functions: dict[str, Element] = {}
        self.events: dict[str, Element] = {}
        self._errors: list[Element] = []
        self._constructor = Element({})
        for entry in self.entries:
            self._add(entry)

    def _add(self, entry: Component) -> None:
        element = Element(entry)
        match entry["type"]:
            case "constructor":
                self._constructor = element
            case "function":
                self.functions[element.name] = element
            case "event":
                self.events[element.name] = element
            case "error":
                self._errors.append(element)

    @cached_property
    def errors(self) -> dict[bytes, Element]:
        """The errors by selector."""
        return {error.selector: error for error in self._errors}

    @cached_property
    def _events_by_topic(self) -> dict[bytes, Element]:
        return {event.topic: event for event in self.events.values()}

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
        return self._constructor.encode_inputs(arguments)

    def decode_result(self, name: str, data: bytes) -> Any:
        """What a function returned: one value as such, several as a dict by snake_case name.

        Raises AnswerUnreadable for bytes that it cannot have returned.
        """
        outputs = self.function(name).outputs
        with _reading(f"what {name} returns"):
            values, _ = outputs.decode(data, 0)
            return values[outputs.names[0]] if len(outputs.names) == 1 else values

    def decode_log(self, log: Mapping[str, Any]) -> Event | None:
        """A JSON-RPC log as an event; None if the ABI has no such event.

        Raises AnswerUnreadable for a log that is not valid, or that no such event writes.
        """
        with _reading("a log"):
            topics = [bytes.fromhex(topic.removeprefix("0x")) for topic in log["topics"]]
            element = self._events_by_topic.get(topics[0]) if topics else None
            if element is None:
                return None
            return Event(
                name=element.name,
                args=element.decode_log(topics, bytes.fromhex(log["data"][2:])),
                block=count(log["blockNumber"], "a log's block"),
                block_hash=hash_from(log["blockHash"], "a log's block"),
                tx_hash=hash_from(log["transactionHash"], "a log's transaction"),
                log_index=count(log["logIndex"], "a log's place"),
            )

    def decode_error(self, data: bytes) -> tuple[str, dict[str, Any]]:
        """Revert data as the error's name and its values by snake_case name."""
        selector, body = data[:_SELECTOR_BYTES], data[_SELECTOR_BYTES:]
        element = _SOLIDITY_ERRORS.get(selector) or self.errors.get(selector)
        try:
            if element is not None:
                return element.name, element.inputs.decode(body, 0)[0]
        except DECODING_ERRORS:
            pass
        return "Unknown", {"data": data} if data else {}


_SOLIDITY_ERRORS = {
    error.selector: error
    for error in (
        Element({"name": "Error", "inputs": [{"name": "message", "type": "string"}]}),
        Element({"name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]}),
    )
}
"""What the language itself reverts with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A compiled contract as the package ships it."""

    abi: Abi
    bytecode: bytes
    """What creates it."""
    runtime: bytes
    """What is at its address then, with zeros for what the constructor writes."""
    immutables: Mapping[str, Sequence[int]]
    """Where in it each of these words stands, by the names of `deployment.immutable_words`."""

    def creation_code(self, *args: Any) -> bytes:
        """What a transaction to nobody carries, to deploy the contract with these constructor arguments."""
        return self.bytecode + self.abi.encode_constructor(args)


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except DECODING_ERRORS as error:
        raise AnswerUnreadable(what, ascii(str(error))[:MAX_REASON_CHARACTERS]) from error


@cache
def artifact(contract: str, package: str = "grange.chain") -> Artifact:
    """ABI and bytecode of a part of the market, or of "GrangeToken", out of a package's data."""
    text = resources.files(package).joinpath("abi", f"{contract}.json").read_text(encoding="utf-8")
    content = json.loads(text)
    bytecode, start = bytes.fromhex(content["bytecode"].removeprefix("0x")), content["runtime_start"]
    return Artifact(
        abi=Abi(content["abi"]),
        bytecode=bytecode,
        runtime=bytecode[start : start + content["runtime_size"]],
        immutables=content["immutables"],
    )


def market_abi() -> Abi:
    """The market's interface."""
    return artifact("Market").abi


def market_interface() -> bytes:
    """What a market answers to (ERC-165): all of its calls, but those of other standards.

    It changes with every call whose name or parameters change, so a market of another edition does not
    answer to it.
    """
    own = [one for one in market_abi().functions.values() if one.name not in _OF_OTHER_STANDARDS]
    return reduce(xor, (int.from_bytes(one.selector) for one in own)).to_bytes(_SELECTOR_BYTES)


def token_abi() -> Abi:
    """The devnet token's interface; of other tokens only the ERC-20 and EIP-2612 part is used."""
    return artifact("GrangeToken").abi

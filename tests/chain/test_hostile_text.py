"""What anybody may write on chain must not keep anybody from reading it."""

from contextlib import suppress
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from grange.chain import AnswerUnreadable, ChainError
from grange.chain.abi_types import type_name
from grange.chain.codec import market_abi

PROVEN = market_abi().event("Proven").topic


def made_up(component: dict[str, Any]) -> Any:
    """Some value of a field, whatever fields there are; a text is bytes that are none."""
    match component["type"]:
        case "tuple":
            return tuple(map(made_up, component["components"]))
        case "address":
            return "0x" + "11" * 20
        case "bool":
            return False
        case "string":
            return b"\xff\xfe"
        case _:
            return 5


def test_bytes_that_are_no_text_are_replaced() -> None:
    """A farmer whose endpoint is not UTF-8 can be read like any other, with marks in its place."""
    [farmer] = market_abi().function("farmer").outputs.components
    data = encode([type_name(farmer).replace("string", "bytes")], [made_up(farmer)])
    read = market_abi().decode_result("farmer", data)
    assert (read["endpoint"], read["stake"]) == ("\ufffd\ufffd", 5)


@pytest.mark.parametrize("data", [b"", bytes(31), b"\xff" * 32 * 12])
@pytest.mark.parametrize("function", ["farmer", "farmers", "order", "parameters"])
def test_results_that_are_none_are_an_error_of_the_chain(function: str, data: bytes) -> None:
    """Cut off, or pointing nowhere: one of the errors that every caller expects."""
    with pytest.raises(AnswerUnreadable, match=f"what {function} returns"):
        market_abi().decode_result(function, data)


@given(st.binary(max_size=600), st.sampled_from(["farmer", "farmers", "order", "vault", "parameters"]))
def test_no_bytes_are_worse_than_unreadable(data: bytes, function: str) -> None:
    with suppress(ChainError):
        market_abi().decode_result(function, data)


@pytest.mark.parametrize(
    "change",
    [
        {"data": "0x12"},
        {"data": "0xzz"},
        {"data": None},
        {"topics": ["0x" + PROVEN.hex()]},
        {"topics": ["0x" + PROVEN.hex()] * 9},
        {"topics": None},
        {"topics": [5]},
        {"blockNumber": None},
        {"blockHash": "0x1"},
        {"logIndex": "x"},
    ],
)
def test_logs_that_are_none_are_an_error_of_the_chain(change: dict[str, Any]) -> None:
    """One field wrong: unreadable; all of them right: an event."""
    one, other = "0x" + (1).to_bytes(32).hex(), "0x" + (7).to_bytes(32).hex()
    log = {
        "topics": ["0x" + PROVEN.hex(), one, other],
        "data": "0x" + (5).to_bytes(32).hex(),
        "blockNumber": "0x1",
        "blockHash": "0x" + "11" * 32,
        "transactionHash": "0x" + "22" * 32,
        "logIndex": "0x0",
    }
    event = market_abi().decode_log(log)
    assert event is not None
    assert (event.name, event.block) == ("Proven", 1)
    with pytest.raises(AnswerUnreadable):
        market_abi().decode_log(log | change)

"""What an endpoint answers, as values of the right kind: JSON can be valid and wrong.

    quantity("0x2a", "a balance")                  42
    hash_from(block["hash"], "a block's hash")     32 bytes
    fields_from(answer, "a block")                 the mapping, if it is one
    check_answer("eth_getLogs", params, answer)    at least a list of logs

All raise AnswerUnreadable and say which answer it was. Leaves results and events of the contract to `codec`,
transport to `rpc`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from grange.chain.errors import AnswerUnreadable
from grange.types import bytes_from_hex
from grange.units import HASH_BYTES

MAX_SHOWN: Final = 40
MAX_COUNT: Final = (1 << 63) - 1
"""Blocks and seconds: as far as a database counts, too."""
_MAX_QUANTITY: Final = (1 << 256) - 1
_QUANTITY: Final = re.compile("0x[0-9a-fA-F]{1,64}")


def quantity(value: object, what: str, *, at_most: int = _MAX_QUANTITY) -> int:
    """A number as JSON-RPC writes it."""
    if isinstance(value, str) and _QUANTITY.fullmatch(value) and (number := int(value, 16)) <= at_most:
        return number
    raise unreadable(what, value)


def count(value: object, what: str) -> int:
    """The number of a block, or Unix seconds."""
    return quantity(value, what, at_most=MAX_COUNT)


def bytes_from(value: object, what: str) -> bytes:
    """Bytes as JSON-RPC writes them."""
    if isinstance(value, str) and value.startswith("0x"):
        try:
            return bytes_from_hex(value[2:])
        except ValueError:
            pass
    raise unreadable(what, value)


def hash_from(value: object, what: str) -> bytes:
    """The hash of a block or a transaction."""
    raw = bytes_from(value, what)
    if len(raw) != HASH_BYTES:
        raise unreadable(what, value)
    return raw


def fields_from(value: object, what: str) -> Mapping[str, Any]:
    """An object; a field that it lacks reads as None, which nothing here takes."""
    if not isinstance(value, dict):
        raise unreadable(what, value)
    return _Fields(value)


def list_from(value: object, what: str) -> Sequence[Any]:
    """A list."""
    if not isinstance(value, list):
        raise unreadable(what, value)
    return value


def block_hash_from(value: object) -> bytes:
    """The hash of a block, out of the block."""
    return hash_from(fields_from(value, "a block")["hash"], "a block's hash")


def check_answer(method: str, params: Sequence[Any], answer: object) -> None:
    """Raise AnswerUnreadable where an answer to a method is of a kind that no honest endpoint gives. What it
    says may be wrong all the same."""
    check = _CHECKS.get(method)
    if check is not None:
        check(answer, f"the answer to {method}")
    if answer is None and method == "eth_getBlockByNumber" and params[0] == "latest":
        raise unreadable("the newest block", answer)


def unreadable(what: str, value: object) -> AnswerUnreadable:
    """The error for an answer that is of the wrong kind."""
    return AnswerUnreadable(what, f"it is {ascii(value)[:MAX_SHOWN]}")


class _Fields(dict[str, Any]):
    def __missing__(self, key: str) -> None:
        return None


def _check_block(value: object, what: str) -> None:
    if value is not None:
        block = fields_from(value, what)
        count(block["number"], what)
        count(block["timestamp"], what)
        hash_from(block["hash"], what)


def _check_logs(value: object, what: str) -> None:
    for log in list_from(value, what):
        count(fields_from(log, what)["blockNumber"], what)


def _check_if_any(value: object, what: str) -> None:
    if value is not None:
        fields_from(value, what)


_CHECKS: Final[Mapping[str, Callable[[object, str], object]]] = {
    "eth_blockNumber": count,
    "eth_call": bytes_from,
    "eth_chainId": quantity,
    "eth_estimateGas": quantity,
    "eth_gasPrice": quantity,
    "eth_getBalance": quantity,
    "eth_getBlockByNumber": _check_block,
    "eth_getCode": bytes_from,
    "eth_getLogs": _check_logs,
    "eth_getTransactionByHash": _check_if_any,
    "eth_getTransactionCount": count,
    "eth_getTransactionReceipt": _check_if_any,
    "eth_maxPriorityFeePerGas": quantity,
    "eth_sendRawTransaction": hash_from,
}

"""What can go wrong between us and the chain.

    WorldError
    `-- ChainError                    everything in this file
        |-- ChainUnavailable          nobody answers at the endpoint, or it answers with something else
        |   |-- ChainTimeout          it took the question and did not answer in time
        |   |-- RateLimited           it wants fewer questions, or to be left alone for a while
        |   |-- AnswerTooLong         it answers with more than is read
        |   `-- EndpointsUnavailable           of several endpoints none answers
        |-- AnswerUnreadable          what it gives as the contract's words are not in the contract's ABI
        |-- BlocksMissing             it shows the newest block, and none of those before it
        |-- WrongChain                it serves another chain id than the one we were told to use
        |-- ChainReplaced             the right chain id, but another chain: a devnet that was started again
        |-- MarketNotFound            there is no market at the given address
        |-- MarketForged              there is one, and its code is not that of Grange's
        |-- OriginUnknown             its code is, and nothing shows that our creation code made it
        |-- RpcError                  it understood and refused; code, message and data as it sent them
        |   `-- CallReverted          the refusal was a revert, not one of the market's own errors
        `-- TransactionError
            |-- TransactionReverted   the contract refused: one of its errors, by name, with values
            |-- InsufficientFunds     the account cannot pay for the gas
            |-- FeesAboveCap          gas costs more than our cap, so nothing was sent
            |-- TransactionNotMined   not mined in time although fees were raised; it may still be mined
            |-- TransactionTooLate    its last useful block is over; the next transaction takes its nonce
            |-- NonceTaken            each nonce was used already: the endpoint lags, or the key is shared
            `-- TransactionReplaced   another transaction of the same account took its nonce

The module only names them and says what happened. What that means and what to do about it is in
`grange.cli.chain_words`, since it differs from command to command; our other errors (`UserError`) bring all
of their words along.

`rpc.py` translates what the HTTP library raises, `codec.py` what the ABI library
raises, `gateway.py` and `sender.py` what the chain answers. An error is given the whole URL of the endpoint
and keeps only what may be shown of it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from grange.chain.endpoint import public_part
from grange.errors import Category, WorldError
from grange.units import format_gas_tokens, format_gwei

PAY_OUT: Final = frozenset({"claim", "withdraw"})
"""Functions by which tokens leave the market, to an account of the caller's choice."""
MOVE_TOKENS: Final = PAY_OUT | {
    "addStake",
    "approve",
    "deposit",
    "depositWithPermit",
    "extendWithPermit",
    "placeWithPermit",
    "register",
    "registerWithPermit",
    "transfer",
}
"""Functions that call the token."""
TOKEN_REFUSED: Final = (
    "The market did not refuse; its token did. It may have blocked this account, or be paused."
)
"""What a refusal means that is none of the market's; what to do then is said by `ASK_TOKEN` but for payments
to others."""
ASK_TOKEN: Final = "Ask those who run the token, or use another account."
_HAVE_WANT = re.compile(r"have ([0-9]{1,40})\D+want ([0-9]{1,40})")


class ChainError(WorldError):
    """The chain, or the way to it, failed us."""

    category = Category.CHAIN


class ChainUnavailable(ChainError):
    """Nobody answers at the endpoint, or what answers is not JSON-RPC."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = public_part(url)
        super().__init__(f"no chain endpoint at {self.url}: {reason}")
        self.reason = reason


class ChainTimeout(ChainUnavailable):
    """The endpoint accepted a request and did not answer within the limit."""

    def __init__(self, url: str, method: str, seconds: float) -> None:
        super().__init__(url, f"{method} was not answered within {seconds:g} s")
        self.method = method
        self.seconds = seconds


class RateLimited(ChainUnavailable):
    """The endpoint wants fewer questions. `retry_after_seconds` is None if it did not say for how long."""

    def __init__(self, url: str, reason: str, retry_after_seconds: float | None) -> None:
        super().__init__(url, reason)
        self.retry_after_seconds = retry_after_seconds


class AnswerTooLong(ChainUnavailable):
    """The endpoint answers with more than is read."""


class EndpointsUnavailable(ChainUnavailable):
    """Each of several endpoints failed in its own way; `failures` has one for each."""

    def __init__(self, failures: Sequence[ChainError]) -> None:
        told = "; ".join(dict.fromkeys(map(str, failures)))
        super(ChainUnavailable, self).__init__(f"none of the endpoints answers: {told}")
        self.url = ""
        self.reason = told
        self.failures = tuple(failures)


class WitnessMissing(ChainUnavailable):
    """One of several endpoints says yes to what two must say, and no other says anything at the moment. It
    lasts until another answers."""


class AnswerUnreadable(ChainError):
    """Bytes that should be a result or an event of the contract, and that its ABI cannot read."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"the chain's answer cannot be read as {what}: {reason}")
        self.what = what
        self.reason = reason


class BlocksMissing(ChainError):
    """The endpoint shows a newest block and, however often it is asked, none of those that lead to it: it
    keeps no old ones, or they change faster than they can be read. Without them nothing can be said of what
    happened."""

    def __init__(self, read: int, newest: int) -> None:
        super().__init__(
            f"the endpoint is at block {newest}, and does not show the blocks after {max(read, 0)} that lead "
            "to it"
        )
        self.read = read
        self.newest = newest


class WrongChain(ChainError):
    """The endpoint serves another chain than the one configured."""

    category = Category.WRONG_CHAIN

    def __init__(self, url: str, expected: int, actual: int) -> None:
        self.url = public_part(url)
        super().__init__(
            f"the endpoint {self.url} serves chain id {actual}, and chain id {expected} is expected"
        )
        self.expected = expected
        self.actual = actual


class ChainReplaced(ChainError):
    """The chain has the id that we expect and another first block than when we were set up."""

    category = Category.WRONG_CHAIN

    def __init__(self, url: str, expected: bytes, actual: bytes) -> None:
        self.url = public_part(url)
        super().__init__(
            f"the endpoint {self.url} now serves another chain than the one this was set up on: its first "
            f"block is 0x{actual.hex()[:8]}, not 0x{expected.hex()[:8]}. A devnet that is started again is "
            "a new chain: all that was on the old one is gone, and what has the same number here is another's"
        )
        self.expected = expected
        self.actual = actual


class MarketNotFound(ChainError):
    """No contract, or one that is not a market, lives at the configured address."""

    category = Category.WRONG_CHAIN

    def __init__(self, url: str, address: str, reason: str) -> None:
        self.url = public_part(url)
        super().__init__(f"no market at {address} on {self.url}: {reason}")
        self.address = address


class MarketForged(ChainError):
    """What is at the address is not the market that this version of Grange knows."""

    category = Category.WRONG_CHAIN


class OriginUnknown(ChainError):
    """The code is right, and may have been put there with balances that nobody paid in."""

    category = Category.WRONG_CHAIN


class RpcError(ChainError):
    """The endpoint understood the request and refused it."""

    def __init__(self, method: str, code: int, message: str, data: bytes | None = None) -> None:
        super().__init__(f"the endpoint refused {method}: {message} (code {code})")
        self.method = method
        self.code = code
        self.message = message
        self.data = data

    @property
    def reverted(self) -> bool:
        """Whether the refusal is an EVM revert, with or without data."""
        return self.data is not None or "revert" in self.message.lower()


class CallReverted(RpcError):
    """A read-only call reverted; `data` is what the contract returned."""


class TransactionError(ChainError):
    """A transaction did not do what it was sent for."""


class TransactionReverted(TransactionError):
    """The contract refused. `name` is the contract's error and `args_by_name` its values.

    `name` is "Error" for a require string (value `message`), "Panic" for a Solidity panic (value `code`),
    "OutOfGas" when all gas was used up, and "Unknown" when the revert carried nothing that the ABI names.
    `tx_hash` is None if a simulation found it and nothing was sent.
    """

    category = Category.REFUSED

    def __init__(
        self, function: str, name: str, args_by_name: Mapping[str, Any], tx_hash: bytes | None = None
    ) -> None:
        values = ", ".join(f"{key}={_short(value)}" for key, value in args_by_name.items())
        super().__init__(f"{function} was refused by the contract: {name}({values})")
        self.function = function
        self.name = name
        self.args_by_name = dict(args_by_name)
        self.tx_hash = tx_hash

    @property
    def is_by_token(self) -> bool:
        """Whether it was the token that refused: the market names all its reasons, and this is none."""
        return self.name in {"Error", "Unknown"} and bool(self.args_by_name) and self.function in MOVE_TOKENS


class InsufficientFunds(TransactionError):
    """The sending account has too few gas tokens."""

    category = Category.MONEY

    def __init__(self, address: str, detail: str) -> None:
        super().__init__(
            f"the account {address} has too little of the gas token to pay the chain's fees: "
            f"{_in_gas_tokens(detail)}"
        )
        self.address = address


class FeesAboveCap(TransactionError):
    """A unit of gas costs more than we pay at most. Nothing was sent. Amounts in wei."""

    category = Category.MONEY

    def __init__(self, base_wei: int, cap_wei: int) -> None:
        super().__init__(
            f"a unit of gas costs {format_gwei(base_wei)} gwei, and the cap is {format_gwei(cap_wei)}: "
            "nothing was sent"
        )
        self.base_wei = base_wei
        self.cap_wei = cap_wei


class TransactionNotMined(TransactionError):
    """Not mined within the limit; the chain may still mine it later."""

    def __init__(self, function: str, tx_hash: bytes, nonce: int, seconds: float) -> None:
        super().__init__(f"{function} (0x{tx_hash.hex()}, nonce {nonce}) was not mined within {seconds:g} s")
        self.function = function
        self.tx_hash = tx_hash
        self.nonce = nonce


class TransactionTooLate(TransactionError):
    """The last block in which it would have been of use is over. `tx_hash` is None if it was not sent."""

    def __init__(self, function: str, last_block: int, tx_hash: bytes | None = None) -> None:
        super().__init__(f"{function} was not mined by block {last_block}, and later it is of no use")
        self.function = function
        self.last_block = last_block
        self.tx_hash = tx_hash


class NonceTaken(TransactionError):
    """No nonce was to be had. Nothing was sent."""

    def __init__(self, function: str, address: str, attempts: int) -> None:
        super().__init__(
            f"{function}: {attempts} nonces of {address} in a row were used already. The endpoint is behind "
            "the chain, or another program is sending with the same key"
        )
        self.function = function
        self.address = address


class TransactionReplaced(TransactionError):
    """Another transaction of this account, sent by somebody else with its key, took the nonce."""

    def __init__(self, function: str, nonce: int) -> None:
        super().__init__(f"{function}: nonce {nonce} was used by a transaction that was not sent from here")
        self.function = function
        self.nonce = nonce


def _short(value: object) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)


def _in_gas_tokens(detail: str) -> str:
    """What an endpoint says of a lack of funds; its long numbers of wei as gas tokens, where it says "have"
    and "want"."""
    amounts = _HAVE_WANT.search(detail)
    if amounts is None:
        return detail
    have, want = (format_gas_tokens(int(amount)) for amount in amounts.groups())
    return f"it has {have}, and {want} are needed"

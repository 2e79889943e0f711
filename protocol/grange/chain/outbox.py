"""An account's transactions on their way out: which nonce each gets, what fees, and what takes whose place.

Decides: nonces (the pending count; the next one where somebody with the same key was first; that of a
transaction which was given up and may still be in a pool), and what is offered when a transaction waits too
long. Leaves waiting to `sender.py`, the arithmetic of fees to `fees.py`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from grange.chain.answers import count
from grange.chain.codec import Abi
from grange.chain.errors import (
    ChainError,
    ChainUnavailable,
    FeesAboveCap,
    InsufficientFunds,
    NonceTaken,
    RpcError,
    TransactionTooLate,
)
from grange.chain.fees import Fees, SendPolicy, current_fees, raised_fees
from grange.chain.gateway import Chain
from grange.chain.receipts import Receipt
from grange.chain.refusals import (
    is_about_funds,
    is_about_nonce,
    is_below_base_fee,
    is_known_already,
    is_replacement_refused,
    is_underpriced,
    translate_revert,
)
from grange.chain.wallet import Wallet
from grange.tasks import together

MAX_NONCE_ATTEMPTS: Final = 16
MAX_FEE_ATTEMPTS: Final = 3
"""How often the fees are looked up again because the base fee rose in that moment."""
TRANSFER_GAS: Final = 21_000

log = logging.getLogger("grange.chain")


OnMined = Callable[[Receipt], Awaitable[None]]
"""Told of each block that a transaction gets into: another one, if a reorganisation moves it. The sender goes
on when it has ended, so that what is placed is written down before anything else happens."""


async def ignore(_: Receipt) -> None:
    """For those who need not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How a call is to be sent; see `Sender.send`."""

    gas: int | None = None
    confirmations: int = 0
    last_block: int | None = None
    on_mined: OnMined = ignore


@dataclass(slots=True, kw_only=True)
class Sent:
    """A transaction on its way, with every hash it has had under its nonce."""

    label: str
    abi: Abi
    fields: dict[str, Any]
    raw: bytes
    hashes: list[bytes]
    wanted: Wanted
    told_block: str = ""
    """The hash of the block of which `on_mined` was told."""
    is_at_cap: bool = False
    """Whether it was said that no more is offered."""
    overtaken_at: int | None = None
    """The head when its nonce was first seen used by none of its hashes."""

    @property
    def nonce(self) -> int:
        """Its place among the account's transactions."""
        return int(self.fields["nonce"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """The fees of a moment, the nonce that was free, and whether it was too late for what is wanted."""

    fees: Fees
    nonce: int
    is_too_late: bool
    changes: int


class Outbox:
    """Signs and sends for one account; from several tasks, one at a time."""

    def __init__(self, chain: Chain, wallet: Wallet, policy: SendPolicy) -> None:
        self._chain = chain
        self._wallet = wallet
        self._policy = policy
        self._turn = asyncio.Lock()
        self._next_nonce = 0
        self._changes = 0
        """How often something was sent or given up: after that, what was looked up before is old."""
        self.waiting: set[int] = set()
        """Nonces that somebody here waits for."""
        self._handed_raw = b""
        """What was handed to an endpoint last."""
        self._given_up: dict[int, dict[str, Any]] = {}
        """What nobody waits for any more, and what may still be in a pool: the next one takes its place."""

    async def look(self, wanted: Wanted) -> Situation:
        """What a transaction that is sent now is signed on, in one request. Raises ChainError."""
        changes = self._changes
        fees, nonce, is_too_late = await together(
            current_fees(self._chain.rpc, self._policy), self._free_nonce(), self._is_too_late(wanted)
        )
        return Situation(fees=fees, nonce=nonce, is_too_late=is_too_late, changes=changes)

    async def send(
        self, label: str, abi: Abi, fields: Mapping[str, Any], wanted: Wanted, situation: Situation
    ) -> Sent:
        """Send these fields under a nonce that is free. `situation` is a moment old; it is looked again if
        something else was sent since.

        Raises TransactionTooLate, NonceTaken and what the node refuses; then nothing was sent.
        """
        async with self._turn:
            if situation.changes != self._changes:
                situation = await self.look(wanted)
            if situation.is_too_late:
                raise TransactionTooLate(label, wanted.last_block or 0)
            try:
                return await self._sign_and_send(label, abi, fields, wanted, situation)
            finally:
                # At the end: anyone who looked while it was on its way may not have seen it.
                self._changes += 1

    def give_up(self, sent: Sent) -> None:
        """Nobody waits for it any more."""
        self._changes += 1
        self._given_up[sent.nonce] = sent.fields

    async def _sign_and_send(
        self, label: str, abi: Abi, fields: Mapping[str, Any], wanted: Wanted, situation: Situation
    ) -> Sent:
        fees, nonce = situation.fees, situation.nonce
        for attempt in range(MAX_NONCE_ATTEMPTS):
            complete = {
                **fields,
                **self._fees_under(nonce, fees),
                "type": 2,
                "nonce": nonce,
                "chainId": self._chain.chain_id,
            }
            raw, tx_hash = self._wallet.sign_transaction(complete)
            try:
                await self.send_raw(raw)
            except RpcError as error:
                if is_below_base_fee(error) and attempt < MAX_FEE_ATTEMPTS:
                    # Who told us of a lower one may have lied.
                    self._chain.rpc.ask_another()
                    fees = await current_fees(self._chain.rpc, self._policy)
                    continue
                is_taken = await self._is_nonce_taken(error, nonce)
                if is_about_funds(error) or not await self._may_be_out(tx_hash):
                    if not is_taken:
                        raise self.send_failure(error, label) from error
                    self._given_up.pop(nonce, None)
                    nonce = max(nonce + 1, await self.count("pending"))
                    continue
            except ChainUnavailable:
                # It may have arrived. Waiting for it also sends it again if it did not.
                pass
            self._given_up.pop(nonce, None)
            self._next_nonce = max(nonce + 1, self._next_nonce if self.waiting else 0)
            self.waiting.add(nonce)
            return Sent(label=label, abi=abi, fields=complete, raw=raw, hashes=[tx_hash], wanted=wanted)
        raise NonceTaken(label, self._wallet.address, MAX_NONCE_ATTEMPTS)

    async def _free_nonce(self) -> int:
        """That of something that was given up and still waits, else the one after all that the endpoint and
        we know of."""
        if self._given_up:
            mined = await self.count("latest")
            self._given_up = {nonce: left for nonce, left in self._given_up.items() if nonce >= mined}
            if self._given_up:
                return min(self._given_up)
        return max(await self.count("pending"), self._next_nonce if self.waiting else 0)

    def _fees_under(self, nonce: int, fees: Fees) -> Fees:
        """Enough to take the place of what was given up under this nonce."""
        left = self._given_up.get(nonce)
        return fees if left is None else raised_fees(left, fees, self._policy) or fees

    async def _is_nonce_taken(self, error: RpcError, nonce: int) -> bool:
        if is_about_nonce(error) or is_replacement_refused(error):
            return True
        # "Underpriced" alone may also mean that the node wants more of everybody.
        try:
            return is_underpriced(error) and await self.count("pending") > nonce
        except ChainError:
            # Asked once more, it does not answer: its first answer stands.
            return False

    async def _may_be_out(self, tx_hash: bytes) -> bool:
        """Whether what was refused was taken all the same: the answer to a first try may have been lost, and
        the refusal is the one to the second; or it is that of a machine between us and the node.

        If the endpoint does not say, it may be: anyone who is told that it failed would send it again.
        """
        try:
            known = await self._chain.rpc.call("eth_getTransactionByHash", "0x" + tx_hash.hex())
        except ChainError:
            return True
        return known is not None

    async def count(self, tag: str) -> int:
        """How many transactions the account has sent, as of "latest" or "pending"."""
        return count(
            await self._chain.call_at("eth_getTransactionCount", self._wallet.address, tag), "a nonce"
        )

    async def head(self) -> int:
        """The newest block's number."""
        return count(await self._chain.rpc.call("eth_blockNumber"), "the newest block's number")

    async def _is_too_late(self, wanted: Wanted) -> bool:
        """Whether the next block is after the last that would be of use."""
        return wanted.last_block is not None and await self.head() >= wanted.last_block

    async def send_raw(self, raw: bytes) -> None:
        """Hand it to the endpoint, which may have it already; the second time to all of them, since the first
        may have kept it to itself. Raises RpcError, ChainUnavailable."""
        rpc = self._chain.rpc
        tell = rpc.tell_everybody if raw == self._handed_raw else rpc.call
        self._handed_raw = raw
        try:
            await tell("eth_sendRawTransaction", "0x" + raw.hex())
        except RpcError as error:
            if not is_known_already(error):
                raise

    def send_failure(self, error: RpcError, label: str) -> ChainError:
        """Why the endpoint does not take it."""
        if is_about_funds(error):
            return InsufficientFunds(self._wallet.address, error.message)
        return translate_revert(error, label)

    async def bump(self, sent: Sent, *, is_first: bool) -> None:
        """Send the same again under the same nonce, for the fees of now, and for a tenth more at least."""
        if not is_first:
            await self._clear_the_way(sent)
        try:
            now = await current_fees(self._chain.rpc, self._policy)
        except FeesAboveCap:
            fees = None
        else:
            fees = raised_fees(sent.fields, now, self._policy)
        offered = f"{sent.fields['maxFeePerGas'] / 1e9:.3f} gwei"
        if fees is None:
            if not sent.is_at_cap:
                log.warning(
                    "%s (nonce %d) waits with %s a gas, and more than the cap of %.3f gwei is not offered",
                    *(sent.label, sent.nonce, offered, self._policy.max_fee_wei / 1e9),
                )
            sent.is_at_cap = True
            return
        if is_first:
            log.warning(
                "%s (nonce %d) waits with %s a gas; now %.3f gwei are offered",
                *(sent.label, sent.nonce, offered, fees["maxFeePerGas"] / 1e9),
            )
        fields = {**sent.fields, **fees}
        raw, tx_hash = self._wallet.sign_transaction(fields)
        # Noted before it is sent: if the answer is lost, this may be the one that is mined.
        sent.fields, sent.raw = fields, raw
        if tx_hash not in sent.hashes:
            sent.hashes.append(tx_hash)
        try:
            await self.send_raw(raw)
        except RpcError as error:
            if not is_about_nonce(error) and not is_underpriced(error) and not is_below_base_fee(error):
                raise self.send_failure(error, sent.label) from error

    async def _clear_the_way(self, sent: Sent) -> None:
        """Cancel what holds ours up and nobody here waits for: an earlier process may have left it."""
        first = await self.count("latest")
        if first >= sent.nonce or first in self.waiting:
            return
        log.warning("%s: a transaction with nonce %d is in its way and is cancelled", sent.label, first)
        fields = {
            **{name: sent.fields[name] for name in ("maxFeePerGas", "maxPriorityFeePerGas")},
            **{"type": 2, "chainId": self._chain.chain_id, "nonce": first, "gas": TRANSFER_GAS},
            **{"to": self._wallet.address, "value": 0, "data": b""},
        }
        try:
            await self.send_raw(self._wallet.sign_transaction(fields)[0])
        except RpcError as error:
            log.info("nonce %d is not cancelled: %s", first, error)

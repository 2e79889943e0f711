"""Paid reads: nothing is read that is not paid before, and nothing is paid that cannot be read.

    voucher looked at: signature, credit, vault
    price set aside (in memory)
    first bytes read from the disk        fails: the price is free again
    voucher and what is spent on disk     fails: likewise
    bytes flow

So a kill loses nothing that flowed, and a payer loses at most the requests that were on their way. A request
is served when the highest total that its payer signed, less what all its requests before cost, covers its
price. Requests of one payer may come at once and in any order: what one has set aside is not another's.

A contract wallet is asked at each request whether what counts is signed by it. It may say yes to us and no to
the chain, so what it has read and the chain has not paid is bounded too: by `wallet_credit` and one step.

Decided here: who has credit. Leaves the vault to `vault_funds`, vouchers to `vouchers`, wallets' words to
`wallet_signatures`, redeeming to `redeemer`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

from grange.executors import Executors
from grange.messages import Domain
from grange.types import FarmerId, Voucher
from grange.units import egress_rounded_up
from grange.wire.headers import parse_voucher
from grange.wire.limits import STEP_BYTES
from grange_node.chain.vault_funds import VaultFunds
from grange_node.chain.wallet_signatures import WalletSignatures
from grange_node.errors import Malformed, PaymentNeeded, RangeInvalid, TooBusy
from grange_node.limits.fair_shares import FairShares
from grange_node.limits.networks import Network
from grange_node.payer import Payer, account_of, signer_of
from grange_node.payments.accounts import Accounts
from grange_node.payments.vouchers import PayerAccount, check_signer

MAX_GUEST_BYTES = 64 << 20
"""What others than a slot's own renter may have on its way to them in all, where reading costs nothing; each
network has a share of it."""
MAX_GUEST_BYTES_PER_READER = 16 << 20
"""Of that, what one of them may have: else one that takes its bytes slowly would keep all orders that are
kept here from being mended."""

Earn = Callable[[], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class _Live:
    """A payer with requests on their way. `users` keeps it in memory."""

    account: PayerAccount
    is_read: bool = False
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    reserved: int = 0
    users: int = 0

    @property
    def used(self) -> int:
        return self.account.spent + self.reserved

    def move(self, price: int) -> None:
        """What was set aside is spent."""
        self.reserved -= price
        self.account = replace(self.account, spent=self.account.spent + price)


class PaymentGate:
    """Takes vouchers for reads."""

    def __init__(
        self,
        *,
        domain: Domain,
        farmer: FarmerId,
        price_per_gib: int,
        accounts: Accounts,
        vaults: VaultFunds,
        wallets: WalletSignatures,
        wallet_credit: Callable[[], int],
        executors: Executors,
    ) -> None:
        """`wallet_credit`: what contract wallets may have read, in base units, that was not redeemed yet."""
        self._domain = domain
        self._farmer = farmer
        self._price_per_gib = price_per_gib
        self._accounts = accounts
        self._executors = executors
        self._vaults = vaults
        self._wallets = wallets
        self._wallet_credit = wallet_credit
        self._live: dict[Payer, _Live] = {}
        self._guest_bytes: Counter[Payer] = Counter()
        self._guest_shares = FairShares(MAX_GUEST_BYTES)

    def __len__(self) -> int:
        return len(self._live)

    @asynccontextmanager
    async def admitted(
        self,
        payer: Payer,
        size_bytes: int,
        header: str | None,
        *,
        network: Network,
        is_own: bool,
        most_per_gib: int,
    ) -> AsyncIterator[Earn]:
        """One read, while it lasts. What is yielded is to be awaited before the first byte leaves.

        `network` is that of the reader, `is_own` says whether the slot is its own; it costs `most_per_gib` at
        most, which is what was signed for it. Raises RangeInvalid for
        more than one step, PaymentNeeded, VaultTooSmall, Unauthorised, Malformed, ChainDown; TooBusy where
        others read for nothing, and where a contract wallet's vouchers are to be redeemed first.
        """
        price = egress_rounded_up(min(self._price_per_gib, most_per_gib), size_bytes)
        if (price or not is_own) and size_bytes > STEP_BYTES:
            raise RangeInvalid(f"one request gets {STEP_BYTES} bytes at most", limit=STEP_BYTES)
        if not price:
            with self._as_guest(payer, network, 0 if is_own else size_bytes):
                yield _nothing
            return
        voucher = None if header is None else _read_voucher(header, payer)
        async with self._entered(payer) as live:
            await self._set_aside(live, voucher, price, network)
            earned = False

            async def earn() -> None:
                nonlocal earned
                earned = True
                live.move(price)
                try:
                    await self._executors.in_database(self._accounts.save, live.account)
                except BaseException:
                    earned = False
                    live.move(-price)
                    raise

            try:
                yield earn
            finally:
                if not earned:
                    live.reserved -= price

    def account(self, payer: Payer) -> PayerAccount | None:
        """What a payer stands for at the moment. Blocks; any thread may call."""
        live = self._live.get(payer)
        return live.account if live and live.account.cumulative else self._accounts.account(payer)

    async def _set_aside(self, live: _Live, voucher: Voucher | None, price: int, network: Network) -> None:
        counted = live.account.voucher
        if voucher is not None and _replaces(voucher, counted):
            counted = voucher
            self._check_signer(voucher, live.account.payer)
        total = counted.cumulative
        _require(live, total, price)
        if counted.is_of_wallet:
            # Each time, and not only a new one: it may have changed its mind since.
            await self._wallets.require(counted, network)
        vault = await self._vaults.require(live.account.payer, network, total)
        if not live.account.cumulative:
            # What the chain has paid us was served, though we may have lost the account: an old voucher opens
            # nothing a second time.
            live.account = replace(live.account, spent=vault.redeemed, redeemed=vault.redeemed)
        # Others of the same payer may have come by in the meantime.
        if voucher is not None and _replaces(voucher, live.account.voucher):
            live.account = replace(live.account, cumulative=voucher.cumulative, signature=voucher.signature)
        _require(live, live.account.cumulative, price)
        if counted.is_of_wallet and live.used - vault.redeemed >= self._wallet_credit():
            raise TooBusy(
                "this wallet's vouchers are redeemed before it reads on; try again in a minute",
                unpaid=live.used - vault.redeemed,
            )
        live.reserved += price

    def _check_signer(self, voucher: Voucher, payer: Payer) -> None:
        """By the payer's key. A contract wallet without one is asked later; a delegate's vouchers are its
        own."""
        if not voucher.is_of_wallet or signer_of(payer) != account_of(payer):
            check_signer(voucher, signer_of(payer), self._domain, self._farmer)

    @asynccontextmanager
    async def _entered(self, payer: Payer) -> AsyncIterator[_Live]:
        live = self._live.get(payer)
        if live is None:
            empty = PayerAccount(payer=payer, cumulative=0, signature=b"", spent=0)
            live = self._live[payer] = _Live(account=empty)
        # Here before its account is read: what another request spends meanwhile must not be overlooked.
        live.users += 1
        try:
            async with live.reading:
                if not live.is_read:
                    known = await self._executors.in_database(self._accounts.account, payer)
                    live.account, live.is_read = known or live.account, True
            yield live
        finally:
            live.users -= 1
            if not live.users:
                del self._live[payer]

    @contextmanager
    def _as_guest(self, reader: Payer, network: Network, size_bytes: int) -> Iterator[None]:
        if not size_bytes:
            yield
            return
        refusal = TooBusy("too much is being read for nothing by others than the renter; try again")
        if self._guest_bytes[reader] + size_bytes > MAX_GUEST_BYTES_PER_READER:
            raise refusal
        self._guest_bytes[reader] += size_bytes
        try:
            with self._guest_shares.held(network, size_bytes, refusal):
                yield
        finally:
            self._guest_bytes[reader] -= size_bytes
            if not self._guest_bytes[reader]:
                del self._guest_bytes[reader]


def _read_voucher(header: str, payer: Payer) -> Voucher:
    try:
        return parse_voucher(header, account_of(payer))
    except ValueError as error:
        raise Malformed(f"the Voucher header is {error}") from error


def _replaces(voucher: Voucher, standing: Voucher) -> bool:
    """Whether a voucher counts in place of the one before: if it is higher. Of a contract wallet, one that is
    as high counts too, if it is signed otherwise: the wallet may have another owner now."""
    if voucher.cumulative == standing.cumulative:
        return voucher.is_of_wallet and voucher.signature != standing.signature
    return voucher.cumulative > standing.cumulative


def _require(live: _Live, total: int, price: int) -> None:
    if total - live.used < price:
        raise PaymentNeeded(
            "the voucher does not cover this request and those before it",
            spent=live.used,
            cumulative=total,
            needed=price,
        )


async def _nothing() -> None:
    """What is earned by what costs nothing."""

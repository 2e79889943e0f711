"""Turning vouchers into money, in as few transactions as it pays.

Decides nothing that it could not find out again: what is open stands in `accounts`, what was paid and who
takes its money out stands on the chain, so a kill or a chain that is down costs time only. A payment counts
for good when its block is FINAL_BLOCKS deep; if the block goes before, the voucher is open again. Which
vouchers are worth it says `vouchers.due`; what a vault cannot pay is left out until it can.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from grange.chain import TransactionReverted
from grange.chain.call_sizes import redeem
from grange.chain.confirmations import FINAL_BLOCKS
from grange.errors import GrangeError
from grange.executors import Executors
from grange.units import format_count
from grange_node.chain.farm_market import FarmMarket
from grange_node.chain.vault_funds import Vault, VaultFunds
from grange_node.errors import ChainDown
from grange_node.payer import Payer
from grange_node.payments.accounts import Accounts
from grange_node.payments.vouchers import MAX_VOUCHERS_PER_CALL, PayerAccount, due, least

LAST_TRY_SECONDS = 10.0
MAX_READS = 8
"""Of something that has to be true as of one block, before the next comes."""

log = logging.getLogger("grange.farm")


class Redeemer:
    """Redeems what payers signed."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        market: FarmMarket,
        vaults: VaultFunds,
        redeem_at: int,
        executors: Executors,
    ) -> None:
        """`redeem_at` base units are worth a transaction."""
        self._accounts = accounts
        self._executors = executors
        self._market = market
        self._vaults = vaults
        self._redeem_at = redeem_at
        self._short: dict[Payer, None] = {}
        """Whose vaults were too small, those that were looked at last at the end."""

    async def tick(self) -> None:
        """Redeem what is worth it. Raises ChainError and ChainDown; nothing is lost by that."""
        await self._look_back()
        accounts = await self._executors.in_database(self._accounts.open_accounts)
        accounts = [account for account in accounts if account.open >= least(self._redeem_at)]
        if not accounts:
            return
        leaving = await self._market.leaving([account.payer for account in accounts])
        for payer in leaving:
            self._vaults.forget(payer)
        await self._look_at_short(accounts)
        # Else so many empty vaults as fit a call would keep all others from being asked.
        able = [account for account in accounts if account.payer not in self._short]
        payable = await self._payable(due(able, leaving, self._redeem_at))
        is_leaving = any(account.payer in leaving for account in payable)
        if payable and (is_leaving or sum(payable.values()) >= self._redeem_at):
            worth = sum(payable.values())
            cost = (await self._market.gas_value()).base_units(redeem(len(payable)))
            if worth > cost:
                await self._redeem(list(payable))
            else:
                log.debug("vouchers of %s do not pay for the gas", self._market.unit.exact(worth))

    async def before_stop(self) -> None:
        """One last time, if the chain answers soon."""
        with suppress(GrangeError, TimeoutError):
            async with asyncio.timeout(LAST_TRY_SECONDS):
                await self.tick()

    async def _look_at_short(self, accounts: Sequence[PayerAccount]) -> None:
        """Whether some of those whose vaults were too small can pay now."""
        found = {account.payer: account for account in accounts}
        self._short = {payer: None for payer in self._short if payer in found}
        await self._payable([found[payer] for payer in list(self._short)[:MAX_VOUCHERS_PER_CALL]])

    async def _payable(self, accounts: Sequence[PayerAccount]) -> dict[PayerAccount, int]:
        """Those of whom the chain would pay enough now, and how much."""
        payable = {}
        found = await self._noted([account.payer for account in accounts])
        for account in accounts:
            vault = found[account.payer]
            owed = account.cumulative - vault.redeemed
            was_short = account.payer in self._short
            self._short.pop(account.payer, None)
            if min(owed, vault.balance) >= least(self._redeem_at):
                payable[account] = min(owed, vault.balance)
            elif vault.balance < owed:
                self._short[account.payer] = None
                if was_short:
                    continue
                log.warning(
                    "%s owes %s for reads and has %s",
                    account.payer,
                    self._market.unit.exact(owed),
                    self._market.unit.exact(vault.balance),
                )
        return payable

    async def _redeem(self, accounts: Sequence[PayerAccount]) -> None:
        try:
            receipt = await self._market.redeem([account.voucher for account in accounts])
        except TransactionReverted as error:
            # Somebody else emptied the vaults in the moment between.
            log.warning("the vouchers of %s were refused: %s", format_count(len(accounts), "payer"), error)
            return
        finally:
            for account in accounts:
                self._vaults.forget(account.payer)
        await self._noted([account.payer for account in accounts])
        paid = sum(event.args["amount"] for event in receipt.events if event.name == "Redeemed")
        shown = self._market.unit.exact(paid)
        log.info("redeemed %s of %s", shown, format_count(len(accounts), "payer"))

    async def _look_back(self) -> None:
        """Find out which payments a reorg took back."""
        redemptions = await self._executors.in_database(self._accounts.redemptions)
        if not redemptions:
            return
        head = await self._market.head()
        for (block, block_hash), payers in redemptions.items():
            stands = await self._market.block_hash(block) == block_hash
            if stands and head.number - block < FINAL_BLOCKS:
                continue
            if not stands:
                await self._noted(payers, again=True)
            await self._executors.in_database(self._accounts.forget_redemptions, block, block_hash)

    async def _noted(self, payers: Sequence[Payer], *, again: bool = False) -> dict[Payer, Vault]:
        """What the chain says of payers, written down as of the block that says it: a reorg between question
        and answer would otherwise hide a payment that it took back."""
        for _ in range(MAX_READS):
            head = await self._market.head()
            found = {payer: await self._vaults.ask(payer) for payer in payers}
            if (await self._market.head()).hash == head.hash:
                break
        else:
            raise ChainDown("the chain moves on faster than it can be asked")
        for payer, vault in found.items():
            lost = await self._executors.in_database(
                partial(
                    self._accounts.note_redeemed,
                    payer,
                    vault.redeemed,
                    block=head.number,
                    block_hash=head.hash,
                    again=again,
                )
            )
            if lost:
                shown = self._market.unit.exact(lost)
                log.warning("a reorg took back %s of %s: open again", shown, payer)
        return found

"""Turning vouchers into money, in as few transactions as it pays.

Decides nothing that it could not find out again: what is open stands in `accounts`, what was paid and who
takes its money out stands on the chain, so a kill or a chain that is down costs time only. Which vouchers are
worth it says `vouchers.due`; what a vault cannot pay is left out until it can.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from grange.chain import TransactionReverted
from grange.errors import GrangeError
from grange.types import Address
from grange.units import format_tokens
from grange_node.accounts import Accounts
from grange_node.chain_link import ChainLink
from grange_node.solvency import Solvency
from grange_node.vouchers import PayerAccount, due, least

LAST_TRY_SECONDS = 10.0

log = logging.getLogger("grange.farm")


class Redeemer:
    """Redeems what payers signed."""

    def __init__(self, *, accounts: Accounts, link: ChainLink, solvency: Solvency, redeem_at: int) -> None:
        """`redeem_at` base units are worth a transaction."""
        self._accounts = accounts
        self._link = link
        self._solvency = solvency
        self._redeem_at = redeem_at
        self._short: set[Address] = set()

    async def tick(self) -> None:
        """Redeem what is worth it. Raises ChainError and ChainDown; nothing is lost by that."""
        accounts = await asyncio.to_thread(self._accounts.open_accounts)
        accounts = [account for account in accounts if account.open >= least(self._redeem_at)]
        if not accounts:
            return
        leaving = await self._link.leaving([account.payer for account in accounts])
        for payer in leaving:
            self._solvency.forget(payer)
        chosen = due(accounts, leaving, self._redeem_at)
        if chosen and (payable := await self._payable(chosen)):
            await self._redeem(payable)

    async def before_stop(self) -> None:
        """One last time, if the chain answers soon."""
        with suppress(GrangeError, TimeoutError):
            async with asyncio.timeout(LAST_TRY_SECONDS):
                await self.tick()

    async def _payable(self, accounts: Sequence[PayerAccount]) -> list[PayerAccount]:
        """Those of whom the chain would pay enough now."""
        payable = []
        for account in accounts:
            means = await self._solvency.asked(account.payer)
            await asyncio.to_thread(self._accounts.note_redeemed, account.payer, means.redeemed)
            owed = account.cumulative - means.redeemed
            if min(owed, means.vault) >= least(self._redeem_at):
                payable.append(account)
                self._short.discard(account.payer)
            elif means.vault < owed and account.payer not in self._short:
                self._short.add(account.payer)
                log.warning(
                    "%s owes %s tokens for reads and has %s",
                    account.payer,
                    format_tokens(owed),
                    format_tokens(means.vault),
                )
        return payable

    async def _redeem(self, accounts: Sequence[PayerAccount]) -> None:
        try:
            receipt = await self._link.redeem([account.voucher for account in accounts])
        except TransactionReverted as error:
            # Somebody else emptied the vaults in the moment between.
            log.warning("the vouchers of %d payers were refused: %s", len(accounts), error)
            return
        finally:
            for account in accounts:
                self._solvency.forget(account.payer)
        for account in accounts:
            means = await self._solvency.asked(account.payer)
            await asyncio.to_thread(self._accounts.note_redeemed, account.payer, means.redeemed)
        paid = sum(event.args["amount"] for event in receipt.events if event.name == "Redeemed")
        log.info("redeemed %s tokens of %d payers", format_tokens(paid), len(accounts))

"""Turning vouchers into money, in as few transactions as it pays.

Decides nothing that it could not find out again: what is open stands in `accounts`, what was paid and who
takes its money out stands on the chain, so a kill or a chain that is down costs time only. A payment counts
for good when its block is FINAL_BLOCKS deep; if the block goes before, the voucher is open again. Which
vouchers are worth it says `vouchers.due`; what a vault cannot pay, or what is not worth its part of the gas,
is left out until it is.

Only so many are looked at in a tick. Who was looked at and not redeemed goes to the end of the line: however
many owe much and cannot be redeemed, for whatever reason, the others have their turn before them.

A contract wallet is asked once more before, and left out while it says no. One that says yes to us and no to
the chain is left out until the next start: it costs the gas of one try. Where a whole call fails and has cost
gas, nobody can tell whose answer it was: the wallets in it are redeemed alone from then on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence, Set
from contextlib import suppress
from functools import partial

from grange.chain import TransactionReverted
from grange.chain.call_sizes import redeem, redeemed_voucher
from grange.chain.confirmations import FINAL_BLOCKS
from grange.chain.gas_value import GasValue
from grange.errors import GrangeError
from grange.executors import Executors
from grange.units import format_count
from grange_node.chain.farm_market import FarmMarket
from grange_node.chain.vault_funds import Vault, VaultFunds
from grange_node.chain.wallet_signatures import WalletSignatures
from grange_node.errors import ChainDown
from grange_node.payer import Payer, payer_of
from grange_node.payments.accounts import Accounts
from grange_node.payments.vouchers import PayerAccount, due, least

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
        wallets: WalletSignatures,
        redeem_at: int,
        executors: Executors,
    ) -> None:
        """`redeem_at` base units are worth a transaction."""
        self._wallets = wallets
        self._wallet_cost = 0
        """What redeeming a contract wallet's voucher alone may have cost when one stood last."""
        self._denying: set[Payer] = set()
        """Contract wallets that said no when they were asked last."""
        self._unreliable: set[Payer] = set()
        """Contract wallets that said yes to us and no to the chain."""
        self._suspected: set[Payer] = set()
        """Contract wallets of which one made a call fail."""
        self._accounts = accounts
        self._executors = executors
        self._market = market
        self._vaults = vaults
        self._redeem_at = redeem_at
        self._short: set[Payer] = set()
        """Whose vaults were too small when they were looked at last."""
        self._tried: dict[Payer, None] = {}
        """Who was looked at and not redeemed, those that were looked at last at the end."""

    def wallet_credit(self) -> int:
        """What a contract wallet may have read without the chain having paid it: what is worth redeeming
        alone, in base units. If it changes its mind, that is lost, and one step more."""
        return max(self._redeem_at, self._wallet_cost)

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
        self._forget_all_but({account.payer for account in accounts})
        able = [account for account in accounts if account.payer not in self._unreliable]
        chosen = due(able, leaving, self._redeem_at, tried=list(self._tried))
        if not chosen:
            return
        # Before they are asked: a question that fails keeps nobody from being asked first next time.
        for account in chosen:
            self._tried.pop(account.payer, None)
            self._tried[account.payer] = None
        gas = await self._market.gas_value()
        if any(account.is_of_wallet for account in chosen):
            self._wallet_cost = gas.base_units(redeem(1, wallets=1))
        payable = await self._approved(_worth_their_gas(await self._payable(chosen), gas))
        for group in self._groups(payable):
            if self._is_worth_a_call(group, leaving, gas):
                await self._redeem(list(group))

    def _groups(self, payable: dict[PayerAccount, int]) -> list[dict[PayerAccount, int]]:
        """What can be handed in together: all, but the suspected each alone, after the others."""
        alone = [account for account in payable if account.payer in self._suspected]
        others = {account: amount for account, amount in payable.items() if account not in alone}
        return [others, *({account: payable[account]} for account in alone)]

    def _is_worth_a_call(
        self, payable: dict[PayerAccount, int], leaving: Collection[Payer], gas: GasValue
    ) -> bool:
        worth, wallets = sum(payable.values()), sum(account.is_of_wallet for account in payable)
        is_leaving = any(account.payer in leaving for account in payable)
        if not payable or not (is_leaving or worth >= self._redeem_at):
            return False
        if worth > gas.base_units(redeem(len(payable), wallets=wallets)):
            return True
        log.debug("vouchers of %s do not pay for the gas", self._market.unit.exact(worth))
        return False

    async def before_stop(self) -> None:
        """One last time, if the chain answers soon."""
        with suppress(GrangeError, TimeoutError):
            async with asyncio.timeout(LAST_TRY_SECONDS):
                await self.tick()

    def _forget_all_but(self, payers: Set[Payer]) -> None:
        """What is known of those to whom nothing is open any more."""
        self._tried = {payer: None for payer in self._tried if payer in payers}
        self._short &= payers
        self._denying &= payers
        self._suspected &= payers

    async def _payable(self, accounts: Sequence[PayerAccount]) -> dict[PayerAccount, int]:
        """Those of whom the chain would pay enough now, and how much."""
        payable = {}
        found = await self._noted([account.payer for account in accounts])
        for account in accounts:
            vault = found[account.payer]
            owed = account.cumulative - vault.redeemed
            was_short = account.payer in self._short
            self._short.discard(account.payer)
            if min(owed, vault.balance) >= least(self._redeem_at):
                payable[account] = min(owed, vault.balance)
            elif vault.balance < owed:
                self._short.add(account.payer)
                if was_short:
                    continue
                log.warning(
                    "%s owes %s for reads and has %s",
                    account.payer,
                    self._market.unit.exact(owed),
                    self._market.unit.exact(vault.balance),
                )
        return payable

    async def _approved(self, payable: dict[PayerAccount, int]) -> dict[PayerAccount, int]:
        """Without the contract wallets that do not stand by their vouchers now. Raises ChainDown."""
        approved = {}
        for account, amount in payable.items():
            if account.is_of_wallet:
                if not await self._wallets.stands_by(account.voucher):
                    self._say_denied(account.payer, amount)
                    continue
                self._denying.discard(account.payer)
            approved[account] = amount
        return approved

    def _say_denied(self, payer: Payer, amount: int) -> None:
        if payer not in self._denying:
            self._denying.add(payer)
            log.warning(
                "the contract wallet %s does not call the voucher its own any more by which it owes %s",
                payer,
                self._market.unit.exact(amount),
            )

    async def _redeem(self, accounts: Sequence[PayerAccount]) -> None:
        try:
            receipt = await self._market.redeem([account.voucher for account in accounts])
        except TransactionReverted as error:
            # Somebody else emptied the vaults in the moment between.
            log.warning("the vouchers of %s were refused: %s", format_count(len(accounts), "payer"), error)
            if error.tx_hash is not None and error.name != "NothingToRedeem":
                self._suspect(accounts)
            return
        finally:
            for account in accounts:
                self._vaults.forget(account.payer)
        noted = await self._noted([account.payer for account in accounts])
        # By its signer too: what a wallet's delegate signed is paid from the same vault.
        was_paid = {
            payer_of(event.args["renter"], event.args["signer"])
            for event in receipt.events
            if event.name == "Redeemed"
        }
        for account in accounts:
            if account.payer in was_paid:
                self._tried.pop(account.payer, None)
                self._suspected.discard(account.payer)
            elif account.is_of_wallet and noted[account.payer].balance > 0:
                self._leave_out(account.payer)
        paid = sum(event.args["amount"] for event in receipt.events if event.name == "Redeemed")
        shown = self._market.unit.exact(paid)
        log.info("redeemed %s of %s", shown, format_count(len(accounts), "payer"))

    def _suspect(self, accounts: Sequence[PayerAccount]) -> None:
        """A call of these failed and cost gas, not because there was nothing to pay."""
        wallets = {account.payer for account in accounts if account.is_of_wallet}
        if wallets and len(accounts) == 1:
            self._leave_out(*wallets)
        else:
            self._suspected |= wallets

    def _leave_out(self, wallet: Payer) -> None:
        self._unreliable.add(wallet)
        log.warning(
            "the contract wallet %s called its voucher its own when it was asked, and not when it was to "
            "pay: it is not redeemed again until the farm starts again",
            wallet,
        )

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


def _worth_their_gas(payable: dict[PayerAccount, int], gas: GasValue) -> dict[PayerAccount, int]:
    """Those that bring more than their own part of a call may cost: the others would make it dearer."""
    return {
        account: amount
        for account, amount in payable.items()
        if amount > gas.base_units(redeemed_voucher(is_of_wallet=account.is_of_wallet))
    }

"""What the contract shows against the model, after every call and when everybody has left.

Decides what is compared, and when:

    after every call that went through   what every account and the burn address have in vault, earnings and
                                         wallet and asked to withdraw, and the market's tokens
    after every rule, and every epoch    the same, if only time passed; and all farmers, as the market
    of a season                          lists them
    after every rule                     one farmer's eviction, rates, misses, vouchers and books, and one
                                         order, each in its turn
    before everybody leaves              those of all farmers and orders

When everybody has left the market must be empty, to the last base unit.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis.stateful import invariant

from grange import messages
from grange.chain import Call, calls
from grange.types import Address, Epoch, FarmerId

from .model import BURNT, Market
from .playing import ADDRESSES, RENTERS, STRANGER, Playing


class Checking(Playing):
    """A story that is compared while it is played."""

    def attempt(self, sender: str, call: Call, act: Callable[[Market], None]) -> bool:
        """Play an action on both, and compare. What is refused is not sent, and nothing comes of it."""
        went_through = super().attempt(sender, call, act)
        if went_through:
            self.sound = False
            self._compare_balances()
            self.sound = True
        return went_through

    @invariant()
    def the_contract_is_as_the_model(self) -> None:
        """After a rule that mined anything: everybody, and of one farmer and one order all there is."""
        if not self.sound or self.chain.block == self.seen_block:
            return
        self.compare_everybody()
        self.sound = False
        self.turn += 1
        if self.market.farmers:
            self._compare_farmer(self.turn % len(self.market.farmers) + 1)
        if ids := sorted(self.market.used_ids):
            self._compare_order(ids[self.turn % len(ids)])
        self.seen_block = self.chain.block
        self.sound = True

    def compare_everybody(self) -> None:
        """All balances, if their last comparison is not of this block, and all farmers."""
        self.sound = False
        if self.chain.block != self.compared_block:
            self._compare_balances()
        self._compare_farmers()
        self.sound = True

    def _compare_balances(self) -> None:
        market, ask, tokens = self.market, self.chain.ask, self.chain.tokens
        for account in (*ADDRESSES, BURNT):
            shown = (ask("vault", account), ask("earnings", account), tokens(account))
            expected = (market.vaults[account], market.earnings[account], market.wallets[account])
            assert shown == expected, f"{account} has {shown} in vault, earnings and wallet, not {expected}"
            amount, ready = market.withdrawals.get(account, (0, 0))
            assert ask("withdrawal", account) == {"amount": amount, "ready_epoch": ready}, account
        assert tokens(self.chain.market) == market.tokens
        assert market.tokens == market.owed(), "the market does not hold what it owes"
        self.compared_block = self.chain.block

    def _compare_farmers(self) -> None:
        epoch = self.market.epoch
        shown = self.chain.ask("farmers", 1, 100)
        assert len(shown) == len(self.market.farmers)
        for one, farmer in zip(shown, self.market.farmers, strict=True):
            # Of a farmer that lapsed, what it was committed to when it did: an eviction is about that.
            known_at = epoch if farmer.vacant_from is None else farmer.vacant_from
            expected = {
                "owner": farmer.owner,
                "operator": farmer.operator,
                "endpoint": farmer.endpoint,
                "stake": farmer.stake,
                "committed_rate": 0 if farmer.evicted else farmer.rate_committed(known_at),
                "carried_rate": 0 if farmer.evicted else self.market.rate_carried(farmer, known_at),
                "settled_epoch": self.market.settled_epoch(farmer),
                "misses": len(farmer.missed),
                "strikes": farmer.strikes,
                "epochs_proven": len(farmer.proven),
                "registered_block": farmer.registered_block,
                "ceiling": 0 if farmer.evicted else farmer.ceiling,
                "loss_limit": farmer.loss_limit,
                "lapsed": farmer.vacant_from is not None,
            }
            found = {name: one[name] for name in expected}
            assert found == expected, f"the contract shows {found}, the model {expected}"
            assert not farmer.missed & farmer.proven

    def _compare_farmer(self, number: int) -> None:
        market, ask, farmer = self.market, self.chain.ask, self.market.farmers[number - 1]
        epoch, grid = market.epoch, self.p.grid_epochs
        assert ask("eviction", number) == {
            "vacant_block": (farmer.vacant_from or 0) * self.p.epoch_blocks if farmer.evicted else 0,
            "collateral_epochs": farmer.collateral_epochs,
        }
        for ahead in (epoch, epoch + 1, (epoch // grid + 1) * grid):
            expected = 0 if farmer.vacant_from is not None else farmer.rate_asked(ahead)
            assert ask("rateAt", number, ahead) == expected
        for before in {max(0, epoch - 1), max(0, epoch - self.turn % 9), *sorted(farmer.missed)[-1:]}:
            assert ask("missed", number, before) == (before in farmer.missed)
        for renter in RENTERS:
            signer = ADDRESSES[self.turn % len(ADDRESSES)]
            for one in (renter.address, signer):
                redeemed = market.redeemed[number, renter.address, one]
                assert ask("redeemed", number, renter.address, one) == redeemed
            self._compare_delegation(renter.address, signer)
        for (end, extension), book in self.keeper.books.get(number, {}).items():
            shown = ask("book", number, end, extension)
            if end <= epoch:
                assert not any(shown.values()), "a book is shown after its end"
                continue
            assert (shown["count"], list(shown["peaks"])) == (len(book.entries), book.mountain.peaks)
            assert (shown["rate_before"], shown["rate_added"]) == (book.rate_before, book.rate_added)
            assert shown["added_epoch"] == book.added_epoch
            lost = sum(book.entries[index].rate for index in book.lost_epochs)
            assert shown["lost_before"] + shown["lost_added"] == lost
            assert shown["front_before"] + shown["front_added"] == book.front_at_start(Epoch(epoch + 1))

    def _compare_delegation(self, account: str, delegate: str) -> None:
        one, epoch = self.market.delegations[account, delegate], self.market.epoch
        assert self.chain.ask("delegation", account, delegate) == {
            "per_epoch": one.per_epoch,
            "in_all": one.in_all,
            "until_epoch": one.until,
            "spent_in_epoch": one.spent.get(epoch, 0),
            "spent": sum(one.spent.values()),
            "left_for_orders": one.left_for_orders(epoch),
            "left_for_vouchers": one.left_for_vouchers(epoch, self.p.withdraw_delay_epochs),
        }

    def _compare_order(self, order_id: bytes) -> None:
        shown = self.chain.ask("order", order_id)
        order = self.market.orders.get(order_id)
        if order is None:
            assert (int(shown["renter"], 16), shown["slots_hash"]) == (0, bytes(32))
            return
        held = self.held(order_id)
        assert shown == {
            "renter": order.renter,
            "from": order.start,
            "end": order.end,
            "k": order.k,
            "n": len(order.slots),
            "hand_overs": order.hand_overs(self.p.grid_epochs),
            "mandate": order.shown_mandate,
            "slots_hash": messages.slots_hash(held.leaf_count, held.piece_leaves, held.slots),
        }
        for tenure in order.slots:
            loss = self.chain.ask("loss", order_id, tenure.slot, tenure.start)
            assert loss["lost_epoch"] == (tenure.lost_epoch or 0)
            assert loss["collateral"] == tenure.lost_collateral_epochs * tenure.rate

    def teardown(self) -> None:
        try:
            if self.sound:
                self._everybody_leaves()
        finally:
            while self.marks:
                self.marks.pop()
            self.chain.go_back(self.start)

    def _everybody_leaves(self) -> None:
        """Orders are closed, farmers leave, all money is taken out, to other accounts: nothing is left."""
        for number in range(1, len(self.market.farmers) + 1):
            self._compare_farmer(number)
        for order_id in sorted(self.market.used_ids):
            self._compare_order(order_id)
        last = max((order.end for order in self.market.orders.values()), default=0)
        self.pass_blocks(last * self.p.epoch_blocks - self.chain.block)
        for order_id in sorted(self.market.orders):
            call = calls.close(self.held(order_id))
            assert self.attempt(STRANGER.address, call, lambda m, o=order_id: m.close(STRANGER.address, o))  # type: ignore[misc]
        if self.market.bonds:
            self.pass_blocks(self.p.epoch_blocks)
        for giver, taker, epoch in sorted(self.market.bonds):
            call = calls.release(FarmerId(giver), FarmerId(taker), Epoch(epoch))
            assert self.attempt(
                STRANGER.address, call, lambda m, g=giver, t=taker, e=epoch: m.release(g, t, e)
            )  # type: ignore[misc]
        for number in range(1, len(self.market.farmers) + 1):
            self._leave(number)
        to_another = list(zip(ADDRESSES, ADDRESSES[1:] + ADDRESSES[:1], strict=True))
        for account, to in to_another:
            if amount := self.market.earnings[account]:
                call = calls.claim(Address(to), amount)
                assert self.attempt(account, call, lambda m, a=account, t=to, x=amount: m.claim(a, t, x))  # type: ignore[misc]
            if self.market.vaults[account]:
                amount = 2**200
                call = calls.request_withdrawal(amount)
                assert self.attempt(account, call, lambda m, a=account, x=amount: m.request_withdrawal(a, x))  # type: ignore[misc]
        self.pass_blocks((self.p.withdraw_delay_epochs + 1) * self.p.epoch_blocks)
        for account, to in to_another:
            if self.market.vaults[account]:
                call = calls.withdraw(Address(to))
                assert self.attempt(account, call, lambda m, a=account, t=to: m.withdraw(a, t))  # type: ignore[misc]
        if self.market.earnings[BURNT]:
            assert self.attempt(STRANGER.address, calls.burn(), lambda m: m.burn())
        self.compare_everybody()
        assert (self.market.tokens, self.market.escrow) == (0, 0), "something is stuck"

    def _leave(self, number: int) -> None:
        farmer = self.market.farmers[number - 1]
        if farmer.vacant_from is None:
            owner, stake = farmer.owner, farmer.stake
            if stake:
                call = calls.unstake(FarmerId(number), stake)
                assert self.attempt(owner, call, lambda m: m.unstake(owner, number, stake))
            else:
                self.attempt(STRANGER.address, calls.settle(FarmerId(number)), lambda m: m.settle(number))
        elif not farmer.evicted:
            call = calls.evict(FarmerId(number))
            assert self.attempt(STRANGER.address, call, lambda m: m.evict(STRANGER.address, number))

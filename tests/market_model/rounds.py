"""Rounds of a story, in which each call of the market has its turn: by players who may make it, and by some
who may not.

Chance alone leaves out what needs several steps before, such as giving back what a hand-over bound. Amounts,
players and slots are still drawn; what must agree is compared as in every story.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hypothesis import strategies as st

from grange.chain import Call, Wallet, calls
from grange.types import Address, Epoch, FarmerId, MandateTerms, OrderId

from .errands import actors
from .model import MAX_RATE, Mandate, Market
from .playing import ADDRESSES, OFFER, RENTERS, STRANGER
from .story import Story

LIVING_FARMERS: Final = 4
STAKE: Final = 500_000
UNKNOWN_MANDATE: Final = 4_711


class Rounds(Story):
    """A story that can be played in rounds."""

    def play_round(self, data: st.DataObject) -> None:
        """Every call, by somebody whom it is allowed, and by somebody to whom it is not."""
        for turn in (
            self._refused_turn,
            self._money_turn,
            self._farmers_turn,
            self._orders_turn,
            self._passing_turn,
            self._renewal_turn,
            self._lapse_turn,
        ):
            self._fill_up(data)
            turn(data)
            self.compare_everybody()

    def _fill_up(self, data: st.DataObject) -> None:
        """Farmers join until enough of them are there, and everybody proves."""
        missing = LIVING_FARMERS - sum(one.vacant_from is None for one in self.market.farmers)
        for _ in range(missing):
            stake = data.draw(st.integers(60_000, 100_000), label="stake")
            self.join(stake=stake, permitted="good", owner=RENTERS[0])
        for number, farmer in enumerate(self.market.farmers, 1):
            if farmer.vacant_from is None and farmer.stake < STAKE:
                call = calls.add_stake(FarmerId(number), STAKE)
                self.attempt(
                    STRANGER.address,
                    call,
                    lambda m, n=number: m.add_stake(STRANGER.address, n, STAKE),  # type: ignore[misc]
                )
        self.pass_to_next_epoch()
        self.prove_all_but(frozenset())

    def _place_some(self, data: st.DataObject, count: int) -> None:
        """Orders that begin in the epoch in which this ends."""
        for _ in range(count):
            self.deposit(None, RENTERS[0].address, 200_000)
            self.place(data, RENTERS[0], RENTERS[0].address, leaf_count=2, dates=2, off=0, k=1)
        self.pass_to_next_epoch()
        self.prove_all_but(frozenset())

    def _refused_turn(self, data: st.DataObject) -> None:
        """What must be refused whatever happened before, each by its name."""
        stranger, nobody = STRANGER.address, len(self.market.farmers) + 1
        account = data.draw(actors, label="account")
        no_terms = MandateTerms(
            highest_price=1,
            highest_egress_price=1,
            fee=1,
            until=Epoch(0),
            term_epochs=1,
            total=1,
        )
        no_mandate = Mandate(highest_price=1, highest_egress_price=1, fee=1, until=0, term_epochs=1, left=1)
        book = FarmerId(nobody), Epoch(self.p.grid_epochs * 10**6)
        epoch = Epoch(self.next_epoch)
        self.new_farmer(RENTERS[0].address, RENTERS[1].address, 100_000, honest=False)
        refused: list[tuple[Call, Callable[[Market], None]]] = [
            (calls.deposit(0), lambda m: m.deposit(account, 0)),
            (calls.request_withdrawal(0), lambda m: m.request_withdrawal(account, 0)),
            (calls.claim(Address(stranger), 0), lambda m: m.claim(account, stranger, 0)),
            (
                calls.deposit_with_permit(self.permit(account, 0, honest=True)),
                lambda m: m.deposit_with_permit(account, 0, honest=True),
            ),
            (calls.prove(FarmerId(nobody), epoch, []), lambda m: m.prove(nobody, epoch)),
            (
                calls.update_farmer(FarmerId(nobody), endpoint="", offer=OFFER),
                lambda m: m.update_farmer(account, nobody, ""),
            ),
            (
                calls.set_operator(
                    FarmerId(nobody),
                    Address(account),
                    consent=self.consent(account, account, nobody, honest=True),
                    void_former=True,
                ),
                lambda m: m.set_operator(account, nobody, account, void_former=True, consented=True),
            ),
            (calls.settle(FarmerId(nobody)), lambda m: m.settle(nobody)),
            (calls.add_stake(FarmerId(nobody), 1), lambda m: m.add_stake(account, nobody, 1)),
            (calls.unstake(FarmerId(nobody), 1), lambda m: m.unstake(account, nobody, 1)),
            (
                calls.set_limits(FarmerId(nobody), ceiling=1, loss_limit=1),
                lambda m: m.set_limits(account, nobody, 1, 1),
            ),
            (calls.evict(FarmerId(nobody)), lambda m: m.evict(account, nobody)),
            (calls.cut_front(*book, []), lambda m: m.cut_front(nobody, book[1], False, [])),
            (calls.declare_loss(*book, []), lambda m: m.declare_loss(account, nobody, book[1], False, [])),
            (
                calls.authorize(Address(account), per_epoch=1, in_all=1, until_epoch=Epoch(1)),
                lambda m: m.authorize(account, account, 1, 1, 1),
            ),
            (calls.redeem(FarmerId(1), []), lambda m: m.redeem(1, [])),
            (
                calls.give_mandate(0, no_terms),
                lambda m: m.give_mandate(account, 0, no_mandate, orders=[], revoked=[]),
            ),
            (calls.cover_orders(UNKNOWN_MANDATE, []), lambda m: m.cover_orders(account, UNKNOWN_MANDATE, [])),
            (
                calls.revoke_mandates([UNKNOWN_MANDATE]),
                lambda m: m.revoke_mandates(account, [UNKNOWN_MANDATE]),
            ),
            (
                calls.release(FarmerId(1), FarmerId(nobody), Epoch(1)),
                lambda m: m.release(1, nobody, 1),
            ),
        ]
        for call, act in refused:
            assert not self.attempt(account, call, act), call.function

    def _money_turn(self, data: st.DataObject) -> None:
        renter, amount = RENTERS[0].address, data.draw(st.integers(1, 40_000), label="amount")
        self.deposit(None, renter, amount)
        for _ in range(2):
            self._deposit_with_permit(data, renter, amount)
            self._burn(data, renter, amount)
            self._withdraw(data, renter, amount)
        call = calls.request_withdrawal(1)
        self.attempt(renter, call, lambda m: m.request_withdrawal(renter, 1))
        self.live_to(self.chain.block + (self.p.withdraw_delay_epochs + 1) * self.p.epoch_blocks)
        out = calls.withdraw(Address(STRANGER.address))
        self.attempt(renter, out, lambda m: m.withdraw(renter, STRANGER.address))
        self.redeem(data=data, signed=[(RENTERS[1], amount, None)])
        for _ in range(3):
            self._record_seed(data, renter, amount)
            self.pass_blocks(1)
        for account in ADDRESSES:
            self._claim(data, account, 1)

    def _farmers_turn(self, data: st.DataObject) -> None:
        account, amount = data.draw(actors, label="account"), data.draw(st.integers(1, 900), label="amount")
        for errand in (
            self._join,
            self._update_farmer,
            self._set_operator,
            self._add_stake,
            self._unstake,
            self._set_limits,
            self._settle,
            self._authorize,
        ):
            for _ in range(2):
                errand(data, account, amount)
        for number, farmer in enumerate(self.market.farmers, 1):
            if farmer.vacant_from is None:
                owner, know = farmer.owner, FarmerId(number)
                self.attempt(
                    owner,
                    calls.set_limits(know, ceiling=MAX_RATE, loss_limit=MAX_RATE),
                    lambda m, o=owner, n=number: m.set_limits(o, n, MAX_RATE, MAX_RATE),  # type: ignore[misc]
                )
                self.attempt(
                    owner,
                    calls.unstake(know, 1),
                    lambda m, o=owner, n=number: m.unstake(o, n, 1),  # type: ignore[misc]
                )

    def _orders_turn(self, data: st.DataObject) -> None:
        """Of an account, of one by its delegate, and with permits; some that end off the grid."""
        self.new_farmer(RENTERS[1].address, RENTERS[1].address, 100_000, permitted="bad")
        self.new_farmer(RENTERS[1].address, RENTERS[1].address, 100_000, permitted="good")
        for sender, permitted, off in (
            (None, "none", 0),
            (None, "none", 1),
            (None, "good", 0),
            (None, "bad", 0),
            (STRANGER.address, "none", 0),
            (STRANGER.address, "none", 1),
        ):
            self.place_order(
                data=data,
                renter=RENTERS[1],
                sender=sender,
                leaf_count=data.draw(st.integers(1, 3), label="leaves"),
                early=data.draw(st.integers(0, 1), label="early"),
                off=off,
                k=1,
                permitted=permitted,  # type: ignore[arg-type]
            )
        account, delegate = RENTERS[1].address, STRANGER.address
        until = self.next_epoch + 20
        self.deposit(None, account, 10**6)
        self.attempt(
            account,
            calls.authorize(Address(delegate), per_epoch=10**7, in_all=10**9, until_epoch=Epoch(until)),
            lambda m: m.authorize(account, delegate, 10**7, 10**9, until),
        )
        for _ in range(2):
            self.place(data, RENTERS[1], delegate, leaf_count=2, dates=2, off=0, k=1)
            self.close(data=data, caller=STRANGER.address, wait=False)

    def _cover_with_newest(self, data: st.DataObject, renter: Wallet) -> None:
        """All of the renter's orders, whoever covers them now."""
        known = [one for account, one in self.market.mandates if account == renter.address]
        orders = sorted(
            key
            for key, one in self.market.orders.items()
            if one.renter == renter.address and not one.extended
        )
        number = known[-1]
        call = calls.cover_orders(number, [OrderId(one) for one in orders])
        self.attempt(renter.address, call, lambda m: m.cover_orders(renter.address, number, orders))

    def _passing_turn(self, data: st.DataObject) -> None:
        stranger = STRANGER.address
        self._place_some(data, 2)
        for slip in (1, 1, 1, 0):
            self.hand_over(data=data, caller=stranger, honest=1, slip=slip, proves=1)
            self.recover(data=data, caller=stranger, slip=slip, proves=1)
            self.cut_front(data=data, caller=stranger, slip=slip)
            if self.market.bonds:
                self.release(data=data, caller=stranger, known=1, wait=0)
        self.declare_loss(data=data, caller=stranger, owner=1, again=1)
        while self.market.bonds:
            before = len(self.market.bonds)
            self.release(data=data, caller=stranger, known=1, wait=2)
            if len(self.market.bonds) == before:
                break

    def _lapse_turn(self, data: st.DataObject) -> None:
        """One does not prove until it lapses; it is evicted, and others have its slots."""
        self.place_order(
            data=data, renter=RENTERS[0], sender=None, leaf_count=2, early=0, off=0, k=1, permitted="none"
        )
        self.pass_to_next_epoch()
        self.prove_all_but(frozenset())
        holders = sorted({one.farmer for one in self._kept_now(self.p.max_misses + 4)}) or [1]
        lazy = frozenset([data.draw(st.sampled_from(holders), label="lazy")])
        for _ in range(self.p.max_misses + 1):
            self.pass_to_next_epoch()
            self.prove_all_but(lazy)
        self.evict(data=data, caller=STRANGER.address)
        for _ in range(2):
            self.refill_vacant(
                data=data, many=True, caller=STRANGER.address, repairer=STRANGER.address, wait=0
            )
            self.evict(data=data, caller=STRANGER.address)
        self.refill_any(data=data, caller=STRANGER.address, repairer=STRANGER.address, honest=1, slot=0)

    def _renewal_turn(self, data: st.DataObject) -> None:
        """Extended by renters and strangers; what is over is closed."""
        self._place_some(data, 4)
        for number, renter in enumerate(RENTERS):
            self.give_mandate(
                data=data,
                renter=renter,
                number=self.salts + 20 + number,
                rate=600,
                egress=MAX_RATE,
                fee=10,
                dates=9,
                terms=1,
                off=0,
                total=(1 << 128) - 1,
            )
            self._cover_with_newest(data, renter)
        if self._covered():
            for wait in (0, 1, 1):
                self.extend_by_mandate(
                    data=data,
                    caller=STRANGER.address,
                    extender=STRANGER.address,
                    wait=wait,
                    left_out=0,
                    slip="none",
                )
        for slip, permitted in (("none", "none"), ("none", "good"), ("none", "bad"), ("root", "none")):
            if self.market.orders:
                self.extend(data=data, dates=1, same=True, slip=slip, wait=1, permitted=permitted)  # type: ignore[arg-type]
        good = sorted(key for key, one in self.market.mandates.items() if not one.revoked)
        for account, number in good[:1] if len(good) > 1 else []:
            self.revoke_mandate(renter=account, number=number, chance=0)
        if self.market.orders:
            self.close(data=data, caller=STRANGER.address, wait=True)

"""Turns of a story, in each of which some calls are refused and then go through, whatever happened before.

Chance alone hardly reaches what needs several steps before it, such as giving back what a hand-over bound.
Here the steps are taken one by one, with farmers who can be relied on. All turns together make each call of
the market and have each refused; a random story takes some of them, and goes on from where they lead.
"""

from __future__ import annotations

from contextlib import suppress

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from grange import messages
from grange.chain import Wallet, calls
from grange.types import Address, Epoch, FarmerId, OrderId

from .company import MOST_IN_ALL, Company, NotAsMeant
from .keeper import key_of
from .model import BURNT
from .playing import OFFER, OPERATORS, OWNERS, RENTERS, STRANGER
from .stage import FUNDS
from .story import rates

NOBODYS = 10**6
"""The number of a farmer that there is not."""

stranger = STRANGER.address


class Turns(Company):
    """A story that takes turns."""

    NAMES = ("farmers", "money", "orders", "passing", "mandates", "lapse")

    @initialize(
        data=st.data(),
        stakes=st.lists(st.integers(10_000, 100_000), min_size=4, max_size=5),
        wait=st.integers(0, 30),
        names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=2),
        rate=rates,
    )
    def open_with_turns(
        self, *, data: st.DataObject, stakes: list[int], wait: int, names: list[str], rate: int
    ) -> None:
        """What chance does then, it does in a market in which something has happened."""
        self.open(data, stakes, wait)
        for number, name in enumerate(names):
            self.take(name, RENTERS[number], rate)

    @precondition(lambda self: len(self.market.farmers) < MOST_IN_ALL)
    @rule(name=st.sampled_from(NAMES), renter=st.sampled_from(RENTERS), rate=rates)
    def take(self, name: str, renter: Wallet, rate: int) -> None:
        """One of them, as far as chance left the market in a state for it."""
        with suppress(NotAsMeant):
            self.play_turn(name, renter, rate)

    def play_turn(self, name: str, renter: Wallet, rate: int) -> None:
        """One of them, to its end. Raises NotAsMeant."""
        getattr(self, f"turn_of_{name}")(renter, rate)

    def turn_of_money(self, renter: Wallet, rate: int) -> None:
        """Paid in, taken out, and spent by others."""
        account = renter.address
        self.refused(account, calls.deposit(0), lambda m: m.deposit(account, 0))
        self.made(account, calls.deposit(rate), lambda m: m.deposit(account, rate))

        much = 2 * FUNDS
        bad = calls.deposit_with_permit(self.permit(account, much, honest=False))
        self.refused(account, bad, lambda m: m.deposit_with_permit(account, much, honest=False))
        good = calls.deposit_with_permit(self.permit(account, rate, honest=True))
        self.made(account, good, lambda m: m.deposit_with_permit(account, rate, honest=True))
        self.approve_again(account)

        until = self.next_epoch + 2
        for delegate, can in ((account, self.refused), (stranger, self.made)):
            call = calls.authorize(Address(delegate), per_epoch=1, in_all=1, until_epoch=Epoch(until))
            can(account, call, lambda m, d=delegate: m.authorize(account, d, 1, 1, until))  # type: ignore[misc]

        self.refused(stranger, calls.redeem(FarmerId(1), []), lambda m: m.redeem(1, []))
        total = self.market.redeemed[1, account, account] + 1
        voucher = messages.sign_voucher(
            self.chain.domain,
            renter.private_key,
            farmer=FarmerId(1),
            cumulative=total,
            renter=renter.address,
        )
        redeem = calls.redeem(FarmerId(1), [voucher])
        self.made(stranger, redeem, lambda m: m.redeem(1, [(account, total, account)]))

        self.stay_in_epoch(2)
        self.refused(account, calls.request_withdrawal(0), lambda m: m.request_withdrawal(account, 0))
        self.made(account, calls.request_withdrawal(1), lambda m: m.request_withdrawal(account, 1))
        withdraw = calls.withdraw(Address(stranger))
        self.refused(account, withdraw, lambda m: m.withdraw(account, stranger))
        self.live_to((self.next_epoch + self.p.withdraw_delay_epochs) * self.p.epoch_blocks)
        self.made(account, withdraw, lambda m: m.withdraw(account, stranger))

    def turn_of_farmers(self, renter: Wallet, rate: int) -> None:
        """One joins, and another with a permit; what concerns one alone."""
        owner, operator, stake = OWNERS[0].address, OPERATORS[0].address, self.p.min_stake + rate
        self.must(not self.new_farmer(owner, operator, stake, honest=False))
        self.must(self.new_farmer(owner, operator, stake))
        self.must(not self.new_farmer(owner, operator, stake, permitted="bad"))
        self.must(self.new_farmer(owner, operator, stake, permitted="good"))
        number, other = len(self.market.farmers), OPERATORS[1].address
        known = FarmerId(number)

        for caller, can in ((stranger, self.refused), (owner, self.made)):
            call = calls.update_farmer(known, endpoint="elsewhere", offer=OFFER)
            can(caller, call, lambda m, c=caller: m.update_farmer(c, number, "elsewhere"))  # type: ignore[misc]
            call = calls.set_limits(known, ceiling=rate, loss_limit=rate)
            can(caller, call, lambda m, c=caller: m.set_limits(c, number, rate, rate))  # type: ignore[misc]
            call = calls.unstake(known, 1)
            can(caller, call, lambda m, c=caller: m.unstake(c, number, 1))  # type: ignore[misc]
            consent = self.consent(other, caller, number, honest=True)
            call = calls.set_operator(known, Address(other), consent=consent, void_former=True)
            can(  # type: ignore[operator]
                caller,
                call,
                lambda m, c=caller: m.set_operator(c, number, other, void_former=True, consented=True),  # type: ignore[misc]
            )

        self.refused(stranger, calls.add_stake(known, 0), lambda m: m.add_stake(stranger, number, 0))
        self.made(stranger, calls.add_stake(known, rate), lambda m: m.add_stake(stranger, number, rate))
        self.refused(stranger, calls.settle(FarmerId(NOBODYS)), lambda m: m.settle(NOBODYS))
        self.made(stranger, calls.settle(known), lambda m: m.settle(number))
        self._record_seed_early_and_late()

    def _record_seed_early_and_late(self) -> None:
        """In an epoch's first block its hash is not known yet; then it is, and is the seed."""
        blocks = self.p.epoch_blocks
        self.pass_blocks(blocks - 1 - self.chain.block % blocks)
        self.refused(stranger, calls.record_seed(), lambda m: m.record_seed())
        self.pass_blocks(1)
        epoch = self.next_epoch
        self.made(stranger, calls.record_seed(), lambda m: m.record_seed())
        first = self.chain.evm.block(epoch * blocks)
        assert first is not None
        assert self.chain.ask("seed", epoch) == first.hash

    def turn_of_orders(self, renter: Wallet, rate: int) -> None:
        """Placed in each way there is, proven, extended and closed."""
        account, company = renter.address, self.able_farmers(2, rate)
        end, until = self.end_after(4), self.next_epoch + 20
        self.made(
            account,
            calls.authorize(Address(stranger), per_epoch=0, in_all=0, until_epoch=Epoch(until)),
            lambda m: m.authorize(account, stranger, 0, 0, until),
        )
        self.must(not self.fill_for(renter, company, end, rate, k=9))
        first = self.order_of(renter, company, end, rate)
        self.must(not self.fill_for(renter, company, end, rate, permitted="bad"))
        second = self.order_of(renter, company, end, rate, permitted="good")
        self.must(not self.fill_for(renter, company, end, rate, sender=stranger))
        self.made(
            account,
            calls.authorize(Address(stranger), per_epoch=10**9, in_all=10**12, until_epoch=Epoch(until)),
            lambda m: m.authorize(account, stranger, 10**9, 10**12, until),
        )
        self.must(self.fill_for(renter, company, end, rate, sender=stranger))

        close, early = calls.close(self.held(first)), self.next_epoch
        self.refused(stranger, close, lambda m: m.close(stranger, first))
        self.begin_epoch(company, calls_after=1)
        again = calls.prove(FarmerId(company[0]), Epoch(early), [])
        self.refused(stranger, again, lambda m: m.prove(company[0], early))
        owner = self.market.farmers[company[0] - 1].owner
        for amount, can in ((0, self.refused), (1, self.made)):
            call = calls.claim(Address(stranger), amount)
            can(owner, call, lambda m, a=amount: m.claim(owner, stranger, a))  # type: ignore[misc]

        self.live_on((end - self.p.grid_epochs) * self.p.epoch_blocks, company)
        self.must(not self.extension_of(first, other_root=True))
        self.must(self.extension_of(first))
        self.must(not self.extension_of(second, permitted="bad"))
        self.must(self.extension_of(second, permitted="good"))
        self.live_on(end * self.p.epoch_blocks, company)
        close = calls.close(self.held(first))
        self.made(stranger, close, lambda m: m.close(stranger, first))

    def turn_of_passing(self, renter: Wallet, rate: int) -> None:
        """Handed over, lost and taken back, lost and given to others."""
        a, b, c, d = company = self.able_farmers(4, rate)
        end = self.end_after(7)
        three = self.order_of(renter, [a, b, c], end, rate)
        two = self.order_of(renter, [a, b], end, rate)
        owners = {one: self.market.farmers[one - 1].owner for one in company}

        self.begin_epoch([a, b, c], calls_after=1)
        passed = self.slot(three, 2)
        self.must(not self.hand_over_slot(stranger, c, passed, d, honest=True))
        epoch = self.next_epoch
        self.must(self.hand_over_slot(owners[c], c, passed, d, honest=True))
        release = calls.release(FarmerId(c), FarmerId(d), Epoch(epoch))
        self.refused(stranger, release, lambda m: m.release(c, d, epoch))

        self.begin_epoch([a, b, c, d], calls_after=2)
        lost = self.slot(three, 1)
        self.must(not self.lose(stranger, b, end, False, [key_of(lost)]))
        self.must(self.lose(owners[b], b, end, False, [key_of(lost)]))
        self.must(not self.take_back(stranger, lost))
        self.must(self.take_back(owners[b], lost))

        self.begin_epoch([a, b, c, d], calls_after=2)
        self.made(stranger, release, lambda m: m.release(c, d, epoch))
        # The second of its book goes before the first, so that it stays to be cut off.
        keys = [key_of(self.slot(two, 0)), key_of(self.slot(three, 0))]
        self.must(self.lose(owners[a], a, end, False, keys))
        self.must(not self.cut(stranger, a, end, False, keys[1:]))
        self.must(self.cut(stranger, a, end, False, keys[:1]))

        self.begin_epoch([b, c, d], calls_after=1)
        self.must(not self.refill(two, [(1, c)], stranger, stranger, honest=True))
        self.must(self.refill(two, [(0, c)], stranger, stranger, honest=True))

    def turn_of_mandates(self, renter: Wallet, rate: int) -> None:
        """An order goes on by its renter's mandate, until that is revoked."""
        account, company = renter.address, self.able_farmers(2, rate)
        end = self.end_after(2)
        order = self.order_of(renter, company, end, rate)
        number = 100 + len(self.market.mandates)
        self.must(not self.give_wide_mandate(renter, 0, []))
        self.must(self.give_wide_mandate(renter, number, []))
        for mandate, can in ((number + 1, self.refused), (number, self.made)):
            call = calls.cover_orders(mandate, [OrderId(order)])
            can(account, call, lambda m, n=mandate: m.cover_orders(account, n, [order]))  # type: ignore[misc]

        self.live_on((end - self.p.grid_epochs) * self.p.epoch_blocks, company)
        self._pay_in(account, 2 * rate * self.p.grid_epochs + 10)
        self.must(not self.extend_covered(None, order, stranger, stranger, slip="dear"))
        self.must(self.extend_covered(None, order, stranger, stranger))
        for mandate, can in ((number + 1, self.refused), (number, self.made)):
            call = calls.revoke_mandates([mandate])
            can(account, call, lambda m, n=mandate: m.revoke_mandates(account, [n]))  # type: ignore[misc]

    def turn_of_lapse(self, renter: Wallet, rate: int) -> None:
        """One proves nothing until it lapses; another has its slot, and the fines are burnt."""
        lazy, diligent, spare = company = self.able_farmers(3, rate)
        end = self.end_after(self.p.max_misses + 3)
        order = self.order_of(renter, [lazy, diligent], end, rate)
        evict = calls.evict(FarmerId(lazy))
        self.refused(stranger, evict, lambda m: m.evict(stranger, lazy))
        for _ in range(self.p.max_misses + 1):
            self.live_on(self.chain.block + self.p.epoch_blocks, company, frozenset([lazy]))
        self.made(stranger, evict, lambda m: m.evict(stranger, lazy))
        self.must(not self.refill(order, [(0, diligent)], stranger, stranger, honest=True))
        self.must(self.refill(order, [(0, spare)], stranger, stranger, honest=True))
        self.must(self.market.earnings[BURNT])
        self.made(stranger, calls.burn(), lambda m: m.burn())
        self.refused(stranger, calls.burn(), lambda m: m.burn())

"""Farmers in a story on whom one can rely, whatever happened before.

Decides who they are, and how time passes with them: they prove first, and miss nothing. What is done with
them is made to go through, and a test fails where it does not. `turns` has what that is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from grange.chain import Call, Wallet, calls
from grange.types import FarmerId

from .model import MAX_RATE, Market, Tenure
from .playing import OPERATORS, OWNERS, STRANGER, PermitKind
from .story import Story

MOST_IN_ALL = 12
"""Farmers of a story, those included that left or lapsed. With more everything is slow and nothing is new."""


class NotAsMeant(Exception):
    """The contract did what the model says, but that is not what the turn was to show."""


class Company(Story):
    """A story with farmers to rely on."""

    def must(self, is_so: object) -> None:
        """Raises NotAsMeant unless the newest call went as it was meant to go."""
        if not is_so:
            raise NotAsMeant(f"the newest call ended with {self.outcome}")

    def made(self, sender: str, call: Call, act: Callable[[Market], None]) -> None:
        """Play what is to go through."""
        self.must(self.attempt(sender, call, act))

    def refused(self, sender: str, call: Call, act: Callable[[Market], None]) -> None:
        """Play what is to be refused."""
        self.must(not self.attempt(sender, call, act))

    # who there is

    def able_farmers(self, count: int, rate: int) -> list[int]:
        """Farmers that keep nothing and can take a few slots at the rate; they join if they must."""
        numbers = range(1, len(self.market.farmers) + 1)
        able = [one for one in numbers if self._is_free(one)][:count]
        while len(able) < count:
            turn = len(self.market.farmers)
            owner, operator = OWNERS[turn % 2].address, OPERATORS[turn % 3].address
            self.must(self.new_farmer(owner, operator, self.p.min_stake))
            able.append(len(self.market.farmers))
        for one in able:
            self._make_able(one, rate)
        return able

    def _is_free(self, number: int) -> bool:
        farmer = self.market.farmers[number - 1]
        keeps = any(one.end > self.next_epoch for one in farmer.tenures)
        return farmer.vacant_from is None and not farmer.strikes and not keeps

    def _make_able(self, number: int, rate: int) -> None:
        """Without limits, and with stake for six slots more."""
        farmer, known = self.market.farmers[number - 1], FarmerId(number)
        if (farmer.ceiling, farmer.loss_limit) != (MAX_RATE, MAX_RATE):
            call = calls.set_limits(known, ceiling=MAX_RATE, loss_limit=MAX_RATE)
            owner = farmer.owner
            self.made(owner, call, lambda m: m.set_limits(owner, number, MAX_RATE, MAX_RATE))
        missing = self.p.collateral_epochs * 6 * rate - farmer.stake
        if missing > 0:
            call = calls.add_stake(known, missing)
            self.made(STRANGER.address, call, lambda m: m.add_stake(STRANGER.address, number, missing))

    # time

    def stay_in_epoch(self, calls_to_come: int) -> None:
        """Wait for the next epoch if so many transactions would not be in one."""
        first, last = self.chain.block + 1, self.chain.block + calls_to_come
        if first // self.p.epoch_blocks != last // self.p.epoch_blocks:
            self.pass_to_next_epoch()

    def begin_epoch(self, company: Sequence[int], *, calls_after: int) -> None:
        """All of the company prove the next epoch, which then has so many transactions left at least."""
        self.pass_to_next_epoch()
        self.keep_up(company)
        left = self.p.epoch_blocks - 1 - self.chain.block % self.p.epoch_blocks
        assert left >= calls_after, "so many proofs leave no time"

    def keep_up(self, company: Sequence[int]) -> None:
        """What they did not prove of this epoch yet they prove: several calls may have led into it."""
        if (self.chain.block + 1) % self.p.epoch_blocks == 0:
            self.pass_blocks(1)
        for one in company:
            self.must(not self.is_asked(one) or self.prove(one))

    def live_on(self, block: int, company: Sequence[int], lazy: frozenset[int] = frozenset()) -> None:
        """Let time pass up to a block; the company proves, and others if there is time."""
        self.live_to(block, first=[one for one in company if one not in lazy], lazy=lazy)

    # orders

    def end_after(self, epochs: int) -> int:
        """The first date on which an order of so many whole epochs can end."""
        grid = self.p.grid_epochs
        return -(-(self.next_epoch + 1 + epochs) // grid) * grid

    def fill_for(
        self,
        renter: Wallet,
        company: Sequence[int],
        end: int,
        rate: int,
        *,
        sender: str | None = None,
        permitted: PermitKind = "none",
        k: int = 1,
    ) -> bytes | None:
        """An order of the renter, with a slot for each of some farmers, for which it pays in; None if that is
        refused."""
        account = renter.address
        self.keep_up(company)
        self._pay_in(account, rate * len(company) * (end - self.next_epoch))
        offers = [
            (one, rate, self.keeper.make(b"%d %d" % (self.salts, number), 2), True, True)
            for number, one in enumerate(company)
        ]
        return self.fill(account, end, (2, 1, k), offers, sender=sender or account, permitted=permitted)

    def order_of(
        self,
        renter: Wallet,
        company: Sequence[int],
        end: int,
        rate: int,
        *,
        permitted: PermitKind = "none",
    ) -> bytes:
        """The same, which must go through."""
        order = self.fill_for(renter, company, end, rate, permitted=permitted)
        self.must(order is not None)
        assert order is not None
        return order

    def extension_of(
        self, previous: bytes, *, permitted: PermitKind = "none", other_root: bool = False
    ) -> bytes | None:
        """The same slots for another period, by the renter; None if that is refused."""
        old, grid = self.market.orders[previous], self.p.grid_epochs
        self.keep_up([one.farmer for one in old.slots])
        self._pay_in(old.renter, sum(one.rate for one in old.slots) * grid)
        offers = [
            (one.farmer, one.rate, bytes(32) if other_root else one.root, True, True) for one in old.slots
        ]
        shape = (old.leaf_count, old.piece_leaves, old.k)
        return self.fill(
            old.renter, old.end + grid, shape, offers, previous, sender=old.renter, permitted=permitted
        )

    def _pay_in(self, account: str, amount: int) -> None:
        self.made(account, calls.deposit(amount), lambda m: m.deposit(account, amount))

    def slot(self, order_id: bytes, number: int) -> Tenure:
        """The tenure that a slot of an order is in."""
        return self.market.orders[order_id].slots[number]

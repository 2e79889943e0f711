"""The market's rules in plain Python: an oracle for the contract, and nothing else.

Written from what the rules say, not from how the contract keeps them. Every epoch is judged when it is over,
for every farmer and every slot; nothing is settled later by subtraction. There are no books, rings, bitmaps
or mountains: a farmer's slots are a list. Who signed is the caller's to say. Refusals carry the name of the
contract's error, in the order in which the contract looks.

Of the contract's laziness only one thing shows in a balance: fines are credited to the burnt account when
somebody records them. `Farmer.recorded_epoch` and `Farmer.fines_unrecorded` follow that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from grange.types import Parameters

BURNT = "0x000000000000000000000000000000000000dEaD"
MAX_DEAD_SHARE = 32
MAX_RATE = (1 << 80) - 1
MAX_AMOUNT = (1 << 256) - 1
MAX_STAKE = (1 << 96) - 1
CEILING_DIGITS = 18
MAX_WITHDRAWAL = (1 << 224) - 1
MAX_SLOTS = 80
MAX_ENDPOINT_BYTES = 256
MAX_PIECE_LEAVES = 2048
EXTENDED = (1 << 16) - 1
LEAF_BYTES = 512
NOBODY = 0
"""In place of a farmer, where a slot began vacant."""


class Refused(Exception):
    """The rules forbid it; `name` is that of the contract's error."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(slots=True, kw_only=True, eq=False)
class Tenure:
    """One farmer's time with one slot, of an order that ends with `end`."""

    order: bytes
    slot: int
    farmer: int
    root: bytes
    rate: int
    max_egress_price_per_gib: int
    start: int
    end: int
    extension: bool
    lost_epoch: int | None = None
    handed_over: bool = False
    """Whether it was passed on, and not lost: it leaves nothing."""
    cut_epoch: int | None = None
    """The last in which positions of it are drawn, if it and all before it in its book were lost."""
    lost_block: int = 0
    lost_collateral_epochs: int = 0

    def kept_in(self, epoch: int) -> bool:
        """Whether it is asked for and paid in the epoch: begun, not over, not lost before."""
        return self.start <= epoch < self.end and (self.lost_epoch is None or epoch <= self.lost_epoch)


@dataclass(slots=True, kw_only=True, eq=False)
class Farmer:
    """A farmer and all it ever kept."""

    owner: str
    operator: str
    endpoint: str
    stake: int
    registered_epoch: int
    registered_block: int
    recorded_epoch: int
    proven: set[int] = field(default_factory=set)
    missed: set[int] = field(default_factory=set)
    strikes: int = 0
    vacant_from: int | None = None
    tenures: list[Tenure] = field(default_factory=list)
    fines_unrecorded: int = 0
    evicted: bool = False
    collateral_epochs: int = 0
    former_operator: str = ""
    former_until: int = 0
    ceiling: int = MAX_RATE
    loss_limit: int = MAX_RATE
    lost_by_operator: dict[int, int] = field(default_factory=dict)
    """By epoch: what counts against the limit."""
    carried: dict[int, int] = field(default_factory=dict)
    """By the date on which they begin: of its extensions, what takes the place of slots of its own."""

    def book(self, end: int, extension: bool) -> list[Tenure]:
        """All that ends together, in the order in which it came."""
        return [one for one in self.tenures if (one.end, one.extension) == (end, extension)]

    def front(self, end: int, extension: bool) -> Tenure | None:
        """The first of a book that is not cut off."""
        return next((one for one in self.book(end, extension) if one.cut_epoch is None), None)

    def rate_asked(self, epoch: int) -> int:
        return sum(one.rate for one in self.tenures if one.kept_in(epoch))

    def rate_committed(self, epoch: int) -> int:
        """What is kept in the epoch or later, and not given up."""
        return sum(one.rate for one in self.tenures if epoch < one.end and one.lost_epoch is None)

    def rate_ending(self, date: int) -> int:
        """What is kept until a date, and not given up."""
        return sum(one.rate for one in self.tenures if one.end == date and one.lost_epoch is None)


@dataclass(slots=True, kw_only=True, eq=False)
class Order:
    """An order that is not closed, with the tenure that each slot is in."""

    renter: str
    start: int
    end: int
    k: int
    leaf_count: int
    piece_leaves: int
    slots: list[Tenure]
    allows_hand_over: bool = True
    handed_over: dict[int, int] = field(default_factory=dict)
    """By grid period: how many of its slots."""
    mandate: int = 0
    extended: bool = False

    def hand_overs(self, grid_epochs: int) -> int:
        """As the contract shows them: how many in the last period, when that was, whether they may be."""
        period = max(self.handed_over, default=self.end // grid_epochs)
        left = self.end // grid_epochs - period
        return self.allows_hand_over << 11 | left << 7 | self.handed_over.get(period, 0)

    @property
    def shown_mandate(self) -> int:
        """As the contract shows it."""
        return EXTENDED if self.extended else self.mandate


@dataclass(slots=True, kw_only=True, eq=False)
class Mandate:
    """What a renter lets others do with its orders."""

    highest_price: int
    highest_egress_price: int
    fee: int
    until: int
    term_epochs: int
    left: int
    revoked: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Delegation:
    """What a delegate may spend of an account's vault, and what it spent in which epoch."""

    per_epoch: int = 0
    in_all: int = 0
    until: int = 0
    former: tuple[int, int] = (0, 0)
    former_until: int = 0
    spent: dict[int, int] = field(default_factory=dict)

    def left(self, epoch: int, per_epoch: int, in_all: int) -> int:
        """What is left in the epoch of two limits."""
        return max(0, min(per_epoch - self.spent.get(epoch, 0), in_all - sum(self.spent.values())))

    def left_for_orders(self, epoch: int) -> int:
        return self.left(epoch, self.per_epoch, self.in_all) if epoch < self.until else 0

    def left_for_vouchers(self, epoch: int, delay: int) -> int:
        now = self.left(epoch, self.per_epoch, self.in_all) if epoch < self.until + delay else 0
        return max(now, self.left(epoch, *self.former) if epoch < self.former_until else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """One slot of an order to be: who accepted what, and whether the right key signed it."""

    farmer: int
    root: bytes
    rate: int
    max_egress_price_per_gib: int
    deadline_block: int
    signer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotAssignment:
    """One takeover, and by which key it was signed."""

    slot: int
    farmer: int
    deadline_block: int
    signer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What became of a tenure: money for the renter, and of the farmer's stake what the slot has."""

    refund: int
    compensation: int
    collateral: int
    vacant_block: int | None


class Market:
    """The whole market, at one block."""

    def __init__(self, parameters: Parameters, *, block: int, wallets: dict[str, int]) -> None:
        self.p = parameters
        self.block = block
        self.wallets: defaultdict[str, int] = defaultdict(int, wallets)
        self.allowances: dict[str, int] = dict(wallets)
        """What the market may pull from whom."""
        self.vaults: defaultdict[str, int] = defaultdict(int)
        self.earnings: defaultdict[str, int] = defaultdict(int)
        self.withdrawals: dict[str, tuple[int, int]] = {}
        self.redeemed: defaultdict[tuple[int, str, str], int] = defaultdict(int)
        """By farmer, renter and signer."""
        self.delegations: defaultdict[tuple[str, str], Delegation] = defaultdict(Delegation)
        """By account and delegate."""
        self.farmers: list[Farmer] = []
        self.orders: dict[bytes, Order] = {}
        self.bonds: dict[tuple[int, int, int], tuple[int, int]] = {}
        """By giver, taker and epoch of hand-overs: what is bound, and the rate."""
        self.mandates: dict[tuple[str, int], Mandate] = {}
        self.used_ids: set[bytes] = set()
        self.escrow = 0
        """What was prepaid and not yet paid out, and what orders have of stakes."""
        self.tokens = 0
        """What the market holds in all."""
        self.told: list[tuple[str, dict[str, Any]]] = []
        """Events about money that moved: the story empties it."""

    # time

    @property
    def epoch(self) -> int:
        return self.block // self.p.epoch_blocks

    def advance(self, block: int) -> None:
        """Let time pass; every epoch that ends is judged."""
        while self.epoch < block // self.p.epoch_blocks:
            for farmer in self.farmers:
                self._judge(farmer, self.epoch)
            self.block = (self.epoch + 1) * self.p.epoch_blocks
        self.block = block

    def date_after(self, epoch: int) -> int:
        """The next date of the grid."""
        return (epoch // self.p.grid_epochs + 1) * self.p.grid_epochs

    def rate_carried(self, farmer: Farmer, epoch: int) -> int:
        """Of what the farmer is committed to, what begins on the next date in place of what it keeps now."""
        return farmer.carried.get(self.date_after(epoch), 0)

    def rate_answered(self, farmer: Farmer, epoch: int) -> int:
        """What the farmer's stake must answer for: what is carried counts once."""
        return farmer.rate_committed(epoch) - self.rate_carried(farmer, epoch)

    def _judge(self, farmer: Farmer, epoch: int) -> None:
        if farmer.vacant_from is not None or epoch in farmer.proven or not farmer.rate_asked(epoch):
            return
        farmer.missed.add(epoch)
        farmer.strikes += 1
        backed = sum(one.rate for one in farmer.tenures if one.kept_in(epoch) and one.lost_epoch is None)
        farmer.stake -= (self.p.penalty + self.p.fine) * backed
        assert farmer.stake >= 0, "a miss that the stake cannot pay"
        self.escrow += self.p.penalty * backed
        farmer.fines_unrecorded += self.p.fine * backed
        needed = self.p.collateral_epochs * self.rate_answered(farmer, epoch)
        if farmer.strikes >= self.p.max_misses or 2 * farmer.stake < needed:
            farmer.vacant_from = epoch + 1

    def settled_epoch(self, farmer: Farmer) -> int:
        """The last epoch of which all is known."""
        if farmer.vacant_from is not None:
            return farmer.vacant_from - 1
        return max(farmer.registered_epoch, self.epoch - 1, *farmer.proven, 0)

    def _record(self, farmer: Farmer) -> None:
        """Somebody's call about the farmer: what it missed is now written down."""
        farmer.recorded_epoch = max(farmer.recorded_epoch, self.settled_epoch(farmer))
        self.earnings[BURNT] += farmer.fines_unrecorded
        farmer.fines_unrecorded = 0

    # balances

    def deposit(self, caller: str, amount: int) -> None:
        if amount == 0:
            raise Refused("ZeroAmount")
        self.vaults[caller] += amount
        self._pull(caller, amount)

    def use_permit(self, caller: str, amount: int, needed: int, *, honest: bool) -> None:
        """One that is not good is an error only if it is missed."""
        if honest:
            self.allowances[caller] = amount
        elif self.allowances[caller] < needed:
            raise Refused("PermitRefused")

    def deposit_with_permit(self, caller: str, amount: int, *, honest: bool) -> None:
        self.use_permit(caller, amount, amount, honest=honest)
        self.deposit(caller, amount)

    def request_withdrawal(self, caller: str, amount: int) -> None:
        if amount == 0:
            raise Refused("ZeroAmount")
        if amount > MAX_WITHDRAWAL:
            raise Refused("AmountTooLarge")
        self.withdrawals[caller] = (amount, self.epoch + self.p.withdraw_delay_epochs)

    def withdraw(self, caller: str, to: str) -> None:
        amount, ready = self.withdrawals.get(caller, (0, 0))
        if amount == 0:
            raise Refused("NothingRequested")
        if self.epoch < ready:
            raise Refused("WithdrawalNotReady")
        if self.vaults[caller] == 0:
            raise Refused("VaultTooSmall")
        amount = min(amount, self.vaults[caller])
        del self.withdrawals[caller]
        self._debit(caller, caller, amount)
        self._push(to, amount)

    def claim(self, caller: str, to: str, amount: int) -> None:
        if amount == 0:
            raise Refused("ZeroAmount")
        if self.earnings[caller] < amount:
            raise Refused("EarningsTooSmall")
        self.earnings[caller] -= amount
        self._push(to, amount)

    def burn(self) -> None:
        self.claim(BURNT, BURNT, self.earnings[BURNT])

    def authorize(self, caller: str, delegate: str, per_epoch: int, in_all: int, until: int) -> None:
        if delegate == caller:
            raise Refused("BadDelegate")
        one, epoch, delay = self.delegations[caller, delegate], self.epoch, self.p.withdraw_delay_epochs
        limits, ends = [(0, 0)], [0]
        for kept, end in (
            ((one.per_epoch, one.in_all), min(epoch, one.until) + delay),
            (one.former, one.former_until),
        ):
            if epoch < end:
                limits.append(kept)
                ends.append(end)
        one.former = max(kept[0] for kept in limits), max(kept[1] for kept in limits)
        one.former_until = max(ends)
        one.per_epoch, one.in_all, one.until = per_epoch, in_all, until

    def _debit(self, account: str, spender: str, amount: int, *, owed: bool = False) -> None:
        """The one way out of a vault; `owed` for vouchers."""
        one = self.delegations[account, spender]
        if spender != account:
            if not owed and self.epoch >= one.until:
                raise Refused("NotDelegate")
            delay = self.p.withdraw_delay_epochs
            left = one.left_for_vouchers(self.epoch, delay) if owed else one.left_for_orders(self.epoch)
            if amount > left:
                raise Refused("DelegateLimitExceeded")
            one.spent[self.epoch] = one.spent.get(self.epoch, 0) + amount
            spent = sum(one.spent.values())
            self._tell("DelegateSpent", account=account, delegate=spender, amount=amount, spent=spent)
        if self.vaults[account] < amount:
            raise Refused("VaultTooSmall")
        self.vaults[account] -= amount

    def redeem(self, farmer_id: int, vouchers: Iterable[tuple[str, int, str]]) -> None:
        """Vouchers are renter, running total, and who signed it."""
        farmer = self._farmer(farmer_id)
        total = 0
        is_forged = False
        for renter, cumulative, signer in vouchers:
            one = self.delegations[renter, signer]
            if signer != renter and not one.in_all and not one.former[1]:
                is_forged = True
                continue
            amount = max(0, min(cumulative - self.redeemed[farmer_id, renter, signer], self.vaults[renter]))
            if signer != renter:
                delay = self.p.withdraw_delay_epochs
                amount = min(amount, one.left_for_vouchers(self.epoch, delay))
            if not amount:
                continue
            self._debit(renter, signer, amount, owed=True)
            self.redeemed[farmer_id, renter, signer] += amount
            total += amount
            self._tell(
                "Redeemed",
                farmer=farmer_id,
                renter=renter,
                signer=signer,
                amount=amount,
                redeemed=self.redeemed[farmer_id, renter, signer],
            )
        if total == 0:
            raise Refused("VoucherForged" if is_forged else "NothingToRedeem")
        self.earnings[farmer.owner] += total

    def _tell(self, name: str, **args: Any) -> None:
        self.told.append((name, args))

    def _pull(self, caller: str, amount: int) -> None:
        if self.allowances[caller] < amount:
            raise Refused("ERC20InsufficientAllowance")
        if self.wallets[caller] < amount:
            raise Refused("ERC20InsufficientBalance")
        self.allowances[caller] -= amount
        self.wallets[caller] -= amount
        self.tokens += amount

    def _push(self, to: str, amount: int) -> None:
        self.tokens -= amount
        self.wallets[to] += amount

    # farmers

    def register(
        self, caller: str, owner: str, operator: str, endpoint: str, stake: int, *, consented: bool
    ) -> None:
        if stake < self.p.min_stake:
            raise Refused("StakeBelowLeast")
        if caller != operator and not consented:
            raise Refused("ConsentForged")
        if stake > MAX_STAKE:
            raise Refused("StakeTooLarge")
        self.farmers.append(
            Farmer(
                owner=owner,
                operator=operator,
                endpoint=endpoint,
                stake=stake,
                registered_epoch=self.epoch,
                registered_block=self.block,
                recorded_epoch=self.epoch,
            )
        )
        self._pull(caller, stake)

    def update_farmer(self, caller: str, farmer_id: int, endpoint: str) -> None:
        farmer = self._farmer(farmer_id)
        if caller not in (farmer.owner, farmer.operator):
            raise Refused("NotOwnerOrOperator")
        if len(endpoint) > MAX_ENDPOINT_BYTES:
            raise Refused("EndpointTooLong")
        farmer.endpoint = endpoint

    def set_operator(
        self, caller: str, farmer_id: int, operator: str, *, void_former: bool, consented: bool
    ) -> None:
        farmer = self._farmer(farmer_id)
        if caller != farmer.owner:
            raise Refused("NotOwner")
        if caller != operator and not consented:
            raise Refused("ConsentForged")
        farmer.former_operator = farmer.operator
        farmer.former_until = 0 if void_former else self.block + self.p.former_operator_blocks
        farmer.operator = operator

    def set_limits(self, caller: str, farmer_id: int, ceiling: int, loss_limit: int) -> None:
        farmer = self._farmer(farmer_id)
        if caller != farmer.owner:
            raise Refused("NotOwner")
        if farmer.vacant_from is not None:
            raise Refused("FarmerLapsed")
        self._record(farmer)
        digits = max(0, ceiling.bit_length() - CEILING_DIGITS)
        farmer.ceiling = ceiling if ceiling == MAX_RATE else ceiling >> digits << digits
        farmer.loss_limit = loss_limit

    def add_stake(self, caller: str, farmer_id: int, amount: int) -> None:
        farmer = self._farmer(farmer_id)
        if farmer.vacant_from is not None:
            raise Refused("FarmerLapsed")
        if amount == 0:
            raise Refused("ZeroAmount")
        if amount > MAX_STAKE - farmer.stake:
            raise Refused("StakeTooLarge")
        self._record(farmer)
        farmer.stake += amount
        self._pull(caller, amount)

    def unstake(self, caller: str, farmer_id: int, amount: int) -> None:
        farmer = self._farmer(farmer_id)
        if caller != farmer.owner:
            raise Refused("NotOwner")
        if amount == 0:
            raise Refused("ZeroAmount")
        if farmer.vacant_from is not None:
            raise Refused("FarmerLapsed")
        if amount == MAX_AMOUNT:
            amount = farmer.stake
        committed = farmer.rate_committed(self.epoch)
        lost_now = any(one.lost_epoch == self.epoch for one in farmer.tenures)
        leaves = amount == farmer.stake and not committed
        leaves = leaves and not (lost_now and self.settled_epoch(farmer) < self.epoch)
        answered = self.rate_answered(farmer, self.epoch)
        needed = 0 if leaves else max(self.p.collateral_epochs * answered, self.p.min_stake)
        if farmer.stake - amount < needed:
            raise Refused("StakeNotFree")
        self._record(farmer)
        if leaves:
            farmer.vacant_from = self.settled_epoch(farmer) + 1
        farmer.stake -= amount
        self.earnings[caller] += amount

    def settle(self, farmer_id: int) -> None:
        self._record(self._farmer(farmer_id))

    def record_seed(self) -> None:
        """Of this epoch; the hash of its first block is known from the second on."""
        if self.block == self.epoch * self.p.epoch_blocks:
            raise Refused("SeedUnavailable")

    def prove(self, farmer_id: int, epoch: int) -> None:
        """The farmer has all that it keeps, and shows it."""
        if epoch != self.epoch:
            raise Refused("EpochNotCurrent")
        farmer = self._farmer(farmer_id)
        if farmer.registered_epoch == epoch or epoch in farmer.proven:
            raise Refused("EpochSettled")
        if farmer.vacant_from is not None:
            raise Refused("FarmerLapsed")
        pay = farmer.rate_asked(epoch)
        if pay == 0:
            raise Refused("NothingToProve")
        if self.block == epoch * self.p.epoch_blocks:
            raise Refused("SeedUnavailable")
        farmer.proven.add(epoch)
        self._record(farmer)
        farmer.strikes = max(0, farmer.strikes - 1)
        self.escrow -= pay
        self.earnings[farmer.owner] += pay
        self._tell("Proven", farmer=farmer_id, epoch=epoch, amount=pay)

    def declare_loss(
        self, caller: str, farmer_id: int, end: int, extension: bool, lost: Sequence[Tenure]
    ) -> None:
        """Give up tenures that are all in the book of `end`."""
        farmer = self._farmer(farmer_id)
        if caller not in (farmer.owner, farmer.operator):
            raise Refused("NotOwnerOrOperator")
        if not lost:
            raise Refused("NoLoss")
        if farmer.vacant_from is not None:
            raise Refused("FarmerLapsed")
        if end <= self.epoch:
            raise Refused("NoSuchBook")
        committed = farmer.rate_committed(self.epoch)
        stake, answered = farmer.stake, self.rate_answered(farmer, self.epoch)
        epochs = min(farmer.stake // committed, self.p.collateral_epochs) if committed else 0
        for one in lost:
            if one.start > self.epoch:
                raise Refused("SlotNotBegun")
            if one.lost_epoch is not None:
                raise Refused("AlreadyLost")
            one.lost_epoch, one.lost_block, one.lost_collateral_epochs = self.epoch, self.block, epochs
            if farmer.front(end, extension) is one:
                one.cut_epoch = self.epoch
            farmer.stake -= epochs * one.rate
            self.escrow += epochs * one.rate
            self._tell(
                "LossDeclared",
                order=one.order,
                farmer=farmer_id,
                slot=one.slot,
                **{"from": one.start},
                lost_epoch=self.epoch,
                collateral=epochs * one.rate,
            )
        self._use_allowance(caller, farmer, sum(one.rate for one in lost))
        self._check_book(farmer, end, extension)
        self._check_covered(farmer, stake, answered)
        self._record(farmer)

    def _check_covered(self, farmer: Farmer, stake: int, answered: int) -> None:
        """After slots were given up: what is carried in their place is no more; the rest is covered as well
        as before, by `stake` for the rate `answered`, or fully."""
        carried, date = self.rate_carried(farmer, self.epoch), self.date_after(self.epoch)
        if not carried:
            return
        farmer.carried[date] = min(carried, farmer.rate_ending(date))
        rate = self.rate_answered(farmer, self.epoch)
        as_well_as_before = farmer.stake * answered >= stake * rate
        if not as_well_as_before and farmer.stake < self.p.collateral_epochs * rate:
            raise Refused("StakeTooSmall")

    def _use_allowance(self, caller: str, farmer: Farmer, rate: int) -> None:
        if caller == farmer.owner or farmer.loss_limit == MAX_RATE:
            return
        used = farmer.lost_by_operator.get(self.epoch, 0) + rate
        if used > farmer.loss_limit:
            raise Refused("LossLimitExceeded")
        farmer.lost_by_operator[self.epoch] = used

    def _check_book(self, farmer: Farmer, end: int, extension: bool) -> None:
        book = farmer.book(end, extension)
        self._check_alive(book, all_lost_is_fine=True)
        self._check_alive([one for one in book if one.start <= self.epoch + 1], all_lost_is_fine=True)

    def cut_front(self, farmer_id: int, end: int, extension: bool, cut: Sequence[Tenure]) -> None:
        """Cut tenures off that were lost, and stand before all that is not."""
        if not cut:
            raise Refused("NoLoss")
        if end <= self.epoch:
            raise Refused("NoSuchBook")
        farmer = self._farmer(farmer_id)
        for one in cut:
            if one.lost_epoch is None or farmer.front(end, extension) is not one:
                raise Refused("NotAtFront")
            one.cut_epoch = self.epoch

    def evict(self, caller: str, farmer_id: int) -> None:
        farmer = self._farmer(farmer_id)
        if farmer.vacant_from is None:
            raise Refused("NotLapsed")
        if farmer.evicted:
            raise Refused("AlreadyEvicted")
        self._evict(caller, farmer_id)

    def _evict(self, caller: str, farmer_id: int) -> None:
        farmer = self._farmer(farmer_id)
        assert farmer.vacant_from is not None
        self._record(farmer)
        vacant = farmer.rate_committed(farmer.vacant_from)
        reward = min(farmer.stake, vacant)
        rest = farmer.stake - reward
        most = self.p.collateral_epochs
        farmer.collateral_epochs = min(rest // vacant, most) if vacant else most
        left = rest - farmer.collateral_epochs * vacant
        self.earnings[farmer.owner if farmer.collateral_epochs == most else BURNT] += left
        self.escrow += farmer.collateral_epochs * vacant
        self.earnings[caller] += reward
        farmer.stake = 0
        farmer.evicted = True
        self._tell(
            "Evicted",
            farmer=farmer_id,
            by=caller,
            vacant_from=farmer.vacant_from,
            collateral_epochs=farmer.collateral_epochs,
            reward=reward,
        )

    def _farmer(self, farmer_id: int) -> Farmer:
        if not 1 <= farmer_id <= len(self.farmers):
            raise Refused("UnknownFarmer")
        return self.farmers[farmer_id - 1]

    def _check_alive(self, book: Sequence[Tenure], *, all_lost_is_fine: bool) -> None:
        total = sum(one.rate for one in book if one.cut_epoch is None)
        alive = sum(one.rate for one in book if one.lost_epoch is None)
        if alive * MAX_DEAD_SHARE < total and not (all_lost_is_fine and alive == 0):
            raise Refused("BookMostlyLost")

    # orders

    def place(
        self,
        caller: str,
        account: str,
        order: bytes,
        *,
        end: int,
        shape: tuple[int, int, int],
        offered: Sequence[Offered],
    ) -> None:
        """`shape` is leaf count, piece leaves and k."""
        start = self.epoch + 1
        cost = self._fill(account, order, start=start, end=end, shape=shape, offered=offered, old=None)
        self._pay(account, caller, cost)

    def extend(
        self,
        caller: str,
        previous: bytes,
        *,
        order: bytes,
        end: int,
        shape: tuple[int, int, int],
        offered: Sequence[Offered],
    ) -> None:
        old = self._extensible(previous, len(offered))
        if shape != (old.leaf_count, old.piece_leaves, old.k):
            raise Refused("OtherShape")
        if [one.root for one in offered] != [one.root for one in old.slots]:
            raise Refused("OtherRoot")
        if caller != old.renter and [one.farmer for one in offered] != [one.farmer for one in old.slots]:
            raise Refused("NotHolder")
        start = old.end
        cost = self._fill(old.renter, order, start=start, end=end, shape=shape, offered=offered, old=old)
        self._pay(old.renter, caller, cost)

    def _extensible(self, previous: bytes, count: int) -> Order:
        """The order that is extended with so many acceptances, if it can be now."""
        old = self._order(previous)
        if count != len(old.slots):
            raise Refused("OtherShape")
        if old.end != self.date_after(self.epoch):
            raise Refused("NotInLastPeriod")
        if old.extended:
            raise Refused("AlreadyExtended")
        return old

    # mandates

    def give_mandate(
        self,
        caller: str,
        number: int,
        given: Mandate,
        *,
        orders: Sequence[bytes],
        revoked: Sequence[int],
    ) -> None:
        if number in (0, EXTENDED) or (caller, number) in self.mandates:
            raise Refused("MandateExists")
        grid = self.p.grid_epochs
        can_be_placed = 0 < given.term_epochs < self.p.max_books * grid and given.term_epochs % grid == 0
        if not can_be_placed or given.until % grid or given.until <= self.epoch:
            raise Refused("BadMandateTerms")
        self.mandates[caller, number] = given
        self._cover(caller, number, orders)
        self.revoke_mandates(caller, revoked)

    def cover_orders(self, caller: str, number: int, orders: Sequence[bytes]) -> None:
        if number:
            self._mandate(caller, number)
        self._cover(caller, number, orders)

    def revoke_mandates(self, caller: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._mandate(caller, number).revoked = True

    def extend_by_mandate(
        self, previous: bytes, *, order: bytes, offered: Sequence[Offered], extender: str
    ) -> None:
        """Farmer NOBODY where a slot begins vacant."""
        old = self._extensible(previous, len(offered))
        mandate = self.mandates.get((old.renter, old.mandate))
        if mandate is None or mandate.revoked:
            raise Refused("NotCovered")
        if old.end >= mandate.until:
            raise Refused("MandateOver")
        end = min(old.end + mandate.term_epochs, mandate.until)
        highest = -(-mandate.highest_price * old.leaf_count * LEAF_BYTES // (1 << 30))
        cost = mandate.fee
        vacant = 0
        for kept, one in zip(old.slots, offered, strict=True):
            if one.root != kept.root:
                raise Refused("OtherRoot")
            if one.rate > highest:
                raise Refused("RateAboveMandate")
            if one.max_egress_price_per_gib > mandate.highest_egress_price:
                raise Refused("EgressPriceAboveMandate")
            if one.farmer == NOBODY:
                vacant += 1
                if one.rate != min(kept.rate, highest):
                    raise Refused("OtherRate")
                if one.max_egress_price_per_gib != min(
                    kept.max_egress_price_per_gib, mandate.highest_egress_price
                ):
                    raise Refused("OtherEgressPrice")
                cost += self._set_aside(one.rate, end - old.end)
            elif one.farmer != kept.farmer:
                raise Refused("NotHolder")
        too_early = self.epoch < old.end - (self.p.grid_epochs + 1) // 2
        if vacant and (vacant > (len(old.slots) - old.k) // 2 or too_early):
            raise Refused("TooManyVacant")
        shape = (old.leaf_count, old.piece_leaves, old.k)
        cost += self._fill(
            old.renter,
            order,
            start=old.end,
            end=end,
            shape=shape,
            offered=offered,
            old=old,
            by_mandate=True,
        )
        if cost > mandate.left:
            raise Refused("MandateSpent")
        mandate.left -= cost
        self._pay(old.renter, old.renter, cost)
        self.escrow -= mandate.fee
        self.earnings[extender] += mandate.fee
        self._tell("ExtendedByMandate", order=order, extender=extender)

    def _mandate(self, caller: str, number: int) -> Mandate:
        mandate = self.mandates.get((caller, number))
        if mandate is None or mandate.revoked:
            raise Refused("NoMandate")
        return mandate

    def _cover(self, caller: str, number: int, orders: Sequence[bytes]) -> None:
        for order_id in orders:
            order = self._order(order_id)
            if order.renter != caller:
                raise Refused("NotRenter")
            if order.extended:
                raise Refused("AlreadyExtended")
            order.mandate = number

    def _set_aside(self, rate: int, epochs: int) -> int:
        """For a slot that begins vacant: the most that its bounty can be."""
        return rate * min((self.p.penalty + self.p.fine) * epochs, self.p.collateral_epochs) // 2

    def _pay(self, account: str, spender: str, cost: int) -> None:
        self._debit(account, spender, cost)
        self.escrow += cost

    def refill(
        self, caller: str, order_id: bytes, repairer: str, assignments: Sequence[SlotAssignment]
    ) -> None:
        if not assignments:
            raise Refused("NothingToRefill")
        order = self._order(order_id)
        start = self.epoch + 1
        if start >= order.end:
            raise Refused("OrderEnding")
        if start < order.start:
            raise Refused("OrderNotBegun")
        for one in assignments:
            if one.slot >= len(order.slots):
                raise Refused("NoSuchSlot")
            if one.farmer in [tenure.farmer for tenure in order.slots]:
                raise Refused("DuplicateFarmer")
            tenure = order.slots[one.slot]
            ending = self._end(caller, tenure, start)
            if ending.vacant_block is None:
                raise Refused("SlotNotVacant")
            bounty = self._bounty(tenure.rate, order.end - start, ending)
            self.escrow -= bounty
            self.earnings[repairer] += bounty
            refund = ending.refund + ending.compensation + ending.collateral - bounty
            self._refund(order.renter, refund)
            self._tell(
                "SlotVacated",
                order=order_id,
                farmer=tenure.farmer,
                slot=one.slot,
                repairer=repairer,
                bounty=bounty,
                refund=refund,
            )
            offered = Offered(
                farmer=one.farmer,
                root=tenure.root,
                rate=tenure.rate,
                max_egress_price_per_gib=tenure.max_egress_price_per_gib,
                deadline_block=one.deadline_block,
                signer=one.signer,
            )
            order.slots[one.slot] = self._take(order_id, one.slot, offered, start, order.end, extension=False)

    def hand_over(self, caller: str, giver_id: int, order_id: bytes, assignment: SlotAssignment) -> None:
        """One slot to one farmer; to itself, it only goes to the end of its book."""
        giver = self._farmer(giver_id)
        if caller not in (giver.owner, giver.operator):
            raise Refused("NotOwnerOrOperator")
        order = self._order(order_id)
        if giver.vacant_from is not None:
            raise Refused("FarmerLapsed")
        if order.end <= self.epoch:
            raise Refused("NoSuchBook")
        if self.settled_epoch(giver) < self.epoch:
            raise Refused("EpochNotProven")
        if giver.strikes:
            raise Refused("HasStrikes")
        tenure = self._own_slot(order, giver_id, assignment)
        if assignment.farmer != giver_id:
            self._count_hand_over(order)
        if tenure.start > self.epoch:
            raise Refused("SlotNotBegun")
        if tenure.lost_epoch is not None:
            raise Refused("AlreadyLost")
        self._pass_on(caller, giver_id, order_id, tenure, assignment)

    def _own_slot(self, order: Order, farmer_id: int, assignment: SlotAssignment) -> Tenure:
        if assignment.slot >= len(order.slots):
            raise Refused("NoSuchSlot")
        tenure = order.slots[assignment.slot]
        if tenure.farmer != farmer_id:
            raise Refused("NotItsSlot")
        if assignment.farmer in [one.farmer for one in order.slots if one is not tenure]:
            raise Refused("DuplicateFarmer")
        return tenure

    def _count_hand_over(self, order: Order) -> None:
        if not order.allows_hand_over:
            raise Refused("HandOverForbidden")
        period = self.epoch // self.p.grid_epochs
        count = order.handed_over.get(period, 0) + 1
        if count > (len(order.slots) - order.k) // 2:
            raise Refused("TooManyHandOvers")
        order.handed_over[period] = count

    def _pass_on(
        self, caller: str, giver_id: int, order_id: bytes, tenure: Tenure, assignment: SlotAssignment
    ) -> None:
        giver, order = self._farmer(giver_id), self._order(order_id)
        stake, answered = giver.stake, self.rate_answered(giver, self.epoch)
        stays = assignment.farmer == giver_id
        epochs = min(giver.stake // giver.rate_committed(self.epoch), self.p.collateral_epochs)
        collateral = 0 if stays else epochs * tenure.rate
        at_front = giver.front(tenure.end, tenure.extension) is tenure
        tenure.lost_epoch, tenure.handed_over = self.epoch, True
        if at_front:
            tenure.cut_epoch = self.epoch
        self._use_allowance(caller, giver, tenure.rate)
        if not (stays and at_front and not tenure.extension):
            self._check_book(giver, tenure.end, tenure.extension)
        giver.stake -= collateral
        self.escrow += collateral
        self._check_covered(giver, stake, answered)
        if not stays:
            key = (giver_id, assignment.farmer, self.epoch)
            amount, rate = self.bonds.get(key, (0, 0))
            self.bonds[key] = amount + collateral, rate + tenure.rate
        missed = sum(epoch in giver.missed for epoch in range(tenure.start, self.epoch + 1))
        refund = (1 + self.p.penalty) * tenure.rate * missed
        self._refund(order.renter, refund)
        self._record(giver)
        self._tell(
            "SlotHandedOver",
            order=order_id,
            farmer=giver_id,
            slot=assignment.slot,
            **{"from": tenure.start},
            epoch=self.epoch,
            taker=assignment.farmer,
            bound=collateral,
            refund=refund,
        )
        if self.epoch + 1 >= order.end:
            raise Refused("OrderEnding")
        offered = Offered(
            farmer=assignment.farmer,
            root=tenure.root,
            rate=tenure.rate,
            max_egress_price_per_gib=tenure.max_egress_price_per_gib,
            deadline_block=assignment.deadline_block,
            signer=assignment.signer,
        )
        order.slots[assignment.slot] = self._take(
            order_id, assignment.slot, offered, self.epoch + 1, order.end, extension=False
        )
        if self._farmer(assignment.farmer).strikes:
            raise Refused("HasStrikes")

    def release(self, giver_id: int, taker_id: int, epoch: int) -> None:
        amount, rate = self.bonds.get((giver_id, taker_id, epoch), (0, 0))
        if not rate:
            raise Refused("NothingBound")
        taker = self.farmers[taker_id - 1]
        self._record(taker)
        missed = 0
        while epoch + 1 + missed in taker.missed:
            missed += 1
        if epoch + 1 + missed > self.settled_epoch(taker):
            if taker.vacant_from is None:
                raise Refused("TakerNotProven")
            missed = max(missed, 1)
        burnt = self.p.fine * rate * missed
        del self.bonds[giver_id, taker_id, epoch]
        self.escrow -= amount
        self.earnings[BURNT] += burnt
        self.earnings[self.farmers[giver_id - 1].owner] += amount - burnt
        self._tell(
            "Released", farmer=giver_id, taker=taker_id, epoch=epoch, returned=amount - burnt, burnt=burnt
        )

    def recover(self, caller: str, farmer_id: int, order_id: bytes, slot: int) -> None:
        farmer = self._farmer(farmer_id)
        if caller not in (farmer.owner, farmer.operator):
            raise Refused("NotOwnerOrOperator")
        order = self._order(order_id)
        if self.epoch + 1 >= order.end:
            raise Refused("OrderEnding")
        if slot >= len(order.slots):
            raise Refused("NoSuchSlot")
        tenure = order.slots[slot]
        if tenure.farmer != farmer_id:
            raise Refused("NotItsSlot")
        if farmer.vacant_from is not None:
            raise Refused("FarmerLapsed")
        if tenure.lost_epoch is None:
            raise Refused("SlotNotLost")
        if tenure.lost_epoch > self.settled_epoch(farmer):
            raise Refused("LossNotSettled")
        if self.block > tenure.lost_block + self.p.auction_epochs * self.p.epoch_blocks // 4:
            raise Refused("RecoveryTooLate")
        ending = self._end(caller, tenure, self.epoch + 1)
        forfeit = min(-(-tenure.lost_collateral_epochs // 4) * tenure.rate, ending.collateral)
        refund = ending.refund + ending.compensation
        self._refund(order.renter, refund)
        self.escrow -= ending.collateral
        self.earnings[BURNT] += forfeit
        farmer.stake += ending.collateral - forfeit
        if farmer.stake > MAX_STAKE:
            raise Refused("StakeTooLarge")
        self._tell(
            "SlotRecovered", order=order_id, farmer=farmer_id, slot=slot, forfeit=forfeit, refund=refund
        )
        offered = Offered(
            farmer=farmer_id,
            root=tenure.root,
            rate=tenure.rate,
            max_egress_price_per_gib=tenure.max_egress_price_per_gib,
            deadline_block=self.block,
            signer=farmer.operator,
        )
        order.slots[slot] = self._take(order_id, slot, offered, self.epoch + 1, order.end, extension=False)

    def close(self, caller: str, order_id: bytes) -> None:
        order = self._order(order_id)
        if self.epoch < order.end:
            raise Refused("OrderNotOver")
        endings = [self._end(caller, tenure, order.end) for tenure in order.slots]
        refund = sum(one.refund for one in endings)
        compensation = sum(one.compensation + one.collateral for one in endings)
        self._refund(order.renter, refund + compensation)
        del self.orders[order_id]
        self._tell(
            "OrderClosed", order=order_id, renter=order.renter, refund=refund, compensation=compensation
        )

    def _refund(self, renter: str, amount: int) -> None:
        self.escrow -= amount
        self.vaults[renter] += amount

    def _order(self, order_id: bytes) -> Order:
        if order_id not in self.orders:
            raise Refused("UnknownOrder")
        return self.orders[order_id]

    def _fill(
        self,
        account: str,
        order_id: bytes,
        *,
        start: int,
        end: int,
        shape: tuple[int, int, int],
        offered: Sequence[Offered],
        old: Order | None,
        by_mandate: bool = False,
    ) -> int:
        """Give all slots away; what they cost. `old` is the order that is extended; by mandate some may begin
        vacant."""
        leaf_count, piece_leaves, k = shape
        if not 1 <= len(offered) <= MAX_SLOTS:
            raise Refused("SlotCountOutOfRange")
        if not 1 <= k <= len(offered):
            raise Refused("ThresholdOutOfRange")
        power = piece_leaves.bit_count() == 1 and piece_leaves <= MAX_PIECE_LEAVES
        if leaf_count < 1 or not power or leaf_count % piece_leaves:
            raise Refused("BadPieceLeaves")
        grid = self.p.grid_epochs
        if end % grid:
            raise Refused("EndOffGrid")
        if end <= start:
            raise Refused("EndTooSoon")
        if end > (self.epoch // grid + self.p.max_books) * grid:
            raise Refused("EndTooLate")
        if order_id in self.used_ids:
            raise Refused("OrderExists")
        slots: list[Tenure] = []
        for number, one in enumerate(offered):
            if one.rate == 0:
                raise Refused("ZeroRate")
            if one.farmer == NOBODY and by_mandate:
                slots.append(self._begin(order_id, number, one, start, end, extension=True))
                continue
            if one.farmer in [tenure.farmer for tenure in slots]:
                self._check_signed(one)
                raise Refused("DuplicateFarmer")
            before = None if old is None else old.slots[number]
            slots.append(
                self._take(order_id, number, one, start, end, extension=old is not None, before=before)
            )
        if old is not None:
            old.extended = True
        self.orders[order_id] = Order(
            renter=account,
            start=start,
            end=end,
            k=k,
            leaf_count=leaf_count,
            piece_leaves=piece_leaves,
            slots=slots,
            mandate=0 if old is None else old.mandate,
        )
        self.used_ids.add(order_id)
        return sum(one.rate for one in slots) * (end - start)

    def _check_signed(self, offered: Offered) -> Farmer:
        if self.block > offered.deadline_block:
            raise Refused("AcceptanceExpired")
        farmer = self._farmer(offered.farmer)
        is_former = offered.signer == farmer.former_operator and self.block <= farmer.former_until
        if offered.signer != farmer.operator and not is_former:
            raise Refused("AcceptanceForged")
        return farmer

    def _take(
        self,
        order_id: bytes,
        slot: int,
        offered: Offered,
        start: int,
        end: int,
        *,
        extension: bool,
        before: Tenure | None = None,
    ) -> Tenure:
        farmer = self._check_signed(offered)
        if farmer.vacant_from is not None:
            raise Refused("FarmerLapsed")
        self._record(farmer)
        committed = farmer.rate_committed(self.epoch) + offered.rate
        if committed > MAX_RATE:
            raise Refused("RateTooLarge")
        if committed > farmer.ceiling:
            raise Refused("CeilingExceeded")
        carried = self.rate_carried(farmer, self.epoch)
        if before is not None and before.farmer == offered.farmer and before.lost_epoch is None:
            carried += min(before.rate, offered.rate)
        if farmer.stake < self.p.collateral_epochs * (committed - carried):
            raise Refused("StakeTooSmall")
        if extension:
            farmer.carried[start] = carried
        tenure = self._begin(order_id, slot, offered, start, end, extension=extension)
        farmer.tenures.append(tenure)
        self._check_alive(farmer.book(end, extension), all_lost_is_fine=False)
        return tenure

    def _begin(
        self, order_id: bytes, slot: int, offered: Offered, start: int, end: int, *, extension: bool
    ) -> Tenure:
        return Tenure(
            order=order_id,
            slot=slot,
            farmer=offered.farmer,
            root=offered.root,
            rate=offered.rate,
            max_egress_price_per_gib=offered.max_egress_price_per_gib,
            start=start,
            end=end,
            extension=extension,
        )

    def _end(self, caller: str, tenure: Tenure, until: int) -> Ending:
        """Judge every epoch of the tenure before `until`."""
        if tenure.farmer == NOBODY:
            return Ending(
                refund=tenure.rate * (until - tenure.start),
                compensation=0,
                collateral=self._set_aside(tenure.rate, tenure.end - tenure.start),
                vacant_block=(tenure.start - 1) * self.p.epoch_blocks,
            )
        farmer = self.farmers[tenure.farmer - 1]
        if farmer.recorded_epoch + 1 < until:
            self._record(farmer)
        vacant_from, vacant_block, collateral = until, None, 0
        if tenure.lost_epoch is not None and tenure.lost_epoch <= self.settled_epoch(farmer):
            vacant_from, vacant_block = tenure.lost_epoch + 1, tenure.lost_block
            collateral = tenure.lost_collateral_epochs * tenure.rate
            if tenure.lost_epoch in farmer.missed:
                fine = self.p.fine * tenure.rate
                collateral -= self.p.penalty * tenure.rate + fine
                self.escrow -= fine
                self.earnings[BURNT] += fine
        elif farmer.vacant_from is not None and farmer.vacant_from < until:
            if not farmer.evicted:
                self._evict(caller, tenure.farmer)
            vacant_from = max(farmer.vacant_from, tenure.start)
            vacant_block = farmer.vacant_from * self.p.epoch_blocks
            collateral = farmer.collateral_epochs * tenure.rate
        refund = compensation = 0
        for epoch in range(tenure.start, until):
            if epoch >= vacant_from:
                refund += tenure.rate
            elif epoch in farmer.missed:
                refund += tenure.rate
                compensation += self.p.penalty * tenure.rate
        return Ending(
            refund=refund, compensation=compensation, collateral=collateral, vacant_block=vacant_block
        )

    def _bounty(self, rate: int, left: int, ending: Ending) -> int:
        assert ending.vacant_block is not None
        lost_by_pretending = rate * min((self.p.penalty + self.p.fine) * left, self.p.collateral_epochs)
        full = min(ending.collateral, lost_by_pretending // 2)
        duration = self.p.auction_epochs * self.p.epoch_blocks
        return full * min(self.block - ending.vacant_block, duration) // duration

    # what must hold

    def owed(self) -> int:
        """All that the market owes to anyone, counted slot by slot."""
        return (
            sum(self.vaults.values())
            + sum(self.earnings.values())
            + sum(farmer.stake + farmer.fines_unrecorded for farmer in self.farmers)
            + sum(amount for amount, _ in self.bonds.values())
            + sum(self._owed_for(tenure) for order in self.orders.values() for tenure in order.slots)
        )

    def _owed_for(self, tenure: Tenure) -> int:
        """To farmer or renter: the rate of each epoch not proven, compensation, and the slot's collateral."""
        if tenure.farmer == NOBODY:
            epochs = tenure.end - tenure.start
            return tenure.rate * epochs + self._set_aside(tenure.rate, epochs)
        farmer = self.farmers[tenure.farmer - 1]
        lapse = tenure.end if farmer.vacant_from is None else farmer.vacant_from
        lost = tenure.end if tenure.lost_epoch is None else tenure.lost_epoch + 1
        over = min(lapse, lost)
        owed = 0
        for epoch in range(tenure.start, tenure.end):
            if epoch < over and epoch in farmer.proven:
                continue
            owed += tenure.rate
            backed = tenure.lost_epoch is None or epoch < tenure.lost_epoch
            if epoch < over and epoch in farmer.missed and backed:
                owed += self.p.penalty * tenure.rate
        if tenure.lost_epoch is not None:
            owed += tenure.lost_collateral_epochs * tenure.rate
        elif farmer.evicted and lapse < tenure.end:
            owed += farmer.collateral_epochs * tenure.rate
        return owed

"""Paying farmers for reads: one running total for each, a voucher with every request.

    pay       before a request: its price is set aside, and the voucher covers it and all before
    served    the farmer began to answer: it has earned the price
    unserved  it did not: the price is there for the next request

Every voucher names all that requests stand for, so that they may overtake each other, and two requests never
stand for the same part of it. A farmer is paid before it sends a step, so a step is what a liar gains each
time it is asked; one that counted a request of which we never heard is not a liar (`doubted`). Leaves what is
remembered to `payment_channels` and HTTP to `peer`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from grange.chain import Farmer, Wallet
from grange.errors import BadSignature, Category, Misuse, UserError
from grange.executors import Executors
from grange.messages import Domain, sign_voucher, voucher_signer
from grange.peer.errors import FarmerLied, FarmerRefused
from grange.peer.payment_channels import PaymentChannel, PaymentChannels
from grange.tasks import to_the_end
from grange.token_unit import PLAIN_UNIT, TokenUnit
from grange.types import Address, FarmerId, Voucher
from grange.units import egress_rounded_up
from grange.wire.bodies import Account, Shortage
from grange.wire.headers import format_voucher

CHEAPER_LATER: Final = "Try again when cheaper farmers answer."


class OverBudget(UserError, Misuse):
    """The next read would cost more than may be spent."""

    category = Category.MONEY


class Budget:
    """What may be spent on one piece of work, and what was. `limit` None is no limit."""

    def __init__(
        self,
        limit: int | None = None,
        *,
        within: "Budget | None" = None,
        hint: str = CHEAPER_LATER,
        unit: TokenUnit = PLAIN_UNIT,
    ) -> None:
        """In base units, which `unit` puts into words. What is spent counts for `within`, too, which has its
        own limit. `hint` says what to do when the limit is reached: who gives the limit knows."""
        self.limit = limit
        self.spent = 0
        self._within = within
        self._hint = hint
        self._unit = unit

    def spend(self, price: int) -> None:
        """Raise OverBudget rather than go over the limit."""
        self.check(price)
        self.count(price)

    def count(self, amount: int) -> None:
        """So much was spent, or came back if it is negative, whatever the limit."""
        self.spent += amount
        if self._within is not None:
            self._within.count(amount)

    def check(self, price: int) -> None:
        """Raise OverBudget if so much more cannot be spent."""
        if self._within is not None:
            self._within.check(price)
        if self.limit is not None and self.spent + price > self.limit:
            allowed = self._unit.rounded_up(self.limit)
            raise OverBudget(
                f"Reading on would cost more than the {allowed} that were allowed.",
                detail=f"{self._unit.rounded_up(self.spent)} were spent.",
                hint=self._hint,
            )


@dataclass(slots=True, kw_only=True)
class Payment:
    """One request's price, set aside. `header` goes with the request."""

    farmer: FarmerId
    price: int
    most: int | None
    """What the farmer has signed that it may cost; None where that is not known."""
    header: str
    is_open: bool = True


def read_price(farmer: Farmer, most_per_gib: int | None) -> int:
    """What a GiB of a slot costs for which the farmer has signed `most_per_gib`, in base units."""
    asked = farmer.offer.egress_price_per_gib
    return asked if most_per_gib is None else min(asked, most_per_gib)


def asks_more_than_signed(farmer: FarmerId) -> FarmerLied:
    """What is wrong with a farmer that breaks its word."""
    return FarmerLied(f"Farmer {farmer} asks more for reading than it signed for when it took the slot.")


class ReadPayments:
    """Signs vouchers with one account's key, as far as a budget goes."""

    def __init__(
        self,
        *,
        domain: Domain,
        wallet: Wallet,
        channels: PaymentChannels,
        executors: Executors,
        budget: Budget | None = None,
        account: Address | None = None,
        is_of_wallet: bool = False,
    ) -> None:
        """The channels are asked and changed in the executors' database threads. `account`: whose vault pays,
        if the wallet is its delegate's; or with `is_of_wallet` a contract that calls our signatures its
        own."""
        self.channels = channels
        self.budget = budget or Budget()
        self._domain = domain
        self._executors = executors
        self._wallet = wallet
        self._account = account or wallet.address
        self._is_of_wallet = is_of_wallet

    def within(self, budget: Budget) -> "ReadPayments":
        """The same, for one piece of work that may cost so much."""
        return ReadPayments(
            domain=self._domain,
            wallet=self._wallet,
            channels=self.channels,
            executors=self._executors,
            budget=budget,
            account=self._account,
            is_of_wallet=self._is_of_wallet,
        )

    @property
    def signer(self) -> Address:
        """Whose totals the vouchers raise, for the market: those of the key, or of the contract for which it
        signs."""
        return self._account if self._is_of_wallet else self._wallet.address

    async def pay(self, farmer: Farmer, size_bytes: int, most_per_gib: int | None = None) -> Payment | None:
        """Set aside what so many bytes cost; None if they cost nothing. Raises OverBudget.

        They cost what the farmer asks on chain, and no more than `most_per_gib`, which it has signed.
        """
        price = egress_rounded_up(read_price(farmer, most_per_gib), size_bytes)
        if not price:
            return None
        self.budget.spend(price)
        standing: list[int] = []

        def set_aside() -> None:
            changed = self.channels.change(farmer.id, lambda channel: channel.allocated(price))
            standing.append(changed.standing)

        try:
            await self._executors.in_database(set_aside)
        except BaseException:
            # Cancelled, or the file is in use: no request goes with it.
            self.budget.count(-price)
            if standing:
                await self._give_back(farmer.id, price, doubtful=False)
            raise
        most = None if most_per_gib is None else egress_rounded_up(most_per_gib, size_bytes)
        return Payment(farmer=farmer.id, price=price, most=most, header=self._header(farmer.id, standing[0]))

    def served(self, payment: Payment) -> None:
        """The farmer answers, and keeps the price."""
        payment.is_open = False

    async def unserved(self, payment: Payment, *, doubtful: bool) -> None:
        """No byte came. Doubtful is what the farmer may have counted all the same: nothing was heard of it.

        Once and for all: later calls for the same payment change nothing.
        """
        if not payment.is_open:
            return
        payment.is_open = False
        self.budget.count(-payment.price)
        await self._give_back(payment.farmer, payment.price, doubtful=doubtful)

    async def recall(self, farmer: FarmerId, account: Account) -> None:
        """Take up a total again that we do not remember, if the voucher is our own. Raises FarmerLied.

        Anyone who remembers nothing at all takes the farmer's word for what was spent.
        """
        voucher = Voucher(renter=self._account, cumulative=account.cumulative, signature=account.signature)
        try:
            signer = voucher_signer(self._domain, voucher, farmer=farmer)
            is_ours = signer == self._wallet.address and voucher.is_of_wallet == self._is_of_wallet
        except BadSignature:
            is_ours = False
        if not is_ours:
            raise FarmerLied(f"Farmer {farmer} shows a voucher that we never signed.")

        def taken_up(channel: PaymentChannel) -> PaymentChannel:
            if account.cumulative <= channel.total and channel.standing:
                return channel
            total = max(account.cumulative, channel.total)
            credit = max(0, total - max(account.spent, channel.standing))
            return replace(channel, total=total, credit=credit, doubtful=credit)

        await self._change(farmer, taken_up)

    async def totals(self) -> dict[FarmerId, int]:
        """What was signed to whom, in base units."""
        return await self._executors.in_database(self.channels.totals)

    async def channel(self, farmer: FarmerId) -> PaymentChannel:
        """What stands with a farmer."""
        return await self._executors.in_database(self.channels.channel, farmer)

    def check_price(self, payment: Payment, shortage: Shortage) -> None:
        """Raise FarmerLied when a farmer asks more than it has signed, FarmerRefused when it asks more than
        its offer on chain says."""
        if payment.most is not None and shortage.needed > payment.most:
            raise asks_more_than_signed(payment.farmer)
        if shortage.needed > payment.price:
            raise FarmerRefused(
                f"Farmer {payment.farmer} asks more for reading than its offer on chain.",
                status=402,
                code="dearer",
            )

    async def doubted(self, payment: Payment, shortage: Shortage) -> None:
        """A farmer says that our voucher does not cover a request: what was doubtful is made good.

        Raises FarmerRefused when there was no such doubt. Then it keeps what it claims, which is no more than
        one request's price, and is asked no more by anyone who tries others instead: another machine with our
        key may have signed the same total. FarmerLied when it counts more than was ever signed.
        """
        farmer, price = payment.farmer, payment.price
        lost, doubtful = 0, 0

        def made_good(channel: PaymentChannel) -> PaymentChannel:
            nonlocal lost, doubtful
            if shortage.spent > channel.total:
                raise FarmerLied(f"Farmer {farmer} claims more than was ever signed to it.")
            claimed = shortage.spent + shortage.needed - (channel.standing + price)
            lost, doubtful = (
                max(0, min(claimed, channel.credit, max(price, channel.doubtful))),
                channel.doubtful,
            )
            return replace(channel, credit=channel.credit - lost, doubtful=max(0, channel.doubtful - lost))

        await self._change(farmer, made_good)
        self.budget.count(lost)
        if lost > doubtful:
            raise FarmerRefused(
                f"Farmer {farmer} charges again for what it was paid for.",
                status=402,
                code="disputed",
            )

    async def _give_back(self, farmer: FarmerId, price: int, *, doubtful: bool) -> None:
        """Also for anyone who is cancelled, as reads are that others overtook: all database threads may be
        busy, and what was not given back would be lost."""
        await to_the_end(self._change(farmer, lambda channel: channel.returned(price, doubtful=doubtful)))

    async def _change(self, farmer: FarmerId, to: Callable[[PaymentChannel], PaymentChannel]) -> None:
        await self._executors.in_database(self.channels.change, farmer, to)

    def _header(self, farmer: FarmerId, total: int) -> str:
        return format_voucher(
            sign_voucher(
                self._domain,
                self._wallet.private_key,
                farmer=farmer,
                cumulative=total,
                renter=self._account,
                is_of_wallet=self._is_of_wallet,
            )
        )

"""Standing orders of ours: what anyone may extend for us, within which bounds, and what the vault must hold.

    mandates = Mandates(market, first_block=0)
    offered = propose(order, fee=..., until=..., parameters=...)
    await mandates.give(offered, [order.id])
    for one in await mandates.listed(): ...

Decides the bounds that are proposed: a quarter above what an order costs now, for a term as long as it has.
What is spent is counted by the market. All methods raise the errors of the chain.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from grange.chain import Mandate, Receipt
from grange.chain.orders import OrderState
from grange.tasks import together
from grange.types import EXTENDED, Epoch, MandateTerms, OrderId, Parameters
from grange.units import GIB, MAX_RATE
from grange_client.errors import CannotExtend, NotAccount, UnknownMandate
from grange_client.orders.market import RenterMarket

HEADROOM_PERCENT: Final = 25
"""By how much the prices of an order may rise, unless told otherwise."""
MAX_TOTAL: Final = (1 << 128) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateState:
    """A mandate that we gave at some time, and what is left of it."""

    number: int
    mandate: Mandate
    covers: tuple[OrderId, ...]
    """Orders that it keeps alive now."""

    def is_open(self, epoch: Epoch) -> bool:
        """Whether anything may still be extended by it."""
        return not self.mandate.revoked and self.mandate.until > epoch


class Mandates:
    """The mandates of one account."""

    def __init__(self, market: RenterMarket, *, first_block: int) -> None:
        """`first_block`: before it there was no market."""
        self._market = market
        self._first_block = first_block

    async def give(self, terms: MandateTerms, orders: Sequence[OrderId]) -> tuple[int, Receipt]:
        """Let anyone extend these orders, and what extends them; the mandate's number. Raises NotAccount in a
        delegate's home."""
        self._check_account()
        number = max(await self._numbers(), default=0) + 1
        return number, await self._market.give_mandate(number, terms, orders)

    async def revoke(self, numbers: Sequence[int]) -> Receipt:
        """End mandates; what was extended by them goes on. Raises UnknownMandate, and NotAccount in a
        delegate's home."""
        self._check_account()
        account = self._market.account
        for number in numbers:
            mandate = await self._market.mandate(account, number)
            if mandate is None or mandate.revoked:
                raise UnknownMandate(
                    f"There is no mandate {number} that could be revoked.", hint="See: grange mandate list"
                )
        return await self._market.revoke_mandates(numbers)

    async def listed(self, orders: Iterable[OrderState]) -> list[MandateState]:
        """All that were ever given, revoked ones too, the oldest first, with which of these orders each
        covers."""
        market, known = self._market, list(orders)
        numbers = sorted(set(await self._numbers()))
        mandates = await together(*(market.mandate(market.account, number) for number in numbers))
        shown = await together(*(market.order(order.id) for order in known))
        covers: dict[int, list[OrderId]] = {}
        for order, one in zip(known, shown, strict=True):
            if one is not None and one.mandate not in (0, EXTENDED):
                covers.setdefault(one.mandate, []).append(order.id)
        return [
            MandateState(number=number, mandate=mandate, covers=tuple(covers.get(number, ())))
            for number, mandate in zip(numbers, mandates, strict=True)
            if mandate is not None
        ]

    async def _numbers(self) -> list[int]:
        return await self._market.mandate_numbers(self._first_block)

    def _check_account(self) -> None:
        if self._market.account != self._market.address:
            raise NotAccount(
                "This home is a delegate's: it gives no mandates.",
                hint="Do it where the recovery phrase is.",
            )


def propose(
    orders: Sequence[OrderState],
    *,
    fee: int,
    until: Epoch,
    parameters: Parameters,
    highest_price: int | None = None,
    highest_egress_price: int | None = None,
    total: int | None = None,
) -> MandateTerms:
    """Bounds for a mandate that keeps orders alive until an epoch at least.

    The highest prices, for keeping and for reading, are a quarter above those of their dearest slots, unless
    they are given; a term is as long as the longest of theirs. Raises CannotExtend if they last as long
    already.
    """
    grid = parameters.grid_epochs
    end = Epoch(-(-until // grid) * grid)
    if all(order.end >= end for order in orders):
        raise CannotExtend(
            f"Until epoch {end} nothing needs to be extended.", hint="Choose a later date with --epochs."
        )
    longest = max(order.end - order.start for order in orders)
    term = min(max(1, longest // grid), parameters.max_books - 1) * grid
    if highest_price is None:
        dearest = max(
            -(-slot.rate * GIB // order.geometry.slot_bytes) for order in orders for slot in order.slots
        )
        highest_price = _with_headroom(dearest)
    if highest_egress_price is None:
        highest_egress_price = _with_headroom(
            max(slot.max_egress_price_per_gib for order in orders for slot in order.slots)
        )
    terms = MandateTerms(
        highest_price=highest_price,
        highest_egress_price=highest_egress_price,
        fee=fee,
        until=end,
        term_epochs=term,
        total=total or MAX_TOTAL,
    )
    if total is None:
        most = sum(most_cost(order, terms, from_epoch=order.end) for order in orders)
        terms = replace(terms, total=min(MAX_TOTAL, most))
    return terms


def _with_headroom(price: int) -> int:
    return min(MAX_RATE, -(-price * (100 + HEADROOM_PERCENT) // 100))


def most_cost(order: OrderState, terms: MandateTerms, *, from_epoch: Epoch) -> int:
    """The most that keeping an order alive from an epoch to the mandate's end costs, with fees, without what
    is set aside for slots that begin vacant."""
    epochs = max(0, terms.until - from_epoch)
    return highest_rate(order, terms.highest_price) * order.n * epochs + terms.fee * -(
        -epochs // terms.term_epochs
    )


def next_cost(order: OrderState, terms: MandateTerms | Mandate) -> int:
    """The most that the next extension takes out of the vault, if all farmers go on."""
    epochs = min(terms.term_epochs, max(0, terms.until - order.end))
    return highest_rate(order, terms.highest_price) * order.n * epochs + (terms.fee if epochs else 0)


def highest_rate(order: OrderState, highest_price: int) -> int:
    """The most that a slot of an order costs in an epoch; rounded up, as in the market."""
    return -(-highest_price * order.geometry.slot_bytes // GIB)

"""Standing orders of ours: what anyone may extend for us, within which bounds, and what the vault must hold.

    mandates = Mandates(market, catalog, executors, identity=identity, first_block=0)
    offered = propose([order], fee=..., until=..., vault=..., parameters=...)
    await mandates.give(offered, [order.id])
    for one in await mandates.listed(): ...
    for sentence in await mandates.warnings(orders, vault=vault): ...

Decides the bounds that are proposed: a quarter above what an order costs now, for terms as long as the vault
can pay for.
What is spent is counted by the market. All methods raise the errors of the chain.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from grange.chain import Mandate, Receipt
from grange.chain.orders import OrderState
from grange.chain.witnesses import find_known_order
from grange.executors import Executors
from grange.tasks import together
from grange.token_unit import TokenUnit
from grange.types import EXTENDED, Epoch, MandateTerms, OrderId, Parameters
from grange.units import GIB, MAX_RATE
from grange_client.errors import CannotExtend, UnknownMandate
from grange_client.keys.recovery_phrase import Identity
from grange_client.keys.wallet_account import require_own_account
from grange_client.orders.catalog import Catalog
from grange_client.orders.market import RenterMarket

HEADROOM_PERCENT: Final = 25
"""By how much the prices of an order may rise, unless told otherwise."""
MAX_TOTAL: Final = (1 << 128) - 1
NO_MANDATE: Final = 0
"""The number under which an order is covered by none."""


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

    def __init__(
        self,
        market: RenterMarket,
        catalog: Catalog,
        executors: Executors,
        *,
        identity: Identity,
        first_block: int,
    ) -> None:
        """`first_block`: before it there was no market."""
        self._identity = identity
        self._market = market
        self._catalog = catalog
        self._executors = executors
        self._first_block = first_block

    async def give(self, terms: MandateTerms, orders: Sequence[OrderId]) -> tuple[int, Receipt]:
        """Let anyone extend these orders, and what extends them; the mandate's number. Raises NotAccount in a
        delegate's home."""
        self._check_account()
        number = max(await self._numbers(), default=0) + 1
        receipt = await self._market.give_mandate(number, terms, orders)
        await self._note([number])
        return number, receipt

    async def take_off(self, orders: Sequence[OrderId]) -> Receipt:
        """Have no mandate cover these orders any more, which were not extended yet. Raises NotAccount in a
        delegate's home."""
        self._check_account()
        return await self._market.cover_orders(NO_MANDATE, orders)

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
        numbers = sorted(set(await self._numbers()))
        await self._note(numbers)
        return await self._read(numbers, orders)

    async def known(self) -> list[int]:
        """Those that this home has given or listed, without asking the chain."""
        return await self._executors.in_database(self._catalog.mandates)

    async def warnings(self, orders: Iterable[OrderState], *, vault: int, spending: int = 0) -> list[str]:
        """A sentence if the vault may not pay for the next extensions of these orders by the mandates that
        this home knows of, once `spending` is taken out of it."""
        market = self._market
        epoch = (await market.clock()).epoch
        open_orders = {order.id: order for order in orders if order.end > epoch}
        found = await self._read(await self.known(), open_orders.values())
        needed = sum(
            next_cost(open_orders[order], one.mandate)
            for one in found
            if one.is_open(epoch)
            for order in one.covers
        )
        return warn_vault(vault, needed, market.unit, spending=spending)

    async def _read(self, numbers: Sequence[int], orders: Iterable[OrderState]) -> list[MandateState]:
        market = self._market
        epoch = (await market.clock()).epoch
        # Of those that are over nothing is extended, and an endpoint that has none of them is no wonder.
        known = [order for order in orders if order.end > epoch]
        mandates = await together(*(market.mandate(market.account, number) for number in numbers))
        shown = await together(*(find_known_order(market, order.id) for order in known))
        covers: dict[int, list[OrderId]] = {}
        for order, one in zip(known, shown, strict=True):
            if one is not None and one.mandate not in (0, EXTENDED):
                covers.setdefault(one.mandate, []).append(order.id)
        return [
            MandateState(number=number, mandate=mandate, covers=tuple(covers.get(number, ())))
            for number, mandate in zip(numbers, mandates, strict=True)
            if mandate is not None
        ]

    async def _note(self, numbers: Sequence[int]) -> None:
        await self._executors.in_database(self._catalog.note_mandates, numbers)

    async def _numbers(self) -> list[int]:
        return await self._market.mandate_numbers(self._first_block)

    def _check_account(self) -> None:
        require_own_account(self._identity, "it gives no mandates")


def warn_vault(vault: int, needed: int, unit: TokenUnit, *, spending: int = 0) -> list[str]:
    """What is to be said of a vault from which the next extensions by mandate may take so much, once
    `spending` is taken out of it: nothing if it suffices."""
    left = max(0, vault - spending)
    if left >= needed:
        return []
    holds = f"The vault holds {unit.exact(vault)}"
    if spending:
        holds += f", {unit.exact(left)} without what this may take out of it"
    return [
        f"{holds}, and the next extensions by mandate may cost {unit.rounded_up(needed)}. What it cannot pay "
        "is not extended. Money in it is kept for nothing: orders, reads, delegates, withdrawals and "
        "mandates take from it as they come. To move more in: grange deposit"
    ]


def propose(
    orders: Sequence[OrderState],
    *,
    fee: int,
    until: Epoch,
    vault: int,
    parameters: Parameters,
    highest_price: int | None = None,
    highest_egress_price: int | None = None,
    term_epochs: int | None = None,
    total: int | None = None,
) -> MandateTerms:
    """Bounds for a mandate that keeps orders alive until an epoch at least.

    The highest prices, for keeping and for reading, are a quarter above those of their dearest slots, unless
    they are given. A term is as long as the market lets one be and the `vault` and the total can pay for, but
    at least as long as the longest of theirs; or as many whole grid periods as `term_epochs` take. Raises
    CannotExtend if they last as long already.
    """
    grid = parameters.grid_epochs
    end = Epoch(-(-until // grid) * grid)
    if all(order.end >= end for order in orders):
        raise CannotExtend(
            f"Until epoch {end} nothing needs to be extended.", hint="Choose a later date with --epochs."
        )
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
        term_epochs=grid,
        total=total or MAX_TOTAL,
    )
    if term_epochs is None:
        periods = _longest_periods(orders, terms, min(vault, terms.total), parameters)
    else:
        periods = -(-term_epochs // grid)
    terms = replace(terms, term_epochs=min(periods, parameters.max_books - 1) * grid)
    if total is None:
        most = sum(most_cost(order, terms, from_epoch=order.end) for order in orders)
        terms = replace(terms, total=min(MAX_TOTAL, most))
    return terms


def _longest_periods(
    orders: Sequence[OrderState], terms: MandateTerms, budget: int, parameters: Parameters
) -> int:
    """For how many grid periods the next extensions of some orders can be paid out of a budget; as many as
    the longest of them has, if that is more."""
    grid = parameters.grid_epochs
    least = max(order.end - order.start for order in orders) // grid
    for periods in range(longest_term(orders, terms, parameters) // grid, least, -1):
        if next_costs(orders, replace(terms, term_epochs=periods * grid)) <= budget:
            return periods
    return max(1, least)


def longest_term(orders: Sequence[OrderState], terms: MandateTerms, parameters: Parameters) -> int:
    """The longest term that is of use, in epochs: until the mandate's end, as far as the market lets an order
    last."""
    needed = max(terms.until - order.end for order in orders)
    return min(needed, (parameters.max_books - 1) * parameters.grid_epochs)


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


def next_costs(orders: Iterable[OrderState], terms: MandateTerms | Mandate) -> int:
    """The same for several orders."""
    return sum(next_cost(order, terms) for order in orders)


def highest_rate(order: OrderState, highest_price: int) -> int:
    """The most that a slot of an order costs in an epoch; rounded up, as in the market."""
    return -(-highest_price * order.geometry.slot_bytes // GIB)

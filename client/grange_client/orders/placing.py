"""Getting an order whose slots are stored and accepted onto the chain, in one transaction.

    receipt, acceptances = await place(order, upload, market=..., placements=..., watch=...)

What the market objects to is seen to, a few times: acceptances that lapsed are asked for again, a farmer that
may not take the slot any more is replaced, and a vault that has changed is looked at again. If this process
dies before the transaction is sent, nothing was paid and farmers forget what was staged; if it dies after,
the order is on the chain and the catalog finds it there.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from grange.chain import Receipt, TransactionReverted
from grange.chain.orders import OrderState
from grange.errors import Category, GrangeError
from grange.transfer.events import Listener, Step
from grange.transfer.upload import OrderUpload
from grange.types import Acceptance, OrderId
from grange_client.errors import HomeForgetful, PlaceFailed
from grange_client.orders.market import Market, OnMined
from grange_client.orders.once import PLACED, send_once
from grange_client.orders.placements import Placement, Placements

MAX_PLACE_ATTEMPTS: Final = 4
DEADLINE_MARGIN_BLOCKS: Final = 2
"""Blocks that an acceptance must still be good for when the order is sent."""
FARMER_ERRORS: Final = frozenset(
    {"StakeTooSmall", "AcceptanceForged", "DuplicateFarmer", "UnknownFarmer", "RateTooLarge"}
)
"""The market's objections to one farmer of an order."""
PASSING_ERRORS: Final = frozenset({"AcceptanceExpired", "VaultTooSmall", "PermitRefused"})
"""Objections to a moment: looked at again, they may be gone."""


class NewOrder(Protocol):
    """An order on its way onto the chain."""

    @property
    def id(self) -> OrderId:
        """Its id, known before it is placed."""

    @property
    def step(self) -> str:
        """What to call the last step."""

    @property
    def passing_errors(self) -> frozenset[str]:
        """The market's objections that may be gone when it is looked at again."""

    async def prepare(self) -> None:
        """Look at what it is made of once more. Raises what speaks against placing it now."""

    async def send(
        self, acceptances: Sequence[Acceptance], *, confirmations: int, on_mined: OnMined
    ) -> Receipt:
        """Send the transaction, and wait until it is buried. Raises TransactionReverted, and others."""

    def placement(self, acceptances: Sequence[Acceptance], receipt: Receipt | None = None) -> Placement:
        """The order as it is once it is in a block, whoever placed it; NOT_MINED before."""


async def place(
    order: NewOrder,
    upload: OrderUpload,
    *,
    market: Market,
    placements: Placements,
    watch: Listener,
    confirmations: int,
    on_placed: Callable[[OrderState], None],
) -> tuple[Receipt, list[Acceptance]]:
    """Place it, and wait until so many blocks are on top of it.

    `on_placed` is told as soon as it is in a block, and again if a reorganisation puts it into another.
    Raises PlaceFailed, NotEnoughFarmers, NotEnoughMoney, the errors of the chain, and what making the pieces
    and `prepare` raise.
    """
    for attempt in range(MAX_PLACE_ATTEMPTS):
        head = await market.head()
        acceptances = await upload.acceptances(deadline_block=head.number + DEADLINE_MARGIN_BLOCKS)
        await order.prepare()
        head = await market.head()
        if any(one.deadline_block < head.number + DEADLINE_MARGIN_BLOCKS for one in acceptances):
            continue
        watch(Step(what=order.step))

        def note_mined(receipt: Receipt, acceptances: Sequence[Acceptance] = tuple(acceptances)) -> None:
            placement = order.placement(acceptances, receipt)
            with suppress(HomeForgetful):
                placements.note(placement)
            on_placed(placement.order)
            if confirmations:
                watch(Step(what=f"Waiting until {confirmations} blocks are on top of the order's"))

        placements.note(order.placement(acceptances))
        try:
            receipt = await send_once(
                *(market, PLACED, order.id),
                partial(order.send, acceptances, confirmations=confirmations, on_mined=note_mined),
                begun_block=head.number,
                confirmations=confirmations,
                on_mined=note_mined,
            )
        except TransactionReverted as error:
            if error.name != PLACED.refusal:
                placements.forget(order.id)
            is_last = attempt + 1 == MAX_PLACE_ATTEMPTS
            if is_last or error.name not in FARMER_ERRORS | order.passing_errors:
                raise refused(error) from error
            if error.name in FARMER_ERRORS and not upload.replace_refused(error):
                raise refused(error) from error
        else:
            return receipt, acceptances
    raise PlaceFailed(
        "Acceptances lapsed before the order could be placed.",
        detail="Nothing was placed and nothing is paid.",
        hint="Try again; if it happens again, the chain or the way to it is too slow.",
        category=Category.CHAIN,
    )


async def depth_of(market: Market, block: int) -> int:
    """How many blocks are on top of one that holds an order; none if the endpoint does not say.

    What is placed and paid does not fail because the chain can't be asked about it a moment later.
    """
    try:
        head = await market.head()
    except GrangeError:
        return 0
    return max(0, head.number - block)


def refused(error: TransactionReverted) -> PlaceFailed:
    """What to say of an order that the market does not take."""
    if error.name == PLACED.refusal:
        return PlaceFailed(
            "The order is on the chain already.",
            detail="An earlier transaction of this order, or another command of this home, was first.",
            hint="`grange ls` shows it.",
        )
    values = ", ".join(
        f"{name} {value.hex()[:8] if isinstance(value, bytes) else value}"
        for name, value in error.args_by_name.items()
    )
    return PlaceFailed(
        f"The market refused the order: {error.name}{f' ({values})' if values else ''}.",
        detail="Nothing was placed and nothing is paid"
        + ("." if error.tx_hash is None else ", but for the gas of the transaction."),
        hint="Try again.",
    )

"""Getting an order whose slots are stored and accepted onto the chain, in one transaction.

    receipt, acceptances = await Placing(order=order, upload=upload, ...).run()

What the market objects to is seen to, a few times: acceptances that lapsed are asked for again, a farmer that
may not take the slot any more is replaced, and a vault that has changed is looked at again.

Anyone who wants to go on as soon as all farmers have signed is told then (`acknowledge`). What was
acknowledged is written down in the home before: if this process dies, the next command places it (`dropped`).
What was not acknowledged is not placed by another command unless it was seen on the chain: if this process
dies before the transaction is sent, nothing was paid and farmers forget what was staged; if it dies after,
the order is on the chain and the catalog finds it there.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Protocol

from grange.chain import Head, Receipt, TransactionReverted
from grange.chain.errors import ASK_TOKEN, TOKEN_REFUSED
from grange.chain.orders import OrderState
from grange.chain.outbox import OnMined
from grange.errors import Category
from grange.tasks import together
from grange.transfer.events import Listener, Step
from grange.transfer.upload import OrderUpload
from grange.types import Acceptance, OrderId
from grange.units import format_count
from grange_client.errors import HomeForgetful, PlaceFailed
from grange_client.orders.market import RenterMarket
from grange_client.orders.once import PLACED, send_once
from grange_client.orders.placements import Placement, Placements

MAX_PLACE_ATTEMPTS: Final = 4
DEADLINE_MARGIN_BLOCKS: Final = 2
"""Blocks that an acceptance must still be good for when the order is sent."""
PASSING_ERRORS: Final = frozenset({"AcceptanceExpired", "VaultTooSmall", "PermitRefused"})
"""Objections to a moment: looked at again, they may be gone."""

Acknowledge = Callable[[Placement], None]
"""Told once, when all farmers have signed and this is on disk."""


class NewOrder(Protocol):
    """An order on its way onto the chain."""

    @property
    def id(self) -> OrderId:
        """Its id, known before it is placed."""

    @property
    def quoted_block(self) -> int:
        """The newest block when it was quoted."""

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
        """The order as it is once it is in a block, no matter who placed it; NOT_MINED before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOptions:
    """How deep an order is to be buried, and who hears of it."""

    watch: Listener
    confirmations: int
    """So many blocks are to follow on the one that it is in."""
    on_placed: Callable[[OrderState], Awaitable[None]]
    """Told as soon as it is in a block, and again if a reorganisation puts it into another."""
    acknowledge: Acknowledge | None = None
    """Told before that, when all farmers have signed."""


@dataclass(slots=True, kw_only=True)
class Placing:
    """One order on its way."""

    order: NewOrder
    upload: OrderUpload
    market: RenterMarket
    placements: Placements
    options: PlaceOptions
    _is_acknowledged: bool = field(default=False, init=False)
    _noted: Placement | None = field(default=None, init=False)

    async def run(self) -> tuple[Receipt, list[Acceptance]]:
        """Place it, and wait until so many blocks are on top of it.

        Raises PlaceFailed, NotEnoughFarmers, NotEnoughMoney, the errors of the chain, and what making the
        pieces and `prepare` raise. After an error, also of what was acknowledged, no other command places it;
        cancelled, what was acknowledged is left to the next one.
        """
        try:
            return await self._run()
        except Exception:
            # Ours or not, it is told; only what is cancelled is told nothing.
            self._take_back()
            raise

    async def _run(self) -> tuple[Receipt, list[Acceptance]]:
        known_block = self.order.quoted_block
        for attempt in range(MAX_PLACE_ATTEMPTS):
            if attempt:
                known_block = (await self.market.head()).number
            await self.upload.store()
            # Asked beside the farmers: nobody waits for it.
            head, acceptances = await together(
                self.market.head(),
                self.upload.acceptances(deadline_block=known_block + DEADLINE_MARGIN_BLOCKS),
            )
            await self.order.prepare()
            if any(one.deadline_block < head.number + DEADLINE_MARGIN_BLOCKS for one in acceptances):
                continue
            self._note_signed(acceptances)
            try:
                return await self._send(acceptances, head), acceptances
            except TransactionReverted as error:
                is_last = attempt + 1 == MAX_PLACE_ATTEMPTS
                # Whatever the market objects to in a farmer, another may do: a farmer must not stop an order.
                names_farmer = "farmer" in error.args_by_name
                is_final = is_last or not (names_farmer or error.name in self.order.passing_errors)
                # What somebody counts on stays written down until the last word.
                if error.name != PLACED.refusal and (is_final or not self._is_acknowledged):
                    self.placements.forget(self.order.id)
                    self._noted = None
                if is_final:
                    raise refused(error) from error
                if names_farmer and not self.upload.replace_refused(error):
                    raise refused(error) from error
        raise PlaceFailed(
            "Acceptances lapsed before the order could be placed.",
            detail="Nothing was placed and nothing is paid.",
            hint="Try again; if it happens again, the chain or the way to it is too slow.",
            category=Category.CHAIN,
        )

    def _note_signed(self, acceptances: Sequence[Acceptance]) -> None:
        acknowledge = self.options.acknowledge
        is_told = acknowledge is not None
        self._noted = replace(self.order.placement(acceptances), is_acknowledged=is_told)
        self.placements.note(self._noted)
        if acknowledge is not None and not self._is_acknowledged:
            self._is_acknowledged = True
            self.upload.leaves_staged = True
            acknowledge(self._noted)

    def _take_back(self) -> None:
        """Anyone who was told that it is signed will be told that it failed: the farmers may forget it."""
        self.upload.leaves_staged = False
        if self._noted is not None and self._noted.is_acknowledged:
            try:
                self.placements.note(replace(self._noted, is_acknowledged=False))
            except HomeForgetful:
                # A full disk takes nothing, but gives up what it has: the next command would pay for it.
                self.placements.forget(self.order.id)

    async def _send(self, acceptances: Sequence[Acceptance], head: Head) -> Receipt:
        options = self.options
        options.watch(Step(what=self.order.step))

        async def note_mined(receipt: Receipt) -> None:
            self._noted = self.order.placement(acceptances, receipt)
            with suppress(HomeForgetful):
                self.placements.note(self._noted)
            await options.on_placed(self._noted.order)
            if options.confirmations:
                blocks = format_count(options.confirmations, "block")
                options.watch(Step(what=f"Waiting for {blocks} on top of the order's"))

        return await send_once(
            *(self.market, PLACED, self.order.id),
            partial(self.order.send, acceptances, confirmations=options.confirmations, on_mined=note_mined),
            begun_block=head.number,
            confirmations=options.confirmations,
            on_mined=note_mined,
        )


def refused(error: TransactionReverted) -> PlaceFailed:
    """What to say of an order that the market does not take."""
    if error.name == PLACED.refusal:
        return PlaceFailed(
            "The order is on the chain already.",
            detail="An earlier transaction of this order, or another command of this home, was first.",
            hint="`grange orders ls` shows it.",
        )
    values = ", ".join(
        f"{name} {value.hex()[:8] if isinstance(value, bytes) else value}"
        for name, value in error.args_by_name.items()
    )
    nothing = "Nothing was placed and nothing is paid"
    nothing += "." if error.tx_hash is None else ", but for the gas of the transaction."
    if error.is_by_token:
        return PlaceFailed(
            "The order was refused when it was to be paid.",
            detail=f"{TOKEN_REFUSED} {nothing}",
            hint=f"{ASK_TOKEN} What is in the vault can be spent as before.",
        )
    return PlaceFailed(
        f"The market refused the order: {error.name}{f' ({values})' if values else ''}.",
        detail=nothing,
        hint="Try again.",
    )

"""Extends an order: the same slots, from the day on which it ends, in an order of their own.

    who keeps it -> who could step in -> price                   `quote`: nothing is sent yet
         -> acceptances -> slots of those who will not go on,
            rebuilt and given to others -> extend                `extend`: until the last step nothing is paid

Nothing is uploaded for a slot whose farmer goes on. Decides who steps in for a farmer that is gone, has too
little at stake or does not accept for so long. Leaves rebuilding to `downloads.rebuild`, and when an order
can be extended to `extension_quote`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from grange.chain import Farmer, Receipt
from grange.chain.call_sizes import extend
from grange.chain.orders import OrderState
from grange.chain.outbox import OnMined
from grange.chain.witnesses import find_known_order
from grange.messages import NO_ORDER, order_id
from grange.tasks import together
from grange.transfer.acceptance import AcceptanceTerms, Keeper
from grange.transfer.directory import FarmerDirectory, Reputations
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import Listener, Step
from grange.transfer.listed import refusal_of
from grange.transfer.retry import RetryPolicy
from grange.transfer.selection import Candidate, Requirements, asked_rate, choose, unfit_for
from grange.transfer.slot_upload import Piece
from grange.transfer.upload import OrderUpload
from grange.types import NO_FARMER, Acceptance, Address, Epoch, FarmerId, OrderId, Terms
from grange.units import format_count
from grange_client.downloads.rebuild import SlotRebuilder
from grange_client.errors import CannotExtend, OrderMissing
from grange_client.orders.extension_quote import Extended, ExtensionQuote, end_after, salt_for
from grange_client.orders.lookup import SHOWN_ID_CHARACTERS
from grange_client.orders.market import RenterMarket
from grange_client.orders.placements import NOT_MINED, Placement, Placements, placed_slots
from grange_client.orders.placing import PASSING_ERRORS, PlaceOptions, Placing
from grange_client.orders.plan import Funds, check_gas, missing_from_vault
from grange_client.orders.tenure_check import TenureCheck

ReputationsAt = Callable[[Epoch], Awaitable[Reputations]]
"""What is known of farmers, as of an epoch."""
FEWER_EPOCHS: Final = "extend it for fewer --epochs"
BEGAN_VACANT: Final = "Nobody took it when it was extended by mandate."
OpenRebuilder = Callable[[OrderState, Listener], Awaitable[SlotRebuilder]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """What extending needs from its surroundings. `open_rebuilder` is for making slots of an order again."""

    account: Address
    """Whose the orders are."""
    sender: Address
    """Who sends: the account, or its delegate."""
    market: RenterMarket
    tenures: TenureCheck
    directory: FarmerDirectory
    policy: RetryPolicy
    open_rebuilder: OpenRebuilder
    funds: Callable[[], Awaitable[Funds]]
    placements: Placements

    async def quote(
        self, order: OrderState, epochs: int | None, reputations_at: ReputationsAt, watch: Listener
    ) -> ExtensionQuote:
        """Look at the farmers, and say what it would cost. `order` is as it is kept now.

        Raises CannotExtend, OrderMissing, NotEnoughFarmers, NotEnoughMoney and the errors of the chain.
        """
        await self.check_not_extended(order)
        clock, known = await together(self.market.clock(), find_known_order(self.market, order.id))
        parameters = self.market.parameters
        end = end_after(order, epochs, clock.epoch, parameters, when=clock.describe_epoch)
        needed = Requirements(
            k=order.geometry.k,
            n=order.geometry.n,
            slot_bytes=order.geometry.slot_bytes,
            start=order.end,
            end=end,
            collateral_epochs=parameters.collateral_epochs,
            shuffle_seed=order.id,
            unit=self.market.unit,
        )
        watch(Step(what="Looking at the farmers"))
        by_id = await self.directory.by_id(slot.farmer for slot in order.slots)
        holders = [slot.farmer for slot in order.slots if slot.farmer != NO_FARMER]
        if unknown := [farmer for farmer in holders if farmer not in by_id]:
            raise OrderMissing(
                f"The endpoint does not show farmer {unknown[0]}, which keeps a slot of this order.",
                detail="It is behind, or shows an old or another chain. Nothing was sent or paid.",
                hint="Run this again in a minute, or use another endpoint: `rpc` in config.json.",
            )
        present = [by_id.get(slot.farmer) for slot in order.slots]
        found = await self.directory.find_candidates(
            needed, reputations=await reputations_at(clock.epoch), keepers=holders, listener=watch
        )
        alive = {one.farmer.id: one for one in found.candidates if one.farmer.id in holders}
        reasons = [
            _reason(alive[slot.farmer], found.requirements, slot.rate)
            if slot.farmer in alive
            else BEGAN_VACANT
            if slot.farmer == NO_FARMER
            else found.silent.get(slot.farmer, "It does not answer.")
            for slot in order.slots
        ]
        staying = [alive[slot.farmer] for slot, why in zip(order.slots, reasons, strict=True) if not why]
        others = [one for one in found.candidates if one.farmer.id not in holders]
        candidates = [
            Keeper(farmer=chosen.farmer, rate=chosen.rate)
            for chosen in choose(others, found.requirements, beside=staying).ranked
        ]
        keepers = _assigned(present, reasons, candidates, needed)
        salt = salt_for(order, end, keepers)
        cost = sum(keeper.rate for keeper in keepers) * (end - order.end)
        funds, prices = await together(self.funds(), self.market.gas_prices())
        missing = missing_from_vault(cost, funds, cheaper=FEWER_EPOCHS)
        check_gas(extend(order.geometry.n), funds, prices)
        return ExtensionQuote(
            order=order,
            salt=salt,
            id=order_id(self.account, salt, sender=self.sender),
            end=end,
            keepers=keepers,
            candidates=tuple(candidates),
            cost=cost,
            missing=missing,
            block=clock.block,
            allows_hand_over=known is not None and known.allows_hand_over,
            away=frozenset(
                farmer.id
                for farmer in present
                if farmer is not None
                and farmer.id in found.silent
                and not farmer.lapsed
                and not refusal_of(self.directory.lists, farmer)
            ),
        )

    async def check_not_extended(self, order: OrderState, *, but: OrderId = NO_ORDER) -> None:
        """Raise CannotExtend if the chain shows that an order goes on already, as another than `but`.

        The market refuses a second extension; here it is said what the order goes on as.
        """
        extension = await self.market.extension_of(order.id, order.block)
        if extension not in (NO_ORDER, but):
            short = extension.hex()[:SHOWN_ID_CHARACTERS]
            raise CannotExtend(
                f"The order is extended already: it goes on as order {short}.",
                detail="Nothing was sent or paid.",
                hint=f"To keep it longer still, extend that before it ends: `grange orders extend {short}`.",
            )

    async def extend(self, quote: ExtensionQuote, options: PlaceOptions) -> Extended:
        """Collect acceptances, move what its farmers would not keep on, and extend the order; see also
        `store.Storing.put`.

        Raises NotEnoughFarmers, NotEnoughMoney, PlaceFailed and the errors of the chain; what was given to
        others is then given up. Raises QuoteUsed for a quote that was tried before.
        """
        quote.ticket.use()
        order = _NewOrder(self, quote, options.watch)
        async with order.upload(options.watch) as upload:
            receipt, acceptances = await Placing(
                order=order,
                upload=upload,
                market=self.market,
                placements=self.placements,
                options=options,
            ).run()
        return Extended(
            order=order.placement(acceptances, receipt).order,
            previous=quote.order,
            receipt=receipt,
            confirmations=receipt.depth,
        )


class _NewOrder:
    """The order that goes on where another ends, as `placing` sees it."""

    step = "Extending the order"
    passing_errors = PASSING_ERRORS | {"WrongSlots"}
    """It may be repaired while it is being extended: looked at again, its slots are others."""

    def __init__(self, extensions: Extensions, quote: ExtensionQuote, watch: Listener) -> None:
        self._with = extensions
        self._watch = watch
        self._quote = quote
        self._order = quote.order
        self._held = quote.order.held
        self._opening = asyncio.Lock()
        self._opened = AsyncExitStack()
        self._rebuilder: SlotRebuilder | None = None
        self.id = quote.id
        self.quoted_block = quote.block

    @asynccontextmanager
    async def upload(self, watch: Listener) -> AsyncIterator[OrderUpload]:
        """The slots on their way to those that are to keep them."""
        async with self._opened, self._upload(watch) as upload:
            yield upload

    def _upload(self, watch: Listener) -> OrderUpload:
        quote, geometry = self._quote, self._order.geometry
        keeping = {keeper.farmer.id for keeper in quote.keepers}
        return OrderUpload(
            terms=AcceptanceTerms(
                domain=self._with.market.domain,
                order=quote.id,
                geometry=geometry,
                end=quote.end,
                salt=quote.salt,
                previous=self._order.id,
            ),
            keepers=dict(enumerate(quote.keepers)),
            candidates=[one for one in quote.candidates if one.farmer.id not in keeping],
            make_pieces=self._make_pieces,
            root_of=lambda slot: self._order.slots[slot].root,
            name_pass=lambda slots, _: f"Moving {format_count(slots, 'slot')} to others",
            too_few=_too_few,
            open_peer=self._with.directory.peer,
            policy=self._with.policy,
            listen=watch,
            is_rebuilt=True,
            whole=set(range(geometry.n)) - quote.moved.keys(),
        )

    async def _make_pieces(self, segment: int, slots: Sequence[int]) -> Sequence[Piece]:
        async with self._opening:
            if self._rebuilder is None:
                rebuilder = await self._with.open_rebuilder(self._order, self._watch)
                self._rebuilder = await self._opened.enter_async_context(rebuilder)
        return await self._rebuilder.pieces(segment, slots)

    async def prepare(self) -> None:
        """See who keeps the order's slots now. Raises the errors of the chain."""
        self._held = (await self._with.tenures.look(self._order)).held

    async def send(
        self, acceptances: Sequence[Acceptance], *, confirmations: int, on_mined: OnMined
    ) -> Receipt:
        """In one transaction with what the vault is missing. Raises CannotExtend if another was first."""
        quote, geometry = self._quote, self._order.geometry
        terms = Terms(
            salt=quote.salt,
            end=quote.end,
            leaf_count=geometry.leaf_count,
            piece_leaves=geometry.piece_leaves,
            k=geometry.k,
            allows_hand_over=quote.allows_hand_over,
        )
        cost = sum(one.rate for one in acceptances) * quote.epochs

        async def missing() -> int:
            # Another computer may have extended it since, on other terms.
            await self._with.check_not_extended(self._order, but=quote.id)
            return missing_from_vault(cost, await self._with.funds(), cheaper=FEWER_EPOCHS)

        return await self._with.market.extend(
            self._held, terms, list(acceptances), missing, confirmations=confirmations, on_mined=on_mined
        )

    def placement(self, acceptances: Sequence[Acceptance], receipt: Receipt | None = None) -> Placement:
        """The new order as it is once it is in a block, no matter who placed it; NOT_MINED before."""
        order, quote = self._order, self._quote
        block, events = (NOT_MINED, ()) if receipt is None else (receipt.block, receipt.events)
        extended = OrderState(
            id=quote.id,
            renter=order.renter,
            block=block,
            start=order.end,
            end=quote.end,
            geometry=order.geometry,
            slots=placed_slots(acceptances, order.end, quote.id, events),
            previous=order.id,
            origin=order.sealed_as,
        )
        return Placement(
            name="",
            salt=quote.salt,
            order=extended,
            acceptances=tuple(acceptances),
            allows_hand_over=quote.allows_hand_over,
        )


def _reason(candidate: Candidate, needed: Requirements, kept_rate: int) -> str:
    """Why a farmer will not keep on what it has; empty if it may."""
    reason = unfit_for(candidate, needed, kept_rate=kept_rate)
    return f"It {reason}." if reason else ""


def _assigned(
    present: Sequence[Farmer | None],
    reasons: Sequence[str],
    candidates: list[Keeper],
    needed: Requirements,
) -> tuple[Keeper, ...]:
    keepers = []
    for farmer, reason in zip(present, reasons, strict=True):
        if farmer is not None and not reason:
            keepers.append(Keeper(farmer=farmer, rate=asked_rate(farmer, needed.slot_bytes)))
        elif candidates:
            why = reason if farmer is None else f"Farmer {farmer.id} does not go on. {reason}"
            keepers.append(replace(candidates.pop(0), reason=why))
        else:
            pairs = zip(present, reasons, strict=True)
            raise _too_few({NO_FARMER if one is None else one.id: why for one, why in pairs if why})
    return tuple(keepers)


def _too_few(failures: Mapping[FarmerId, str]) -> NotEnoughFarmers:
    return NotEnoughFarmers(
        "Some slots of the order would not be kept, and no other farmer is left to take them.",
        failures={f"farmer {farmer}": reason for farmer, reason in failures.items()},
        missing=1,
        detail="Nothing is paid. The order goes on as it is until it ends.",
        hint="Extend it for fewer --epochs or when more farmers are there, or fetch it and store it again.",
    )

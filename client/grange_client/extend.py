"""Prolonging an order: the same slots, from the day on which it ends, in an order of their own.

    who keeps it -> who could step in -> price                   `quote`: nothing is sent yet
         -> promises -> slots of those who will not go on,
            rebuilt and given to others -> extend                `extend`: until the last step nothing is paid

Nothing is uploaded for a slot whose farmer goes on. Decides who steps in for a farmer that is gone, has too
little at stake or promises nothing that long. Leaves rebuilding to `downloads.rebuild`, what farmers must be
like to `grange.transfer.selection`, and when an order can be extended to `renewal`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial

from grange.chain import Farmer, Receipt, TransactionReverted
from grange.chain.orders import OrderState
from grange.messages import NO_ORDER, order_id
from grange.transfer.acceptance import AcceptanceTerms, Keeper
from grange.transfer.directory import FarmerDirectory, Reputations
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import Listener, Step
from grange.transfer.retry import RetryPolicy
from grange.transfer.selection import Candidate, Requirements, asked_rate, choose, unfit_for
from grange.transfer.slot_upload import Piece
from grange.transfer.upload import OrderUpload
from grange.types import Acceptance, Address, FarmerId, OrderId, Terms
from grange_client.downloads.rebuild import SlotRebuilder
from grange_client.errors import CannotExtend, HomeForgetful, OrderMissing
from grange_client.orders.lookup import SHOWN_ID_CHARACTERS
from grange_client.orders.market import Market
from grange_client.orders.once import PLACED, send_once
from grange_client.orders.placements import NOT_MINED, Placement, Placements, placed_slots
from grange_client.orders.plan import Funds, missing_from_vault
from grange_client.orders.renewal import Extended, Renewal, end_after, salt_for
from grange_client.orders.store import (
    DEADLINE_MARGIN_BLOCKS,
    FARMER_ERRORS,
    MAX_PLACE_ATTEMPTS,
    PASSING_ERRORS,
    depth_of,
    refused,
)

PASSING_MOMENTS = PASSING_ERRORS | {"WrongSlots"}
"""An order may be repaired while it is being extended: looked at again, its slots are others."""

OpenRebuilder = Callable[[OrderState], Awaitable[SlotRebuilder]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extending:
    """What extending needs from its surroundings. `open_rebuilder` is for making slots of an order again."""

    account: Address
    market: Market
    directory: FarmerDirectory
    policy: RetryPolicy
    open_rebuilder: OpenRebuilder
    funds: Callable[[], Awaitable[Funds]]
    placements: Placements

    async def quote(
        self, order: OrderState, epochs: int | None, reputations: Reputations, watch: Listener
    ) -> Renewal:
        """Look at the farmers, and say what it would cost. `order` is as it is kept by now.

        Raises CannotExtend, OrderMissing, NotEnoughFarmers, NotEnoughMoney and the errors of the chain.
        """
        await self.check_not_extended(order)
        clock, parameters = await self.market.clock(), self.market.parameters
        end = end_after(order, epochs, clock.epoch, parameters, when=clock.describe_epoch)
        needed = Requirements(
            k=order.geometry.k,
            n=order.geometry.n,
            slot_bytes=order.geometry.slot_bytes,
            start=order.end,
            end=end,
            collateral_epochs=parameters.collateral_epochs,
            shuffle_seed=order.id,
        )
        watch(Step(what="Looking at the farmers"))
        by_id = await self.directory.by_id(slot.farmer for slot in order.slots)
        if unknown := [slot.farmer for slot in order.slots if slot.farmer not in by_id]:
            raise OrderMissing(
                f"The endpoint does not show farmer {unknown[0]}, which keeps a slot of this order.",
                means="It is behind, or shows an old or another chain. Nothing was sent or paid.",
                todo="Run this again in a minute, or use another endpoint: `rpc` in config.json.",
            )
        present = [by_id[slot.farmer] for slot in order.slots]
        ids = [farmer.id for farmer in present]
        found = await self.directory.survey(needed, reputations=reputations, keepers=ids, listener=watch)
        alive = {one.farmer.id: one for one in found.candidates if one.farmer.id in ids}
        reasons = [
            _reason(alive[farmer.id], found.requirements)
            if farmer.id in alive
            else found.silent.get(farmer.id, "It does not answer.")
            for farmer in present
        ]
        staying = [alive[farmer.id] for farmer, why in zip(present, reasons, strict=True) if not why]
        others = [one for one in found.candidates if one.farmer.id not in ids]
        spares = [
            Keeper(farmer=chosen.farmer, rate=chosen.rate)
            for chosen in choose(others, found.requirements, beside=staying).ranked
        ]
        keepers = _assigned(present, reasons, spares, needed)
        salt = salt_for(order, end, keepers)
        cost = sum(keeper.rate for keeper in keepers) * (end - order.end)
        return Renewal(
            order=order,
            salt=salt,
            id=order_id(self.account, salt),
            end=end,
            keepers=keepers,
            spares=tuple(spares),
            cost=cost,
            missing=missing_from_vault(cost, await self.funds()),
        )

    async def check_not_extended(self, order: OrderState, *, but: OrderId = NO_ORDER) -> None:
        """Raise CannotExtend if the chain shows that an order goes on already, as another than `but`.

        The market would take a second extension, and the same epochs would be paid twice.
        """
        extension = await self.market.extension_of(order.id, order.block)
        if extension not in (NO_ORDER, but):
            short = extension.hex()[:SHOWN_ID_CHARACTERS]
            raise CannotExtend(
                f"The order is extended already: it goes on as order {short}.",
                means="Nothing was sent or paid.",
                todo=f"To keep it longer still, extend that one before it ends: `grange extend {short}`.",
            )

    async def extend(
        self,
        renewal: Renewal,
        watch: Listener,
        *,
        confirmations: int = 0,
        on_placed: Callable[[OrderState], None] = lambda _: None,
    ) -> Extended:
        """Have everybody promise, move what nobody would keep on, and extend the order; see also
        `store.Storing.put`.

        Raises NotEnoughFarmers, NotEnoughMoney, PlaceFailed and the errors of the chain; what was given to
        others is then given up. Raises QuoteUsed for a quote that was tried before.
        """
        renewal.ticket.use()
        work = _Work(self, renewal, watch, confirmations, on_placed)
        receipt, acceptances = await work.extended()
        return Extended(
            order=work.placement(acceptances, receipt).order,
            previous=renewal.order,
            receipt=receipt,
            confirmations=await depth_of(self.market, receipt.block),
        )


class _Work:
    """One attempt to extend one order."""

    def __init__(
        self,
        extending: Extending,
        renewal: Renewal,
        watch: Listener,
        confirmations: int,
        on_placed: Callable[[OrderState], None],
    ) -> None:
        self._confirmations = confirmations
        self._on_placed = on_placed
        self._with = extending
        self._renewal = renewal
        self._order = renewal.order
        self._watch = watch
        self._opening = asyncio.Lock()
        self._opened = AsyncExitStack()
        self._rebuilder: SlotRebuilder | None = None

    async def extended(self) -> tuple[Receipt, list[Acceptance]]:
        async with self._opened, self._upload() as upload:
            return await self._placed(upload)

    def _upload(self) -> OrderUpload:
        renewal, geometry = self._renewal, self._order.geometry
        keeping = {keeper.farmer.id for keeper in renewal.keepers}
        return OrderUpload(
            terms=AcceptanceTerms(
                domain=self._with.market.domain,
                order=renewal.id,
                geometry=geometry,
                end=renewal.end,
                salt=renewal.salt,
                previous=self._order.id,
            ),
            keepers=dict(enumerate(renewal.keepers)),
            candidates=[spare for spare in renewal.spares if spare.farmer.id not in keeping],
            make_pieces=self._make_pieces,
            root_of=lambda slot: self._order.slots[slot].root,
            name_pass=lambda slots, _: f"Moving {'a slot' if slots == 1 else f'{slots} slots'} to others",
            too_few=_too_few,
            open_peer=self._with.directory.peer,
            policy=self._with.policy,
            listen=self._watch,
            is_rebuilt=True,
            whole=set(range(geometry.n)) - renewal.moved.keys(),
        )

    async def _make_pieces(self, segment: int, slots: Sequence[int]) -> Sequence[Piece]:
        async with self._opening:
            if self._rebuilder is None:
                rebuilder = await self._with.open_rebuilder(self._order)
                self._rebuilder = await self._opened.enter_async_context(rebuilder)
        return await self._rebuilder.pieces(segment, slots)

    async def _placed(self, upload: OrderUpload) -> tuple[Receipt, list[Acceptance]]:
        market, renewal = self._with.market, self._renewal
        for attempt in range(MAX_PLACE_ATTEMPTS):
            head = await market.head()
            acceptances = await upload.acceptances(deadline_block=head.number + DEADLINE_MARGIN_BLOCKS)
            held = self._order.refilled(await market.tenures(self._order.id, self._order.block)).held
            self._watch(Step(what="Extending the order"))

            async def missing(cost: int = sum(one.rate for one in acceptances) * renewal.epochs) -> int:
                # Another computer may have extended it since, on other terms.
                await self._with.check_not_extended(self._order, but=renewal.id)
                return missing_from_vault(cost, await self._with.funds())

            def mined(receipt: Receipt, acceptances: Sequence[Acceptance] = tuple(acceptances)) -> None:
                placement = self.placement(acceptances, receipt)
                with suppress(HomeForgetful):
                    self._with.placements.note(placement)
                self._on_placed(placement.order)

            self._with.placements.note(self.placement(acceptances))
            send = partial(
                market.extend,
                *(held, self._terms, acceptances, missing),
                confirmations=self._confirmations,
                on_mined=mined,
            )
            try:
                receipt = await send_once(
                    *(market, PLACED, renewal.id, send),
                    begun_block=head.number,
                    confirmations=self._confirmations,
                    on_mined=mined,
                )
            except TransactionReverted as error:
                if error.name != PLACED.refusal:
                    self._with.placements.forget(renewal.id)
                last = attempt + 1 == MAX_PLACE_ATTEMPTS
                if last or error.name not in FARMER_ERRORS | PASSING_MOMENTS:
                    raise refused(error) from error
                if error.name in FARMER_ERRORS and not upload.replace_refused(error):
                    raise refused(error) from error
            else:
                return receipt, acceptances
        raise AssertionError("the last attempt returns or raises")

    def placement(self, acceptances: Sequence[Acceptance], receipt: Receipt | None = None) -> Placement:
        """The new order as it is once it is in a block, whoever placed it; NOT_MINED before."""
        order, renewal = self._order, self._renewal
        block, events = (NOT_MINED, ()) if receipt is None else (receipt.block, receipt.events)
        extended = OrderState(
            id=renewal.id,
            renter=order.renter,
            block=block,
            start=order.end,
            end=renewal.end,
            geometry=order.geometry,
            slots=placed_slots(acceptances, order.end, renewal.id, events),
            previous=order.id,
            origin=order.sealed_as,
        )
        return Placement(name="", salt=renewal.salt, order=extended, acceptances=tuple(acceptances))

    @property
    def _terms(self) -> Terms:
        geometry = self._order.geometry
        return Terms(
            salt=self._renewal.salt,
            end=self._renewal.end,
            leaf_count=geometry.leaf_count,
            piece_leaves=geometry.piece_leaves,
            k=geometry.k,
        )


def _reason(candidate: Candidate, needed: Requirements) -> str:
    """Why a farmer will not keep on what it has; empty if it may."""
    reason = unfit_for(candidate, needed, keeps=True)
    return f"It {reason}." if reason else ""


def _assigned(
    present: Sequence[Farmer], reasons: Sequence[str], spares: list[Keeper], needed: Requirements
) -> tuple[Keeper, ...]:
    keepers = []
    for farmer, reason in zip(present, reasons, strict=True):
        if not reason:
            keepers.append(Keeper(farmer=farmer, rate=asked_rate(farmer, needed.slot_bytes)))
        elif spares:
            keepers.append(replace(spares.pop(0), reason=f"Farmer {farmer.id} will not: {reason}"))
        else:
            failures = {f.id: why for f, why in zip(present, reasons, strict=True) if why}
            raise _too_few(failures)
    return tuple(keepers)


def _too_few(failures: Mapping[FarmerId, str]) -> NotEnoughFarmers:
    return NotEnoughFarmers(
        "Some slots of the order would not be kept, and no other farmer is left to take them.",
        failures={f"farmer {farmer}": reason for farmer, reason in failures.items()},
        missing=1,
        means="Nothing is paid. The order goes on as it is until it ends.",
        todo="Extend it for fewer --epochs or when more farmers are there, or fetch it and store it again.",
    )

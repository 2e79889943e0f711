"""Prolonging an order: the same slots, from the day on which it ends, in an order of their own.

    who keeps it -> who could step in -> price                   `quote`: nothing is sent yet
         -> promises -> slots of those who will not go on,
            rebuilt and given to others -> extend                `extend`: until the last step nothing is paid

Nothing is uploaded for a slot whose farmer goes on. Decides who steps in for a farmer that is gone, has too
little at stake or promises nothing that long. Leaves rebuilding to `regrow`, what farmers must be like to
`select`, and when an order can be extended to `renewal`.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from functools import partial

from grange.chain import Farmer, Receipt, TransactionReverted
from grange.errors import Told
from grange.messages import NO_ORDER, order_id
from grange.peer import FARMER_FAULTS, dealing_with
from grange.transfer.acceptance import AcceptanceTerms, Keeper, SlotRequest, collect
from grange.transfer.directory import FarmerDirectory, Reputations
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import FarmerReplaced, Listener, Progress, Step
from grange.transfer.retry import RetryPolicy
from grange.transfer.selection import Candidate, Requirements, asked_rate, choose, unfit_for
from grange.types import Acceptance, Address, OrderId, Terms
from grange_client.errors import CannotExtend, HomeForgetful, OrderMissing
from grange_client.files.encode import Piece
from grange_client.orders.closing import held_from_events
from grange_client.orders.lookup import SHOWN_ID_CHARACTERS
from grange_client.orders.market import Market
from grange_client.orders.once import PLACED, send_once
from grange_client.orders.orders import PlacedOrder
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

Regrown = Callable[[PlacedOrder, Sequence[int]], AsyncGenerator[list[Piece], None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extending:
    """What extending needs from its surroundings. `regrown` gives the pieces of slots of an order again."""

    account: Address
    market: Market
    directory: FarmerDirectory
    policy: RetryPolicy
    regrown: Regrown
    funds: Callable[[], Awaitable[Funds]]
    placements: Placements

    async def quote(
        self, order: PlacedOrder, epochs: int | None, reputations: Reputations, watch: Listener
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

    async def check_not_extended(self, order: PlacedOrder, *, but: OrderId = NO_ORDER) -> None:
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
        on_placed: Callable[[PlacedOrder], None] = lambda _: None,
    ) -> Extended:
        """Have everybody promise, move what nobody would keep on, and extend the order; see also
        `store.Storing.put`.

        Raises NotEnoughFarmers, NotEnoughMoney, PlaceFailed and the errors of the chain; what was given to
        others is then given up. Raises QuoteUsed for a quote that was tried before.
        """
        renewal.ticket.use()
        work = _Work(self, renewal, watch, confirmations, on_placed)
        done = False
        try:
            receipt, acceptances = await work.extended()
            done = True
        finally:
            if not done:
                await work.drop()
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
        on_placed: Callable[[PlacedOrder], None],
    ) -> None:
        self._confirmations = confirmations
        self._on_placed = on_placed
        self._with = extending
        self._policy = extending.policy
        self._renewal = renewal
        self._order = renewal.order
        self._watch = watch
        self._keepers = list(renewal.keepers)
        self._spares = [one for one in renewal.spares if one.farmer not in [k.farmer for k in self._keepers]]
        self._unsent = set(renewal.moved)
        self._sent: list[tuple[int, Keeper]] = []
        self._failures: dict[str, str] = {}

    async def extended(self) -> tuple[Receipt, list[Acceptance]]:
        market, renewal = self._with.market, self._renewal
        for attempt in range(MAX_PLACE_ATTEMPTS):
            head = await market.head()
            acceptances = await self._promises(head.number + DEADLINE_MARGIN_BLOCKS)
            held = held_from_events(self._order, await market.tenures(self._order.id, self._order.block))
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
                    market, PLACED, renewal.id, send, confirmations=self._confirmations, on_mined=mined
                )
            except TransactionReverted as error:
                if error.name != PLACED.refusal:
                    self._with.placements.forget(renewal.id)
                last = attempt + 1 == MAX_PLACE_ATTEMPTS
                if last or error.name not in FARMER_ERRORS | PASSING_MOMENTS:
                    raise refused(error) from error
                if error.name in FARMER_ERRORS:
                    self._refused_by_market(acceptances, error)
            else:
                return receipt, acceptances
        raise AssertionError("the last attempt returns or raises")

    def placement(self, acceptances: Sequence[Acceptance], receipt: Receipt | None = None) -> Placement:
        """The new order as it is once it is in a block, whoever placed it; NOT_MINED before."""
        order, renewal = self._order, self._renewal
        block, events = (NOT_MINED, ()) if receipt is None else (receipt.block, receipt.events)
        extended = PlacedOrder(
            id=renewal.id,
            block=block,
            start=order.end,
            end=renewal.end,
            geometry=order.geometry,
            slots=placed_slots(acceptances, renewal.id, events),
            previous=order.id,
            origin=order.sealed_as,
        )
        return Placement(name="", salt=renewal.salt, order=extended, acceptances=tuple(acceptances))

    async def drop(self) -> None:
        """Tell those who were given pieces to forget them; best effort, bounded in time."""

        async def one(slot: int, keeper: Keeper) -> None:
            with suppress(Told), dealing_with(keeper.farmer.id):
                await self._with.directory.peer(keeper.farmer).drop(self._renewal.id, slot)

        with suppress(TimeoutError):
            async with asyncio.timeout(self._policy.drop_seconds):
                await asyncio.gather(*(one(slot, keeper) for slot, keeper in self._sent))

    async def _promises(self, deadline_block: int) -> list[Acceptance]:
        """Everybody's promise; of somebody else where one gives none."""
        while True:
            if self._unsent:
                await self._move(sorted(self._unsent))
            self._watch(Step(what="Asking for promises"))
            asked = await asyncio.gather(*(self._asked(slot, deadline_block) for slot in range(self._n)))
            if all(isinstance(one, Acceptance) for one in asked):
                return [one for one in asked if isinstance(one, Acceptance)]
            for slot, one in enumerate(asked):
                if isinstance(one, Told):
                    self._replace(slot, one.what)

    async def _asked(self, slot: int, deadline_block: int) -> Acceptance | Told:
        keeper, renewal = self._keepers[slot], self._renewal
        terms = AcceptanceTerms(
            domain=self._with.market.domain,
            order=renewal.id,
            geometry=self._order.geometry,
            end=renewal.end,
            salt=renewal.salt,
            previous=self._order.id,
        )
        request = SlotRequest(slot=slot, root=self._order.slots[slot].root, keeper=keeper)
        answers = await collect(
            [request],
            terms,
            open_peer=self._with.directory.peer,
            policy=self._policy,
            deadline_block=deadline_block,
            is_last=lambda: not self._spares,
        )
        return answers[slot]

    def _replace(self, slot: int, reason: str) -> None:
        old = self._keepers[slot]
        self._failures[f"farmer {old.farmer.id}"] = reason
        if not self._spares:
            raise _too_few(self._failures)
        spare = self._spares.pop(0)
        self._keepers[slot] = replace(spare, reason=reason)
        self._unsent.add(slot)
        self._watch(FarmerReplaced(slot=slot, farmer=old.farmer.id, successor=spare.farmer.id, reason=reason))

    async def _move(self, slots: Sequence[int]) -> None:
        """Rebuild these slots and give them to their keepers; who does not take them gives way."""
        size_bytes = self._order.geometry.segments * self._order.geometry.k * self._order.geometry.block_bytes
        noun = "a slot" if len(slots) == 1 else f"{len(slots)} slots"
        self._watch(Step(what=f"Moving {noun} to others", total_bytes=size_bytes))
        self._sent += [(slot, self._keepers[slot]) for slot in slots]
        failed: dict[int, str] = {}

        async def send(piece: Piece) -> None:
            keeper = self._keepers[piece.slot]
            try:
                with dealing_with(keeper.farmer.id):
                    peer = self._with.directory.peer(keeper.farmer)
                    await self._policy.call(
                        lambda: peer.put_piece(
                            self._renewal.id, piece.slot, piece.segment, piece.data, piece.root
                        ),
                        is_last=lambda: not self._spares,
                    )
            except FARMER_FAULTS as error:
                failed.setdefault(piece.slot, error.what)

        async with aclosing(self._with.regrown(self._order, slots)) as segments:
            async for pieces in segments:
                await asyncio.gather(*(send(piece) for piece in pieces if piece.slot not in failed))
                self._watch(Progress(size_bytes=size_bytes // self._order.geometry.segments))
        self._unsent -= set(slots)
        for slot, reason in failed.items():
            self._replace(slot, reason)
        if self._unsent:
            await self._move(sorted(self._unsent))

    def _refused_by_market(self, acceptances: Sequence[Acceptance], error: TransactionReverted) -> None:
        farmer = error.args_by_name.get("farmer")
        for slot, acceptance in enumerate(acceptances):
            if acceptance.farmer == farmer:
                self._replace(slot, f"The market does not take farmer {farmer}: {error.name}.")
                return
        raise refused(error) from error

    @property
    def _n(self) -> int:
        return self._order.geometry.n

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
            failures = {f"farmer {f.id}": why for f, why in zip(present, reasons, strict=True) if why}
            raise _too_few(failures)
    return tuple(keepers)


def _too_few(failures: dict[str, str]) -> NotEnoughFarmers:
    return NotEnoughFarmers(
        "Some slots of the order would not be kept, and no other farmer is left to take them.",
        failures=failures,
        missing=1,
        means="Nothing is paid. The order goes on as it is until it ends.",
        todo="Extend it for fewer --epochs or when more farmers are there, or fetch it and store it again.",
    )

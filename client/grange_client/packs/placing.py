"""A pack as an order, and going on with one that was begun.

    salt = packs.new_salt()
    with spool.begin(keys, packs.order_of(salt)) as draft:
        ...
        quote = await packs.quote(draft.write_journal(header, records), options, salt=salt)
        with draft.finish(quote) as pack:
            placed = await packs.place(spool, pack, drive=0)

    for pack in spool.claim_all():                      the next command, if that one was killed
        with pack:
            placed = await packs.place(spool, pack, drive=0)

The one that goes on makes the same pieces for the same order, and asks its farmers first what they have:
nothing is sent twice, and the market takes an order once. Until it is placed farmers keep what they have,
however an attempt ends. Decides what is written down when. Leaves sending and placing to
`orders.order_storing`.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from grange.chain import Farmer
from grange.chain.orders import OrderState
from grange.errors import Misuse
from grange.layout import Geometry
from grange.transfer.directory import Reputations
from grange.transfer.events import FarmerReplaced, Listener, ProgressEvent, ignore_progress
from grange.types import Epoch, OrderId
from grange.units import LEAF_BYTES, MAX_LEAF_COUNT
from grange_client.drive.journal import PackDescriptor
from grange_client.errors import NothingToStore, OrderMissing, PlaceFailed
from grange_client.files.encode import SegmentEncoder
from grange_client.orders.catalog import Catalog
from grange_client.orders.lookup import SHOWN_ID_CHARACTERS
from grange_client.orders.notes import Notes
from grange_client.orders.order_keys import OrderKeys
from grange_client.orders.order_storing import OrderQuote, OrderStoring
from grange_client.orders.placing import Acknowledge, PlaceOptions
from grange_client.orders.plan import StoreOptions, check_spend_limit
from grange_client.orders.sync import Synced
from grange_client.orders.tenure_check import TenureCheck
from grange_client.packs.descriptor import descriptor_of
from grange_client.packs.spool import Spool
from grange_client.packs.spool_file import SpooledPack


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedPack:
    """A pack that is on the chain."""

    order: OrderState
    descriptor: PackDescriptor


class OptionsOf(Protocol):
    """How a renter has orders placed."""

    def __call__(
        self,
        watch: Listener,
        confirmations: int | None,
        on_placed: Callable[[OrderState], Awaitable[None]],
        acknowledge: Acknowledge | None = None,
    ) -> PlaceOptions:
        """The options, with what is remembered of farmers taken care of."""


@dataclass(slots=True, kw_only=True)
class PackPlacing:
    """What placing packs needs from its surroundings."""

    orders: OrderStoring
    catalog: Catalog
    keys: OrderKeys
    tenures: TenureCheck
    notes: Notes
    options: OptionsOf
    reputations_at: Callable[[Epoch], Awaitable[Reputations]]
    diagnosed: Callable[[], AbstractAsyncContextManager[None]]
    note_agreed: Callable[[OrderState, Iterable[Farmer]], None]
    sync: Callable[[Listener], Awaitable[Synced]]

    def new_salt(self) -> bytes:
        """Of a pack that nobody has begun."""
        return self.orders.new_salt()

    def order_of(self, salt: bytes) -> OrderId:
        """The order that a pack is to be sealed for."""
        return self.orders.order_of(salt)

    async def quote(
        self,
        size_bytes: int,
        options: StoreOptions,
        *,
        salt: bytes | None = None,
        watch: Listener = ignore_progress,
    ) -> OrderQuote:
        """What a pack of so many bytes at least would take and cost. Nothing is sent.

        Raises NothingToStore for more than an order holds, NotEnoughFarmers, NotEnoughMoney and the errors of
        the chain.
        """
        async with self.notes.settling(), self.diagnosed():
            return await self.orders.quote(
                partial(shape_of_pack, size_bytes), options, self.reputations_at, watch, salt=salt
            )

    async def place(
        self,
        spool: Spool,
        pack: SpooledPack,
        *,
        drive: int,
        watch: Listener = ignore_progress,
        confirmations: int | None = None,
        acknowledge: Acknowledge | None = None,
        before_placing: Callable[[], Awaitable[None]] | None = None,
    ) -> PlacedPack:
        """Place a pack, and wait until it is buried; nothing is done twice of what another attempt did.

        `before_placing` may raise what speaks against it in the last moment. Raises OverSpendingLimit where
        it costs more than its plan allows, NotReadable for a pack that the disk has damaged, SourceChanged,
        NotEnoughFarmers, NotEnoughMoney, PlaceFailed and the errors of the chain; farmers then keep what they
        have for a while, and another attempt goes on from there.
        """
        if pack.quote is None and (order := await self._order_on_chain(pack, watch)) is not None:
            return await self._placed(spool, pack, order, drive, watch)
        quote = pack.quote or await self._quote_again(pack, watch)
        unit = self.orders.market.unit
        check_spend_limit(quote.cost, pack.plan.max_cost, unit)
        quote.ticket.use()
        pack = self._note_keepers(spool, pack, quote)
        rates = {one.farmer.id: one.rate for one in quote.choice.ranked}

        def listen(event: ProgressEvent) -> None:
            nonlocal pack
            if isinstance(event, FarmerReplaced):
                # Before it is sent anything: else the next attempt would send it to another.
                pack = spool.note_keeper(pack, event.slot, event.successor, rates[event.successor])
            watch(event)

        async def note(order: OrderState) -> None:
            nonlocal pack
            self.orders.pending.note_mined(order.id)
            pack = spool.note_placed(pack, order.block)
            await self.keys.note_placed(order.sealed_as)
            await self.notes.take(lambda: self._note(order, drive))

        async def check() -> None:
            if pack.plan.max_cost is not None:
                # Farmers that stepped in may be dearer.
                epochs = quote.end - (await self.orders.market.head()).epoch - 1
                cost = sum(rate for _, rate in pack.plan.unfinished.keepers) * epochs
                check_spend_limit(cost, pack.plan.max_cost, unit, is_sent=True)
            if before_placing is not None:
                await before_placing()

        encoder = SegmentEncoder(pack, quote.geometry)
        async with self.notes.settling(), self.diagnosed():
            order, _ = await self.orders.place(
                quote,
                encoder,
                self.options(listen, confirmations, note, acknowledge),
                name="",
                is_resumed=pack.quote is None,
                can_resume=True,
                before_placing=check,
            )
        self.tenures.note_placed(order)
        self.note_agreed(order, [one.farmer for one in quote.choice.ranked])
        return await self._placed(spool, pack, order, drive, watch)

    async def _placed(
        self, spool: Spool, pack: SpooledPack, order: OrderState, drive: int, watch: Listener
    ) -> PlacedPack:
        if pack.plan.block != order.block:
            spool.note_placed(pack, order.block)
        await self.notes.take(lambda: self._note(order, drive))
        head = await self.orders.market.head()
        return PlacedPack(order=order, descriptor=descriptor_of(order, max(head.number, order.block)))

    async def _order_on_chain(self, pack: SpooledPack, watch: Listener) -> OrderState | None:
        """The order of a pack, if an earlier attempt has placed it. Raises OrderMissing where the market has
        it and its events are not shown."""
        if await self.orders.market.order(pack.order) is None:
            return None
        await self.sync(watch)
        order = await self.orders.executors.in_database(self.catalog.index.order, pack.order)
        if order is None:
            short = pack.order.hex()[:SHOWN_ID_CHARACTERS]
            raise OrderMissing(
                f"The market has order {short}, and the endpoint does not show its events.",
                detail="An earlier command placed it, and it is paid. The endpoint is behind, or it lies.",
                hint="Run this again in a minute, or use another endpoint: `rpc` in config.json.",
            )
        return order

    async def _quote_again(self, pack: SpooledPack, watch: Listener) -> OrderQuote:
        await self.orders.executors.on_disk(pack.check)
        epoch = (await self.orders.market.head()).epoch
        if epoch + 1 >= pack.plan.unfinished.end:
            raise PlaceFailed(
                "A pack that an earlier command began was to be kept until now, and is too late.",
                detail="Nothing of it was published or paid.",
                hint="What was to be stored is stored again, in another pack.",
            )
        async with self.notes.settling(), self.diagnosed():
            return await self.orders.quote_again(pack.plan.unfinished, self.reputations_at, watch)

    def _note_keepers(self, spool: Spool, pack: SpooledPack, quote: OrderQuote) -> SpooledPack:
        for slot, chosen in enumerate(quote.chosen):
            if pack.plan.unfinished.keepers[slot] != (chosen.farmer.id, chosen.rate):
                pack = spool.note_keeper(pack, slot, chosen.farmer.id, chosen.rate)
        return pack

    def _note(self, order: OrderState, drive: int) -> None:
        self.catalog.index.note(order)
        self.catalog.note_pack(order.sealed_as, drive)


def shape_of_pack(size_bytes: int, k: int, n: int) -> Geometry:
    """The shape of the order for a pack of so many bytes. Raises NothingToStore for more than one holds."""
    try:
        return Geometry.for_pack(size_bytes, k, n)
    except Misuse as error:
        raise NothingToStore(
            f"A pack of {size_bytes:,} bytes does not fit into one order of {k} of {n}.",
            detail=f"One farmer takes at most {MAX_LEAF_COUNT * LEAF_BYTES:,} bytes. Nothing was sent.",
            hint="Store with a larger --k.",
        ) from error

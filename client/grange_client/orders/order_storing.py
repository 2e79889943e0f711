"""Making an order out of anything: who is to keep it, for how much, and getting it onto the chain.

    quote = await orders.quote(shape, options, reputations_at, watch)
    placed, receipt = await orders.place(quote, encoder, options, name=...)

What its data pieces are made of is the encoder's source: the files of a `put` (`store`), or a pack of a
drive. Decides the order of these steps. Leaves each step to its own module.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Final

from grange.chain import Receipt
from grange.chain.call_sizes import place
from grange.chain.orders import OrderState
from grange.chain.outbox import OnMined
from grange.executors import Executors
from grange.layout import Geometry
from grange.messages import SALT_BYTES, order_id
from grange.tasks import together
from grange.transfer.acceptance import AcceptanceTerms, Keeper
from grange.transfer.directory import FarmerDirectory, Reputations
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import Listener, Step
from grange.transfer.retry import RetryPolicy
from grange.transfer.selection import Candidate, Choice, Chosen, Requirements, choose
from grange.transfer.slot_upload import Piece
from grange.transfer.upload import OrderUpload
from grange.types import Acceptance, Epoch, FarmerId, OrderId, Terms
from grange_client.errors import NotEnoughMoney, QuoteUsed
from grange_client.files.encode import SegmentEncoder
from grange_client.keys.recovery_phrase import Identity
from grange_client.orders.cautions import cautions, rounding
from grange_client.orders.farmer_choice import choose_farmers
from grange_client.orders.market import RenterMarket
from grange_client.orders.pending import PendingOrders
from grange_client.orders.placements import NOT_MINED, Placement, Placements, placed_slots
from grange_client.orders.placing import PASSING_ERRORS, PlaceOptions, Placing
from grange_client.orders.plan import (
    Funds,
    StoreOptions,
    after_paying,
    check_gas,
    end_for,
    missing_from_vault,
    price,
)

FEWER_EPOCHS: Final = "store it for fewer --epochs"
ShapeOf = Callable[[int, int], Geometry]
"""The shape of an order for a code of k and n. Raises NothingToStore for more than it holds."""


class Ticket:
    """Good for one attempt to store, no matter who makes it and however it ends.

    The order's key follows from the salt and a block's nonce from its place, so a second attempt with the
    same salt, over files that have changed, would seal two different blocks under one key and nonce.
    """

    def __init__(self) -> None:
        self._lock = Lock()

    def use(self) -> None:
        """Raise QuoteUsed unless this is the first time."""
        if not self._lock.acquire(blocking=False):
            raise QuoteUsed(
                "This quote was used already.",
                detail="Each attempt to store needs an order and a key of its own.",
                hint="Ask for another quote.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderQuote:
    """What making an order would take: everything decided, nothing sent. To be used once."""

    geometry: Geometry
    salt: bytes
    order: OrderId
    start: Epoch
    end: Epoch
    choice: Choice
    cost: int
    missing: int
    """What will be moved from the wallet into the vault."""
    block: int
    """The newest block at that time."""
    cautions: tuple[str, ...] = ()
    """What to know before one agrees: of these farmers, and of earlier attempts."""
    allows_hand_over: bool = True
    """Whether farmers may pass slots on to others."""
    ticket: Ticket = field(default_factory=Ticket, repr=False, compare=False)

    @property
    def chosen(self) -> tuple[Chosen, ...]:
        """The farmers that are to have the slots."""
        return self.choice.ranked[: self.geometry.n]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedOrder:
    """An order of which an earlier attempt may have sent some: all that its farmers sign for."""

    salt: bytes
    geometry: Geometry
    end: Epoch
    keepers: tuple[tuple[FarmerId, int], ...]
    """Who is to have each slot, and at which rate."""
    allows_hand_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStoring:
    """What making orders needs from its surroundings."""

    identity: Identity
    market: RenterMarket
    directory: FarmerDirectory
    policy: RetryPolicy
    executors: Executors
    placements: Placements
    pending: PendingOrders
    now: Callable[[], float] = time.time
    random: Callable[[int], bytes] = secrets.token_bytes

    def new_salt(self) -> bytes:
        """Of an order that nobody has begun."""
        return self.random(SALT_BYTES)

    def order_of(self, salt: bytes) -> OrderId:
        """The id of the order that our key places with this salt."""
        return order_id(self.identity.account, salt, sender=self.identity.wallet.address)

    async def quote(
        self,
        shape_of: ShapeOf,
        options: StoreOptions,
        reputations_at: Callable[[Epoch], Awaitable[Reputations]],
        watch: Listener,
        *,
        salt: bytes | None = None,
    ) -> OrderQuote:
        """Look at the farmers, and say what it would cost. Without a `salt` one is drawn.

        Raises NotEnoughFarmers, NotEnoughMoney, TransactionReverted where the token would not let the account
        pay, the errors of the chain, and what `shape_of` raises.
        """
        watch(Step(what="Looking for farmers"))
        parameters = self.market.parameters
        clock, funds, prices = await together(self.market.clock(), self.funds(), self.market.gas_prices())
        end = end_for(options, clock.epoch, parameters, when=clock.describe_epoch)
        salt = salt or self.new_salt()
        start = Epoch(clock.epoch + 1)
        needed, choice = await choose_farmers(
            self.directory,
            options,
            lambda k, n: self._requirements(shape_of(k, n), start, end, salt),
            reputations=await reputations_at(clock.epoch),
            watch=watch,
        )
        cost = price(choice.ranked[: needed.n], start, end)
        missing = await self._missing(cost, funds, watch)
        check_gas(place(needed.n), funds, prices)
        return OrderQuote(
            geometry=shape_of(needed.k, needed.n),
            salt=salt,
            order=self.order_of(salt),
            start=start,
            end=end,
            choice=choice,
            cautions=(
                *cautions(choice, needed),
                *rounding(
                    ((one.farmer.offer.price_per_gib_epoch, one.rate) for one in choice.ranked[: needed.n]),
                    needed.slot_bytes,
                    end - start,
                    self.market.unit,
                ),
            ),
            cost=cost,
            missing=missing,
            block=clock.block,
            allows_hand_over=options.allows_hand_over,
        )

    async def quote_again(
        self,
        begun: UnfinishedOrder,
        reputations_at: Callable[[Epoch], Awaitable[Reputations]],
        watch: Listener,
    ) -> OrderQuote:
        """What it takes to go on with an order that was begun, with the same farmers as far as they are
        there, and others behind them. Raises as `quote` does."""
        watch(Step(what="Looking for farmers"))
        clock, funds = await together(self.market.clock(), self.funds())
        start = Epoch(clock.epoch + 1)
        needed = self._requirements(begun.geometry, start, begun.end, begun.salt)
        keepers = [farmer for farmer, _ in begun.keepers]
        found = await self.directory.find_candidates(
            needed, reputations=await reputations_at(clock.epoch), keepers=keepers, listener=watch
        )
        choice = choose(found.candidates, found.requirements)
        choice = replace(choice, ranked=_keepers_first(begun.keepers, found.candidates, choice.ranked))
        if len(choice.ranked) < needed.n:
            raise NotEnoughFarmers(
                f"{needed.n} farmers are needed to go on, and {len(choice.ranked)} can take a part.",
                failures={f"farmer {one}": why for one, why in (found.silent | found.unfit).items()},
                missing=needed.n - len(choice.ranked),
                detail="Nothing is paid. What farmers have of it they keep for a while.",
                hint="Try again when more farmers are there.",
            )
        cost = price(choice.ranked[: needed.n], start, begun.end)
        missing = await self._missing(cost, funds, watch)
        return OrderQuote(
            geometry=begun.geometry,
            salt=begun.salt,
            order=self.order_of(begun.salt),
            start=start,
            end=begun.end,
            choice=choice,
            cost=cost,
            missing=missing,
            block=clock.block,
            allows_hand_over=begun.allows_hand_over,
        )

    async def place(
        self,
        quote: OrderQuote,
        encoder: SegmentEncoder,
        options: PlaceOptions,
        *,
        name: str,
        is_resumed: bool = False,
        can_resume: bool = False,
        before_placing: Callable[[], Awaitable[None]] | None = None,
    ) -> tuple[OrderState, Receipt]:
        """Store what was quoted, in one transaction, and wait until it is buried as the options say.
        `before_placing` may raise what speaks against it in the last moment.

        Raises SourceChanged, NotEnoughFarmers, NotEnoughMoney, PlaceFailed and the errors of the chain;
        whatever was staged is then given up, unless another attempt `can_resume`. `is_resumed` says that this
        is one: farmers are asked what they have already.
        """
        order = _NewOrder(self, quote, encoder, name, before_placing)
        if is_resumed:
            # What is not sent again has roots all the same.
            for segment in range(quote.geometry.segments):
                await self.executors.on_cpu(encoder.learn_roots, segment)
        upload = self._upload(quote, order, options.watch, is_resumed=is_resumed, can_resume=can_resume)
        async with upload:
            receipt, acceptances = await Placing(
                order=order,
                upload=upload,
                market=self.market,
                placements=self.placements,
                options=options,
            ).run()
        return order.placement(acceptances, receipt).order, receipt

    def _upload(
        self,
        quote: OrderQuote,
        order: "_NewOrder",
        watch: Listener,
        *,
        is_resumed: bool,
        can_resume: bool,
    ) -> OrderUpload:
        encoder = order.encoder

        async def make_pieces(segment: int, slots: Sequence[int]) -> list[Piece]:
            order.is_read = True
            return await self.executors.on_cpu(encoder.pieces, segment, slots)

        keepers = [Keeper(farmer=one.farmer, rate=one.rate) for one in quote.choice.ranked]
        n = quote.geometry.n
        return OrderUpload(
            terms=AcceptanceTerms(
                domain=self.market.domain,
                order=quote.order,
                geometry=quote.geometry,
                end=quote.end,
                salt=quote.salt,
            ),
            keepers=dict(enumerate(keepers[:n])),
            candidates=keepers[n:],
            make_pieces=make_pieces,
            root_of=encoder.roots.slot_root,
            name_pass=lambda _, is_first: "Storing" if is_first else "Catching up",
            too_few=_too_few,
            open_peer=self.directory.peer,
            policy=self.policy,
            listen=watch,
            is_resumed=is_resumed,
            can_resume=can_resume,
        )

    def _requirements(self, geometry: Geometry, start: Epoch, end: Epoch, salt: bytes) -> Requirements:
        return Requirements(
            k=geometry.k,
            n=geometry.n,
            slot_bytes=geometry.slot_bytes,
            start=start,
            end=end,
            collateral_epochs=self.market.parameters.collateral_epochs,
            shuffle_seed=self.order_of(salt),
            unit=self.market.unit,
        )

    async def _missing(self, cost: int, funds: Funds, watch: Listener) -> int:
        """What the vault lacks when the orders that are on their way are paid. Raises NotEnoughMoney."""
        try:
            return missing_from_vault(cost, after_paying(self.pending.cost, funds), cheaper=FEWER_EPOCHS)
        except NotEnoughMoney:
            if not self.pending.cost:
                raise
        # Some of it may have been paid already, or come to nothing: when they have ended, it is known.
        watch(Step(what="Waiting until earlier orders are placed"))
        await self.pending.settled()
        return missing_from_vault(cost, await self.funds(), cheaper=FEWER_EPOCHS)

    async def funds(self) -> Funds:
        """What there is to pay with."""
        if not self.identity.is_account:
            return await self._limited_funds()
        account, market = self.identity.account, self.market
        # The refusal before the wallet: what another command spends between the two leaves none to refuse.
        vault, refusal, wallet, native = await together(
            market.vault(account),
            market.transfer_refusal(),
            market.token_balance(account),
            market.native_balance(account),
        )
        return Funds(
            vault=vault,
            wallet=wallet,
            native=native,
            address=account,
            unit=market.unit,
            refusal=refusal if wallet else None,
        )

    async def _limited_funds(self) -> Funds:
        """What a delegate can pay with: its account's vault, as far as its limits go, and gas of its own."""
        account, own, market = self.identity.account, self.identity.wallet.address, self.market
        vault, delegation, native = await together(
            market.vault(account), market.delegation(account, own), market.native_balance(own)
        )
        left = delegation.left_for_orders
        return Funds(
            vault=min(vault, left),
            wallet=0,
            native=native,
            address=own,
            limit=left,
            unit=market.unit,
        )


class _NewOrder:
    """A quote that is being carried out, as `placing` sees it."""

    step = "Placing the order"
    passing_errors = PASSING_ERRORS

    def __init__(
        self,
        storing: OrderStoring,
        quote: OrderQuote,
        encoder: SegmentEncoder,
        name: str,
        before_placing: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self._storing = storing
        self._quote = quote
        self._name = name
        self._before_placing = before_placing
        self.encoder = encoder
        self.id = quote.order
        self.quoted_block = quote.block
        self.is_read = False
        """Whether the files were read since it was seen that they are as they were."""

    async def prepare(self) -> None:
        """Raises SourceChanged, if files were read since the last time, and what else speaks against it."""
        if self._before_placing is not None:
            await self._before_placing()
        if self.is_read:
            await self._storing.executors.on_disk(self.encoder.source.check_unchanged)
            self.is_read = False

    async def send(
        self, acceptances: Sequence[Acceptance], *, confirmations: int, on_mined: OnMined
    ) -> Receipt:
        """In one transaction with what the vault is missing."""
        storing, quote, geometry = self._storing, self._quote, self._quote.geometry
        terms = Terms(
            salt=quote.salt,
            end=quote.end,
            leaf_count=geometry.leaf_count,
            piece_leaves=geometry.piece_leaves,
            k=geometry.k,
            allows_hand_over=quote.allows_hand_over,
        )
        rates = sum(one.rate for one in acceptances)

        async def missing() -> int:
            head, funds = await together(storing.market.head(), storing.funds())
            cost = rates * max(0, terms.end - (head.epoch + 1))
            return missing_from_vault(cost, funds, cheaper=FEWER_EPOCHS)

        return await storing.market.place(
            terms, list(acceptances), missing, confirmations=confirmations, on_mined=on_mined
        )

    def placement(self, acceptances: Sequence[Acceptance], receipt: Receipt | None = None) -> Placement:
        """The order as it is once it is in a block, no matter who placed it; NOT_MINED before."""
        storing, quote = self._storing, self._quote
        block, events = (NOT_MINED, ()) if receipt is None else (receipt.block, receipt.events)
        epoch_blocks = storing.market.parameters.epoch_blocks
        start = quote.start if block == NOT_MINED else Epoch(block // epoch_blocks + 1)
        order = OrderState(
            id=quote.order,
            renter=storing.identity.account,
            block=block,
            start=start,
            end=quote.end,
            geometry=quote.geometry,
            slots=placed_slots(acceptances, start, quote.order, events),
        )
        return Placement(
            name=self._name,
            salt=quote.salt,
            order=order,
            acceptances=tuple(acceptances),
            allows_hand_over=quote.allows_hand_over,
        )


def _keepers_first(
    keepers: Sequence[tuple[FarmerId, int]], found: Collection[Candidate], ranked: Sequence[Chosen]
) -> tuple[Chosen, ...]:
    """The keepers of the slots in their order, at the rates that they were offered; another in the place of
    each that is not there, and behind them the rest."""
    there = {one.farmer.id: one for one in found}
    known = {farmer for farmer, _ in keepers}
    others = [one for one in ranked if one.farmer.id not in known]
    first = [
        Chosen(candidate=there[farmer], rate=rate) if farmer in there else others.pop(0)
        for farmer, rate in keepers
        if farmer in there or others
    ]
    return (*first, *others)


def _too_few(failures: Mapping[FarmerId, str]) -> NotEnoughFarmers:
    return NotEnoughFarmers(
        "Too many farmers failed, and there is none left to replace them.",
        failures={f"farmer {farmer}": reason for farmer, reason in failures.items()},
        missing=1,
        detail="Nothing was placed and nothing is paid.",
        hint="Try again later, or with a smaller --n.",
    )

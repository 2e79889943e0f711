"""Storing: from paths to a placed order.

    scan -> manifest -> geometry -> who is there -> price        `quote`: nothing is sent yet
         -> pieces -> acceptances -> one transaction             `put`: until the last step nothing is paid

Decides the order of these steps. Leaves each step to its own module.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from os import PathLike
from threading import Lock
from typing import Final

from grange.chain import Receipt
from grange.chain.call_sizes import place
from grange.chain.orders import OrderState
from grange.chain.outbox import OnMined
from grange.errors import Misuse
from grange.executors import Executors
from grange.layout import Geometry, Trailer
from grange.messages import SALT_BYTES, order_id
from grange.tasks import together
from grange.transfer.acceptance import AcceptanceTerms, Keeper
from grange.transfer.directory import FarmerDirectory, Reputations
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import Complaint, Listener, ProgressEvent, Step
from grange.transfer.retry import RetryPolicy
from grange.transfer.selection import Choice, Chosen, Requirements
from grange.transfer.slot_upload import Piece
from grange.transfer.upload import OrderUpload
from grange.types import Acceptance, Epoch, FarmerId, OrderId, Terms
from grange.units import LEAF_BYTES, MAX_LEAF_COUNT
from grange_client.errors import BadName, NotEnoughMoney, NothingToStore, QuoteUsed
from grange_client.files.encode import SegmentEncoder
from grange_client.files.manifest import Manifest, pack
from grange_client.files.manifest_document import NAME_RULE, is_name
from grange_client.files.scan import Scan, scan, shown
from grange_client.files.stream import ContentStream
from grange_client.keys.recovery_phrase import Identity
from grange_client.orders.cautions import cautions, rounding, unfinished_attempts
from grange_client.orders.farmer_choice import choose_farmers
from grange_client.orders.market import RenterMarket
from grange_client.orders.pending import PendingOrders, Stored
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
class Quote:
    """What storing would take: everything decided, nothing sent. To be put once."""

    scan: Scan
    manifest: Manifest
    stored_manifest: bytes
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
class Storing:
    """What storing needs from its surroundings."""

    identity: Identity
    market: RenterMarket
    directory: FarmerDirectory
    policy: RetryPolicy
    executors: Executors
    placements: Placements
    pending: PendingOrders
    now: Callable[[], float] = time.time
    random: Callable[[int], bytes] = secrets.token_bytes

    async def quote(
        self,
        paths: Iterable[str | PathLike[str]],
        options: StoreOptions,
        reputations_at: Callable[[Epoch], Awaitable[Reputations]],
        watch: Listener,
    ) -> Quote:
        """Look at the files and at the farmers, and say what it would cost.

        Raises BadName, NothingToStore, NotEnoughFarmers, NotEnoughMoney and the errors of the chain.
        """
        if options.name is not None and not is_name(options.name):
            raise BadName(NAME_RULE, hint="Choose another --name.")
        watch(Step(what="Looking at the files"))
        found = await self.executors.on_disk(scan, paths)
        manifest = Manifest(
            name=options.name or default_name(found), created=int(self.now()), entries=found.entries
        )
        stored_manifest = await self.executors.on_cpu(pack, manifest)
        watch(Step(what="Looking for farmers"))
        parameters = self.market.parameters
        clock, funds, prices = await together(self.market.clock(), self.funds(), self.market.gas_prices())
        start = Epoch(clock.epoch + 1)
        end = end_for(options, clock.epoch, parameters, when=clock.describe_epoch)
        salt = self.random(SALT_BYTES)
        order = order_id(self.identity.account, salt, sender=self.identity.wallet.address)
        size_bytes = found.content_bytes + len(stored_manifest)

        def requirements_of(k: int, n: int) -> Requirements:
            return Requirements(
                k=k,
                n=n,
                slot_bytes=_shape(found, size_bytes, k, n).slot_bytes,
                start=start,
                end=end,
                collateral_epochs=self.market.parameters.collateral_epochs,
                shuffle_seed=order,
                unit=self.market.unit,
            )

        needed, choice = await choose_farmers(
            self.directory,
            options,
            requirements_of,
            reputations=await reputations_at(clock.epoch),
            watch=watch,
        )
        geometry = _shape(found, size_bytes, needed.k, needed.n)
        cost = price(choice.ranked[: needed.n], start, end)
        missing = await self._missing(cost, funds, watch)
        check_gas(place(needed.n), funds, prices)
        return Quote(
            scan=found,
            manifest=manifest,
            stored_manifest=stored_manifest,
            geometry=geometry,
            salt=salt,
            order=order,
            start=start,
            end=end,
            choice=choice,
            cautions=(
                *unfinished_attempts(self.placements.abandoned(), manifest.name, clock.block),
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

    async def put(self, quote: Quote, options: PlaceOptions) -> Stored:
        """Store what was quoted, in one transaction, and wait until it is buried as the options say.

        Raises SourceChanged, NotEnoughFarmers, NotEnoughMoney, PlaceFailed and the errors of the chain;
        whatever was staged is then given up. The quote's ticket was used for it.
        """
        key = self.identity.sealing_secret.order_key(quote.order)
        with _stream(quote) as stream:
            order = _NewOrder(self, quote, stream)
            encoder = SegmentEncoder(stream, quote.geometry, key)
            async with self._upload(quote, encoder, order, options.watch) as upload:
                receipt, acceptances = await Placing(
                    order=order,
                    upload=upload,
                    market=self.market,
                    placements=self.placements,
                    options=options,
                ).run()
        return Stored(
            order=order.placement(acceptances, receipt).order,
            manifest=quote.manifest,
            stored_manifest=quote.stored_manifest,
            receipt=receipt,
            confirmations=receipt.depth,
        )

    def _upload(
        self, quote: Quote, encoder: SegmentEncoder, order: "_NewOrder", watch: Listener
    ) -> OrderUpload:
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
        vault, wallet, native = await together(
            market.vault(account), market.token_balance(account), market.native_balance(account)
        )
        return Funds(vault=vault, wallet=wallet, native=native, address=account, unit=market.unit)

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

    def __init__(self, storing: Storing, quote: Quote, stream: ContentStream) -> None:
        self._storing = storing
        self._quote = quote
        self._stream = stream
        self.id = quote.order
        self.quoted_block = quote.block
        self.is_read = False
        """Whether the files were read since it was seen that they are as they were."""

    async def prepare(self) -> None:
        """Raises SourceChanged, if files were read since the last time."""
        if self.is_read:
            await self._storing.executors.on_disk(self._stream.check_unchanged)
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
            name=quote.manifest.name,
            salt=quote.salt,
            order=order,
            acceptances=tuple(acceptances),
            allows_hand_over=quote.allows_hand_over,
        )


def watching_records(watch: Listener, note: Callable[[Complaint], None]) -> Listener:
    """A listener that also hands to `note` what is remembered of farmers."""

    def both(event: ProgressEvent) -> None:
        if isinstance(event, Complaint):
            note(event)
        watch(event)

    return both


def default_name(found: Scan) -> str:
    """What an order is called when nobody says: the name of the first path."""
    return shown(found.entries[0].path)[:255]


def _shape(found: Scan, size_bytes: int, k: int, n: int) -> Geometry:
    """The order's shape. Raises NothingToStore for more bytes than an order of this code holds."""
    try:
        return Geometry.for_stream(size_bytes, k, n)
    except Misuse as error:
        largest = max(found.entries, key=lambda entry: entry.size_bytes)
        raise NothingToStore(
            f"{size_bytes:,} bytes do not fit into one order of {k} of {n};"
            f" {shown(largest.path)} has {largest.size_bytes:,} of them.",
            detail=f"One farmer takes at most {MAX_LEAF_COUNT * LEAF_BYTES:,} bytes. Nothing was sent.",
            hint="Store with a larger --k, or the parts as orders of their own.",
        ) from error


def _stream(quote: Quote) -> ContentStream:
    content_bytes = quote.scan.content_bytes
    trailer = Trailer(
        manifest_offset_bytes=content_bytes,
        manifest_bytes=len(quote.stored_manifest),
        stream_bytes=content_bytes + len(quote.stored_manifest),
        manifest_sha256=sha256(quote.stored_manifest).digest(),
    )
    return ContentStream(
        quote.scan,
        tail=quote.stored_manifest,
        trailer=trailer.pack(),
        size_bytes=quote.geometry.capacity_bytes,
    )


def _too_few(failures: Mapping[FarmerId, str]) -> NotEnoughFarmers:
    return NotEnoughFarmers(
        "Too many farmers failed, and there is none left to replace them.",
        failures={f"farmer {farmer}": reason for farmer, reason in failures.items()},
        missing=1,
        detail="Nothing was placed and nothing is paid.",
        hint="Try again later, or with a smaller --n.",
    )

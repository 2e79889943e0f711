"""Storing files: from paths to a placed order.

    scan -> manifest -> geometry -> who is there -> price        `quote`: nothing is sent yet
         -> pieces -> acceptances -> one transaction             `put`: until the last step nothing is paid

What is the same for all orders is in `order_storing`.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from os import PathLike
from typing import Self

from grange.errors import Misuse
from grange.layout import Geometry, Trailer
from grange.transfer.directory import Reputations
from grange.transfer.events import Complaint, Listener, ProgressEvent, Step
from grange.types import Epoch
from grange.units import LEAF_BYTES, MAX_LEAF_COUNT
from grange_client.errors import BadName, NothingToStore
from grange_client.files.encode import SegmentEncoder
from grange_client.files.manifest import Manifest, pack
from grange_client.files.manifest_document import NAME_RULE, is_name
from grange_client.files.scan import Scan, scan, shown
from grange_client.files.sealed_stream import SealedStream
from grange_client.files.stream import ContentStream
from grange_client.orders.cautions import unfinished_attempts
from grange_client.orders.order_storing import OrderQuote, OrderStoring
from grange_client.orders.pending import Stored
from grange_client.orders.placing import PlaceOptions
from grange_client.orders.plan import StoreOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote(OrderQuote):
    """What storing files would take. To be put once: a block's nonce follows from its place, so a second
    attempt with the same salt, over files that have changed, would seal two blocks under one nonce."""

    scan: Scan
    manifest: Manifest
    stored_manifest: bytes

    @classmethod
    def of(cls, quote: OrderQuote, found: Scan, manifest: Manifest, stored_manifest: bytes) -> Self:
        """Of the order that is to hold these files."""
        ordered = {field.name: getattr(quote, field.name) for field in fields(quote)}
        return cls(scan=found, manifest=manifest, stored_manifest=stored_manifest, **ordered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storing:
    """What storing files needs from its surroundings."""

    orders: OrderStoring

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
        orders = self.orders
        watch(Step(what="Looking at the files"))
        found = await orders.executors.on_disk(scan, paths)
        manifest = Manifest(
            name=options.name or default_name(found), created=int(orders.now()), entries=found.entries
        )
        stored_manifest = await orders.executors.on_cpu(pack, manifest)
        size_bytes = found.content_bytes + len(stored_manifest)
        quote = await orders.quote(
            lambda k, n: _shape(found, size_bytes, k, n), options, reputations_at, watch
        )
        unfinished = unfinished_attempts(orders.placements.abandoned(), manifest.name, quote.block)
        quote = replace(quote, cautions=(*unfinished, *quote.cautions))
        return Quote.of(quote, found, manifest, stored_manifest)

    async def put(self, quote: Quote, options: PlaceOptions) -> Stored:
        """Store what was quoted; see `OrderStoring.place`. The quote's ticket was used for it."""
        key = self.orders.identity.sealing_secret.order_key(quote.order)
        with _stream(quote) as stream:
            encoder = SegmentEncoder(SealedStream(stream, quote.geometry, key), quote.geometry)
            order, receipt = await self.orders.place(quote, encoder, options, name=quote.manifest.name)
        return Stored(
            order=order,
            manifest=quote.manifest,
            stored_manifest=quote.stored_manifest,
            receipt=receipt,
            confirmations=receipt.depth,
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

"""An order that `put` stored without a drive, opened to go into one.

    async with open_order(session, order, budget=budget) as content:
        request = BackupRequest(sources=[Source(place=b"old", order=content)], message=message_of(content))
        await back_up(session, request, ...)

Its content is read from its farmers while it is stored again (ADR 211). Broken off, the next run goes on.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from grange.chain.orders import OrderState
from grange.peer import Budget
from grange.times import format_time
from grange.transfer.events import Listener, ignore_progress
from grange_client.drive.backup.order_entries import OrderContent
from grange_client.drive_session import DriveSession
from grange_client.packs.order_stream import OrderStream


@asynccontextmanager
async def open_order(
    session: DriveSession,
    order: OrderState,
    *,
    watch: Listener = ignore_progress,
    budget: Budget | None = None,
) -> AsyncIterator[OrderContent]:
    """Open an order for as long as this lasts; what reading it costs is within the budget, if there is one.
    Raises what reading its manifest raises."""
    renter = session.renter
    manifest = await renter.manifest(order, watch, budget=budget)
    reader = await renter.reader(order, watch, budget=budget)
    stream = OrderStream(session.packs.bridge, reader, manifest.content_bytes)
    try:
        yield OrderContent(id=order.sealed_as, manifest=manifest, read=stream.read)
    finally:
        stream.close()


def message_of(content: OrderContent) -> str:
    """What its commit says."""
    manifest = content.manifest
    return f"Imported from the order {manifest.name}, stored {format_time(manifest.created)}"

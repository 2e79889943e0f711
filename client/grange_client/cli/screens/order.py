"""Orders and the files in them: listed, looked at, restored, over."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text

from grange.chain.orders import Closing
from grange.cli.presenter import plain_text
from grange.listed_names import ListedNames
from grange.messages import NO_ORDER
from grange.times import BlockClock
from grange.token_unit import TokenUnit
from grange.types import FarmerId
from grange.units import format_count, format_size
from grange_client.cli.screens.tables import (
    DAY_CHARACTERS,
    ID_CHARACTERS,
    MAX_LISTED,
    facts,
    files_text,
    format_changed,
    format_date,
    new_table,
)
from grange_client.downloads.restore import Restored
from grange_client.files.manifest import Manifest
from grange_client.files.scan import Kind, shown
from grange_client.orders.catalog import Known
from grange_client.orders.cautions import code_text


def orders_screen(orders: Sequence[Known], clock: BlockClock, unit: TokenUnit) -> RenderableType:
    """The list of orders."""
    if not orders:
        return Text("Nothing is stored yet. `grange put PATH` stores something.")
    table = new_table("name", ">size", ">files", "stored", ">epoch", "until about", "id")
    for known in orders:
        left = known.order.end - clock.epoch
        table.add_row(
            Text(known.title) if known.title else Text("unread", style="yellow"),
            *_content_of(known),
            str(known.order.end),
            Text(_until(known, clock, unit), style="" if left > 0 else "dim" if known.closing else "red"),
            known.order.id.hex()[:ID_CHARACTERS],
        )
    return table


def _content_of(known: Known) -> tuple[str, str, str]:
    """Size, files, and day of an order; a pack of a drive has no files of its own."""
    if known.drive is not None:
        return format_size(known.order.k * known.order.geometry.slot_bytes), "-", "-"
    return (
        format_size(known.size_bytes) if known.size_bytes is not None else "?",
        f"{known.files:,}" if known.files is not None else "?",
        format_date(known.created)[:DAY_CHARACTERS],
    )


def order_screen(
    known: Known,
    clock: BlockClock,
    endpoints: Mapping[FarmerId, str],
    distrusted: Mapping[FarmerId, str],
    *,
    names: ListedNames,
    unit: TokenUnit,
) -> Iterable[RenderableType]:
    """One order: what, with whom, until when, at what price. `distrusted` says why some get nothing
    more."""
    order = known.order
    left = order.end - clock.epoch
    yield facts(
        [
            ("name", known.title or "unread"),
            ("id", order.id.hex()),
            ("stored", f"{format_date(known.created)}, in block {order.block}"),
            (
                "holds",
                files_text(known.files, known.size_bytes or 0)
                if known.files is not None
                else "not known until its farmers answer",
            ),
            (
                "with",
                code_text(order.geometry.k, order.geometry.n, format_size(order.geometry.slot_bytes)),
            ),
            (
                "until",
                f"{clock.describe_epoch(order.end)}; "
                + (f"{format_count(left, 'epoch')} more" if left > 0 else "it is over"),
            ),
            (
                "paid",
                f"{unit.rounded_up(order.cost)} for {format_count(order.end - order.start, 'epoch')}",
            ),
            *([("goes on", f"as order {known.extended_by.hex()}")] if known.extended_by else []),
            *([("extends", f"order {order.previous.hex()}")] if order.previous != NO_ORDER else []),
            *([("came back", _returned(known.closing, unit))] if known.closing else []),
        ]
    )
    table = new_table(">slot", ">farmer", "endpoint", f">{unit.name} an epoch", ">to read a GiB")
    for index, slot in enumerate(order.slots):
        endpoint = Text(plain_text(endpoints.get(slot.farmer, "?")))
        if slot.farmer in distrusted:
            endpoint.append(f" {distrusted[slot.farmer]}", style="red")
        table.add_row(
            str(index),
            names.farmer(slot.farmer),
            endpoint,
            unit.rate_number(slot.rate),
            unit.number_rounded_up(slot.max_egress_price_per_gib),
        )
    table.caption = f"to read a GiB: {unit.name} at most, until the order ends"
    yield table


def burial_text(block: int, confirmations: int) -> str:
    """How safe an order's block is from a reorganisation, and what happens if one comes."""
    depth = f"{format_count(confirmations, 'block')} on top of it" if confirmations else "none follows it yet"
    return f"It is in block {block}; {depth}. If the chain drops it, `grange orders ls` places it again."


def waiting_screen(waiting: Sequence[Known]) -> RenderableType:
    """That orders are over and what was not proven can be had back. All are named: the line is to be used."""
    named = " ".join(known.order.id.hex()[:ID_CHARACTERS] for known in waiting)
    subject = f"{len(waiting)} orders are over"
    if len(waiting) == 1:
        subject = f"{waiting[0].name or 'An order'} is over"
    what = "what you paid for epochs that nobody proved comes back with"
    text = f"{subject}; {what}: grange orders close {named}"
    return Text(text, style="yellow")


def closings_screen(closed: Sequence[tuple[Known, Closing]], unit: TokenUnit) -> RenderableType:
    """What came back from orders that are over."""
    table = new_table("name", "id", ">paid", ">refund", ">compensation")
    for known, closing in closed:
        table.add_row(
            Text(known.title) if known.title else Text("unread", style="yellow"),
            known.order.id.hex()[:ID_CHARACTERS],
            unit.number_rounded_up(known.order.cost),
            unit.number_rounded_down(closing.refund),
            unit.number_rounded_down(closing.compensation),
        )
    table.caption = f"{unit.name}; what came back is in the vault"
    return table


def files_screen(manifest: Manifest) -> Iterable[RenderableType]:
    """Every name in an order, last on its line, as `get --only` takes it; before it size and time of change.

    A directory's name ends with a slash; behind a link's name stands an arrow and what it points to, and
    `link` before it.
    """
    yield Text(f"{'size':>10}  {'changed':<16}  name", style="dim")
    for entry in manifest.entries:
        size = {Kind.FILE: format_size(entry.size_bytes), Kind.DIRECTORY: "-", Kind.SYMLINK: "link"}[
            entry.kind
        ]
        name = {
            Kind.FILE: shown(entry.path),
            Kind.DIRECTORY: shown(entry.path) + "/",
            Kind.SYMLINK: f"{shown(entry.path)} -> {shown(entry.target)}",
        }[entry.kind]
        yield Text(f"{size:>10}  {format_changed(entry.mtime_ns):<16}  {name}")


def remarks_screen(restored: Restored) -> RenderableType:
    """What a restore could not make as it was stored."""
    lines = []
    for remarks, word in ((restored.left_out, "left out"), (restored.inexact, "not exactly as stored")):
        lines += [f"{word}: {shown(one.path)}: {one.reason}" for one in remarks.first[:MAX_LISTED]]
        if remarks.count > MAX_LISTED:
            lines.append(f"{word}: {remarks.count - MAX_LISTED:,} more")
    return Text("\n".join(lines), style="yellow")


def _until(known: Known, clock: BlockClock, unit: TokenUnit) -> str:
    if known.order.end > clock.epoch:
        if known.extended_by:
            # A date as well does not fit 80 columns, and the line of that order has it.
            return f"goes on as {known.extended_by.hex()[:ID_CHARACTERS]}"
        return clock.format_epoch(known.order.end)
    if known.closing:
        return f"closed, {unit.rounded_down(known.closing.returned)} back"
    return "ended " + clock.format_epoch(known.order.end)[:DAY_CHARACTERS]


def _returned(closing: Closing, unit: TokenUnit) -> str:
    refund, compensation = (
        unit.rounded_down(closing.refund),
        unit.rounded_down(closing.compensation),
    )
    return f"{refund} for what nobody proved, and {compensation} as compensation"

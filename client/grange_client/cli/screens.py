"""What a person sees: tables, progress, errors. Values in, rich renderables out; everything fits 80 columns.

Decides wording and looks. Names of files and orders come from others, so what a terminal would act on is
escaped. Leaves what is shown, and as JSON to machines, to `cli`.
"""

import time
from collections.abc import Iterable, Sequence
from types import TracebackType

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from grange.chain.orders import Closing
from grange.cli.presenter import plain_text
from grange.messages import NO_ORDER
from grange.times import BlockClock, format_time
from grange.transfer import events
from grange.types import Address, FarmerId
from grange.units import format_size, format_tokens, format_tokens_rounded_down, format_tokens_rounded_up
from grange_client.downloads.cost import ReadCost
from grange_client.downloads.restore import Restored
from grange_client.files.manifest import Manifest
from grange_client.files.scan import Kind, Skipped, shown
from grange_client.orders.catalog import Known
from grange_client.orders.cautions import code_text
from grange_client.orders.extension_quote import ExtensionQuote
from grange_client.orders.plan import Funds
from grange_client.orders.store import Quote
from grange_client.renter import FarmerReport

MAX_LISTED = 5
ID_CHARACTERS = 8
DAY_CHARACTERS = 10
"""Of a date and a time."""
WEI = 10**18


def read_cost_screen(cost: ReadCost, max_price: int) -> str:
    """What reading will cost."""
    about, most = format_tokens_rounded_up(cost.expected), format_tokens_rounded_up(max_price)
    return f"Reading costs about {about} tokens out of the vault, and {most} at most."


def paid_besides_text(paid: int) -> str:
    """What was paid for reading that nobody was asked about."""
    return f"Reading lists of files, or slots to rebuild, cost {format_tokens_rounded_up(paid)} tokens."


class _Amount(ProgressColumn):
    """How much is done, of how much, and how fast; empty for steps that count nothing."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text()
        speed = task.finished_speed or task.speed or 0
        done = f"{format_size(task.completed)} of {format_size(task.total)}"
        return Text(f"{done}  {format_size(speed)}/s", style="cyan")


class Display:
    """Draws what happens while something takes long. A listener, and the context in which it draws."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            _Amount(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            expand=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._what = ""
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long this has been shown; never nothing, so that a speed can be computed."""
        return max(1e-3, time.monotonic() - self._begun)

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, event: events.ProgressEvent) -> None:
        """Show one thing."""
        match event:
            case events.Step(what=what, total_bytes=total):
                self._step(what, total)
            case events.Progress(size_bytes=size) if self._task is not None:
                self._progress.advance(self._task, size)
            case events.FarmersNow(count=count) if self._task is not None:
                self._progress.update(self._task, description=f"{self._what} ({count} farmers)")
            case events.FarmerReplaced(farmer=farmer, successor=successor, reason=reason):
                self._say(f"Farmer {successor} takes over from {farmer}. {reason}")
            case events.FarmerFailed(reason=reason):
                self._say(reason)
            case events.ReadingPriceRaised(farmer=farmer, price_per_gib=price):
                asked = format_tokens_rounded_up(price)
                self._say(
                    f"Farmer {farmer} keeps data of yours and now asks {asked} tokens for "
                    "reading a GiB of it, far more than others. It is given nothing more."
                )
            case _:
                pass

    def _step(self, what: str, total_bytes: int) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._what = what = plain_text(what)
        self._task = self._progress.add_task(what, total=total_bytes or None)

    def _say(self, text: str) -> None:
        self._progress.console.print(Text(plain_text(text), style="yellow"))


def facts(rows: Iterable[tuple[str, str]]) -> RenderableType:
    """Names and values side by side."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, Text(value))
    return grid


def burial_text(block: int, confirmations: int) -> str:
    """How safe an order's block is from a reorganisation, and what happens if one comes."""
    following = {0: "none follows it yet", 1: "1 block follows it"}
    depth = following.get(confirmations, f"{confirmations} blocks follow it")
    return f"It is in block {block}; {depth}. If the chain drops it, `grange ls` places it again."


def files_text(count: int, size_bytes: int) -> str:
    """How many files, and how large together."""
    return f"{count:,} {'file' if count == 1 else 'files'}, {format_size(size_bytes)}"


def speed_text(size_bytes: int, seconds: float) -> str:
    """How fast bytes moved, in brackets; nothing if there were none."""
    return f" ({format_size(size_bytes / seconds)}/s)" if size_bytes else ""


def _price_text(cost: int, missing: int) -> str:
    """A cost, and where it comes from: `missing` is not in the vault."""
    source = "out of the vault"
    if missing:
        part = f"{format_tokens_rounded_up(missing)} of it " if missing < cost else ""
        source = f"{part}from the wallet"
    return f"{format_tokens_rounded_up(cost)} tokens, {source}"


def quote_screen(quote: Quote, clock: BlockClock, *, default_term: bool) -> RenderableType:
    """The price, before anything is sent. `default_term` is whether nobody said for how long."""
    geometry = quote.geometry
    rows = [
        ("store", quote.manifest.name),
        ("holds", files_text(quote.scan.files, quote.scan.content_bytes)),
        ("with", code_text(geometry.k, geometry.n, format_size(geometry.slot_bytes))),
        ("until", _quoted_term(quote, clock, default_term=default_term)),
        ("price", _price_text(quote.cost, quote.missing)),
    ]
    rows += [("note", caution) for caution in quote.cautions]
    return facts(rows)


def _quoted_term(quote: Quote, clock: BlockClock, *, default_term: bool) -> str:
    term = f"{clock.describe_epoch(quote.end)}; that is {quote.end - quote.start} epochs"
    return f"{term}, the shortest term (--epochs keeps it longer)" if default_term else term


def skipped_screen(skipped: Sequence[Skipped]) -> RenderableType:
    """What is not stored, and why."""
    lines = [f"not stored: {shown(one.path)}: {one.reason}" for one in skipped[:MAX_LISTED]]
    if len(skipped) > MAX_LISTED:
        lines.append(f"and {len(skipped) - MAX_LISTED:,} more")
    return Text("\n".join(lines), style="yellow")


def orders_screen(orders: Sequence[Known], clock: BlockClock) -> RenderableType:
    """The list of orders."""
    if not orders:
        return Text("Nothing is stored yet. `grange put PATH` stores something.")
    table = new_table("name", ">size", ">files", "stored", ">epoch", "until about", "id")
    for known in orders:
        left = known.order.end - clock.epoch
        table.add_row(
            Text(known.name) if known.name else Text("unread", style="yellow"),
            format_size(known.size_bytes) if known.size_bytes is not None else "?",
            f"{known.files:,}" if known.files is not None else "?",
            _date(known.created)[:DAY_CHARACTERS],
            str(known.order.end),
            Text(_until(known, clock), style="" if left > 0 else "dim" if known.closing else "red"),
            known.order.id.hex()[:ID_CHARACTERS],
        )
    return table


def order_screen(known: Known, clock: BlockClock, endpoints: dict[FarmerId, str]) -> Iterable[RenderableType]:
    """One order: what, with whom, until when, at what price."""
    order = known.order
    left = order.end - clock.epoch
    yield facts(
        [
            ("name", known.name or "unread"),
            ("id", order.id.hex()),
            ("stored", f"{_date(known.created)}, in block {order.block}"),
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
                f"{clock.describe_epoch(order.end)}; {f'{left} epochs more' if left > 0 else 'it is over'}",
            ),
            ("paid", f"{format_tokens_rounded_up(order.cost)} tokens for {order.end - order.start} epochs"),
            *([("goes on", f"as order {known.extended_by.hex()}")] if known.extended_by else []),
            *([("extends", f"order {order.previous.hex()}")] if order.previous != NO_ORDER else []),
            *([("came back", _returned(known.closing))] if known.closing else []),
        ]
    )
    table = new_table(">slot", ">farmer", "endpoint", ">tokens an epoch")
    for index, slot in enumerate(order.slots):
        endpoint = Text(plain_text(endpoints.get(slot.farmer, "?")))
        table.add_row(str(index), str(slot.farmer), endpoint, format_tokens_rounded_up(slot.rate))
    yield table


def waiting_screen(waiting: Sequence[Known]) -> RenderableType:
    """That orders are over and what was not proven can be had back. All are named: the line is to be used."""
    named = " ".join(known.order.id.hex()[:ID_CHARACTERS] for known in waiting)
    subject = f"{len(waiting)} orders are over"
    if len(waiting) == 1:
        subject = f"{waiting[0].name or 'An order'} is over"
    text = f"{subject}; what you paid for epochs that nobody proved comes back with: grange close {named}"
    return Text(text, style="yellow")


def extension_screen(name: str | None, quote: ExtensionQuote, clock: BlockClock) -> RenderableType:
    """What extending costs, compared with now, and who would step in for whom."""
    order, now = quote.order, sum(slot.rate for slot in quote.order.slots)
    then = sum(keeper.rate for keeper in quote.keepers)
    change = "the same as now" if then == now else f"{format_tokens_rounded_up(now)} now"
    rows = [
        ("extend", name or "unread"),
        ("until", f"{clock.describe_epoch(quote.end)}; {quote.epochs} epochs more"),
        ("price", _price_text(quote.cost, quote.missing)),
        ("an epoch", f"{format_tokens_rounded_up(then)} tokens; {change}"),
    ]
    for slot, keeper in sorted(quote.moved.items()):
        rows.append((f"slot {slot}", f"is rebuilt and moves to farmer {keeper.farmer.id}. {keeper.reason}"))
    if len(quote.moved) == 0:
        rows.append(("with", f"the same {order.geometry.n} farmers; nothing is sent"))
    return facts(rows)


def closings_screen(closed: Sequence[tuple[Known, Closing]]) -> RenderableType:
    """What came back from orders that are over."""
    table = new_table("name", "id", ">paid", ">refund", ">compensation")
    for known, closing in closed:
        table.add_row(
            Text(known.name) if known.name else Text("unread", style="yellow"),
            known.order.id.hex()[:ID_CHARACTERS],
            format_tokens_rounded_up(known.order.cost),
            format_tokens_rounded_down(closing.refund),
            format_tokens_rounded_down(closing.compensation),
        )
    table.caption = "tokens; what came back is in the vault"
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
        yield Text(f"{size:>10}  {_changed(entry.mtime_ns):<16}  {name}")


def remarks_screen(restored: Restored) -> RenderableType:
    """What a restore could not make as it was stored."""
    lines = []
    for remarks, word in ((restored.left_out, "left out"), (restored.inexact, "not exactly as stored")):
        lines += [f"{word}: {shown(one.path)}: {one.reason}" for one in remarks.first[:MAX_LISTED]]
        if remarks.count > MAX_LISTED:
            lines.append(f"{word}: {remarks.count - MAX_LISTED:,} more")
    return Text("\n".join(lines), style="yellow")


def farmers_screen(reports: Sequence[FarmerReport]) -> RenderableType:
    """Everybody on the market."""
    if not reports:
        return Text("Nobody has registered yet. `grange farm init` makes a farmer.")
    table = new_table(">id", "endpoint", ">price", ">free", ">stake", ">proven", ">missed")
    for report in reports:
        farmer = report.farmer
        table.add_row(
            str(farmer.id),
            Text(plain_text(farmer.endpoint), style="red" if report.silent else ""),
            format_tokens_rounded_up(farmer.offer.price_per_gib_epoch),
            _room(report),
            format_tokens_rounded_up(farmer.stake),
            f"{report.proven:,}",
            Text(f"{farmer.misses:,}", style="red" if farmer.misses else ""),
        )
    table.caption = "price: tokens for a GiB and epoch"
    return table


def _room(report: FarmerReport) -> Text:
    if report.farmer.lapsed:
        return Text("lapsed", style="red")
    return (
        Text(format_size(report.free_bytes)) if report.free_bytes is not None else Text("silent", style="red")
    )


def balance_screen(address: Address, funds: Funds) -> RenderableType:
    """What there is to pay with, and where to send more."""
    return facts(
        [
            ("address", address),
            ("vault", f"{format_tokens(funds.vault)} tokens"),
            ("wallet", f"{format_tokens(funds.wallet)} tokens"),
            ("for gas", f"{funds.native / WEI:.6g} gas tokens"),
        ]
    )


def phrase_screen(phrase: str) -> RenderableType:
    """The words of a recovery phrase, numbered, in three rows."""
    table = Table.grid(padding=(0, 3))
    numbered = [f"{index:>2} {word}" for index, word in enumerate(phrase.split(), 1)]
    for row in range(0, len(numbered), 4):
        table.add_row(*numbered[row : row + 4])
    return table


def new_table(*columns: str, gap: int = 2) -> Table:
    """Columns by name; > before it: values on the right; | behind it: in one line."""
    made = Table(box=None, padding=(0, gap, 0, 0), header_style="dim", caption_justify="left")
    for column in columns:
        right = column.startswith(">")
        made.add_column(
            column.strip(">|"),
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=column.endswith("|"),
        )
    return made


def _until(known: Known, clock: BlockClock) -> str:
    if known.order.end > clock.epoch:
        if known.extended_by:
            # A date as well does not fit 80 columns, and the line of that order has it.
            return f"goes on as {known.extended_by.hex()[:ID_CHARACTERS]}"
        return clock.format_epoch(known.order.end)
    if known.closing:
        return f"closed, {format_tokens_rounded_down(known.closing.returned)} back"
    return "ended " + clock.format_epoch(known.order.end)[:DAY_CHARACTERS]


def _returned(closing: Closing) -> str:
    refund, compensation = (
        format_tokens_rounded_down(closing.refund),
        format_tokens_rounded_down(closing.compensation),
    )
    return f"{refund} tokens for what nobody proved, and {compensation} as compensation"


def _date(created: int | None) -> str:
    return "?" if created is None else format_time(created)


def _changed(mtime_ns: int) -> str:
    """A file's time of change here; the Unix seconds where no calendar reaches."""
    shown_date = _date(mtime_ns // 10**9)
    return f"@{mtime_ns // 10**9}" if shown_date == "?" else shown_date

"""What a backup into a drive would store, and what it stored."""

from collections.abc import Callable, Sequence

from rich.console import RenderableType
from rich.text import Text

from grange.chain.gas_value import GasValue
from grange.times import BlockClock, format_duration
from grange.units import format_count, format_size
from grange_client.cli.drive_path import DrivePath
from grange_client.cli.screens.quote import pack_screen
from grange_client.cli.screens.tables import ID_CHARACTERS, MAX_LISTED, files_text, speed_text
from grange_client.drive.backup.backup import BackupResult
from grange_client.drive.backup.changes import Changes
from grange_client.drive.backup.entries import Totals
from grange_client.drive.backup.scan import ScanRemarks
from grange_client.drive.chunk import id_of
from grange_client.drive_backup import BackupDraft, PublishedBackup
from grange_client.drive_session import PackOffer
from grange_client.files.scan import shown
from grange_client.orders.order_storing import OrderQuote
from grange_client.renter import Renter


def new_facts(made: BackupDraft) -> list[tuple[str, str]]:
    """What is new, once all was read."""
    result = made.result
    facts = [
        ("holds", met_text(result.totals)),
        ("changes", f"{changes_text(result.changes)}; {format_size(result.new.sealed_bytes)} to send"),
    ]
    if made.merged_heads:
        facts.append(("merges", f"what {made.merged_heads} devices stored at the same time"))
    return facts


def first_pack_facts(
    totals: Totals, offer: PackOffer, left_bytes: int, packs_to_come: int, price: Callable[[int], str]
) -> list[tuple[str, str]]:
    """What is known when the first pack is full and more is to come."""
    most = price(offer.quote.cost * (1 + packs_to_come))
    return [
        ("so far", f"{files_text(totals.files, totals.size_bytes)} looked at; a pack of it is full"),
        (
            "to come",
            f"{format_size(left_bytes)} at most, in {format_count(packs_to_come, 'pack')} like this one at "
            f"most; all together then cost {most}",
        ),
    ]


def changes_text(changes: Changes) -> str:
    """How many files and links are not as they were, in words."""
    parts = [
        f"{count:,} {word}"
        for count, word in (
            (changes.new, "new"),
            (changes.changed, "changed"),
            (changes.moved, "moved"),
            (changes.gone, "gone"),
        )
        if count
    ]
    return ", ".join(parts) or "of directories alone"


def met_text(totals: Totals) -> str:
    """What there is: "4 files and 2 links, 70 kB"."""
    links = f" and {format_count(totals.links, 'link')}" if totals.links else ""
    return f"{format_count(totals.files, 'file')}{links}, {format_size(totals.size_bytes)}"


def upload_text(seconds: float, *, is_most: bool) -> str:
    """How long it takes on this line."""
    text = f"about {format_duration(seconds)}" if seconds >= 1 else "less than a second"
    return f"{text}{' at most' if is_most else ''}, as fast as it went last"


def stored_lines(
    place: DrivePath, done: PublishedBackup, clock: BlockClock, *, seconds: float, spent: str
) -> list[str]:
    """What was done, in sentences."""
    result = done.made.result
    if done.made.changes_nothing:
        return [unchanged_text(place, result)]
    ends = [one.order.end for one in done.placed]
    sent = sum(one.order.geometry.data_bytes for one in done.placed)
    lines = [
        f"Stored in {place.shown} in {seconds:.1f} s{speed_text(result.totals.read_bytes, seconds)}: "
        f"{changes_text(result.changes)}, of {met_text(result.totals)}. "
        f"{format_size(sent)} went to farmers, in {format_count(len(done.placed), 'pack')}, for {spent}."
    ]
    until = f"kept until {clock.format_epoch(min(ends))}" if ends else "kept"
    if result.key is not None:
        lines.append(f"It is version {id_of(result.key).hex()[:ID_CHARACTERS]}, {until}.")
    return lines


def unchanged_text(place: DrivePath, result: BackupResult) -> str:
    """That there was nothing to do."""
    met = met_text(result.totals)
    return f"Nothing changed: {place.shown} has all of it already, {met}. Nothing was sent or paid."


def broken_off_text(packs: int) -> str:
    """What is to be known after an interruption."""
    if not packs:
        return "Nothing was sent or paid. The same command begins again."
    return (
        f"{format_count(packs, 'pack')} had begun to be stored: the same command goes on with what is there, "
        "and sends none of it again."
    )


def remarks_screen(remarks: ScanRemarks) -> RenderableType:
    """What could not be read, or is not stored, and why."""
    lines: list[str] = []
    for kind, word in (
        (remarks.unread, "could not be read"),
        (remarks.left_out, "not stored"),
        (remarks.inexact, "not exactly as it is"),
    ):
        lines += [f"{word}: {shown(one.path)}: {one.reason}" for one in kind.first[:MAX_LISTED]]
        if kind.count > MAX_LISTED:
            lines.append(f"{word}: {kind.count - MAX_LISTED:,} more")
    return Text("\n".join(lines), style="yellow")


def has_remarks(remarks: ScanRemarks) -> bool:
    """Whether there is anything to say."""
    return bool(remarks.unread.count or remarks.left_out.count or remarks.inexact.count)


def dry_run_screen(
    quote: OrderQuote,
    clock: BlockClock,
    renter: Renter,
    *,
    facts: Sequence[tuple[str, str]],
    cost: int,
    packs: int,
    gas: GasValue | None,
    approves: bool,
) -> RenderableType:
    """What it would cost. Of several packs, the rows of the last stand for all, and a row has the sum."""
    unit = renter.market.unit
    rows = list(facts)
    if packs > 1:
        rows.append(("in all", f"{format_count(packs, 'pack')} for {unit.rounded_up(cost)}; the last one:"))
    return pack_screen(quote, clock, unit, facts=rows, names=renter.names, gas=gas, approves=approves)

"""`put PATH… DRIVE:/path`: what is on disk into a drive.

Decides what goes where in the drive, what is said before it is paid for, and how what was done is summed up.
Leaves the work to `grange_client.drive_backup`.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import typer

from grange.cli.confirm import alone
from grange.cli.exit_codes import ExitCode
from grange.cli.presenter import print_prose
from grange.tasks import together
from grange.transfer.events import Step
from grange.units import format_count, format_size
from grange_client.cli import drive_output
from grange_client.cli.commands import common
from grange_client.cli.commands.open_drive import DriveOfCommand, device_name, open_drive, say
from grange_client.cli.commands.spending import Spending
from grange_client.cli.commands.store_terms import term_of
from grange_client.cli.drive_path import DrivePath
from grange_client.cli.screens import backup as screens
from grange_client.drive.backup.entries import ReadOptions, Totals
from grange_client.drive.backup.filters import Filters
from grange_client.drive.backup.scan import Scan, ScanOptions, ScanRemarks
from grange_client.drive_backup import BackupDraft, BackupRequest, Source, back_up, measure, scan_in
from grange_client.drive_session import MAX_PACK_BYTES, PackOffer
from grange_client.errors import NothingToStore
from grange_client.files.scan import Kind, base_name, shown
from grange_client.orders.plan import StoreOptions

STREAM: Final = "-"
SHOW_SECONDS: Final = 0.2
"""So often what is read is shown again."""
CHUNK_RECORD_BYTES: Final = 64
"""What a chunk takes in a journal, and a little more."""
JOURNAL_BYTES: Final = 16 << 10
"""What else is in a journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupOptions:
    """What was asked for."""

    paths: Sequence[str]
    place: DrivePath
    options: StoreOptions
    excludes: Sequence[str] = ()
    exclude_files: Sequence[Path] = ()
    one_file_system: bool = False
    message: str = ""
    device: str | None = None
    max_spend: str | None = None
    upload_rate: int | None = None
    dry_run: bool = False
    yes: bool = False
    as_json: bool = False

    def sources(self) -> list[Source]:
        """What goes where. Raises NothingToStore for what is not there or has one place with another, and
        typer.BadParameter."""
        if STREAM in self.paths:
            return [self._stream()]
        sources: list[Source] = []
        for path in self.paths:
            local, place = os.fsencode(path), self.place
            if not _is_content(path):
                place = place.below(base_name(local))
            if not place.names:
                raise typer.BadParameter(
                    f"{place.shown} is all of a drive, which nothing takes the place of: name a directory."
                )
            if not os.path.lexists(local):
                raise NothingToStore(
                    f"There is nothing at {shown(local)}.", hint="Check the path and try again."
                )
            sources.append(Source(place=place.path, local=local))
        _require_apart(sources)
        return sources

    def _stream(self) -> Source:
        if len(self.paths) > 1:
            raise typer.BadParameter("- is standard input, and nothing else can be stored with it.")
        if not self.place.names:
            raise typer.BadParameter("Standard input needs a name in the drive, like main:/dumps/today.sql.")
        return Source(place=self.place.path, stream=standard_input())

    def request(self) -> BackupRequest:
        """All of it. Raises BadPattern and DiskFailed for patterns, and as `sources`."""
        filters = Filters.read(patterns=self.excludes, files=self.exclude_files)
        return BackupRequest(
            sources=self.sources(),
            scan=ScanOptions(filters=filters, one_file_system=self.one_file_system),
            read=ReadOptions(),
            message=self.message,
        )


async def put_into_drive(put: BackupOptions, home: Path | None) -> None:
    """Do it, and say what was done. Raises typer.Exit with LEFT_OUT if not all could be read."""
    request = put.request()
    async with open_drive(
        home, put.place.drive, writes=not put.dry_run, upload_rate=put.upload_rate
    ) as drive:
        command = BackupRun(put, request, drive)
        document = await (command.measure() if put.dry_run else command.store())
    if put.as_json:
        common.print_json(document)
    else:
        for line in command.lines:
            print_prose(common.out, line)
    if command.remarks and screens.has_remarks(command.remarks):
        common.err.print(screens.remarks_screen(command.remarks), soft_wrap=True)
    if command.remarks and command.remarks.unread.count:
        raise typer.Exit(ExitCode.LEFT_OUT)


class BackupRun:
    """One command, with its drive open."""

    def __init__(self, put: BackupOptions, request: BackupRequest, drive: DriveOfCommand) -> None:
        self._put = put
        self._request = request
        self._drive = drive
        self._device = device_name(put.device)
        self._begun = time.monotonic()
        self._shown = 0.0
        self._totals = Totals()
        self._made: BackupDraft | None = None
        self._full_packs = 0
        self.lines: list[str] = []
        self.remarks: ScanRemarks | None = None
        unit = drive.renter.market.unit
        self._term = term_of(
            drive,
            put.options,
            most=None if put.max_spend is None else unit.parse(put.max_spend),
            packs_to_come=self._packs_to_come,
        )
        self._left_bytes: int | None = None

    async def store(self) -> dict[str, object]:
        """Store it; the JSON of what was done."""
        put, drive = self._put, self._drive
        spending = Spending(
            drive.renter,
            question="Store it?",
            yes=put.yes,
            max_spend=put.max_spend,
            facts=self._facts,
            quiet=put.as_json,
        )
        try:
            done = await back_up(
                drive.session,
                self._request,
                options=self._term,
                device=self._device,
                max_spend=spending.limit,
                agree=spending.agree,
                progress=self._progress(),
                told=self._note,
                max_pack_bytes=MAX_PACK_BYTES,
            )
        except asyncio.CancelledError:
            say(screens.broken_off_text(spending.packs))
            raise
        await drive.renter.executors.on_disk(drive.line.remember)
        with alone():
            await common.warn_of_limits(drive.renter)
        clock = await drive.renter.market.clock()
        self.remarks = done.made.result.remarks
        seconds = max(1e-3, time.monotonic() - self._begun)
        self.lines = screens.stored_lines(
            put.place, done, clock, seconds=seconds, spent=drive.renter.market.unit.rounded_up(done.cost)
        )
        return drive_output.stored_json(put.place, done, clock, seconds=seconds)

    async def measure(self) -> dict[str, object]:
        """What it would cost, and the JSON of that; nothing is stored."""
        put, drive = self._put, self._drive
        made = await measure(drive.session, self._request, device=self._device, progress=self._progress())
        self._note(made)
        self.remarks = made.result.remarks
        if made.changes_nothing:
            self.lines = [screens.unchanged_text(put.place, made.result)]
            return drive_output.measured_json(put.place, made.result, quote=None, packs=0, cost=0)
        new = made.result.new
        needed = new.sealed_bytes + new.chunk_count * CHUNK_RECORD_BYTES + JOURNAL_BYTES
        full, rest = divmod(needed, MAX_PACK_BYTES)
        self._full_packs = full
        quotes = []
        for size_bytes, count in ((MAX_PACK_BYTES, full), (rest, 1)):
            if count:
                options = await self._term(size_bytes)
                quotes.append((await drive.renter.packs.quote(size_bytes, options), count))
        cost = sum(quote.cost * count for quote, count in quotes)
        quote = quotes[-1][0]
        clock, gas, approves = await together(
            drive.renter.market.clock(),
            drive.renter.gas_value(),
            drive.renter.market.needs_approval(quote.missing),
        )
        facts = await self._facts(PackOffer(quote=quote, size_bytes=needed, is_last=True))
        if not put.as_json:
            screen = screens.dry_run_screen(
                quote, clock, drive.renter, facts=facts, cost=cost, packs=full + 1, gas=gas, approves=approves
            )
            with alone():
                common.out.print(screen)
        return drive_output.measured_json(put.place, made.result, quote=quote, packs=full + 1, cost=cost)

    async def _facts(self, offer: PackOffer) -> list[tuple[str, str]]:
        """What is to be said beside the price of the first pack."""
        put, drive = self._put, self._drive
        facts = [("into", put.place.shown)]
        to_come = 0
        if self._made is not None:
            facts += screens.new_facts(self._made)
        else:
            to_come = await self._packs_to_come()
            facts += screens.first_pack_facts(
                self._totals, offer, self._left_bytes or 0, to_come, drive.renter.market.unit.rounded_up
            )
        geometry = offer.quote.geometry
        limit = None if put.upload_rate is None else put.upload_rate * geometry.k // geometry.n
        seconds = drive.line.seconds_for(offer.size_bytes + to_come * MAX_PACK_BYTES, limit=limit)
        if seconds is not None:
            facts.append(("upload", screens.upload_text(seconds, is_most=to_come > 0)))
        return facts

    async def _packs_to_come(self) -> int:
        """How many packs there may be after this one, at most."""
        if self._made is not None:
            return self._full_packs
        if self._left_bytes is None:
            # By the sizes of files, without reading them: some may be as they were.
            self._drive.display(Step(what="Looking how much there is"))
            renter = self._drive.renter
            total = await renter.executors.on_disk(_size_of, self._request, renter.home)
            self._left_bytes = max(0, total - self._totals.size_bytes)
        return -(-self._left_bytes // MAX_PACK_BYTES)

    def _note(self, made: BackupDraft) -> None:
        self._made = made
        if made.result.new.compressor_failures:
            count = format_count(made.result.new.compressor_failures, "chunk")
            say(f"{count} did not come out of the compressor as they went in, and are stored as they are.")

    def _progress(self) -> Callable[[Totals], None]:
        """Shows what was read, from the thread that reads."""
        loop = asyncio.get_running_loop()

        def progress(totals: Totals) -> None:
            self._totals = totals
            now = time.monotonic()
            if now - self._shown >= SHOW_SECONDS:
                self._shown = now
                loop.call_soon_threadsafe(self._show, totals.files, totals.size_bytes)

        self._drive.display(Step(what="Looking at the files"))
        return progress

    def _show(self, files: int, size_bytes: int) -> None:
        if self._made is None:
            self._drive.display.describe(
                f"Looking at the files: {format_count(files, 'file')}, {format_size(size_bytes)}"
            )


def standard_input() -> BinaryIO:
    """What is piped into the command."""
    return sys.stdin.buffer


def _is_content(path: str) -> bool:
    """Whether what is in a directory is meant, and not the directory under its name."""
    return path == "." or path.endswith("/.")


def _require_apart(sources: Sequence[Source]) -> None:
    """Raise NothingToStore for two of which one would take the other's place."""
    taken: dict[bytes, bytes] = {}
    for one in sources:
        local = one.local or b""
        parts = one.place.split(b"/")
        above = {b"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
        clash = next((place for place in above if place in taken), None)
        if clash is None:
            clash = next((place for place in taken if place.startswith(one.place + b"/")), None)
        if clash is not None:
            raise NothingToStore(
                f"{shown(taken[clash])} and {shown(local)} would both be stored at {shown(clash)}.",
                hint="Store them one at a time, in different directories of the drive.",
            )
        taken[one.place] = local


def _size_of(request: BackupRequest, home: Path) -> int:
    """How much content there is, by the sizes of files. Blocks."""
    total, scan = 0, Scan(scan_in(home, request.scan), ScanRemarks())
    for source in request.sources:
        if source.order is not None:
            total += source.order.manifest.content_bytes
        if source.local is None:
            continue
        top = scan.look(os.path.abspath(source.local), source.place)  # noqa: PTH100
        total += top.status.st_size if top.kind is Kind.FILE else 0
        if top.kind is Kind.DIRECTORY:
            below = scan.below(top, source.place)
            total += sum(one.status.st_size for one in below if one.kind is Kind.FILE)
    return total

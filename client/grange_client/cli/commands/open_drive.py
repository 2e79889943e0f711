"""Opening a drive for a command.

    async with open_drive(home, "main", writes=True) as drive:
        drive.session, drive.state, drive.renter, drive.display

Decides what every command on a drive does before its own work: it reads what is new, and one that writes
goes on with what an earlier one left, while no other of this home writes. Shows on standard error what takes
long, for as long as it is open: print meanwhile under `grange.cli.confirm.alone`.
"""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from grange.cli.confirm import alone
from grange.cli.presenter import print_prose
from grange.peer import Budget
from grange.units import format_count
from grange_client.cli.commands import common
from grange_client.cli.screens.display import Display
from grange_client.cli.upload_rate import UploadRate
from grange_client.drive.commit import MAX_DEVICE_CHARACTERS
from grange_client.drive.drive_state import DriveState
from grange_client.drive_session import DriveSession, SyncedDrive
from grange_client.drives import Drives
from grange_client.errors import PAY_MORE
from grange_client.files.scan import shown
from grange_client.renter import Renter

Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="What this computer is called; its host name if not given.")
]
MAX_NAMED: Final = 3
"""So many names are written out of what a drive has too much of."""
NO_NAME = "device"
"""Of a computer that has none that can be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveOfCommand:
    """A drive that a command has opened."""

    name: str
    renter: Renter
    session: DriveSession
    synced: SyncedDrive
    display: Display
    line: UploadRate
    """How fast content has gone to farmers."""
    budget: Budget
    """What reading cost, and may cost."""

    @property
    def state(self) -> DriveState:
        """As it was when the command began, or after what an earlier one left was placed."""
        return self.synced.state


@asynccontextmanager
async def open_drive(
    home: Path | None,
    name: str,
    *,
    writes: bool = False,
    max_price: str | None = None,
    upload_rate: int | None = None,
    download_rate: int | None = None,
) -> AsyncIterator[DriveOfCommand]:
    """Open a drive by its name. Reading costs no more than `max_price`, as it was typed; the rates are in
    bytes a second. Raises UnknownDrive, WrongDriveKey, OverBudget and the errors of the chain."""
    async with common.renter(home) as renter:
        unit = renter.market.unit
        limit = None if max_price is None else unit.parse(max_price)
        budget = Budget(limit, hint=PAY_MORE, unit=unit)
        limits = renter.limits
        with (
            common.display(renter) as display,
            limits.upload.at(upload_rate),
            limits.download.at(download_rate),
        ):
            line = UploadRate(display, folder=renter.home)
            drives = Drives(renter, watch=line, budget=budget, on_wait=say_waiting)
            async with drives.open(name, writes=writes) as opened:
                synced = opened.synced
                if writes and (placed := await opened.session.resume()):
                    say(f"What an earlier command left was placed: {format_count(len(placed), 'pack')}.")
                    synced = await opened.session.sync()
                if synced.recovery.missing or synced.unread:
                    count = len(synced.recovery.missing) + synced.unread
                    say(
                        f"{format_count(count, 'pack')} could not be looked at: there may be more in {name} "
                        "than is seen here."
                    )
                if left_out := synced.state.values_left_out:
                    say(_left_out_text(name, left_out))
                yield DriveOfCommand(
                    name=opened.name,
                    renter=renter,
                    session=opened.session,
                    synced=synced,
                    display=display,
                    line=line,
                    budget=budget,
                )


def _left_out_text(drive: str, names: Sequence[str]) -> str:
    some = [shown(one.encode()) for one in names[:MAX_NAMED]]
    if more := len(names) - len(some):
        some.append(f"{more:,} more")
    return (
        f"More is said in {drive} than a drive may have, and this is left out: {', '.join(some)}. A device "
        "of yours writes what no client does; `grange keys delegate list` shows all devices."
    )


def device_name(given: str | None) -> str:
    """What this computer is called in commits: as given, else its host name."""
    name = socket.gethostname() if given is None else given
    shown = "".join(one for one in name if one.isprintable()).strip()[:MAX_DEVICE_CHARACTERS]
    return shown or NO_NAME


def say(text: str) -> None:
    """A sentence on standard error, beside what is drawn there."""
    with alone():
        print_prose(common.err, Text(text), style="yellow")


def say_waiting() -> None:
    """That another command of this home writes to the drive."""
    say("Another command is writing to this drive; waiting for it.")

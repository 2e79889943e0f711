"""`keep`: have drives live on, once or as a service.

Decides which drives are kept one after the other, what is said before and after, and the exit code. Leaves
what is done to `grange_client.keep`, and doing it to `grange_client.keep_drive`.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from grange.alerts import AlertChannel, open_channels
from grange.cli.confirm import alone
from grange.cli.exit_codes import ExitCode
from grange.cli.passphrase_options import opens_keys
from grange.cli.presenter import error_text, explain, print_prose
from grange.errors import GrangeError
from grange.storage.home_lock import HomeLock
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Json, Verbose
from grange_client.cli.commands.open_drive import Device, device_name, say
from grange_client.cli.drive_path import require_drive_path
from grange_client.cli.guidance import guidance
from grange_client.cli.screens.keep import PlanLines, plan_json, report_json, report_lines
from grange_client.drive_session import FOLDER_NAME
from grange_client.drives import Drives, OpenDrive
from grange_client.keep.alert_settings import load_alert_settings
from grange_client.keep.description import describe_plan
from grange_client.keep.loop import LOCK_NAME, LONGEST_SECONDS, RETRY_SECONDS, KeepLoop, jittered, repeat
from grange_client.keep.run import KeepReport, KeepRun
from grange_client.keep_drive.port import DriveKeeper
from grange_client.keys.config import home_path
from grange_client.renter import Renter

MEMORY_NAME = "keep.json"


@opens_keys
def keep(  # noqa: PLR0917  typer makes options of parameters
    drives: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DRIVE]...", help="Which drives, like main: ; all if none is named."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Do what is due and end: for cron.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is due, and do nothing.")] = False,
    device: Device = None,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Keep drives alive, until SIGTERM or Ctrl-C: extend what ends, put small packs together, let go what no
    version needs, and warn before something ends.

    Once a day from cron: `0 5 * * * grange keep --once`. As a service: docs/renter.md has a unit of systemd.
    What a run does follows each drive's policy (`grange policy`), and is said before it is done. Where it
    warns: `grange alerts`.
    """
    folder = home_path(home)
    channels = open_channels(load_alert_settings(folder))
    wanted = [_drive_name(one) for one in drives or ()]

    async def run() -> ExitCode:
        async with common.renter(home) as renter:
            keeping = _Keeping(
                renter=renter,
                folder=folder,
                wanted=wanted,
                device=device_name(device),
                channels=[] if dry_run else channels,
                as_json=as_json,
            )
            if dry_run:
                return await keeping.show_plans()
            return await (keeping.run_once() if once else keeping.serve())

    if (code := common.run(run())) is not ExitCode.DONE:
        raise typer.Exit(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keeping:
    """Keeps the drives of one home."""

    renter: Renter
    folder: Path
    wanted: list[str]
    device: str
    channels: list[AlertChannel]
    as_json: bool

    async def show_plans(self) -> ExitCode:
        """The dry run. Raises the errors of the chain, and what opening a drive raises."""
        shown: list[dict[str, Any]] = []
        for name in await self._names():
            async with self._opened(name) as drive:
                plan, look = await self._run_of(drive).plan()
            shown.append(plan_json(plan, look))
            if not self.as_json:
                for line in describe_plan(plan, look):
                    _print(line)
        if self.as_json:
            common.print_json(shown)
        return ExitCode.DONE

    async def run_once(self) -> ExitCode:
        """Keep each drive once; what one raises keeps no other from being kept."""
        codes: list[ExitCode] = []
        shown: list[dict[str, Any]] = []

        def note(report: KeepReport) -> None:
            shown.append(report_json(report))
            if not report.is_kept:
                codes.append(ExitCode.ENDS_SOON)

        for name in await self._names():
            try:
                await self._step(name, note)
            except GrangeError as error:
                codes.insert(0, _say_error(name, error))
                shown.append({"drive": name, "is_kept": False, "error": str(error)})
        if self.as_json:
            common.print_json(shown)
        return codes[0] if codes else ExitCode.DONE

    async def serve(self) -> ExitCode:
        """Round after round, until it is told to end: DONE between two, INTERRUPTED within one, which the
        next run goes on with."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        is_working = False

        async def step() -> float:
            nonlocal is_working
            is_working = True
            seconds = await self._round()
            is_working = False
            return seconds

        try:
            await repeat(step, stop)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        if is_working:
            say("Ended in the middle of a run. The next one goes on where it was.")
        return ExitCode.INTERRUPTED if is_working else ExitCode.DONE

    async def _round(self) -> float:
        """Keep each drive once; in how many seconds something is due again."""

        def note(report: KeepReport) -> None:
            if self.as_json:
                common.print_json(report_json(report))
                sys.stdout.flush()

        waits = [LONGEST_SECONDS]
        name = "drives"
        try:
            names = await self._names()
        except GrangeError as error:
            _say_error(name, error)
            return jittered(RETRY_SECONDS)
        for name in names:
            try:
                waits.append(await self._step(name, note))
            except GrangeError as error:
                _say_error(name, error)
                waits.append(jittered(RETRY_SECONDS))
        return min(waits)

    async def _step(self, name: str, note: Callable[[KeepReport], None]) -> float:
        def report(done: KeepReport) -> None:
            note(done)
            if not self.as_json:
                for line in report_lines(done):
                    _print(line)

        lock = HomeLock(self.folder / LOCK_NAME, on_wait=_say_keeping)
        async with self._opened(name) as drive:
            return await KeepLoop(self._run_of(drive), lock, report=report).step()

    @contextmanager
    def _drives(self) -> Iterator[Drives]:
        """What takes long is drawn, but not while a service sleeps."""
        with common.display(self.renter) as display:
            yield Drives(self.renter, watch=display, on_wait=_say_writing)

    @asynccontextmanager
    async def _opened(self, name: str) -> AsyncIterator[OpenDrive]:
        with self._drives() as drives:
            async with drives.open(name) as drive:
                yield drive

    def _run_of(self, drive: OpenDrive) -> KeepRun:
        session = drive.session
        return KeepRun(
            DriveKeeper(session, name=drive.name, device=self.device),
            session.renter.executors,
            memory_path=self.folder / FOLDER_NAME / str(session.number) / MEMORY_NAME,
            channels=self.channels,
            announce=PlanLines(drive.name, say if self.as_json else _print).announce,
        )

    async def _names(self) -> list[str]:
        """Those that were named, or all in which there is something."""
        if self.wanted:
            return self.wanted
        with self._drives() as drives:
            names = [one.name for one in await drives.listed() if not one.is_new]
        if not names and not self.as_json:
            _print("Nothing is stored in a drive yet, so there is nothing to keep.")
        return names


def _drive_name(typed: str) -> str:
    """`main:`, or just `main`."""
    return require_drive_path(typed).drive if ":" in typed else typed


def _print(line: str) -> None:
    with alone():
        print_prose(common.out, Text(line))


def _say_error(name: str, error: GrangeError) -> ExitCode:
    explanation = explain(error, guidance("keep"))
    with alone():
        print_prose(common.err, Text(f"{name} could not be kept."), style="yellow")
        print_prose(common.err, error_text(explanation))
    return explanation.exit_code


def _say_keeping() -> None:
    say("Another command keeps a drive of this home; waiting for it.")


def _say_writing() -> None:
    say("Another command is writing to this drive; waiting for it.")

"""The drives of a renter, by name.

    drives = Drives(renter)
    async with drives.open("main", writes=True) as drive:      what is in it: drive.synced, drive.session
        ...
    await drives.create("photos")          nothing is paid: its first commit makes it
    for drive in await drives.listed(): ...

A drive's name is a value of its journals (`drive.edits.names`), so any device finds it again from the phrase
alone. `main` is number 0, which is there from the start and always called that. The home notes which name it
saw for which number: so a drive is mostly opened without looking at the others, and one that was made here
has a name before anything is in it. What the journals say counts more.

Who writes to a drive of a home waits until nobody else there does; other computers write at once, and what
they do is merged. One event loop.
"""

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from grange.errors import UserError
from grange.json_text import parse_json
from grange.peer import Budget
from grange.storage.atomic_file import replace_file
from grange.storage.folder_lock import folder_lock
from grange.storage.home_lock import HomeLock
from grange.transfer.events import Listener, Step, ignore_progress
from grange_client.drive.drive_name import MAIN, check_drive_name, is_drive_name, names_of_drives
from grange_client.drive.drive_state import DriveState
from grange_client.drive.edits.names import name_of, rename
from grange_client.drive.keys import MAX_DRIVES
from grange_client.drive_session import FOLDER_NAME, Agree, ChooseOptions, DriveSession, SyncedDrive
from grange_client.errors import BadName, NotAccount, UnknownDrive
from grange_client.orders.plan import StoreOptions
from grange_client.packs.drive_secrets import drive_secret, whose_drive
from grange_client.packs.placing import PlacedPack
from grange_client.renter import Renter

NAMES_NAME: Final = "names.json"
LOCK_NAME: Final = "writing.lock"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedDrive:
    """What a home remembers of a drive."""

    said: str
    """What its journals said it is called; of one that is new, what it is to be called."""
    is_new: bool = False
    """Whether it was made here, and was not seen on the chain yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDrive:
    """A drive, as far as it could be looked at."""

    name: str
    number: int
    state: DriveState
    """Empty if nothing is stored yet, or nothing could be read."""
    problem: str = ""
    """Why not all of it could be read."""

    @property
    def is_new(self) -> bool:
        """Whether nothing is stored in it."""
        return not self.state.packs and not self.problem


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDrive:
    """A drive that is open, and was just read."""

    name: str
    session: DriveSession
    synced: SyncedDrive

    @property
    def state(self) -> DriveState:
        """As it was when it was opened."""
        return self.synced.state


class Drives:
    """The drives that a renter has the keys of."""

    def __init__(
        self,
        renter: Renter,
        *,
        watch: Listener = ignore_progress,
        budget: Budget | None = None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        """What is read costs no more than the budget, if there is one. `on_wait` is called if somebody writes
        to the drive that is opened, and we wait."""
        self._renter = renter
        self._watch = watch
        self._budget = budget
        self._on_wait = on_wait
        self._folder = renter.home / FOLDER_NAME

    @asynccontextmanager
    async def open(self, name: str, *, writes: bool = False) -> AsyncIterator[OpenDrive]:
        """Open a drive, and read what is new of it. With `writes`, nobody else in this home writes to it
        meanwhile.

        Raises UnknownDrive, WrongDriveKey, and the errors of the chain.
        """
        noted = await self._noted()
        number = 0 if name == MAIN else _number_of(noted, name)
        if number is not None:
            async with self._opened(number, noted.get(number), writes=writes) as drive:
                if drive.name == name:
                    yield drive
                    return
        listed = await self.listed()
        number = next((one.number for one in listed if one.name == name), None)
        if number is None:
            raise self._unknown(name, listed)
        async with self._opened(number, (await self._noted()).get(number), writes=writes) as drive:
            yield drive

    async def number_of(self, name: str) -> int:
        """The number of a drive. Raises UnknownDrive, and the errors of the chain."""
        async with self.open(name) as drive:
            return drive.session.number

    async def listed(self) -> list[ListedDrive]:
        """All drives, by number: those that the chain has, `main`, and those that were made here. Raises the
        errors of the chain."""
        numbers = await self._numbers()
        noted = await self._noted()
        found: dict[int, tuple[DriveState, str]] = {}
        for number in sorted(numbers | noted.keys() | self._at_least):
            try:
                async with self._opened(number, noted.get(number)) as drive:
                    found[number] = drive.state, ""
            except UnknownDrive:
                continue
            except UserError as error:
                found[number] = DriveState(), error.message
        noted = await self._noted()
        names = names_of_drives({number: _said(noted, number) for number in found})
        return [
            ListedDrive(name=names[number], number=number, state=state, problem=problem)
            for number, (state, problem) in found.items()
            if number in numbers | {0} or problem or noted[number].is_new
        ]

    async def create(self, name: str) -> ListedDrive:
        """Make a drive with this name. Nothing is stored or paid: that does the first commit. Raises BadName
        for a name that is none or is taken, and NotAccount on a device."""
        name = check_drive_name(name)
        if self._renter.identity.delegate_of is not None:
            raise NotAccount(
                "This home is a delegate's: it has the keys of the drives that it was given, and makes none.",
                hint="Do it where the recovery phrase is.",
            )
        listed = await self.listed()
        _require_free(name, listed)
        noted = await self._noted()
        taken = (
            {one.number for one in listed}
            | noted.keys()
            | await self._renter.executors.on_disk(self._used_here)
        )
        number = next(number for number in range(1, MAX_DRIVES) if number not in taken)
        await self._note(number, NotedDrive(said=name, is_new=True))
        return ListedDrive(name=name, number=number, state=DriveState())

    async def rename(
        self,
        old: str,
        new: str,
        options: Callable[[DriveState], StoreOptions | ChooseOptions],
        *,
        device: str,
        agree: Agree | None = None,
    ) -> list[PlacedPack]:
        """Call a drive something else: said in a small pack of its own, which is placed; in none for a drive
        in which nothing is. `options` says how packs of a drive in that state are stored. Raises BadName,
        UnknownDrive, and as `DriveWriter.publish`."""
        new = check_drive_name(new)
        if MAIN in (old, new):
            raise BadName(
                f"The drive {MAIN} is always called that, and no other is.",
                hint="`grange drives create NAME` makes another one.",
            )
        listed = await self.listed()
        _require_free(new, listed)
        placed: list[PlacedPack] = []
        async with self.open(old, writes=True) as drive:
            number = drive.session.number
            if drive.state.packs:
                choose = options(drive.state)
                async with drive.session.writing(choose, device=device, agree=agree) as writer:
                    seconds = int(time.time())
                    placed = await writer.publish([rename(drive.state, new, seconds=seconds)])
        await self._note(number, NotedDrive(said=new, is_new=not placed))
        return placed

    @asynccontextmanager
    async def _opened(
        self, number: int, noted: NotedDrive | None, *, writes: bool = False
    ) -> AsyncIterator[OpenDrive]:
        """Open the drive with a number, read what is new of it, and note what it is called."""
        secret = drive_secret(self._renter.identity, number)
        folder = self._folder / str(number)
        if writes:
            await self._renter.executors.on_disk(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        lock = HomeLock(folder / LOCK_NAME if writes else None, on_wait=self._on_wait)
        new_name = noted.said if noted is not None and noted.is_new else ""
        async with (
            lock.held(),
            DriveSession.open(
                self._renter,
                self._renter.home,
                secret,
                watch=self._watch,
                budget=self._budget,
                new_name=new_name,
            ) as session,
        ):
            synced = await session.sync(is_new=bool(new_name))
            said = name_of(synced.state)
            now = NotedDrive(said=said or new_name, is_new=bool(new_name) and not said)
            if number and now != noted:
                await self._note(number, now)
            names = names_of_drives({n: one.said for n, one in (await self._noted()).items()} | {0: MAIN})
            yield OpenDrive(name=names[number], session=session, synced=synced)

    async def _numbers(self) -> set[int]:
        """Of the drives that the chain has."""
        self._watch(Step(what="Looking for drives"))
        await self._renter.sync(self._watch)
        whose = whose_drive(self._renter.identity)
        found = await self._renter.pack_search.drives(whose, watch=self._watch, budget=self._budget)
        return set(found.numbers)

    @property
    def _at_least(self) -> set[int]:
        """The drives that are there in any case."""
        identity = self._renter.identity
        if identity.delegate_of is None:
            return {0}
        return {one.number for one in identity.given_drives}

    def _unknown(self, name: str, listed: list[ListedDrive]) -> UnknownDrive:
        there = ", ".join(one.name for one in listed)
        return UnknownDrive(
            f"There is no drive {name}.",
            detail=f"There are: {there}." if there else "This device was given the keys of no drive.",
            hint=f"`grange drives create {name}` makes it."
            if is_drive_name(name)
            else "`grange drives` lists them.",
        )

    def _used_here(self) -> set[int]:
        """Numbers that have a folder in this home: its catalog knows what was in that drive."""
        if not self._folder.is_dir():
            return set()
        return {int(one.name) for one in self._folder.iterdir() if one.name.isdigit() and one.name.isascii()}

    async def _noted(self) -> dict[int, NotedDrive]:
        """What is noted, and of drives that this device was given and has not looked at, what the giver said
        that they are called."""
        noted = await self._renter.executors.on_disk(read_noted, self._folder)
        identity = self._renter.identity
        given = () if identity.delegate_of is None else identity.given_drives
        return {one.number: NotedDrive(said=one.name, is_new=True) for one in given if one.number} | noted

    async def _note(self, number: int, drive: NotedDrive) -> None:
        await self._renter.executors.on_disk(note_drive, self._folder, number, drive)


def read_noted(folder: Path) -> dict[int, NotedDrive]:
    """What a home notes of its drives, by number; nothing where that cannot be read. Blocks."""
    try:
        document = parse_json((folder / NAMES_NAME).read_text(encoding="utf-8"))
        return {
            int(number): NotedDrive(said=str(one["said"]), is_new=bool(one["new"]))
            for number, one in document["drives"].items()
            if 0 < int(number) < MAX_DRIVES
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def note_drive(folder: Path, number: int, drive: NotedDrive) -> None:
    """Note it. Blocks; raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with folder_lock(folder):
        noted = read_noted(folder) | {number: drive}
        drives = {str(n): {"said": one.said, "new": one.is_new} for n, one in sorted(noted.items())}
        replace_file(folder / NAMES_NAME, json.dumps({"version": _VERSION, "drives": drives}, indent=2))


def names_here(home: Path) -> list[str]:
    """Names of drives that a home has seen, without a look at the chain: what a shell completes. Blocks."""
    noted = read_noted(home / FOLDER_NAME)
    return list(names_of_drives({0: MAIN} | {number: one.said for number, one in noted.items()}).values())


def _number_of(noted: Mapping[int, NotedDrive], name: str) -> int | None:
    names = names_of_drives({0: MAIN} | {number: one.said for number, one in noted.items()})
    return next((number for number, one in names.items() if one == name), None)


def _said(noted: Mapping[int, NotedDrive], number: int) -> str:
    return noted[number].said if number in noted else ""


def _require_free(name: str, listed: list[ListedDrive]) -> None:
    """Raise BadName if a drive is called so, in whatever case."""
    for one in listed:
        if one.name.casefold() == name.casefold():
            raise BadName(
                f"There is a drive {one.name} already.",
                detail="Names that differ in capitals only are too easily taken for each other.",
                hint="`grange drives` lists them.",
            )

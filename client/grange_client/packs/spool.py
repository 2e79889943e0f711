"""Packs on disk until they are placed for good: a folder of a drive's home.

    with spool.begin(keys, salt, order) as draft:        ORDER.part      while it is written
        draft.add(chunk)
        needed = draft.write_journal(header, records)
        pack = draft.finish(quote)                       ORDER.pack and ORDER.json: whole, and on the disk
    ...
    for pack in spool.claim_all(): ...                   what an earlier command left, unless one is at it
    spool.note_placed(pack, block)
    spool.remove(pack.order)

A pack is sent only when it is whole, so one that was cut short while it was written is of no use to anyone:
it is removed. One that is whole stays until its order is buried for good, and is sent by the next command if
this one dies: the same bytes, to the same farmers, for the same order, which the market takes once. Nothing
in it can be read without the drive's keys.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

from grange.chain.confirmations import FINAL_BLOCKS
from grange.errors import Misuse
from grange.storage.atomic_file import replace_file
from grange.storage.mark import is_marked, marked
from grange.types import FarmerId, OrderId
from grange_client.drive.chunk import SealedChunk, StoredChunk
from grange_client.drive.journal import Header, Record
from grange_client.drive.keys import DriveKeys
from grange_client.drive.pack import PackWriter
from grange_client.errors import HomeForgetful
from grange_client.orders.order_storing import OrderQuote
from grange_client.packs.spool_file import NO_JOB, PackPlan, SpooledPack

MAX_PLAN_BYTES: Final = 1 << 20
_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700


class PackDraft:
    """A pack that is being written. One thread at a time; opened by `Spool.begin`."""

    def __init__(self, folder: Path, keys: DriveKeys, order: OrderId, held: ExitStack) -> None:
        self.order: Final = order
        self._path = folder / f"{order.hex()}.part"
        self._held = held
        self._digest = sha256()
        self._written = 0
        self._finished: SpooledPack | None = None
        with _writing(folder):
            folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        self._file: BinaryIO = os.fdopen(descriptor, "wb")
        self._writer = PackWriter(keys, order, self._write)

    @property
    def size_bytes(self) -> int:
        """What was written so far."""
        return self._written

    @property
    def is_full(self) -> bool:
        """Whether it takes no more chunks."""
        return self._writer.is_full

    def add(self, chunk: SealedChunk | StoredChunk) -> None:
        """One more chunk. Raises Misuse in a pack that is full, HomeForgetful if the disk takes no more."""
        self._writer.add(chunk)

    def write_journal(self, header: Header, records: Iterable[Record]) -> int:
        """How many bytes the pack needs at least, now that everything is in it: to be quoted. Raises
        DriveFull if it says more than a journal may, and HomeForgetful."""
        return self._writer.write_journal(header, records)

    def finish(
        self,
        quote: OrderQuote,
        *,
        relies_on: Iterable[OrderId] = (),
        job: bytes = NO_JOB,
        max_cost: int | None = None,
        upload_bytes_per_second: int | None = None,
    ) -> SpooledPack:
        """Fill it up to what the order holds. It is on the disk when this returns, and stays there. What it
        publishes is not whole without the packs that it `relies_on`; who goes on with it spends no more than
        `max_cost`, and sends no faster.

        Raises Misuse for a quote of another order, or one that is too small, and HomeForgetful.
        """
        if quote.order != self.order:
            raise Misuse("a pack is sealed for its own order")
        self._writer.finish(quote.geometry.data_bytes)
        with _writing(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            path = self._path.with_suffix(".pack")
            self._path.rename(path)
            plan = PackPlan.of(
                quote,
                self._digest.digest(),
                relies_on,
                job=job,
                max_cost=max_cost,
                upload_bytes_per_second=upload_bytes_per_second,
            )
            # What is no pack without it, and says where it goes, comes last.
            _write_plan(path, plan)
        self._finished = SpooledPack(path=path, plan=plan, quote=quote, held=self._held.pop_all())
        return self._finished

    def close(self) -> None:
        """Remove what was not finished. May be repeated."""
        if self._finished is None:
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            with suppress(OSError):
                self._path.with_suffix(".pack").unlink(missing_ok=True)
        self._held.close()

    def _write(self, part: bytes) -> None:
        with _writing(self._path):
            self._file.write(part)
        self._digest.update(part)
        self._written += len(part)


class Spool:
    """The packs of one drive. Processes may share a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def begin(self, keys: DriveKeys, order: OrderId) -> Iterator[PackDraft]:
        """Begin a pack for an order that nobody has begun. What is not finished inside is removed. Raises
        HomeForgetful if the disk takes nothing."""
        with suppress(OSError):
            self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        with ExitStack() as held:
            held.enter_context(marked(self._mark(order)))
            draft = PackDraft(self._folder, keys, order, held.pop_all())
        try:
            yield draft
        finally:
            draft.close()

    def claim_all(self) -> list[SpooledPack]:
        """Packs that are whole and that no living command is at. They are ours until they are closed. What is
        of no use to anyone is removed."""
        found = []
        for path in self._paths(".json"):
            if (pack := self._claim(path)) is not None:
                found.append(pack)
        for suffix in (".part", ".pack"):
            for path in self._paths(suffix):
                whole = suffix == ".pack" and path.with_suffix(".json").exists()
                if not whole and not is_marked(path.with_suffix(".underway")):
                    with suppress(OSError):
                        path.unlink(missing_ok=True)
        return found

    def get(self, order: OrderId) -> SpooledPack | None:
        """A pack that is whole, to be read alone: another command may be placing it."""
        return self._read(self._folder / f"{order.hex()}.json")

    def note(self, pack: SpooledPack, plan: PackPlan) -> SpooledPack:
        """Write down that the plan of a pack has changed. Raises HomeForgetful."""
        with _writing(pack.path, detail="It may be sent or paid already; the next command goes on."):
            _write_plan(pack.path, plan)
        return SpooledPack(path=pack.path, plan=plan, quote=pack.quote, held=pack.held)

    def note_keeper(self, pack: SpooledPack, slot: int, farmer: FarmerId, rate: int) -> SpooledPack:
        """Another farmer is to have a slot. Raises HomeForgetful."""
        keepers = list(pack.plan.unfinished.keepers)
        keepers[slot] = farmer, rate
        unfinished = replace(pack.plan.unfinished, keepers=tuple(keepers))
        return self.note(pack, replace(pack.plan, unfinished=unfinished))

    def note_relies_on(self, pack: SpooledPack, relies_on: Iterable[OrderId]) -> SpooledPack:
        """What it publishes is whole with other packs. Raises HomeForgetful."""
        return self.note(pack, replace(pack.plan, relies_on=tuple(sorted(relies_on))))

    def note_placed(self, pack: SpooledPack, block: int) -> SpooledPack:
        """It is in this block. Raises HomeForgetful."""
        return self.note(pack, replace(pack.plan, block=block))

    def remove(self, order: OrderId) -> None:
        """It is buried for good, or of no use any more. The plan goes first: what has none is no pack."""
        for suffix in (".json", ".pack", ".part"):
            with suppress(OSError):
                (self._folder / f"{order.hex()}{suffix}").unlink(missing_ok=True)

    def _paths(self, suffix: str) -> list[Path]:
        try:
            return sorted(self._folder.glob(f"*{suffix}"))
        except OSError:
            return []

    def _claim(self, path: Path) -> SpooledPack | None:
        mark = path.with_suffix(".underway")
        if is_marked(mark):
            return None
        with ExitStack() as held:
            held.enter_context(marked(mark))
            try:
                pack = self._read_plan(path)
            except FileNotFoundError:
                pack = None
            except OSError:
                # Too many open files, a disk that is away for a moment: nothing is known of it, so it stays.
                return None
            if pack is None:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                return None
            return SpooledPack(path=pack.path, plan=pack.plan, held=held.pop_all())

    def _read(self, path: Path) -> SpooledPack | None:
        try:
            return self._read_plan(path)
        except OSError:
            return None

    def _read_plan(self, path: Path) -> SpooledPack | None:
        """None for what is no whole pack. Raises OSError."""
        pack = path.with_suffix(".pack")
        try:
            plan = PackPlan.from_json(path.read_text(encoding="utf-8"))
            is_whole = pack.stat().st_size == plan.unfinished.geometry.data_bytes
        except (ValueError, KeyError, TypeError, ArithmeticError, Misuse):
            return None
        return SpooledPack(path=pack, plan=plan) if is_whole and plan.order.hex() == path.stem else None

    def _mark(self, order: OrderId) -> Path:
        return self._folder / f"{order.hex()}.underway"


def is_final(plan: PackPlan, head_block: int) -> bool:
    """Whether the order of a pack is buried so deep that no reorganisation takes it back."""
    return plan.block is not None and plan.block + FINAL_BLOCKS <= head_block


def _write_plan(pack: Path, plan: PackPlan) -> None:
    replace_file(pack.with_suffix(".json"), json.dumps(plan.to_json()))


@contextmanager
def _writing(
    path: Path,
    *,
    detail: str = "New content is laid out there before it is sent. Nothing of this pack was sent or paid.",
) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HomeForgetful(
            f"{path} cannot be written: {error.strerror}.",
            detail=detail,
            hint="Make room for the home, or make it writable.",
        ) from error

"""A catalog in a SQLite file: one file for each drive, on one computer.

    with SqliteCatalog.open(path, keys=keys, domain=domain) as catalog:
        fill(catalog, newest, read_pack)

The file begins again where it is another drive's or another market's, and where its content cannot be read;
it stays where it is when a newer program wrote it. Where the disk takes nothing, a small one goes on in
memory, a large one ends in words (`optional_database`).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

from grange.messages import Domain
from grange.storage.connection import BUSY_SECONDS
from grange.storage.optional_database import Connection, OptionalDatabase
from grange.types import Epoch, OrderId
from grange_client.drive.catalog import (
    BATCH,
    LiveContent,
    Marked,
    Marking,
    PackContent,
    Place,
    batches,
)
from grange_client.drive.catalog_rows import BadRow, CatalogRows, RowKey, RowKind
from grange_client.drive.chunk import ChunkId
from grange_client.drive.drive_state import DriveState, Journal
from grange_client.drive.journal import PackDescriptor, PlacedChunk
from grange_client.drive.keys import DriveKeys
from grange_client.drive.sqlite_chunks import (
    SCHEMA,
    begin_marking,
    changed_error,
    empty_all,
    empty_pack,
    find_chunks,
    finish_pack,
    insert_chunks,
    mark_chunks,
    note_packs,
    number_to_fill,
    prepare_file,
    question_marks,
    read_chunks_of,
    read_live_content,
    read_packs,
)
from grange_client.drive.stamp import StampedFile

MOST_IN_MEMORY_BYTES: Final = 64 << 20
"""A file that is larger is not copied into memory when the disk takes nothing."""
INSERT_BATCH: Final = 5000
"""So many chunks of a journal go into one transaction."""
_CACHE_KIB: Final = 32 << 10
Item = TypeVar("Item")


class SqliteCatalog:
    """See `catalog.Catalog`."""

    def __init__(self, file: OptionalDatabase, keys: DriveKeys) -> None:
        """Use `SqliteCatalog.open`."""
        self.file = file
        self._rows = CatalogRows(keys.catalog_secret)

    @classmethod
    @contextmanager
    def open(
        cls, path: Path | None, *, keys: DriveKeys, domain: Domain, busy_seconds: float = BUSY_SECONDS
    ) -> Iterator[Self]:
        """Open the file of a drive, or begin it; without a path, in memory. Raises FileBusy, FileTooNew, and
        DiskTakesNothing."""
        about = {
            "drive": keys.own.scope_id.hex(),
            "chain": str(domain.chain_id),
            "market": domain.market,
        }

        def prepare(db: Connection) -> None:
            SCHEMA.prepare(db, path)
            db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            prepare_file(db, about)

        with OptionalDatabase.open(
            path, prepare, busy_seconds=busy_seconds, most_in_memory_bytes=MOST_IN_MEMORY_BYTES
        ) as file:
            yield cls(file, keys)

    def notices(self) -> list[str]:
        """What a person should know of the file."""
        return self.file.notices("It is made again from the drive's packs, and files are read once more.")

    def state(self) -> DriveState:
        """See `Catalog`, also for all that follow."""

        def read(db: Connection) -> DriveState:
            rows = db.execute("SELECT kind, key, value FROM state")
            return self._rows.state_of({(kind, key): value for kind, key, value in rows})

        return self._read(read)

    def add_packs(self, descriptors: Iterable[PackDescriptor]) -> None:
        """Where packs are."""
        states = [DriveState().with_pack(one) for one in descriptors]

        def work(db: Connection) -> None:
            for state in states:
                self._join(db, state)

        self._change(work)

    def add_journal(self, journal: Journal, chunks: Iterable[PlacedChunk]) -> None:
        """What a journal says."""
        pack, state = journal.pack, DriveState().with_journal(journal)
        number = self._change(lambda db: number_to_fill(db, pack))
        if number is None or pack in state.dropped:
            self._change(lambda db: self._join(db, state))
            return
        chunk_count = content_bytes = 0
        for batch in batches(chunks, INSERT_BATCH):
            self._change(partial(insert_chunks, number=number, pack=pack, chunks=batch))
            chunk_count += len(batch)
            content_bytes += sum(one.size_bytes for one in batch)
        content = PackContent(chunk_count=chunk_count, content_bytes=content_bytes)

        def finish(db: Connection) -> bool:
            if not finish_pack(db, number, pack, content):
                return False
            self._join(db, state)
            return True

        if not self._change(finish):
            raise changed_error("Another process began it again, or read another journal of the same pack.")

    def forget_journal(self, pack: OrderId) -> None:
        """To be read again."""

        def work(db: Connection) -> None:
            db.execute("DELETE FROM state WHERE kind = ? AND key = ?", (RowKind.READ, pack))
            empty_pack(db, pack)

        self._change(work)

    def packs(self) -> dict[OrderId, PackContent]:
        """Those whose chunks are known."""
        return self._read(read_packs)

    def find(self, ids: Collection[ChunkId]) -> dict[ChunkId, tuple[Place, ...]]:
        """Where chunks are."""
        found: dict[ChunkId, tuple[Place, ...]] = {}
        for batch in batches(ids, BATCH):
            for one in self._read(partial(find_chunks, ids=batch)):
                found[one.chunk.id] = (*found.get(one.chunk.id, ()), one.place)
        return found

    def chunks_of(
        self, pack: OrderId, *, after: int = -1, limit: int = BATCH, live_in: Marking | None = None
    ) -> list[PlacedChunk]:
        """What is in a pack, page by page."""
        return self._read(partial(read_chunks_of, pack=pack, after=after, limit=limit, live_in=live_in))

    def begin_marking(self) -> Marking:
        """The old one is over."""
        return self._change(begin_marking)

    def mark(self, marking: Marking, ids: Collection[ChunkId]) -> Marked:
        """What is needed."""
        new: list[ChunkId] = []
        missing: set[ChunkId] = set()
        # Also without any id, it is noticed that another marks.
        for batch in list(batches(dict.fromkeys(ids), BATCH)) or [[]]:
            is_new = self._change(partial(mark_chunks, marking=marking, ids=batch))
            new += [one for one in batch if is_new.get(one)]
            missing |= set(batch) - is_new.keys()
        return Marked(new=tuple(new), missing=frozenset(missing))

    def live_content(
        self, marking: Marking, packs: Collection[OrderId], *, after: Epoch
    ) -> dict[OrderId, LiveContent]:
        """How much of packs is live."""
        return self._read(partial(read_live_content, marking=marking, packs=packs, after=after))

    def stamped(self, paths: Collection[bytes]) -> dict[bytes, StampedFile]:
        """Files as they were."""
        found = {}
        for batch in batches(paths, BATCH):
            names = {self._rows.name_of(path): path for path in batch}
            for name, day, value in self._read(partial(_read_stamped, names=names)):
                file = self._rows.open_stamped(names[name], day, value)
                if file is not None:
                    found[names[name]] = file
        return found

    def put_stamped(self, files: Mapping[bytes, StampedFile], *, day: int) -> None:
        """Files as they are."""
        query = "INSERT OR REPLACE INTO stamped VALUES (?, ?, ?)"
        rows = [
            (self._rows.name_of(path), day, self._rows.seal_stamped(path, file))
            for path, file in files.items()
        ]
        self._change(lambda db: db.executemany(query, rows))

    def forget_stamped(self, *, before_day: int) -> None:
        """Those that were not seen for long."""
        self._change(lambda db: db.execute("DELETE FROM stamped WHERE day < ?", (before_day,)))

    def begin_again(self) -> None:
        """With nothing."""
        self._change(empty_all)

    def _read(self, query: Callable[[Connection], Item]) -> Item:
        return self._sound(lambda: self.file.read(query))

    def _change(self, work: Callable[[Connection], Item]) -> Item:
        return self._sound(lambda: self.file.change(work))

    def _sound(self, ask: Callable[[], Item]) -> Item:
        """What is asked for; of a new file, where a row of this one was never written so."""
        while True:
            try:
                return ask()
            except BadRow:
                self.file.begin_again()

    def _join(self, db: Connection, more: DriveState) -> None:
        """Add to the state, reading no more of it than has the same keys."""
        there: dict[RowKey, bytes] = {}
        for key in self._rows.rows_of(more):
            found = db.execute("SELECT value FROM state WHERE kind = ? AND key = ?", key).fetchone()
            if found is not None:
                there[key] = found[0]
        joined = self._rows.state_of(there).joined(more)
        changed = [
            (*key, value) for key, value in self._rows.rows_of(joined).items() if there.get(key) != value
        ]
        db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", changed)
        # Not of `more`: what was there may know better where a pack is.
        note_packs(db, joined)


def _read_stamped(db: Connection, names: Collection[bytes]) -> list[tuple[bytes, int, bytes]]:
    query = f"SELECT name, day, value FROM stamped WHERE name IN ({question_marks(names)})"
    return db.execute(query, tuple(names)).fetchall()

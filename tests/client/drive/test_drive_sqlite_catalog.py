"""The catalog in a file: damaged, half written, shared, another drive's, or on a disk that takes nothing."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from unittest.mock import patch

import pytest
from client.drive.catalog_samples import (
    DOMAIN,
    KEYS,
    PATHS,
    chunk_id,
    commit_key,
    descriptor,
    journal,
    pack_id,
    placed,
    reader_of,
    stamped_file,
    straight_state,
    view,
)
from client.drive.drive_samples import drive_keys

from grange.messages import Domain
from grange.storage.optional_database import DiskTakesNothing
from grange.storage.schema import FileTooNew
from grange.types import Epoch
from grange_client.drive.catalog import fill
from grange_client.drive.catalog_rows import BadRow, CatalogRows, RowKind
from grange_client.drive.chunk import ChunkId, ChunkType
from grange_client.drive.drive_state import Journal
from grange_client.drive.journal import DroppedPack, PlacedChunk, PublishedCommit
from grange_client.drive.keys import DriveKeys
from grange_client.drive.sqlite_catalog import SqliteCatalog
from grange_client.drive.sqlite_chunks import SCHEMA, find_chunks, read_chunks_of, read_live_content
from grange_client.errors import CatalogChanged

WORLD = [
    (journal(0, [PublishedCommit(key=commit_key(0))]), placed(range(9))),
    (journal(1, [descriptor(0), PublishedCommit(key=commit_key(1))], checkpoint=0), placed(range(5, 14))),
    (journal(2, [descriptor(0), descriptor(1)], checkpoint=0), placed(range(7))),
]
NEWEST = [pack_id(2)]


def opened(path: Path, *, keys: DriveKeys = KEYS, domain: Domain = DOMAIN) -> SqliteCatalog:
    """For as long as the test runs; see `close_all`."""
    context = SqliteCatalog.open(path, keys=keys, domain=domain)
    catalog = context.__enter__()
    _open.append(lambda: context.__exit__(None, None, None))
    return catalog


_open: list[Callable[[], object]] = []


@pytest.fixture(autouse=True)
def close_all() -> Iterator[None]:
    yield
    while _open:
        _open.pop()()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A catalog that knows everything, closed."""
    path = tmp_path / "drive.sqlite"
    with SqliteCatalog.open(path, keys=KEYS, domain=DOMAIN) as catalog:
        fill(catalog, NEWEST, reader_of(WORLD))
        catalog.put_stamped({one: stamped_file(7) for one in PATHS}, day=1)
    return path


def spoil(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute(statement).rowcount > 0
        db.commit()


def zero(path: Path, start: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(size))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: zero(path, 0, path.stat().st_size),
        lambda path: zero(path, 0, 100),
        lambda path: zero(path, 4096, 4096 * 4),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: path.write_bytes(b"something else"),
        lambda path: path.write_bytes(b""),
        lambda path: spoil(path, "UPDATE state SET value = zeroblob(60) WHERE kind = 5"),
        lambda path: spoil(path, "UPDATE state SET value = (SELECT value FROM state WHERE kind = 1 LIMIT 1)"),
        lambda path: spoil(path, "UPDATE chunks SET type = 9"),
        lambda path: spoil(path, "UPDATE chunks SET id = substr(id, 1, 8)"),
        lambda path: spoil(path, "UPDATE chunks SET size = 'x'"),
        lambda path: spoil(path, "UPDATE chunks SET size = -1"),
    ],
)
def test_a_damaged_file_is_made_again(path: Path, damage: Callable[[Path], object]) -> None:
    """Pitfall 12: local state is thrown away when in doubt. All is found as before, in the same process."""
    damage(path)
    catalog = opened(path)
    catalog.find([chunk_id(number) for number in range(14)])
    fill(catalog, NEWEST, reader_of(WORLD))
    with SqliteCatalog.open(None, keys=KEYS, domain=DOMAIN) as fresh:
        fill(fresh, NEWEST, reader_of(WORLD))
        assert view(catalog)[:4] == view(fresh)[:4]
    assert catalog.file.forgetful == ""


def test_a_damaged_file_is_kept_aside_and_told(path: Path) -> None:
    zero(path, 0, 100)
    [notice] = opened(path).notices()
    assert "drive.sqlite.damaged-1" in notice
    assert "from the drive's packs" in notice


def test_a_value_is_read_only_in_the_row_that_it_was_written_for() -> None:
    """Two whole rows that changed places would make one commit another."""
    rows = CatalogRows(KEYS.catalog_secret)
    state = straight_state(WORLD)
    stored = rows.rows_of(state)
    assert rows.state_of(stored) == state
    one, other = [key for key in stored if key[0] == RowKind.COMMIT]
    with pytest.raises(BadRow):
        rows.state_of({**stored, one: stored[other], other: stored[one]})


def test_a_spoilt_stamp_costs_reading_one_file(path: Path) -> None:
    """And one that stands in the row of another is not taken for it."""
    spoil(
        path,
        "UPDATE stamped SET value = (SELECT max(value) FROM stamped)",
    )
    catalog = opened(path)
    assert len(catalog.stamped(PATHS)) == 1
    assert catalog.packs().keys() == {pack_id(0), pack_id(1), pack_id(2)}


def test_a_catalog_of_another_drive_or_market_begins_again(path: Path) -> None:
    same = opened(path)
    assert len(same.packs()) == 3
    for keys, domain in (
        (drive_keys(1), DOMAIN),
        (KEYS, Domain(chain_id=1, market=DOMAIN.market)),
    ):
        with SqliteCatalog.open(path, keys=keys, domain=domain) as other:
            assert view(other) == view(_empty_of(keys))
            other.add_journal(*WORLD[0])
            assert set(other.packs()) == {pack_id(0)}


def _empty_of(keys: DriveKeys) -> SqliteCatalog:
    context = SqliteCatalog.open(None, keys=keys, domain=DOMAIN)
    _open.append(lambda: context.__exit__(None, None, None))
    return context.__enter__()


def test_a_newer_program_s_file_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        SCHEMA.__class__(version=2, create="", upgrades={1: ""}).prepare(db, path)
    with pytest.raises(FileTooNew), SqliteCatalog.open(path, keys=KEYS, domain=DOMAIN):
        pass


def test_who_steals_the_file_learns_no_keys_and_no_names(path: Path) -> None:
    """docs/protocol.md says what a thief of the catalog learns."""
    content = b"".join(part.read_bytes() for part in path.parent.glob("drive.sqlite*"))
    assert chunk_id(3) in content
    secrets = [commit_key(0), commit_key(1), *PATHS[:2], b"ada", b"letter"]
    assert [secret for secret in secrets if secret in content] == []


def test_a_process_that_is_killed_leaves_a_catalog_that_goes_on(tmp_path: Path) -> None:
    """The files are copied after each batch, as a power cut would find them; each copy is whole after one
    more call."""
    images = []
    path = tmp_path / "drive.sqlite"
    catalog = opened(path)

    def copied(chunks: list[PlacedChunk]) -> Iterator[PlacedChunk]:
        for number, chunk in enumerate(chunks):
            if number % 2 == 0:
                image = tmp_path / f"image-{len(images)}"
                image.mkdir()
                for part in tmp_path.glob("drive.sqlite*"):
                    shutil.copy(part, image)
                images.append(image / path.name)
            yield chunk

    with patch("grange_client.drive.sqlite_catalog.INSERT_BATCH", 2):
        for one, chunks in WORLD:
            catalog.add_journal(one, copied(chunks))
    assert len(images) > 10
    for image in images:
        with SqliteCatalog.open(image, keys=KEYS, domain=DOMAIN) as found:
            assert found.packs().keys() == found.state().read
            fill(found, NEWEST, reader_of(WORLD))
            assert view(found)[1:] == view(catalog)[1:]
            assert found.state() == straight_state(WORLD)


def test_two_processes_read_one_pack_at_once(tmp_path: Path) -> None:
    ours, theirs = (opened(tmp_path / "drive.sqlite") for _ in range(2))
    one, chunks = WORLD[0]

    def meanwhile() -> Iterator[PlacedChunk]:
        yield from chunks[:4]
        theirs.add_journal(one, chunks)
        yield from chunks[4:]

    with patch("grange_client.drive.sqlite_catalog.INSERT_BATCH", 1):
        ours.add_journal(one, meanwhile())
    assert ours.chunks_of(one.pack) == theirs.chunks_of(one.pack) == chunks


def meddling(
    act: Callable[[SqliteCatalog], object], other: SqliteCatalog, after: int = 4
) -> Iterator[PlacedChunk]:
    yield from WORLD[0][1][:after]
    act(other)
    yield from WORLD[0][1][after:]


@pytest.mark.parametrize("after", [0, 4, 9])
@pytest.mark.parametrize(
    "act",
    [
        lambda other: other.begin_again(),
        lambda other: (other.begin_again(), other.add_journal(*WORLD[1])),
    ],
)
def test_a_pack_is_not_half_known_when_another_process_threw_it_away(
    tmp_path: Path, act: Callable[[SqliteCatalog], object], after: int
) -> None:
    """The one that reads it is told, and finds all of it when it tries again."""
    ours, theirs = (opened(tmp_path / "drive.sqlite") for _ in range(2))
    with patch("grange_client.drive.sqlite_catalog.INSERT_BATCH", 1):
        with pytest.raises(CatalogChanged, match="changed by another process"):
            ours.add_journal(WORLD[0][0], meddling(act, theirs, after))
        assert pack_id(0) not in ours.packs()
        ours.add_journal(*WORLD[0])
    assert theirs.chunks_of(pack_id(0)) == WORLD[0][1]


def test_a_pack_that_is_forgotten_while_it_is_read_is_not_half_known(tmp_path: Path) -> None:
    ours, theirs = (opened(tmp_path / "drive.sqlite") for _ in range(2))
    with patch("grange_client.drive.sqlite_catalog.INSERT_BATCH", 1), pytest.raises(CatalogChanged):
        ours.add_journal(WORLD[0][0], meddling(lambda other: other.forget_journal(pack_id(0)), theirs))
    ours.add_journal(*WORLD[0])
    assert theirs.chunks_of(pack_id(0)) == WORLD[0][1]


def test_a_pack_that_is_dropped_while_it_is_read_leaves_nothing(tmp_path: Path) -> None:
    ours, theirs = (opened(tmp_path / "drive.sqlite") for _ in range(2))
    dropping = journal(5, [DroppedPack(pack=pack_id(0))])
    with patch("grange_client.drive.sqlite_catalog.INSERT_BATCH", 1):
        ours.add_journal(WORLD[0][0], meddling(lambda other: other.add_journal(dropping, []), theirs))
    assert ours.state().read == {pack_id(0), pack_id(5)}
    assert ours.file.read(lambda db: db.execute("SELECT count(*) FROM chunks").fetchone()) == (0,)


def test_another_journal_of_a_pack_is_not_mixed_with_what_was_begun(tmp_path: Path) -> None:
    """A process was killed in the middle of one that was never placed."""
    catalog = opened(tmp_path / "drive.sqlite")

    def killed() -> Iterator[PlacedChunk]:
        yield from placed([3, 3, 3, 3])
        raise ConnectionResetError

    with patch("grange_client.drive.sqlite_catalog.INSERT_BATCH", 1), pytest.raises(ConnectionResetError):
        catalog.add_journal(journal(1), killed())
    with pytest.raises(CatalogChanged):
        catalog.add_journal(journal(1), placed([8, 9]))
    catalog.add_journal(journal(1), placed([8, 9]))
    assert catalog.chunks_of(pack_id(1)) == placed([8, 9])


def fail(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("it failed")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY])
def test_on_a_disk_that_takes_nothing_a_small_one_goes_on_and_a_large_one_says_so(
    path: Path, code: int
) -> None:
    """Pitfall 29: a file of hundreds of megabytes is not read into memory because a disk is full."""
    errors = [fail(code)]

    def failing(one: Journal) -> None:
        def work(db: sqlite3.Connection) -> None:
            if errors:
                raise errors.pop()

        catalog.file.change(work)
        catalog.add_journal(one, placed([20]))

    catalog = opened(path)
    failing(journal(7))
    assert len(catalog.packs()) == 4
    assert "not remembered" in catalog.notices()[0]
    errors.append(fail(code))
    with patch("grange_client.drive.sqlite_catalog.MOST_IN_MEMORY_BYTES", 4096):
        catalog = opened(path)
    with pytest.raises(DiskTakesNothing, match="cannot be written"):
        failing(journal(7))
    assert set(catalog.packs()) == {pack_id(0), pack_id(1), pack_id(2)}


def test_lookups_use_the_index(path: Path) -> None:
    """Whatever SQLite's planner thinks of how large the tables are."""
    catalog = opened(path)
    marking = catalog.begin_marking()
    plans: list[str] = []

    def look(db: sqlite3.Connection) -> None:
        asked: list[str] = []
        db.set_trace_callback(asked.append)
        try:
            find_chunks(db, [chunk_id(1), chunk_id(2)])
            read_live_content(db, marking, [pack_id(0)], Epoch(0))
            read_chunks_of(db, pack_id(0), 4, 3, None)
        finally:
            db.set_trace_callback(None)
        for query in asked:
            plans.extend(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}"))

    catalog.file.read(look)
    assert any("chunks_by_id" in plan for plan in plans)
    assert [plan for plan in plans if plan.startswith("SCAN")] == []


@pytest.mark.long
def test_memory_does_not_grow_with_the_chunks(tmp_path: Path) -> None:
    """Pitfall 29: a small machine, and a drive that a big one filled."""
    with SqliteCatalog.open(tmp_path / "drive.sqlite", keys=KEYS, domain=DOMAIN) as catalog:
        before_kib = getrusage(RUSAGE_SELF).ru_maxrss
        for number in range(2):
            rows = (
                PlacedChunk(
                    type=ChunkType.DATA,
                    id=ChunkId(sha256(b"%d %d" % (number, place)).digest()),
                    offset_bytes=place * 40,
                    size_bytes=40,
                )
                for place in range(1_000_000)
            )
            catalog.add_journal(journal(number), rows)
        marking = catalog.begin_marking()
        ids = [ChunkId(sha256(b"0 %d" % place).digest()) for place in range(0, 1_000_000, 1000)]
        assert len(catalog.mark(marking, ids).new) == len(catalog.find(ids)) == 1000
        packs = [pack_id(0), pack_id(1)]
        live = catalog.live_content(marking, packs, after=Epoch(0))
        assert [one.needed_bytes for one in live.values()] == [40_000, 0]
        assert getrusage(RUSAGE_SELF).ru_maxrss - before_kib < 100 << 10

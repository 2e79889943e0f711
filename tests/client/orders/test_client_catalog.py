"""The catalog follows the chain, also when the chain changes its mind, and can always be thrown away."""

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from client_fakes import PARAMETERS, World

from grange.errors import Category
from grange.storage.optional_database import FileBusy
from grange.transfer.events import FarmerFailed
from grange.transfer.selection import Reputation
from grange.types import FarmerId, OrderId
from grange_client.errors import HomeForgetful, OrderMissing, UnknownOrder
from grange_client.orders.catalog import Catalog
from grange_client.orders.lookup import find_order
from grange_client.orders.plan import StoreOptions
from grange_client.orders.reputations import REPUTATIONS_NAME, Reputations
from grange_client.orders.store import Quote

CODE = StoreOptions(k=2, n=4, epochs=5)


async def put(world: World, path: Path, name: str) -> bytes:
    async with world.renter() as renter:
        options = StoreOptions(k=2, n=4, epochs=5, name=name)
        return (await renter.put(await renter.quote([path], options))).order.id


async def test_newest_order_of_a_name_is_meant(world: World, tree: Path) -> None:
    """The same name again is a newer version; the older one is found by its id."""
    first, second = await put(world, tree, "tree"), await put(world, tree, "tree")
    async with world.renter() as renter:
        assert (await renter.find("tree")).order.id == second
        assert (await renter.find(first.hex()[:8])).order.id == first
        assert [known.order.id for known in await renter.orders()] == [second, first]


async def test_a_slot_that_was_declared_lost_proves_nothing_for_us(world: World, tree: Path) -> None:
    """Its farmer has nothing of ours to prove, so it misses nothing either: what it proves elsewhere must not
    make it known to us. The farmer that takes the slot over may be."""
    order = OrderId(await put(world, tree, "tree"))
    async with world.renter() as renter:
        [known] = await renter.orders()
        gone, *others = [slot.farmer for slot in known.order.slots]
        assert renter.catalog.kept_by_farmer(0).keys() == {gone, *others}
        world.market.lose(order, 0)
        await renter.orders()
        assert renter.catalog.kept_by_farmer(0).keys() == {*others}
        world.market.repair(order, 0, taker := FarmerId(8))
        await renter.orders()
        assert renter.catalog.kept_by_farmer(0).keys() == {taker, *others}


async def test_a_quote_says_that_the_name_is_stored_already(world: World, tree: Path) -> None:
    """It is stored and paid for beside what is there. Of another name, or what is over, nothing is said."""
    named, other = (StoreOptions(k=2, n=4, epochs=5, name=name) for name in ("tree", "other"))
    async with world.renter() as renter:
        assert not said_of_copies(await renter.quote([tree], named))
    first = await put(world, tree, "tree")
    async with world.renter() as renter:
        [said] = said_of_copies(await renter.quote([tree], named))
        assert f"as order {first.hex()[:8]}. This is stored, and paid for, beside that" in said
        assert not said_of_copies(await renter.quote([tree], other))
    second = await put(world, tree, "tree")
    async with world.renter() as renter:
        [said] = said_of_copies(await renter.quote([tree], named))
        assert f"as order {second.hex()[:8]} and 1 more. " in said
        [end] = {known.order.end for known in await renter.orders()}
        world.market.block = end * PARAMETERS.epoch_blocks
        assert not said_of_copies(await renter.quote([tree], named))


def said_of_copies(quote: Quote) -> list[str]:
    return [caution for caution in quote.cautions if "stored already" in caution]


@pytest.mark.parametrize("wanted", ["nothing", "", "0x", "g", "xyz"])
async def test_unknown_orders(world: World, tree: Path, wanted: str) -> None:
    """What fits nothing is an error that says where to look."""
    await put(world, tree, "tree")
    async with world.renter() as renter:
        with pytest.raises(UnknownOrder):
            await renter.find(wanted)


async def test_an_order_is_found_by_as_little_of_its_id_as_is_clear(world: World, tree: Path) -> None:
    """Two digits do if they fit one order; one digit says how many are needed, an unclear id what it fits."""
    await put(world, tree, "tree")
    async with world.renter() as renter:
        [known] = await renter.orders()
    known, *others = [
        replace(known, order=replace(known.order, id=OrderId(bytes.fromhex(first) + known.order.id[2:])))
        for first in ("6b17", "6c18", "6c19")
    ]
    for wanted in ("6b", "6B1", "0x6b17"):
        assert find_order(wanted, [known, *others], []) is known
    with pytest.raises(UnknownOrder) as raised:
        find_order("6", [known, *others], [])
    assert "2 digits" in raised.value.detail
    with pytest.raises(UnknownOrder, match="fits several orders: 6c18") as raised:
        find_order("6c", [known, *others], [])
    assert raised.value.hint == "Give more digits."


async def test_a_name_that_is_nearly_right_is_guessed(world: World, tree: Path) -> None:
    await put(world, tree, "Pictures")
    async with world.renter() as renter:
        with pytest.raises(UnknownOrder) as raised:
            await renter.find("pictures")
    assert "Did you mean 'Pictures'?" in raised.value.hint


async def test_an_endpoint_that_shows_another_chain_is_not_believed(world: World, tree: Path) -> None:
    """Orders that were there a moment ago are missing, not forgotten: they are named, and come back with the
    chain, contents and all."""
    order = await put(world, tree, "tree")
    events, farmers = list(world.market.events), list(world.farmers)
    async with world.renter() as renter:
        await renter.orders()
        # As if it were long buried: a younger one would be placed again.
        renter.placements.forget(OrderId(order))
        world.market.reorg(0)
        assert await renter.orders() == []
        assert [known.name for known in await renter.missing()] == ["tree"]
        for wanted in ("tree", order.hex()[:8]):
            with pytest.raises(OrderMissing, match="tree"):
                await renter.find(wanted)
    for farmer in farmers:
        await farmer.stop()
    world.market.events = events
    world.market.reorg(world.market.block)
    async with world.renter() as renter:
        world.market.fork += 1
        world.market.reorged_to = 0
        assert (await renter.find("tree")).order.id == order
        assert await renter.missing() == []


async def test_an_order_that_would_be_over_is_not_missed(world: World, tree: Path) -> None:
    await put(world, tree, "tree")
    async with world.renter() as renter:
        await renter.orders()
        world.market.reorg(0)
        world.market.block += 1000 * world.market.parameters.epoch_blocks
        assert await renter.orders() == []
        assert await renter.missing() == []


async def test_reorg_takes_orders_back(world: World, tree: Path) -> None:
    """An order in a block that is no longer part of the chain is gone, if nobody can place it again."""
    kept = await put(world, tree, "kept")
    height = world.market.block
    world.market.block += 3
    lost = await put(world, tree, "lost")
    async with world.renter() as renter:
        assert {known.order.id for known in await renter.orders()} == {kept, lost}
        world.market.reorg(height)
        world.market.block += 1000
        assert {known.order.id for known in await renter.orders()} == {kept}


async def test_process_that_died_after_place(world: World, tree: Path) -> None:
    """An order that was placed by a process that died before writing it down is found on the chain."""
    lost = await put(world, tree, "tree")
    (world.home / "catalog.sqlite").unlink()
    for left in world.home.glob("catalog.sqlite-*"):
        left.unlink()
    async with world.renter() as renter:
        [known] = await renter.orders()
    assert (known.order.id, known.name) == (lost, "tree")


async def test_catalog_that_is_no_database(world: World, tree: Path) -> None:
    """A damaged file is replaced: it is only a cache."""
    await put(world, tree, "tree")
    (world.home / "catalog.sqlite").write_bytes(b"not a database at all" * 100)
    async with world.renter() as renter:
        assert [known.name for known in await renter.orders()] == ["tree"]


async def test_unreadable_order_is_listed(world: World, tree: Path, tmp_path: Path) -> None:
    """An order whose farmers are gone is listed without its name."""
    await put(world, tree, "tree")
    for farmer in world.farmers:
        await farmer.stop()
    async with world.renter(tmp_path / "other") as renter:
        [known] = await renter.orders()
    assert known.name is None


@contextmanager
def a_disk_that_takes_nothing() -> Iterator[None]:
    """From here on every write to a file fails, as on a full disk; reading goes on."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def opened(path: Path, world: World, **about: Any) -> Iterator[tuple[Catalog, Reputations]]:
    """A catalog and what is remembered of farmers, side by side."""
    domain = about.get("domain", world.market.domain)
    renter = about.get("renter", world.market.renter)
    with (
        Reputations.open(path.with_name(REPUTATIONS_NAME), domain=domain, busy_seconds=0) as reputations,
        Catalog.open(path, domain=domain, renter=renter, reputations=reputations, busy_seconds=0) as catalog,
    ):
        yield catalog, reputations


def change_about(path: Path, key: str, value: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE about SET value = ? WHERE key = ?", (value, key))


@pytest.mark.parametrize("change", ["version", "chain", "market", "renter"])
async def test_catalog_of_something_else_is_not_used(world: World, tree: Path, change: str) -> None:
    """Another schema, market, chain or account begins a new catalog; what farmers did is remembered."""
    await put(world, tree, "tree")
    change_about(world.home / "catalog.sqlite", change, "other")
    with opened(world.home / "catalog.sqlite", world) as (catalog, reputations):
        assert catalog.orders() == []
        assert len(reputations.records()) == 4


async def test_a_catalog_that_is_in_use_is_left_alone(world: World, tree: Path) -> None:
    """A lock is no damage: nothing is thrown away, and the error says what to wait for."""
    await put(world, tree, "tree")
    path = world.home / "catalog.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(FileBusy, match="in use"), opened(path, world):
            pass
    with opened(path, world) as (catalog, _):
        assert [known.name for known in catalog.orders()] == ["tree"]


async def test_a_full_disk_keeps_nobody_from_looking_and_fetching(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """The catalog goes on in memory, with what it knew; nothing is thrown away, and that is said."""
    order = await put(world, tree, "tree")
    for farmer in world.farmers:
        farmer.calls.clear()
    with a_disk_that_takes_nothing():
        async with world.renter() as renter:
            [known] = await renter.orders()
            assert (known.order.id, known.name) == (order, "tree")
            renter.reputations.note_failure(FarmerFailed(slot=0, farmer=FarmerId(1), reason="gone"))
            [notice] = renter.notices()
    assert "not remembered" in notice
    assert not any(farmer.calls for farmer in world.farmers)
    async with world.renter() as renter:
        assert renter.notices() == []
        await renter.get((await renter.find("tree")).order, tmp_path / "back")
        assert all(record.failures == 0 for record in renter.reputations.records().values())


async def test_nothing_is_placed_from_a_home_that_takes_nothing(world: World, tree: Path) -> None:
    """`put` and `extend` end in words with exit code 4, before anything is sent or paid."""
    order = await put(world, tree, "tree")
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        before = world.staged
        with a_disk_that_takes_nothing():
            with pytest.raises(HomeForgetful) as raised:
                await renter.put(quote)
            with pytest.raises(HomeForgetful):
                await renter.quote([tree], CODE)
            with pytest.raises(HomeForgetful):
                await renter.quote_extension((await renter.find(order.hex())).order, None)
    assert raised.value.category is Category.FILES
    assert (world.staged, len(world.market.placed)) == (before, 1)


async def test_a_home_that_cannot_be_made_into_is_read_from(world: World, tree: Path) -> None:
    """Where not even an empty catalog can be made, everything is read from the chain each time."""
    await put(world, tree, "tree")
    empty = world.home.with_name("no-catalog")
    (empty / "catalog.sqlite").mkdir(parents=True)
    async with world.renter(empty) as renter:
        assert [known.name for known in await renter.orders()] == ["tree"]
        assert "not remembered" in renter.notices()[0]


async def test_damage_in_the_middle_costs_nothing_but_time(world: World, tree: Path) -> None:
    """Pages that cannot be read, far behind a whole header: the catalog is made again within one command."""
    for name in "abcdefgh":
        await put(world, tree, name)
    async with world.renter() as renter:
        remembered = renter.reputations.records()
    path = world.home / "catalog.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    page = int.from_bytes(content[16:18], "big")
    # The first page has the schema, and is whole; no other is.
    content[page:] = b"\xa5" * (len(content) - page)
    path.write_bytes(content)
    async with world.renter() as renter:
        assert sorted(known.name or "" for known in await renter.orders()) == list("abcdefgh")
        assert any("damaged" in notice for notice in renter.notices())
        assert renter.reputations.records() == remembered


async def test_bits_that_sqlite_does_not_notice(world: World, tree: Path) -> None:
    """A number that is no longer valid: the catalog is made again; a manifest is fetched again."""
    await put(world, tree, "tree")
    with closing(sqlite3.connect(world.home / "catalog.sqlite")) as connection, connection:
        connection.execute("UPDATE contents SET manifest = x'00'")
    async with world.renter() as renter:
        [known] = await renter.orders()
        assert (await renter.manifest(known.order)).name == "tree"
    with closing(sqlite3.connect(world.home / "catalog.sqlite")) as connection, connection:
        connection.execute("UPDATE slots SET rate = '1x'")
    async with world.renter() as renter:
        assert [known.name for known in await renter.orders()] == ["tree"]


async def test_a_file_of_payment_channels_that_is_damaged_is_moved_aside_and_said(
    world: World, tree: Path
) -> None:
    """It is about money: the user is told what it costs, and the file is kept to be looked at."""
    await put(world, tree, "tree")
    for name in ("payment-channels.sqlite", "reputations.sqlite"):
        (world.home / name).write_bytes(b"neither of the two" * 100)
    async with world.renter() as renter:
        assert len(await renter.orders()) == 1
        notices = "\n".join(renter.notices())
    assert "nothing is paid twice" in notices
    assert "which farmers failed or lied" in notices.lower()
    assert (world.home / "payment-channels.sqlite.damaged-1").read_bytes().startswith(b"neither")


SCHEMA_OF_VERSION_4 = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE orders (
    id BLOB PRIMARY KEY, block INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    k INTEGER NOT NULL, n INTEGER NOT NULL, leaf_count INTEGER NOT NULL, piece_leaves INTEGER NOT NULL,
    previous BLOB NOT NULL, origin BLOB NOT NULL,
    name TEXT, created INTEGER, files INTEGER, size_bytes INTEGER, manifest BLOB,
    missing INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE closings (
    order_id BLOB PRIMARY KEY, block INTEGER NOT NULL, refund TEXT NOT NULL, compensation TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE slots (
    order_id BLOB NOT NULL REFERENCES orders (id) ON DELETE CASCADE, slot INTEGER NOT NULL,
    farmer INTEGER NOT NULL, root BLOB NOT NULL, rate TEXT NOT NULL, PRIMARY KEY (order_id, slot)
) WITHOUT ROWID;
"""
FARMERS_OF_VERSION_3 = """
CREATE TABLE farmers (
    id INTEGER PRIMARY KEY, successes INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
    lies INTEGER NOT NULL DEFAULT 0, last_failure TEXT NOT NULL DEFAULT ''
);
INSERT INTO farmers VALUES (3, 5, 1, 2, 'wrong bytes');
"""


def begin_old(connection: sqlite3.Connection, world: World, version: str) -> None:
    """A catalog as earlier versions made it."""
    connection.executescript(SCHEMA_OF_VERSION_4)
    if version < "4":
        connection.execute("ALTER TABLE orders DROP COLUMN missing")
        connection.executescript(FARMERS_OF_VERSION_3)
    about = {"version": version, "chain": "1337", "market": world.market.domain.market}
    values = (about | {"renter": world.market.renter}).items()
    connection.executemany("INSERT INTO about VALUES (?, ?)", values)


@pytest.mark.parametrize("version", ["2", "3"])
def test_what_old_catalogs_remember_of_farmers_is_kept(tmp_path: Path, world: World, version: str) -> None:
    """Until version 3 it was in the catalog; it moves into a file that outlives it, once."""
    path = tmp_path / "catalog.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        begin_old(connection, world, version)
    for _ in range(2):
        with opened(path, world) as (_, reputations):
            assert reputations.records() == {FarmerId(3): Reputation(successes=5, failures=1, lies=2)}
    path.unlink()
    with opened(path, world) as (_, reputations):
        assert reputations.records()[FarmerId(3)].lies == 2


@pytest.mark.parametrize("version", ["3", "4"])
async def test_orders_of_earlier_versions_are_kept(world: World, tree: Path, version: str) -> None:
    """Names of orders that are over can be read nowhere else: a new version does not forget them. The chain
    is read once more, for the events that it did not keep."""
    order = await put(world, tree, "tree")
    async with world.renter() as renter:
        [known] = await renter.orders()
    path = world.home / "catalog.sqlite"
    with closing(sqlite3.connect(path)) as new, closing(sqlite3.connect(path.with_name("old"))) as old, old:
        begin_old(old, world, version)
        row = new.execute(
            "SELECT id, block, start, end, k, n, leaf_count, piece_leaves, previous, origin,"
            " name, created, files, size_bytes, manifest FROM orders, contents"
        ).fetchone()
        old.execute(
            f"INSERT INTO orders VALUES ({', '.join('?' * (15 + (version == '4')))})",
            row + (0,) * (version == "4"),
        )
        slots = new.execute("SELECT order_id, slot, farmer, root, rate FROM slots").fetchall()
        old.executemany("INSERT INTO slots VALUES (?, ?, ?, ?, ?)", slots)
        old.execute("INSERT INTO closings VALUES (?, 70, '5', '6')", (order,))
    path.with_name("old").replace(path)
    for left in path.parent.glob("catalog.sqlite-*"):
        left.unlink()
    with opened(path, world) as (catalog, _):
        [kept] = catalog.orders()
        assert kept.closing is not None
        assert (kept.closing.block, kept.closing.refund, kept.closing.compensation) == (70, 5, 6)
        assert replace(kept, order=replace(kept.order, closing=None)) == known
        assert catalog.manifest(kept.order.id) is not None
        assert catalog.index.cursor(7).block == 6
    async with world.renter() as renter:
        assert await renter.orders() == [known]


def test_success_forgives_failures_but_no_lies(tmp_path: Path, world: World) -> None:
    """A farmer that works again is as good as before, unless it lied."""
    with opened(tmp_path / "c.sqlite", world) as (_, reputations):
        reputations.note_failure(FarmerFailed(slot=0, farmer=FarmerId(1), reason="late"))
        reputations.note_failure(FarmerFailed(slot=0, farmer=FarmerId(2), reason="lied", lied=True))
        reputations.note_successes([FarmerId(1), FarmerId(2)])
        records = reputations.records()
    assert (records[FarmerId(1)].failures, records[FarmerId(1)].lies) == (0, 0)
    assert (records[FarmerId(2)].failures, records[FarmerId(2)].lies) == (0, 1)

"""The ledger: what the chain said, in order, and back again through reorgs; what was accepted, for good."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_support import CHAIN_ID, FARMER, MARKET, FakeMarket, Parcel, parcel

from grange.chain import Cursor, Wallet
from grange.storage.schema import mark_of
from grange.types import Address, Epoch, FarmerId, OrderId
from grange_node.errors import LedgerInvalid
from grange_node.ledger.ledger import Ledger
from grange_node.ledger.ledger_file import SCHEMA
from grange_node.records import SlotState, SlotTerms
from grange_node.slot_key import SlotKey


@contextmanager
def opened(path: Path, market: Address = MARKET, farmer: FarmerId = FARMER) -> Iterator[Ledger]:
    with Ledger.open(path, chain_id=CHAIN_ID, market=market, farmer=farmer, start_block=3) as ledger:
        yield ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with opened(tmp_path / "ledger") as made:
        yield made


def terms_of(slot: Parcel) -> SlotTerms:
    return SlotTerms(
        pieces=len(slot.pieces), piece_leaves=4, root=slot.root, rate=slot.rate, end=Epoch(slot.end)
    )


def accept(ledger: Ledger, slot: Parcel, deadline_block: int = 100) -> None:
    ledger.stage(slot.key, now=5)
    ledger.accept(slot.key, terms_of(slot), deadline_block)


async def read_on(ledger: Ledger, market: FakeMarket) -> None:
    ledger.apply(await market.follow(ledger.cursor()))


def test_a_new_ledger_begins_where_the_farm_did(ledger: Ledger) -> None:
    assert ledger.cursor() == Cursor(start=3)
    assert ledger.earnings().earned == 0
    assert ledger.entries(Epoch(0)) == []


def test_a_slot_goes_from_staged_to_accepted_to_gone(ledger: Ledger) -> None:
    slot = parcel()
    ledger.stage(slot.key, now=5)
    ledger.stage(slot.key, now=9)
    staged = ledger.slot(slot.key)
    assert staged is not None
    assert (staged.state, staged.staged_at, staged.terms) == (SlotState.STAGED, 5, None)
    assert ledger.acceptance(slot.order, slot.slot) is None
    ledger.accept(slot.key, terms_of(slot), 100)
    accepted = ledger.acceptance(slot.order, slot.slot)
    assert accepted is not None
    assert (accepted.key, accepted.agreed, accepted.deadline_block) == (slot.key, terms_of(slot), 100)
    ledger.release(slot.key)
    assert ledger.slots(*SlotState) == []


def test_what_was_not_staged_cannot_be_accepted(ledger: Ledger) -> None:
    with pytest.raises(LedgerInvalid):
        ledger.accept(parcel().key, terms_of(parcel()), 100)


def test_one_slot_of_an_order_is_accepted_once(ledger: Ledger) -> None:
    """Even if two renters could show the same order id, the database would not have it."""
    first = parcel()
    second = parcel(renter=type(first.renter)(b"\x05" * 32))
    accept(ledger, first)
    key = type(second.key)(renter=second.renter.address, order=first.order, slot=first.slot)
    ledger.stage(key, now=1)
    with pytest.raises(sqlite3.IntegrityError):
        ledger.accept(key, terms_of(second), 100)
    kept = ledger.acceptance(first.order, first.slot)
    assert kept is not None
    assert kept.key == first.key


def test_accepted_rate_counts_what_may_still_be_placed(ledger: Ledger) -> None:
    accept(ledger, parcel(seed=1, rate=10), deadline_block=100)
    accept(ledger, parcel(seed=2, rate=2**79), deadline_block=200)
    assert ledger.accepted_rate(99) == 10 + 2**79
    assert ledger.accepted_rate(100) == 2**79
    assert ledger.accepted_rate(200) == 0


def test_open_acceptances_are_those_of_one_renter_that_may_still_be_placed(ledger: Ledger) -> None:
    ours, late = parcel(seed=1), parcel(seed=2)
    accept(ledger, ours, deadline_block=100)
    accept(ledger, late, deadline_block=200)
    accept(ledger, parcel(seed=3, renter=Wallet(b"\x05" * 32)), deadline_block=200)
    ledger.stage(parcel(seed=4).key, now=1)
    renter = ours.renter.address
    assert {record.key for record in ledger.open_acceptances(renter, 99)} == {ours.key, late.key}
    assert [record.key for record in ledger.open_acceptances(renter, 100)] == [late.key]
    assert ledger.open_acceptances(renter, 200) == []


async def test_what_was_handed_over_is_known_until_its_collateral_is_free(ledger: Ledger) -> None:
    """However long its order is over. To itself it binds nothing; a reorg binds what was free once more."""
    market = FakeMarket()
    slots = [parcel(seed=seed, rate=10 + seed, end=16) for seed in range(2)]
    market.place(*(slot.placed() for slot in slots))
    market.mine_to_epoch(3)
    start = market.entries()[0].start
    for slot, taker, bound in ((slots[0], 8, 5), (slots[1], FARMER, 0)):
        passed = {"order": slot.order, "farmer": FARMER, "slot": slot.slot, "from": start, "epoch": Epoch(3)}
        market.mine(events=[("SlotHandedOver", passed | {"taker": FarmerId(taker), "bound": bound})])
    await read_on(ledger, market)
    assert [entry.taker for entry in ledger.handed_over()] == [8, FARMER]
    assert [entry.taker for entry in ledger.bound()] == [8]
    ledger.forget_ended(Epoch(100))
    assert [entry.taker for entry in ledger.handed_over()] == [8]
    released = {"farmer": FARMER, "taker": FarmerId(8), "epoch": Epoch(3), "returned": 5, "burnt": 0}
    market.mine(events=[("Released", released)])
    await read_on(ledger, market)
    assert ledger.bound() == []
    market.reorg(1)
    market.mine(2)
    await read_on(ledger, market)
    assert [entry.taker for entry in ledger.bound()] == [8]
    market.mine(events=[("Released", released)])
    await read_on(ledger, market)
    ledger.forget_ended(Epoch(100))
    assert ledger.handed_over() == []


async def test_placed_slots_become_entries_in_the_order_of_the_chain(ledger: Ledger) -> None:
    market = FakeMarket()
    slots = [parcel(seed=seed, rate=10 + seed, end=end) for seed, end in enumerate((16, 24, 16, 16))]
    for slot in slots[:3]:
        accept(ledger, slot)
    market.place(slots[0].placed(), slots[1].placed())
    market.mine_to_epoch(3)
    market.place(slots[2].placed())
    market.place(slots[3].placed())
    await read_on(ledger, market)
    assert ledger.entries(Epoch(0)) == market.entries()
    assert [entry.first for entry in ledger.entries(Epoch(0)) if entry.end == 16] == [0, 10, 22]
    assert [record.state for record in ledger.slots(*SlotState)] == [SlotState.PLACED] * 3
    assert ledger.rate_at_start(Epoch(1)) == 0
    assert ledger.rate_at_start(Epoch(2)) == 10 + 11
    assert ledger.rate_at_start(Epoch(4)) == 10 + 11 + 12 + 13
    assert ledger.rate_at_start(Epoch(16)) == 11
    assert ledger.committed_rate(Epoch(1)) == 10 + 11 + 12 + 13


async def test_sums_of_rates_follow_every_change(ledger: Ledger) -> None:
    """They are kept between two looks at the chain, and made again after an order, a reorg or an end."""
    market = FakeMarket()
    slots = [parcel(seed=seed, rate=10 + seed, end=end) for seed, end in enumerate((16, 24, 16))]
    sums = []
    for slot in slots[:2]:
        market.place(slot.placed())
        await read_on(ledger, market)
        sums.append((ledger.committed_rate(Epoch(1)), ledger.rate_at_start(Epoch(20))))
    assert sums == [(10, 0), (10 + 11, 11)]
    market.place(slots[2].placed())
    await read_on(ledger, market)
    assert ledger.committed_rate(Epoch(1)) == 10 + 11 + 12
    market.reorg(1)
    market.mine(5)
    await read_on(ledger, market)
    assert [ledger.committed_rate(Epoch(1)) for _ in range(2)] == [10 + 11] * 2
    ledger.forget_ended(Epoch(16))
    assert ledger.committed_rate(Epoch(1)) == 11


async def test_a_reorg_takes_back_exactly_what_lay_above_the_fork(ledger: Ledger) -> None:
    market = FakeMarket()
    first, second = parcel(seed=1), parcel(seed=2)
    accept(ledger, first)
    accept(ledger, second)
    market.place(first.placed())
    market.mine(40)
    market.mine(events=[("Proven", {"farmer": FARMER, "epoch": 5, "amount": 2**90})])
    market.place(second.placed())
    market.mine(events=[("Missed", {"farmer": FARMER, "first": 3, "last": 4})])
    await read_on(ledger, market)
    earnings = ledger.earnings()
    assert (earnings.earned, earnings.proven_epochs, earnings.missed_epochs) == (2**90, 1, 2)

    market.reorg(3)
    market.mine(5)
    await read_on(ledger, market)
    assert ledger.entries(Epoch(0)) == market.entries()
    states = {record.key: record.state for record in ledger.slots(*SlotState)}
    assert states == {first.key: SlotState.PLACED, second.key: SlotState.ACCEPTED}
    assert (ledger.earnings().earned, ledger.earnings().missed_epochs) == (0, 0)

    market.place(second.placed())
    await read_on(ledger, market)
    assert ledger.entries(Epoch(0)) == market.entries()
    assert all(record.state is SlotState.PLACED for record in ledger.slots(*SlotState))


@given(
    st.lists(st.tuples(st.sampled_from(["mine", "place", "reorg", "read"]), st.integers(1, 6)), max_size=25)
)
async def test_however_the_chain_moves_the_ledger_ends_up_with_its_entries(
    steps: list[tuple[str, int]],
) -> None:
    market, placed = FakeMarket(), 0
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "ledger") as ledger:
        for step, size in [*steps, ("read", 1)]:
            match step:
                case "mine":
                    market.mine(size)
                case "place":
                    market.place(*(parcel(1, seed=placed + n, rate=size).placed() for n in range(size)))
                    placed += size
                case "reorg":
                    market.reorg(size)
                    market.mine(size)
                case _:
                    await read_on(ledger, market)
        assert ledger.entries(Epoch(0)) == market.entries()


async def test_events_and_cursor_are_written_together_or_not_at_all(ledger: Ledger) -> None:
    market = FakeMarket()
    market.place(parcel().placed())
    market.mine(events=[("Proven", {"farmer": FARMER, "epoch": None, "amount": 1})])
    with pytest.raises(sqlite3.IntegrityError):
        await read_on(ledger, market)
    assert ledger.cursor() == Cursor(start=3)
    assert ledger.entries(Epoch(0)) == []


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    slot = parcel()
    with opened(tmp_path / "ledger") as ledger:
        accept(ledger, slot)
        ledger.note_attempt(Epoch(4), 44)
    with opened(tmp_path / "ledger") as ledger:
        record = ledger.slot(slot.key)
        assert record is not None
        assert record.agreed == terms_of(slot)
        assert ledger.attempt_block(Epoch(4)) == 44
        ledger.forget_attempt(Epoch(4))
        assert ledger.attempt_block(Epoch(4)) is None


def test_a_ledger_of_another_farm_is_not_touched(tmp_path: Path) -> None:
    with opened(tmp_path / "ledger"):
        pass
    with pytest.raises(LedgerInvalid, match="farmer 7"), opened(tmp_path / "ledger", farmer=FarmerId(8)):
        pass


def test_a_ledger_of_a_newer_program_is_not_touched(tmp_path: Path) -> None:
    with opened(tmp_path / "ledger"):
        pass
    connection = sqlite3.connect(tmp_path / "ledger")
    connection.execute(f"PRAGMA user_version = {SCHEMA.version + 1}")
    connection.execute(f"PRAGMA application_id = {mark_of(SCHEMA.version + 1)}")
    connection.close()
    with pytest.raises(LedgerInvalid, match="newer"), opened(tmp_path / "ledger"):
        pass
    with pytest.raises(LedgerInvalid), Ledger.look(tmp_path / "ledger"):
        pass


def test_what_is_no_ledger_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("a shopping list, and a long one: " + "milk " * 500)
    with pytest.raises(LedgerInvalid), opened(tmp_path / "ledger"):
        pass
    with pytest.raises(LedgerInvalid, match="no ledger"), Ledger.look(tmp_path / "nowhere"):
        pass


def test_a_ledger_can_be_looked_at_while_it_is_open(tmp_path: Path) -> None:
    slot = parcel()
    with opened(tmp_path / "ledger") as ledger, Ledger.look(tmp_path / "ledger") as look:
        accept(ledger, slot)
        assert [record.key for record in look.slots(*SlotState)] == [slot.key]
        with pytest.raises(LedgerInvalid):
            look.release(slot.key)


def test_ended_books_are_forgotten(ledger: Ledger) -> None:
    ledger.forget_ended(Epoch(100))
    assert ledger.entries(Epoch(0)) == []


VERSION_1 = """
CREATE TABLE identity (chain_id INTEGER NOT NULL, market TEXT NOT NULL, farmer INTEGER NOT NULL);
CREATE TABLE cursor (content TEXT NOT NULL);
CREATE TABLE slots (
    renter TEXT NOT NULL, order_id BLOB NOT NULL, slot INTEGER NOT NULL, state TEXT NOT NULL,
    staged_at INTEGER NOT NULL, pieces INTEGER, piece_leaves INTEGER, root BLOB, rate TEXT, end INTEGER,
    deadline_block INTEGER, placed_block INTEGER, PRIMARY KEY (order_id, slot, renter)
) WITHOUT ROWID;
CREATE UNIQUE INDEX one_acceptance_per_slot ON slots (order_id, slot) WHERE state != 'staged';
CREATE TABLE entries (
    end INTEGER NOT NULL, position INTEGER NOT NULL, order_id BLOB NOT NULL, slot INTEGER NOT NULL,
    root BLOB NOT NULL, leaf_count INTEGER NOT NULL, start INTEGER NOT NULL, first TEXT NOT NULL,
    rate TEXT NOT NULL, block INTEGER NOT NULL, PRIMARY KEY (end, position)
) WITHOUT ROWID;
CREATE TABLE proofs (epoch INTEGER PRIMARY KEY, block INTEGER, amount TEXT, tx_hash BLOB) WITHOUT ROWID;
CREATE TABLE misses (first INTEGER PRIMARY KEY, last INTEGER, block INTEGER) WITHOUT ROWID;
CREATE TABLE attempts (epoch INTEGER PRIMARY KEY, block INTEGER) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
SINCE_VERSION_1 = {
    2: """
ALTER TABLE slots ADD COLUMN previous BLOB NOT NULL DEFAULT x'';
ALTER TABLE slots ADD COLUMN start INTEGER NOT NULL DEFAULT 0;
DROP TABLE entries;
CREATE TABLE entries (
    end INTEGER NOT NULL, extension INTEGER NOT NULL, position INTEGER NOT NULL, order_id BLOB NOT NULL,
    slot INTEGER NOT NULL, root BLOB NOT NULL, leaf_count INTEGER NOT NULL, start INTEGER NOT NULL,
    first TEXT NOT NULL, rate TEXT NOT NULL, block INTEGER NOT NULL, PRIMARY KEY (end, extension, position)
) WITHOUT ROWID;
""",
    3: """
ALTER TABLE entries ADD COLUMN lost_epoch INTEGER;
ALTER TABLE entries ADD COLUMN lost_block INTEGER;
""",
    4: """
ALTER TABLE slots ADD COLUMN was_placed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE slots ADD COLUMN deadline_at REAL;
ALTER TABLE slots ADD COLUMN ends_at REAL;
CREATE INDEX entries_by_slot ON entries (order_id, slot);
CREATE TABLE doubt (content TEXT NOT NULL, since INTEGER NOT NULL);
""",
    5: """
ALTER TABLE slots ADD COLUMN declared_lost INTEGER NOT NULL DEFAULT 0;
CREATE TABLE sightings (seconds REAL NOT NULL, block INTEGER NOT NULL);
""",
    6: """
CREATE TABLE staging_ages (
    renter TEXT NOT NULL, order_id BLOB NOT NULL, slot INTEGER NOT NULL, idle_seconds REAL NOT NULL,
    PRIMARY KEY (order_id, slot, renter)
) WITHOUT ROWID;
""",
    7: "ALTER TABLE slots ADD COLUMN renter_proven INTEGER NOT NULL DEFAULT 0;",
    8: """
ALTER TABLE entries ADD COLUMN cut_epoch INTEGER;
ALTER TABLE entries ADD COLUMN cut_block INTEGER;
""",
    9: "ALTER TABLE slots ADD COLUMN max_egress_price TEXT NOT NULL DEFAULT '0';",
    10: "ALTER TABLE entries ADD COLUMN taker INTEGER;",
    11: "ALTER TABLE entries ADD COLUMN released_block INTEGER;",
}
"""What each program added to the tables, as it stood in the files that it made."""


def columns(path: Path) -> dict[str, set[str]]:
    """Of each table."""
    with closing(sqlite3.connect(path)) as file:
        tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: {column for _, column, *_ in file.execute(f"PRAGMA table_info({name})")} for name in tables
        }


def test_there_is_an_older_ledger_of_every_version() -> None:
    assert [1, *SINCE_VERSION_1] == [*range(1, SCHEMA.version)] == sorted(SCHEMA.upgrades)


@pytest.mark.parametrize("version", range(1, SCHEMA.version))
@pytest.mark.parametrize("has_mark", [False, True])
def test_a_ledger_of_any_older_version_becomes_what_a_new_one_is(
    tmp_path: Path, version: int, has_mark: bool
) -> None:
    """With all columns and tables, and what was in it: a slot, an entry that was lost, earnings."""
    renter = Wallet(b"\x02" * 32).address
    path, key = tmp_path / "ledger", SlotKey(renter=renter, order=OrderId(b"\x01" * 32), slot=2)
    with closing(sqlite3.connect(path)) as old:
        old.executescript(VERSION_1 + "".join(SINCE_VERSION_1[one] for one in range(2, version + 1)))
        old.execute("INSERT INTO identity VALUES (?, ?, ?)", (CHAIN_ID, MARKET, FARMER))
        old.execute("INSERT INTO cursor VALUES (?)", (Cursor(start=5).to_json(),))
        slot: dict[str, Any] = {
            "renter": renter, "order_id": key.order, "slot": 2, "state": "placed", "staged_at": 0,
            "pieces": 1, "piece_leaves": 1, "root": bytes(32), "rate": "10", "end": 16,
            "deadline_block": 50, "placed_block": 9,
        }  # fmt: skip
        entry: dict[str, Any] = {
            "end": 16, "position": 0, "order_id": key.order, "slot": 2, "root": bytes(32), "leaf_count": 1,
            "start": 3, "first": "0", "rate": "10", "block": 9,
        }  # fmt: skip
        entry |= {"extension": 0} if version >= 2 else {}
        entry |= {"lost_epoch": 7, "lost_block": 40} if version >= 3 else {}
        slot |= {"was_placed": 1} if version >= 4 else {}
        slot |= {"declared_lost": 1} if version >= 5 else {}
        for table, row in (("slots", slot), ("entries", entry)):
            holes = ", ".join("?" * len(row))
            old.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({holes})", [*row.values()])
        old.execute("INSERT INTO proofs VALUES (4, 30, '12', ?)", (bytes(32),))
        old.execute(f"PRAGMA user_version = {version}")
        if has_mark:
            old.execute(f"PRAGMA application_id = {mark_of(version)}")
        old.commit()
    with pytest.raises(LedgerInvalid, match="older version of Grange"), Ledger.look(path):
        pass
    for _ in range(2):
        with opened(path) as ledger:
            record = ledger.slot(key)
            assert record is not None
            assert (record.was_placed, record.given_up) == (True, version >= 3)
            assert record.agreed is not None
            assert record.agreed.max_egress_price_per_gib == 0
            assert not record.renter_proven
            [found] = ledger.entries(Epoch(0))
            assert (found.end, found.rate, found.extension) == (16, 10, False)
            assert ledger.lost_epoch(key.order, 2) == (7 if version >= 3 else None)
            assert ledger.earnings().earned == 12
            assert ledger.cursor() == Cursor(start=5)
            assert ledger.sightings() == []
    with opened(tmp_path / "new"):
        pass
    assert columns(path) == columns(tmp_path / "new")


def test_a_ledger_from_before_extensions_is_taken_over(tmp_path: Path) -> None:
    """What was accepted and placed is as it was, in books that are not those of extensions."""
    renter = Wallet(b"\x02" * 32).address
    path, key = tmp_path / "ledger", SlotKey(renter=renter, order=OrderId(b"\x01" * 32), slot=2)
    old = sqlite3.connect(path)
    old.executescript(VERSION_1)
    old.execute("INSERT INTO identity VALUES (1, ?, 7)", (MARKET,))
    old.execute("INSERT INTO cursor VALUES (?)", (Cursor(start=5).to_json(),))
    row = (renter, key.order, 2, "placed", 0, 1, 1, bytes(32), "10", 16, 50, 9)
    old.execute(f"INSERT INTO slots VALUES ({', '.join('?' * 12)})", row)
    old.execute("INSERT INTO entries VALUES (16, 0, ?, 2, ?, 1, 3, '0', '10', 9)", (key.order, bytes(32)))
    old.commit()
    old.close()
    for _ in range(2):
        with Ledger.open(path, chain_id=1, market=MARKET, farmer=FarmerId(7), start_block=0) as ledger:
            record = ledger.slot(key)
            assert record is not None
            assert record.agreed == SlotTerms(
                pieces=1, piece_leaves=1, root=bytes(32), rate=10, end=Epoch(16)
            )
            [entry] = ledger.entries(Epoch(0))
            assert (entry.end, entry.rate, entry.start, entry.extension) == (16, 10, 3, False)
            assert record.was_placed
            assert record.ends_at is None, "it cannot be due before it has a date"
            assert ledger.cursor() == Cursor(start=5)

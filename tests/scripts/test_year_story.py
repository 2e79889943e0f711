"""The year's story counts its bill by the market's events, and its folder changes little and alike in every
telling. The story itself: tests/end_to_end/test_e2e_year_story.py."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from grange.chain import Event
from grange.types import Epoch
from grange.units import LEAF_BYTES
from stories.commands import RENTER, CommandFailed, run_command
from stories.year_bill import rented_orders, year_bill
from stories.year_folder import Folder
from stories.year_timetable import YEAR

FIRST, SECOND = bytes([1]) * 32, bytes([2]) * 32


def event(name: str, tx: int, **args: Any) -> Event:
    return Event(name=name, args=args, block=tx, block_hash=bytes(32), tx_hash=bytes([tx]) * 32, log_index=0)


def placed(order: bytes, *rates: int, begin: int, end: int, tx: int, leaves: int = 2) -> list[Event]:
    shape = {"from": begin, "end": end, "leaf_count": leaves}
    slots = [event("SlotFilled", tx, order=order, slot=at, rate=rate) for at, rate in enumerate(rates)]
    return [event("OrderPlaced", tx, order=order, **shape), *slots]


def test_an_order_is_counted_as_it_was_placed_and_not_as_slots_are_taken_over() -> None:
    taken_over = event("SlotFilled", 9, order=FIRST, slot=0, rate=5)
    [one] = rented_orders([*placed(FIRST, 5, 7, begin=10, end=16, tx=1), taken_over], leaf_bytes=LEAF_BYTES)
    assert (one.rate, one.paid, one.slot_bytes, one.is_extension) == (12, 72, 2 * LEAF_BYTES, False)


def test_what_is_paid_beyond_the_year_is_paid_and_not_used() -> None:
    events = [
        *placed(FIRST, 10, begin=0, end=6, tx=1),
        *placed(SECOND, 10, begin=6, end=18, tx=2),
        event("OrderExtended", 2, order=SECOND, previous=FIRST),
    ]
    orders = rented_orders(events, leaf_bytes=LEAF_BYTES)
    assert [one.is_extension for one in orders] == [False, True]
    bill = year_bill(orders, until=Epoch(12), one_copy=100, fees=3, spent=143)
    assert (bill.used, bill.beyond) == (60 + 60 + 3, 60)
    assert (bill.paid, bill.returned) == (183, 40), "what came back is not taken off"
    assert (bill.paid_ratio, bill.used_ratio) == (1.83, 1.23)


def test_a_year_has_sixty_backups_and_what_is_restored_is_among_the_kept() -> None:
    days = [day for day in range(YEAR.days) if day not in YEAR.away]
    assert len(days) == YEAR.backups == 60
    assert YEAR.months == YEAR.parameters.max_books, "the one copy it is held against is one order"
    assert set(YEAR.restored) <= set(days[-YEAR.kept_versions :])
    assert YEAR.note in YEAR.restored
    assert YEAR.note < YEAR.deleted < YEAR.days


def digests(folder: Path) -> dict[str, str]:
    return {
        str(one.relative_to(folder)): hashlib.sha256(one.read_bytes()).hexdigest()
        for one in folder.rglob("*")
        if one.is_file()
    }


def test_the_folder_lives_the_same_days_in_every_telling_and_changes_little(tmp_path: Path) -> None:
    one, other = (Folder.begin(tmp_path / name, seed=1) for name in ("one", "other"))
    before = digests(one.path)
    for day in range(1, 19):
        one.live_a_day(day)
        other.live_a_day(day)
        after = digests(one.path)
        new = [name for name, digest in after.items() if before.get(name) != digest]
        assert 0 < sum((one.path / name).stat().st_size for name in new) <= one.size_bytes / 50
        assert str(one.note_of(day)) in new
        before = after
    assert digests(other.path) == before


async def test_a_command_that_fails_ends_the_story_with_what_it_said() -> None:
    with pytest.raises(CommandFailed, match=r"(?s)farmers --no-such-option: exit status 2.*No such option"):
        await run_command(*RENTER, "farmers", "--no-such-option")

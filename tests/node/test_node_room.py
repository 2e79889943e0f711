"""Room: bytes that two slots share count once, whoever goes first; and how many slots and pieces may wait."""

import pytest

from grange.types import Address, OrderId
from grange_node import waiting
from grange_node.errors import TooBusy
from grange_node.room import Room
from grange_node.slot_key import SlotKey

RENTER = Address("0x" + "11" * 20)
FIRST, SECOND, THIRD = (
    SlotKey(renter=RENTER, order=OrderId(bytes([number]) * 32), slot=0) for number in range(3)
)


def sharing() -> Room:
    """A placed slot of a hundred bytes that is kept on twice."""
    room = Room(capacity_bytes=1000, unplaced_bytes=1000, unplaced_bytes_per_renter=1000)
    room.add(FIRST, 100, pieces=1)
    room.set_placed(FIRST, placed=True)
    room.share(SECOND, FIRST, 100)
    room.share(THIRD, SECOND, 100)
    return room


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("placed", [True, False])
def test_shared_bytes_count_until_the_last_is_gone(order: tuple[int, int, int], placed: bool) -> None:
    room = sharing()
    for key in (SECOND, THIRD):
        room.set_placed(key, placed=placed)
    left = [FIRST, SECOND, THIRD]
    for turn in order:
        assert room.used_bytes == 100
        waiting = 0 if placed or FIRST in left else 100
        assert room.unplaced_bytes(RENTER) == room.all_unplaced_bytes == waiting
        assert all(room.bytes_of(key) == 100 for key in left)
        key = (FIRST, SECOND, THIRD)[turn]
        room.forget(key)
        left.remove(key)
    assert (room.used_bytes, room.all_unplaced_bytes) == (0, 0)


def test_what_was_sent_before_it_is_shared_counts_no_more() -> None:
    room = Room(capacity_bytes=1000, unplaced_bytes=1000, unplaced_bytes_per_renter=1000)
    room.add(FIRST, 100, pieces=1)
    room.set_placed(FIRST, placed=True)
    room.claim(SECOND, 50, pieces=1)
    for _ in range(2):
        room.share(SECOND, FIRST, 100)
        assert (room.used_bytes, room.all_unplaced_bytes) == (100, 0)
    room.forget(SECOND)
    assert (room.used_bytes, room.all_unplaced_bytes) == (100, 0)


def test_what_a_reorg_takes_back_is_unplaced_only_where_it_counts() -> None:
    room = sharing()
    room.set_placed(SECOND, placed=True)
    room.set_placed(SECOND, placed=False)
    assert room.all_unplaced_bytes == 0
    room.set_placed(FIRST, placed=False)
    assert room.all_unplaced_bytes == 100


OTHER = Address("0x" + "22" * 20)
THOUSAND = {"capacity_bytes": 1000, "unplaced_bytes": 1000, "unplaced_bytes_per_renter": 1000}


def key_of(number: int, renter: Address = RENTER) -> SlotKey:
    return SlotKey(renter=renter, order=OrderId(bytes([number]) * 32), slot=0)


def fill(room: Room, keys: list[SlotKey], pieces: int = 1) -> int:
    """How many of these slots could be begun."""
    for begun, key in enumerate(keys):
        try:
            for _ in range(pieces):
                room.claim(key, 1, pieces=1)
        except TooBusy:
            return begun
    return len(keys)


def test_only_so_many_slots_wait_however_small_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs files, memory and a row, and next to no money."""
    monkeypatch.setattr(waiting, "MAX_WAITING_SLOTS", 5)
    monkeypatch.setattr(waiting, "MAX_WAITING_SLOTS_PER_RENTER", 3)
    room = Room(**THOUSAND)
    assert fill(room, [key_of(number) for number in range(9)]) == 3
    assert fill(room, [key_of(number, OTHER) for number in range(9)]) == 2
    room.set_placed(key_of(0), placed=True)
    room.forget(key_of(1))
    assert fill(room, [key_of(20), key_of(21), key_of(22)]) == 2
    room.claim(key_of(20), 1, pieces=1)


def test_only_so_many_pieces_wait_and_what_fails_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LEAST_PIECES", 4)
    room = Room(**THOUSAND)
    assert fill(room, [key_of(0), key_of(1), key_of(2)], pieces=2) == 2
    room.add(key_of(1), -1, pieces=-1)
    room.claim(key_of(1), 1, pieces=1)
    assert fill(room, [key_of(5)]) == 0
    room.set_placed(key_of(0), placed=True)
    assert fill(room, [key_of(5), key_of(6), key_of(7)]) == 2
    for number in range(8):
        room.forget(key_of(number))
    assert (room.used_bytes, room.all_unplaced_bytes) == (0, 0)
    assert fill(room, [key_of(0), key_of(1)], pieces=2) == 2

"""Room: bytes that two slots share count once, no matter who goes first; and how many slots and pieces may
wait."""

import pytest

from grange.types import Address, OrderId
from grange_node.errors import TooBusy
from grange_node.limits.fair_shares import FairShares
from grange_node.limits.networks import UNKNOWN, Network, network_of
from grange_node.pieces import waiting
from grange_node.pieces.capacity import Capacity
from grange_node.slot_key import SlotKey

RENTER = Address("0x" + "11" * 20)
FIRST, SECOND, THIRD = (
    SlotKey(renter=RENTER, order=OrderId(bytes([number]) * 32), slot=0) for number in range(3)
)


def sharing() -> Capacity:
    """A placed slot of a hundred bytes that is kept on twice."""
    capacity = Capacity(capacity_bytes=1000, unplaced_bytes=1000, unplaced_bytes_per_renter=1000)
    capacity.add(FIRST, 100, pieces=1)
    capacity.set_placed(FIRST, placed=True)
    capacity.share(SECOND, FIRST, 100)
    capacity.share(THIRD, SECOND, 100)
    return capacity


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("placed", [True, False])
def test_shared_bytes_count_until_the_last_is_gone(order: tuple[int, int, int], placed: bool) -> None:
    capacity = sharing()
    for key in (SECOND, THIRD):
        capacity.set_placed(key, placed=placed)
    left = [FIRST, SECOND, THIRD]
    for turn in order:
        assert capacity.used_bytes == 100
        waiting = 0 if placed or FIRST in left else 100
        assert capacity.unplaced_bytes(RENTER) == capacity.all_unplaced_bytes == waiting
        assert all(capacity.bytes_of(key) == 100 for key in left)
        key = (FIRST, SECOND, THIRD)[turn]
        capacity.forget(key)
        left.remove(key)
    assert (capacity.used_bytes, capacity.all_unplaced_bytes) == (0, 0)


def test_what_was_sent_before_it_is_shared_counts_no_more() -> None:
    capacity = Capacity(capacity_bytes=1000, unplaced_bytes=1000, unplaced_bytes_per_renter=1000)
    capacity.add(FIRST, 100, pieces=1)
    capacity.set_placed(FIRST, placed=True)
    capacity.claim(SECOND, 50, pieces=1, network=UNKNOWN)
    for _ in range(2):
        capacity.share(SECOND, FIRST, 100)
        assert (capacity.used_bytes, capacity.all_unplaced_bytes) == (100, 0)
    capacity.forget(SECOND)
    assert (capacity.used_bytes, capacity.all_unplaced_bytes) == (100, 0)


def test_what_a_reorg_takes_back_is_unplaced_only_where_it_counts() -> None:
    capacity = sharing()
    capacity.set_placed(SECOND, placed=True)
    capacity.set_placed(SECOND, placed=False)
    assert capacity.all_unplaced_bytes == 0
    capacity.set_placed(FIRST, placed=False)
    assert capacity.all_unplaced_bytes == 100


OTHER = Address("0x" + "22" * 20)
THOUSAND = {"capacity_bytes": 1000, "unplaced_bytes": 1000, "unplaced_bytes_per_renter": 1000}


def key_of(number: int, renter: Address = RENTER) -> SlotKey:
    return SlotKey(renter=renter, order=OrderId(bytes([number]) * 32), slot=0)


def fill(capacity: Capacity, keys: list[SlotKey], pieces: int = 1, network: Network | None = None) -> int:
    """How many of these slots could be begun, from one network, or from one for each."""
    for begun, key in enumerate(keys):
        try:
            for _ in range(pieces):
                capacity.claim(key, 1, pieces=1, network=network or Network(str(key.order)))
        except TooBusy:
            return begun
    return len(keys)


def test_only_so_many_slots_wait_however_small_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs files, memory and a row, and next to no money."""
    monkeypatch.setattr(waiting, "MAX_WAITING_SLOTS", 5)
    monkeypatch.setattr(waiting, "MAX_WAITING_SLOTS_PER_RENTER", 3)
    capacity = Capacity(**THOUSAND)
    assert fill(capacity, [key_of(number) for number in range(9)]) == 3
    assert fill(capacity, [key_of(number, OTHER) for number in range(9)]) == 2
    capacity.set_placed(key_of(0), placed=True)
    capacity.forget(key_of(1))
    assert fill(capacity, [key_of(20), key_of(21), key_of(22)]) == 2
    capacity.claim(key_of(20), 1, pieces=1, network=UNKNOWN)


def test_only_so_many_pieces_wait_and_what_fails_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LEAST_PIECES", 4)
    capacity = Capacity(**THOUSAND)
    assert fill(capacity, [key_of(0), key_of(1), key_of(2)], pieces=2) == 2
    capacity.add(key_of(1), -1, pieces=-1)
    capacity.claim(key_of(1), 1, pieces=1, network=UNKNOWN)
    assert fill(capacity, [key_of(5)]) == 0
    capacity.set_placed(key_of(0), placed=True)
    assert fill(capacity, [key_of(5), key_of(6), key_of(7)]) == 2
    for number in range(8):
        capacity.forget(key_of(number))
    assert (capacity.used_bytes, capacity.all_unplaced_bytes) == (0, 0)
    assert fill(capacity, [key_of(0), key_of(1)], pieces=2) == 2


def renter_of(number: int) -> Address:
    return Address(f"0x{number:040x}")


@pytest.mark.parametrize("networks", [1, 3, 6])
def test_no_network_fills_what_may_wait_of_all(networks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots, pieces or bytes, with as many keys as it likes: there is room for anyone who has nothing
    here."""
    monkeypatch.setattr(waiting, "MAX_WAITING_SLOTS", 100)
    places = [network_of(f"10.0.{number}.1") for number in range(networks)]
    there = network_of("203.0.113.9")
    for size_bytes, pieces in ((1, 1), (1, 7), (90, 1)):
        capacity = Capacity(capacity_bytes=10**9, unplaced_bytes=6000, unplaced_bytes_per_renter=6000)
        monkeypatch.setattr(capacity._waiting, "_shared_pieces", FairShares(500, waiting.SHARE_WEIGHT))
        begun = []
        for number in range(500):
            key, network = key_of(1, renter_of(number)), places[number % networks]
            try:
                capacity.claim(key, size_bytes, pieces=pieces, network=network)
                begun.append(key)
            except TooBusy:
                continue
        assert capacity.free_bytes(there) > capacity.free_bytes(places[0])
        capacity.claim(key_of(2), size_bytes, pieces=pieces, network=there)
        for key in (*begun, key_of(2)):
            capacity.forget(key)
        assert (capacity.all_unplaced_bytes, capacity._networks) == (0, {})
        assert (capacity._waiting._shared_slots.total, capacity._waiting._shared_pieces.total) == (0, 0)


def test_a_network_alone_may_have_three_quarters_of_what_may_wait() -> None:
    capacity = Capacity(capacity_bytes=10**6, unplaced_bytes=1000, unplaced_bytes_per_renter=1000)
    here = network_of("203.0.113.9")
    assert capacity.free_bytes(here) == 750
    assert (
        fill(capacity, [key_of(number % 250, renter_of(number)) for number in range(1000)], network=here)
        == 750
    )


def test_a_slot_counts_for_the_network_that_began_it_until_it_is_placed() -> None:
    capacity = Capacity(**THOUSAND)
    here, there = network_of("198.51.100.7"), network_of("203.0.113.9")
    capacity.claim(FIRST, 100, pieces=1, network=here)
    capacity.claim(FIRST, 100, pieces=1, network=there)
    assert capacity._shared_bytes.taken(here) == 200
    capacity.set_placed(FIRST, placed=True)
    assert capacity._shared_bytes.total == 0
    capacity.set_placed(FIRST, placed=False)
    capacity.forget(FIRST)
    assert (capacity._shared_bytes.total, capacity.used_bytes) == (0, 0)


def test_who_sends_more_of_what_a_reorg_took_back_leaves_nothing_taken_for_ever() -> None:
    """Else anyone who does that often enough has used up what may wait here of all."""
    capacity = Capacity(**THOUSAND)
    here, there = network_of("198.51.100.7"), network_of("203.0.113.9")
    capacity.claim(FIRST, 400, pieces=1, network=here)
    capacity.set_placed(FIRST, placed=True)
    capacity.set_placed(FIRST, placed=False)
    capacity.claim(FIRST, 100, pieces=1, network=there)
    capacity.add(FIRST, -100, pieces=-1)
    capacity.forget(FIRST)
    assert (capacity.all_unplaced_bytes, capacity.used_bytes, capacity._networks) == (0, 0, {})


def test_what_a_reorg_takes_back_waits_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it comes and goes: else others may have what it needs to be placed again."""
    monkeypatch.setattr(waiting, "MAX_WAITING_SLOTS_PER_RENTER", 2)
    monkeypatch.setattr(waiting, "LEAST_PIECES", 10)
    capacity = Capacity(capacity_bytes=1000, unplaced_bytes=1000, unplaced_bytes_per_renter=1000)
    for key in (FIRST, SECOND):
        capacity.claim(key, 40, pieces=4, network=UNKNOWN)
        capacity.set_placed(key, placed=True)
    for _ in range(3):
        for key in (FIRST, SECOND):
            capacity.set_placed(key, placed=False)
        with pytest.raises(TooBusy, match="slots"):
            capacity.claim(THIRD, 1, pieces=1, network=UNKNOWN)
        capacity.set_placed(FIRST, placed=True)
        with pytest.raises(TooBusy, match="pieces"):
            capacity.claim(THIRD, 1, pieces=7, network=UNKNOWN)
        capacity.set_placed(SECOND, placed=True)
    for key in (FIRST, SECOND):
        capacity.set_placed(key, placed=False)
        capacity.forget(key)
    assert (capacity.used_bytes, capacity.all_unplaced_bytes) == (0, 0)
    for key in (FIRST, SECOND):
        capacity.claim(key, 1, pieces=5, network=UNKNOWN)

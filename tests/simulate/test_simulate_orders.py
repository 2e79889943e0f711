"""What is left of orders, and how long their repair takes."""

import numpy as np
import pytest

from grange_simulate.assumptions import Code, Lines
from grange_simulate.lines import Passes, Queues
from grange_simulate.orders import Orders
from grange_simulate.running import Running

SEATS = 50


def test_counts_and_index_are_those_of_a_plain_count() -> None:
    random = np.random.default_rng(3)
    code = Code(k=3, n=6)
    orders = Orders(code, np.array([random.permutation(SEATS)[:6] for _ in range(80)]), SEATS)
    holder, sound = orders.holder.copy(), np.ones(480, dtype=bool)
    for step in range(300):
        going, evicted = random.permutation(SEATS)[:1], random.permutation(SEATS)[: step % 2]
        if len(evicted):
            orders.evict(evicted, step)
            sound[np.isin(holder, evicted)] = False
            holder[np.isin(holder, evicted)] = -1
        orders.lose_data(going, step)
        sound[np.isin(holder, going)] = False
        lost = orders.lost.copy()
        assert ((sound.reshape(80, 6).sum(axis=1) < 3) <= lost).all()
        free = np.flatnonzero((holder == -1) & ~lost[np.arange(480) // 6])
        filled = random.permutation(free)[:12]
        takers = random.integers(0, SEATS, len(filled))
        orders.refill(filled, takers)
        holder[filled], sound[filled] = takers, True
        assert (orders.holder == holder).all()
        assert (orders.sound == sound).all()
        assert orders.live.tolist() == (holder.reshape(80, 6) >= 0).sum(axis=1).tolist()
        assert orders.left.tolist() == sound.reshape(80, 6).sum(axis=1).tolist()
        there = ~lost[np.arange(480) // 6]
        assert sorted(orders.vacant.tolist()) == np.flatnonzero((holder == -1) & there).tolist()


def test_an_order_is_lost_once_with_fewer_than_k_slots() -> None:
    orders = Orders(Code(k=2, n=3), np.array([[0, 1, 2]]), SEATS)
    assert orders.lose_data(np.array([0]), 1) == 0
    assert orders.evict(np.array([0]), 5) == 0
    assert orders.evict(np.array([1]), 6) == 1
    assert orders.lose_data(np.array([2]), 7) == 0
    assert orders.lost.tolist() == [True]
    assert not len(orders.vacant)


def passes(repairers: list[int], sources: list[list[int]], taken: list[tuple[int, int]]) -> Passes:
    return Passes(
        repairers=np.array(repairers),
        sources=np.array(sources),
        slot_passes=np.array([row for row, _ in taken], dtype=np.int64),
        slot_seats=np.array([seat for _, seat in taken], dtype=np.int64),
    )


def queues(**lines: float) -> Queues:
    """Lines of which 100 Mbit/s moves 251.5 GiB in a step."""
    wide = {"upload_mbit": 100.0, "download_mbit": 1e9, "spread": 0.0, "repair_share": 1.0}
    return Queues(Lines(**{**wide, **lines}), SEATS, np.random.default_rng(1))


GIB_PER_STEP = 100e6 / 8 * 6 * 3600 / 2**30


def test_a_pass_takes_as_long_as_its_slowest_part() -> None:
    half = GIB_PER_STEP / 2
    itself = passes([0], [[1, 2]], [(0, 0)])
    assert queues().ends(itself, half, 10) == pytest.approx([10.5])
    assert queues(download_mbit=100).ends(itself, half, 10) == pytest.approx([11.0])
    three = passes([0], [[1, 2]], [(0, 0), (0, 3), (0, 4), (0, 5)])
    assert queues().ends(three, half, 10) == pytest.approx([11.5])


def test_what_is_asked_of_a_line_waits_for_what_was_asked_before() -> None:
    lines = queues()
    first = passes([0, 3], [[1, 2], [1, 4]], [(0, 0), (1, 3)])
    assert lines.ends(first, GIB_PER_STEP, 0) == pytest.approx([2.0, 2.0])
    assert lines.ends(passes([5], [[1, 6]], [(0, 5)]), GIB_PER_STEP, 1) == pytest.approx([3.0])
    assert lines.backlog(1)[[1, 2, 7]] == pytest.approx([2.0, 0.0, 0.0])


def test_a_pass_whose_repairer_left_refills_nothing() -> None:
    generation = np.zeros(SEATS, dtype=np.int64)
    running = Running()
    begun = passes([0, 1], [[2], [2]], [(0, 0), (0, 3), (1, 4), (1, 5)])
    running.add(
        end_steps=np.array([7, 7]),
        orders=np.array([10, 11]),
        passes=begun,
        slots=np.array([100, 101, 110, 111]),
        generation=generation,
    )
    assert running.ended(6, generation) is None
    generation[[0, 5]] += 1
    ended = running.ended(7, generation)
    assert ended is not None
    assert (ended.orders.tolist(), ended.broken) == ([10, 11], 1)
    assert (ended.slots.tolist(), ended.seats.tolist()) == ([110], [4])
    assert running.ended(7, generation) is None

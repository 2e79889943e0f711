"""Who of several repairers begins: the share that may grows by doubling, so that few do the same work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange.errors import Misuse
from grange.keccak import keccak256
from grange.repair import EPOCH_SENT_BYTES, Need, Vacancy, doubling_blocks, first_block
from grange.turns import turn_blocks
from grange.types import Address, OrderId, address_from
from grange.units import MAX_SLOTS

EPOCH_BLOCKS = 7200
AT_MOST = 4096
DOUBLING = 300
WHOLE = 1 << 256

ranks = st.integers(0, WHOLE - 1)
crowds = st.integers(1, 100_000)


def order(number: int) -> OrderId:
    return OrderId(keccak256(number.to_bytes(4)))


def repairer(number: int) -> Address:
    return address_from(keccak256(b"repairer" + number.to_bytes(4))[:20])


def begins(number: int, repairers: int) -> list[int]:
    """When each of so many repairers begins with an order, the first one first."""
    return sorted(
        first_block(
            order=order(number),
            slot=3,
            repairer=repairer(i),
            since_block=0,
            repairers=AT_MOST,
            doubling_blocks=DOUBLING,
        )
        for i in range(repairers)
    )


@given(ranks, ranks, crowds, st.integers(1, 1000))
def test_the_lower_rank_is_never_later(one: int, other: int, repairers: int, doubling: int) -> None:
    turns = [
        turn_blocks(rank, contenders=repairers, doubling_blocks=doubling) for rank in sorted((one, other))
    ]
    assert turns == sorted(turns)


@given(ranks, crowds, st.integers(1, 1000))
def test_after_so_many_doublings_the_share_is_twice_as_often_twice_as_great(
    rank: int, repairers: int, doubling: int
) -> None:
    turn = turn_blocks(rank, contenders=repairers, doubling_blocks=doubling)
    doublings, rest = divmod(turn, doubling)
    assert rank * repairers < (doubling + rest + 1) * (WHOLE << doublings) // doubling + repairers
    assert turn == 0 or rank * repairers >= (doubling + rest) * (WHOLE << doublings) // doubling - repairers


@given(ranks, crowds, st.integers(1, 1000))
def test_a_lone_repairer_waits_for_as_many_doublings_as_there_are_in_the_crowd(
    rank: int, repairers: int, doubling: int
) -> None:
    assert (
        turn_blocks(rank, contenders=repairers, doubling_blocks=doubling) <= repairers.bit_length() * doubling
    )


@pytest.mark.parametrize("repairers", [1, 2, 10, 100, 1000])
def test_however_many_there_are_few_do_the_work_and_losers_lose_little(repairers: int) -> None:
    orders = 60
    begun, wasted = 0, 0.0
    for number in range(orders):
        turns = begins(number, repairers)
        ended = turns[0] + DOUBLING
        at_work = [turn for turn in turns if turn < ended]
        begun += len(at_work)
        wasted += sum(ended - turn for turn in at_work[1:]) / DOUBLING
    assert begun / orders < 3.5
    assert wasted / orders < 1.2


def test_no_repairer_is_preferred() -> None:
    firsts = [min(range(8), key=lambda i: first_of(number, i)) for number in range(400)]
    assert min(firsts.count(i) for i in range(8)) > 25


def first_of(number: int, i: int) -> int:
    return first_block(
        order=order(number),
        slot=0,
        repairer=repairer(i),
        since_block=0,
        repairers=AT_MOST,
        doubling_blocks=10**9,
    )


def test_another_slot_gives_another_order() -> None:
    def turn(i: int, slot: int) -> int:
        return first_block(
            order=order(1),
            slot=slot,
            repairer=repairer(i),
            since_block=1000,
            repairers=64,
            doubling_blocks=10**6,
        )

    assert sorted(range(20), key=lambda i: turn(i, 3)) != sorted(range(20), key=lambda i: turn(i, 4))


def need(live: int) -> Need:
    vacancies = tuple(Vacancy(slot=i, since_block=0, full_bounty=1) for i in range(30 - live))
    return Need(k=10, n=30, live=live, vacancies=vacancies, end_block=10**9)


def test_the_share_doubles_in_the_time_of_some_passes_and_faster_in_danger() -> None:
    slot_bytes = EPOCH_SENT_BYTES // 12
    assert doubling_blocks(need(28), slot_bytes=slot_bytes, slots=6, epoch_blocks=EPOCH_BLOCKS) == 14400
    assert doubling_blocks(need(12), slot_bytes=slot_bytes, slots=6, epoch_blocks=EPOCH_BLOCKS) == 10800
    assert doubling_blocks(need(28), slot_bytes=slot_bytes, slots=1, epoch_blocks=EPOCH_BLOCKS) == 7200
    assert doubling_blocks(need(12), slot_bytes=1, slots=6, epoch_blocks=EPOCH_BLOCKS) == 72
    assert doubling_blocks(need(12), slot_bytes=1, slots=6, epoch_blocks=10) == 1
    for epochs, blocks in ((1, 72), (2, EPOCH_BLOCKS), (3, 2 * EPOCH_BLOCKS)):
        times = [
            doubling_blocks(need(live), slot_bytes=1, slots=6, epoch_blocks=EPOCH_BLOCKS, read_epochs=epochs)
            for live in (28, 12)
        ]
        assert times == [blocks, 72], "a pass takes its epochs while an order is healthy"


@pytest.mark.parametrize("slot", [-1, MAX_SLOTS])
def test_slots_outside_of_an_order_are_refused(slot: int) -> None:
    with pytest.raises(Misuse):
        first_block(
            order=order(1),
            slot=slot,
            repairer=repairer(1),
            since_block=0,
            repairers=1,
            doubling_blocks=1,
        )


@pytest.mark.parametrize(("rank", "repairers", "doubling"), [(-1, 1, 1), (WHOLE, 1, 1), (0, 0, 1), (0, 1, 0)])
def test_ranks_and_crowds_that_cannot_be_are_refused(rank: int, repairers: int, doubling: int) -> None:
    with pytest.raises(Misuse):
        turn_blocks(rank, contenders=repairers, doubling_blocks=doubling)

"""Which block gives a seed, at every border, and that farmers take turns at recording it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange.seeds import (
    RECORDING_DOUBLING_BLOCKS,
    SEED_STEP_BLOCKS,
    SERVED_BLOCKS,
    is_long,
    recording_block,
    seed_block,
)
from grange.types import Address, Epoch, FarmerId

DAY_BLOCKS = 43_200
MARKET = Address("0x" + "ab" * 20)

epochs = st.integers(0, 2**32 - 1)
lengths = st.integers(2, 65_535)


def test_in_the_first_block_of_an_epoch_there_is_no_seed() -> None:
    assert seed_block(100, 100) is None
    assert seed_block(100, 99) is None


@pytest.mark.parametrize("steps", range(14))
def test_a_step_ends_where_its_block_leaves_the_history(steps: int) -> None:
    last = 100 + SERVED_BLOCKS + steps * SEED_STEP_BLOCKS
    given_by = 100 + steps * SEED_STEP_BLOCKS
    assert [seed_block(100, block) for block in (last - 1, last, last + 1)] == [
        given_by,
        given_by,
        given_by + SEED_STEP_BLOCKS,
    ]


@given(epochs, st.integers(1, 65_534))
def test_the_seeds_block_is_the_first_of_the_sequence_that_is_served(epoch: int, age: int) -> None:
    first = epoch * DAY_BLOCKS
    served = next(
        block for block in itertools.count(first, SEED_STEP_BLOCKS) if first + age - block <= SERVED_BLOCKS
    )
    assert seed_block(first, first + age) == served < first + age


@given(lengths)
def test_an_epoch_is_long_when_its_first_block_leaves_the_history_before_it_ends(length: int) -> None:
    assert is_long(length) == (seed_block(0, length - 1) != 0)


def turns(epoch: int, farmers: int) -> list[int]:
    """How many blocks into the epoch each of so many farmers would record its seed, the first one first."""
    first = epoch * DAY_BLOCKS
    return sorted(
        recording_block(
            market=MARKET,
            epoch=Epoch(epoch),
            epoch_blocks=DAY_BLOCKS,
            farmer=FarmerId(number + 1),
            farmers=farmers,
        )
        - first
        for number in range(farmers)
    )


@pytest.mark.parametrize("farmers", [1, 2, 10, 100, 1000])
def test_however_many_farmers_there_are_few_would_record_and_the_first_at_once(farmers: int) -> None:
    found = [turns(epoch, farmers) for epoch in range(30)]
    in_time = sum(one[0] <= 1 + RECORDING_DOUBLING_BLOCKS for one in found)
    assert in_time >= 20
    # Who comes before the first one's transaction is seen pays gas for nothing.
    paid = [sum(turn < one[0] + 4 for turn in one) for one in found]
    assert sum(paid) / len(paid) < 4


def test_the_last_of_a_million_is_in_time_by_far() -> None:
    blocks = max(
        recording_block(
            market=MARKET, epoch=Epoch(9), epoch_blocks=DAY_BLOCKS, farmer=FarmerId(n), farmers=1_000_000
        )
        for n in range(1, 20_000)
    )
    assert blocks - 9 * DAY_BLOCKS <= 1 + 20 * RECORDING_DOUBLING_BLOCKS < SERVED_BLOCKS / 20


def test_another_farmer_is_the_first_in_each_epoch_so_all_pay_for_it_in_turns() -> None:
    first = {
        min(
            range(1, 11),
            key=lambda farmer: recording_block(
                market=MARKET,
                epoch=Epoch(epoch),
                epoch_blocks=DAY_BLOCKS,
                farmer=FarmerId(farmer),
                farmers=1 << 20,
            ),
        )
        for epoch in range(100)
    }
    assert first == set(range(1, 11))


@given(epochs, lengths, st.integers(1, 2**32 - 1), st.integers(0, 2**32))
def test_nobodys_turn_comes_before_there_is_a_seed(
    epoch: int, length: int, farmer: int, farmers: int
) -> None:
    turn = recording_block(
        market=MARKET,
        epoch=Epoch(epoch),
        epoch_blocks=length,
        farmer=FarmerId(farmer),
        farmers=farmers,
    )
    assert turn > epoch * length

"""What the rule of `grange.reads` costs those who would live on it: the numbers of docs/economics.md.

Counted in epochs of pay, with the parameters of the devnet. `c` is the cost of keeping data as a share of its
pay; with c = 1 an attack saves the most that it can.
"""

from itertools import count, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market_rules import PARAMETERS

from grange.reads import READ_THIRDS, is_open
from grange.repair import is_eager
from grange.types import Epoch

ECONOMICS = (Path(__file__).parents[2] / "docs" / "economics.md").read_text()
SAMPLES, MISSES, COLLATERAL = PARAMETERS.samples, PARAMETERS.max_misses, PARAMETERS.collateral_epochs
A_MISS = 1 + PARAMETERS.penalty + PARAMETERS.fine
SECONDS_PER_DAY = 86_400
LINE_BITS_PER_SECOND = 100_000_000


def says(sentence: str) -> None:
    """The page has this, however its lines are broken."""
    assert " ".join(sentence.split()) in " ".join(ECONOMICS.split())


def answered(dropped: float) -> float:
    """How likely an audit is answered by who dropped so much, evenly, and fetches what is open."""
    return (1 - dropped * (1 - 1 / READ_THIRDS)) ** SAMPLES


def test_a_farm_that_keeps_nothing_answers_one_audit_in_243() -> None:
    draws = list(product(range(READ_THIRDS), repeat=SAMPLES))
    assert sum(all(is_open(piece, Epoch(0)) for piece in draw) for draw in draws) == 1
    assert len(draws) == 243
    assert answered(1.0) == pytest.approx(1 / 243)
    loss = (1 - answered(1.0)) * A_MISS
    assert f"{loss:.2f}" == "2.99"
    says("once in 243 epochs")
    says("c·R - 2.99·R")


@pytest.mark.parametrize("begun", range(READ_THIRDS))
def test_slots_of_one_piece_are_open_in_every_third_epoch_and_lapse_all_the_same(begun: int) -> None:
    strikes = proven = missed = 0
    for epoch in count(begun):
        if is_open(0, Epoch(epoch)):
            strikes, proven = max(0, strikes - 1), proven + 1
        else:
            strikes, missed = strikes + 1, missed + 1
        if strikes == MISSES:
            break
    assert proven + missed <= 10
    assert proven - missed * (A_MISS - 1) - COLLATERAL < 0
    says("lapses in the tenth epoch at the latest")


@given(st.floats(0.001, 1))
def test_to_drop_a_part_and_fetch_what_is_drawn_loses_whatever_the_part(dropped: float) -> None:
    """At c = 1, and with the fine alone, which is all that is lost among slots of one's own."""
    assert (1 - answered(dropped)) * A_MISS > dropped
    assert SAMPLES * PARAMETERS.fine * (1 - 1 / READ_THIRDS) > 1 + (PARAMETERS.penalty + PARAMETERS.fine) / 2


def test_the_loss_of_a_small_part_is_ten_times_the_gain() -> None:
    dropped = 1e-6
    assert (1 - answered(dropped)) * A_MISS / dropped == pytest.approx(10, rel=1e-3)
    says("ten times what is saved")


def test_a_disk_of_a_third_of_a_terabyte_is_whole_again_in_three_days() -> None:
    """It is also as much as a farm could rotate that keeps two thirds and fetches the third that is open."""
    read_per_day_bytes = LINE_BITS_PER_SECOND / 8 * SECONDS_PER_DAY
    largest = read_per_day_bytes * READ_THIRDS / 10
    assert f"{largest / 1e12:.2f}" == "0.32"
    says("0.32 TB at 100 Mbit/s, 10 of 30 and an epoch a day")
    assert f"{10 / READ_THIRDS:.1f}" == "3.3"
    says("3.3 bytes read a day for each byte that it is paid for")


def losses_to_open(k: int, n: int) -> int:
    """How many slots must be declared lost until all of an order is open."""
    return next(lost for lost in range(1, n) if is_eager(n - lost, k, n))


def epochs_to_pay(k: int, n: int) -> float:
    """How long k - 1 names of one order must go without keeping anything until the losses that they declared
    for it are earned back, at c = 1; never, if nothing is left to earn with."""
    lost = losses_to_open(k, n)
    earning = k - 1 - lost
    return lost * COLLATERAL / earning if earning > 0 else float("inf")


@pytest.mark.parametrize(
    ("k", "n", "lost", "epochs"), [(10, 30, 6, 32.0), (4, 8, 1, 8.0), (2, 5, 1, float("inf"))]
)
def test_a_loss_that_is_declared_to_open_an_order_is_earned_back_late(
    k: int, n: int, lost: int, epochs: float
) -> None:
    """And all the while nobody may refill the slot: its bounty is at its height after four epochs."""
    assert (losses_to_open(k, n), epochs_to_pay(k, n)) == (lost, epochs)
    assert epochs > PARAMETERS.auction_epochs
    says(f"| {k} of {n} | {lost} | {'never' if epochs == float('inf') else f'{epochs:.0f}'} |")

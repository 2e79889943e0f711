"""Whether a slot that cannot be mended is better declared lost. Pure: numbers in, a decision out.

What is damaged is drawn by each of an epoch's samples with the probability of its part in the pay. If it is,
the whole epoch is missed: its pay, the penalty and the fine. Declaring the slot lost forfeits its collateral
and its pay to the end, once and for all. Both are counted to the end of the order, in base units.
"""

from __future__ import annotations

from grange.types import Parameters


def miss_chance(*, damaged_pieces: int, pieces: int, rate: int, total_rate: int, samples: int) -> float:
    """How likely an audit is to ask for what is damaged of a slot."""
    part = damaged_pieces / pieces * rate / total_rate
    return float(1 - (1 - part) ** samples)


def is_dearer(
    *,
    damaged_pieces: int,
    pieces: int,
    rate: int,
    total_rate: int,
    left_epochs: int,
    parameters: Parameters,
) -> bool:
    """Whether going on with the damage is expected to cost more than declaring the slot lost."""
    chance = miss_chance(
        damaged_pieces=damaged_pieces,
        pieces=pieces,
        rate=rate,
        total_rate=total_rate,
        samples=parameters.samples,
    )
    a_miss = (1 + parameters.penalty + parameters.fine) * total_rate
    going_on = left_epochs * chance * a_miss
    giving_up = (parameters.collateral_epochs + left_epochs) * rate
    return going_on > giving_up

"""Whether a slot that is damaged is better declared lost. Pure: numbers in, a decision out.

What is damaged is drawn by each of an epoch's samples with the probability of its part in the pay. If it is,
the whole epoch is missed: its pay, the penalty and the fine. Declaring the slot lost forfeits its collateral
and its pay to the end, once and for all. Both are counted to the end of the order, in base units.

What can be rebuilt, though only a third of it in each epoch, costs the misses until then. If they may be as
many as make the farmer lapse, the collateral of all that it keeps is at stake besides.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    coming: Sequence[int] | None = None,
    strikes: int = 0,
) -> bool:
    """Whether going on with the damage is expected to cost more than declaring the slot lost.

    `coming` says how many pieces will be damaged in each of the next epochs, if they are being rebuilt;
    None if nothing of it can be.
    """
    damaged = [damaged_pieces] * left_epochs if coming is None else coming[:left_epochs]
    misses = sum(
        miss_chance(
            damaged_pieces=count, pieces=pieces, rate=rate, total_rate=total_rate, samples=parameters.samples
        )
        for count in damaged
    )
    going_on = misses * (1 + parameters.penalty + parameters.fine) * total_rate
    if coming is not None and strikes + misses >= parameters.max_misses:
        going_on += parameters.collateral_epochs * total_rate
    giving_up = (parameters.collateral_epochs + left_epochs) * rate
    return going_on > giving_up

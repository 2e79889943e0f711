"""Whether a slot that is damaged is better declared lost. Pure: numbers in, a decision out.

What is damaged is drawn by each of an epoch's samples with the probability of its part in the pay. If it is,
the whole epoch is missed: its pay, the penalty and the fine. Declaring the slot lost forfeits its collateral
and its pay to the end, once and for all. Both are counted to the end of the order, in base units.

What can be rebuilt, though only a third of it in each epoch, costs the misses until then; and as far as these
may make the farmer lapse, the collateral and the pay of all that it keeps.
"""

from __future__ import annotations

from collections.abc import Sequence

from grange.types import Parameters


def miss_chance(*, damaged_pieces: int, pieces: int, rate: int, total_rate: int, samples: int) -> float:
    """How likely an audit is to ask for what is damaged of a slot."""
    part = damaged_pieces / pieces * rate / total_rate
    return float(1 - (1 - part) ** samples)


def lapse_chance(chances: Sequence[float], *, strikes: int, max_misses: int) -> float:
    """How likely a farmer with some strikes lapses in epochs that it misses with these chances: a miss is a
    strike, a proof takes one away."""
    odds = [0.0] * max_misses
    odds[min(strikes, max_misses - 1)] = 1.0
    lapsed = 0.0
    for chance in chances:
        lapsed += odds[-1] * chance
        missed = [0.0, *(one * chance for one in odds[:-1])]
        proven = [odds[0] + odds[1] if max_misses > 1 else odds[0], *odds[2:], 0.0][:max_misses]
        odds = [one + other * (1 - chance) for one, other in zip(missed, proven, strict=True)]
    return lapsed


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
    chances = [
        miss_chance(
            damaged_pieces=count, pieces=pieces, rate=rate, total_rate=total_rate, samples=parameters.samples
        )
        for count in damaged
    ]
    going_on = sum(chances) * (1 + parameters.penalty + parameters.fine) * total_rate
    if coming is not None:
        risk = lapse_chance(chances, strikes=strikes, max_misses=parameters.max_misses)
        going_on += risk * (parameters.collateral_epochs + left_epochs) * total_rate
    loss = (parameters.collateral_epochs + left_epochs) * rate
    return going_on > loss

"""The exact loss probability of an order where there is one: independent farmers and constant rates.

    n sound --n a--> n-1 --(n-1) a--> ... --(k+1) a--> k --k a--> lost
            <--b----     <----2 b---      <--(n-k) b--

A birth-death chain: each of the sound slots is lost at the rate a, each of the missing ones is rebuilt at
the rate b, and there is no way back from fewer than k. Solved by uniformization: the chain jumps at the
fastest rate of all, so the number of jumps is Poisson, and every term is positive: nothing cancels.
"""

from math import exp, lgamma, log

import numpy as np

from grange.errors import Misuse
from grange_simulate.assumptions import Code

_PRECISION = 1e-14
_MOST_JUMPS = 10_000_000


def loss_probability(code: Code, *, days: float, lifetime_days: float, repair_days: float | None) -> float:
    """That an order is lost within so many days.

    Each lost slot is rebuilt after `repair_days` on average, None for never. Raises Misuse for rates that
    would take too long to follow.
    """
    leave = 1 / lifetime_days
    repair = 0.0 if repair_days is None else 1 / repair_days
    missing = np.arange(code.n - code.k + 1)
    down, up = (code.n - missing) * leave, missing * repair
    fastest = float((down + up).max())
    mean_jumps = fastest * days
    if mean_jumps > _MOST_JUMPS:
        raise Misuse(f"{mean_jumps:.0f} changes on the way are too many to follow")
    state = np.zeros(len(missing) + 1)
    state[0] = 1.0
    lost, seen = 0.0, 0.0
    jumps = 0
    while seen < 1 - _PRECISION:
        weight = _poisson(jumps, mean_jumps)
        lost += weight * float(state[-1])
        seen += weight
        if weight < _PRECISION / (1 + mean_jumps) and jumps > mean_jumps:
            break
        moved = state.copy()
        moved[:-1] -= state[:-1] * (down + up) / fastest
        moved[1:] += state[:-1] * down / fastest
        moved[:-2] += state[1:-1] * up[1:] / fastest
        state = moved
        jumps += 1
    return lost


def _poisson(count: int, mean: float) -> float:
    return exp(count * log(mean) - mean - lgamma(count + 1)) if mean > 0 else float(count == 0)

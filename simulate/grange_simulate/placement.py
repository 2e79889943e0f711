"""Who keeps which slot: farmers of different operators and subnets, chosen by chance.

Decides whom an order is first placed with, and whether a farmer fits one that has lost slots. Leaves who is
online to the caller.
"""

import numpy as np

from grange.errors import Misuse
from grange_simulate.groups import Groups, Ints
from grange_simulate.history import Bools

_ROUNDS = 100
"""How often to draw again for slots whose farmer does not fit the others; what is left then may share."""
_LEAST_SPREAD = 2
"""Farmers for each slot of an order, at least: with fewer, the spread would go by what is left over."""


def placed(orders: int, n: int, groups: Groups, random: np.random.Generator) -> Ints:
    """[order, slot]: a seat for each. Raises Misuse when there are too few farmers for it."""
    count = len(groups.subnet)
    if count < _LEAST_SPREAD * n:
        raise Misuse(f"{count} farmers are too few to place {n} slots each: {_LEAST_SPREAD * n} at least")
    seats = random.integers(0, count, (orders, n))
    rows = np.arange(orders)
    for turn in range(_ROUNDS):
        mine = seats[rows]
        clash = _repeats(mine)
        if turn < _ROUNDS // 2:
            clash |= _repeats(groups.operator[mine]) | _repeats(groups.subnet[mine])
        if not clash.any():
            return seats
        mine[clash] = random.integers(0, count, int(clash.sum()))
        seats[rows] = mine
        rows = rows[clash.any(axis=1)]
    raise Misuse(f"{count} farmers are too few to place {n} slots each")


def fitting(holders: Ints, wanted: Ints, seats: Ints, groups: Groups) -> Bools:
    """Whether each of these seats fits the order that wants it.

    `holders` has a row of seats for each order, -1 where a slot is vacant; `wanted` names the row for each
    seat. Two seats for the same order fit only if they fit each other, too: the first does.
    """
    fits = _alone(wanted, groups.operator[seats]) & _alone(wanted, groups.subnet[seats])
    beside = holders[wanted]
    for group in (groups.operator, groups.subnet):
        with_nobody = np.append(group, -1).astype(np.int32)
        fits &= ~(with_nobody[beside] == with_nobody[seats][:, None]).any(axis=1)
    return fits


def _alone(wanted: Ints, group: Ints) -> Bools:
    """Whether it is the first of its group for the order that wants it."""
    first = np.zeros(len(wanted), dtype=np.bool_)
    first[np.unique(wanted * (int(group.max(initial=0)) + 1) + group, return_index=True)[1]] = True
    return first


def _repeats(rows: Ints) -> Bools:
    """Which entries occur in their row before, in some order."""
    order = np.argsort(rows, axis=1, kind="stable")
    ranked = np.take_along_axis(rows, order, axis=1)
    again = np.zeros(rows.shape, dtype=np.bool_)
    again[:, 1:] = ranked[:, 1:] == ranked[:, :-1]
    repeats = np.empty(rows.shape, dtype=np.bool_)
    np.put_along_axis(repeats, order, again, axis=1)
    return repeats

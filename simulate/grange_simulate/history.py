"""What happens to the farmers of one network: who is online, whose data is gone, who is evicted, and when.

A seat is a place for a farmer. Its farmer lives for a while, has outages, and leaves without a word; the
contract sees misses, evicts it, and another farmer takes the seat. So the network keeps its size. Decides
all of that once, before any order is placed, so that every code meets the same history.
"""

from dataclasses import dataclass
from math import exp, gamma

import numpy as np
import numpy.typing as npt

from grange_simulate.assumptions import STEPS_PER_DAY, Farmers, Outages
from grange_simulate.groups import Groups, Ints, members

Bools = npt.NDArray[np.bool_]

_HOURS_PER_STEP = 24 / STEPS_PER_DAY
_SETTLING_LIFETIMES = 2
"""How long the network has lived before it is watched, in mean lifetimes: so that ages are mixed."""
_CALM = (0.15, 0.85)
"""The part of the time in which shocks strike: with orders that have aged, and time left to recover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Of one network. Steps count from 0, STEPS_PER_DAY to the epoch."""

    groups: Groups
    online: Bools
    """[step, seat]"""
    gone: list[Ints]
    """For each step, the seats whose farmers take their data away in it."""
    evicted: list[Ints]
    """For each step, the seats whose farmers are evicted as it begins, and lose what they still had."""
    late: Bools
    """[day, seat]: who has missed days that it has not made good for, as the day begins."""
    shock_steps: tuple[int, ...]

    @property
    def steps(self) -> int:
        """How many steps it has."""
        return len(self.gone)


def drawn(farmers: Farmers, max_misses: int, days: int, random: np.random.Generator) -> History:
    """A history by chance. So many misses, less days proven since, and a farmer is evicted."""
    groups = Groups.drawn(farmers, random)
    steps = days * STEPS_PER_DAY
    outages = _Outages(steps, farmers.count, random)
    outages.add(farmers.alone, [np.array([seat]) for seat in range(farmers.count)])
    for kind, group in (
        (farmers.subnet, groups.subnet),
        (farmers.operator, groups.operator),
        (farmers.region, groups.region),
    ):
        outages.add(kind, members(group))
    shock_steps = _shocks(farmers, outages, random)
    gone, evicted, late = _lived(farmers, max_misses, outages, random)
    return History(
        groups=groups,
        online=outages.online,
        gone=gone,
        evicted=evicted,
        late=late,
        shock_steps=shock_steps,
    )


class _Outages:
    """When groups of seats are cut off, and which never come back from it."""

    def __init__(self, steps: int, seats: int, random: np.random.Generator) -> None:
        self.steps = steps
        self.departures: dict[int, list[Ints]] = {}
        self._random = random
        self.online = np.ones((steps, seats), dtype=np.bool_)
        """[step, seat]: who is not cut off."""

    def add(self, kind: Outages, groups: list[Ints]) -> None:
        """Outages of each of these groups, at a constant rate."""
        mean = len(groups) * kind.per_year * self.steps / (365 * STEPS_PER_DAY)
        count = int(self._random.poisson(mean))
        starts = self._random.integers(0, self.steps, count)
        hours = self._random.exponential(kind.mean_hours, count)
        lengths = np.floor(hours / _HOURS_PER_STEP + self._random.random(count)).astype(np.int64)
        final = self._random.random(count) < kind.for_good
        which = self._random.integers(0, len(groups), count)
        for start in np.unique(starts[final]).tolist():
            leaving = [groups[group] for group in which[final & (starts == start)]]
            self.departures.setdefault(start, []).extend(leaving)
        lasting = ~final & (lengths > 0)
        struck = [groups[group] for group in which[lasting]]
        if struck:
            sizes = [len(seats) for seats in struck]
            self._cut(
                np.repeat(starts[lasting], sizes), np.repeat(lengths[lasting], sizes), np.concatenate(struck)
            )

    def strike(self, start: int, steps: int | None, seats: Ints) -> None:
        """Cut these off at once, for good if `steps` is None."""
        if steps is None:
            self.departures.setdefault(start, []).append(seats)
        else:
            self._cut(np.full(len(seats), start), np.full(len(seats), steps), seats)

    def _cut(self, starts: Ints, lengths: Ints, seats: Ints) -> None:
        """Each of these seats is off for so many steps."""
        lengths = np.minimum(starts + lengths, self.steps) - starts
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        self.online[np.repeat(starts, lengths) + within, np.repeat(seats, lengths)] = False


def _shocks(farmers: Farmers, outages: _Outages, random: np.random.Generator) -> tuple[int, ...]:
    first, last = (round(outages.steps * share) for share in _CALM)
    steps = np.sort(random.integers(first, last, farmers.shocks))
    for step in steps.tolist():
        struck = random.permutation(farmers.count)[: round(farmers.count * farmers.shock_share)]
        length = None if farmers.shock_for_good else round(farmers.shock_hours / _HOURS_PER_STEP)
        outages.strike(step, length, struck)
    return tuple(steps.tolist())


def _lived(
    farmers: Farmers, max_misses: int, outages: _Outages, random: np.random.Generator
) -> tuple[list[Ints], list[Ints], Bools]:
    """Day by day: farmers leave, days are missed, farmers are evicted, others come."""
    online = outages.online
    nobody = np.array([], dtype=np.int64)
    gone, evicted = [nobody] * outages.steps, [nobody] * outages.steps
    leaves = _first_departures(farmers, random)
    away = np.zeros(farmers.count, dtype=np.bool_)
    misses = np.zeros(farmers.count, dtype=np.int64)
    late = np.zeros((outages.steps // STEPS_PER_DAY, farmers.count), dtype=np.bool_)
    for first in range(0, outages.steps, STEPS_PER_DAY):
        after = first + STEPS_PER_DAY
        late[first // STEPS_PER_DAY] = misses > 0
        online[first:after, away] = False
        for step in range(first, after):
            for seats in outages.departures.get(step, ()):
                leaves[seats] = np.minimum(leaves[seats], step)
            leaving = np.flatnonzero((leaves < step + 1) & ~away)
            if len(leaving):
                gone[step] = leaving
                away[leaving] = True
                online[step:after, leaving] = False
        missed = ~online[first:after].any(axis=0)
        misses[:] = np.where(missed, misses + 1, np.maximum(misses - 1, 0))
        out = _evicted(farmers, max_misses, away, misses, random)
        away[out] = False
        misses[out] = 0
        new = out[leaves[out] < after]
        leaves[new] = after + _lifetimes(farmers, len(new), random)
        if after < outages.steps:
            evicted[after] = out
    return gone, evicted, late


def _evicted(
    farmers: Farmers, max_misses: int, away: Bools, misses: Ints, random: np.random.Generator
) -> Ints:
    """Who is evicted after this day."""
    if farmers.memoryless_eviction_days is not None:
        chance = 1 - exp(-1 / farmers.memoryless_eviction_days)
        return np.flatnonzero(away & (random.random(farmers.count) < chance))
    return np.flatnonzero(misses >= max_misses)


def _first_departures(farmers: Farmers, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """When the farmers of today leave, in a network that has been there for some lifetimes."""
    leaves = -_SETTLING_LIFETIMES * farmers.lifetime_days * STEPS_PER_DAY * np.ones(farmers.count)
    while (early := leaves < 0).any():
        leaves[early] += _lifetimes(farmers, int(early.sum()), random)
    return leaves


def _lifetimes(farmers: Farmers, count: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """In steps."""
    scale = farmers.lifetime_days * STEPS_PER_DAY / gamma(1 + 1 / farmers.lifetime_shape)
    return scale * random.weibull(farmers.lifetime_shape, count)

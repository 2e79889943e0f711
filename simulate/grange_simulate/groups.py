"""Which farmers fail together: the same subnet, the same operator, the same region.

Decides the sizes of the groups and who is in them. Leaves when they fail to `history`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grange_simulate.assumptions import Farmers

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The group of every farmer's seat, counted from 0. Anyone who takes over a seat takes over its
    groups."""

    subnet: Ints
    operator: Ints
    region: Ints

    @classmethod
    def drawn(cls, farmers: Farmers, random: np.random.Generator) -> "Groups":
        """Subnets lie within regions; operators run farmers anywhere."""
        seats = np.arange(farmers.count)
        subnet = seats // max(1, farmers.subnet_size)
        weights = 1.0 / np.arange(1, farmers.regions + 1)
        region_of_subnet = random.choice(farmers.regions, size=subnet[-1] + 1, p=weights / weights.sum())
        return cls(subnet=subnet, operator=_operators(farmers, random), region=region_of_subnet[subnet])


def members(group: Ints) -> list[Ints]:
    """The seats of each group."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _operators(farmers: Farmers, random: np.random.Generator) -> Ints:
    """Most run one. The others have sizes like 1, 1/2, 1/3, ... of the largest, as far as the share goes."""
    operator = np.arange(farmers.count)
    shared = random.permutation(farmers.count)[: round(farmers.count * farmers.shared_operators)]
    largest = max(2, round(farmers.count * farmers.largest_operator))
    taken, rank = 0, 1
    while taken < len(shared):
        size = max(2, largest // rank)
        mine = shared[taken : taken + size]
        operator[mine] = mine[0]
        taken, rank = taken + size, rank + 1
    return np.unique(operator, return_inverse=True)[1].astype(np.int64)

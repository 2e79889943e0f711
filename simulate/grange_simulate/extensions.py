"""When renters extend their orders: each once in so many days, on a day of its own.

Decides whose turn it is. Leaves what an extension does to `network`.
"""

import numpy as np

from grange_simulate.groups import Ints

_NEVER = np.iinfo(np.int64).max


class Extensions:
    """Of all orders of one network. What is due stays so until it is `extended`: renters try every day."""

    def __init__(self, orders: int, every_days: int, random: np.random.Generator) -> None:
        """`every_days` 0 is never."""
        self._every_days = every_days
        self._next_day: Ints = (
            random.integers(1, every_days + 1, orders) if every_days else np.full(orders, _NEVER)
        )

    def due(self, day: int) -> Ints:
        """The orders to extend."""
        orders: Ints = np.flatnonzero(self._next_day <= day)
        return orders

    def extended(self, orders: Ints) -> None:
        """These have been, and will be due again."""
        self._next_day[orders] += self._every_days

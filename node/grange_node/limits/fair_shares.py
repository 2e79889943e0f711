"""Sharing out what there is little of, so that no network keeps another from it.

    shares = FairShares(200)
    with shares.held(network, 1, TooBusy("too many ask at once")):
        ...

A network may take more only while it then has no more than what was left. So one alone gets half, two get a
third each, ten get an eleventh each, and as long as anything is left anyone who has nothing gets some of it:
to shut out others takes as many networks as there is to share out. With a `weight` of 3 one alone gets three
quarters, two get three sevenths each, and so on.

`Allowance` is the same for what is used up, such as questions to the chain: what was taken is given back with
time, to all networks alike. Arithmetic in memory; what counts as a network says `networks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from grange_node.limits.networks import Network

_NOTHING: Final = 1e-6
"""Less than this is left over from adding up fractions."""


class FairShares:
    """Amounts by network, within one limit for all."""

    def __init__(self, limit: int, weight: int = 1) -> None:
        """A network may have up to `weight` times what is left."""
        self.limit = limit
        self._weight = weight
        self._taken: dict[Network, float] = {}
        self._total = 0.0

    @property
    def total(self) -> float:
        """What all have."""
        return self._total

    def taken(self, network: Network) -> float:
        """What one has."""
        return self._taken.get(network, 0.0)

    def may_take(self, network: Network, amount: float = 1) -> bool:
        """Whether a network may have so much more."""
        left = self.limit - self._total + _NOTHING
        return amount <= left and self.taken(network) + amount <= self._weight * left

    def most(self, network: Network) -> float:
        """How much more a network may have, if it takes that little by little."""
        left = self.limit - self._total
        return max(0.0, (self._weight * left - self.taken(network)) / (self._weight + 1))

    def take(self, network: Network, amount: float = 1) -> None:
        """Count it, whatever the limit says."""
        if not amount:
            return
        self._taken[network] = self.taken(network) + amount
        self._total += amount

    def add(self, network: Network, amount: float) -> None:
        """Take, or give back what is below zero, whatever the limit says."""
        if amount >= 0:
            self.take(network, amount)
        else:
            self.give_back(network, -amount)

    def give_back(self, network: Network, amount: float = 1) -> None:
        """Count so much less of what the network has."""
        amount = min(amount, self.taken(network))
        left = self.taken(network) - amount
        if left > _NOTHING:
            self._taken[network] = left
        else:
            self._taken.pop(network, None)
        self._total = self._total - amount if self._taken else 0.0

    @contextmanager
    def held(self, network: Network, amount: float, refusal: Exception) -> Iterator[None]:
        """Have it while the body runs. Raises `refusal` if the network may not."""
        if not self.may_take(network, amount):
            raise refusal
        self.take(network, amount)
        try:
            yield
        finally:
            self.give_back(network, amount)

    def give_back_alike(self, amount: float) -> None:
        """Give back so much in all, the same to each network as long as it has any."""
        while amount > _NOTHING and self._taken:
            part = min(amount / len(self._taken), *self._taken.values())
            amount -= part * len(self._taken)
            for network in list(self._taken):
                self.give_back(network, part)


class Allowance:
    """So many at once after a quiet time, and then so many a second."""

    def __init__(self, in_a_row: int, per_second: float, clock: Callable[[], float]) -> None:
        """`clock` gives seconds."""
        self._shares = FairShares(in_a_row)
        self._per_second = per_second
        self._clock = clock
        self._counted_at = clock()

    def may_use(self, network: Network) -> bool:
        """Count one use, unless the network, or all together, had their part for now."""
        now = self._clock()
        self._shares.give_back_alike(max(0.0, now - self._counted_at) * self._per_second)
        self._counted_at = now
        if not self._shares.may_take(network):
            return False
        self._shares.take(network)
        return True

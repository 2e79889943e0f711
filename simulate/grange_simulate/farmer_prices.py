"""What farmers ask for a slot, what slots are kept for, and what mandates pay at most: as multiples of the
usual price on the first day.

Decides who asks what, who takes a slot at its rate, and for whom a mandate pays too little. Leaves who is
there, and who fits an order, to `network`. Who leaves is followed by one that asks the same.
"""

import numpy as np

from grange_simulate.assumptions import DAYS_PER_YEAR, Prices
from grange_simulate.groups import Ints
from grange_simulate.history import Bools
from grange_simulate.lines import Floats


class FarmerPrices:
    """Of all farmers of one network."""

    def __init__(self, prices: Prices, farmers: int, random: np.random.Generator) -> None:
        self._rise = prices.rise_per_year
        self._first = np.ones(farmers)
        if prices.spread:
            self._first = np.exp(prices.spread * random.standard_normal(farmers))
        self._all_the_same = not (prices.spread or prices.rise_per_year)

    def on(self, day: int) -> Floats:
        """What each seat asks on a day."""
        asked: Floats = self._first * (1 + self._rise) ** (day / DAYS_PER_YEAR)
        return asked

    def draw(self, there: Ints, rates: Floats, day: int, random: np.random.Generator) -> Ints:
        """For each slot of such a rate one of the seats `there` that asks no more, by chance; -1 where none
        does."""
        if self._all_the_same:
            return random.choice(there, len(rates))
        asked = self.on(day)[there]
        order = np.argsort(asked, kind="stable")
        fitting = np.searchsorted(asked[order], rates, side="right")
        places = np.floor(random.random(len(rates)) * fitting).astype(np.int64)
        seats: Ints = np.where(fitting > 0, there[order[places]], -1)
        return seats


class Rates:
    """Of all slots of one network, and the highest price of each order's mandate. Who takes over a slot has
    it at its rate; who is extended has what it asks then."""

    def __init__(self, prices: FarmerPrices, holders: Ints, headroom: float) -> None:
        """`holders` is `[order, slot]`, all placed on the first day; `headroom` is a share."""
        self._farmer_prices = prices
        self._headroom = headroom
        self._rates = prices.on(0)[holders]
        self._highest = self._with_headroom(self._rates)

    def of(self, slots: Ints) -> Floats:
        """Of these slots, numbered through as in `orders`."""
        rates: Floats = self._rates.ravel()[slots]
        return rates

    def too_dear(self, orders: Ints, kept: Ints, day: int) -> Bools:
        """Which of those who keep these orders, `[order, slot]`, ask more than the mandate pays."""
        dear: Bools = self._farmer_prices.on(day)[kept] > self._highest[orders, None]
        return dear

    def agree(self, orders: Ints, kept: Ints, agreed: Bools, day: int) -> None:
        """Those of `kept` who agreed have what they ask now; the others' slots stay at their rates."""
        self._rates[orders] = np.where(agreed, self._farmer_prices.on(day)[kept], self._rates[orders])

    def bound(self, orders: Ints) -> None:
        """Their renters give new mandates for these orders, for what their slots cost now."""
        self._highest[orders] = self._with_headroom(self._rates[orders])

    def _with_headroom(self, rates: Floats) -> Floats:
        highest: Floats = (1 + self._headroom) * rates.max(axis=1)
        return highest

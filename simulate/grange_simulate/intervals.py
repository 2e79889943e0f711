"""What a count of losses says about their probability: 95 % confidence intervals.

Orders of one network share its farmers and its outages, so a thousand of them say less than a thousand
networks would; networks are independent. So:

    some were lost    Clopper-Pearson with the sample that so many independent orders would be: their number
                      divided by the design effect, which is how much more the networks differ than chance
                      would have it (Korn and Graubard, Survey Methodology 24, 1998, "Confidence intervals
                      for proportions with small expected number of positive counts estimated from survey
                      data")
    none was lost     nothing shows how alike the orders of a network are. The upper end is that of Clopper
                      and Pearson for independent orders; `one_fate_high` is the other extreme, in which all
                      orders of a network are lost or kept together
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, expm1, inf, lgamma, log, log1p, sqrt
from typing import Final

from grange.errors import Misuse

LEVEL: Final = 0.95
_TINY = 1e-300
_LAST_DIGIT = 1e-15
_FRACTION_STEPS = 2000
_BISECTIONS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A probability, as far as it is known."""

    probability: float
    low: float
    high: float
    losses: int
    orders: int
    design_effect: float | None
    """None if nothing was lost."""
    one_fate_high: float | None
    """The upper end if the orders of a network all shared one fate; only where nothing was lost."""

    def per_year(self, years: float) -> "Estimate":
        """Of one year, if this is of several: the same risk in each."""

        def yearly(probability: float) -> float:
            return 1.0 if probability >= 1 else abs(expm1(log1p(-probability) / years))

        fate = self.one_fate_high
        return Estimate(
            probability=yearly(self.probability),
            low=yearly(self.low),
            high=yearly(self.high),
            losses=self.losses,
            orders=self.orders,
            design_effect=self.design_effect,
            one_fate_high=None if fate is None else yearly(fate),
        )


def in_percent(estimate: Estimate) -> str:
    """As tables show it: with its interval, or its upper end where nothing was lost."""
    low, middle, high = (100 * share for share in (estimate.low, estimate.probability, estimate.high))
    if estimate.losses == 0:
        return f"< {short_percent(high)}"
    return f"{short_percent(middle)} ({short_percent(low)}–{short_percent(high)})"


def short_percent(percent: float) -> str:
    """Two digits; nothing below a hundred thousandth, where only the counts of losses are small."""
    return f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}" if percent >= 1e-5 else "0"


def estimated(losses: Sequence[int], orders: Sequence[int]) -> Estimate:
    """From the losses among so many orders in each of several independent networks."""
    lost, count, networks = sum(losses), sum(orders), len(losses)
    if count < 1 or lost > count or networks != len(orders):
        raise Misuse(f"{lost} losses among {count} orders in {networks} networks")
    share = lost / count
    if lost == 0:
        low, high = clopper_pearson(0, count)
        _, fate = clopper_pearson(0, networks)
        return Estimate(
            probability=0.0,
            low=low,
            high=high,
            losses=0,
            orders=count,
            design_effect=None,
            one_fate_high=fate,
        )
    effect = 1.0
    degrees = networks - 1
    sample: float = count
    if degrees and lost < count:
        squares = sum((y - share * m) ** 2 for y, m in zip(losses, orders, strict=True))
        effect = max(1.0, networks / degrees * squares / (count * share * (1 - share)))
        sample = count / effect * (t_quantile(count - 1) / t_quantile(degrees)) ** 2
    low, high = clopper_pearson(share * sample, sample)
    return Estimate(
        probability=share,
        low=low,
        high=high,
        losses=lost,
        orders=count,
        design_effect=effect,
        one_fate_high=None,
    )


def clopper_pearson(losses: float, orders: float) -> tuple[float, float]:
    """The least and the greatest probability that explain so many losses. The counts need be no integers."""
    tail = (1 - LEVEL) / 2
    low = 0.0 if losses <= 0 else beta_quantile(tail, losses, orders - losses + 1)
    high = 1.0 if losses >= orders else beta_quantile(1 - tail, losses + 1, orders - losses)
    return low, high


def t_quantile(degrees: float) -> float:
    """Student's t: what LEVEL of all lies within."""
    share = beta_quantile(1 - LEVEL, degrees / 2, 0.5)
    return sqrt(degrees * (1 - share) / share)


def beta_quantile(share: float, a: float, b: float) -> float:
    """The x below which this share of the beta distribution lies; by bisection, so to all digits."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if beta_share(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def beta_share(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function, by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_share(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    return front * _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """1 / (1 + d1 / (1 + d2 / ...)), by Lentz's method."""
    c, d, value = inf, 1.0, 1.0
    for step in range(1, _FRACTION_STEPS):
        m = step // 2
        if step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + term * d or _TINY)
        c = 1 + term / c or _TINY
        value *= c * d
        if abs(c * d - 1) < _LAST_DIGIT:
            break
    return value

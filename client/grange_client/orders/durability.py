"""How likely an order is lost before it ends, as far as its farmers and our assumptions tell. Pure.

    n sound --n a--> n-1 --(n-1) a--> ... --(k+1) a--> k --k a--> lost
            <--b----     <----2 b---      <--(n-k) b--

Each sound slot is lost at the constant rate a, independently of the others; each missing one is rebuilt at
the rate b; fewer than k sound ones are lost for good. Solved by uniformization: the chain jumps at the
fastest rate of all, so the number of jumps is Poisson, and every term is positive.

Decides the assumptions: farmers stay LIFETIME_EPOCHS on average; a slot is missing until its farmer has
missed what makes it lapse and the auction for it is over; of farmers that are late so many come back as stay
away. Farmers that fail together are not in it, so the truth is worse where an order's farmers share a
provider or an owner.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import comb, exp, lgamma, log

from grange.types import Epoch, FarmerId, Parameters

LIFETIME_EPOCHS = 540
"""A year and a half, in epochs of a day."""
LATE_STAYS_AWAY = 0.5
"""The probability that a farmer that missed its last epoch is gone for good: most outages end, but a farmer
that left looks just like this for its first epochs."""
PRECISION = 1e-14


class SlotState(StrEnum):
    """How a slot is."""

    LIVE = "live"
    LATE = "late"
    """Its farmer missed the last epoch, or more, and has not lapsed."""
    VACANT = "vacant"
    """Its farmer lapsed or gave it up, and nobody has begun to replace it as far as the chain shows."""
    REPAIRING = "repairing"
    """It was given to another farmer, who is not yet audited for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotReport:
    """One slot: who has it, and how it is."""

    slot: int
    farmer: FarmerId
    state: SlotState


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderHealth:
    """An order's slots, and what they mean."""

    k: int
    slots: tuple[SlotReport, ...]
    epochs_left: int
    loss: float
    """The probability that fewer than k slots are left before the end, as the model has it."""

    def count(self, state: SlotState) -> int:
        """How many slots are in a state."""
        return sum(report.state is state for report in self.slots)

    @property
    def spares(self) -> int:
        """How many more slots may fail; below zero what is there does not give the data back."""
        return self.count(SlotState.LIVE) + self.count(SlotState.REPAIRING) - self.k


def estimate_health(
    slots: tuple[SlotReport, ...], *, k: int, end: Epoch, now: Epoch, parameters: Parameters
) -> OrderHealth:
    """What the state of an order's slots means for it."""
    sound = sum(report.state in (SlotState.LIVE, SlotState.REPAIRING) for report in slots)
    late = sum(report.state is SlotState.LATE for report in slots)
    left = max(0, end - now)

    def loss(sound: int) -> float:
        return loss_probability(
            k=k,
            n=len(slots),
            sound=sound,
            epochs=left,
            lifetime_epochs=LIFETIME_EPOCHS,
            repair_epochs=parameters.max_misses + parameters.auction_epochs,
        )

    back = 1 - LATE_STAYS_AWAY
    chances = [comb(late, i) * back**i * LATE_STAYS_AWAY ** (late - i) for i in range(late + 1)]
    return OrderHealth(
        k=k,
        slots=slots,
        epochs_left=left,
        loss=min(1.0, sum(chance * loss(sound + i) for i, chance in enumerate(chances))),
    )


def loss_probability(
    *, k: int, n: int, sound: int, epochs: float, lifetime_epochs: float, repair_epochs: float | None
) -> float:
    """That fewer than k of n slots are left at some time in so many epochs, beginning with `sound` of them.

    A missing slot is rebuilt after `repair_epochs` on average, None for never.
    """
    if sound < k:
        return 1.0
    missing = range(n - k + 1)
    down = [(n - m) / lifetime_epochs for m in missing]
    up = [m / repair_epochs if repair_epochs else 0.0 for m in missing]
    fastest = max(d + u for d, u in zip(down, up, strict=True))
    mean_jumps = fastest * epochs
    state = [0.0] * (len(missing) + 1)
    state[n - sound] = 1.0
    lost, seen, jumps = 0.0, 0.0, 0
    while seen < 1 - PRECISION:
        weight = _poisson(jumps, mean_jumps)
        lost += weight * state[-1]
        seen += weight
        if weight < PRECISION / (1 + mean_jumps) and jumps > mean_jumps:
            break
        state = _jumped(state, down, up, fastest)
        jumps += 1
    return min(1.0, lost)


def _jumped(state: list[float], down: list[float], up: list[float], fastest: float) -> list[float]:
    moved = [0.0] * len(state)
    moved[-1] = state[-1]
    for missing, (leave, rebuild) in enumerate(zip(down, up, strict=True)):
        here = state[missing]
        moved[missing] += here * (1 - (leave + rebuild) / fastest)
        moved[missing + 1] += here * leave / fastest
        if missing:
            moved[missing - 1] += here * rebuild / fastest
    return moved


def _poisson(count: int, mean: float) -> float:
    return exp(count * log(mean) - mean - lgamma(count + 1)) if mean > 0 else float(count == 0)

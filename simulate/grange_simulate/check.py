"""The simulation beside the closed form: independent farmers, constant rates, repair that costs nothing.

Decides which cases are compared: for every code a time to repair with which enough orders are lost to count
them. The same code runs as for everything else; only its assumptions are such that the answer is known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp

from grange_simulate.assumptions import (
    STEPS_PER_DAY,
    Assumptions,
    Code,
    Farmers,
    Lines,
    Outages,
    Prices,
)
from grange_simulate.closed_form import loss_probability
from grange_simulate.intervals import Estimate, estimated
from grange_simulate.network import simulated

_YEARS = 0.5
_NEVER = Outages(per_year=0.0, mean_hours=1.0)
_CASES = (
    (Code(k=4, n=8), 60.0, 10.0),
    (Code(k=10, n=20), 60.0, 22.0),
    (Code(k=10, n=30), 60.0, 60.0),
    (Code(k=29, n=80), 60.0, 68.0),
    (Code(k=10, n=30), 200.0, None),
)
"""Code, days that farmers stay, days until a slot is rebuilt; None if nobody does it."""
_FAST = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One case."""

    code: Code
    lifetime_days: float
    repair_days: float | None
    """None: nobody repairs."""
    simulated: Estimate
    exact: float

    @property
    def agrees(self) -> bool:
        """Whether the exact probability lies in the interval of the simulated one."""
        return self.simulated.low <= self.exact <= self.simulated.high


def compared(seed: int, *, networks: int = 8, orders: int = 250, farmers: int = 2000) -> Iterator[Comparison]:
    """All cases, one after the other."""
    for code, lifetime_days, repair_days in _CASES:
        assumptions = _independent(
            lifetime_days, repair_days, networks=networks, orders=orders, farmers=farmers
        )
        tallies = [simulated(assumptions, (code,), seed, network)[0] for network in range(networks)]
        waits = None if repair_days is None else _mean_wait_days(repair_days)
        yield Comparison(
            code=code,
            lifetime_days=lifetime_days,
            repair_days=repair_days,
            simulated=estimated([one.losses for one in tallies], [one.orders for one in tallies]),
            exact=loss_probability(
                code, days=assumptions.days, lifetime_days=lifetime_days, repair_days=waits
            ),
        )


def _mean_wait_days(eviction_days: float) -> float:
    """From a farmer's leaving until its slot is rebuilt, in the simulation's steps.

    It leaves in any step of a day and is evicted after this day or a later one, each with the same chance;
    the pass takes a step.
    """
    rest_of_day = (1 + 1 / STEPS_PER_DAY) / 2
    further_days = 1 / (1 - exp(-1 / eviction_days)) - 1
    return rest_of_day + further_days + 1 / STEPS_PER_DAY


def _independent(
    lifetime_days: float, repair_days: float | None, *, networks: int, orders: int, farmers: int
) -> Assumptions:
    """Nobody fails together; what is vacant is rebuilt in the next step, or never if it pays nothing."""
    alone = Farmers(
        count=farmers,
        lifetime_days=lifetime_days,
        lifetime_shape=1.0,
        alone=_NEVER,
        subnet=_NEVER,
        operator=_NEVER,
        region=_NEVER,
        shocks=0,
        repairing=1.0,
        memoryless_eviction_days=repair_days or 1.0,
    )
    price = 1.0 if repair_days is None else 0.0
    return Assumptions(
        years=_YEARS,
        orders=orders,
        order_gib=1.0,
        networks=networks,
        farmers=alone,
        lines=Lines(upload_mbit=_FAST, download_mbit=_FAST, spread=0.0, repair_share=1.0),
        prices=Prices(rent_per_tib_month=0.0, egress_per_tib=price, gas_once=price, gas_per_slot=price),
    )

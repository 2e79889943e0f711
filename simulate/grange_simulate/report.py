"""What comes out of the tallies of several networks: probabilities, traffic, money; as values and as JSON.

Decides what is made of the counts, and the form of the JSON. Leaves intervals to `intervals`.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

from grange.units import GIB
from grange_simulate.assumptions import (
    DAYS_PER_MONTH,
    STEPS_PER_DAY,
    TOKEN_PARTS,
    Assumptions,
    Code,
)
from grange_simulate.check import Comparison
from grange_simulate.intervals import LEVEL, Estimate, estimated
from grange_simulate.network import simulated
from grange_simulate.tally import Tally

_TIB = 1024 * GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One code. Traffic is in TiB and money in tokens, for each TiB stored for a month, before coding."""

    code: Code
    loss_per_year: Estimate
    """That an order is lost within a year, shocks included."""
    calm_loss_per_year: Estimate
    """Not counting what is lost in the two months after a shock."""
    shock_loss: Estimate | None
    """That an order is lost in the two months after a shock; None without shocks."""
    read_tib: float
    wasted_tib: float
    """Of what is read, what repairers read that came too late."""
    written_tib: float
    read_by_renters_tib: float
    """What renters read when they extend, to fill vacant slots."""
    repair_cost: float
    """What repairers pay for egress and gas."""
    bounties: float
    """What repairers are paid, from the stakes of those who left."""
    rent: float
    """What the renter pays for the slots that are kept."""
    slots_per_pass: float
    vacant_days: float
    """How long a slot is vacant before it is refilled, on average; the days before eviction are not in it."""
    live_slots: float
    unpaid: float
    """The part of the time in which an order is in danger and a repair does not pay unless another slot falls
    vacant."""
    unpaid_losses: int
    """Orders lost in such a time."""
    passes: int
    broken_passes: int
    filled_by_renters: int
    """Slots."""
    ended_per_year: Estimate
    """That an order is over within a year since its mandate could not be used; counted as lost, too."""
    left_out: float
    """Slots that begin vacant when an order is extended by mandate, on average."""


def run(assumptions: Assumptions, codes: Sequence[Code], seed: int, *, workers: int) -> list[Result]:
    """Simulate all networks under all codes. How many workers do it changes nothing but the time it takes."""
    one = partial(simulated, assumptions, tuple(codes), seed)
    numbers = range(assumptions.networks)
    if min(workers, len(numbers)) == 1:
        networks = [one(number) for number in numbers]
    else:
        with ProcessPoolExecutor(min(workers, len(numbers)), mp_context=get_context("spawn")) as pool:
            networks = list(pool.map(one, numbers))
    return [_result(assumptions, tallies) for tallies in zip(*networks, strict=True)]


def as_json(assumptions: Assumptions, results: Sequence[Result], seed: int) -> dict[str, Any]:
    """All of it, with the assumptions that it follows from."""
    return {
        "seed": seed,
        "confidence": LEVEL,
        "assumptions": asdict(assumptions),
        "codes": [_with_code(asdict(one)) for one in results],
    }


def comparison_as_json(comparison: Comparison) -> dict[str, Any]:
    """One case beside its closed form."""
    return {**_with_code(asdict(comparison)), "agrees": comparison.agrees}


def _with_code(fields: dict[str, Any]) -> dict[str, Any]:
    """k and n first, not one level down."""
    return {**fields.pop("code"), **fields}


def _result(assumptions: Assumptions, tallies: Sequence[Tally]) -> Result:
    orders = [one.orders for one in tallies]
    shock_at_risk = [one.shock_at_risk for one in tallies]
    in_shock = [one.shock_losses for one in tallies]
    order_days = sum(one.order_days for one in tallies)
    tib_months = max(1, order_days) / DAYS_PER_MONTH * assumptions.order_gib * GIB / _TIB
    rebuilt, passes = sum(one.rebuilt for one in tallies), sum(one.passes for one in tallies)
    live = sum(one.slot_days for one in tallies) / max(1, order_days)
    code = tallies[0].code
    return Result(
        code=code,
        loss_per_year=estimated([one.losses for one in tallies], orders).per_year(assumptions.years),
        calm_loss_per_year=estimated([one.losses - one.shock_losses for one in tallies], orders).per_year(
            assumptions.years
        ),
        shock_loss=estimated(in_shock, shock_at_risk) if sum(shock_at_risk) else None,
        read_tib=sum(one.read_bytes for one in tallies) / _TIB / tib_months,
        wasted_tib=sum(one.wasted_bytes for one in tallies) / _TIB / tib_months,
        written_tib=sum(one.written_bytes for one in tallies) / _TIB / tib_months,
        read_by_renters_tib=sum(one.read_by_renters_bytes for one in tallies) / _TIB / tib_months,
        repair_cost=sum(one.cost for one in tallies) / TOKEN_PARTS / tib_months,
        bounties=sum(one.bounties for one in tallies) / TOKEN_PARTS / tib_months,
        rent=assumptions.prices.rent_per_tib_month * live / code.k,
        slots_per_pass=rebuilt / max(1, passes),
        vacant_days=sum(one.vacant_steps for one in tallies) / STEPS_PER_DAY / max(1, rebuilt),
        live_slots=live,
        unpaid=sum(one.unpaid_days for one in tallies) / max(1, order_days),
        unpaid_losses=sum(one.unpaid_losses for one in tallies),
        passes=passes,
        broken_passes=sum(one.broken_passes for one in tallies),
        filled_by_renters=sum(one.filled_by_renters for one in tallies),
        ended_per_year=estimated([one.not_extended for one in tallies], orders).per_year(assumptions.years),
        left_out=sum(one.began_vacant for one in tallies) / max(1, sum(one.extended for one in tallies)),
    )

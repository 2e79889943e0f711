"""What a person has to be told: which reminders are due after a run.

    for alert in find_due(look, plan, outcome, memory, now_seconds=...): ...

Of what ends, REMINDER_DAYS before it does; at each of these once, and after a long silence only the last of
them. Each has a key; which channel has taken which key is remembered (`memory`), so nothing is told twice,
and what stops being due is forgotten. Pure.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from typing import Final

from grange.alerts import Alert
from grange.times import DAY_SECONDS, format_duration
from grange.types import OrderId
from grange.units import format_count, format_size
from grange_client.keep.description import format_date
from grange_client.keep.facts import KeptPack
from grange_client.keep.memory import KeepMemory
from grange_client.keep.plan import KeepPlan
from grange_client.keep.ports import KeepLook
from grange_client.mandates import warn_vault

REMINDER_DAYS: Final = (1, 3, 7, 14)
IDLE_DAYS: Final = 14
"""So long nobody kept a drive, before that is worth telling."""
MANY_FAILURES: Final = 3
"""So many runs in a row fail, before that is worth telling: a farmer or an endpoint may be away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepOutcome:
    """What became of a plan."""

    secured: frozenset[OrderId] = frozenset()
    """Packs that were extended, or whose chunks are elsewhere now."""
    failures: tuple[str, ...] = field(default=())


def find_due(
    look: KeepLook, plan: KeepPlan, outcome: KeepOutcome, memory: KeepMemory, *, now_seconds: int
) -> list[Alert]:
    """All that is due, told before or not. `memory` is as it was before the run, but for the failures."""
    return [
        *_ending(look, plan, outcome),
        *_short_of_money(look, plan),
        *_short_vault(look),
        *_over(look, plan),
        *_failing(look, outcome, memory),
        *_idle(look, memory, now_seconds),
        *_problems(look),
    ]


def reminder_days(days_left: float) -> int | None:
    """Which of REMINDER_DAYS is due so long before an end; None if none is."""
    return next((days for days in REMINDER_DAYS if days_left <= days), None)


def find_unsecured(look: KeepLook, plan: KeepPlan, secured: Collection[OrderId]) -> list[KeptPack]:
    """Packs that are needed and may be extended already, and end all the same: neither were they secured in
    this run, nor is it known that they are better written again a little later."""
    view, grid = look.view, look.view.parameters.grid_epochs
    waiting = {pack.pack for pack, _ in plan.waiting if pack.end - view.epoch > view.times.leaning_epochs}
    return [
        pack
        for pack in view.packs
        if pack.is_needed and 0 < pack.end - view.epoch <= grid and pack.pack not in waiting | {*secured}
    ]


def _ending(look: KeepLook, plan: KeepPlan, outcome: KeepOutcome) -> Iterator[Alert]:
    clock = look.clock
    ending = find_unsecured(look, plan, outcome.secured)
    for end, group in groupby(sorted(ending, key=lambda pack: pack.end), key=lambda pack: pack.end):
        packs = list(group)
        days = reminder_days(_days_to(look, end))
        if days is None:
            continue
        size = format_size(sum(pack.needed_bytes for pack in packs))
        left = format_duration(max(0.0, clock.time_of_epoch(end) - clock.timestamp))
        yield Alert(
            key=f"ends/{look.drive}/{end}/{days}",
            subject=f"Grange: a part of {look.drive} ends in {left}",
            text=(
                f"{format_count(len(packs), 'pack')} with {size} of the drive {look.drive} end on "
                f"{format_date(clock, end)}, and are not extended. What is in them is lost then.\n\n"
                "Keep the drive once more by hand to see why."
            ),
            facts={"drive": look.drive, "end_epoch": end, "days": days, "packs": len(packs)},
        )


def _short_of_money(look: KeepLook, plan: KeepPlan) -> Iterator[Alert]:
    if not plan.shortages:
        return
    end = min(shortage.pack.end for shortage in plan.shortages)
    missing = sum(shortage.missing for shortage in plan.shortages)
    amount = look.unit.rounded_up(missing)
    days = reminder_days(_days_to(look, end))
    yield Alert(
        key=f"money/{look.drive}/{end}/{days or 'early'}",
        subject=f"Grange: {amount} are missing to keep {look.drive}",
        text=(
            f"To keep the drive {look.drive} beyond {format_date(look.clock, end)}, {amount} are missing at "
            "least: in the wallet, or in its budget.\n\n"
            "`grange balance` shows what there is, and where to send more."
        ),
        facts={"drive": look.drive, "end_epoch": end, "missing": str(missing)},
    )


def _short_vault(look: KeepLook) -> Iterator[Alert]:
    view = look.view
    needed = sum(pack.mandate_cost for pack in view.packs if pack.is_needed and not pack.is_retired)
    for sentence in warn_vault(view.money.vault + view.money.wallet, needed, look.unit):
        yield Alert(
            key=f"vault/{look.drive}",
            subject=f"Grange: the vault may not pay the mandate of {look.drive}",
            text=sentence,
            facts={"drive": look.drive, "needed": str(needed)},
        )


def _over(look: KeepLook, plan: KeepPlan) -> Iterator[Alert]:
    if plan.over:
        packs = sorted(pack.pack for pack in plan.over)
        yield Alert(
            key=f"over/{look.drive}/{_digest(b''.join(packs))}",
            subject=f"Grange: a part of {look.drive} is over",
            text=(
                f"The orders of {format_count(len(packs), 'pack')} of the drive {look.drive} are over, and "
                "what is in them is needed. Farmers delete it within days.\n\n"
                "Run `grange put` again for what you still have, or fetch it now with `grange get`."
            ),
            facts={"drive": look.drive, "packs": len(packs)},
        )


def _failing(look: KeepLook, outcome: KeepOutcome, memory: KeepMemory) -> Iterator[Alert]:
    if outcome.failures and memory.failures >= MANY_FAILURES:
        yield Alert(
            key=f"failing/{look.drive}",
            subject=f"Grange: keeping {look.drive} fails",
            text="\n\n".join(
                (f"The last {memory.failures} runs did not do all that was due.", *outcome.failures)
            ),
            facts={"drive": look.drive, "failures": memory.failures},
        )


def _idle(look: KeepLook, memory: KeepMemory, now_seconds: int) -> Iterator[Alert]:
    if memory.last_run_seconds is None:
        return
    idle = now_seconds - memory.last_run_seconds
    if idle > IDLE_DAYS * DAY_SECONDS:
        ago = format_duration(idle)
        yield Alert(
            key=f"idle/{look.drive}/{memory.last_run_seconds}",
            subject=f"Grange: nobody has kept {look.drive} for {ago}",
            text=(
                f"All that was due for the drive {look.drive} was last done {ago} ago. That has to be done "
                "every few days, here or on another device; a mandate covers the time between."
            ),
            facts={"drive": look.drive, "seconds": idle},
        )


def _problems(look: KeepLook) -> Iterator[Alert]:
    for problem in look.problems:
        yield Alert(
            key=f"problem/{look.drive}/{_digest(problem.encode())}",
            subject=f"Grange: something is wrong with {look.drive}",
            text=problem,
            facts={"drive": look.drive},
        )


def _days_to(look: KeepLook, epoch: int) -> float:
    return (look.clock.time_of_epoch(epoch) - look.clock.timestamp) / DAY_SECONDS


def _digest(raw: bytes) -> str:
    return sha256(raw).hexdigest()[:16]

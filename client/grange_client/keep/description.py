"""A plan in words, for the dry run and the report: what is done, what it costs, why, and until when it lasts.

for line in describe_plan(plan, look): print(line)
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from grange.times import UNKNOWN_TIME, BlockClock
from grange.token_unit import TokenUnit
from grange.types import Epoch, OrderId
from grange.units import format_count, format_size
from grange_client.keep.facts import KeptPack
from grange_client.keep.plan import (
    Action,
    Close,
    Extend,
    GiveMandate,
    KeepPlan,
    Lapse,
    Repack,
    TakeOffMandate,
    TopUp,
)
from grange_client.keep.ports import KeepLook

SHOWN_ID_CHARACTERS: Final = 8
_MONTHS: Final = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def describe_plan(plan: KeepPlan, look: KeepLook) -> list[str]:
    """The lines of a dry run."""
    return [*_lines(plan, look)]


def describe_action(action: Action, clock: BlockClock, unit: TokenUnit) -> str:
    """One line."""
    match action:
        case Extend():
            pack = action.pack
            what = f"extend {name_of(pack)} ({_size_of(pack)}) to {format_date(clock, action.end)}"
        case Repack():
            one = action.repacking
            what = (
                f"write {format_count(len(one.packs), 'pack')} again as one of "
                f"{format_size(one.copied_bytes)}, until {format_date(clock, one.end)}"
            )
            if one.saving > 0:
                what += f", which saves {unit.rounded_down(one.saving)}"
        case Lapse():
            what = f"let {name_of(action.pack)} end on {format_date(clock, action.pack.end)}"
        case TakeOffMandate():
            what = f"take {format_count(len(action.packs), 'pack')} off the mandate"
        case GiveMandate():
            what = (
                f"give a mandate over {format_count(len(action.packs), 'pack')} until "
                f"{format_date(clock, action.until)}"
            )
        case Close():
            what = f"close order {short(action.order)}: {unit.rounded_down(action.refund)} come back"
        case TopUp():
            what = f"move {unit.rounded_up(action.amount)} into the vault"
    cost = f" for {unit.rounded_up(action.cost)}" if action.cost else ""
    return f"{what}{cost}: {action.reason}"


def describe_kept_until(plan: KeepPlan, clock: BlockClock) -> str:
    """How long the drive lasts once this is done: "kept until 25 Nov 2027"."""
    return describe_end(plan.kept_until, clock)


def describe_end(kept_until: Epoch | None, clock: BlockClock) -> str:
    """The same of the first date on which something ends that is needed."""
    if kept_until is None:
        return "nothing is kept"
    return f"kept until {format_date(clock, kept_until)}"


def format_date(clock: BlockClock, epoch: int) -> str:
    """The day on which an epoch begins, "25 Nov 2027", by this computer's time zone; on a chain whose epochs
    are short with the time of day."""
    try:
        moment = datetime.fromtimestamp(clock.time_of_epoch(epoch)).astimezone()
    except (OverflowError, OSError, ValueError):
        return UNKNOWN_TIME
    day = f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"
    return day if clock.epoch_seconds >= 3_600 else f"{day} {moment:%H:%M:%S}"


def name_of(pack: KeptPack) -> str:
    """What a pack is called."""
    return f"pack {short(pack.pack)}"


def short(one: OrderId) -> str:
    """The beginning of an id."""
    return one.hex()[:SHOWN_ID_CHARACTERS]


def _lines(plan: KeepPlan, look: KeepLook) -> Iterator[str]:
    clock, unit = look.clock, look.unit
    yield from (f"! {problem}" for problem in look.problems)
    for action in plan.actions:
        yield describe_action(action, clock, unit)
    for pack, why in plan.waiting:
        yield f"wait with {name_of(pack)}, which ends on {format_date(clock, pack.end)}: {why}"
    if plan.withdrawable:
        count = format_count(len(plan.withdrawable), "commit")
        yield f"withdraw {count} with the next pack: no rule keeps them"
    if plan.droppable:
        count = format_count(len(plan.droppable), "pack")
        yield f"forget {count} with the next pack: nothing in them is needed"
    for shortage in plan.shortages:
        yield (
            f"! {name_of(shortage.pack)} ({_size_of(shortage.pack)}) ends on "
            f"{format_date(clock, shortage.pack.end)}: {unit.rounded_up(shortage.missing)} are missing"
        )
    for pack in plan.over:
        yield f"! {name_of(pack)} ended on {format_date(clock, pack.end)}, and is needed"
    total = f", for {unit.rounded_up(plan.cost)}" if plan.cost else ""
    yield f"{look.drive} is {describe_kept_until(plan, clock)}{total}"


def _size_of(pack: KeptPack) -> str:
    return format_size(pack.needed_bytes)

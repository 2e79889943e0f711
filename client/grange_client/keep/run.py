"""One run of `grange keep`: look, decide, do it action by action, tell what has to be told.

    run = KeepRun(port, executors, memory_path=..., channels=channels)
    plan, look = await run.plan()         the dry run: nothing is done or remembered
    report = await run.step()

Between two actions the chain's epoch is asked for: if one has begun since the look, as it has when the
computer slept, everything is looked at again. What fails is noted and does not stop the rest; it is tried
again by the next run. A channel that fails is told of at the end and tried again. Killed anywhere, the next
run looks and goes on.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from grange.alerts import Alert, AlertChannel, AlertFailed
from grange.errors import GrangeError
from grange.executors import Executors
from grange.types import Epoch, OrderId
from grange_client.errors import Overtaken
from grange_client.keep.description import describe_action
from grange_client.keep.facts import NEVER, KeptPack
from grange_client.keep.jobs import repack_job
from grange_client.keep.memory import KeepMemory, read_memory, write_memory, year_begin
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
    make_plan,
)
from grange_client.keep.ports import KeepLook, KeepPort
from grange_client.keep.reminders import KeepOutcome, find_due, find_unsecured

MAX_LOOKS: Final = 16
"""So often a run looks again, because others were first or time went by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepReport:
    """What a run did."""

    look: KeepLook
    """The last one."""
    plan: KeepPlan
    """What that look showed to be due."""
    kept_until: Epoch | None
    """The first date on which something ends that is needed, as it is now; None if nothing is kept."""
    done: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    """What was due and did not succeed."""
    alerts: tuple[Alert, ...] = ()
    """What is due to be told, here too."""
    untold: tuple[str, ...] = ()
    """Channels that failed, and why."""
    unsecured: tuple[KeptPack, ...] = ()
    """What is needed and ends within a grid period, and could not be extended or written again."""
    next_seconds: float | None = None
    """In how long there may be something to do again."""

    @property
    def is_kept(self) -> bool:
        """Whether nothing that is needed is over, or ends soon."""
        return not (self.unsecured or self.plan.shortages or self.plan.over)


@dataclass(slots=True)
class _Progress:
    done: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """By what was tried."""
    finished: set[str] = field(default_factory=set)
    secured: set[OrderId] = field(default_factory=set)
    spent: list[tuple[Epoch, int]] = field(default_factory=list)


class KeepRun:
    """Keeps one drive. One run at a time: the caller holds the home's lock."""

    def __init__(
        self,
        port: KeepPort,
        executors: Executors,
        *,
        memory_path: Path,
        channels: Sequence[AlertChannel] = (),
        announce: Callable[[KeepPlan, KeepLook], None] = lambda plan, look: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`announce` is told each plan before it is carried out. `now` gives seconds since 1970."""
        self._port = port
        self._executors = executors
        self._path = memory_path
        self._channels = tuple(channels)
        self._announce = announce
        self._now = now

    async def plan(self) -> tuple[KeepPlan, KeepLook]:
        """What a run would do now. Raises the errors of the chain."""
        look = await self._port.look(await self._executors.on_disk(read_memory, self._path))
        return make_plan(look.view, look.policy), look

    async def step(self) -> KeepReport:
        """Do all that is due now. Raises the errors of the chain if the drive cannot be looked at; what
        single actions raise is in the report."""
        memory = await self._executors.on_disk(read_memory, self._path)
        progress = _Progress()
        plan, look = await self._carry_out(progress, memory)
        failures = tuple(progress.failures.values())
        memory = replace(memory, failures=memory.failures + 1 if failures else 0)
        outcome = KeepOutcome(secured=frozenset(progress.secured), failures=failures)
        now_seconds = int(self._now())
        alerts = find_due(look, plan, outcome, memory, now_seconds=now_seconds)
        memory, untold = await self._tell(memory, alerts)
        if not failures:
            memory = replace(memory, last_run_seconds=now_seconds)
        memory = _with_spent(memory, progress, year_begin(look.view.epoch, look.clock.epoch_seconds))
        try:
            await self._executors.on_disk(write_memory, self._path, memory)
        except OSError as error:
            untold += (f"What was done and told could not be remembered: {error.strerror or error}.",)
        return KeepReport(
            look=look,
            plan=plan,
            kept_until=_kept_until(plan, look, progress),
            done=tuple(progress.done),
            failures=failures,
            alerts=tuple(alerts),
            untold=untold,
            unsecured=tuple(find_unsecured(look, plan, progress.secured)),
            next_seconds=_seconds_to_next(plan, look),
        )

    async def _carry_out(self, progress: _Progress, memory: KeepMemory) -> tuple[KeepPlan, KeepLook]:
        """Look and do, until a look shows nothing that was not tried."""
        for _ in range(MAX_LOOKS):
            look = await self._port.look(_with_spent(memory, progress))
            plan = make_plan(look.view, look.policy)
            self._announce(plan, look)
            if await self._do_all(progress, plan, look, memory):
                break
        return plan, look

    async def _do_all(self, progress: _Progress, plan: KeepPlan, look: KeepLook, memory: KeepMemory) -> bool:
        """Whether all was tried, and nothing came of it that should be looked at."""
        is_done = True
        for action in plan.actions:
            key = _key_of(action)
            if isinstance(action, Lapse) or key in progress.failures or key in progress.finished:
                continue
            if await self._port.epoch() != look.view.epoch:
                return False
            shown = describe_action(action, look.clock, look.unit)
            try:
                await self._do(action, plan, look)
            except Overtaken:
                return False
            except GrangeError as error:
                progress.failures[key] = f"Could not {shown}.\n{error}"
                continue
            progress.finished.add(key)
            progress.done.append(shown)
            progress.spent.append((look.view.epoch, action.cost))
            if action.cost:
                # Who is killed between two actions must not have the money for the first one twice.
                with suppress(OSError):
                    await self._executors.on_disk(write_memory, self._path, _with_spent(memory, progress))
            progress.secured |= _secured_by(action)
            # There is a new pack.
            is_done = is_done and not isinstance(action, Repack)
        return is_done

    async def _do(self, action: Action, plan: KeepPlan, look: KeepLook) -> None:
        port = self._port
        match action:
            case Extend():
                await port.extend(action)
            case Repack():
                await port.place(repack_job(action, plan, look.view))
            case TakeOffMandate():
                await port.take_off_mandate([pack.order for pack in action.packs])
            case GiveMandate():
                await port.give_mandate([pack.order for pack in action.packs], action.until)
            case Close():
                await port.close(action.order)
            case TopUp():
                await port.top_up(action.amount)
            case Lapse():
                pass

    async def _tell(self, memory: KeepMemory, alerts: Sequence[Alert]) -> tuple[KeepMemory, tuple[str, ...]]:
        untold: dict[str, str] = {}
        memory = memory.with_due({alert.key for alert in alerts})
        for alert in alerts:
            for channel in self._channels:
                # One that failed a moment ago is not asked for every alert.
                if channel.name in memory.told.get(alert.key, ()) or channel.name in untold:
                    continue
                try:
                    await channel.send(alert)
                except AlertFailed as error:
                    untold[channel.name] = str(error)
                else:
                    memory = memory.with_told(alert.key, channel.name)
        return memory, tuple(untold.values())


def _with_spent(memory: KeepMemory, progress: _Progress, forget_before: Epoch = NEVER) -> KeepMemory:
    for epoch, amount in progress.spent:
        memory = memory.with_spent(epoch, amount, forget_before=forget_before)
    return memory


def _key_of(action: Action) -> str:
    """The same for the same action at another look."""
    match action:
        case Extend():
            return f"extend {action.pack.order.hex()}"
        case Repack():
            return "repack " + ",".join(sorted(pack.order.hex() for pack in action.repacking.packs))
        case Lapse():
            return f"lapse {action.pack.order.hex()}"
        case TakeOffMandate() | GiveMandate():
            return type(action).__name__ + ",".join(sorted(pack.order.hex() for pack in action.packs))
        case Close():
            return f"close {action.order.hex()}"
        case TopUp():
            return "top up"


def _kept_until(plan: KeepPlan, look: KeepLook, progress: _Progress) -> Epoch | None:
    """As planned, but for what did not succeed."""
    view = look.view
    missed = [
        pack.end
        for pack in view.packs
        if pack.is_needed and pack.end > view.epoch and pack.pack not in progress.secured
    ]
    ends = missed if progress.failures else []
    return min([*ends, *([plan.kept_until] if plan.kept_until else [])], default=None)


def _secured_by(action: Action) -> set[OrderId]:
    match action:
        case Extend():
            return {action.pack.pack}
        case Repack():
            return {pack.pack for pack in action.repacking.packs}
        case _:
            return set()


def _seconds_to_next(plan: KeepPlan, look: KeepLook) -> float | None:
    if plan.next_epoch is None:
        return None
    return max(0.0, look.clock.time_of_epoch(plan.next_epoch) - look.clock.timestamp)

"""Two devices back up and keep one drive, late, interrupted, at once: no chunk of a live commit is lost."""

from collections.abc import Coroutine
from typing import Any

import hypothesis.strategies as st
from client.keep.paper_market import Backup, PaperDevice, PaperMarket, chunk_id
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from grange_client.drive.retention import Retention
from grange_client.errors import Overtaken
from grange_client.keep.facts import KeepView
from grange_client.keep.jobs import PackJob, repack_job
from grange_client.keep.memory import KeepMemory
from grange_client.keep.plan import Extend, Repack, TakeOffMandate, make_plan
from grange_client.keep.policy import KeepPolicy

POLICY = KeepPolicy(retention=Retention(last=2))
NAMES = ("laptop", "desktop")
CHUNKS = [chunk_id(str(number)) for number in range(8)]


class Killed(Exception):
    """The process is gone."""


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives that waits for nothing: without an event loop, which would take most of the
    time."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")


async def keep_all(device: PaperDevice) -> None:
    """One run without alerts: as `KeepRun` does it."""
    for _ in range(8):
        look = await device.look(KeepMemory())
        plan = make_plan(look.view, device.policy)
        repacked = False
        try:
            for action in plan.actions:
                if isinstance(action, Extend):
                    await device.extend(action)
                elif isinstance(action, Repack):
                    await device.place(repack_job(action, plan, look.view))
                    repacked = True
                elif isinstance(action, TakeOffMandate):
                    await device.take_off_mandate([pack.order for pack in action.packs])
        except Overtaken:
            continue
        if not repacked:
            return


class TwoDevices(RuleBasedStateMachine):
    """Steps of two devices in any order. Every epoch one of them keeps the drive; all else is late."""

    def __init__(self) -> None:
        super().__init__()
        self.market = PaperMarket()
        self.devices = {name: PaperDevice(self.market, name, policy=POLICY) for name in NAMES}
        self.backups: dict[str, Backup] = {}
        self.jobs: dict[str, tuple[PackJob, Any]] = {}
        self.commits = 0

    @initialize()
    def first_backup(self) -> None:
        run(self.devices["laptop"].back_up("first", CHUNKS))

    @rule(name=st.sampled_from(NAMES), wanted=st.frozensets(st.sampled_from(CHUNKS), min_size=1))
    def begin_backup(self, name: str, wanted: frozenset[Any]) -> None:
        self.commits += 1
        self.backups[name] = self.devices[name].begin_backup(f"{name} {self.commits}", wanted)

    @precondition(lambda self: self.backups)
    @rule(name=st.sampled_from(NAMES))
    def check_backup(self, name: str) -> None:
        if name in self.backups:
            run(self.devices[name].check_backup(self.backups[name]))

    @precondition(lambda self: any(one.checked_epoch is not None for one in self.backups.values()))
    @rule(name=st.sampled_from(NAMES))
    def publish(self, name: str) -> None:
        backup = self.backups.get(name)
        if backup is not None and backup.checked_epoch is not None:
            if self.devices[name].publish(backup):
                del self.backups[name]
            else:
                backup.checked_epoch = None

    @rule(name=st.sampled_from(NAMES))
    def plan_repacking(self, name: str) -> None:
        """The first half of a repacking: all is read and copied, and nothing sent."""
        device = self.devices[name]
        look = run(device.look(KeepMemory()))
        plan = make_plan(look.view, device.policy)
        job = next((repack_job(a, plan, look.view) for a in plan.actions if isinstance(a, Repack)), None)
        if job is not None:
            device.check(job)
            self.jobs[name] = job, device.copy(job)

    @precondition(lambda self: self.jobs)
    @rule(name=st.sampled_from(NAMES), looks=st.booleans())
    def send_repacking(self, name: str, looks: bool) -> None:
        """The second half, with the check before it, or right after a check that another one overtook."""
        if name not in self.jobs:
            return
        device, (job, copied) = self.devices[name], self.jobs.pop(name)
        try:
            if looks:
                device.refresh()
            device.check(job)
            device.send(job, copied)
        except Overtaken:
            return

    @rule(
        name=st.sampled_from(NAMES),
        step=st.sampled_from(["begin", "copied", "checked", "sent", "extend", "none"]),
        forgets=st.booleans(),
    )
    def keep(self, name: str, step: str, forgets: bool) -> None:
        """A whole run, that may be killed at a step, and may lose its catalog by it."""
        device = self.devices[name]

        def interrupt(at: str) -> None:
            if at == step:
                raise Killed

        device.interrupt = interrupt
        try:
            run(keep_all(device))
        except Killed:
            if forgets:
                device.catalog.begin_again()
        finally:
            device.interrupt = lambda step: None

    @rule(name=st.sampled_from(NAMES), epochs=st.integers(1, 4))
    def time_passes(self, name: str, epochs: int) -> None:
        for _ in range(epochs):
            self.market.epoch += 1
            run(keep_all(self.devices[name]))

    @invariant()
    def nothing_live_is_lost(self) -> None:
        state = self.market.truth()
        needed = self.market.needed(state.live_commits)
        assert needed <= self.market.readable()
        assert state.live_commits or not self.market.packs

    def teardown(self) -> None:
        """When backups have stopped and all terms are over, only what is needed is left."""
        if not self.market.packs:
            return
        term = self.market.parameters.grid_epochs * self.market.parameters.max_books
        self.keep_for(term)
        laptop = self.devices["laptop"]
        live = self.market.truth().live_commits
        wanted = self.market.commits[max(live, key=lambda one: self.market.commits[one][0].time_ns)][1]
        run(laptop.back_up("last", wanted))
        state = self.market.truth()
        alive = {pack for pack, one in self.market.packs.items() if one.end > self.market.epoch}
        assert state.live_packs.keys() <= alive, "what is over is dropped by the next journal"
        self.keep_for(2 * term)
        view: KeepView = run(laptop.look(KeepMemory())).view
        alive = {pack for pack, one in self.market.packs.items() if one.end > self.market.epoch}
        assert all(pack.is_needed for pack in view.packs if pack.pack in alive and not pack.is_retired)
        rate = sum(self.market.packs[pack].rate for pack in alive)
        one_copy = self.market.costs.new_rate(sum(self.market.sizes[one] for one in CHUNKS) + 1_000)
        assert rate <= 3 * one_copy

    def keep_for(self, epochs: int) -> None:
        for _ in range(epochs):
            self.market.epoch += 1
            run(keep_all(self.devices[NAMES[self.market.epoch % 2]]))
            self.nothing_live_is_lost()


TestTwoDevices = TwoDevices.TestCase
TestTwoDevices.settings = settings(
    max_examples=10,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

"""A run and the loop: what is done, told once, tried again, and when the next is due."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from client.keep.keep_samples import EPOCH, GRID, look, pack

from grange.alerts import Alert, AlertFailed
from grange.executors import Executors
from grange.storage.home_lock import HomeLock
from grange.transfer.errors import NotEnoughFarmers
from grange.types import Epoch
from grange_client.errors import CannotExtend, OrderMissing, Overtaken
from grange_client.keep.facts import Money
from grange_client.keep.lease import Lease
from grange_client.keep.loop import LOCK_NAME, LONGEST_SECONDS, RETRY_SECONDS, KeepLoop, repeat
from grange_client.keep.memory import KeepMemory, read_memory
from grange_client.keep.ports import KeepLook
from grange_client.keep.reminders import reminder_days
from grange_client.keep.run import KeepReport, KeepRun

DAY = 86_400


def later(seen: KeepLook, days: int) -> KeepLook:
    """The same, so many days later."""
    clock = replace(
        seen.clock,
        block=seen.clock.block + days * seen.clock.epoch_blocks,
        timestamp=seen.clock.timestamp + days * DAY,
    )
    return replace(seen, clock=clock, view=replace(seen.view, epoch=Epoch(EPOCH + days)))


class PaperPort:
    """Looks that a test prepared; notes what it is asked for, and raises what it is told to."""

    def __init__(self, *looks: KeepLook) -> None:
        self.looks = list(looks)
        self.asked: list[str] = []
        self.errors: dict[str, list[Exception]] = {}
        self.memories: list[KeepMemory] = []
        self.now: Epoch | None = None

    async def look(self, memory: KeepMemory) -> KeepLook:
        self.memories.append(memory)
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    async def epoch(self) -> Epoch:
        return self.now or self.looks[0].view.epoch

    def __getattr__(self, name: str) -> Any:
        async def do(*given: Any) -> None:
            self.asked.append(name)
            if self.errors.get(name):
                raise self.errors[name].pop(0)

        return do


class PaperChannel:
    def __init__(self, name: str) -> None:
        self.name = name
        self.sent: list[Alert] = []
        self.fails = False

    async def send(self, alert: Alert) -> None:
        if self.fails:
            raise AlertFailed("It does not answer.")
        self.sent.append(alert)


@pytest.fixture
def executors() -> Iterator[Executors]:
    with Executors.open() as opened:
        yield opened


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def keep_run(
    port: PaperPort, executors: Executors, home: Path, *channels: PaperChannel, now: float = 0
) -> KeepRun:
    return KeepRun(port, executors, memory_path=home / "keep.json", channels=channels, now=lambda: now)


async def test_all_that_is_due_is_done_and_the_dry_run_does_nothing(executors: Executors, home: Path) -> None:
    seen = look(pack(1, left=25), money=Money(vault=0, wallet=1 << 120))
    port = PaperPort(seen)
    run = keep_run(port, executors, home)
    plan, _ = await run.plan()
    assert port.asked == []
    assert not (home / "keep.json").exists()
    report = await run.step()
    assert port.asked == ["top_up", "extend"]
    assert report.kept_until == 1_350
    assert report.failures == ()
    assert len(report.done) == len(plan.actions)
    assert read_memory(home / "keep.json").spent == ((EPOCH, plan.cost),)


async def test_what_fails_is_noted_stops_nothing_and_is_told_after_the_third_time(
    executors: Executors, home: Path
) -> None:
    port = PaperPort(look(pack(1, left=25), pack(2, left=26)))
    channel = PaperChannel("mail")
    for count in range(4):
        port.asked.clear()
        port.errors["extend"] = [CannotExtend("A farmer is away.")]
        report = await keep_run(port, executors, home, channel).step()
        assert port.asked == ["extend", "extend"], "the second one is tried all the same"
        assert len(report.failures) == 1
        assert "A farmer is away." in report.failures[0]
        assert report.kept_until == EPOCH + 25, "that one is not extended"
        assert len(channel.sent) == (1 if count >= 2 else 0), "told once"
    await keep_run(port, executors, home, channel).step()
    assert read_memory(home / "keep.json").failures == 0


async def test_what_farmers_said_is_told_with_what_failed(executors: Executors, home: Path) -> None:
    """A few of them by name: "no other farmer is left" says nothing of why."""
    port = PaperPort(look(pack(1, left=25)))
    reasons = {f"farmer {number}": "It is full." for number in range(1, 6)}
    port.errors["extend"] = [NotEnoughFarmers("No other farmer is left.", failures=reasons, missing=1)]
    report = await keep_run(port, executors, home).step()
    [said] = report.failures
    assert "(farmer 1: It is full; farmer 2: It is full; farmer 3: It is full; and 2 more)" in said


async def test_what_ends_is_told_at_14_7_3_and_1_days_each_once_over_restarts(
    executors: Executors, home: Path
) -> None:
    channel = PaperChannel("webhook")
    told = []
    for left in range(20, 0, -1):
        port = PaperPort(later(look(pack(1, left=20), money=Money(vault=0)), 20 - left))
        for _ in range(2):
            await keep_run(port, executors, home, channel).step()
        told += [(left, alert.facts["days"]) for alert in channel.sent if "days" in alert.facts]
        channel.sent.clear()
    assert told == [(14, 14), (7, 7), (3, 3), (1, 1)]
    # After a long silence only the last of them.
    port = PaperPort(look(pack(2, left=2), money=Money(vault=0)))
    await keep_run(port, executors, home, channel).step()
    assert [alert.facts["days"] for alert in channel.sent if "days" in alert.facts] == [3]
    assert [reminder_days(days) for days in (15, 14, 7.1, 1, 0)] == [None, 14, 14, 1, 1]


async def test_nothing_is_told_of_what_is_kept_or_is_not_needed(executors: Executors, home: Path) -> None:
    channel = PaperChannel("mail")
    packs = (pack(1, left=5), pack(2, left=5, needed=0.0), pack(3, left=5, needed=0.0, is_retired=True))
    await keep_run(PaperPort(look(*packs)), executors, home, channel).step()
    waiting = look(
        pack(4, left=13, needed=0.2), lease=Lease(number=1, device="phone", until=Epoch(EPOCH + 1))
    )
    await keep_run(PaperPort(waiting), executors, home, channel).step()
    assert channel.sent == []


async def test_a_channel_that_fails_is_said_tried_again_and_holds_up_no_other(
    executors: Executors, home: Path
) -> None:
    port = PaperPort(look(pack(1, left=2), money=Money(vault=0)))
    broken, sound = PaperChannel("webhook"), PaperChannel("mail")
    broken.fails = True
    report = await keep_run(port, executors, home, broken, sound).step()
    assert len(sound.sent) == len(report.alerts) == 2
    assert len(report.untold) == 1
    broken.fails = False
    report = await keep_run(port, executors, home, broken, sound).step()
    assert len(broken.sent) == 2
    assert len(sound.sent) == 2
    assert report.untold == ()


async def test_problems_a_short_vault_and_a_long_silence_are_told(executors: Executors, home: Path) -> None:
    channel = PaperChannel("mail")
    covered = pack(1, left=200, mandate=1, mandate_until=Epoch(5_000), mandate_cost=10**20)
    port = PaperPort(look(covered, money=Money(vault=5), problems=("policy/budget cannot be used",)))
    await keep_run(port, executors, home, channel, now=0).step()
    keys = [alert.key.split("/")[0] for alert in channel.sent]
    assert keys == ["vault", "problem"]
    await keep_run(port, executors, home, channel, now=15 * DAY).step()
    assert [alert.key.split("/")[0] for alert in channel.sent[2:]] == ["idle"]
    await keep_run(port, executors, home, channel, now=16 * DAY).step()
    assert len(channel.sent) == 3


async def test_after_an_epoch_has_begun_or_another_was_first_it_looks_again(
    executors: Executors, home: Path
) -> None:
    seen = look(pack(1, left=25), pack(2, left=26))
    port = PaperPort(seen, later(seen, 1))
    port.now = Epoch(EPOCH + 1)
    await keep_run(port, executors, home).step()
    assert port.asked == ["extend", "extend"]
    assert len(port.memories) == 2
    port = PaperPort(seen, look(pack(2, left=26)))
    port.errors["extend"] = [Overtaken("It is extended already.")]
    report = await keep_run(port, executors, home).step()
    assert port.asked == ["extend", "extend"]
    assert report.failures == ()


async def test_after_a_new_pack_it_looks_again_and_counts_what_it_spent(
    executors: Executors, home: Path
) -> None:
    first = look(pack(1, left=15, needed=0.2))
    second = look(pack(1, left=15, needed=0.0, is_retired=True), pack(2, left=300))
    port = PaperPort(first, second)
    report = await keep_run(port, executors, home).step()
    assert port.asked == ["place"]
    assert port.memories[0].spent == ()
    assert port.memories[1].spent[0][1] > 0
    assert report.kept_until == EPOCH + 300


async def test_the_loop_waits_for_what_is_due_and_not_longer_than_a_day(
    executors: Executors, home: Path
) -> None:
    async def seconds(seen: KeepLook, *errors: Exception) -> float:
        port = PaperPort(seen)
        port.errors["extend"] = list(errors)
        lock = HomeLock(home / LOCK_NAME)
        loop = KeepLoop(keep_run(port, executors, home), lock, draw=lambda: 0.5)
        return await loop.step()

    assert await seconds(look(pack(1, left=300))) == pytest.approx(LONGEST_SECONDS * 1.05)
    assert await seconds(look(pack(1, left=GRID), money=Money(vault=0))) <= LONGEST_SECONDS * 1.05
    assert await seconds(look(pack(1, left=25)), CannotExtend("No.")) == pytest.approx(RETRY_SECONDS * 1.05)


async def test_the_service_goes_on_after_an_error_and_ends_when_it_is_told_to(
    executors: Executors, home: Path
) -> None:
    stop = asyncio.Event()
    reports: list[KeepReport] = []

    class Failing(PaperPort):
        async def look(self, memory: KeepMemory) -> KeepLook:
            stop.set()
            raise OrderMissing("The endpoint is away.")

    lock = HomeLock(home / LOCK_NAME)
    await KeepLoop(keep_run(Failing(), executors, home), lock, report=reports.append).serve(stop)
    assert reports == []


async def test_two_runs_in_one_home_take_turns(executors: Executors, home: Path) -> None:
    under_way = 0

    class Slow(PaperPort):
        async def look(self, memory: KeepMemory) -> KeepLook:
            nonlocal under_way
            under_way += 1
            assert under_way == 1
            await asyncio.sleep(0)
            under_way -= 1
            return await super().look(memory)

    port = Slow(look(pack(1, left=300)))
    loops = [
        KeepLoop(keep_run(port, executors, home), HomeLock(home / LOCK_NAME), draw=lambda: 0.0)
        for _ in range(2)
    ]
    await asyncio.gather(*(loop.step() for loop in loops))
    assert len(port.memories) == 2


async def test_a_home_that_takes_nothing_is_said_and_keeping_goes_on(
    executors: Executors, home: Path
) -> None:
    port = PaperPort(look(pack(1, left=25)))
    run = KeepRun(port, executors, memory_path=home / "gone" / "keep.json", now=lambda: 0)
    report = await run.step()
    assert port.asked == ["extend"]
    assert "could not be remembered" in report.untold[0]


async def test_what_a_killed_run_has_spent_counts(executors: Executors, home: Path) -> None:
    """A cron job that is killed every night must not pay beyond the budget for the year."""
    port = PaperPort(look(pack(1, left=25), pack(2, left=26)))
    run = keep_run(port, executors, home)
    plan, _ = await run.plan()
    asked = port.epoch

    async def killed() -> Epoch:
        if port.asked:
            raise ZeroDivisionError
        return await asked()

    port.epoch = killed  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        await run.step()
    assert port.asked == ["extend"]
    assert read_memory(home / "keep.json").spent == ((EPOCH, plan.actions[0].cost),)


async def test_each_plan_is_told_before_anything_of_it_is_done(executors: Executors, home: Path) -> None:
    port = PaperPort(look(pack(1, left=25)))
    told: list[tuple[int, list[str]]] = []
    run = KeepRun(
        port,
        executors,
        memory_path=home / "keep.json",
        announce=lambda plan, seen: told.append((len(plan.actions), list(port.asked))),
        now=lambda: 0,
    )
    await run.step()
    assert told == [(1, [])]
    assert port.asked == ["extend"]


async def test_a_run_knows_what_it_could_not_secure(executors: Executors, home: Path) -> None:
    """What may be extended already and was not; neither what is not due, nor what had better wait."""
    far, due = pack(1, left=200), pack(2, left=25)
    assert (await keep_run(PaperPort(look(far, due)), executors, home).step()).is_kept
    poor = await keep_run(PaperPort(look(far, due, money=Money(vault=0))), executors, home).step()
    assert [one.pack for one in poor.unsecured] == [due.pack]
    assert not poor.is_kept
    waiting = pack(4, left=25, needed=0.3)
    assert (await keep_run(PaperPort(look(waiting)), executors, home).step()).is_kept
    port = PaperPort(look(due))
    port.errors["extend"] = [CannotExtend("A farmer is away.")]
    assert not (await keep_run(port, executors, home).step()).is_kept
    over = await keep_run(PaperPort(look(pack(5, left=0))), executors, home).step()
    assert not over.is_kept


async def test_steps_are_repeated_until_it_is_told_to_end_and_one_under_way_is_cancelled() -> None:
    stop, seen = asyncio.Event(), list[str]()

    async def step() -> float:
        seen.append("begun")
        if len(seen) == 3:
            stop.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise
        return 0.0

    await repeat(step, stop)
    assert seen == ["begun", "begun", "begun", "cancelled"]


async def test_what_a_step_raises_ends_the_repeating() -> None:
    async def step() -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await repeat(step, asyncio.Event())

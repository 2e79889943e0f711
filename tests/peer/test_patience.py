"""Trying again: what may pass, how long, and for whom."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from grange.peer import FarmerLied, FarmerRefused, FarmerUnreachable, Patience, Retry
from grange.peer.patience import TRANSIENT_STATUSES

PATIENCE = Patience()


@dataclass
class Clock:
    """Time that only passes by sleeping."""

    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@dataclass
class Farmer:
    """Answers with an error until the clock shows `back`, and takes `seconds` for each try."""

    clock: Clock
    back: float
    error: Exception
    seconds: float = 0.0
    tries: int = 0

    async def answer(self) -> str:
        self.tries += 1
        self.clock.now += self.seconds
        if self.clock.now < self.back:
            raise self.error
        return "here"


AWAY = FarmerUnreachable("connection refused")


def refused(status: int, code: str = "http") -> FarmerRefused:
    return FarmerRefused("no", status=status, code=code)


def retry(clock: Clock) -> Retry:
    return Retry(PATIENCE, clock=clock, sleep=clock.sleep)


def yes(_: object = None) -> bool:
    return True


@pytest.mark.parametrize("error", [AWAY, *map(refused, sorted(TRANSIENT_STATUSES))], ids=repr)
async def test_what_may_pass_is_tried_three_times(error: Exception) -> None:
    """With others to take its place, a farmer that is away is given up within a second."""
    clock = Clock()
    farmer = Farmer(clock, back=float("inf"), error=error)
    with pytest.raises(type(error)):
        await retry(clock).call(farmer.answer)
    assert farmer.tries == PATIENCE.tries
    assert clock.pauses == [0.25, 0.5]


@pytest.mark.parametrize("error", [AWAY, *map(refused, sorted(TRANSIENT_STATUSES))], ids=repr)
async def test_a_farmer_that_nobody_can_replace_is_waited_for(error: Exception) -> None:
    """One that restarts within a minute is there again."""
    clock = Clock()
    farmer = Farmer(clock, back=clock.now + 55, error=error)
    assert await retry(clock).call(farmer.answer, irreplaceable=yes) == "here"
    assert max(clock.pauses) == PATIENCE.longest_pause_seconds


@pytest.mark.parametrize("seconds", [0.0, 7.0])
async def test_it_is_waited_for_a_minute_and_no_longer(seconds: float) -> None:
    """Since its first failure, however long each try takes."""
    clock = Clock()
    farmer = Farmer(clock, back=float("inf"), error=AWAY, seconds=seconds)
    with pytest.raises(FarmerUnreachable):
        await retry(clock).call(farmer.answer, irreplaceable=yes)
    assert 60 <= clock.now - 1000 - seconds <= 60 + seconds + PATIENCE.longest_pause_seconds


async def test_who_can_be_replaced_by_now_is_given_up() -> None:
    clock = Clock()
    farmer = Farmer(clock, back=float("inf"), error=AWAY)
    with pytest.raises(FarmerUnreachable):
        await retry(clock).call(farmer.answer, irreplaceable=lambda: clock.now < 1010)
    assert 1010 <= clock.now < 1013


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (FarmerLied("another root"), yes),
        (refused(409, "terms_refused"), lambda error: error.code == "conflict"),
        (refused(507), lambda _: False),
    ],
    ids=["lie", "terms", "no room"],
)
async def test_what_will_not_pass_is_not_tried_again(
    error: Exception, passes: Callable[[FarmerRefused], bool]
) -> None:
    clock = Clock()
    farmer = Farmer(clock, back=float("inf"), error=error)
    with pytest.raises(type(error)):
        await retry(clock).call(farmer.answer, passes=passes, irreplaceable=yes)
    assert farmer.tries == 1


async def test_refusals_that_may_pass_are_tried_three_times_even_if_nobody_else_is_left() -> None:
    """A farmer that answers is not restarting: waiting longer would not help."""
    clock = Clock()
    farmer = Farmer(clock, back=float("inf"), error=refused(409, "conflict"))
    with pytest.raises(FarmerRefused):
        await retry(clock).call(farmer.answer, passes=yes, irreplaceable=yes)
    assert farmer.tries == PATIENCE.tries

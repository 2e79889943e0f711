"""Trying again: what may pass, how long, and for whom."""

from dataclasses import dataclass, field

import pytest

from grange.peer import FarmerLied, FarmerRefused, FarmerUnreachable
from grange.transfer.retry import TRANSIENT_STATUSES, RetryPolicy, SlowRule

POLICY = RetryPolicy()


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


def policy(clock: Clock) -> RetryPolicy:
    return RetryPolicy(clock=clock, sleep=clock.sleep)


def yes(_: object = None) -> bool:
    return True


@pytest.mark.parametrize("error", [AWAY, *map(refused, sorted(TRANSIENT_STATUSES))], ids=repr)
async def test_what_may_pass_is_tried_three_times(error: Exception) -> None:
    """With others to take its place, a farmer that is away is given up within a second."""
    clock = Clock()
    farmer = Farmer(clock, back=float("inf"), error=error)
    with pytest.raises(type(error)):
        await policy(clock).call(farmer.answer)
    assert farmer.tries == POLICY.tries
    assert clock.pauses == [0.25, 0.5]


@pytest.mark.parametrize("error", [AWAY, *map(refused, sorted(TRANSIENT_STATUSES))], ids=repr)
async def test_a_farmer_that_nobody_can_replace_is_waited_for(error: Exception) -> None:
    """One that restarts within a minute is there again."""
    clock = Clock()
    farmer = Farmer(clock, back=clock.now + 55, error=error)
    assert await policy(clock).call(farmer.answer, is_last=yes) == "here"
    assert max(clock.pauses) == POLICY.longest_pause_seconds


@pytest.mark.parametrize("seconds", [0.0, 7.0])
async def test_it_is_waited_for_a_minute_and_no_longer(seconds: float) -> None:
    """Since its first failure, however long each try takes."""
    clock = Clock()
    farmer = Farmer(clock, back=float("inf"), error=AWAY, seconds=seconds)
    with pytest.raises(FarmerUnreachable):
        await policy(clock).call(farmer.answer, is_last=yes)
    assert 60 <= clock.now - 1000 - seconds <= 60 + seconds + POLICY.longest_pause_seconds


async def test_one_that_can_be_replaced_meanwhile_is_given_up() -> None:
    clock = Clock()
    farmer = Farmer(clock, back=float("inf"), error=AWAY)
    with pytest.raises(FarmerUnreachable):
        await policy(clock).call(farmer.answer, is_last=lambda: clock.now < 1010)
    assert 1010 <= clock.now < 1013


@pytest.mark.parametrize(
    "error",
    [FarmerLied("another root"), refused(409, "terms_refused"), refused(507)],
    ids=["lie", "terms", "no room"],
)
async def test_what_will_not_pass_is_not_tried_again(error: Exception) -> None:
    clock = Clock()
    farmer = Farmer(clock, back=float("inf"), error=error)
    with pytest.raises(type(error)):
        await policy(clock).call(farmer.answer, is_last=yes)
    assert farmer.tries == 1


async def test_refusals_that_may_pass_are_tried_three_times_even_if_nobody_else_is_left() -> None:
    """A farmer that answers is not restarting: waiting longer would not help."""
    clock = Clock()
    farmer = Farmer(clock, back=float("inf"), error=refused(409, "conflict"))
    with pytest.raises(FarmerRefused):
        await policy(clock).call(farmer.answer, is_last=yes)
    assert farmer.tries == POLICY.tries


@pytest.mark.parametrize(("is_last", "tries"), [(True, POLICY.tries), (False, 1)])
async def test_an_acceptance_that_lapses_is_asked_for_again_only_where_nobody_else_is_left(
    is_last: bool, tries: int
) -> None:
    clock = Clock()
    farmer = Farmer(clock, back=float("inf"), error=refused(0, "deadline"))
    with pytest.raises(FarmerRefused):
        await policy(clock).call(farmer.answer, is_last=lambda: is_last)
    assert farmer.tries == tries


@pytest.mark.parametrize(
    ("others", "at_least", "limit"),
    [([], 0.0, 3.0), ([0.1, 0.1], 0.0, 3.0), ([1.0, 2.0, 900.0], 0.0, 16.0), ([1.0], 20.0, 20.0)],
)
def test_slow_is_many_times_what_half_of_the_others_need(
    others: list[float], at_least: float, limit: float
) -> None:
    """One that is slower still does not raise the limit for the next."""
    assert SlowRule(floor_seconds=3.0, factor=8.0).limit_seconds(others, at_least) == limit

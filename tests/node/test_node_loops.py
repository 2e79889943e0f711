"""Loops that no hiccup ends."""

import asyncio
import logging

import pytest

from grange.chain import FeesAboveCap, InsufficientFunds
from grange.errors import WorldError
from grange_node.errors import ProofHeldBack
from grange_node.loops import LONGEST_BACKOFF_SECONDS, forever


class Script:
    """A tick that does what a list says, and a sleep that notes what was asked for and ends with the list."""

    def __init__(self, *steps: BaseException | bool | None) -> None:
        self.steps = list(steps)
        self.slept: list[float] = []

    async def tick(self) -> bool | None:
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.steps:
            raise asyncio.CancelledError

    async def run(self) -> None:
        with pytest.raises(asyncio.CancelledError):
            await forever("loop", self.tick, lambda: 5.0, self.sleep)


async def test_a_loop_that_works_pauses_as_it_likes() -> None:
    script = Script(None, None)
    await script.run()
    assert script.slept == [5.0, 5.0]


async def test_failures_back_off_up_to_a_limit_and_end_with_the_first_success() -> None:
    down = WorldError("down")
    script = Script(*([down] * 7), None, down)
    await script.run()
    assert script.slept == [1, 2, 4, 8, 16, LONGEST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS, 5.0, 1]


async def test_a_loop_that_must_be_in_time_waits_no_longer_than_it_may() -> None:
    """Its limit follows the chain: epochs get shorter or longer."""
    limits = [3.0, 3.0, 3.0, 20.0, 20.0]
    script = Script(*([WorldError("down")] * len(limits)))
    with pytest.raises(asyncio.CancelledError):
        await forever(
            "loop", script.tick, lambda: 5.0, script.sleep, longest_backoff_seconds=lambda: limits.pop(0)
        )
    assert script.slept == [1, 2, 3, 6, 12]


async def test_the_same_trouble_is_logged_once_and_without_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        await Script(*([WorldError("the chain is down")] * 5), None).run()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["loop: the chain is down; trying again", "loop: works again"]
    assert all(record.exc_info is None for record in caplog.records)


async def test_a_bug_is_logged_with_its_traceback_and_the_loop_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = Script(ZeroDivisionError("oops"), None)
    await script.run()
    assert len(script.slept) == 2
    assert caplog.records[0].exc_info is not None


async def test_a_tick_that_had_nothing_to_do_does_not_say_that_it_works_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As when a proof cannot be paid for, epoch after epoch, and there is nothing to prove in between."""
    down = WorldError("no gas")
    script = Script(down, False, down, False, False, down, True, down)
    with caplog.at_level(logging.INFO):
        await script.run()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "loop: no gas; trying again",
        "loop: works again",
        "loop: no gas; trying again",
    ]
    assert script.slept == [1, 5, 1, 5, 5, 1, 5, 1]


async def test_a_lack_of_gas_is_said_once_though_the_amounts_change(caplog: pytest.LogCaptureFixture) -> None:
    details = [f"insufficient funds: address 0x1 have 0 want {10**14 + turn}" for turn in range(3)]
    with caplog.at_level(logging.INFO):
        await Script(*(InsufficientFunds("0x1", detail) for detail in details), False).run()
    assert [record.getMessage() for record in caplog.records] == [
        "loop: the account 0x1 has too little of the gas token to pay the chain's fees: it has 0, and 0.0001 "
        "are needed; trying again"
    ]


async def test_fees_above_the_cap_are_said_once_though_they_change(caplog: pytest.LogCaptureFixture) -> None:
    """A proof that is held back is said once in each epoch."""
    fees = [FeesAboveCap(number, 500) for number in (501, 502, 503)]
    await Script(*fees, False).run()
    held = [ProofHeldBack(epoch, left_blocks=left, reason="dear") for epoch, left in ((7, 9), (7, 8), (8, 9))]
    await Script(*held, False).run()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert ["epoch 7" in line for line in said] == [False, True, False]

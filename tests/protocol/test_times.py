"""Dates beside epochs: straight lines from the newest block, and words for how long."""

import time
from collections.abc import Iterator

import pytest

from grange.times import BlockClock, format_duration, format_time
from grange.types import Epoch


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


LIVE = BlockClock(block=8_000_100, timestamp=1_800_000_000, block_seconds=2.0, epoch_blocks=8_000)
DEVNET = BlockClock(block=85, timestamp=1_800_000_000, block_seconds=1.0, epoch_blocks=10)


def test_an_epoch_is_dated_by_its_first_block_before_and_after_now() -> None:
    assert (LIVE.epoch, LIVE.epoch_seconds) == (1000, 16_000)
    assert LIVE.time_of_epoch(Epoch(1000)) == 1_800_000_000 - 200
    assert LIVE.time_of_epoch(Epoch(1001)) == 1_800_000_000 - 200 + 16_000
    assert LIVE.describe_epoch(1001) == "epoch 1001, about 2027-01-15 12:23"


def test_dates_of_short_epochs_have_seconds() -> None:
    assert DEVNET.format_epoch(9) == "2027-01-15 08:00:05"


def test_what_no_calendar_has_is_a_question_mark() -> None:
    assert LIVE.format_epoch((1 << 64) - 1) == "?"
    assert format_time(float("inf")) == "?"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7_100, "118 minutes"),
        (64_800, "18 hours"),
        (12 * 86_400, "12 days"),
    ],
)
def test_how_long_is_said_in_a_unit_of_which_there_are_two_at_least(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text

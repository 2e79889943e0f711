"""What a restore tells while it runs: all bytes in the end, and not one event for each file."""

from __future__ import annotations

from grange.transfer.events import Progress, ProgressEvent, Step
from grange_client.drive_restore import TELL_SECONDS, PacedProgress


def test_progress_is_handed_on_a_few_times_a_second_and_nothing_of_it_is_lost() -> None:
    told: list[ProgressEvent] = []
    now = 0.0
    paced = PacedProgress(told.append, now=lambda: now)
    for number in range(1000):
        now = number * TELL_SECONDS / 100
        paced(Progress(size_bytes=1))
    assert 9 <= len(told) <= 10
    paced.flush()
    paced.flush()
    assert sum(one.size_bytes for one in told if isinstance(one, Progress)) == 1000
    assert len(told) <= 11


def test_what_is_no_progress_is_told_at_once_and_in_order() -> None:
    told: list[ProgressEvent] = []
    paced = PacedProgress(told.append, now=lambda: 0.0)
    step = Step(what="Restoring")
    paced(Progress(size_bytes=7))
    assert told == []
    paced(step)
    assert told == [Progress(size_bytes=7), step]

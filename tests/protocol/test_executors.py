"""Work goes to the threads that it belongs to, unless it is over before it would arrive there."""

import threading
from collections.abc import Callable

import pytest

from grange.executors import SHORT_BYTES, Executors


@pytest.mark.parametrize(
    ("size_bytes", "thread"), [(0, "Main"), (SHORT_BYTES, "Main"), (SHORT_BYTES + 1, "cpu")]
)
async def test_work_on_few_bytes_is_done_at_once(size_bytes: int, thread: str) -> None:
    with Executors.open() as executors:
        ran = await executors.on_cpu_unless_short(size_bytes, threading.current_thread)
    assert ran.name.startswith(thread)


@pytest.mark.parametrize("size_bytes", [0, SHORT_BYTES + 1])
async def test_what_work_raises_is_raised_wherever_it_was_done(size_bytes: int) -> None:
    work: Callable[..., int] = int
    with Executors.open() as executors, pytest.raises(ValueError, match="invalid literal"):
        await executors.on_cpu_unless_short(size_bytes, work, "no number")

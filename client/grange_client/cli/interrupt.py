"""Ctrl-C before anything has begun, also while modules load. Imports nothing that takes time."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from grange.cli.exit_codes import ExitCode


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """While nothing has begun yet that would have to be tidied up, Ctrl-C just ends the process."""
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:
        yield
        return

    def leave(_number: int, _frame: FrameType | None) -> None:
        try:
            os.write(2, b"Interrupted.\n")
        finally:
            os._exit(ExitCode.INTERRUPTED)

    signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

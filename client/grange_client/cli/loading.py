"""While modules load: Ctrl-C just ends the process, and garbage is not looked for. Nothing here takes time.

    pause_collector()                the process begins
    with leaving_at_once():
        from ... import ...
    resume_collector()               all is loaded

Modules are mostly objects that stay, and the collector would look through all of them again and again, and
once more at the end: a fifth of the processor time of `grange get`.
"""

import gc
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


def pause_collector() -> None:
    """Look for no garbage. For a process of our own, not for a library."""
    gc.disable()


def resume_collector() -> None:
    """Look for garbage again, but never among what is there now. Does nothing unless it was paused."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()

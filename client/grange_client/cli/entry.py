"""Where the command `grange` begins: before anything is imported that takes time.

    grange = "grange_client.cli.entry:main"

Decides what must hold from the first moment to the last: Ctrl-C ends with 130, also while modules load;
output that cannot be written is an error with words and an exit code, never a traceback; text that the
terminal cannot show is escaped. Leaves everything else to `cli`.
"""

import errno
import io
import os
import signal
import sys
from typing import Any

from grange_client.cli.loading import leaving_at_once, pause_collector
from grange_client.output_errors import OutputFailed


def main() -> None:
    """The console script."""
    pause_collector()
    # Looking for them reads a file of every package that is installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    _open_standard_files()
    sys.stdout = _text_output(1, sys.stdout, _Output)
    sys.stderr = _text_output(2, sys.stderr, _Errors)
    with leaving_at_once():
        from grange_client.cli import app as cli  # noqa: PLC0415  what takes a second to load must not do so above
    code = cli.run(sys.argv[1:])
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        # The work is done, and its exit code is what counts.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


class _Output(io.FileIO):
    """Standard output: a failure has words of its own, once; what comes after it is let go."""

    broken = False

    def write(self, data: Any) -> int:
        if self.broken:
            return len(data)
        try:
            return super().write(data) or 0
        except OSError as error:
            self.broken = True
            if error.errno == errno.EPIPE:
                # Anyone who read it has had enough, as with `| head`.
                raise
            raise OutputFailed(error) from None


class _Errors(io.FileIO):
    """Standard error: if it cannot be written there is nobody to tell."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def _text_output(descriptor: int, before: Any, raw: type[io.FileIO]) -> io.TextIOWrapper:
    encoding = getattr(before, "encoding", None) or "utf-8"
    file = raw(descriptor, "w", closefd=False)
    is_line_buffered = os.isatty(descriptor) or raw is _Errors
    return io.TextIOWrapper(
        io.BufferedWriter(file), encoding=encoding, errors="backslashreplace", line_buffering=is_line_buffered
    )


def _open_standard_files() -> None:
    """Give descriptors 0 to 2 something to stand for: what is opened later must not get their numbers.

    A closed standard output becomes one that refuses what is written, as it should.
    """
    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)

"""Output that cannot be written. A module of its own because it is needed before anything else is loaded."""

import errno
import os

from grange.errors import Told, WorldError

EXIT_OTHER = 1
EXIT_FILES = 4
EXIT_INTERRUPTED = 130


class OutputFailed(Told, WorldError):
    """Standard output does not take what a command prints."""

    exit_code = EXIT_FILES

    def __init__(self, error: OSError) -> None:
        reason = "it is closed" if error.errno == errno.EBADF else os.strerror(error.errno or 0).lower()
        super().__init__(
            f"The output could not be written: {reason}.",
            means="Some of what this command prints is lost.",
            todo="`grange ls` shows what is stored.",
        )

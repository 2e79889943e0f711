"""Output that cannot be written. A module of its own because it is needed before anything else is loaded."""

import errno
import os

from grange.errors import Category, UserError, WorldError


class OutputFailed(UserError, WorldError):
    """Standard output does not take what a command prints."""

    category = Category.FILES

    def __init__(self, error: OSError) -> None:
        reason = "it is closed" if error.errno == errno.EBADF else os.strerror(error.errno or 0).lower()
        super().__init__(
            f"The output could not be written: {reason}.",
            detail="Some of what this command prints is lost.",
            hint="`grange ls` shows what is stored.",
        )

"""What is set of an entry beside its bytes: mode and time for an order's, more for a drive's."""

import os
from typing import Protocol

from grange_client.files.attributes import Remarks, set_mode, set_time
from grange_client.files.scan import Entry


class AttributeSetter(Protocol):
    """Sets what an entry has beside its bytes, as near as the target can keep it, and notes what it can't."""

    def set_open(self, entry: Entry, descriptor: int) -> None:
        """Of an open file or directory."""

    def set_link(self, entry: Entry, parent: int, name: bytes) -> None:
        """Of a symbolic link in an open directory."""


class PlainAttributes:
    """What a manifest knows."""

    def __init__(self, inexact: Remarks) -> None:
        self._inexact = inexact

    def set_open(self, entry: Entry, descriptor: int) -> None:
        """See `AttributeSetter`."""
        set_mode(entry, descriptor, self._inexact)
        set_time(
            entry,
            lambda times: os.utime(descriptor, ns=times),
            lambda: os.fstat(descriptor),
            self._inexact,
        )

    def set_link(self, entry: Entry, parent: int, name: bytes) -> None:
        """See `AttributeSetter`: a link has no mode of its own."""
        set_time(
            entry,
            lambda times: os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False),
            lambda: os.stat(name, dir_fd=parent, follow_symlinks=False),
            self._inexact,
        )

"""Where an open file has data, and where it has holes, as its file system says.

A hole costs nobody anything to make: a file of a few bytes may say that it has eight exbibytes. So whatever
goes through a file goes from one run of data to the next.
"""

import errno
import os
from collections.abc import Iterator

_UNKNOWN = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def data_runs(descriptor: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The runs of data between two offsets, as (begin, end); all else there is zeros, or behind the file's
    end. Where the system does not tell, all of the file is data. Moves the descriptor's offset. Raises
    OSError."""
    while start < end:
        try:
            begin = os.lseek(descriptor, start, os.SEEK_DATA)
        except AttributeError:
            yield from _all_of_it(descriptor, start, end)
            return
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            if error.errno not in _UNKNOWN:
                raise
            yield from _all_of_it(descriptor, start, end)
            return
        if begin >= end:
            return
        # Who writes meanwhile may make a hole of what was data: the next run begins behind it all the same.
        stop = max(min(os.lseek(descriptor, begin, os.SEEK_HOLE), end), begin + 1)
        yield begin, stop
        start = stop


def is_hole(descriptor: int, start: int, end: int) -> bool:
    """Whether the file goes on to `end`, and has nothing but a hole from `start` on. Raises OSError."""
    if os.fstat(descriptor).st_size < end:
        return False
    return next(data_runs(descriptor, start, end), None) is None


def is_zeros(content: bytes | memoryview) -> bool:
    """Whether there is nothing but zeros; quick where the first byte is none."""
    if content and content[0]:
        return False
    return bytes(content).count(0) == len(content)


def _all_of_it(descriptor: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    end = min(end, os.fstat(descriptor).st_size)
    if start < end:
        yield start, end

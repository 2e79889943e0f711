"""The names in a directory, in the order in which a tree has them, however many there are."""

import os
from collections.abc import Iterator
from heapq import merge
from tempfile import TemporaryFile
from typing import IO, Final

from grange_client.errors import DiskFailed

MOST_AT_ONCE: Final = 250_000
"""So many names are sorted in memory, some 20 MB; more are sorted in parts, and the parts merged."""
_BUFFER_BYTES: Final = 64 << 10
_LENGTH_BYTES: Final = 2


def sorted_names(descriptor: int, *, most_at_once: int = MOST_AT_ONCE) -> Iterator[bytes]:
    """The names in an open directory by their bytes; all are read before this returns.

    Raises OSError if the directory cannot be read, DiskFailed if there is no room for names that are too many
    for memory.
    """
    runs: list[Iterator[bytes]] = []
    names: list[bytes] = []
    with os.scandir(descriptor) as found:
        for one in found:
            names.append(os.fsencode(one.name))
            if len(names) == most_at_once:
                runs.append(_put_away(sorted(names)))
                names.clear()
    names.sort()
    if not runs:
        return _unjoined(b"/".join(names))
    return merge(*runs, iter(names))


def _unjoined(names: bytes) -> Iterator[bytes]:
    """Names out of a row of them: a list of objects would take three times the memory, at each depth."""
    place = 0
    while place < len(names):
        end = names.find(b"/", place)
        if end < 0:
            end = len(names)
        yield names[place:end]
        place = end + 1


def _put_away(names: list[bytes]) -> Iterator[bytes]:
    try:
        # Closed by the iterator, which reads it.
        file = TemporaryFile(buffering=_BUFFER_BYTES)  # noqa: SIM115
        for name in names:
            file.write(len(name).to_bytes(_LENGTH_BYTES) + name)
        file.seek(0)
    except OSError as error:
        raise DiskFailed(
            f"The names of a very large directory could not be put away: {error.strerror}.",
            hint="TMPDIR says where temporary files go.",
        ) from error
    return _read_back(file)


def _read_back(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while length := file.read(_LENGTH_BYTES):
            yield file.read(int.from_bytes(length))

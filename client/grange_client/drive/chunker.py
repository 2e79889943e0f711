"""Where one chunk of a file ends and the next begins: by content, so that most chunks survive an insertion.

    h(i) = sum over j < 64 of gear[byte i - j] << j, modulo 2**64       the last 64 bytes decide

From MIN_BYTES on, a chunk ends behind the first byte i at which h(i) is below a threshold: a rare one up to
NORMAL_BYTES, a common one from there to MAX_BYTES, where it ends in any case. Thus 1 MiB on average, with few
very short and very long ones. The rest of a file is its last chunk, so a small file is one chunk.

The table `gear` is secret, or who knows a file could tell from the lengths of its chunks whether it is
here. Tables can be worked out by who sees lengths of chunks with known content: nobody sees them, since they
stand in the sealed journal alone.

Borders are the same however a file is read. They are looked for by the kernel, or in `plain_borders` where
there is none.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from grange import kernel
from grange.seal import Buffer
from grange_client.drive.plain_borders import find_border

MIN_BYTES: Final = 256 << 10
NORMAL_BYTES: Final = 832 << 10
MAX_BYTES: Final = 4 << 20
GEAR_BYTES: Final = 256 * 8
RARE: Final = 1 << 42
"""One border in 4 MiB."""
COMMON: Final = 1 << 46
"""One border in 256 KiB."""


@dataclass(frozen=True, slots=True)
class Hole:
    """So many zeros of a file, for which the disk has nothing."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Zeros:
    """So many chunks in a row, each of so many zeros."""

    size_bytes: int
    count: int


class Chunker:
    """Cuts with one table. Without state: threads may share one."""

    def __init__(self, gear: bytes, *, compiled: bool = True) -> None:
        """`gear`: 256 secret words of 8 bytes, big endian. `compiled`: by the kernel, where there is one."""
        assert len(gear) == GEAR_BYTES
        self._find_border = (kernel.find_border if compiled else None) or find_border
        self._gear = gear
        self._zeros: int | None = None

    def split(self, parts: Iterable[Buffer]) -> Iterator[bytes]:
        """The chunks of what stands in the parts one after the other; none for nothing.

        Holds one chunk, and the part that is being taken.
        """
        for chunk in self.split_sparse(parts):
            assert isinstance(chunk, bytes)
            yield chunk

    def split_sparse(self, parts: Iterable[Buffer | Hole]) -> Iterator[bytes | Zeros]:
        """The same chunks where some parts are holes: those that lie in one are counted, and not made."""
        waiting = bytearray()
        for part in parts:
            if isinstance(part, Hole):
                yield from self._take_hole(waiting, part.size_bytes)
                continue
            waiting += part
            begin = 0
            while len(waiting) - begin >= MAX_BYTES:
                length = self.cut(memoryview(waiting)[begin : begin + MAX_BYTES])
                yield bytes(memoryview(waiting)[begin : begin + length])
                begin += length
            del waiting[:begin]
        begin = 0
        while begin < len(waiting):
            length = self.cut(memoryview(waiting)[begin:])
            yield bytes(memoryview(waiting)[begin : begin + length])
            begin += length

    def _take_hole(self, waiting: bytearray, left: int) -> Iterator[bytes | Zeros]:
        """The chunks that a hole ends or has in it; what is waiting then goes on behind it."""
        zeros_from = len(waiting)
        while left:
            if not zeros_from:
                # A chunk begins here, and nothing but zeros follows: all of them have one length.
                total = len(waiting) + left
                if total >= MAX_BYTES:
                    length = self._zeros_length()
                    count = (total - MAX_BYTES) // length + 1
                    yield Zeros(length, count)
                    total -= length * count
                waiting[:] = bytes(total)
                return
            step = min(left, MAX_BYTES - len(waiting))
            waiting += bytes(step)
            left -= step
            if len(waiting) == MAX_BYTES:
                length = self.cut(waiting)
                yield bytes(memoryview(waiting)[:length])
                del waiting[:length]
                zeros_from = max(0, zeros_from - length)

    def _zeros_length(self) -> int:
        if self._zeros is None:
            self._zeros = self.cut(bytes(MAX_BYTES))
        return self._zeros

    def cut(self, content: Buffer) -> int:
        """How long the first chunk is, of content that goes on for MAX_BYTES or is all that is left."""
        limit = min(len(content), MAX_BYTES)
        normal = min(limit, NORMAL_BYTES)
        return (
            self._find(content, MIN_BYTES, normal, RARE)
            or self._find(content, max(MIN_BYTES, normal), limit, COMMON)
            or limit
        )

    def _find(self, content: Buffer, first: int, limit: int, threshold: int) -> int | None:
        """The least length from `first` to below `limit` with which a chunk may end."""
        return self._find_border(content, self._gear, first, limit, threshold)

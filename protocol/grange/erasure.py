"""Erasure coding: k blocks of a segment become n pieces, any k of which give all of them back.

This is the reference, and what runs where the kernel is not; programs take `Codec` from `grange.kernel`.
The code is systematic (pieces 0 to k-1 are the blocks themselves) and is ISA-L's Cauchy Reed-Solomon, through
pyeclib's `isa_l_rs_cauchy`; `grange.fragments` defines it and strips and remakes pyeclib's headers
(docs/adr/0004-fragment-headers.md). Two shapes need no code: with k = 1 every piece is the block, with n = k
there is no parity. Whether a piece is genuine is not decided here: a wrong byte in gives wrong bytes out, and
the seal or the piece's root finds it.

pyeclib never releases the interpreter lock, and it allocates everything again at each call. Both are answered
by coding in strips: 16 KiB of every block at a time stays in the cache, spares the page faults of one large
call (8 to 16 ms for 10 MiB at 10 of 30, where one call takes 32 ms, and 100 ms with two threads at it), and
lets other threads run between strips, an event loop among them. A Codec has no state between calls, so
threads may share one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from typing import Final

from pyeclib.ec_iface import ECDriver, ECDriverError

from grange.errors import Misuse, TooFewPieces, UnknownCodec
from grange.fragments import HEADER_BYTES, FragmentHeaders, sample_segment
from grange.units import MAX_SLOTS

Buffer = bytes | bytearray | memoryview

STRIP_BYTES: Final = 16 * 1024
REBUILD_STRIP_BYTES: Final = 64 * 1024
"""Longer than when encoding: each call inverts a matrix first."""

SAMPLE_BLOCK_BYTES: Final = 64


class Codec:
    """k of n. Making one checks the installed pyeclib; keep it for all segments of the same shape."""

    def __init__(self, k: int, n: int) -> None:
        """Raise Misuse unless 1 <= k <= n <= MAX_SLOTS, UnknownCodec when pyeclib does not write our code."""
        if not 1 <= k <= n <= MAX_SLOTS:
            raise Misuse(f"k of n is at least 1 of 1 and at most {MAX_SLOTS} of {MAX_SLOTS}, not {k} of {n}")
        self.k = k
        self.n = n
        if 1 < k < n:
            self._prepare()

    def __repr__(self) -> str:
        return f"Codec(k={self.k}, n={self.n})"

    def encode(self, segment: Buffer) -> list[bytes]:
        """The n pieces of a segment, which must be k blocks of equal length; the first k are copies."""
        if not segment or len(segment) % self.k:
            raise Misuse(f"a segment of {len(segment)} bytes is not {self.k} blocks of equal length")
        view = memoryview(segment)
        block_bytes = len(segment) // self.k
        blocks = [bytes(view[start : start + block_bytes]) for start in range(0, len(segment), block_bytes)]
        return blocks + self.parity(blocks)

    def parity(self, blocks: Sequence[Buffer]) -> list[bytes]:
        """Pieces k to n-1 for k blocks of equal length: `encode` without the copy of the blocks."""
        if len(blocks) != self.k:
            raise Misuse(f"{self.k} blocks make a segment, not {len(blocks)}")
        block_bytes = _common_length(blocks)
        if self.k == 1:
            return [bytes(blocks[0])] * (self.n - 1)
        if self.k == self.n:
            return []
        return self._make_parity([memoryview(block) for block in blocks], block_bytes)

    def blocks(self, pieces: Mapping[int, Buffer]) -> list[Buffer]:
        """The k blocks out of any k pieces by index. Blocks among the pieces are handed back as they are.

        Raises TooFewPieces for fewer than k; pieces beyond the k cheapest to use are ignored.
        """
        piece_bytes = self._check(pieces)
        if self.k == 1:
            return [next(iter(pieces.values()))]
        lost = [index for index in range(self.k) if index not in pieces]
        rebuilt: list[bytes] = []
        if lost:
            rebuilt = self._make_blocks(self._choose(pieces), lost, piece_bytes)
        found = dict(zip(lost, rebuilt, strict=True))
        return [found[index] if index in found else pieces[index] for index in range(self.k)]

    def decode(self, pieces: Mapping[int, Buffer]) -> bytes:
        """The segment, k blocks joined, out of any k pieces by index. Raises TooFewPieces for fewer."""
        return b"".join(self.blocks(pieces))

    def rebuild(self, pieces: Mapping[int, Buffer], missing: Sequence[int]) -> dict[int, bytes]:
        """The pieces with the indices `missing` out of any k others. Raises TooFewPieces for fewer."""
        piece_bytes = self._check(pieces)
        for index in missing:
            if not 0 <= index < self.n or index in pieces:
                raise Misuse(f"piece {index} of {self.n} is not missing")
        wanted = sorted(set(missing))
        if self.k == 1:
            return dict.fromkeys(wanted, bytes(next(iter(pieces.values()))))
        if not wanted:
            return {}
        return dict(zip(wanted, self._make_pieces(self._choose(pieces), wanted, piece_bytes), strict=True))

    def _check(self, pieces: Mapping[int, Buffer]) -> int:
        if len(pieces) < self.k:
            raise TooFewPieces(have=len(pieces), need=self.k)
        for index in pieces:
            if not 0 <= index < self.n:
                raise Misuse(f"there is no piece {index} among {self.n}")
        return _common_length(list(pieces.values()))

    def _choose(self, pieces: Mapping[int, Buffer]) -> dict[int, memoryview]:
        # Lowest first: blocks cost nothing to decode.
        return {index: memoryview(pieces[index]) for index in sorted(pieces)[: self.k]}

    # What follows is pyeclib's part; `grange.erasure_compiled` does the same by the kernel.

    def _prepare(self) -> None:
        try:
            self._driver = ECDriver(k=self.k, m=self.n - self.k, ec_type="isa_l_rs_cauchy")
            sample = self._driver.encode(sample_segment(self.k, SAMPLE_BLOCK_BYTES))
        except ECDriverError as error:
            raise UnknownCodec("the installed pyeclib has no working isa_l_rs_cauchy") from error
        self._headers = FragmentHeaders.learn(self.k, sample, SAMPLE_BLOCK_BYTES)

    def _make_parity(self, views: list[memoryview], block_bytes: int) -> list[bytes]:
        def code(start: int, end: int) -> Iterable[memoryview]:
            fragments = self._driver.encode(b"".join([view[start:end] for view in views]))
            return [memoryview(fragment)[HEADER_BYTES:] for fragment in fragments[self.k :]]

        return _by_strips(code, self.n - self.k, block_bytes, STRIP_BYTES)

    def _make_blocks(self, views: Mapping[int, memoryview], lost: list[int], piece_bytes: int) -> list[bytes]:
        def code(start: int, end: int) -> Iterable[memoryview]:
            data = memoryview(self._driver.decode(self._fragments(views, start, end)))
            size = end - start
            return [data[index * size : (index + 1) * size] for index in lost]

        return _by_strips(code, len(lost), piece_bytes, REBUILD_STRIP_BYTES)

    def _make_pieces(
        self, views: Mapping[int, memoryview], wanted: list[int], piece_bytes: int
    ) -> list[bytes]:
        def code(start: int, end: int) -> Iterable[memoryview]:
            fragments = self._driver.reconstruct(self._fragments(views, start, end), list(wanted))
            return [memoryview(fragment)[HEADER_BYTES:] for fragment in fragments]

        return _by_strips(code, len(wanted), piece_bytes, REBUILD_STRIP_BYTES)

    def _fragments(self, views: Mapping[int, memoryview], start: int, end: int) -> list[bytes]:
        # Always bytes: pyeclib 1.8 aborts the whole process when handed any other buffer.
        make = self._headers.make
        return [b"".join((make(index, end - start), view[start:end])) for index, view in views.items()]


def _by_strips(
    code: Callable[[int, int], Iterable[memoryview]], outputs: int, length_bytes: int, strip_bytes: int
) -> list[bytes]:
    """Run `code` over every strip and join what it gives for each output."""
    buffers = [BytesIO() for _ in range(outputs)]
    for buffer in buffers:
        # At full length from the start, so that getvalue() hands the memory over instead of copying it.
        buffer.seek(length_bytes - 1)
        buffer.write(b"\0")
        buffer.seek(0)
    for start in range(0, length_bytes, strip_bytes):
        strips = code(start, min(start + strip_bytes, length_bytes))
        for buffer, strip in zip(buffers, strips, strict=True):
            buffer.write(strip)
    return [buffer.getvalue() for buffer in buffers]


def _common_length(blocks: Sequence[Buffer]) -> int:
    lengths = {len(block) for block in blocks}
    if len(lengths) != 1 or 0 in lengths:
        raise Misuse(f"pieces of one segment have one length, not {sorted(lengths)}")
    return lengths.pop()

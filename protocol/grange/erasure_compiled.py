"""The erasure code of `grange.erasure` by the Rust kernel: the same pieces, without pyeclib and its headers.

Not imported where the package `grange_kernel` is not installed, or not fast at it; `grange.kernel` decides.
Lets go of the interpreter lock while it codes, and needs no strips.
"""

from collections.abc import Mapping

import grange_kernel

from grange import erasure
from grange.errors import UnknownCodec
from grange.fragments import sample_piece


class Codec(erasure.Codec):
    """As in `grange.erasure`."""

    def _prepare(self) -> None:
        k, n = self.k, self.n
        sample = [sample_piece(k, index, erasure.SAMPLE_BLOCK_BYTES) for index in range(n)]
        if grange_kernel.code(range(k), sample[:k], range(k, n)) != sample[k:]:
            raise UnknownCodec("the kernel computes another code than the one pieces are in")

    def _make_parity(self, views: list[memoryview], block_bytes: int) -> list[bytes]:
        return grange_kernel.code(range(self.k), views, range(self.k, self.n))

    def _make_blocks(self, views: Mapping[int, memoryview], lost: list[int], piece_bytes: int) -> list[bytes]:
        return grange_kernel.code(list(views), list(views.values()), lost)

    def _make_pieces(
        self, views: Mapping[int, memoryview], wanted: list[int], piece_bytes: int
    ) -> list[bytes]:
        return self._make_blocks(views, wanted, piece_bytes)

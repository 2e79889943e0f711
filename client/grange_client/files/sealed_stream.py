"""The blocks of an order that `put` makes: its stream, cut and sealed.

What was sealed is opened and compared before any of it is sent. Any thread may ask.
"""

from grange.errors import AuthenticationFailed
from grange.layout import Geometry
from grange.seal import OrderKey
from grange_client.errors import SourceChanged
from grange_client.files.encode import not_readable
from grange_client.files.stream import ContentStream, source_changed


class SealedStream:
    """A stream of files under an order's key, as `encode.BlockSource` has it."""

    def __init__(self, stream: ContentStream, geometry: Geometry, key: OrderKey) -> None:
        self._stream = stream
        self._geometry = geometry
        self._key = key

    def blocks(self, segment: int) -> list[bytes]:
        """Those of a segment, sealed. Raises SourceChanged and NotReadable."""
        geometry = self._geometry
        plain = bytearray(geometry.block_bytes)
        view = memoryview(plain)
        sealed = []
        for index in range(segment * geometry.k, (segment + 1) * geometry.k):
            self._stream.read_into(view, index * geometry.block_bytes)
            sealed.append(block := self._key.seal(index, plain))
            if not self._opens(index, block, plain):
                raise not_readable("sealed", segment)
        return sealed

    def changed(self, segment: int) -> SourceChanged:
        """Names the files of which the segment holds something."""
        size_bytes = self._geometry.k * self._geometry.block_bytes
        names = self._stream.names_in(segment * size_bytes, size_bytes)
        more = f" (or one of {len(names) - 1} others)" if len(names) > 1 else ""
        return source_changed(names[0] if names else "Something", f"its bytes are not what they were{more}")

    def check_unchanged(self) -> None:
        """Look at every file once more. Raises SourceChanged."""
        self._stream.check_unchanged()

    def _opens(self, index: int, block: bytes, plain: bytearray) -> bool:
        try:
            return plain == self._key.open(index, block)
        except AuthenticationFailed:
            return False

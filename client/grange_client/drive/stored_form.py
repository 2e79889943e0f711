"""How content is laid out before it is sealed: as it is, or compressed where that makes it smaller.

    stored form = 0 | content        or        1 | one Zstandard frame of the content

What stands behind the first byte can be hostile: no more is unpacked than the caller allows, and no frame may
ask for more memory than the largest chunk needs.
"""

import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from grange.seal import Buffer
from grange_client.errors import BadChunk

# Python's own module; until 3.14 the same one from the package index.
_zstd: Any = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")

PLAIN: Final = 0
ZSTD: Final = 1
LEVEL: Final = 3
LEAST_SAVING: Final = 16
"""A frame that saves less than one part in so many is not worth opening."""
WINDOW_LOG_MAX: Final = 22
"""Of a frame: the largest chunk has 4 MiB, so none needs a longer window."""
_UNPACKING: Final = {_zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX}

Compress = Callable[[Buffer], bytes]


_this_thread: Final = threading.local()


def compress(content: Buffer) -> bytes:
    """One Zstandard frame; the same one whatever was compressed before."""
    # Each thread has one: to make it takes ten times as long as to compress a short file.
    compressor: Any = getattr(_this_thread, "compressor", None) or _zstd.ZstdCompressor(LEVEL)
    # It is put back when its frame is whole.
    _this_thread.compressor = None
    frame: bytes = compressor.compress(content, compressor.FLUSH_FRAME)
    _this_thread.compressor = compressor
    return frame


def plain_form(content: Buffer) -> bytes:
    """The stored form without compression."""
    return b"".join((bytes([PLAIN]), content))


def smallest_form(content: Buffer, compress: Compress = compress) -> bytes:
    """The stored form: compressed if that saves enough."""
    frame = compress(content)
    if len(frame) + len(content) // LEAST_SAVING < len(content):
        return bytes([ZSTD]) + frame
    return plain_form(content)


def content_of(stored: bytes, max_bytes: int) -> bytes:
    """The content, of at most `max_bytes`. Raises BadChunk for anything else."""
    if not stored:
        raise BadChunk("A chunk has nothing in it, not even its form.")
    if stored[0] == PLAIN:
        content = stored[1:]
    elif stored[0] == ZSTD:
        content = _unpack(stored[1:], max_bytes)
    else:
        raise BadChunk(
            f"A chunk has form {stored[0]}, and this client knows {PLAIN} and {ZSTD}.",
            hint="It may be from a newer version of Grange.",
        )
    if len(content) > max_bytes:
        raise BadChunk(f"A chunk has more than the {max_bytes:,} bytes that it may have.")
    return content


def _unpack(frame: bytes, max_bytes: int) -> bytes:
    unpacker = _zstd.ZstdDecompressor(options=_UNPACKING)
    try:
        content: bytes = unpacker.decompress(frame, max_length=max_bytes + 1)
    except (_zstd.ZstdError, EOFError) as error:
        raise BadChunk(f"A chunk cannot be unpacked: {error}.") from error
    if len(content) <= max_bytes and (not unpacker.eof or unpacker.unused_data):
        raise BadChunk("A chunk is cut off, or has something behind it.")
    return content

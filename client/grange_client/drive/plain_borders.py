"""The borders of chunks where there is no kernel: with numpy, in parts that fit the processor's cache."""

from typing import Final

from grange.seal import Buffer

WINDOW_BYTES: Final = 64
_STEP_BYTES: Final = 64 << 10
_SHIFTS: Final = (1, 2, 4, 8, 16, 32)


def find_border(content: Buffer, gear: bytes, first: int, limit: int, threshold: int) -> int | None:
    """The least length from `first` to below `limit` with which a chunk may end; see `chunker`.

    `gear`: 256 words of 8 bytes, big endian. `first` is at least 64. The same as the kernel's function.
    """
    import numpy as np  # noqa: PLC0415  long to load, and most commands cut nothing

    table = np.frombuffer(gear, ">u8").astype(np.uint64)
    values = np.frombuffer(content, np.uint8)
    for start in range(first, limit, _STEP_BYTES):
        end = min(start + _STEP_BYTES, limit)
        # A chunk of n bytes ends with byte n - 1.
        sums = table[values[start - WINDOW_BYTES : end - 1]]
        shifted = np.empty_like(sums)
        for shift in _SHIFTS:
            np.left_shift(sums[:-shift], np.uint64(shift), out=shifted[shift:])
            sums[shift:] += shifted[shift:]
        hits = np.flatnonzero(sums[WINDOW_BYTES - 1 :] < np.uint64(threshold))
        if len(hits):
            return start + int(hits[0])
    return None

"""Keeps memory that was freed, instead of handing it back to the system and asking for it again.

Pieces are a mebibyte and segments ten: by default glibc maps memory of that size freshly for each one, and
the kernel clears every page of it. Moving files then costs more in page faults than in cryptography; the
decision and its measurement are in docs/adr/0022. On systems without glibc nothing happens.
"""

import ctypes
import os

SWITCH = "GRANGE_KEEP_MEMORY"
"""Set to 0, everything is left as the system has it."""

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
MAPPED_FROM_BYTES = 32 << 20
"""The most that glibc takes: smaller blocks come from memory that is kept."""


def keep_freed_memory(kept_bytes: int) -> bool:
    """Keep up to about `kept_bytes` of freed memory in this process; whether the system took it.

    To be called once, early, by the programs, not by libraries: it is a setting of the whole process.
    """
    if os.environ.get(SWITCH) == "0":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mapped = mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
    trimmed = mallopt(_M_TRIM_THRESHOLD, kept_bytes)
    return bool(mapped and trimmed)

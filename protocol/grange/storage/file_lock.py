"""The lock of an open file: what every lock of ours stands on.

    if not lock_file(descriptor):
        raise InUse

The system lets go of it when the descriptor is closed or the process ends, however it ends.
"""

import fcntl


def lock_file(descriptor: int, *, wait: bool = False, shared: bool = False) -> bool:
    """Take the lock; False if another open file has it, unless it is waited for. Several may have a shared
    one. Raises OSError where files cannot be locked, as on some network disks."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

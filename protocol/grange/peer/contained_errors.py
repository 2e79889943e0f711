"""What nobody foresaw, when it happens with one farmer: that farmer's failure, and nobody else's.

Farmers choose what they send and what they register, and libraries below us have bugs that a farmer may find
before we do. An error that is none of ours, raised while one farmer is dealt with, must cost that farmer its
slot and not the person the whole order. It is logged, because it is also a bug.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from grange.errors import UserError
from grange.peer.errors import FarmerErrorContained
from grange.types import FarmerId

MAX_LOGGED_CHARACTERS = 200

log = logging.getLogger("grange.peer")


@contextmanager
def dealing_with(farmer: FarmerId) -> Iterator[None]:
    """Turn every error but those that are meant to be read into FarmerErrorContained."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        kind = type(error).__name__
        log.warning("farmer %d: %s: %.*s", farmer, kind, MAX_LOGGED_CHARACTERS, ascii(str(error)))
        log.debug("farmer %d", farmer, exc_info=error)
        raise FarmerErrorContained(f"Farmer {farmer} caused an unexpected error: {kind}.") from error

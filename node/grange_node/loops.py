"""Running the node's loops so that no hiccup ends one of them.

Decides how long to wait after a failure and how loudly to say so. Waits grow, up to a limit: a loop that has
to be in time for an epoch has a part of an epoch. What is expected (the chain is down, the disk is full) is
one line, and not repeated while it lasts. It is over, and that is said, when a tick did something: one that
gives False had nothing to do, which shows nothing. Anything else is a bug and is logged with its traceback,
and the loop goes on all the same. Only what is an `EndsNode` ends it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from grange.chain import FeesAboveCap, InsufficientFunds
from grange.errors import GrangeError
from grange_node.errors import EndsNode, ProofHeldBack

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0

log = logging.getLogger("grange.farm")

Sleep = Callable[[float], Awaitable[None]]


async def forever(
    name: str,
    tick: Callable[[], Awaitable[object]],
    pause_seconds: Callable[[], float],
    sleep: Sleep = asyncio.sleep,
    *,
    longest_backoff_seconds: Callable[[], float] = lambda: LONGEST_BACKOFF_SECONDS,
) -> None:
    """Call `tick` again and again until cancelled. It gives False if it had nothing to do. Raises
    EndsNode."""

    def longer(backoff: float) -> float:
        return min(max(2 * backoff, FIRST_BACKOFF_SECONDS), longest_backoff_seconds())

    backoff = 0.0
    complaint = ""
    while True:
        try:
            did_something = await tick() is not False
        except EndsNode:
            raise
        except GrangeError as error:
            backoff = longer(backoff)
            subject = _subject(error)
            if subject != complaint:
                log.warning("%s: %s; trying again", name, error)
                complaint = subject
        except Exception:
            backoff = longer(backoff)
            log.exception("%s: this is a bug; going on", name)
        else:
            backoff = 0.0
            if complaint and did_something:
                log.info("%s: works again", name)
                complaint = ""
        await sleep(backoff or pause_seconds())


def _subject(error: GrangeError) -> str:
    """What two errors have in common that say the same. How much is missing for gas, and what it costs,
    changes with each block."""
    if isinstance(error, ProofHeldBack):
        return f"epoch {error.epoch} held back"
    if isinstance(error, FeesAboveCap):
        return "fees above the cap"
    return f"gas of {error.address}" if isinstance(error, InsufficientFunds) else str(error)

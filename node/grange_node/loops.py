"""Running the node's loops so that no hiccup ends one of them.

Decides how long to wait after a failure and how loudly to say so: what is expected (the chain is down,
the disk is full) is one line, and not repeated while it lasts; anything else is a bug and is logged with
its traceback, and the loop goes on all the same. Only what is an `EndsNode` ends it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from grange.errors import GrangeError
from grange_node.errors import EndsNode

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0

log = logging.getLogger("grange.farm")

Sleep = Callable[[float], Awaitable[None]]


async def forever(
    name: str,
    tick: Callable[[], Awaitable[object]],
    pause_seconds: Callable[[], float],
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Call `tick` again and again until cancelled. Raises EndsNode."""
    backoff = 0.0
    complaint = ""
    while True:
        try:
            await tick()
        except EndsNode:
            raise
        except GrangeError as error:
            backoff = min(max(2 * backoff, FIRST_BACKOFF_SECONDS), LONGEST_BACKOFF_SECONDS)
            if str(error) != complaint:
                log.warning("%s: %s; trying again", name, error)
                complaint = str(error)
        except Exception:
            backoff = min(max(2 * backoff, FIRST_BACKOFF_SECONDS), LONGEST_BACKOFF_SECONDS)
            log.exception("%s: this is a bug; going on", name)
        else:
            if complaint:
                log.info("%s: works again", name)
            backoff, complaint = 0.0, ""
        await sleep(backoff or pause_seconds())

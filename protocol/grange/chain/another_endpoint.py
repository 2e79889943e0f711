"""Reading by another endpoint where the one in use does not show what must be there, and naming that one.

    state = await read_unless_refused(rpc, read)           an endpoint may refuse what it does not have
    state = await read_what_is_shown(rpc, Shown(...))      or show less than there must be

An endpoint is named only when another one shows what it did not: what none of them shows may not be there.
Decides who is asked next, and who is named. Leaves what must be there to the callers, whom to ask first to
`rpc`, and values that can be compared to `witnesses`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from grange.chain.connection import Connection
from grange.chain.errors import AnswerTooLong, BlocksMissing, EndpointsUnavailable, RpcError
from grange.chain.rpc import Rpc
from grange.errors import GrangeError

Read = TypeVar("Read")


def refused_events(error: GrangeError) -> GrangeError | None:
    """Why an endpoint gave no events up to the block that it calls the newest, if it is one of its own
    reasons: nodes refuse what lies behind the blocks that they have, and some have no old ones."""
    failures = error.failures if isinstance(error, EndpointsUnavailable) else (error,)
    return next((one for one in failures if isinstance(one, (AnswerTooLong, BlocksMissing, RpcError))), None)


def without_events(refusal: GrangeError) -> str:
    """What is said of an endpoint that refused events which another one shows."""
    return f"did not show the market's events, which another one shows ({refusal})"


async def read_unless_refused(
    rpc: Rpc,
    read: Callable[[], Awaitable[Read]],
    refusal_of: Callable[[GrangeError], GrangeError | None] = refused_events,
    reason: Callable[[GrangeError], str] = without_events,
) -> Read:
    """What is read by the first endpoint that does not refuse it; those that do are named then.

    `refusal_of` gives an error, or one inside it, for which another endpoint is asked; `reason` is what is
    said of an endpoint that raised it. Raises what the last one refuses, and all other errors of `read`.
    """
    refused: dict[Connection, GrangeError] = {}
    for _ in rpc.connections[1:]:
        try:
            result = await read()
            break
        except GrangeError as error:
            refusal = refusal_of(error)
            left = None if refusal is None else rpc.ask_another()
            if refusal is None or left is None:
                raise
            refused[left] = refusal
    else:
        result = await read()
    for connection, refusal in refused.items():
        rpc.accuse(connection, reason(refusal))
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown(Generic[Read]):
    """Events that are read, and what must be among them."""

    read: Callable[[], Awaitable[Read]]
    """Reads on from where it stands, by the endpoint in use."""
    lacks: Callable[[Read], Awaitable[bool]]
    """Whether something must be there that was not shown."""
    count: Callable[[Read], Awaitable[int]]
    """How much was shown so far."""
    begin_again: Callable[[], Awaitable[None]]
    """Makes the next reading one from the beginning. Called where nothing was shown."""
    what: Callable[[int], str]
    """What an endpoint hid, in words, if it was so much."""


async def read_what_is_shown(rpc: Rpc, shown: Shown[Read]) -> Read:
    """What is read in the end, by as many endpoints as it takes until nothing is missing. Those that refused
    it, or showed less than another, are named. Raises what the last one refuses, and what `shown` raises."""
    result = await read_unless_refused(rpc, shown.read)
    for _ in rpc.connections[1:]:
        if not await shown.lacks(result):
            break
        before = await shown.count(result)
        left = rpc.ask_another()
        if not before:
            await shown.begin_again()
        result = await read_unless_refused(rpc, shown.read)
        more = await shown.count(result) - before
        if left is not None and more > 0:
            rpc.accuse(left, f"did not show {shown.what(more)}")
    return result

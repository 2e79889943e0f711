"""Which order is meant: a name, or the beginning of an id.

Pure. Decides what counts as a match, and what to say when there is none or more than one.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from grange.errors import GrangeError
from grange.types import OrderId
from grange_client.errors import OrderMissing, UnknownOrder
from grange_client.orders.catalog import Known

MIN_ID_CHARACTERS = 2
SHOWN_ID_CHARACTERS = 8
MAX_SHOWN = 5


def find_order(wanted: str, orders: Sequence[Known], missing: Sequence[Known]) -> Known:
    """The newest order of this name, or the only one whose id begins so. `orders` are the newest first.

    Raises UnknownOrder, and OrderMissing for one that is in `missing`: those that the chain has shown before.
    An older order is not taken for it: anyone who asks by name wants what was stored last.
    """
    if found := _named(wanted, orders):
        newer = [known for known in missing if known.is_newer_than(found)]
        if newer:
            raise _newest_missing(newer, found)
        return found
    if found := _by_id(wanted, orders):
        return found
    if lost := _named(wanted, missing) or _by_id(wanted, missing):
        raise order_missing([lost])
    digits = _digits(wanted)
    if 0 < len(digits) < MIN_ID_CHARACTERS and any(_begins(known, digits) for known in orders):
        raise UnknownOrder(
            f"There is no order called {wanted!r}.",
            detail=f"If it is the beginning of an id: at least {MIN_ID_CHARACTERS} digits are needed.",
            hint="`grange orders ls` shows what there is.",
        )
    unread = sum(known.name is None for known in orders)
    names_of = "name of an order" if unread == 1 else f"names of {unread} orders"
    names = sorted({known.name for known in orders if known.name})
    close = get_close_matches(wanted, names, n=1)
    raise UnknownOrder(
        f"There is no order called {wanted!r}.",
        detail=f"The {names_of} could not be read." if unread else "",
        hint=(f"Did you mean {close[0]!r}? " if close else "") + "`grange orders ls` shows what there is.",
    )


def order_missing(missing: Sequence[Known]) -> OrderMissing:
    """What to say of orders that the chain has shown before and does not show now."""
    shown = ", ".join(describe_order(known) for known in missing[:MAX_SHOWN])
    more = f" and {len(missing) - MAX_SHOWN} more" if len(missing) > MAX_SHOWN else ""
    were = "an order that was" if len(missing) == 1 else f"{len(missing)} orders that were"
    return OrderMissing(
        f"The endpoint does not show {were} on the chain before: {shown}{more}.",
        detail="Either it shows an old or another chain, or a reorganization took the transaction back.",
        hint="Run this again in a minute, or use another endpoint: `rpc` in config.json. "
        "What no endpoint shows is not stored: store it again.",
    )


def _newest_missing(missing: Sequence[Known], older: Known) -> OrderMissing:
    error = order_missing(missing)
    return OrderMissing(
        error.message,
        detail=f"{error.detail} An older one of that name is there: {describe_order(older)}.",
        hint=f"{error.hint} The older one is fetched by its id.",
    )


def describe_order(known: Known) -> str:
    """An order in a sentence: "3fa9c1d2 (Pictures)"."""
    short = known.order.id.hex()[:SHOWN_ID_CHARACTERS]
    return f"{short} ({known.name})" if known.name else short


def with_id(wanted: str, orders: Sequence[Known]) -> list[Known]:
    """The order whose id begins so, if that can't be meant as a name; else none."""
    digits = _digits(wanted)
    found = [known for known in orders if _begins(known, digits)]
    return found if len(found) == 1 and len(digits) >= SHOWN_ID_CHARACTERS else []


def unread_notice(unread: Mapping[OrderId, GrangeError]) -> list[str]:
    """What to say of orders of which the name could not be read, and why; nothing if there are none."""
    if not unread:
        return []
    order, error = next(iter(unread.items()))
    short = order.hex()[:SHOWN_ID_CHARACTERS]
    if len(unread) == 1:
        which = f"The name of order {short} could not be read"
    else:
        which = f"The names of {len(unread)} orders could not be read, that of {short} for this reason"
    return [f"{which}: {error}"]


def _named(wanted: str, orders: Sequence[Known]) -> Known | None:
    return next((known for known in orders if known.name == wanted), None)


def _by_id(wanted: str, orders: Sequence[Known]) -> Known | None:
    digits = _digits(wanted)
    found = [known for known in orders if _begins(known, digits)]
    if len(digits) < MIN_ID_CHARACTERS or not found:
        return None
    if len(found) > 1:
        raise UnknownOrder(
            f"{wanted!r} fits several orders: {', '.join(map(describe_order, found[:MAX_SHOWN]))}.",
            hint="Give more digits.",
        )
    return found[0]


def _digits(wanted: str) -> str:
    return wanted.lower().removeprefix("0x")


def _begins(known: Known, digits: str) -> bool:
    return known.order.id.hex().startswith(digits)

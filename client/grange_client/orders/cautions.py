"""What a renter should know before it agrees to an order, and of one that was cut short. Pure: values in,
sentences out."""

from collections.abc import Iterable
from typing import Final

from grange.token_unit import TokenUnit
from grange.transfer.selection import Choice, Requirements, contender
from grange.transfer.spread import TRIED_EPOCHS, Trust
from grange.units import GIB, rate_rounded_up
from grange_client.orders.catalog import Known
from grange_client.orders.lookup import SHOWN_ID_CHARACTERS
from grange_client.orders.placements import NOT_MINED, Placement
from grange_client.orders.plan import SMALL_CODE

ROUNDED_PART: Final = 10
"""A tenth that rounding adds is said."""


def code_text(k: int, n: int, size: str) -> str:
    """Who keeps an order, and how many of them may fail. `size` is what each keeps."""
    if n == 1:
        return f"1 farmer, {size}; if it fails, everything is lost"
    if k == n:
        return f"{n} farmers, {size} each; if one fails, everything is lost"
    enough = "any one gives it back" if k == 1 else f"any {k} give it back"
    return f"{n} farmers, {size} each; {enough}, so {n - k} may fail"


def unfinished_attempts(placements: Iterable[Placement], name: str, block: int) -> tuple[str, ...]:
    """What is open of earlier attempts to store the same, of which nobody saw what became of them: they may
    have been sent before they were interrupted, or wait for the next command to place them."""
    return tuple(
        _unfinished(one)
        for one in placements
        if one.name == name and one.order.block == NOT_MINED and one.last_block > block
    )


def stored_already(orders: Iterable[Known], name: str, epoch: int) -> tuple[str, ...]:
    """That what is stored under this name is kept beside the new one, and paid for. `orders` have the newest
    first."""
    kept = [one for one in orders if one.name == name and one.order.end > epoch]
    if not kept:
        return ()
    short = kept[0].order.id.hex()[:SHOWN_ID_CHARACTERS]
    others = len({one.order.sealed_as for one in kept}) - 1
    several = f" and {others} more" if others else ""
    return (
        f"{name} is stored already, as order {short}{several}. This is stored, and paid for, beside that: "
        "`orders get` takes the newest, an older one by its id. To keep what is there for longer: "
        f"grange orders extend {short}. In a drive (`grange put`) a new version costs what changed.",
    )


def _unfinished(placement: Placement) -> str:
    short, name = placement.order.id.hex()[:SHOWN_ID_CHARACTERS], placement.name
    if placement.is_acknowledged:
        return (
            f"Farmers have signed for an earlier order {short} of {name}, and what stored it ended before it"
            f" was placed. Until block {placement.last_block} `grange orders ls` places it, and then you"
            " pay for both."
        )
    return (
        f"An earlier attempt to store {name} was cut short. If it was sent, order {short} may still be placed"
        f" until block {placement.last_block}, and be paid for too. `grange orders ls` shows whether it is"
        " there."
    )


def cut_short_text(noted: Placement | None) -> str:
    """What an interrupted `put` leaves behind, by what it wrote down."""
    if noted is None:
        return "Nothing was placed and nothing is paid: not all farmers had signed yet."
    short = noted.order.id.hex()[:SHOWN_ID_CHARACTERS]
    if noted.order.block == NOT_MINED:
        return (
            f"All farmers had signed, and the transaction may have been sent: order {short} may still be "
            f"placed, and be paid for, until block {noted.last_block}."
        )
    return f"Order {short} is placed and paid, in block {noted.order.block}; no later ones were waited for."


def rounding(
    rates: Iterable[tuple[int, int]], slot_bytes: int, epochs: int, unit: TokenUnit
) -> tuple[str, ...]:
    """That more than a tenth is paid beyond what farmers ask, since rates are whole base units. `rates` has
    the asked price of a GiB and the rate of each slot. Where a base unit is next to nothing, nothing is
    said."""
    slots = [(price, rate) for price, rate in rates if not unit.is_free(rate)]
    added = sum(
        rate * GIB - price * slot_bytes
        for price, rate in slots
        # Any other rate was agreed to otherwise.
        if rate == max(1, rate_rounded_up(price, slot_bytes))
    )
    cost = sum(rate for _, rate in slots)
    if added * (ROUNDED_PART + 1) <= cost * GIB:
        return ()
    more = added * epochs // GIB
    return (
        f"{unit.number(more)} of the {unit.exact(cost * epochs)} come from rounding: in each epoch a slot "
        f"costs whole base units, {unit.exact(1)} at least. The larger an order, the less of it that is.",
    )


def cautions(choice: Choice, needed: Requirements) -> tuple[str, ...]:
    """What speaks against these farmers, though they are the best that there are."""
    chosen = [contender(one.candidate, needed) for one in choice.ranked[: needed.n]]
    strangers = sum(one.trust is Trust.STRANGER for one in chosen)
    cheap = sum(one.cheap for one in chosen)
    friends = sum(
        one.friend and not keeper.candidate.is_friend
        for one, keeper in zip(chosen, choice.ranked, strict=False)
    )
    said = []
    if needed.n < SMALL_CODE[1]:
        k, n = SMALL_CODE
        said.append(
            f"Few farmers may fail before the data is lost. Where {n} farmers can take a part, any {k} of "
            f"{n} is usual."
        )
    if choice.young and strangers:
        said.append(
            f"This market is young: {strangers} of the {needed.n} farmers have proven fewer than "
            f"{TRIED_EPOCHS} epochs, or keep little, and have proven none for you. Nothing shows yet that "
            "they keep what they take."
        )
    if cheap:
        said.append(
            f"{cheap} of the {needed.n} farmers ask less than half of what is usual here, so they have "
            "little to lose if they break their word."
        )
    if friends:
        said.append(
            f"{friends} of the {needed.n} farmers ask less than half of what is usual here, and have kept "
            f"what is yours for {TRIED_EPOCHS} epochs. If they are not your own, they have little to lose."
        )
    return tuple(said)

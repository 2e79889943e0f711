"""Which slots may be handed over together, and how the market wants them shown. Pure.

What is left of a book must be enough to be drawn from, unless what goes stands at its front (`remainder` has
the rule). The market looks at what goes of a book together; here each that is chosen leaves enough with those
before it.
"""

from __future__ import annotations

from collections.abc import Iterable

from grange.audit import BookState
from grange.chain.orders import OrderState
from grange.messages import held_group
from grange.types import NO_LIMIT, Epoch, Parting, Passing, Takeover
from grange_node.leaving.remainder import Remainder


def passable(book: BookState, wanted: Iterable[int], epoch: Epoch, *, most: int = NO_LIMIT) -> list[int]:
    """Those of the entries, by index, that can be handed over in `epoch`, in the order in which to do it.

    Together they are paid `most` base units an epoch at most.
    """
    remainder, chosen = Remainder(book, epoch), list[int]()
    for index in sorted(wanted):
        entry = book.entries[index]
        if index in book.lost_epochs or not entry.from_epoch <= epoch < book.end - 1 or entry.rate > most:
            continue
        if remainder.allows([*chosen, index]):
            chosen.append(index)
            most -= entry.rate
    return chosen


def passing_of(order_state: OrderState, book: BookState, index: int, takeover: Takeover) -> Passing:
    """A slot as `handOver` takes it."""
    return Passing(
        held=held_group(order_state.held, takeover.slot),
        index=index,
        first=book.entries[index].first,
        path=tuple(book.mountain.path(index)),
        takeover=takeover,
    )


def partings_of(passings: Iterable[tuple[BookState, Passing]]) -> list[Parting]:
    """Slots of several books as `handOver` takes them, in the same order within each book."""
    by_book: dict[tuple[Epoch, bool], list[Passing]] = {}
    for book, passing in passings:
        by_book.setdefault((book.end, book.extension), []).append(passing)
    return [
        Parting(end=end, extension=extension, passings=tuple(those))
        for (end, extension), those in by_book.items()
    ]

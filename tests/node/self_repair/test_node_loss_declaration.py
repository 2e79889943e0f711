"""Which slots a farm may declare lost at once: as much as the market takes, the last of a book together."""

import pytest

from grange.audit import BookState
from grange.types import Epoch, OrderId
from grange_node.self_repair.loss_declaration import MAX_DECLARED, declarable

NOW = Epoch(5)
END = Epoch(40)


def book(*rates: int, lost: int = 0, extension: bool = False, epoch: int = 2) -> BookState:
    """Slots of these rates, placed in one epoch, of which the first are lost."""
    made = BookState(END, extension=extension)
    for number, rate in enumerate(rates):
        order = OrderId(number.to_bytes(32))
        made.add(epoch=Epoch(epoch), order=order, slot=0, root=bytes(32), leaf_count=1, rate=rate)
    for index in range(lost):
        made.lose(index, Epoch(epoch + 1))
    return made


def test_all_of_a_book_go_together() -> None:
    assert declarable(book(*[7] * 50), range(50), NOW) == list(range(50))


def test_what_is_left_of_a_book_goes_together() -> None:
    assert declarable(book(*[7] * 50, lost=45), range(50), NOW) == [45, 46, 47, 48, 49]


def test_a_32nd_by_pay_stays_where_not_all_go() -> None:
    """Of 64 equal slots two must live on: with one that is kept, one more."""
    assert declarable(book(*[7] * 64), range(63), NOW) == list(range(62))
    assert declarable(book(*[7] * 64, lost=62), [62], NOW) == []


def test_of_those_that_may_not_all_go_the_dearest_go() -> None:
    assert declarable(book(1, 31, 1), range(2), NOW) == [1]


def test_what_is_too_much_for_one_transaction_is_for_the_next() -> None:
    slots = book(*[7] * (MAX_DECLARED + 60))
    first = declarable(slots, range(MAX_DECLARED + 60), NOW)
    assert len(first) == MAX_DECLARED
    for index in first:
        slots.lose(index, NOW)
    assert len(declarable(slots, range(MAX_DECLARED + 60), NOW)) == 60


def test_nothing_goes_that_has_not_begun_is_over_or_is_lost() -> None:
    assert declarable(book(7, 7, epoch=5), [0, 1], NOW) == []
    assert declarable(book(7, 7), [0, 1], END) == []
    assert declarable(book(7, 7, lost=1), [0], NOW) == []


def test_of_extensions_enough_of_what_has_begun_stays_too() -> None:
    """A large one that begins later does not make up for what is asked until then."""
    slots = book(*[7] * 40, extension=True)
    slots.add(epoch=Epoch(23), order=OrderId(b"e" * 32), slot=0, root=bytes(32), leaf_count=1, rate=10_000)
    assert declarable(slots, range(39), NOW) == list(range(38))
    assert declarable(slots, range(40), NOW) == list(range(40))


@pytest.mark.parametrize("wanted", [[], [0]])
def test_a_book_of_one(wanted: list[int]) -> None:
    assert declarable(book(7), wanted, NOW) == wanted

"""Which slots a farm may declare lost at once: as much as the market takes, the last of a book together."""

import pytest

from grange.audit import BookState
from grange.chain import Farmer, Wallet
from grange.types import NO_LIMIT, Address, Epoch, FarmerId, Offer, OrderId
from grange_node.leaving.remainder import left_to_lose
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
    """Of 64 equal slots two must live on: with the first, one more."""
    assert declarable(book(*[7] * 64), range(1, 64), NOW) == list(range(1, 63))
    slots = book(*[7] * 64)
    for index in range(1, 63):
        slots.lose(index, NOW)
    assert declarable(slots, [63], NOW) == []


def test_a_book_is_given_up_from_its_front_to_the_last_slot_in_calls_of_any_size() -> None:
    """10,000 equal slots but the last: as many calls as it takes, and what is left is never too little."""
    slots = book(*[7] * 10_000)
    calls = 0
    while wanted := [index for index in range(9_999) if index not in slots.lost_epochs]:
        chosen = declarable(slots, wanted, NOW)
        assert len(chosen) == min(MAX_DECLARED, len(wanted))
        for index in chosen:
            slots.lose(index, NOW)
        calls += 1
    assert (calls, slots.rate_asked(Epoch(NOW + 1)), slots.front_at_start(Epoch(NOW + 1))) == (100, 7, 69_993)


def test_what_was_lost_in_another_order_makes_room_once_it_is_cut_off() -> None:
    slots = book(1, 3100, 100, 100)
    slots.lose(1, NOW)
    slots.lose(0, NOW)
    assert declarable(slots, [2], NOW) == []
    assert len(slots.cut_front(NOW)) == 1
    assert declarable(slots, [2], NOW) == [2]


def test_of_those_that_may_not_all_go_the_dearest_go() -> None:
    assert declarable(book(1, 1, 31), [1, 2], NOW) == [2]


def test_what_stands_at_the_front_goes_whatever_is_left() -> None:
    assert declarable(book(1, 31, 1), range(2), NOW) == [0, 1]


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
    assert declarable(slots, range(1, 40), NOW) == list(range(1, 39))
    assert declarable(slots, range(40), NOW) == list(range(40))


@pytest.mark.parametrize("wanted", [[], [0]])
def test_a_book_of_one(wanted: list[int]) -> None:
    assert declarable(book(7), wanted, NOW) == wanted


def test_no_more_goes_than_the_owner_lets_the_operator_give_up() -> None:
    slots = book(3, 9, 5, 4)
    assert declarable(slots, range(4), NOW, most=21) == [0, 1, 2, 3]
    assert declarable(slots, range(1, 4), NOW, most=20) == [1, 2, 3]
    assert declarable(slots, range(4), NOW, most=20) == [0, 1, 2]
    assert declarable(slots, range(4), NOW, most=8) == [0, 2]
    assert declarable(slots, range(4), NOW, most=2) == []


def test_what_was_given_up_in_the_epoch_counts_against_the_limit_but_not_for_an_owner() -> None:
    lost = book(3, 9, 5, 4, lost=2)
    owner, operator = Wallet(b"\x11" * 32).address, Wallet(b"\x12" * 32).address
    assert left_to_lose(farmer(owner, operator, loss_limit=15), [lost], Epoch(3)) == 3
    assert left_to_lose(farmer(owner, operator, loss_limit=15), [lost], Epoch(4)) == 15
    assert left_to_lose(farmer(owner, owner, loss_limit=15), [lost], Epoch(3)) == NO_LIMIT


def farmer(owner: Address, operator: Address, *, loss_limit: int) -> Farmer:
    return Farmer(
        id=FarmerId(1),
        owner=owner,
        operator=operator,
        stake=1,
        committed_rate=21,
        settled_epoch=Epoch(0),
        misses=0,
        strikes=0,
        epochs_proven=0,
        registered_block=0,
        lapsed=False,
        ceiling=NO_LIMIT,
        loss_limit=loss_limit,
        endpoint="",
        offer=Offer(price_per_gib_epoch=1, egress_price_per_gib=0, capacity_bytes=1, longest_term_epochs=1),
    )

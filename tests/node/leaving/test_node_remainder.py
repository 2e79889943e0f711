"""A book of 10,000 slots is left in bounded calls, to the last that is to go, wherever some stay."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from grange.audit import BookState
from grange.types import NO_LIMIT, Epoch, OrderId
from grange_node.leaving.passing import passable
from grange_node.leaving.remainder import MAX_HANDED_OVER, Remainder, in_the_way
from grange_node.self_repair.loss_declaration import MAX_DECLARED, declarable

NOW = Epoch(5)
END = Epoch(400)
MANY = 10_000
LISTED = 200


def book_of(*rates: int, extension: bool = False, epoch: int = 2) -> BookState:
    book = BookState(END, extension=extension)
    for number, rate in enumerate(rates):
        order = OrderId(number.to_bytes(32))
        book.add(epoch=Epoch(epoch), order=order, slot=0, root=bytes(32), leaf_count=1, rate=rate)
    return book


@dataclass
class Leaving:
    """A farm that leaves a book as the market lets it: each call is held against the rule, by own sums."""

    book: BookState
    stays: set[OrderId]
    epoch: Epoch = NOW
    calls: list[int] = field(default_factory=list)
    """Slots in each call that parts with some."""
    moves: list[int] = field(default_factory=list)
    alive: int = field(init=False)
    front: int = 0

    def __post_init__(self) -> None:
        lost = sum(self.book.entries[index].rate for index in self.book.lost_epochs)
        self.alive = self.book.rate_before + self.book.rate_added - lost

    def wanted(self) -> list[int]:
        entries, lost = self.book.entries, self.book.lost_epochs
        return [i for i, one in enumerate(entries) if i not in lost and one.order not in self.stays]

    def part(self, indices: list[int]) -> None:
        assert 0 < len(indices) <= MAX_DECLARED
        self._lose(indices)
        every = self.book.rate_before + self.book.rate_added
        assert not self.alive or self.alive * 32 >= every - self.front
        self.calls.append(len(indices))

    def move(self, indices: list[int]) -> None:
        """To itself, which the market lets pass whatever is left: from the front only."""
        first = len(self.book.cut_epochs)
        assert 0 < len(indices) <= MAX_HANDED_OVER
        assert indices == list(range(first, first + len(indices)))
        self._lose(indices)
        for index in indices:
            one = self.book.entries[index]
            values = {"root": one.root, "leaf_count": one.leaf_count, "rate": one.rate}
            self.book.add(epoch=self.epoch, order=one.order, slot=one.slot, **values)
            self.alive += one.rate
        self.moves.append(len(indices))

    def cut(self) -> None:
        before = len(self.book.cut_epochs)
        self.book.cut_front(self.epoch)
        self.front += sum(one.rate for one in self.book.entries[before : len(self.book.cut_epochs)])

    def _lose(self, indices: Iterable[int]) -> None:
        before = len(self.book.cut_epochs)
        for index in indices:
            assert self.book.entries[index].from_epoch <= self.epoch, "it has begun"
            self.alive -= self.book.entries[index].rate
            self.book.lose(index, self.epoch)
        self.front += sum(one.rate for one in self.book.entries[before : len(self.book.cut_epochs)])

    def give_up(self) -> None:
        """As a `LossDeclarer` does."""
        while wanted := self.wanted():
            self.cut()
            if moved := in_the_way(self.book, wanted, self.epoch):
                self.move(moved)
            elif chosen := declarable(self.book, wanted, self.epoch):
                self.part(chosen)
            else:
                self.wait()

    def hand_over(self, held_back: int = 0) -> None:
        """As a `Giver` does, which looks at some of its list at a time; the first few find no taker."""
        while wanted := [index for index in self.wanted() if index >= held_back]:
            self.cut()
            listed = wanted[:LISTED]
            if chosen := passable(self.book, listed, self.epoch)[:MAX_HANDED_OVER]:
                self.part(chosen)
            elif moved := in_the_way(self.book, listed, self.epoch):
                self.move(moved)
            else:
                self.wait()

    def wait(self) -> None:
        """What was moved begins with the next epoch."""
        self.epoch = Epoch(self.epoch + 1)
        assert self.epoch < NOW + 5, "it is stuck"


def orders(book: BookState, *indices: int) -> set[OrderId]:
    return {book.entries[index].order for index in indices}


@pytest.mark.parametrize("stays", [0, 5_000, 9_999])
def test_all_but_one_slot_are_given_up_wherever_that_stands(stays: int) -> None:
    book = book_of(*[7] * MANY)
    left = Leaving(book, orders(book, stays))
    left.give_up()
    assert sum(left.calls) == MANY - 1
    assert len(left.calls) <= MANY // MAX_DECLARED + 1
    assert sum(left.moves) == (stays < MANY - 1), "nothing is moved that is not in the way"
    assert (left.alive, left.epoch) == (7, NOW)


def test_all_but_the_first_are_handed_over_where_that_finds_no_taker() -> None:
    book = book_of(*[7] * MANY)
    left = Leaving(book, orders(book, 0))
    left.hand_over()
    assert (sum(left.calls), left.moves, left.alive) == (MANY - 1, [1], 7)
    assert len(left.calls) <= (MANY - 1) // MAX_HANDED_OVER + 2


def test_all_are_handed_over_from_the_front_on() -> None:
    left = Leaving(book_of(*[7] * MANY), set())
    left.hand_over()
    assert (left.calls, left.moves, left.alive) == ([MAX_HANDED_OVER] * 416 + [16], [], 0)


@pytest.mark.parametrize("seed", range(20))
def test_unequal_slots_go_wherever_those_that_stay_stand(seed: int) -> None:
    chance = random.Random(seed)
    rates = [chance.choice([1, 1, 7, 50, 3_000]) for _ in range(400)]
    for leave in (Leaving.give_up, Leaving.hand_over):
        book = book_of(*rates)
        left = Leaving(book, orders(book, *chance.sample(range(400), chance.choice([1, 5, 40]))))
        leave(left)
        assert not left.wanted()


def test_slots_that_were_lost_within_are_cut_off_when_the_first_is_moved() -> None:
    """As many as may go are gone, the first is healthy, and then the farm can move it."""
    book = book_of(*[7] * MANY)
    left = Leaving(book, orders(book, 0))
    while chosen := declarable(book, left.wanted(), NOW):
        left.part(chosen)
    assert len(left.wanted()) == 312, "of the 32nd, the first is one"
    left.give_up()
    assert (left.moves, left.wanted()) == ([1], [])


def test_a_slot_that_is_to_go_is_moved_where_too_much_was_lost_behind_it() -> None:
    """The first goes bad when much was given up behind it: what is left without it is too little."""
    book = book_of(100, 1_000, 1)
    book.lose(1, NOW)
    assert not Remainder(book, NOW).allows([0])
    left = Leaving(book, orders(book, 2))
    left.give_up()
    assert sum(left.moves) == 2, "the first, and once what is lost is cut off, the one that stays"
    assert (left.alive, left.epoch) == (1, NOW + 1)


def test_nothing_is_moved_where_all_can_go_without_it() -> None:
    assert in_the_way(book_of(*[7] * 64), range(1, 63), NOW) == []
    assert in_the_way(book_of(*[7] * 64), range(64), NOW) == []
    assert in_the_way(book_of(*[7] * 64), [], NOW) == []
    assert in_the_way(book_of(*[7] * 64), range(1, 64), NOW) == [0]
    assert in_the_way(book_of(*[7] * 64), [*range(40), *range(41, 64)], NOW) == [], (
        "what is before it goes first"
    )


def test_no_more_is_moved_at_once_than_a_transaction_takes_or_the_owner_allows() -> None:
    rates = [1] * 40 + [10_000]
    assert in_the_way(book_of(*rates), [40], NOW) == list(range(MAX_HANDED_OVER))
    assert in_the_way(book_of(*rates), [40], NOW, most=3) == [0, 1, 2]
    assert in_the_way(book_of(*rates), [40], NOW, most=0) == []


def test_nothing_is_moved_that_has_not_begun_or_that_ends_with_the_next_epoch() -> None:
    assert in_the_way(book_of(1, 10_000, epoch=5), [1], NOW) == []
    assert in_the_way(book_of(1, 10_000), [1], Epoch(END - 2)) == [0]
    assert in_the_way(book_of(1, 10_000), [1], Epoch(END - 1)) == []


def test_of_extensions_those_that_stay_leave_for_the_other_book_before_the_rest_goes() -> None:
    """There each counts as gone: so they go while enough is left, and the rest goes all together."""
    book = book_of(1, *[31] * 4, extension=True)
    assert in_the_way(book, range(1, 5), NOW) == [0]
    assert in_the_way(book_of(1, 10_000, 1, extension=True), [1], NOW) == [0]
    book = book_of(5, 20, 1, extension=True)
    book.lose(1, NOW)
    assert in_the_way(book, [2], NOW) == [], "it would leave 1 of 26"


def test_there_is_no_limit_unless_one_is_set() -> None:
    assert in_the_way(book_of(1, 10_000), [1], NOW, most=NO_LIMIT) == [0]

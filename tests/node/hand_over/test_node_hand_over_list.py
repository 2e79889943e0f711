"""The list of slots to hand over, which a command writes and a farm reads at the same time."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from grange.audit import BookState
from grange.types import Epoch, FarmerId, OrderId
from grange_node.hand_over.list_file import HandOver, HandOverList
from grange_node.leaving.passing import passable

ONE, TWO = OrderId(b"\x01" * 32), OrderId(b"\x02" * 32)


def test_what_was_asked_for_is_there_with_how_far_it_came(tmp_path: Path) -> None:
    path = tmp_path / "list"
    with HandOverList.open(path) as farm, HandOverList.open(path) as command:
        command.add([(ONE, 3), (TWO, 4)], [])
        brought = HandOver(
            order=ONE, slot=3, taker=FarmerId(8), declined=(FarmerId(7),), note="farmer 7 has no room"
        )
        assert farm.save(brought)
        assert command.all() == farm.all() == [brought, HandOver(order=TWO, slot=4)]
        command.remove([(ONE, 3)])
        assert not farm.save(brought), "it is not to be handed over any more"
    with HandOverList.look(path) as shown:
        assert [one.place for one in shown.all()] == [(TWO, 4)]


def test_asked_again_what_is_under_way_goes_on_if_it_may(tmp_path: Path) -> None:
    with HandOverList.open(tmp_path / "list") as hand_overs:
        hand_overs.add([(ONE, 3)], [])
        hand_overs.save(HandOver(order=ONE, slot=3, taker=FarmerId(8)))
        hand_overs.add([(ONE, 3)], [FarmerId(8), FarmerId(9)])
        [kept] = hand_overs.all()
        assert (kept.taker, kept.wanted) == (8, (8, 9))
        hand_overs.add([(ONE, 3)], [FarmerId(9)])
        [other] = hand_overs.all()
        assert (other.taker, other.wanted) == (0, (9,))


def test_who_had_all_bytes_twice_and_did_not_sign_is_remembered_until_it_is_asked_for_again(
    tmp_path: Path,
) -> None:
    path, seven, eight = tmp_path / "list", FarmerId(7), FarmerId(8)
    with HandOverList.open(path) as hand_overs:
        hand_overs.add([(ONE, 3)], [])
        hand_overs.save(HandOver(order=ONE, slot=3, unsigned=(seven, eight, seven)))
    with HandOverList.open(path) as hand_overs:
        assert hand_overs.all()[0].avoided == {seven}
        hand_overs.add([(ONE, 3)], [])
        assert not hand_overs.all()[0].unsigned


def test_a_list_of_before_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "list"
    with HandOverList.open(path) as hand_overs:
        hand_overs.add([(ONE, 3)], [])
    with closing(sqlite3.connect(path)) as before, before:
        before.executescript(
            "ALTER TABLE hand_overs DROP COLUMN unsigned; PRAGMA user_version = 1; PRAGMA application_id = 0;"
        )
    with HandOverList.open(path) as hand_overs:
        assert hand_overs.all() == [HandOver(order=ONE, slot=3)]


def test_a_list_that_is_damaged_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"no database" * 1000)
    with HandOverList.open(path) as hand_overs:
        assert hand_overs.all() == []


def book_of(*rates: int, end: int = 40) -> BookState:
    """A book whose slots began with epoch 2."""
    book = BookState(Epoch(end))
    for number, rate in enumerate(rates):
        book.add(
            epoch=Epoch(1),
            order=OrderId(bytes([number]) * 32),
            slot=0,
            root=bytes(32),
            leaf_count=1,
            rate=rate,
        )
    return book


def test_a_whole_book_passes_from_its_front_on() -> None:
    assert passable(book_of(5, 5, 5), [2, 0, 1], Epoch(3)) == [0, 1, 2]


def test_from_within_a_book_no_more_than_leaves_a_32nd_alive() -> None:
    book = book_of(1, 31, 32)
    assert passable(book, [1, 2], Epoch(3)) == [1], "the one after it would leave 1 of 64"
    assert passable(book, [0, 1, 2], Epoch(3)) == [0, 1, 2]


@pytest.mark.parametrize(("epoch", "passing"), [(1, []), (2, [0]), (38, [0]), (39, [])])
def test_a_slot_passes_once_it_has_begun_and_before_its_last_epoch(epoch: int, passing: list[int]) -> None:
    """The taker begins with the next epoch, which must be before the end."""
    assert passable(book_of(5), [0], Epoch(epoch)) == passing


def test_what_is_lost_does_not_pass_and_a_limit_is_kept() -> None:
    book = book_of(5, 5, 5, 5)
    book.lose(1, Epoch(3))
    assert passable(book, [0, 1, 2, 3], Epoch(3), most=10) == [0, 2]

"""Audits: what is drawn, what answers it, and what does not."""

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from grange import audit
from grange.audit import BookState, verify_proof
from grange.errors import (
    BadProof,
    Misuse,
    WrongDepth,
    WrongEpoch,
    WrongIndex,
    WrongLeaf,
    WrongPath,
    WrongSlot,
)
from grange.types import Epoch, FarmerId, OrderId
from grange.units import MAX_RATE

from .farm import Farm

SEED = keccak(b"seed")
SAMPLES = 5
EPOCH = 4


def small_farm() -> Farm:
    """Three books, slots of odd and even leaf counts, and one placed in the epoch that is audited."""
    farm = Farm(farmer=FarmerId(9))
    placed = [(16, 0, 5, 70), (8, 1, 1, 20), (16, 1, 12, 400), (24, 2, 7, 35), (16, 3, 33, 90), (8, 3, 2, 10)]
    for end, epoch, leaf_count, rate in placed:
        farm.add(end=end, epoch=epoch, leaf_count=leaf_count, rate=rate)
    farm.add(end=24, epoch=EPOCH, leaf_count=3, rate=1000)
    return farm


@st.composite
def farms(draw: st.DrawFn) -> Farm:
    farm = Farm(farmer=FarmerId(draw(st.integers(1, 2**32 - 1))))
    epochs = sorted(draw(st.lists(st.integers(0, EPOCH), min_size=1, max_size=12)))
    for epoch in epochs:
        farm.add(
            end=draw(st.sampled_from([8, 16, 24])),
            epoch=epoch,
            leaf_count=draw(st.integers(1, 40)),
            rate=draw(st.integers(1, 1000)),
            extension=draw(st.booleans()),
        )
    return farm


def check(farm: Farm, words: list[bytes], seed: bytes = SEED, **changed: Any) -> None:
    known: dict[str, Any] = {
        "seed": seed,
        "farmer": farm.farmer,
        "epoch": Epoch(EPOCH),
        "current_epoch": Epoch(EPOCH),
        "books": farm.books,
        "samples": SAMPLES,
        "words": words,
    }
    verify_proof(**(known | changed))


@given(farms(), st.binary(min_size=32, max_size=32))
def test_what_is_drawn_can_be_shown_and_holds(farm: Farm, seed: bytes) -> None:
    check(farm, farm.prove(seed, EPOCH, SAMPLES), seed)


@given(farms(), st.binary(min_size=32, max_size=32))
def test_what_is_drawn_is_what_the_contract_draws(farm: Farm, seed: bytes) -> None:
    """By the definition: keccak of the ABI encoding, running sums over books by date."""
    total = sum(book.rate_at_start(Epoch(EPOCH)) for book in farm.books)
    drawn = farm.drawn(seed, EPOCH, SAMPLES)
    assert len(drawn) == (SAMPLES if total else 0)
    for number, one in enumerate(drawn):
        hashed = int.from_bytes(keccak(encode(["bytes32", "uint32", "uint256"], [seed, farm.farmer, number])))
        position = (hashed >> 128) % total
        place = (one.book.extension, one.book.end)
        before = sum(
            book.rate_at_start(Epoch(EPOCH)) for book in farm.books if (book.extension, book.end) < place
        )
        assert one.entry.first <= position - before < one.entry.first + one.entry.rate
        assert one.entry is one.book.entries[one.index]
        assert one.leaf_index == hashed % 2**128 % one.entry.leaf_count


@given(farms(), st.binary(min_size=32, max_size=32))
def test_what_was_added_in_the_epoch_or_later_is_not_asked_for(farm: Farm, seed: bytes) -> None:
    before = [(one.entry, one.leaf_index) for one in farm.drawn(seed, EPOCH, SAMPLES)]
    assert all(entry.from_epoch <= EPOCH for entry, _ in before)
    for end in (8, 16, 32):
        farm.add(end=end, epoch=EPOCH, leaf_count=3, rate=10**6)
    assert [(one.entry, one.leaf_index) for one in farm.drawn(seed, EPOCH, SAMPLES)] == before
    check(farm, farm.prove(seed, EPOCH, SAMPLES), seed)


def test_the_order_of_books_is_no_matter() -> None:
    farm = small_farm()
    words = farm.prove(SEED, EPOCH, SAMPLES)
    farm.books.reverse()
    assert farm.prove(SEED, EPOCH, SAMPLES) == words


def test_books_that_ended_are_not_asked_for() -> None:
    farm = small_farm()
    ends = {one.book.end for one in farm.drawn(SEED, 8, 40)}
    assert ends == {16, 24}
    assert farm.drawn(SEED, 24, 40) == []


def test_slots_are_drawn_by_what_is_paid_for_them() -> None:
    farm = small_farm()
    drawn = farm.drawn(SEED, EPOCH, 4000)
    for book in farm.books:
        for entry in book.entries:
            share = sum(one.entry is entry for one in drawn) / len(drawn)
            expected = entry.rate / 625 if entry.from_epoch <= EPOCH else 0
            assert abs(share - expected) < 0.03


def test_any_changed_bit_of_a_proof_is_noticed() -> None:
    """Every word, four bits of each: the lowest, the highest, two between."""
    farm = small_farm()
    words = farm.prove(SEED, EPOCH, SAMPLES)
    check(farm, words)
    for number, word in enumerate(words):
        for bit in (0, 97, 160, 255):
            changed = (int.from_bytes(word) ^ 1 << bit).to_bytes(32)
            with pytest.raises(BadProof):
                check(farm, [*words[:number], changed, *words[number + 1 :]])


def test_an_old_or_coming_epoch_is_refused() -> None:
    farm = small_farm()
    words = farm.prove(SEED, EPOCH, SAMPLES)
    for current in (EPOCH - 1, EPOCH + 1):
        with pytest.raises(WrongEpoch, match="cannot be proven"):
            check(farm, words, current_epoch=Epoch(current))


def test_another_seed_farmer_or_epoch_asks_for_other_leaves() -> None:
    farm = small_farm()
    words = farm.prove(SEED, EPOCH, SAMPLES)
    with pytest.raises(BadProof):
        check(farm, words, seed=keccak(SEED))
    with pytest.raises(BadProof):
        check(farm, words, farmer=FarmerId(10))
    with pytest.raises(BadProof):
        check(farm, words, epoch=Epoch(5), current_epoch=Epoch(5))


def words_of_first_sample(farm: Farm) -> tuple[list[bytes], list[bytes]]:
    drawn = farm.drawn(SEED, EPOCH, SAMPLES)
    answers = [farm.answer(one) for one in drawn]
    return answers[0], [word for answer in answers[1:] for word in answer]


def test_a_wrong_leaf_is_called_that() -> None:
    farm = small_farm()
    first, rest = words_of_first_sample(farm)
    first[5] = bytes(32)
    with pytest.raises(WrongLeaf):
        check(farm, first + rest)


def test_another_leaf_of_the_same_slot_is_a_wrong_leaf() -> None:
    farm = small_farm()
    drawn = next(one for one in farm.drawn(SEED, EPOCH, SAMPLES) if one.entry.leaf_count > 1)
    first = farm.drawn(SEED, EPOCH, SAMPLES)
    data = farm.slots[drawn.entry.order, drawn.entry.slot]
    other = (drawn.leaf_index + 1) % drawn.entry.leaf_count
    words = []
    for one in first:
        answer = farm.answer(one)
        if one == drawn:
            answer[3:19] = [data[start : start + 32] for start in range(other * 512, other * 512 + 512, 32)]
        words += answer
    with pytest.raises(WrongLeaf):
        check(farm, words)


def test_a_wrong_leaf_path_is_a_wrong_leaf() -> None:
    farm = small_farm()
    first, rest = words_of_first_sample(farm)
    first[19] = bytes(32)
    with pytest.raises(WrongLeaf):
        check(farm, first + rest)


def test_a_wrong_path_to_the_peak_is_called_that() -> None:
    farm = small_farm()
    first, rest = words_of_first_sample(farm)
    first[-1] = bytes(32)
    with pytest.raises(WrongPath):
        check(farm, first + rest)


def test_a_wrong_index_is_called_that() -> None:
    farm = small_farm()
    first, rest = words_of_first_sample(farm)
    for index in (7, 2**32 - 1):
        place = int.from_bytes(first[1]) & (1 << 72) - 1 | index << 72
        with pytest.raises(WrongIndex):
            check(farm, [first[0], place.to_bytes(32), *first[2:], *rest])


def test_a_slot_that_the_position_does_not_name_is_refused() -> None:
    farm = small_farm()
    first, rest = words_of_first_sample(farm)
    beyond = (2**79 << 128 | 1).to_bytes(32)
    with pytest.raises(WrongSlot, match="position"):
        check(farm, [*first[:2], beyond, *first[3:], *rest])


def test_a_slot_whose_time_has_not_begun_is_refused() -> None:
    farm = small_farm()
    first, rest = words_of_first_sample(farm)
    place = int.from_bytes(first[1]) & ~(0xFFFFFFFF << 40) | (EPOCH + 1) << 40
    with pytest.raises(WrongSlot, match="begins with epoch 5"):
        check(farm, [first[0], place.to_bytes(32), *first[2:], *rest])


def test_a_stranger_s_order_or_another_leaf_count_is_refused() -> None:
    farm = small_farm()
    first, rest = words_of_first_sample(farm)
    with pytest.raises(WrongSlot, match="another slot"):
        check(farm, [keccak(b"stranger"), *first[1:], *rest])
    none = int.from_bytes(first[1]) & ~(0xFFFFFFFF << 8)
    with pytest.raises(WrongSlot, match="no leaves"):
        check(farm, [first[0], none.to_bytes(32), *first[2:], *rest])


def test_words_missing_or_left_over_are_a_wrong_depth() -> None:
    farm = small_farm()
    words = farm.prove(SEED, EPOCH, SAMPLES)
    for number in range(0, len(words), 7):
        with pytest.raises(WrongDepth, match="ends after"):
            check(farm, words[:number])
    with pytest.raises(WrongDepth, match="1 words are left over"):
        check(farm, [*words, bytes(32)])
    with pytest.raises(WrongDepth, match="32 bytes"):
        check(farm, [words[0] + b"\0", *words[1:]])


def test_with_nothing_to_prove_only_silence_holds() -> None:
    farm = Farm(farmer=FarmerId(1))
    farm.add(end=8, epoch=EPOCH, leaf_count=2, rate=5)
    check(farm, [])
    with pytest.raises(WrongDepth):
        check(farm, [bytes(32)])


def test_a_book_counts_from_the_epoch_after_each_addition() -> None:
    book = BookState(Epoch(10))
    root = {"root": bytes(32), "leaf_count": 1, "order": OrderId(bytes(32)), "slot": 0}
    book.add(epoch=Epoch(2), rate=5, **root)
    book.add(epoch=Epoch(2), rate=7, **root)
    assert [book.rate_at_start(Epoch(epoch)) for epoch in (2, 3, 9, 10)] == [0, 12, 12, 0]
    book.add(epoch=Epoch(4), rate=1, **root)
    assert [book.rate_at_start(Epoch(epoch)) for epoch in (4, 5)] == [12, 13]
    assert [entry.first for entry in book.entries] == [0, 5, 12]
    assert [entry.from_epoch for entry in book.entries] == [3, 3, 5]
    assert [book.index_at(position) for position in (0, 4, 5, 11, 12)] == [0, 0, 1, 1, 2]
    for position in (-1, 13):
        with pytest.raises(Misuse):
            book.index_at(position)


def test_what_no_book_takes_is_refused() -> None:
    book = BookState(Epoch(10))
    fields: dict[str, Any] = {
        "epoch": Epoch(2),
        "order": OrderId(bytes(32)),
        "slot": 0,
        "root": bytes(32),
        "leaf_count": 1,
        "rate": MAX_RATE - 1,
    }
    book.add(**fields)
    wrong = [{"epoch": Epoch(1)}, {"epoch": Epoch(10)}, {"rate": 2}, {"rate": 0}, {"leaf_count": 0}]
    for one in wrong:
        with pytest.raises(Misuse):
            book.add(**({**fields, "rate": 1} | one))
    assert book.mountain.count == 1


def test_words_of_another_leaf_size_or_path_are_not_made() -> None:
    farm = small_farm()
    drawn = farm.drawn(SEED, EPOCH, SAMPLES)[0]
    with pytest.raises(Misuse, match="512 bytes"):
        audit.sample_words(drawn, bytes(511), [])
    with pytest.raises(Misuse, match="path"):
        audit.sample_words(drawn, bytes(512), [bytes(32)] * 30)


@pytest.mark.parametrize(("seed", "farmer"), [(bytes(31), 1), (bytes(32), 0), (bytes(32), 2**32)])
def test_no_audit_is_drawn_for_nobody(seed: bytes, farmer: int) -> None:
    with pytest.raises(Misuse):
        audit.draw(seed, FarmerId(farmer), Epoch(1), [], 5)


def test_positions_in_lost_slots_are_shown_and_not_counted() -> None:
    """Of what was lost before the epoch no leaf is asked, and as many as ever of the rest."""
    farm = small_farm()
    book = farm.books[0]
    book.lose(1, Epoch(EPOCH - 1))
    drawn = farm.drawn(SEED, EPOCH, SAMPLES)
    assert [one.lost for one in drawn] == [one.book is book and one.index == 1 for one in drawn]
    assert sum(not one.lost for one in drawn) == SAMPLES < len(drawn)
    assert not drawn[-1].lost
    words = farm.prove(SEED, EPOCH, SAMPLES)
    check(farm, words)
    with pytest.raises(BadProof):
        check(farm, words[1:] if drawn[0].lost else [*farm.answer(drawn[0]), bytes(32), *words])
    lost = next(one for one in drawn if one.lost)
    at = sum(len(farm.answer(one)) for one in drawn[: drawn.index(lost)])
    with pytest.raises(WrongSlot, match="is lost"):
        check(farm, [*words[:at], bytes(32), *words[at + 1 :]])


def test_what_is_lost_in_the_epoch_is_still_asked_for() -> None:
    farm = small_farm()
    before = farm.prove(SEED, EPOCH, SAMPLES)
    farm.books[0].lose(1, Epoch(EPOCH))
    assert farm.prove(SEED, EPOCH, SAMPLES) == before
    assert audit.pay(farm.books, Epoch(EPOCH)) == audit.total_rate_at_start(farm.books, Epoch(EPOCH)) == 625
    assert audit.pay(farm.books, Epoch(EPOCH + 1)) == 1625 - 400
    assert audit.total_rate_at_start(farm.books, Epoch(EPOCH + 1)) == 1625


def test_a_book_of_which_all_is_lost_is_not_drawn_from() -> None:
    farm = small_farm()
    for index in range(3):
        farm.books[0].lose(index, Epoch(EPOCH - 1)) if index < 2 else farm.books[0].lose(index, Epoch(EPOCH))
    drawn = farm.drawn(SEED, EPOCH + 1, 50)
    assert not any(one.lost or one.book is farm.books[0] for one in drawn)
    assert audit.total_rate_at_start(farm.books, Epoch(EPOCH + 1)) == 30 + 1035


def test_only_what_has_begun_and_is_not_lost_can_be_lost() -> None:
    farm = small_farm()
    book = farm.books[0]
    for index, epoch in ((0, 0), (0, 16), (2, 3)):
        with pytest.raises(Misuse, match="cannot be lost"):
            book.lose(index, Epoch(epoch))
    book.lose(0, Epoch(1))
    with pytest.raises(Misuse, match="cannot be lost"):
        book.lose(0, Epoch(2))


def test_the_words_of_a_loss_prove_the_entry() -> None:
    farm = small_farm()
    book = farm.books[0]
    order, place, rates, root, *path = audit.loss_words(book, 2)
    entry = book.entries[2]
    assert (order, root) == (entry.order, entry.root)
    assert int.from_bytes(place) >> 72 == 2
    assert int.from_bytes(rates) == entry.first << 128 | entry.rate
    assert path == book.mountain.path(2)


def test_a_lost_slot_has_no_leaves_to_show_and_a_kept_one_no_other_answer() -> None:
    farm = small_farm()
    farm.books[0].lose(1, Epoch(EPOCH - 1))
    drawn = farm.drawn(SEED, EPOCH, SAMPLES)
    lost, kept = next(one for one in drawn if one.lost), next(one for one in drawn if not one.lost)
    with pytest.raises(Misuse, match="is lost"):
        audit.sample_words(lost, bytes(512), [])
    with pytest.raises(Misuse, match="is not lost"):
        audit.lost_words(kept)
    entry = lost.entry
    expected = keccak(encode(["bytes32", "uint8", "uint32"], [entry.order, entry.slot, entry.from_epoch]))
    assert audit.lost_words(lost) == [expected]

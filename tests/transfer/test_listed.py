"""Farmers on our lists: only friends are chosen, without the strangers' rules; who is denied is not asked."""

from dataclasses import replace

import pytest
from test_directory import NEEDED, Directory, Market, farmer, networks  # noqa: F401  a fixture

from grange.allow_lists import AllowLists, Listed
from grange.chain import Farmer
from grange.messages import NOBODY
from grange.transfer.listed import is_denied, is_friend, name_of, refusal_of
from grange.transfer.selection import Candidate, Requirements, choose, contender
from grange.transfer.spread import Trust
from grange.types import FarmerId
from grange.units import TOKEN


def friends(*numbers: int) -> AllowLists:
    return AllowLists(
        allowed=tuple(Listed(who=FarmerId(number), name=f"Friend {number}") for number in numbers)
    )


def denied(*numbers: int) -> AllowLists:
    return AllowLists(denied=tuple(Listed(who=FarmerId(number)) for number in numbers))


def directory_with(lists: AllowLists, count: int = 6) -> Directory:
    directory = Directory(Market(count))
    directory.lists = lists
    return directory


async def test_with_an_allow_list_nobody_else_is_asked() -> None:
    directory = directory_with(friends(2, 5))
    found = await directory.find_candidates(NEEDED)
    assert sorted(directory.greeted) == [2, 5]
    assert [one.farmer.id for one in found.candidates if one.is_friend] == [2, 5]
    assert found.unfit == dict.fromkeys((1, 3, 4, 6), "is not on the allow list")


async def test_a_denied_farmer_is_not_asked_even_if_it_has_a_slot() -> None:
    directory = directory_with(denied(1, 2))
    found = await directory.find_candidates(NEEDED, keepers=[FarmerId(1), FarmerId(3)])
    assert sorted(directory.greeted) == [3, 4, 5, 6]
    assert found.silent == {1: "It is on the deny list."}
    assert found.unfit[FarmerId(2)] == "is on the deny list"


def test_an_owner_anyone_can_name_so_it_makes_no_friend() -> None:
    """An operator has agreed to be one. Who is denied as an owner is denied all the same."""
    one = farmer(1)
    impostor = replace(farmer(2), owner=one.owner)
    lists = AllowLists(allowed=(Listed(who=one.operator, name="Bob"),))
    assert is_friend(lists, one)
    assert not is_friend(lists, impostor)
    assert (name_of(lists, one), name_of(lists, impostor)) == ("Bob", "")
    against = AllowLists(allowed=lists.allowed, denied=(Listed(who=one.owner),))
    assert is_denied(against, impostor)
    assert refusal_of(against, impostor) == "is on the deny list"


def stranger(number: int, *, price: int = 0) -> Farmer:
    one = farmer(number)
    return replace(one, offer=replace(one.offer, price_per_gib_epoch=price))


MARKET_PRICES = replace(NEEDED, price_floor=TOKEN, highest_egress=0)


def candidates(count: int, *, is_friend: bool) -> list[Candidate]:
    return [
        Candidate(farmer=stranger(number), free_bytes=1 << 40, is_friend=is_friend)
        for number in range(1, count + 1)
    ]


def test_friends_are_no_strangers_however_little_they_ask() -> None:
    """All n slots go to them, at one base unit each."""
    choice = choose(candidates(4, is_friend=True), MARKET_PRICES)
    assert [one.rate for one in choice.ranked] == [1] * 4
    assert not choice.young
    seen = contender(candidates(1, is_friend=True)[0], MARKET_PRICES)
    assert (seen.trust, seen.cheap, seen.friend, seen.untested) == (Trust.KNOWN, False, True, False)


def test_beside_strangers_friends_are_the_ones_that_are_known() -> None:
    """The rule for strangers holds for the others alone."""
    needed: Requirements = MARKET_PRICES
    mixed = [*candidates(4, is_friend=True)]
    mixed += [Candidate(farmer=stranger(number), free_bytes=1 << 40) for number in range(11, 31)]
    choice = choose(mixed, needed)
    assert {1, 2, 3, 4} <= {one.farmer.id for one in choice.ranked}
    assert sum(one.farmer.id > 10 for one in choice.ranked) <= (needed.n - needed.k) // 2


@pytest.mark.parametrize("is_friend", [True, False])
def test_a_friend_may_ask_what_it_likes_for_reading(is_friend: bool) -> None:
    one = farmer(1)
    dear = replace(one, offer=replace(one.offer, egress_price_per_gib=100 * TOKEN))
    choice = choose([Candidate(farmer=dear, free_bytes=1 << 40, is_friend=is_friend)], MARKET_PRICES)
    assert [chosen.farmer.id for chosen in choice.ranked] == ([1] if is_friend else [])


def test_nobody_is_on_empty_lists() -> None:
    assert not refusal_of(AllowLists(), farmer(1))
    assert not is_friend(AllowLists(), replace(farmer(1), operator=NOBODY))

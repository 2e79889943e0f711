"""Which farmers a slot is given to, with strangers who want all of them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange.chain import Farmer
from grange.transfer.sampling import MAX_ASKED, highest_egress, price_floor, prospects
from grange.transfer.selection import Requirements, unfit_on_chain
from grange.transfer.spread import Contender, Ranking, Trust, rank, strangers_allowed, trust_of
from grange.types import NO_LIMIT, Address, Epoch, FarmerId, Offer, address_from
from grange.units import GIB, TOKEN

STAKE = 500 * TOKEN
NEEDED = Requirements(k=1, n=1, slot_bytes=GIB, start=Epoch(0), end=Epoch(10), collateral_epochs=16)


def address(number: int, kind: int = 0) -> Address:
    return address_from(bytes([kind]) + number.to_bytes(19))


def farmer(number: int, **fields: Any) -> Farmer:
    offer = {
        "price_per_gib_epoch": TOKEN,
        "egress_price_per_gib": 0,
        "capacity_bytes": 1 << 40,
        "longest_term_epochs": 400,
    }
    offer |= {key: fields.pop(key) for key in offer if key in fields}
    known: dict[str, Any] = {
        "owner": address(number, 1),
        "operator": address(number, 2),
        "stake": STAKE,
        "committed_rate": 0,
        "settled_epoch": Epoch(0),
        "misses": 0,
        "strikes": 0,
        "epochs_proven": 0,
        "registered_block": 0,
        "ceiling": NO_LIMIT,
        "loss_limit": NO_LIMIT,
        "lapsed": False,
        "endpoint": "",
    }
    return Farmer(id=FarmerId(number), offer=Offer(**offer), **(known | fields))


def contender(number: int, trust: Trust = Trust.PROVEN, cost: int = 10, **fields: Any) -> Contender:
    of_contender = {key: fields.pop(key) for key in ("networks", "cheap", "failures") if key in fields}
    return Contender(farmer=farmer(number, **fields), trust=trust, cost=cost, **of_contender)


def ranked(
    contenders: list[Contender], *, k: int = 10, n: int = 30, beside: tuple[Contender, ...] = ()
) -> Ranking:
    return rank(contenders, k=k, n=n, wanted=n + n // 2, seed=b"order", beside=beside)


def numbers(ranking: Ranking) -> list[int]:
    return [one.farmer.id for one in ranking.ranked]


def test_strangers_have_at_most_half_of_what_an_order_can_lose() -> None:
    """However cheap and however many they are, and counting the spares."""
    tried = [contender(number) for number in range(1, 61)]
    strangers = [contender(number, Trust.STRANGER, cost=1) for number in range(100, 400)]
    ranking = ranked(tried + strangers)
    assert not ranking.young
    assert len(ranking.ranked) == 45
    assert sum(number >= 100 for number in numbers(ranking)) == strangers_allowed(10, 30) == 10


def test_a_market_is_too_young_for_that_when_the_others_are_too_few() -> None:
    """With 19 others 10 strangers do not make 30, so as many take part as are needed; with 20 they do."""
    strangers = [contender(number, Trust.STRANGER) for number in range(100, 400)]
    young = ranked([contender(number) for number in range(1, 20)] + strangers)
    assert young.young
    assert len(young.ranked) == 45
    old = ranked([contender(number) for number in range(1, 21)] + strangers)
    assert not old.young
    assert len(old.ranked) == 30


def test_farmers_with_little_to_lose_count_as_strangers() -> None:
    """Ten proofs of nothing cost next to nothing, so they do not buy an order."""
    tried = [contender(number) for number in range(1, 61)]
    cheap = [contender(number, Trust.PROVEN, cost=5, cheap=True) for number in range(100, 200)]
    assert sum(number >= 100 for number in numbers(ranked(tried + cheap))) <= strangers_allowed(10, 30)


def test_strangers_never_beat_who_asks_the_median() -> None:
    """A stranger at the floor, which is half the median, comes after a tried farmer at the median."""
    tried = [contender(number, cost=10) for number in range(1, 31)]
    strangers = [contender(number, Trust.STRANGER, cost=5) for number in range(100, 130)]
    assert set(numbers(ranked(tried + strangers))[:30]) == set(range(1, 31))


@pytest.mark.parametrize("what", ["owner", "operator", "networks"])
def test_what_strangers_borrow_costs_an_honest_farm_nothing(what: str) -> None:
    """A hundred names with the owner, operator or network of a farm leave it where it would be."""
    honest = [
        contender(number, Trust.KNOWN, networks=frozenset({f"net {number}"})) for number in range(1, 41)
    ]
    shared: Any = frozenset({"net 7"}) if what == "networks" else getattr(honest[6].farmer, what)
    alone = ranked(honest)
    for trust in (Trust.STRANGER, Trust.PROVEN, Trust.KNOWN):
        borrowers = [contender(number, trust, cost=1, **{what: shared}) for number in range(100, 200)]
        crowded = ranked(honest + borrowers)
        first = [number for number in numbers(crowded) if number < 100]
        assert first.index(7) == numbers(alone).index(7)
        assert sum(number == 7 or number >= 100 for number in numbers(crowded)[:30]) <= 9


def test_the_limit_of_a_group_is_not_evaded_by_later_names() -> None:
    """The later of one owner's farmers ask less, so that each comes before those that precede it."""
    others = [contender(number) for number in range(1, 41)]
    crowd = [contender(number, owner=address(9), cost=5000 // number) for number in range(500, 600)]
    taken = numbers(ranked(others + crowd))
    assert sum(number >= 500 for number in taken) == 9
    assert len(taken) == len(set(taken)) == 45


def test_a_group_serves_where_there_is_nobody_else() -> None:
    crowd = [contender(number, owner=address(9)) for number in range(1, 41)]
    assert len(numbers(ranked(crowd))) == 40


def test_those_that_have_slots_already_count() -> None:
    """Nine slots of one owner's are the most of 10 of 30, and ten strangers: a further one is taken last."""
    holders = tuple(contender(number, owner=address(9)) for number in range(1, 10))
    strangers = tuple(contender(number, Trust.STRANGER) for number in range(10, 20))
    more = [contender(50, owner=address(9), cost=1), contender(51, Trust.STRANGER, cost=1), contender(52)]
    others = [contender(number) for number in range(60, 80)]
    taken = numbers(ranked(more + others, beside=holders + strangers))
    assert 51 not in taken
    assert taken[-1] == 50


def test_a_holder_that_borrowed_an_owner_does_not_keep_its_farm_out() -> None:
    """Strangers with a farm's owner hold k - 1 slots; the farm itself is still the best there is."""
    holders = tuple(contender(n, Trust.STRANGER, owner=address(9)) for n in range(100, 109))
    farm, dearer = contender(1, owner=address(9)), contender(2, cost=11)
    assert numbers(ranked([farm, dearer], beside=holders))[0] == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Trust), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.booleans()
        ),
        max_size=60,
    ),
    st.integers(1, 8),
    st.integers(0, 8),
)
def test_limits_hold_for_all_markets(
    farms: list[tuple[Trust, int, int, int, bool]], k: int, spare: int
) -> None:
    """Nobody twice, none left out while there is room, strangers within their share or the market young."""
    n = k + spare
    contenders = [
        contender(i, trust, cost, owner=address(owner), networks=frozenset({f"net {net}"}), cheap=cheap)
        for i, (trust, cost, owner, net, cheap) in enumerate(farms, 1)
    ]
    ranking = rank(contenders, k=k, n=n, wanted=n, seed=b"t")
    assert numbers(ranking) == numbers(rank(contenders[::-1], k=k, n=n, wanted=n, seed=b"t"))
    assert len(set(numbers(ranking))) == len(ranking.ranked) <= n
    strangers = sum(one.untested for one in ranking.ranked)
    if ranking.young:
        assert len(ranking.ranked) == min(n, len(contenders))
    else:
        there = sum(one.untested for one in contenders)
        assert strangers <= (n - k) // 2
        assert len(ranking.ranked) == min(n, len(contenders) - there + min(there, (n - k) // 2))


def test_those_we_know_are_asked_however_many_names_there_are() -> None:
    """100 known farmers among 50,000 names are all asked, and no more than MAX_ASKED in all."""
    farmers = [farmer(number) for number in range(1, 101)]
    junk = [replace(farmer(1), id=FarmerId(1000 + number), stake=16) for number in range(50_000)]
    asked = prospects(farmers + junk, known=range(1, 101), proven=(), seed=b"order")
    assert len(asked) == MAX_ASKED
    assert {one.id for one in asked} >= set(range(1, 101))


def test_names_without_money_do_not_crowd_out_newcomers_and_proven_farmers() -> None:
    """Who asks for attention with stake is asked; 50,000 names with a thousandth of it in all are not."""
    proven = [farmer(number) for number in range(1, 101)]
    newcomers = [farmer(number) for number in range(101, 141)]
    junk = [replace(farmer(1), id=FarmerId(1000 + number), stake=16) for number in range(50_000)]
    proving = {*range(1, 101), *range(1000, 40_000)}
    asked = {one.id for one in prospects(proven + newcomers + junk, known=(), proven=proving, seed=b"o")}
    assert asked >= set(range(1, 141))
    assert len(asked) <= MAX_ASKED


def test_a_market_of_newcomers_is_seen_as_a_whole() -> None:
    """What the tried leave free newcomers may have; where the tried are many, newcomers have their share."""
    new = [farmer(number) for number in range(1, 1001)]
    assert len(prospects(new, known=(), proven=(), seed=b"")) == MAX_ASKED
    everybody = prospects(new, known=range(1, 500), proven=range(500, 900), seed=b"")
    assert sum(one.id >= 900 for one in everybody) == 64
    assert sum(one.id < 500 for one in everybody) == 128
    assert len(everybody) == MAX_ASKED


def test_other_orders_ask_others() -> None:
    many = [farmer(number) for number in range(1, 2001)]
    first, second = (
        {one.id for one in prospects(many, known=(), proven=range(2001), seed=seed)} for seed in (b"1", b"2")
    )
    assert len(first & second) < len(first) / 2


def test_the_floor_is_half_of_what_the_money_asks() -> None:
    """Names with no stake do not move the median, however many; nor do lapsed farmers."""
    honest = [farmer(number, price_per_gib_epoch=100) for number in range(1, 8)]
    junk = [farmer(number, price_per_gib_epoch=1, stake=16) for number in range(100, 200)]
    lapsed = [farmer(number, price_per_gib_epoch=1, lapsed=True) for number in range(200, 300)]
    assert price_floor(honest + junk + lapsed, proven=()) == 50
    assert price_floor(honest + junk + lapsed, proven=range(1, 300)) == 50
    assert price_floor([], proven=()) == 0


def test_the_floor_goes_by_those_that_prove_when_they_have_most_of_the_stake() -> None:
    """A few that prove next to nothing do not set the price of the market."""
    proven = [farmer(number, price_per_gib_epoch=100) for number in range(1, 8)]
    newcomers = [farmer(number, price_per_gib_epoch=10) for number in range(8, 12)]
    assert price_floor(proven + newcomers, proven=range(1, 8)) == 50
    tiny = [farmer(99, price_per_gib_epoch=1, stake=16)]
    assert price_floor(proven + tiny, proven=[99]) == 50


def test_reading_may_cost_four_times_the_usual_or_what_keeping_costs() -> None:
    free = [farmer(number, price_per_gib_epoch=100) for number in range(1, 8)]
    assert highest_egress(free, (), 8) == 800
    selling = [farmer(number, price_per_gib_epoch=100, egress_price_per_gib=900) for number in range(1, 8)]
    assert highest_egress(selling, (), 8) == 3600


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"lapsed": True}, "has lapsed for its misses"),
        ({"longest_term_epochs": 9}, "keeps slots for at most 9 epochs"),
        ({"capacity_bytes": GIB - 1}, "has no room"),
        ({"price_per_gib_epoch": 1 << 80}, "asks an impossible price"),
        ({"stake": 16 * TOKEN - 1}, "has too little at stake"),
        ({"stake": 16 * TOKEN}, ""),
        ({"stake": 32 * TOKEN - 1, "committed_rate": TOKEN}, "has too little at stake"),
    ],
)
def test_what_the_chain_says_decides_who_is_asked_at_all(fields: dict[str, Any], reason: str) -> None:
    one = farmer(1, **fields)
    assert unfit_on_chain(one, NEEDED) == reason


def test_a_slot_that_pays_less_than_a_farmer_asks_is_not_for_it() -> None:
    dear = farmer(1, price_per_gib_epoch=2 * TOKEN)
    assert unfit_on_chain(dear, replace(NEEDED, rate=TOKEN)) == "asks more than the slot pays"
    assert unfit_on_chain(dear, replace(NEEDED, rate=2 * TOKEN)) == ""


def test_who_is_a_stranger() -> None:
    """Under ten epochs on chain, and none for us."""
    assert trust_of(farmer(1, epochs_proven=9), known=False, keeps=0) is Trust.STRANGER
    assert trust_of(farmer(1, epochs_proven=10), known=False, keeps=0) is Trust.PROVEN
    assert trust_of(farmer(1, epochs_proven=0), known=True, keeps=1) is Trust.KNOWN


def test_proofs_of_next_to_nothing_do_not_count() -> None:
    """Ten epochs proven, or a thousand: what is kept now has to be worth it."""
    assert trust_of(farmer(1, epochs_proven=1000, committed_rate=9), known=False, keeps=10) is Trust.STRANGER
    assert trust_of(farmer(1, epochs_proven=10, committed_rate=10), known=False, keeps=10) is Trust.PROVEN

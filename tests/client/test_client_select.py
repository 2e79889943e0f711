"""Who is chosen, and what it costs: pure decisions."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from client_fakes import PARAMETERS, farmer_view
from hypothesis import given
from hypothesis import strategies as st

from grange.chain import TransactionReverted
from grange.chain.call_sizes import place
from grange.chain.gas_cost import GasPrices
from grange.peer import networks
from grange.transfer.selection import (
    Candidate,
    Reputation,
    Requirements,
    asked_rate,
    choose,
    epochs_kept,
    spares_for,
    unfit_for,
)
from grange.types import Epoch, Offer, address_from
from grange.units import GIB, MIB, TOKEN
from grange_client.errors import NotEnoughMoney, NothingToStore
from grange_client.orders.cautions import cautions, code_text
from grange_client.orders.plan import (
    Funds,
    StoreOptions,
    check_gas,
    code_for,
    codes_for,
    end_for,
    missing_from_vault,
    price,
)

NEED = Requirements(k=2, n=4, slot_bytes=64 * MIB, start=Epoch(3), end=Epoch(16), collateral_epochs=16)
STRANGER = Reputation()
OFFER = Offer(
    price_per_gib_epoch=TOKEN, egress_price_per_gib=0, capacity_bytes=1 << 40, longest_term_epochs=400
)


def candidate(
    number: int, *, net: str = "", reputation: Reputation = STRANGER, free: int = 1 << 40, **fields: Any
) -> Candidate:
    operator = fields.pop("operator", address_from(bytes(16) + number.to_bytes(4)))
    offer = replace(OFFER, **{key: fields.pop(key) for key in list(fields) if hasattr(OFFER, key)})
    farmer = farmer_view(number, operator, f"http://{number}", offer=offer, **fields)
    return Candidate(
        farmer=farmer, free_bytes=free, networks=frozenset({net} if net else ()), reputation=reputation
    )


def ids(candidates: list[Candidate], need: Requirements = NEED) -> list[int]:
    return [chosen.farmer.id for chosen in choose(candidates, need).ranked]


def test_cheap_farmers_come_first() -> None:
    """Among strangers the price decides."""
    assert ids([candidate(i, price_per_gib_epoch=TOKEN * (10 - i)) for i in range(1, 7)]) == [
        6,
        5,
        4,
        3,
        2,
        1,
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"lapsed": True}, "has lapsed for its misses"),
        ({"longest_term_epochs": 12}, "keeps slots for at most 12 epochs"),
        ({"free": 64 * MIB - 1}, "has no room"),
        ({"capacity_bytes": 64 * MIB - 1}, "has no room"),
        ({"stake": 8 * (TOKEN // 16) - 1}, "has too little at stake"),
        ({"stake": TOKEN, "committed_rate": TOKEN // 8}, "has too little at stake"),
        ({"reputation": Reputation(successes=9, lies=1)}, "was caught lying"),
        ({"price_per_gib_epoch": (1 << 80) - 1, "slot_gib": 1}, ""),
    ],
)
def test_who_does_not_fit_is_left_out_with_a_reason(fields: dict[str, Any], reason: str) -> None:
    """Term, room, stake and honesty are conditions, not preferences."""
    fields.pop("slot_gib", None)
    choice = choose([candidate(1, **fields), candidate(2)], NEED)
    if reason:
        assert choice.unfit == {1: reason}
        assert [chosen.farmer.id for chosen in choice.ranked] == [2]


def test_who_has_the_slot_needs_stake_for_the_higher_rate_only() -> None:
    """At the same rate none beside what it has, at a higher one the difference; another needs all of it."""
    rate = TOKEN // 16
    kept = candidate(1, stake=16 * 3 * rate, committed_rate=4 * rate, carried_rate=rate, free=0)
    assert unfit_for(kept, NEED, kept_rate=rate) == ""
    assert unfit_for(kept, NEED, kept_rate=rate - 1) == "has too little at stake"
    assert unfit_for(replace(kept, free_bytes=1 << 40), NEED) == "has too little at stake"


def test_impossible_price_is_no_crash() -> None:
    """A price whose rate does not fit the contract only disqualifies."""
    need = replace(NEED, slot_bytes=1 << 45)
    dear = candidate(1, price_per_gib_epoch=(1 << 80) - 1, free=1 << 50, capacity_bytes=1 << 50)
    assert choose([dear], need).unfit == {1: "asks an impossible price"}


def test_failures_cost_preference() -> None:
    """Who failed lately is as good as twice as dear for each time."""
    failed = candidate(1, price_per_gib_epoch=TOKEN // 3, reputation=Reputation(failures=2))
    assert ids([failed, candidate(2)]) == [2, 1]


def test_free_farmers_still_get_a_rate() -> None:
    """The market refuses slots without pay, so nothing costs one base unit."""
    assert asked_rate(candidate(1, price_per_gib_epoch=0).farmer, GIB) == 1


@pytest.mark.parametrize("group", ["owner", "operator", "net"])
def test_no_group_gets_k_slots(group: str) -> None:
    """However cheap it is, one owner, operator or network gets fewer than k slots while there are others."""
    same: dict[str, Any] = {group: "10.1.0.0/16" if group == "net" else address_from(b"\x09" * 20)}
    crowd = [candidate(i, price_per_gib_epoch=1, **same) for i in range(1, 9)]
    others = [candidate(i, price_per_gib_epoch=TOKEN * 100) for i in range(9, 13)]
    chosen = ids([*crowd, *others])[: NEED.n]
    assert sum(number <= 8 for number in chosen) == NEED.k - 1


def test_group_is_better_than_nothing() -> None:
    """When there are too few others, a crowd under one owner serves."""
    owner = address_from(b"\x09" * 20)
    assert len(ids([candidate(i, owner=owner) for i in range(1, 7)])) == 6


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(0, 5)), max_size=30),
    st.binary(max_size=8),
)
def test_choice_is_a_function_of_its_input(groups: list[tuple[int, int, int]], tie: bytes) -> None:
    """Nobody is chosen twice, never more than asked for, and the order of candidates does not matter."""
    candidates = [
        candidate(
            number,
            owner=address_from(bytes(19) + bytes([owner])),
            net=f"net {net}",
            reputation=Reputation(failures=failures),
        )
        for number, (owner, net, failures) in enumerate(groups, 1)
    ]
    need = replace(NEED, shuffle_seed=tie)
    chosen = ids(candidates, need)
    assert chosen == ids(candidates[::-1], need)
    assert len(set(chosen)) == len(chosen) == min(len(groups), need.n + spares_for(need.n))


def test_orders_spread_over_equals() -> None:
    """Different orders begin with different farmers."""
    first = Counter(
        ids([candidate(i) for i in range(1, 9)], replace(NEED, shuffle_seed=bytes([t])))[0]
        for t in range(200)
    )
    assert len(first) == 8
    assert max(first.values()) < 60


def test_networks() -> None:
    """A /16 of IPv4, a /32 of IPv6, and nothing for loopback."""
    found = networks(
        ["10.1.2.3", "10.1.200.3", "2001:db8:1::1", "2001:db8:2::1", "127.0.0.1", "::1", "::ffff:10.1.9.9"]
    )
    assert found == {"10.1.0.0/16", "2001:db8::/32"}


@pytest.mark.parametrize(
    ("options", "farmers", "code"),
    [
        (StoreOptions(), 0, (1, 1)),
        (StoreOptions(), 1, (1, 1)),
        (StoreOptions(), 2, (1, 2)),
        (StoreOptions(), 3, (1, 3)),
        (StoreOptions(), 4, (2, 4)),
        (StoreOptions(), 5, (2, 5)),
        (StoreOptions(), 7, (3, 7)),
        (StoreOptions(), 8, (4, 8)),
        (StoreOptions(), 29, (4, 8)),
        (StoreOptions(), 30, (10, 30)),
        (StoreOptions(n=6), 8, (3, 6)),
        (StoreOptions(k=2), 8, (2, 4)),
        (StoreOptions(k=2), 3, (2, 3)),
        (StoreOptions(k=3), 2, (3, 3)),
        (StoreOptions(n=5), 2, (2, 5)),
        (StoreOptions(k=200), 8, None),
        (StoreOptions(k=3, n=3), 8, (3, 3)),
        (StoreOptions(n=1), 8, (1, 1)),
        (StoreOptions(k=5, n=4), 8, None),
    ],
)
def test_code(options: StoreOptions, farmers: int, code: tuple[int, int] | None) -> None:
    """10 of 30 with many farmers, 4 of 8 with fewer, else all there are, or what was asked for."""
    if code is None:
        with pytest.raises(NothingToStore):
            code_for(options, farmers)
    else:
        assert code_for(options, farmers) == code


def test_k_that_is_larger_than_n_is_called_that() -> None:
    with pytest.raises(NothingToStore, match="k must not be larger than n"):
        code_for(StoreOptions(k=5, n=2), 8)


@pytest.mark.parametrize(
    ("k", "n", "words"),
    [
        (1, 1, "1 farmer, 5 MB; if it fails, everything is lost"),
        (2, 2, "2 farmers, 5 MB each; if one fails, everything is lost"),
        (1, 2, "2 farmers, 5 MB each; any one gives it back, so 1 may fail"),
        (4, 8, "8 farmers, 5 MB each; any 4 give it back, so 4 may fail"),
    ],
)
def test_a_code_is_put_in_words(k: int, n: int, words: str) -> None:
    assert code_text(k, n, "5 MB") == words


def test_smaller_codes_are_tried_down_to_one_farmer() -> None:
    """A smaller code has larger slots, which fewer farmers can take."""
    assert codes_for(StoreOptions(), 31)[:3] == [(10, 30), (4, 8), (3, 7)]
    assert codes_for(StoreOptions(), 5) == [(2, 5), (2, 4), (1, 3), (1, 2), (1, 1)]
    assert codes_for(StoreOptions(n=8), 5) == [(4, 8)]


PRICES = {"price_floor": TOKEN // 2, "highest_egress": 4 * TOKEN}
LARGE = Requirements(
    k=10, n=30, slot_bytes=100 * GIB, start=Epoch(3), end=Epoch(90), collateral_epochs=16, **PRICES
)


def test_thirty_farmers_for_one_base_unit_do_not_take_an_order() -> None:
    """A saboteur that asks next to nothing, and so risks nothing, gets no slot while others ask the usual."""
    honest = [candidate(i, net=f"10.{i}.0.0/16", reputation=Reputation(successes=50)) for i in range(1, 61)]
    bad = [candidate(1000 + i, net=f"172.{i}.0.0/16", price_per_gib_epoch=1) for i in range(36)]
    assert not [number for number in ids(honest + bad, LARGE)[:30] if number >= 1000]
    dear = [replace_price(one, 3 * TOKEN) for one in honest]
    taken = ids(dear + bad, LARGE)
    assert sum(number >= 1000 for number in taken) == 10
    poor = [replace(one, farmer=replace(one.farmer, stake=16 * 100 * 16)) for one in bad]
    assert not [number for number in ids(dear + poor, LARGE) if number >= 1000]
    assert choose(dear + bad, LARGE).ranked[0].farmer.id >= 1000


def proven(one: Candidate, epochs: int, *, missed: int = 0) -> Candidate:
    return replace(one, farmer=replace(one.farmer, epochs_proven=epochs, misses=missed))


def replace_price(one: Candidate, price: int) -> Candidate:
    offer = replace(one.farmer.offer, price_per_gib_epoch=price)
    return replace(one, farmer=replace(one.farmer, offer=offer))


def test_cheap_farmers_that_proved_ten_epochs_of_nothing_are_held_to_the_same_share() -> None:
    honest = [
        candidate(i, price_per_gib_epoch=3 * TOKEN, reputation=Reputation(successes=1)) for i in range(1, 61)
    ]
    bad = [proven(candidate(1000 + i, price_per_gib_epoch=1), 20) for i in range(40)]
    assert sum(number >= 1000 for number in ids(honest + bad, LARGE)) == 10


def test_own_cheap_farms_are_trusted_after_ten_epochs_with_us() -> None:
    """Anyone who keeps files on farms of their own, at no price, may have them all there."""
    own = [replace(proven(candidate(i, price_per_gib_epoch=0), 10), kept_epochs=10) for i in range(1, 31)]
    others = [candidate(i, reputation=Reputation(successes=1)) for i in range(100, 160)]
    assert set(ids(own + others, LARGE)[:30]) == set(range(1, 31))


@pytest.mark.parametrize(
    ("epochs", "missed", "kept", "young"),
    [
        (9, 0, 0, True),
        (10, 0, 0, False),
        (12, 3, 0, True),
        (13, 3, 0, False),
        (1, 0, 1, False),
        (1, 1, 1, True),
        (1, 1, 2, False),
        (0, 0, 1, True),
    ],
)
def test_who_is_no_stranger(epochs: int, missed: int, kept: int, young: bool) -> None:
    """Ten epochs proven on chain beside what was missed, or surely one that was ours."""
    everybody = [replace(proven(candidate(i), epochs, missed=missed), kept_epochs=kept) for i in range(1, 10)]
    assert choose(everybody, NEED).young is young


def test_epochs_of_ours_are_counted_once_and_as_far_as_they_are_over() -> None:
    terms = ((Epoch(3), Epoch(8)), (Epoch(5), Epoch(10)), (Epoch(12), Epoch(20)))
    assert epochs_kept(terms, Epoch(14)) == 7 + 2
    assert epochs_kept(terms, Epoch(3)) == epochs_kept((), Epoch(9)) == 0


def test_reading_prices_that_are_a_ransom_are_refused() -> None:
    """Nothing on chain binds what reading costs, so what is absurd now is not chosen."""
    dear = candidate(1, egress_price_per_gib=100 * TOKEN)
    choice = choose([dear, candidate(2, egress_price_per_gib=4 * TOKEN)], replace(NEED, **PRICES))
    assert [one.farmer.id for one in choice.ranked] == [2]
    assert choice.unfit == {1: "asks 100 tokens for reading a GiB, far more than others"}


@given(st.integers(0, 10_000), st.integers(1, 80))
def test_end_covers_what_was_asked(current: int, epochs: int) -> None:
    """The end is the first date of the calendar that gives as many epochs as asked for."""
    end = end_for(StoreOptions(epochs=epochs), Epoch(current), PARAMETERS)
    grid = PARAMETERS.grid_epochs
    assert end % grid == 0
    assert epochs <= end - (current + 1) < epochs + grid


@pytest.mark.parametrize(
    "options",
    [StoreOptions(epochs=200), StoreOptions(until=10_000), StoreOptions(until=5), StoreOptions(epochs=0)],
)
def test_ends_that_cannot_be(options: StoreOptions) -> None:
    """Beyond the calendar, or in the past, is refused with a hint."""
    with pytest.raises(NothingToStore) as raised:
        end_for(options, Epoch(10), PARAMETERS)
    assert raised.value.hint


def test_price_is_rates_times_epochs() -> None:
    """The price is what the market will take, to the base unit."""
    ranked = choose([candidate(i) for i in range(1, 5)], NEED).ranked
    assert price(ranked, Epoch(3), Epoch(16)) == 4 * (TOKEN // 16) * 13


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 200))
def test_exactly_what_is_missing(vault: int, wallet: int, cost: int) -> None:
    """The wallet gives what the vault lacks and no more, or the error says how much is missing."""
    funds = Funds(vault=vault, wallet=wallet, native=1)
    if cost > vault + wallet:
        with pytest.raises(NotEnoughMoney):
            missing_from_vault(cost, funds)
    else:
        assert missing_from_vault(cost, funds) == max(0, cost - vault)


@given(st.integers(0, 100), st.integers(1, 100), st.integers(0, 200))
def test_a_token_that_refuses_matters_only_where_the_wallet_would_pay(
    vault: int, wallet: int, cost: int
) -> None:
    """What is missing altogether is told first: to have it would not be in vain if the block is lifted."""
    refusal = TransactionReverted("transfer", "Error", {"message": "account is blocked"})
    funds = Funds(vault=vault, wallet=wallet, native=1, refusal=refusal)
    if cost <= vault:
        assert missing_from_vault(cost, funds) == 0
    else:
        with pytest.raises(NotEnoughMoney if cost > vault + wallet else TransactionReverted):
            missing_from_vault(cost, funds)


@given(limit=st.integers(0, 100), held=st.integers(0, 100), cost=st.integers(0, 200))
def test_a_delegate_pays_from_the_vault_within_its_limit_and_moves_nothing(
    limit: int, held: int, cost: int
) -> None:
    funds = Funds(vault=min(limit, held), wallet=0, native=1, limit=limit)
    if cost > min(limit, held):
        with pytest.raises(NotEnoughMoney) as refused:
            missing_from_vault(cost, funds)
        assert "This device may spend" in refused.value.message
    else:
        assert missing_from_vault(cost, funds) == 0


@given(native=st.integers(1, 10**9), slots=st.integers(1, 80), gas_wei=st.integers(0, 100))
def test_what_the_gas_of_a_call_takes_is_said_before_anything_is_uploaded(
    native: int, slots: int, gas_wei: int
) -> None:
    funds = Funds(vault=0, wallet=0, native=native, address="0xme")
    prices, size = GasPrices(gas_wei=gas_wei), place(slots)
    if native >= prices.cost_wei(size):
        check_gas(size, funds, prices)
        return
    with pytest.raises(NotEnoughMoney, match="for the chain's fees, and this takes up to") as refused:
        check_gas(size, funds, prices)
    assert "Nothing was uploaded" in refused.value.detail
    assert "0xme" in refused.value.hint


GANG_PRICE = TOKEN // 2
"""What the farmers of the next tests ask: the floor, half the median."""
GANG_RATE = 100 * GANG_PRICE
"""What a slot of LARGE pays at that price."""
EACH_STAKE = 64 * GANG_RATE


def gang(names: int, *, kept: int) -> list[Candidate]:
    """Names at the floor, each on a network of its own, that have proven ten epochs and keep so much pay."""
    return [
        proven(
            candidate(
                1_000 + i,
                net=f"172.{i}.0.0/16",
                price_per_gib_epoch=GANG_PRICE,
                stake=EACH_STAKE,
                committed_rate=kept,
            ),
            10,
        )
        for i in range(names)
    ]


def honest_farmers(*, known: bool) -> list[Candidate]:
    """Sixty that ask about twice as much, have as much at stake each, and have proven as long."""
    one = Reputation(successes=50) if known else STRANGER
    return [
        proven(
            candidate(
                i,
                net=f"10.{i}.0.0/16",
                reputation=one,
                stake=EACH_STAKE,
                committed_rate=GANG_RATE,
                price_per_gib_epoch=TOKEN * 99 // 100,
            ),
            10,
        )
        for i in range(1, 61)
    ]


def taken_of_orders(candidates: list[Candidate], orders: int = 50) -> list[int]:
    """How many slots the gang has of each of so many orders."""
    choices = (ids(candidates, replace(LARGE, shuffle_seed=bytes([order]))) for order in range(orders))
    return [sum(number >= 1_000 for number in chosen[: LARGE.n]) for chosen in choices]


@pytest.mark.parametrize("known", [False, True])
def test_farmers_at_the_floor_that_proved_ten_epochs_of_next_to_nothing_are_strangers(known: bool) -> None:
    """Ten proofs each of a slot of one base unit buy nothing, however many names there are."""
    taken = taken_of_orders(honest_farmers(known=known) + gang(300, kept=1))
    assert max(taken) <= 10


def test_farmers_at_the_floor_that_proved_ten_epochs_take_no_more_than_their_share_of_the_stake() -> None:
    """Thirty names that keep as much as they ask for, a third of the stake: a renter that knows nobody gives
    them half of an order, as they are the cheapest of those drawn, and the order survives them."""
    taken = taken_of_orders(honest_farmers(known=False) + gang(30, kept=GANG_RATE))
    assert 14 < sum(taken) / len(taken) < 16
    assert max(taken) <= 20 == LARGE.n - LARGE.k


def test_a_renter_that_knows_its_farmers_gives_others_half_of_what_its_order_can_lose() -> None:
    """Whatever these have at stake and have proven, while those it knows ask less than four times as much."""
    few = taken_of_orders(honest_farmers(known=True) + gang(30, kept=GANG_RATE))
    assert max(few) <= 10
    assert sum(few) / len(few) > 6
    assert max(taken_of_orders(honest_farmers(known=True) + gang(300, kept=GANG_RATE))) <= 10
    dear = [replace_price(one, 3 * TOKEN) for one in honest_farmers(known=True)]
    assert min(taken_of_orders(dear + gang(300, kept=GANG_RATE))) > 10


@pytest.mark.parametrize("known", [False, True])
def test_honest_newcomers_get_slots(known: bool) -> None:
    """A newcomer that asks half the usual comes before those of the others that ask more than it, and of
    twenty newcomers each has slots of some orders."""
    others = [replace_price(one, TOKEN * (70 + one.farmer.id) // 100) for one in honest_farmers(known=known)]
    new = [
        candidate(1_000 + i, net=f"172.{i}.0.0/16", price_per_gib_epoch=GANG_PRICE, stake=EACH_STAKE)
        for i in range(20)
    ]
    served = Counter[int]()
    for order in range(50):
        served.update(ids(others + new, replace(LARGE, shuffle_seed=bytes([order])))[: LARGE.n])
    assert all(served[one.farmer.id] for one in new)
    assert sum(served[one.farmer.id] for one in new) > 50 * 4


def test_farms_of_ones_own_need_no_luck() -> None:
    """They ask nothing and have next to nothing at stake, and have kept what is ours for ten epochs."""
    own = [
        replace(proven(candidate(i, price_per_gib_epoch=0, stake=32), 10), kept_epochs=10)
        for i in range(1, 31)
    ]
    others = [
        replace(proven(candidate(i), 10), kept_epochs=10, reputation=Reputation(successes=1))
        for i in range(100, 200)
    ]
    choice = choose(own + others, LARGE)
    assert {one.farmer.id for one in choice.ranked[:30]} == set(range(1, 31))
    assert [text.partition(" have kept")[0] for text in cautions(choice, LARGE)] == [
        "30 of the 30 farmers ask less than half of what is usual here, and"
    ]

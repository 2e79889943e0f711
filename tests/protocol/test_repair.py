"""When a repairer acts and when it waits, and who of several begins."""

import dataclasses

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from grange.errors import Misuse
from grange.repair import (
    LAZY_MARGIN,
    Act,
    Need,
    PassCost,
    Vacancy,
    Wait,
    Why,
    bounty_rounded_down,
    collateral_epochs_rounded_down,
    cost_rounded_up,
    counted_on,
    decide,
    eager_spares,
    full_bounty_rounded_down,
    margin,
    paying_since,
)
from grange.units import GIB

AUCTION_BLOCKS = 100
END_BLOCK = 10_000
CODES = [(4, 8), (10, 20), (10, 30), (29, 80), (1, 2), (3, 3)]


def need(
    k: int,
    n: int,
    vacant: int,
    *,
    since: int = 0,
    full: int = 100,
    live: int | None = None,
    end: int = END_BLOCK,
) -> Need:
    vacancies = tuple(Vacancy(slot=i, since_block=since, full_bounty=full) for i in range(vacant))
    return Need(k=k, n=n, live=n - vacant if live is None else live, vacancies=vacancies, end_block=end)


@st.composite
def needs(draw: st.DrawFn, *, spare: int | None = None) -> Need:
    """Any order; with `spare`, one that has at least so many slots more than it needs."""
    k, n = draw(st.sampled_from([code for code in CODES if code[1] - code[0] >= (spare or 0)]))
    least = 0 if spare is None else k + spare
    slots = draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n - least))
    vacancies = tuple(
        Vacancy(slot=slot, since_block=draw(st.integers(0, 300)), full_bounty=draw(st.integers(0, 1000)))
        for slot in slots
    )
    live = draw(st.integers(least, n - len(slots)))
    return Need(
        k=k, n=n, live=live, vacancies=vacancies, end_block=draw(st.sampled_from([0, 350, 600, 2000]))
    )


costs = st.builds(PassCost, once=st.integers(0, 20_000), per_slot=st.integers(0, 300))
blocks = st.integers(300, 700)


def decided(order: Need, cost: PassCost, block: int) -> Act | Wait:
    return decide(order, cost, auction_blocks=AUCTION_BLOCKS, now_block=block)


@given(needs(), costs, blocks)
def test_nobody_acts_at_a_loss(order: Need, cost: PassCost, block: int) -> None:
    decision = decided(order, cost, block)
    if isinstance(decision, Act):
        offered = {
            v.slot: min(v.full_bounty, v.full_bounty * (block - v.since_block) // 100)
            for v in order.vacancies
        }
        assert decision.bounty == sum(offered[slot] for slot in decision.slots)
        assert decision.bounty >= decision.cost == cost.of(len(decision.slots))


@given(needs(), costs, blocks)
def test_what_is_rebuilt_is_vacant_and_can_be_rebuilt(order: Need, cost: PassCost, block: int) -> None:
    decision = decided(order, cost, block)
    if isinstance(decision, Act):
        assert set(decision.slots) <= {vacancy.slot for vacancy in order.vacancies}
        assert decision.slots == tuple(sorted(set(decision.slots)))
        assert order.live >= order.k
        assert block < order.end_block


@given(needs(), costs, blocks)
def test_a_repairer_waits_exactly_until_the_block_it_names(order: Need, cost: PassCost, block: int) -> None:
    decision = decided(order, cost, block)
    if isinstance(decision, Wait) and decision.again_block is not None:
        assert decision.why is Why.GROWING
        assert block < decision.again_block < order.end_block
        assert isinstance(decided(order, cost, decision.again_block), Act)
        assert isinstance(decided(order, cost, decision.again_block - 1), Wait)
    elif isinstance(decision, Wait):
        assert isinstance(decided(order, cost, block + 10 * AUCTION_BLOCKS), Wait)


@given(needs(), costs, blocks, st.integers(0, 500))
def test_who_acts_would_act_later_too(order: Need, cost: PassCost, block: int, more: int) -> None:
    assume(block + more < order.end_block)
    if isinstance(decided(order, cost, block), Act):
        assert isinstance(decided(order, cost, block + more), Act)


@given(needs(spare=1), costs, blocks)
def test_danger_never_makes_a_repairer_more_patient(order: Need, cost: PassCost, block: int) -> None:
    if isinstance(decided(order, cost, block), Act):
        assert isinstance(decided(dataclasses.replace(order, live=order.live - 1), cost, block), Act)


@given(needs(), costs, blocks)
def test_a_lower_cost_never_makes_a_repairer_more_patient(order: Need, cost: PassCost, block: int) -> None:
    if isinstance(decided(order, cost, block), Act):
        assert isinstance(
            decided(order, PassCost(once=cost.once // 2, per_slot=cost.per_slot // 2), block), Act
        )


@pytest.mark.parametrize(
    ("k", "n", "spares"), [(4, 8, 3), (10, 20, 7), (10, 30, 14), (29, 80, 34), (1, 2, 1)]
)
def test_danger_begins_when_a_third_of_the_spare_slots_is_gone(k: int, n: int, spares: int) -> None:
    assert eager_spares(k, n) == spares
    assert margin(k + spares, k, n) == 1
    assert margin(min(n, k + spares + 1), k, n) == (LAZY_MARGIN if k + spares < n else 1)


def test_a_healthy_order_waits_for_a_margin_and_one_in_danger_for_none() -> None:
    cost = PassCost(once=150, per_slot=0)
    assert decided(need(10, 30, 2), cost, 100) == Wait(why=Why.UNPAID)
    assert decided(need(10, 30, 3), cost, 100) == Act(slots=(0, 1, 2), bounty=300, cost=150)
    assert decided(need(10, 30, 2, live=20), cost, 100) == Act(slots=(0, 1), bounty=200, cost=150)


def test_bounties_grow_until_the_pass_pays() -> None:
    cost = PassCost(once=100, per_slot=0)
    assert decided(need(10, 30, 4), cost, 20) == Wait(why=Why.GROWING, again_block=50)
    assert decided(need(10, 30, 4), cost, 50) == Act(slots=(0, 1, 2, 3), bounty=200, cost=100)


def test_a_slot_that_does_not_pay_for_itself_stays_out_until_there_is_danger() -> None:
    old = tuple(Vacancy(slot=i, since_block=0, full_bounty=100) for i in range(4))
    fresh = Vacancy(slot=9, since_block=100, full_bounty=100)
    cost = PassCost(once=100, per_slot=10)
    healthy = Need(k=10, n=30, live=25, vacancies=(*old, fresh), end_block=END_BLOCK)
    assert decided(healthy, cost, 100) == Act(slots=(0, 1, 2, 3), bounty=400, cost=140)
    endangered = dataclasses.replace(healthy, live=15)
    assert decided(endangered, cost, 100) == Act(slots=(0, 1, 2, 3, 9), bounty=400, cost=150)


def test_nothing_is_done_without_vacancies_without_k_slots_and_after_the_end() -> None:
    free = PassCost(once=0, per_slot=0)
    assert decided(need(4, 8, 0), free, 1) == Wait(why=Why.WHOLE)
    assert decided(need(4, 8, 4, live=3), free, 1) == Wait(why=Why.TOO_FEW)
    assert decided(need(4, 8, 4, end=50), free, 50) == Wait(why=Why.ENDING)
    assert isinstance(decided(need(4, 8, 4, end=51), free, 50), Act)


def test_a_bounty_that_grows_too_late_for_the_order_is_not_waited_for() -> None:
    cost = PassCost(once=100, per_slot=0)
    assert decided(need(10, 30, 4, end=50), cost, 20) == Wait(why=Why.UNPAID)
    assert decided(need(10, 30, 4, end=51), cost, 20) == Wait(why=Why.GROWING, again_block=50)


@given(st.integers(0, 10**30), st.integers(0, 200))
def test_a_bounty_grows_in_a_straight_line(full: int, waited: int) -> None:
    bounty = bounty_rounded_down(full, waited, AUCTION_BLOCKS)
    assert bounty == (full * min(waited, AUCTION_BLOCKS)) // AUCTION_BLOCKS


def test_the_cost_of_fetching_is_shared_by_the_slots_rebuilt_together() -> None:
    cost = cost_rounded_up(k=10, slot_bytes=GIB, egress_price_per_gib=7, gas_once=5, gas_per_slot=2)
    assert cost.of(1) == 77
    assert cost.of(6) == 87
    assert cost_rounded_up(k=1, slot_bytes=1, egress_price_per_gib=1, gas_once=0, gas_per_slot=0).once == 1


@pytest.mark.parametrize(("live", "vacant"), [(9, 0), (-1, 0), (7, 2)])
def test_an_order_has_as_many_slots_as_it_has(live: int, vacant: int) -> None:
    with pytest.raises(Misuse):
        need(4, 8, vacant, live=live)


@pytest.mark.parametrize(("full", "waited", "auction"), [(-1, 0, 1), (1, -1, 1), (1, 0, 0)])
def test_bounties_have_no_negative_parts(full: int, waited: int, auction: int) -> None:
    with pytest.raises(Misuse):
        bounty_rounded_down(full, waited, auction)


@st.composite
def repairable(draw: st.DrawFn) -> Need:
    """Something is vacant, and k slots or more are live."""
    k, n = draw(st.sampled_from([(4, 8), (10, 20), (10, 30), (29, 80)]))
    slots = draw(st.lists(st.integers(0, n - 1), unique=True, min_size=1, max_size=n - k))
    vacancies = tuple(
        Vacancy(slot=slot, since_block=draw(st.integers(0, 300)), full_bounty=draw(st.integers(50, 1000)))
        for slot in slots
    )
    return Need(k=k, n=n, live=draw(st.integers(k, n - len(slots))), vacancies=vacancies, end_block=2000)


small_costs = st.builds(PassCost, once=st.integers(0, 800), per_slot=st.integers(0, 80))


@given(repairable(), small_costs, st.integers(100, 700))
def test_who_has_acted_does_not_act_on_the_rest_at_once(order: Need, cost: PassCost, block: int) -> None:
    act = decided(order, cost, block)
    assume(isinstance(act, Act))
    assert isinstance(act, Act)
    rest = tuple(vacancy for vacancy in order.vacancies if vacancy.slot not in act.slots)
    after = dataclasses.replace(order, live=order.live + len(act.slots), vacancies=rest)
    assert isinstance(decided(after, cost, block), Wait)


@given(repairable(), small_costs, st.integers(100, 700))
def test_in_danger_nobody_waits_longer_than_the_auction(order: Need, cost: PassCost, block: int) -> None:
    assume(margin(order.live, order.k, order.n) == 1)
    newest = max(vacancy.since_block for vacancy in order.vacancies)
    full = sum(vacancy.full_bounty for vacancy in order.vacancies)
    match decided(order, cost, block):
        case Wait(why=Why.GROWING, again_block=again):
            assert again is not None
            assert block < again <= newest + AUCTION_BLOCKS
        case Wait(why=Why.UNPAID):
            assert full < cost.of(len(order.vacancies))


def test_the_last_spare_slot_is_no_reason_to_repair_at_a_loss() -> None:
    dear = PassCost(once=1000, per_slot=0)
    order = need(10, 30, 20, full=49)
    assert decided(order, dear, 10 * AUCTION_BLOCKS) == Wait(why=Why.UNPAID)
    subsidised = dataclasses.replace(dear, once=dear.once - 20)
    assert isinstance(decided(order, subsidised, 10 * AUCTION_BLOCKS), Act)


@given(repairable(), small_costs, st.integers(100, 700))
def test_a_pass_pays_from_the_block_on_since_which_it_pays(order: Need, cost: PassCost, block: int) -> None:
    assume(isinstance(decided(order, cost, block), Act))
    since = paying_since(order, cost, auction_blocks=AUCTION_BLOCKS, now_block=block)
    assert since <= block
    assert isinstance(decided(order, cost, since), Act)
    if since > min(vacancy.since_block for vacancy in order.vacancies):
        assert isinstance(decided(order, cost, since - 1), Wait)


def test_a_slot_that_falls_vacant_does_not_make_repairers_begin_again() -> None:
    cost = PassCost(once=100, per_slot=1)
    before = need(10, 30, 5)
    fresh = Vacancy(slot=20, since_block=190, full_bounty=100)
    after = dataclasses.replace(before, live=24, vacancies=(*before.vacancies, fresh))
    assert paying_since(before, cost, auction_blocks=AUCTION_BLOCKS, now_block=200) == 42
    assert paying_since(after, cost, auction_blocks=AUCTION_BLOCKS, now_block=200) <= 42


def test_before_a_pass_pays_it_pays_since_now() -> None:
    dear = PassCost(once=10**9, per_slot=0)
    assert paying_since(need(4, 8, 2), dear, auction_blocks=AUCTION_BLOCKS, now_block=70) == 70
    assert paying_since(need(4, 8, 0), dear, auction_blocks=AUCTION_BLOCKS, now_block=70) == 70


def test_late_farmers_are_not_counted_on_unless_they_are_among_the_last_k() -> None:
    assert [counted_on(live, late, 4) for live, late in [(8, 0), (8, 3), (6, 3), (4, 4), (3, 1)]] == [
        8,
        5,
        4,
        4,
        3,
    ]


@pytest.mark.parametrize(
    ("stake", "rate", "epochs"),
    [(0, 9, 0), (8, 9, 0), (17, 9, 0), (18, 9, 1), (152, 9, 15), (153, 9, 16), (9999, 9, 16)],
)
def test_a_slot_has_whole_epochs_of_a_lapsed_farmers_stake_after_the_reward(
    stake: int, rate: int, epochs: int
) -> None:
    found = collateral_epochs_rounded_down(stake=stake, committed_rate=rate, collateral_epochs=16)
    assert found == epochs


def test_a_farmer_that_keeps_nothing_leaves_no_slot_anything() -> None:
    assert collateral_epochs_rounded_down(stake=1700, committed_rate=0, collateral_epochs=16) == 0


@pytest.mark.parametrize(
    ("collateral", "left", "bounty"),
    [(700, 50, 700), (900, 50, 800), (900, 8, 800), (900, 3, 300), (900, 0, 0), (900, -2, 0)],
)
def test_the_full_bounty_is_half_of_what_a_pretender_loses_or_the_collateral(
    collateral: int, left: int, bounty: int
) -> None:
    found = full_bounty_rounded_down(
        rate=100, collateral=collateral, left_epochs=left, loss_per_miss=2, collateral_epochs=16
    )
    assert found == bounty

"""What is done with packs that are due: extended, written again, let go, or waited with."""

from typing import Any

import pytest
from client.keep.keep_samples import COSTS, EPOCH, GRID, look, pack, pack_id, view
from hypothesis import given
from hypothesis import strategies as st

from grange.types import Epoch
from grange_client.keep.description import describe_kept_until, describe_plan
from grange_client.keep.facts import Money
from grange_client.keep.horizon import find_horizon, keep_cost
from grange_client.keep.lease import Lease
from grange_client.keep.plan import (
    Close,
    Extend,
    GiveMandate,
    KeepPlan,
    Lapse,
    Repack,
    TakeOffMandate,
    TopUp,
    make_plan,
)
from grange_client.keep.policy import DEFAULT_POLICY, KeepPolicy
from grange_client.keep.repacking import MAX_COPIED_BYTES, MAX_SMALL_PACKS, MIN_MERGED, choose_repackings

LATEST = Epoch(1_350)


def plan_of(*packs: Any, policy: KeepPolicy = DEFAULT_POLICY, **more: Any) -> KeepPlan:
    return make_plan(view(*packs, **more), policy)


def kinds(plan: KeepPlan) -> list[str]:
    return [type(action).__name__ for action in plan.actions]


@pytest.mark.parametrize(
    ("left", "needed", "done"),
    [
        (31, 1.0, []),
        (30, 1.0, ["Extend"]),
        (21, 1.0, ["Extend"]),
        (11, 1.0, ["Extend"]),
        (1, 1.0, ["Extend"]),
        # Mostly garbage: as late as it is safe, since what is left of its term is lost.
        (31, 0.3, []),
        (30, 0.3, []),
        (21, 0.3, []),
        (20, 0.3, ["Repack"]),
        (11, 0.3, ["Repack"]),
        (10, 0.3, ["Extend"]),
        (1, 0.3, ["Extend"]),
        # A little more than half is not worth it.
        (15, 0.6, ["Extend"]),
        (31, 0.0, []),
        (30, 0.0, ["Lapse"]),
        (1, 0.0, ["Lapse"]),
    ],
)
def test_when_a_pack_is_due_what_is_done_follows_from_what_is_needed(
    left: int, needed: float, done: list[str]
) -> None:
    plan = plan_of(pack(1, left=left, needed=needed))
    assert kinds(plan) == done
    assert bool(plan.waiting) == (needed == 0.3 and 20 < left <= 30)


def test_an_extension_goes_as_far_as_the_market_does() -> None:
    plan = plan_of(pack(1, left=25))
    (action,) = plan.actions
    assert isinstance(action, Extend)
    assert action.end == LATEST
    assert plan.kept_until == LATEST
    assert action.cost == pack(1, left=25).rate * (LATEST - EPOCH - 25)
    shorter = plan_of(pack(1, left=25), policy=KeepPolicy(term_epochs=100))
    assert shorter.kept_until == 1_110


def test_a_year_of_small_packs_that_end_together_becomes_one() -> None:
    packs = [pack(number, left=18, size_mib=4) for number in range(20)]
    plan = plan_of(*packs, pack(99, left=300, size_mib=4_000))
    (action,) = plan.actions
    assert isinstance(action, Repack)
    assert {one.pack for one in action.repacking.packs} == {pack_id(number) for number in range(20)}
    assert plan.kept_until == EPOCH + 300


def test_a_large_pack_is_not_copied_to_take_small_ones_along() -> None:
    packs = [pack(number, left=18, size_mib=4) for number in range(5)]
    plan = plan_of(*packs, pack(99, left=18, size_mib=4_000))
    repacked = {one.pack for a in plan.actions if isinstance(a, Repack) for one in a.repacking.packs}
    extended = {a.pack.pack for a in plan.actions if isinstance(a, Extend)}
    assert extended == {pack_id(99)}
    assert repacked == {one.pack for one in packs}


def test_small_packs_that_became_too_many_become_fewer_before_they_are_due() -> None:
    packs = [pack(number, left=60 + number, size_mib=4) for number in range(MAX_SMALL_PACKS)]
    big = pack(999, left=300, size_mib=4_000)
    assert kinds(plan_of(*packs, big)) == []
    (action,) = plan_of(*packs, pack(500, left=59, size_mib=4), big).actions
    assert isinstance(action, Repack)
    assert {one.end for one in action.repacking.packs} == {EPOCH + left for left in range(59, 84)}


@given(st.lists(st.tuples(st.integers(1, 2_000), st.floats(0, 1)), max_size=12), st.integers(11, 30))
def test_what_is_written_again_was_garbage_or_doubles_its_pack(
    sizes: list[tuple[int, float]], left: int
) -> None:
    packs = [
        pack(number, left=left, size_mib=size, needed=needed) for number, (size, needed) in enumerate(sizes)
    ]
    for one in choose_repackings(view(*packs), packs, LATEST):
        assert one.saving * 10 >= (one.cost if len(one.packs) < MIN_MERGED else -one.extending)
        for member in one.packs:
            assert member.is_mostly_garbage or 2 * member.needed_bytes <= one.copied_bytes


def test_while_not_all_is_known_nothing_is_let_go_or_written_again() -> None:
    packs = [
        pack(1, left=15, needed=0.0),
        pack(2, left=15, needed=0.2),
        pack(3, left=8, needed=0.0, is_retired=True),
    ]
    plan = plan_of(*packs, is_complete=False)
    assert kinds(plan) == ["Extend", "Extend", "Extend"]
    assert plan.droppable == ()
    assert plan_of(*packs, is_complete=False, withdrawable=(b"c",)).withdrawable == ()


def test_a_pack_whose_journal_alone_says_something_or_that_a_commit_needs_does_not_just_end() -> None:
    for more in ({"is_covered": False}, {"is_pinned": True}, {"is_unmeasured": True}):
        plan = plan_of(pack(1, left=15, needed=0.0, **more))
        assert kinds(plan) in (["Repack"], ["Extend"]), more


def test_a_retired_pack_ends_and_is_copied_first_if_a_late_commit_needs_it() -> None:
    gone = pack(1, left=9, needed=0.0, is_retired=True)
    plan = plan_of(gone)
    assert kinds(plan) == ["Lapse"]
    assert plan.droppable == (gone.pack,), "nothing can rely on it any more"
    assert plan_of(pack(1, left=10, needed=0.0, is_retired=True)).droppable == ()
    (action,) = plan_of(pack(1, left=25, needed=0.1, is_retired=True)).actions
    assert isinstance(action, Repack)
    assert "late" in action.reason or "relies" in action.reason


def test_another_device_that_holds_the_lease_repacks_and_ours_waits() -> None:
    due = pack(1, left=15, needed=0.2)
    theirs = Lease(number=4, device="desktop", until=Epoch(EPOCH + 3))
    plan = plan_of(due, lease=theirs)
    assert kinds(plan) == []
    assert plan.waiting[0][1] == "another device is at it"
    over = Lease(number=4, device="desktop", until=Epoch(EPOCH))
    assert kinds(plan_of(pack(1, left=16, needed=0.2), lease=over)) == [], "it goes first"
    assert kinds(plan_of(due, lease=over)) == ["Repack"], "it had half of the time"
    assert kinds(plan_of(due, lease=Lease(number=4, device="laptop", until=Epoch(0)))) == ["Repack"]
    # Keeping is never left to another.
    assert kinds(plan_of(pack(1, left=10, needed=0.2), lease=theirs)) == ["Extend"]


def test_what_a_mandate_covers_is_written_again_before_anyone_may_extend_it() -> None:
    covered = {"mandate": 1, "mandate_until": Epoch(5_000)}
    assert kinds(plan_of(pack(1, left=34, needed=0.2, **covered))) == []
    assert kinds(plan_of(pack(1, left=33, needed=0.2, **covered))) == ["Repack"]
    taken_off = plan_of(pack(1, left=32, needed=0.0, is_retired=True, **covered))
    assert kinds(taken_off) == ["TakeOffMandate"]
    # Right after it was retired a backup may be about to publish.
    assert kinds(plan_of(pack(1, left=33, needed=0.0, is_retired=True, **covered))) == []


def test_a_mandate_is_given_for_what_is_kept_and_again_at_half_time() -> None:
    policy = KeepPolicy(mandate_epochs=200)
    (action,) = plan_of(pack(1, left=170), policy=policy).actions
    assert isinstance(action, GiveMandate)
    assert action.until == 1_200
    for until, given_again in ((Epoch(EPOCH + 100), False), (Epoch(EPOCH + 99), True)):
        plan = plan_of(pack(1, left=170, mandate=1, mandate_until=until), policy=policy)
        assert kinds(plan) == (["GiveMandate"] if given_again else [])
    assert kinds(plan_of(pack(1, left=170))) == [], "not unless it is wanted"
    assert kinds(plan_of(pack(1, left=200), policy=policy)) == [], "it is paid for until then"


def test_the_vault_is_topped_up_for_what_is_done_and_for_the_mandate_but_not_beyond_the_budget() -> None:
    due = pack(1, left=25)
    money = Money(vault=0, wallet=1 << 120)
    top_up, extend = plan_of(due, money=money).actions
    assert isinstance(top_up, TopUp)
    assert isinstance(extend, Extend)
    assert top_up.amount == extend.cost
    covered = pack(2, left=200, mandate=1, mandate_until=Epoch(5_000), mandate_cost=77)
    (top_up,) = plan_of(covered, money=money).actions
    assert isinstance(top_up, TopUp)
    assert top_up.amount == 77
    bounded = plan_of(due, money=Money(vault=0, wallet=1 << 120, budget_left=due.rate * 100))
    assert bounded.cost <= due.rate * 100
    assert bounded.kept_until == 1_110, "as far as the budget goes"


def test_what_the_money_does_not_reach_for_is_said_and_the_first_to_end_comes_first() -> None:
    packs = [pack(1, left=25), pack(2, left=5)]
    plan = plan_of(*packs, money=Money(vault=packs[0].rate * 40))
    (action,) = plan.actions
    assert isinstance(action, Extend)
    assert action.pack.pack == pack_id(2)
    (shortage,) = plan.shortages
    assert shortage.pack.pack == pack_id(1)
    assert shortage.missing == packs[0].rate * 30 - (packs[0].rate * 40 - action.cost)


def test_the_money_is_laid_out_for_all_packs_to_one_date() -> None:
    packs = [pack(1, left=20), pack(2, left=50), pack(3, left=300)]
    spendable = packs[0].rate * 200
    end = find_horizon(
        packs, spendable=spendable, earliest=Epoch(1_020), latest=LATEST, grid_epochs=GRID, costs=COSTS
    )
    assert end is not None
    assert keep_cost(packs, end, COSTS) <= spendable < keep_cost(packs, Epoch(end + GRID), COSTS)
    assert (
        find_horizon(packs, spendable=0, earliest=Epoch(1_050), latest=LATEST, grid_epochs=GRID, costs=COSTS)
        is None
    )


def test_an_order_that_is_over_is_closed_if_that_brings_something() -> None:
    plan = plan_of(refunds={pack_id(7): 5, pack_id(8): 0})
    assert plan.actions == (Close(order=pack_id(7), refund=5),)
    assert plan.kept_until is None


def test_a_needed_pack_that_is_over_is_named() -> None:
    plan = plan_of(pack(1, left=0), pack(2, left=-1, needed=0.0), pack(3, left=-9, is_retired=True))
    assert [one.pack for one in plan.over] == [pack_id(1)]
    assert plan.actions == ()


def test_when_something_may_be_due_again_is_known() -> None:
    assert plan_of(pack(1, left=300)).next_epoch == EPOCH + 300 - 33
    assert plan_of(pack(1, left=30)).next_epoch == EPOCH + 10
    assert plan_of(pack(1, left=0)).next_epoch is None


def test_the_dry_run_says_what_it_costs_and_why_and_until_when() -> None:
    packs = (
        pack(1, left=25),
        pack(2, left=15, needed=0.2),
        pack(3, left=8, needed=0.0, is_retired=True),
        pack(4, left=25, needed=0.3),
        pack(5, left=0),
        pack(6, left=300, mandate=1, mandate_until=Epoch(5_000)),
    )
    seen = look(
        *packs, policy=KeepPolicy(mandate_epochs=400), withdrawable=(b"c",), refunds={pack_id(9): 10**18}
    )
    plan = make_plan(seen.view, seen.policy)
    lines = describe_plan(plan, seen)
    text = "\n".join(lines)
    assert {"Extend", "Repack", "Lapse", "GiveMandate", "Close"} <= set(kinds(plan))
    for words in (
        "extend pack 7061636b (1.02 GB",
        "write 2 packs again as one of 509 MB, until ",
        "most of what is paid for is garbage",
        "what is needed of it is elsewhere",
        "withdraw 1 commit with the next pack",
        "forget 1 pack with the next pack",
        "and is needed",
        "so that it lives on while nobody runs this",
        "come back",
    ):
        assert words in text, words
    assert lines[-1].startswith("main is kept until ")
    assert describe_kept_until(plan, seen.clock).split()[-1] == "2027"
    waiting = look(pack(4, left=25, needed=0.3))
    assert "wait with pack" in describe_plan(make_plan(waiting.view, DEFAULT_POLICY), waiting)[0]
    taken = make_plan(look(pack(1, left=20, needed=0.0, mandate=2)).view, DEFAULT_POLICY)
    assert isinstance(taken.actions[0], TakeOffMandate)
    assert isinstance(taken.actions[1], Lapse)


def test_no_new_pack_needs_more_of_the_disk_than_it_should() -> None:
    """A large drive that is mostly garbage becomes several packs, none larger than the disk should take."""
    packs = [pack(number, left=15, size_mib=3_000, needed=0.3) for number in range(10)]
    repackings = [one.repacking for one in plan_of(*packs).actions if isinstance(one, Repack)]
    assert len(repackings) > 1
    assert all(one.copied_bytes <= MAX_COPIED_BYTES for one in repackings)
    assert sorted(one.pack for group in repackings for one in group.packs) == [one.pack for one in packs]

"""How likely an order is lost: against closed forms, and against what must hold whatever the numbers are."""

from math import comb, exp, sqrt

import pytest
from client_fakes import PARAMETERS
from hypothesis import given, settings
from hypothesis import strategies as st

from grange.chain import Farmer
from grange.chain.orders import OrderState
from grange.layout import Geometry
from grange.messages import NOBODY
from grange.types import NO_LIMIT, Epoch, FarmerId, Offer, OrderId, Slot
from grange_client.cli.screens.health import risk_text
from grange_client.orders.durability import (
    OrderHealth,
    SlotReport,
    SlotState,
    estimate_health,
    loss_probability,
)
from grange_client.orders.order_health import state_of

codes = st.integers(1, 12).flatmap(lambda k: st.tuples(st.just(k), st.integers(k, 30)))


@given(codes, st.integers(0, 400), st.integers(0, 8))
@settings(deadline=None, max_examples=50)
def test_without_repair_it_is_the_binomial_distribution(
    code: tuple[int, int], epochs: int, gone: int
) -> None:
    """Of those that are left each lives on with probability exp(-t/L); fewer than k of them is the loss."""
    k, n = code
    sound = max(k, n - gone)
    alive = exp(-epochs / 540)
    expected = sum(comb(sound, i) * alive**i * (1 - alive) ** (sound - i) for i in range(k))
    found = loss_probability(k=k, n=n, sound=sound, epochs=epochs, lifetime_epochs=540, repair_epochs=None)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("epochs", [0, 1, 30, 365, 3000])
@pytest.mark.parametrize("repair_epochs", [1, 8, 100])
def test_one_of_two_with_repair_is_solved_by_hand(epochs: int, repair_epochs: int) -> None:
    """Two states and an absorbing one: the survival function is a sum of two exponentials."""
    a, b = 1 / 540, 1 / repair_epochs
    root = sqrt((3 * a + b) ** 2 - 8 * a * a)
    slow, fast = (3 * a + b - root) / 2, (3 * a + b + root) / 2
    survival = (fast * exp(-slow * epochs) - slow * exp(-fast * epochs)) / (fast - slow)
    found = loss_probability(
        k=1, n=2, sound=2, epochs=epochs, lifetime_epochs=540, repair_epochs=repair_epochs
    )
    assert found == pytest.approx(1 - survival, rel=1e-7, abs=1e-12)


@given(codes, st.integers(0, 365), st.integers(1, 60))
@settings(deadline=None, max_examples=50)
def test_more_time_fewer_slots_and_slower_repair_are_never_better(
    code: tuple[int, int], epochs: int, repair_epochs: int
) -> None:
    k, n = code

    def loss(sound: int = n, epochs: int = epochs, repair: float | None = repair_epochs) -> float:
        return loss_probability(
            k=k, n=n, sound=sound, epochs=epochs, lifetime_epochs=540, repair_epochs=repair
        )

    slack = 1e-12
    assert 0 <= loss() <= 1
    assert loss() <= loss(epochs=epochs + 10) + slack
    assert loss() <= loss(repair=2 * repair_epochs) + slack
    assert loss(repair=2 * repair_epochs) <= loss(repair=None) + slack
    assert loss() <= loss(sound=max(k, n - 1)) + slack
    assert loss(sound=k - 1) == 1.0


def seen(*states: SlotState, k: int = 2, end: int = 100, now: int = 10) -> OrderHealth:
    reports = tuple(SlotReport(slot=i, farmer=FarmerId(i + 1), state=s) for i, s in enumerate(states))
    return estimate_health(reports, k=k, end=Epoch(end), now=Epoch(now), parameters=PARAMETERS)


def test_who_is_late_comes_back_in_half_of_the_cases_and_who_just_came_is_there() -> None:
    live, late, vacant, new = SlotState.LIVE, SlotState.LATE, SlotState.VACANT, SlotState.REPAIRING
    cases = (seen(live, live, live, vacant), seen(live, new, vacant, vacant))
    mean = sum(case.loss for case in cases) / 2
    assert seen(live, live, late, vacant).loss == pytest.approx(mean)
    assert seen(late, late, late, late).loss == pytest.approx(5 / 16, rel=0.02)
    assert seen(live, live, live, new).loss < seen(live, live, live, late).loss
    assert seen(live, late, vacant).spares == -1
    assert seen(live, vacant, vacant).loss == 1.0
    assert [seen(live, live, late).count(state) for state in (live, late, vacant)] == [2, 1, 0]


def test_an_order_that_is_over_loses_nothing_more() -> None:
    done = seen(SlotState.LIVE, SlotState.LIVE, end=10, now=12)
    assert (done.epochs_left, done.loss) == (0, 0.0)


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (0.0, "< 1 in 10^9"),
        (1e-12, "< 1 in 10^9"),
        (1 / 234_567, "1 in 230,000"),
        (1 / 1_234_567, "1 in 10^6"),
        (0.0101, "1 in 99"),
        (0.25, "25%"),
        (1.0, "100%"),
    ],
)
def test_risks_are_said_in_few_digits(loss: float, text: str) -> None:
    assert risk_text(loss) == text


def tenure(farmer: int, start: int) -> Slot:
    return Slot(farmer=FarmerId(farmer), root=bytes(32), rate=1, start=Epoch(start))


@pytest.mark.parametrize(
    ("start", "epoch", "strikes", "lapsed", "is_lost", "state"),
    [
        (3, 2, 0, False, False, SlotState.LIVE),
        (3, 5, 0, False, False, SlotState.LIVE),
        (3, 5, 1, False, False, SlotState.LATE),
        (3, 5, 4, True, False, SlotState.VACANT),
        (3, 5, 0, False, True, SlotState.VACANT),
        (6, 5, 0, False, False, SlotState.REPAIRING),
        (6, 5, 1, False, False, SlotState.REPAIRING),
        (6, 5, 4, True, False, SlotState.VACANT),
        (6, 6, 0, False, False, SlotState.LIVE),
    ],
)
def test_a_slot_is_what_the_market_says_of_its_last_farmer(  # noqa: PLR0917
    start: int, epoch: int, strikes: int, lapsed: bool, is_lost: bool, state: SlotState
) -> None:
    """Before its order has begun it is live; taken over in this epoch, it is still being repaired."""
    order = OrderState(
        id=OrderId(bytes(32)),
        renter=NOBODY,
        block=1,
        start=Epoch(3),
        end=Epoch(16),
        geometry=Geometry.for_stream(1000, 1, 1),
        slots=(tenure(1, 3),),
    )
    farmer = Farmer(
        id=FarmerId(7),
        owner=NOBODY,
        operator=NOBODY,
        stake=1,
        committed_rate=1,
        settled_epoch=Epoch(0),
        misses=0,
        strikes=strikes,
        epochs_proven=0,
        registered_block=0,
        ceiling=NO_LIMIT,
        loss_limit=NO_LIMIT,
        lapsed=lapsed,
        endpoint="",
        offer=Offer(price_per_gib_epoch=1, egress_price_per_gib=0, capacity_bytes=1, longest_term_epochs=1),
    )
    found = state_of(order, tenure(7, start), {farmer.id: farmer}, is_lost=is_lost, epoch=Epoch(epoch))
    assert found is state
    assert state_of(order, tenure(8, start), {}, is_lost=False, epoch=Epoch(epoch)) is SlotState.VACANT

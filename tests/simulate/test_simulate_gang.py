"""What a gang gets of an order, by the code that chooses."""

import json

import pytest
from typer.testing import CliRunner

from grange.errors import Misuse
from grange.transfer.spread import strangers_allowed
from grange_simulate.assumptions import Code
from grange_simulate.cli import app
from grange_simulate.gang import Case, Gang, Renter, Taken, taken, taken_of_all

CODE = Code(k=10, n=30)
ORDERS = 24
"""In two markets, since the first has twenty."""


def found(renter: Renter, share: float, *, name_slots: float = 20, honest: int = 120) -> Taken:
    gang = Gang(share=share, honest=honest, name_slots=name_slots)
    return taken(Case(gang=gang, renter=renter, code=CODE), orders=ORDERS, seed=1)


def test_nobody_gets_nothing() -> None:
    nothing = found(Renter.NEW, 0)
    assert nothing.orders == (20, 4)
    assert nothing.slots == 0
    assert sum(nothing.enough + nothing.danger + nothing.everything) == 0
    assert 0.8 < nothing.price < 1


def test_a_gang_of_a_tenth_gets_a_few_slots_and_endangers_nothing() -> None:
    """Its names are the cheapest of those drawn, so it has more than its share, and what strangers get."""
    tenth = found(Renter.NEW, 0.1)
    assert 0.1 * CODE.n < tenth.slots < 2 * 0.1 * CODE.n + strangers_allowed(CODE.k, CODE.n)
    assert sum(tenth.danger) == 0


def test_a_renter_that_knows_its_farmers_loses_nothing_to_a_gang_of_two_fifths() -> None:
    """About (n - k) / 2 slots at the most, of which the order survives twice as many. Of half of the stake a
    gang sets the usual price, and known farmers may ask more than twice as much."""
    much = found(Renter.LOYAL, 0.4)
    assert 0 < much.slots <= 10
    assert sum(much.danger) == 0
    assert sum(found(Renter.NEW, 0.5).danger) > 0


def test_small_names_take_no_more_than_large_ones() -> None:
    """A name costs stake, and where there are more than a thousand a sample goes by it, too."""
    assert found(Renter.NEW, 0.3, name_slots=1, honest=600).slots < found(Renter.NEW, 0.3, honest=600).slots


def test_the_same_seed_gives_the_same_numbers() -> None:
    cases = [Case(gang=Gang(share=0.2, honest=80), renter=one, code=CODE) for one in Renter]
    once = taken_of_all(cases, orders=2, seed=7, workers=1)
    assert once == taken_of_all(cases, orders=2, seed=7, workers=1)
    assert len({one.slots for one in once}) > 1


@pytest.mark.parametrize(
    "fields", [{"share": 1.0}, {"share": 0.1, "honest": 0}, {"share": 0.1, "name_slots": 0.5}]
)
def test_gangs_that_cannot_be(fields: dict[str, float]) -> None:
    with pytest.raises(Misuse):
        Gang(**fields)  # type: ignore[arg-type]


def test_markets_that_are_too_small_and_orders_without_number() -> None:
    small = Case(gang=Gang(share=0, honest=5), renter=Renter.NEW, code=CODE)
    with pytest.raises(Misuse, match="too few"):
        taken(small, orders=1, seed=1)
    with pytest.raises(Misuse, match="orders"):
        taken(small, orders=0, seed=1)


def test_the_command_shows_tables_or_json() -> None:
    options = [
        "gang",
        "--share",
        "0.1",
        "--code",
        "4/8",
        "--farmers",
        "60",
        "--orders",
        "2",
        "--workers",
        "1",
    ]
    shown = CliRunner().invoke(app, options)
    assert shown.exit_code == 0
    assert "4 of 8, a renter that knows no farmer" in shown.output
    cases = json.loads(CliRunner().invoke(app, [*options, "--json"]).stdout)["cases"]
    assert [case["renter"] for case in cases] == [*Renter]
    assert all(case["gang"]["share"] == 0.1 and case["orders"] == [2] for case in cases)

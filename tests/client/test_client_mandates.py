"""The bounds that are proposed for a mandate: pure arithmetic."""

from dataclasses import replace

import pytest
from client_fakes import PARAMETERS

from grange.chain.orders import OrderState
from grange.layout import Geometry
from grange.types import Epoch, FarmerId, OrderId, Slot, address_from
from grange.units import GIB, LEAF_BYTES
from grange_client.errors import CannotExtend
from grange_client.mandates import highest_rate, most_cost, next_cost, propose

GRID = PARAMETERS.grid_epochs
ORDER = OrderState(
    id=OrderId(bytes(32)),
    renter=address_from(bytes(20)),
    block=1,
    start=Epoch(GRID),
    end=Epoch(3 * GRID),
    geometry=Geometry.from_leaves(k=1, n=2, leaf_count=4096, piece_leaves=2048),
    slots=tuple(
        Slot(
            farmer=FarmerId(number),
            root=bytes(32),
            rate=1000 * number,
            max_egress_price_per_gib=10 * number,
            start=Epoch(GRID),
        )
        for number in (1, 2)
    ),
)
SLOT_BYTES = 4096 * LEAF_BYTES


def test_a_quarter_above_the_dearest_slot_is_proposed_for_a_term_as_long() -> None:
    terms = propose([ORDER], fee=7, until=Epoch(5 * GRID + 1), parameters=PARAMETERS)
    assert (terms.until, terms.term_epochs, terms.fee) == (6 * GRID, 2 * GRID, 7)
    assert highest_rate(ORDER, terms.highest_price) in (2500, 2501)
    assert terms.highest_price == -(-2000 * GIB // SLOT_BYTES * 125 // 100)
    assert terms.highest_egress_price == 25


def test_in_all_it_may_cost_what_all_extensions_cost_at_most() -> None:
    """Three terms are left, the last of them a short one: three fees."""
    terms = propose([ORDER], fee=7, until=Epoch(8 * GRID), parameters=PARAMETERS)
    assert terms.total == most_cost(ORDER, terms, from_epoch=ORDER.end)
    assert terms.total == 2 * highest_rate(ORDER, terms.highest_price) * 5 * GRID + 3 * 7
    assert next_cost(ORDER, terms) == 2 * highest_rate(ORDER, terms.highest_price) * 2 * GRID + 7
    last = replace(ORDER, end=Epoch(7 * GRID))
    assert next_cost(last, terms) == 2 * highest_rate(ORDER, terms.highest_price) * GRID + 7
    assert next_cost(replace(ORDER, end=terms.until), terms) == 0


def test_what_is_given_counts() -> None:
    until = Epoch(4 * GRID)
    given = {"highest_price": 5, "highest_egress_price": 0, "total": 99}
    terms = propose([ORDER], fee=0, until=until, parameters=PARAMETERS, **given)
    assert {name: getattr(terms, name) for name in given} == given


def test_where_nothing_needs_to_be_extended_there_is_no_mandate() -> None:
    with pytest.raises(CannotExtend):
        propose([ORDER], fee=0, until=Epoch(3 * GRID), parameters=PARAMETERS)

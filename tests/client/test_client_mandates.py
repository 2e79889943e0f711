"""The bounds that are proposed for a mandate, and what is said of a vault that may not suffice."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
from client_fakes import PARAMETERS, World

from grange.chain import Mandate
from grange.chain.orders import OrderState
from grange.layout import Geometry
from grange.token_unit import PLAIN_UNIT
from grange.types import Epoch, FarmerId, MandateTerms, OrderId, Slot, address_from
from grange.units import GIB, LEAF_BYTES, TOKEN
from grange_client import mandates as mandates_module
from grange_client.cli.commands.mandate import _term_text
from grange_client.errors import CannotExtend
from grange_client.mandates import highest_rate, most_cost, next_cost, propose, warn_vault

GRID = PARAMETERS.grid_epochs
FAR = Epoch(1_000_000)
TERMS = MandateTerms(
    highest_price=1000,
    highest_egress_price=0,
    fee=7,
    until=Epoch(FAR + 4 * GRID),
    term_epochs=GRID,
    total=10**30,
)
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
    terms = propose([ORDER], fee=7, until=Epoch(5 * GRID + 1), vault=0, parameters=PARAMETERS)
    assert (terms.until, terms.term_epochs, terms.fee) == (6 * GRID, 2 * GRID, 7)
    assert highest_rate(ORDER, terms.highest_price) in (2500, 2501)
    assert terms.highest_price == -(-2000 * GIB // SLOT_BYTES * 125 // 100)
    assert terms.highest_egress_price == 25


@pytest.mark.parametrize(("spare", "periods"), [(-1, 4), (0, 5)])
def test_the_proposed_term_is_the_longest_that_the_vault_pays_for(spare: int, periods: int) -> None:
    """Or the total, if one is given; two orders are paid for together."""
    orders = [ORDER, replace(ORDER, id=OrderId(b"\x01" * 32))]
    rate = highest_rate(ORDER, -(-2000 * GIB // SLOT_BYTES * 125 // 100))
    budget = 2 * (2 * rate * 5 * GRID + 7) + spare
    given = {"fee": 7, "until": Epoch(9 * GRID), "parameters": PARAMETERS}
    assert propose(orders, vault=budget, **given).term_epochs == periods * GRID
    assert propose(orders, vault=10**30, total=budget, **given).term_epochs == periods * GRID


@pytest.mark.parametrize(("until", "periods"), [(4, 2), (7, 4), (100, PARAMETERS.max_books - 1)])
def test_it_is_no_longer_than_it_takes_or_the_market_allows_and_no_shorter_than_the_order_was(
    until: int, periods: int
) -> None:
    terms = propose([ORDER], fee=7, until=Epoch(until * GRID), vault=10**30, parameters=PARAMETERS)
    assert terms.term_epochs == periods * GRID
    assert terms.total == most_cost(ORDER, terms, from_epoch=ORDER.end)


@pytest.mark.parametrize(
    ("vault", "periods", "said"),
    [
        (10**30, 5, "No longer one is of use"),
        (10**30, 3, "up to 40 epochs, it is safer: --term-epochs"),
        (0, 3, "up to 40 epochs, it is safer: --term-epochs; deposit more first"),
    ],
)
def test_the_command_says_whether_a_longer_term_would_be_safer_and_what_it_takes(
    vault: int, periods: int, said: str
) -> None:
    given = {"until": Epoch(8 * GRID), "vault": vault, "parameters": PARAMETERS}
    terms = propose([ORDER], fee=7, term_epochs=periods * GRID, **given)
    text = _term_text(terms, [ORDER], vault, PARAMETERS)
    assert said in text
    assert ("deposit" in text) == ("deposit" in said)


def test_in_all_it_may_cost_what_all_extensions_cost_at_most() -> None:
    """Three terms are left, the last of them a short one: three fees."""
    terms = propose([ORDER], fee=7, until=Epoch(8 * GRID), vault=0, parameters=PARAMETERS)
    assert terms.total == most_cost(ORDER, terms, from_epoch=ORDER.end)
    assert terms.total == 2 * highest_rate(ORDER, terms.highest_price) * 5 * GRID + 3 * 7
    assert next_cost(ORDER, terms) == 2 * highest_rate(ORDER, terms.highest_price) * 2 * GRID + 7
    last = replace(ORDER, end=Epoch(7 * GRID))
    assert next_cost(last, terms) == 2 * highest_rate(ORDER, terms.highest_price) * GRID + 7
    assert next_cost(replace(ORDER, end=terms.until), terms) == 0


def test_what_is_given_counts() -> None:
    until = Epoch(4 * GRID)
    given = {"highest_price": 5, "highest_egress_price": 0, "total": 99}
    terms = propose([ORDER], fee=0, until=until, vault=0, parameters=PARAMETERS, **given)
    assert {name: getattr(terms, name) for name in given} == given


@pytest.mark.parametrize(
    ("asked", "periods"),
    [(1, 1), (GRID, 1), (GRID + 1, 2), (10**9, PARAMETERS.max_books - 1)],
)
def test_a_given_term_has_as_many_whole_periods_as_the_market_allows(asked: int, periods: int) -> None:
    terms = propose([ORDER], fee=7, until=Epoch(5 * GRID), vault=0, parameters=PARAMETERS, term_epochs=asked)
    assert terms.term_epochs == periods * GRID
    assert terms.total == most_cost(ORDER, terms, from_epoch=ORDER.end)


def test_where_nothing_needs_to_be_extended_there_is_no_mandate() -> None:
    with pytest.raises(CannotExtend):
        propose([ORDER], fee=0, until=Epoch(3 * GRID), vault=0, parameters=PARAMETERS)


@pytest.mark.parametrize(
    ("vault", "spending", "said"),
    [
        (10, 0, ""),
        (9, 0, "holds 9 tokens, and"),
        (15, 5, ""),
        (15, 6, "holds 15 tokens, 9 tokens without what this may take out of it, and"),
        (5, 50, "holds 5 tokens, 0 tokens without"),
    ],
)
def test_a_vault_that_may_not_pay_the_next_extensions_is_said_with_what_is_about_to_leave_it(
    vault: int, spending: int, said: str
) -> None:
    """Nothing in it is kept for anybody, which is said too."""
    found = warn_vault(vault * TOKEN, 10 * TOKEN, PLAIN_UNIT, spending=spending * TOKEN)
    assert bool(found) == bool(said)
    assert said in " ".join(found)
    assert all("may cost 10 tokens" in one and "kept for nothing" in one for one in found)
    assert warn_vault(0, 0, PLAIN_UNIT, spending=1) == []


async def test_a_home_that_gave_a_mandate_is_told_and_one_that_gave_none_asks_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given or listed here once, it is known to every later command."""
    asked: list[int] = []
    shown = Mandate(
        highest_price=TERMS.highest_price,
        highest_egress_price=0,
        fee=TERMS.fee,
        until=TERMS.until,
        term_epochs=GRID,
        left=TERMS.total,
        revoked=False,
    )

    async def mandate(account: object, number: int) -> Mandate:
        asked.append(number)
        return shown

    looked_at: list[OrderId] = []

    async def covered(market: object, order: OrderId) -> object:
        looked_at.append(order)
        return SimpleNamespace(mandate=1)

    async def gives(*_: object) -> None:
        return None

    async def none_yet(since: int) -> list[int]:
        return []

    monkeypatch.setattr(world.market, "mandate", mandate, raising=False)
    monkeypatch.setattr(world.market, "give_mandate", gives, raising=False)
    monkeypatch.setattr(world.market, "mandate_numbers", none_yet, raising=False)
    monkeypatch.setattr(mandates_module, "find_known_order", covered)
    order = replace(ORDER, start=Epoch(0), end=FAR)
    async with world.renter() as renter:
        assert await renter.vault_warnings(spending=TOKEN) == []
        assert asked == []
        await renter.mandates.give(TERMS, [order.id])
    async with world.renter() as renter:
        needed = next_cost(order, shown)
        assert await renter.mandates.warnings([order], vault=needed) == []
        [said] = await renter.mandates.warnings([order], vault=needed, spending=1)
        assert "next extensions by mandate may cost" in said
        over = replace(order, id=OrderId(b"\x5a" * 32), end=Epoch(0))
        looked_at.clear()
        await renter.mandates.listed([over, order])
        assert looked_at == [order.id], "of those that are over nothing is asked"
        monkeypatch.setattr(world.market, "mandate", _revoked(shown), raising=False)
        assert await renter.mandates.warnings([order], vault=0) == []


def _revoked(shown: Mandate) -> Callable[[object, int], Awaitable[Mandate]]:
    async def mandate(account: object, number: int) -> Mandate:
        return replace(shown, revoked=True)

    return mandate

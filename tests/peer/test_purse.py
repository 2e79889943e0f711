"""Purses: what is signed away to farmers, and what comes back when nothing was served for it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange.chain import Farmer, Wallet
from grange.messages import Domain, sign_voucher, voucher_signer
from grange.peer import (
    Budget,
    FarmerLied,
    FarmerRefused,
    OverBudget,
    Payment,
    Purse,
    Tab,
    Tabs,
)
from grange.types import Epoch, FarmerId, Offer, Voucher, address_from
from grange.units import GIB, MIB
from grange.wire.bodies import Account, Shortage

DOMAIN = Domain(chain_id=1337, market=address_from(b"\x11" * 20))
WALLET = Wallet(b"\x02" * 32)
FARMER = FarmerId(7)
PRICE = 1024
"""Of a mebibyte, at the price below."""


def farmer(price_per_gib: int = 1024 * PRICE) -> Farmer:
    return Farmer(
        id=FARMER,
        owner=WALLET.address,
        operator=WALLET.address,
        stake=0,
        committed_rate=0,
        settled_epoch=Epoch(0),
        misses=0,
        strikes=0,
        lapsed=False,
        endpoint="http://farm",
        offer=Offer(
            price_per_gib_epoch=1,
            egress_price_per_gib=price_per_gib,
            capacity_bytes=GIB,
            longest_term_epochs=1,
        ),
    )


@pytest.fixture
def purse() -> Iterator[Purse]:
    with Tabs.open(None, domain=DOMAIN, payer=WALLET.address) as tabs:
        yield Purse(domain=DOMAIN, wallet=WALLET, tabs=tabs)


def paid(purse: Purse, size_bytes: int = MIB) -> Payment:
    payment = purse.pay(farmer(), size_bytes)
    assert payment is not None
    return payment


def voucher_of(payment: Payment) -> Voucher:
    match = re.fullmatch(r"cumulative=(\d+),signature=([0-9a-f]{64})([0-9a-f]{64})", payment.header)
    assert match is not None
    total, r, vs = match.groups()
    return Voucher(renter=WALLET.address, cumulative=int(total), r=bytes.fromhex(r), vs=bytes.fromhex(vs))


def account(total: int, spent: int, *, wallet: Wallet = WALLET, farmer: FarmerId = FARMER) -> Account:
    voucher = sign_voucher(DOMAIN, wallet.private_key, farmer=farmer, cumulative=total)
    return Account(cumulative=total, spent=spent, r=voucher.r, vs=voucher.vs)


def short(spent: int, cumulative: int, needed: int = PRICE) -> Shortage:
    return Shortage(spent=spent, cumulative=cumulative, needed=needed)


def test_what_costs_nothing_needs_no_voucher(purse: Purse) -> None:
    assert purse.pay(farmer(0), GIB) is None
    assert purse.tabs.tab(FARMER) == Tab()


def test_a_price_is_rounded_up(purse: Purse) -> None:
    payment = purse.pay(farmer(1), 1)
    assert payment is not None
    assert payment.price == 1


def test_totals_grow_by_what_is_asked_for_and_are_signed_by_us(purse: Purse) -> None:
    vouchers = [voucher_of(paid(purse)) for _ in range(3)]
    assert [voucher.cumulative for voucher in vouchers] == [PRICE, 2 * PRICE, 3 * PRICE]
    for voucher in vouchers:
        assert voucher_signer(DOMAIN, voucher, farmer=FARMER) == WALLET.address


def test_what_was_not_served_pays_for_the_next_request(purse: Purse) -> None:
    first, second = paid(purse), paid(purse)
    purse.unserved(first, doubtful=False)
    purse.served(second)
    assert voucher_of(paid(purse)).cumulative == 2 * PRICE
    assert voucher_of(paid(purse)).cumulative == 3 * PRICE


def test_a_payment_is_given_back_once(purse: Purse) -> None:
    payment = paid(purse)
    purse.unserved(payment, doubtful=False)
    purse.unserved(payment, doubtful=True)
    assert purse.tabs.tab(FARMER) == Tab(total=PRICE, credit=PRICE)
    late = paid(purse)
    purse.served(late)
    purse.unserved(late, doubtful=True)
    assert purse.tabs.tab(FARMER) == Tab(total=PRICE)


def test_tabs_outlive_the_process_and_are_shared_between_two(tmp_path: Path) -> None:
    """Two processes with one file never sign the same part of a total for two requests."""
    path = tmp_path / "purse.sqlite"
    with (
        Tabs.open(path, domain=DOMAIN, payer=WALLET.address) as one,
        Tabs.open(path, domain=DOMAIN, payer=WALLET.address) as two,
    ):
        purses = [Purse(domain=DOMAIN, wallet=WALLET, tabs=tabs) for tabs in (one, two)]
        totals = [voucher_of(paid(purses[turn % 2])).cumulative for turn in range(6)]
        assert totals == [PRICE * (turn + 1) for turn in range(6)]
    with Tabs.open(path, domain=DOMAIN, payer=WALLET.address) as again:
        assert again.totals() == {FARMER: 6 * PRICE}
    other = address_from(b"\x33" * 20)
    with Tabs.open(path, domain=DOMAIN, payer=other) as foreign:
        assert foreign.totals() == {}


def test_amounts_may_be_larger_than_sqlite_integers(purse: Purse) -> None:
    payment = purse.pay(farmer(1 << 79), GIB)
    assert payment is not None
    assert voucher_of(payment).cumulative == 1 << 79
    assert purse.tabs.tab(FARMER).total == 1 << 79


def test_a_budget_is_never_exceeded_and_failures_do_not_use_it_up(purse: Purse) -> None:
    work = purse.within(Budget(2 * PRICE))
    first = paid(work)
    work.unserved(first, doubtful=False)
    paid(work)
    paid(work)
    with pytest.raises(OverBudget):
        work.pay(farmer(), 1)
    assert work.budget.spent == 2 * PRICE
    assert voucher_of(paid(purse)).cumulative == 3 * PRICE


def test_a_lost_total_is_taken_up_again(purse: Purse) -> None:
    """Whoever has only the words left goes on where the farmer's last voucher stands."""
    purse.unserved(paid(purse), doubtful=False)
    purse.recall(FARMER, account(500 * PRICE, 499 * PRICE))
    assert voucher_of(paid(purse)).cumulative == 500 * PRICE
    assert voucher_of(paid(purse)).cumulative == 501 * PRICE


def test_an_older_account_changes_nothing(purse: Purse) -> None:
    purse.served(paid(purse, 4 * MIB))
    purse.recall(FARMER, account(PRICE, 0))
    assert purse.tabs.tab(FARMER) == Tab(total=4 * PRICE)


@pytest.mark.parametrize(
    "shown",
    [
        account(9 * PRICE, 0, wallet=Wallet(b"\x05" * 32)),
        account(9 * PRICE, 0, farmer=FarmerId(8)),
        account(9 * PRICE, 0).model_copy(update={"cumulative": 10 * PRICE}),
        account(9 * PRICE, 0).model_copy(update={"r": bytes(32)}),
    ],
)
def test_an_account_that_we_did_not_sign_is_a_lie(purse: Purse, shown: Account) -> None:
    with pytest.raises(FarmerLied, match="never signed"):
        purse.recall(FARMER, shown)
    assert purse.tabs.tab(FARMER) == Tab()


def test_what_a_farmer_counted_unheard_is_made_good(purse: Purse) -> None:
    """A request of which nothing came back may have been served: then its price is gone, and no more."""
    purse.unserved(paid(purse), doubtful=True)
    again = paid(purse)
    assert voucher_of(again).cumulative == PRICE
    purse.unserved(again, doubtful=False)
    purse.doubted(again, short(spent=PRICE, cumulative=PRICE))
    assert voucher_of(paid(purse)).cumulative == 2 * PRICE
    assert purse.tabs.tab(FARMER).doubtful == 0


def test_a_farmer_that_wants_to_be_paid_twice_gains_one_request_and_is_passed_over(purse: Purse) -> None:
    payment = paid(purse)
    purse.unserved(payment, doubtful=False)
    with pytest.raises(FarmerRefused, match="charges again") as raised:
        purse.doubted(payment, short(spent=PRICE, cumulative=PRICE))
    assert raised.value.code == "disputed"
    assert purse.tabs.tab(FARMER) == Tab(total=PRICE)


def test_a_farmer_cannot_count_more_than_was_signed(purse: Purse) -> None:
    payment = paid(purse)
    purse.unserved(payment, doubtful=True)
    with pytest.raises(FarmerLied, match="more than was ever signed"):
        purse.doubted(payment, short(spent=PRICE + 1, cumulative=PRICE))


def test_a_farmer_cannot_ask_more_than_its_offer(purse: Purse) -> None:
    with pytest.raises(FarmerRefused) as raised:
        purse.check_price(paid(purse), short(spent=0, cumulative=PRICE, needed=PRICE + 1))
    assert raised.value.code == "dearer"


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from(["served", "lost", "doubtful"])), max_size=40))
def test_nothing_is_signed_that_is_neither_served_nor_credit(story: list[tuple[int, str]]) -> None:
    """However requests end, the total is what was served and what is left."""
    served = 0
    with Tabs.open(None, domain=DOMAIN, payer=WALLET.address) as tabs:
        purse = Purse(domain=DOMAIN, wallet=WALLET, tabs=tabs)
        for mebibytes, end in story:
            payment = paid(purse, mebibytes * MIB)
            if end == "served":
                purse.served(payment)
                served += payment.price
            else:
                purse.unserved(payment, doubtful=end == "doubtful")
        tab = tabs.tab(FARMER)
        assert tab.total == served + tab.credit
        assert purse.budget.spent == served

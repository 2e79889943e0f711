"""Payments for reads: what is signed away to farmers, and what comes back when nothing was served for it."""

import asyncio
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange.chain import Farmer, Wallet
from grange.executors import Executors
from grange.messages import Domain, sign_voucher, voucher_signer
from grange.peer import (
    Budget,
    FarmerLied,
    FarmerRefused,
    OverBudget,
    Payment,
    PaymentChannel,
    PaymentChannels,
    ReadPayments,
)
from grange.storage.optional_database import FileBusy
from grange.types import NO_LIMIT, Epoch, FarmerId, Offer, Voucher, address_from
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
        epochs_proven=0,
        registered_block=0,
        ceiling=NO_LIMIT,
        loss_limit=NO_LIMIT,
        lapsed=False,
        endpoint="http://farm",
        offer=Offer(
            price_per_gib_epoch=1,
            egress_price_per_gib=price_per_gib,
            capacity_bytes=GIB,
            longest_term_epochs=1,
        ),
    )


@contextmanager
def opened(path: Path | None) -> Iterator[ReadPayments]:
    with (
        PaymentChannels.open(path, domain=DOMAIN, payer=WALLET.address) as channels,
        Executors.open() as executors,
    ):
        yield ReadPayments(domain=DOMAIN, wallet=WALLET, channels=channels, executors=executors)


@pytest.fixture
def payments() -> Iterator[ReadPayments]:
    with opened(None) as payments:
        yield payments


async def paid(payments: ReadPayments, size_bytes: int = MIB) -> Payment:
    payment = await payments.pay(farmer(), size_bytes)
    assert payment is not None
    return payment


def voucher_of(payment: Payment) -> Voucher:
    match = re.fullmatch(r"cumulative=(\d+),signature=([0-9a-f]{128})", payment.header)
    assert match is not None
    total, signature = match.groups()
    return Voucher(renter=WALLET.address, cumulative=int(total), signature=bytes.fromhex(signature))


def account(total: int, spent: int, *, wallet: Wallet = WALLET, farmer: FarmerId = FARMER) -> Account:
    voucher = sign_voucher(DOMAIN, wallet.private_key, farmer=farmer, cumulative=total)
    return Account(cumulative=total, spent=spent, signature=voucher.signature)


def short(spent: int, cumulative: int, needed: int = PRICE) -> Shortage:
    return Shortage(spent=spent, cumulative=cumulative, needed=needed)


async def test_what_costs_nothing_needs_no_voucher(payments: ReadPayments) -> None:
    assert await payments.pay(farmer(0), GIB) is None
    assert payments.channels.channel(FARMER) == PaymentChannel()


async def test_a_price_is_rounded_up(payments: ReadPayments) -> None:
    payment = await payments.pay(farmer(1), 1)
    assert payment is not None
    assert payment.price == 1


async def test_totals_grow_by_what_is_asked_for_and_are_signed_by_us(payments: ReadPayments) -> None:
    vouchers = [voucher_of(await paid(payments)) for _ in range(3)]
    assert [voucher.cumulative for voucher in vouchers] == [PRICE, 2 * PRICE, 3 * PRICE]
    for voucher in vouchers:
        assert voucher_signer(DOMAIN, voucher, farmer=FARMER) == WALLET.address


async def test_what_was_not_served_pays_for_the_next_request(payments: ReadPayments) -> None:
    first, second = await paid(payments), await paid(payments)
    await payments.unserved(first, doubtful=False)
    payments.served(second)
    assert voucher_of(await paid(payments)).cumulative == 2 * PRICE
    assert voucher_of(await paid(payments)).cumulative == 3 * PRICE


async def test_a_payment_is_given_back_once(payments: ReadPayments) -> None:
    payment = await paid(payments)
    await payments.unserved(payment, doubtful=False)
    await payments.unserved(payment, doubtful=True)
    assert payments.channels.channel(FARMER) == PaymentChannel(total=PRICE, credit=PRICE)
    late = await paid(payments)
    payments.served(late)
    await payments.unserved(late, doubtful=True)
    assert payments.channels.channel(FARMER) == PaymentChannel(total=PRICE)


async def test_payment_channels_outlive_the_process_and_are_shared_between_two(tmp_path: Path) -> None:
    """Two processes with one file never sign the same part of a total for two requests."""
    path = tmp_path / "payment-channels.sqlite"
    with opened(path) as one, opened(path) as two:
        payers = [one, two]
        totals = [voucher_of(await paid(payers[turn % 2])).cumulative for turn in range(6)]
        assert totals == [PRICE * (turn + 1) for turn in range(6)]
    with PaymentChannels.open(path, domain=DOMAIN, payer=WALLET.address) as again:
        assert again.totals() == {FARMER: 6 * PRICE}
    other = address_from(b"\x33" * 20)
    with PaymentChannels.open(path, domain=DOMAIN, payer=other) as foreign:
        assert foreign.totals() == {}


async def test_amounts_may_be_larger_than_sqlite_integers(payments: ReadPayments) -> None:
    payment = await payments.pay(farmer(1 << 79), GIB)
    assert payment is not None
    assert voucher_of(payment).cumulative == 1 << 79
    assert payments.channels.channel(FARMER).total == 1 << 79


async def test_a_budget_is_never_exceeded_and_failures_do_not_use_it_up(payments: ReadPayments) -> None:
    work = payments.within(Budget(2 * PRICE))
    first = await paid(work)
    await work.unserved(first, doubtful=False)
    await paid(work)
    await paid(work)
    with pytest.raises(OverBudget):
        await work.pay(farmer(), 1)
    assert work.budget.spent == 2 * PRICE
    assert voucher_of(await paid(payments)).cumulative == 3 * PRICE


async def test_a_lost_total_is_taken_up_again(payments: ReadPayments) -> None:
    """Anyone who has only the recovery phrase left goes on where the farmer's last voucher stands."""
    await payments.unserved(await paid(payments), doubtful=False)
    await payments.recall(FARMER, account(500 * PRICE, 499 * PRICE))
    assert voucher_of(await paid(payments)).cumulative == 500 * PRICE
    assert voucher_of(await paid(payments)).cumulative == 501 * PRICE


async def test_an_older_account_changes_nothing(payments: ReadPayments) -> None:
    payments.served(await paid(payments, 4 * MIB))
    await payments.recall(FARMER, account(PRICE, 0))
    assert payments.channels.channel(FARMER) == PaymentChannel(total=4 * PRICE)


@pytest.mark.parametrize(
    "shown",
    [
        account(9 * PRICE, 0, wallet=Wallet(b"\x05" * 32)),
        account(9 * PRICE, 0, farmer=FarmerId(8)),
        account(9 * PRICE, 0).model_copy(update={"cumulative": 10 * PRICE}),
        account(9 * PRICE, 0).model_copy(update={"signature": bytes(64)}),
    ],
)
async def test_an_account_that_we_did_not_sign_is_a_lie(payments: ReadPayments, shown: Account) -> None:
    with pytest.raises(FarmerLied, match="never signed"):
        await payments.recall(FARMER, shown)
    assert payments.channels.channel(FARMER) == PaymentChannel()


async def test_what_a_farmer_counted_unheard_is_made_good(payments: ReadPayments) -> None:
    """A request of which nothing came back may have been served: then its price is gone, and no more."""
    await payments.unserved(await paid(payments), doubtful=True)
    again = await paid(payments)
    assert voucher_of(again).cumulative == PRICE
    await payments.unserved(again, doubtful=False)
    await payments.doubted(again, short(spent=PRICE, cumulative=PRICE))
    assert voucher_of(await paid(payments)).cumulative == 2 * PRICE
    assert payments.channels.channel(FARMER).doubtful == 0


async def test_a_farmer_that_wants_to_be_paid_twice_gains_one_request_only(
    payments: ReadPayments,
) -> None:
    payment = await paid(payments)
    await payments.unserved(payment, doubtful=False)
    with pytest.raises(FarmerRefused, match="charges again") as raised:
        await payments.doubted(payment, short(spent=PRICE, cumulative=PRICE))
    assert raised.value.code == "disputed"
    assert payments.channels.channel(FARMER) == PaymentChannel(total=PRICE)


async def test_a_farmer_cannot_count_more_than_was_signed(payments: ReadPayments) -> None:
    payment = await paid(payments)
    await payments.unserved(payment, doubtful=True)
    with pytest.raises(FarmerLied, match="more than was ever signed"):
        await payments.doubted(payment, short(spent=PRICE + 1, cumulative=PRICE))


async def test_a_farmer_cannot_ask_more_than_its_offer(payments: ReadPayments) -> None:
    with pytest.raises(FarmerRefused) as raised:
        payments.check_price(await paid(payments), short(spent=0, cumulative=PRICE, needed=PRICE + 1))
    assert raised.value.code == "dearer"


async def test_no_more_is_paid_than_was_signed_and_no_more_than_is_asked(payments: ReadPayments) -> None:
    for asked, signed, price in ((GIB, GIB // 2, MIB // 2), (GIB // 2, GIB, MIB // 2), (GIB, GIB, MIB)):
        payment = await payments.pay(farmer(asked), MIB, signed)
        assert payment is not None
        assert payment.price == price
    assert await payments.pay(farmer(GIB), MIB, 0) is None


async def test_a_farmer_that_asks_more_than_it_signed_lies(payments: ReadPayments) -> None:
    payment = await payments.pay(farmer(GIB), MIB, GIB // 2)
    assert payment is not None
    payments.check_price(payment, short(spent=0, cumulative=0, needed=MIB // 2))
    with pytest.raises(FarmerLied, match="more for reading than it signed"):
        payments.check_price(payment, short(spent=0, cumulative=0, needed=MIB // 2 + 1))


async def test_a_farmer_that_asks_more_than_its_offer_and_no_more_than_it_signed_does_not_lie(
    payments: ReadPayments,
) -> None:
    """It may have lowered its offer a moment ago."""
    payment = await payments.pay(farmer(GIB // 2), MIB, GIB)
    assert payment is not None
    with pytest.raises(FarmerRefused) as raised:
        payments.check_price(payment, short(spent=0, cumulative=0, needed=MIB))
    assert raised.value.code == "dearer"


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from(["served", "lost", "doubtful"])), max_size=40))
async def test_nothing_is_signed_that_is_neither_served_nor_credit(story: list[tuple[int, str]]) -> None:
    """However requests end, the total is what was served and what is left."""
    served = 0
    with opened(None) as payments:
        for mebibytes, end in story:
            payment = await paid(payments, mebibytes * MIB)
            if end == "served":
                payments.served(payment)
                served += payment.price
            else:
                await payments.unserved(payment, doubtful=end == "doubtful")
        channel = payments.channels.channel(FARMER)
        assert channel.total == served + channel.credit
        assert payments.budget.spent == served


async def test_who_is_cancelled_while_paying_has_the_price_back(payments: ReadPayments) -> None:
    """No request goes with it: else each read that another made needless would cost something."""
    loop, begun, change = asyncio.get_running_loop(), asyncio.Event(), payments.channels.change

    def noted(farmer: FarmerId, to: Callable[[PaymentChannel], PaymentChannel]) -> PaymentChannel:
        loop.call_soon_threadsafe(begun.set)
        return change(farmer, to)

    payments.channels.change = noted  # type: ignore[method-assign]
    paying = asyncio.create_task(payments.pay(farmer(), MIB))
    await begun.wait()
    paying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await paying
    assert payments.channels.channel(FARMER) == PaymentChannel(total=PRICE, credit=PRICE)
    assert payments.budget.spent == 0


async def test_a_file_that_another_program_holds_stops_no_event_loop(tmp_path: Path) -> None:
    path = tmp_path / "payment-channels.sqlite"
    with opened(path) as payments, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        paying = asyncio.create_task(payments.pay(farmer(), MIB))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not paying.done()
        other.execute("ROLLBACK")
        assert await paying is not None


async def test_a_price_is_given_back_though_its_reader_is_cancelled_and_all_threads_are_busy() -> None:
    """Reads that others overtook are cancelled: work that has not begun is dropped then, but not this."""
    with (
        PaymentChannels.open(None, domain=DOMAIN, payer=WALLET.address) as channels,
        ThreadPoolExecutor(1) as one,
    ):
        executors = Executors(disk=one, cpu=one, database=one)
        payments = ReadPayments(domain=DOMAIN, wallet=WALLET, channels=channels, executors=executors)
        payment = await paid(payments)
        let_go = threading.Event()
        one.submit(let_go.wait)
        giving_back = asyncio.create_task(payments.unserved(payment, doubtful=False))
        for _ in range(2):
            await asyncio.sleep(0)
            giving_back.cancel()
        let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await giving_back
        assert channels.channel(FARMER) == PaymentChannel(total=PRICE, credit=PRICE)
    assert payments.budget.spent == 0


async def test_what_could_not_be_set_aside_is_not_spent(
    payments: ReadPayments, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> PaymentChannel:
        raise FileBusy("the file is in use by another program")

    monkeypatch.setattr(payments.channels, "change", refuse)
    with pytest.raises(FileBusy):
        await payments.pay(farmer(), MIB)
    assert payments.budget.spent == 0

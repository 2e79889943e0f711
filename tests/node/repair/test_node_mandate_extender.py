"""Orders are extended by mandate when they are due and it pays: with what all farmers sign, or nearly all."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from market_rules import PARAMETERS
from repair_fakes import kept_orders
from repair_farmers import FakeDirectory
from repair_ground import DEADLINE_BLOCKS, DOMAIN, END, ORDER, RATE, RENTER, SLOT_BYTES, Ground, N, nothing
from repair_market import FakeMarket, order_as_read

from grange.chain import Farmer, Mandate, Order, Receipt, TransactionReverted, Wallet
from grange.chain.gas_value import FREE_GAS
from grange.executors import Executors
from grange.messages import AcceptanceMessage, acceptance_signer, extension_id, sign_acceptance
from grange.peer import FarmerRefused, FarmerUnreachable
from grange.repair import first_block
from grange.types import EXTENDED, NO_FARMER, Acceptance, Address, Epoch, FarmerId, Held, OrderId
from grange.units import GIB, TOKEN
from grange.wire.bodies import AcceptanceAnswer, MandateRequest
from grange_node.repair.mandate_extender import TURN_DOUBLING_BLOCKS, MandateExtender
from grange_node.repair.market_view import MarketView

REPAIRER = Wallet(b"\x77" * 32)
GAS_PRICE = 10
TERM = 8
FIRST_BLOCK = (END - PARAMETERS.grid_epochs) * PARAMETERS.epoch_blocks
"""Of the period in which the order can be extended."""
MANDATE = Mandate(
    highest_price=RATE * GIB // SLOT_BYTES,
    highest_egress_price=TOKEN,
    fee=TOKEN,
    until=Epoch(END + 2 * TERM),
    term_epochs=TERM,
    left=1_000 * TOKEN,
    revoked=False,
)


@dataclass
class Renter:
    """What the order's renter gave and has, and what became of it."""

    mandate: Mandate | None = MANDATE
    number: int = 3
    vault: int = 1_000 * TOKEN
    refuses: str = ""
    """With which error the contract refuses."""
    asked: list[FarmerId] = field(default_factory=list)
    sent: list[Sequence[Acceptance]] = field(default_factory=list)


class Market(FakeMarket):
    """The ground with a mandate for its order. What is sent must be signed for it."""

    def __init__(self, ground: Ground, renter: Renter) -> None:
        super().__init__(ground, REPAIRER, nothing)
        self.renter = renter

    async def order(self, order: OrderId) -> Order | None:
        shown = await super().order(order)
        hashed = (await order_as_read(self)).slots_hash
        return shown and replace(shown, mandate=self.renter.number, slots_hash=hashed)

    async def mandate(self, account: Address, number: int) -> Mandate | None:
        assert (account, number) == (RENTER, self.renter.number)
        return self.renter.mandate

    async def vault(self, address: Address) -> int:
        assert address == RENTER
        return self.renter.vault

    async def extend_by_mandate(self, held: Held, acceptances: Sequence[Acceptance]) -> Receipt:
        if self.renter.refuses:
            raise TransactionReverted("extendByMandate", self.renter.refuses, {})
        self.renter.sent.append(acceptances)
        for slot, one in enumerate(acceptances):
            if one.farmer != NO_FARMER:
                message = _message(self._ground, one.farmer, slot, one.rate, one.deadline_block)
                signer = acceptance_signer(DOMAIN, message, r=one.r, vs=one.vs)
                assert signer == self._ground.keeps[one.farmer].wallet.address
        return self._ground.receipt(self._ground.mine())


def _message(
    ground: Ground, farmer: FarmerId, slot: int, rate: int, deadline_block: int
) -> AcceptanceMessage:
    (filled,) = [one.args for one in ground.events("SlotFilled") if one.args["slot"] == slot]
    end = Epoch(END + TERM)
    return AcceptanceMessage(
        order=extension_id(ORDER, end),
        farmer=farmer,
        slot=slot,
        root=filled["root"],
        leaf_count=filled["leaf_count"],
        rate=rate,
        max_egress_price_per_gib=0,
        end=end,
        deadline_block=deadline_block,
        previous=ORDER,
        repairer=REPAIRER.address,
    )


class Peer:
    """A farmer that extends what it keeps, at half of its rate."""

    def __init__(self, ground: Ground, farmer: Farmer, renter: Renter) -> None:
        self._ground, self._renter = ground, renter
        self._keep = ground.keeps[farmer.id]

    async def accept(self, order: OrderId, slot: int, request: MandateRequest) -> AcceptanceAnswer:
        keep = self._keep
        self._renter.asked.append(keep.id)
        if keep.gone:
            raise FarmerUnreachable(f"Farmer {keep.id} cannot be reached.")
        if keep.refuses:
            raise FarmerRefused("no more", status=409, code="stake_too_small")
        assert request.previous == ORDER
        message = _message(self._ground, keep.id, slot, RATE // 2, self._ground.height + DEADLINE_BLOCKS)
        assert order == message.order
        signed = sign_acceptance(DOMAIN, keep.wallet.private_key, message)
        names = ("farmer", "root", "rate", "max_egress_price_per_gib", "deadline_block", "r", "vs")
        shown = {name: getattr(signed, name) for name in names}
        return AcceptanceAnswer(slot=slot, leaf_count=message.leaf_count, end=message.end, **shown)


class Directory(FakeDirectory):
    """The farmers as the repairer reaches them."""

    def __init__(self, market: Market, ground: Ground) -> None:
        super().__init__(market, ground, REPAIRER, nothing)
        self._renter = market.renter

    def peer(self, farmer: Farmer, *_: Any) -> Peer:  # type: ignore[override]
        return Peer(self._ground, farmer, self._renter)


@dataclass
class Bench:
    """The extender, and what it stands on."""

    ground: Ground
    view: MarketView
    extender: MandateExtender

    async def tick(self) -> list[OrderId]:
        """Look at the newest block."""
        await self.view.refresh()
        return await self.extender.tick(replace(FREE_GAS, fixed_price=GAS_PRICE))

    def mine_to(self, block: int) -> None:
        """Let time pass."""
        self.ground.mine(block - self.ground.height)


@asynccontextmanager
async def extending(folder: Path, renter: Renter, n: int = N) -> AsyncIterator[Bench]:
    """With an order that the first farmers keep until END."""
    ground = Ground(n + 4, n)
    ground.place()
    market = Market(ground, renter)
    directory = Directory(market, ground)
    with kept_orders(folder) as orders, Executors.open() as executors:
        view = MarketView(market, directory, orders, executors, start_block=0)
        yield Bench(ground, view, MandateExtender(view, directory))


def _our_block(ground: Ground) -> int:
    """The first in which it is our turn, of all that might do it."""
    return first_block(
        order=ORDER,
        slot=0,
        repairer=REPAIRER.address,
        since_block=FIRST_BLOCK,
        repairers=len(ground.keeps) + 1,
        doubling_blocks=TURN_DOUBLING_BLOCKS,
    )


async def test_an_order_is_extended_in_its_last_period_when_it_is_our_turn(tmp_path: Path) -> None:
    renter = Renter()
    async with extending(tmp_path, renter) as bench:
        for early in (FIRST_BLOCK - 10, _our_block(bench.ground) - 2):
            bench.mine_to(early)
            assert await bench.tick() == []
        assert renter.asked == []
        bench.mine_to(_our_block(bench.ground) - 1)
        assert await bench.tick() == [extension_id(ORDER, Epoch(END + TERM))]
    (sent,) = renter.sent
    assert [one.farmer for one in sent] == [1, 2, 3, 4, 5]
    assert {one.rate for one in sent} == {RATE // 2}, "what farmers ask is less than the mandate's most"


@pytest.mark.parametrize(
    "renter",
    [
        Renter(number=0),
        Renter(number=EXTENDED),
        Renter(mandate=None),
        Renter(mandate=replace(MANDATE, revoked=True)),
        Renter(mandate=replace(MANDATE, until=END)),
        Renter(mandate=replace(MANDATE, fee=GAS_PRICE * (150_000 + N * 75_000) - 1)),
        Renter(mandate=replace(MANDATE, left=MANDATE.fee - 1)),
        Renter(vault=MANDATE.fee - 1),
    ],
    ids=["not covered", "extended", "no mandate", "revoked", "over", "pays no gas", "spent", "vault empty"],
)
async def test_no_farmer_is_asked_for_what_is_not_due_or_does_not_pay(tmp_path: Path, renter: Renter) -> None:
    async with extending(tmp_path, renter) as bench:
        bench.mine_to(FIRST_BLOCK + 30)
        assert await bench.tick() == []
    assert renter.asked == []


async def test_the_end_is_a_term_later_but_never_after_the_mandate(tmp_path: Path) -> None:
    renter = Renter(mandate=replace(MANDATE, until=Epoch(END + TERM), term_epochs=2 * TERM))
    async with extending(tmp_path, renter) as bench:
        bench.mine_to(FIRST_BLOCK + 30)
        assert await bench.tick() == [extension_id(ORDER, Epoch(END + TERM))]


async def test_one_that_does_not_sign_is_waited_for_half_a_period_then_its_slot_begins_vacant(
    tmp_path: Path,
) -> None:
    """At the rate that it had, which the mandate allows."""
    renter = Renter()
    async with extending(tmp_path, renter) as bench:
        bench.ground.keeps[FarmerId(2)].refuses = True
        bench.mine_to(FIRST_BLOCK + 30)
        assert await bench.tick() == []
        bench.mine_to(FIRST_BLOCK + 40 - 2)
        assert await bench.tick() == []
        bench.mine_to(FIRST_BLOCK + 40 - 1)
        assert await bench.tick() == [], "it was looked at less than an epoch ago"
        bench.mine_to(FIRST_BLOCK + 50)
        assert len(await bench.tick()) == 1
    (sent,) = renter.sent
    assert [one.farmer for one in sent] == [1, NO_FARMER, 3, 4, 5]
    assert sent[1].rate == RATE


async def test_one_that_is_silent_is_waited_for_and_keeps_its_slot_if_it_is_back_in_time(
    tmp_path: Path,
) -> None:
    """Of eleven slots of which two rebuild it, four may be missing, and one is no danger."""
    renter = Renter()
    async with extending(tmp_path, renter, n=11) as bench:
        bench.ground.keeps[FarmerId(2)].gone = True
        for block in (FIRST_BLOCK + 40, FIRST_BLOCK + 50, FIRST_BLOCK + 58):
            bench.mine_to(block)
            assert await bench.tick() == []
        bench.ground.keeps[FarmerId(2)].gone = False
        bench.ground.mine()
        assert len(await bench.tick()) == 1
    (sent,) = renter.sent
    assert [one.farmer for one in sent] == list(range(1, 12))


@pytest.mark.parametrize(
    ("gone", "refusing", "block"),
    [
        (0, 4, 40),
        (1, 0, 60),
        (2, 0, 60),
        (1, 1, 60),
        (3, 0, 40),
        (1, 2, 40),
        (4, 0, 40),
    ],
)
async def test_the_silent_are_left_out_where_many_are_missing_or_half_of_the_time_for_it_is_over(
    tmp_path: Path, gone: int, refusing: int, block: int
) -> None:
    """Of four that may be missing; who says no is not waited for, but counts."""
    renter = Renter()
    async with extending(tmp_path, renter, n=11) as bench:
        for number in range(1, 1 + gone):
            bench.ground.keeps[FarmerId(number)].gone = True
        for number in range(1 + gone, 1 + gone + refusing):
            bench.ground.keeps[FarmerId(number)].refuses = True
        bench.mine_to(FIRST_BLOCK + block - 11)
        while bench.ground.height < FIRST_BLOCK + block - 2:
            assert await bench.tick() == []
            bench.ground.mine()
        assert await bench.tick() == []
        bench.ground.mine()
        assert len(await bench.tick()) == 1
    (sent,) = renter.sent
    assert [one.farmer for one in sent].count(NO_FARMER) == gone + refusing


async def test_only_the_silent_are_asked_again_in_an_epoch_and_the_others_once_all_of_these_answer(
    tmp_path: Path,
) -> None:
    renter = Renter()
    async with extending(tmp_path, renter, n=11) as bench:
        for number in (2, 3):
            bench.ground.keeps[FarmerId(number)].gone = True
        bench.mine_to(FIRST_BLOCK + 31)
        await bench.tick()
        assert sorted(renter.asked) == list(range(1, 12))
        for back in (2, 3):
            bench.ground.keeps[FarmerId(back)].gone = False
            renter.asked.clear()
            bench.ground.mine()
            extended = await bench.tick()
            assert sorted(renter.asked) == ([2, 3] if back == 2 else list(range(1, 12)))
        assert len(extended) == 1


async def test_in_the_next_epoch_all_are_asked_again(tmp_path: Path) -> None:
    """More of them may be missing by then, and the order in danger."""
    renter = Renter()
    async with extending(tmp_path, renter, n=11) as bench:
        bench.ground.keeps[FarmerId(2)].gone = True
        bench.mine_to(FIRST_BLOCK + 40)
        assert await bench.tick() == []
        for number in (3, 4):
            bench.ground.keeps[FarmerId(number)].gone = True
        bench.ground.mine(10)
        assert len(await bench.tick()) == 1
    (sent,) = renter.sent
    assert [one.farmer for one in sent][:5] == [1, NO_FARMER, NO_FARMER, NO_FARMER, 5]


async def test_a_farmer_that_lapsed_is_not_asked(tmp_path: Path) -> None:
    renter = Renter()
    async with extending(tmp_path, renter) as bench:
        bench.mine_to(FIRST_BLOCK + 40)
        bench.ground.lapse(4)
        assert len(await bench.tick()) == 1
    assert sorted(renter.asked) == [1, 2, 3, 5]


async def test_with_more_missing_than_may_begin_vacant_nothing_is_sent(tmp_path: Path) -> None:
    """Of five slots of which two rebuild it, one may: (n - k) / 2."""
    renter = Renter()
    async with extending(tmp_path, renter) as bench:
        for number in (2, 3):
            bench.ground.keeps[FarmerId(number)].gone = True
        bench.mine_to(FIRST_BLOCK + 60)
        assert await bench.tick() == []
    assert sorted(renter.asked) == [1, 2, 3, 4, 5]
    assert renter.sent == []


@pytest.mark.parametrize("name", ["vault", "left"])
async def test_the_renter_must_have_what_it_costs_with_the_bounties_of_what_begins_vacant(
    tmp_path: Path, name: str
) -> None:
    aside = RATE * min((PARAMETERS.penalty + PARAMETERS.fine) * TERM, PARAMETERS.collateral_epochs) // 2
    cost = 4 * (RATE // 2) * TERM + RATE * TERM + aside + MANDATE.fee
    for amount, count in ((cost - 1, 0), (cost, 1)):
        renter = Renter(vault=amount) if name == "vault" else Renter(mandate=replace(MANDATE, left=amount))
        async with extending(tmp_path / str(amount), renter) as bench:
            bench.ground.keeps[FarmerId(5)].refuses = True
            bench.mine_to(FIRST_BLOCK + 60)
            assert len(await bench.tick()) == count


async def test_what_the_contract_refuses_is_said_and_tried_again_in_the_next_epoch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    renter = Renter(refuses="AlreadyExtended")
    async with extending(tmp_path, renter) as bench:
        bench.mine_to(FIRST_BLOCK + 30)
        with caplog.at_level(logging.INFO, "grange.repair"):
            assert await bench.tick() == []
        assert "AlreadyExtended" in caplog.text
        renter.asked.clear()
        bench.ground.mine()
        assert await bench.tick() == []
        assert renter.asked == [], "not again at once"
        renter.refuses = ""
        bench.ground.mine(PARAMETERS.epoch_blocks)
        assert len(await bench.tick()) == 1

"""Extensions: when it can be done, who keeps what at which price, and what stands in the way."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from client_fakes import PARAMETERS, World
from client_trees import listing
from fake_chain import unconnected
from rich.console import Console

from grange.chain import ChainUnavailable, Making, TransactionReverted, Wallet
from grange.chain.calls import Call
from grange.chain.orders import OrderState
from grange.messages import Domain
from grange.token_unit import PLAIN_UNIT
from grange.transfer.errors import NotEnoughFarmers
from grange.types import Address, Epoch, FarmerId, Held, OrderId, Terms, address_from
from grange_client.cli.screens.quote import extension_screen
from grange_client.errors import CannotExtend, NotEnoughMoney, PlaceFailed, QuoteUsed
from grange_client.orders.extension_quote import end_after
from grange_client.orders.market import RenterMarket
from grange_client.orders.plan import StoreOptions

CODE = StoreOptions(k=2, n=4, epochs=1, name="things")
GRID = PARAMETERS.grid_epochs


@pytest.fixture
async def order(world: World, tree: Path) -> OrderState:
    """An order in its last grid period, or to be brought there."""
    async with world.renter() as renter:
        placed = (await renter.put(await renter.quote([tree], CODE))).order
    world.market.block = (placed.end - 2) * PARAMETERS.epoch_blocks
    return placed


@pytest.mark.parametrize(
    ("now", "epochs", "end"),
    [(8, None, 24), (15, None, 24), (8, 1, 24), (8, 8, 24), (8, 9, 32)],
)
def test_the_new_end_lies_on_the_calendar(order: OrderState, now: int, epochs: int | None, end: int) -> None:
    order = replace(order, end=Epoch(16))
    assert GRID == 8
    assert end_after(order, epochs, Epoch(now), PARAMETERS) == end


@pytest.mark.parametrize(
    ("now", "epochs", "words"),
    [(7, None, "goes on until epoch 16"), (16, None, "ended with epoch 16"), (9, 1000, "up to epoch")],
)
def test_too_early_too_late_and_too_long_are_said(
    order: OrderState, now: int, epochs: int | None, words: str
) -> None:
    with pytest.raises(CannotExtend, match=words):
        end_after(replace(order, end=Epoch(16)), epochs, Epoch(now), PARAMETERS)


@pytest.mark.parametrize(("now", "advice"), [(17, "Fetch it with"), (18, "If you have another copy")])
def test_what_was_deleted_is_not_advised_to_be_fetched(order: OrderState, now: int, advice: str) -> None:
    with pytest.raises(CannotExtend) as raised:
        end_after(replace(order, end=Epoch(16)), None, Epoch(now), PARAMETERS)
    assert raised.value.hint.startswith(advice)


async def test_the_same_farmers_keep_it_on_at_their_present_price(
    world: World, order: OrderState, tree: Path, tmp_path: Path
) -> None:
    """Nothing is sent; what is shown is what is paid; the recovery phrase alone finds it and open it."""
    dearer = order.slots[0].farmer
    reprice(world, dearer, 3)
    async with world.renter() as renter:
        quote = await renter.quote_extension(order, None)
        rates = [slot.rate * (3 if slot.farmer == dearer else 1) for slot in order.slots]
        assert abs(quote.cost - sum(rates) * GRID) <= len(rates) * 3 * GRID
        before = await renter.funds()
        puts = sum(farmer.calls.count("put") for farmer in world.farmers)
        extended = (await renter.extend(quote)).order
        after = await renter.funds()
        assert before.vault + before.wallet - after.vault - after.wallet == quote.cost == extended.cost
        assert sum(farmer.calls.count("put") for farmer in world.farmers) == puts
        with pytest.raises(QuoteUsed):
            await renter.extend(quote)
        known = await renter.orders()
        assert [(one.name, one.extended_by) for one in known] == [("things", None), ("things", extended.id)]
    async with world.renter(tmp_path / "elsewhere") as renter:
        found = await renter.find("things")
        assert (found.order.id, found.order.sealed_as) == (extended.id, order.id)
        await renter.get(found.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_a_chain_of_extensions_is_opened_with_the_first_key(
    world: World, order: OrderState, tree: Path, tmp_path: Path
) -> None:
    """On a machine that has the recovery phrase only. The first is over, and its name is known all the
    same."""
    async with world.renter() as renter:
        second = (await renter.extend(await renter.quote_extension(order, None))).order
        world.market.block = (second.end - 1) * PARAMETERS.epoch_blocks
        third = (await renter.extend(await renter.quote_extension(second, 1))).order
        assert third.start == second.end
    async with world.renter(tmp_path / "elsewhere") as renter:
        found = await renter.orders()
        assert [one.order.sealed_as for one in found] == [order.id] * 3
        assert [one.name for one in found] == ["things"] * 3
        await renter.get(found[0].order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


@pytest.mark.parametrize("how", ["gone", "stake", "refuses"])
async def test_who_does_not_go_on_is_replaced(
    world: World, order: OrderState, tree: Path, tmp_path: Path, how: str
) -> None:
    """Its slot is rebuilt for another: known before that is asked, or only when it does not accept."""
    victim = order.slots[3].farmer
    if how == "gone":
        await world.farmers[victim - 1].stop()
    elif how == "stake":
        change(world, victim, stake=0, committed_rate=order.slots[3].rate)
    else:
        world.farmers[victim - 1].behaviour.accept_status = 409
        world.farmers[victim - 1].behaviour.accept_code = "terms_refused"
    async with world.renter() as renter:
        quote = await renter.quote_extension(order, None)
        assert set(quote.moved) == (set() if how == "refuses" else {3})
        assert quote.away == ({victim} if how == "gone" else set())
        extended = (await renter.extend(quote)).order
        assert extended.slots[3].farmer not in {slot.farmer for slot in order.slots}
        assert extended.slots[:3] == order.in_block(order.block, order.end).slots[:3]
        assert extended.slots[3].root == order.slots[3].root
        for slot in extended.slots[:2]:
            world.farmers[slot.farmer - 1].behaviour.get_status = 404
        await renter.get(extended, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


@pytest.mark.parametrize(("lapsed", "said"), [(False, True), (True, False)])
async def test_before_one_agrees_it_is_said_who_did_not_answer_and_until_when_it_may_be_waited_for(
    world: World, order: OrderState, lapsed: bool, said: bool
) -> None:
    """Who has lapsed does not come back."""
    victim = order.slots[3].farmer
    await world.farmers[victim - 1].stop()
    change(world, victim, lapsed=lapsed)
    async with world.renter() as renter:
        quote = await renter.quote_extension(order, None)
        clock = await renter.market.clock()
    screen = extension_screen("things", quote, clock, PLAIN_UNIT)
    console = Console(width=300, record=True, file=StringIO())
    console.print(screen)
    shown = console.export_text()
    assert (f"No answer from farmer {victim}. Until" in shown) is said
    assert (clock.describe_epoch(order.end) + " there is time" in shown) is said


async def test_without_anybody_to_step_in_it_is_said_who_will_not(world: World, order: OrderState) -> None:
    holders = {slot.farmer for slot in order.slots}
    for farmer in world.farmers:
        if farmer.id not in holders or farmer.id == order.slots[0].farmer:
            change(world, farmer.id, stake=0, committed_rate=order.slots[0].rate)
    async with world.renter() as renter:
        with pytest.raises(NotEnoughFarmers) as raised:
            await renter.quote_extension(order, None)
    assert raised.value.failures == {f"farmer {order.slots[0].farmer}": "It has too little at stake."}
    assert "goes on as it is" in raised.value.detail


async def test_too_little_money_is_found_before_anybody_is_asked(world: World, order: OrderState) -> None:
    world.market.wallets[world.market.renter] = 0
    world.market.vaults[world.market.renter] = 0
    async with world.renter() as renter:
        with pytest.raises(NotEnoughMoney, match="tokens are missing"):
            await renter.quote_extension(order, None)


async def test_too_few_gas_tokens_are_found_before_anything_is_moved(world: World, order: OrderState) -> None:
    world.market.native = 10**9
    async with world.renter() as renter:
        with pytest.raises(NotEnoughMoney, match="gas tokens for the chain's fees"):
            await renter.quote_extension(order, None)


async def test_what_the_vault_does_not_hold_comes_with_the_same_transaction(
    world: World, order: OrderState
) -> None:
    market = world.market
    async with world.renter() as renter:
        quote = await renter.quote_extension(order, None)
        market.vaults[market.renter] = quote.cost // 3
        quote = await renter.quote_extension(order, None)
        assert quote.missing == quote.cost - quote.cost // 3
        before = market.block
        await renter.extend(quote)
    assert market.block == before + 1
    assert market.placed[-1][2] == quote.missing
    assert market.vaults[market.renter] == 0


@pytest.mark.parametrize(("missing", "sent"), [(0, [("extend", 3, 0)]), (7, [("extendWithPermit", 4, 7)])])
async def test_the_market_is_sent_one_transaction(missing: int, sent: list[tuple[str, int, int]]) -> None:
    wire = Wire()
    market = wire.market
    held = Held(order=OrderId(bytes(32)), leaf_count=1, piece_leaves=1, slots=())

    async def asked() -> int:
        return missing

    await market.extend(
        held, Terms(salt=bytes(32), end=Epoch(8), leaf_count=1, piece_leaves=1, k=1), [], asked
    )
    assert [(call.function, len(call.args), wire.permitted) for call in wire.sent] == sent


@pytest.mark.parametrize("allows", [True, False])
async def test_whether_slots_may_be_handed_over_is_said_when_it_is_placed_and_stays(
    world: World, tree: Path, allows: bool
) -> None:
    """Also if the extension is placed again, out of what was written down."""
    market = world.market
    async with world.renter() as renter:
        quote = await renter.quote([tree], replace(CODE, allows_hand_over=allows))
        placed = (await renter.put(quote)).order
        market.block = (placed.end - 2) * PARAMETERS.epoch_blocks
        extended = await renter.extend(await renter.quote_extension(placed, None))
        assert [terms.allows_hand_over for terms, *_ in market.placed] == [allows, allows]
        noted = renter.placements.get(extended.order.id)
        assert noted is not None
        assert noted.terms == market.placed[-1][0]


async def test_after_a_failure_the_same_acceptances_are_used(world: World, order: OrderState) -> None:
    """They bind stake and money: a second try must not ask for others."""
    async with world.renter() as renter:
        world.market.failures.append(ChainUnavailable("http://chain", "connection refused"))
        first = await renter.quote_extension(order, None)
        with pytest.raises(ChainUnavailable):
            await renter.extend(first)
        second = await renter.quote_extension(order, None)
        assert second.id == first.id
        assert (await renter.quote_extension(order, GRID + 1)).id != first.id
        await renter.extend(second)


async def test_an_order_is_extended_once(world: World, order: OrderState, tmp_path: Path) -> None:
    """The market would take a second extension: the same epochs paid twice. Nor when another computer extends
    it, on other terms, after the price was asked."""
    async with world.renter() as renter, world.renter(tmp_path / "other") as other:
        asked = await renter.quote_extension(order, GRID + 1)
        [theirs] = await other.orders()
        extension = (await other.extend(await other.quote_extension(theirs.order, None))).order
        short = extension.id.hex()[:8]
        funds = await renter.funds()
        with pytest.raises(CannotExtend, match=f"goes on as order {short}") as raised:
            await renter.extend(asked)
        with pytest.raises(CannotExtend, match=f"goes on as order {short}"):
            await renter.quote_extension(order, None)
        assert f"grange orders extend {short}" in raised.value.hint
        assert await renter.funds() == funds
        assert len(await renter.orders()) == 2


async def test_what_the_market_says_of_the_moment_is_tried_again(world: World, order: OrderState) -> None:
    """A repair in between changes the slots; another objection is final and costs nothing."""
    async with world.renter() as renter:
        world.market.failures.append(TransactionReverted("extend", "NotInLastPeriod", {}))
        with pytest.raises(PlaceFailed, match="NotInLastPeriod"):
            await renter.extend(await renter.quote_extension(order, GRID + 1))
    async with world.renter() as renter:
        world.market.failures.append(TransactionReverted("extend", "WrongSlots", {}))
        await renter.extend(await renter.quote_extension(order, None))


class Wire:
    """Notes what a market asks of its chain and its sender."""

    wallet = Wallet(b"\x01" * 32)
    nonce = 0
    """That of its permits."""

    def __init__(self) -> None:
        self.permitted = 0
        self.sent: list[Call] = []
        domain = Domain(chain_id=1, market=address_from(bytes(20)))
        self.market = RenterMarket(unconnected(domain, self.wallet))
        self.market.permit_basis = self.permit_basis  # type: ignore[assignment, method-assign]
        self.market.sender.send = self.send  # type: ignore[assignment, method-assign]

    async def permit_basis(self, owner: Address) -> "Wire":
        assert owner == self.wallet.address
        return self

    def sign(self, wallet: Wallet, *, spender: Address, value: int) -> str:
        self.permitted += value
        return "permit"

    async def send(self, make: Making, **_: object) -> None:
        self.sent.append(await make())


def change(world: World, farmer: FarmerId, **fields: object) -> None:
    world.market.known = [
        replace(one, **fields) if one.id == farmer else one  # type: ignore[arg-type]
        for one in world.market.known
    ]


def reprice(world: World, farmer: FarmerId, factor: int) -> None:
    [one] = [known for known in world.market.known if known.id == farmer]
    price = one.offer.price_per_gib_epoch * factor
    change(world, farmer, offer=replace(one.offer, price_per_gib_epoch=price))

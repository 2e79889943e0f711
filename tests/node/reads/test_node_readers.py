"""Who reads what of a placed slot, over HTTP; and what finding that out may cost the chain."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from node_support import (
    OPERATOR,
    PARAMETERS,
    PIECE_BYTES,
    FakeMarket,
    Farm,
    Parcel,
    error_of,
    open_farm,
    parcel,
    pass_blocks,
)
from paid_support import PRICED, customer, serving

from grange.chain import ChainUnavailable, Head, Order, Wallet
from grange.layout import Geometry
from grange.merkle import root_from_path
from grange.peer import FarmerLied, FarmerRefused, PieceClosed
from grange.transfer.sources import Source
from grange.transfer.stripes import Stripe
from grange.transfer.verification import ListedRoots
from grange.types import Address, Epoch, FarmerId, OrderId
from grange_node.chain.funds_cache import QUESTIONS_IN_A_ROW
from grange_node.chain.order_state import ReadableOrder
from grange_node.config import OfferFile
from grange_node.errors import TooBusy
from grange_node.limits.fair_shares import FairShares
from grange_node.limits.networks import UNKNOWN
from grange_node.reads import readers as readers_module
from grange_node.records import SlotState

FARMER = Wallet(b"\x0a" * 32)
REPAIRER = Wallet(b"\x0b" * 32)
POOR = Wallet(b"\x0c" * 32)
PIECES = 6
FREE = OfferFile(**(PRICED.model_dump() | {"egress_price_per_gib": 0}))


@pytest.fixture
async def kept(farm: Farm) -> Farm:
    """A farm with a placed slot, in whose order FARMER keeps another."""
    await farm.keep(slot())
    stand(farm)
    farm.market.balances[POOR.address] = 0
    return farm


def slot() -> Parcel:
    return parcel(PIECES)


def stand(farm: Farm, *, vacant: bool = False, eager: bool = False) -> None:
    farm.market.stand(slot(), operators=frozenset({FARMER.address}), is_vacant=vacant, is_eager=eager)
    farm.market.mine()
    farm.clock.now += 60


async def answers(farm: Farm, by: Wallet, piece: int) -> set[tuple[int, str]]:
    """What a reader gets of a piece in each of the ways to ask for it."""
    start = piece * PIECE_BYTES
    asked = [
        await farm.get(slot(), wanted=f"bytes={start}-{start + PIECE_BYTES - 1}", by=by),
        await farm.get(slot(), wanted=f"bytes={start + 512}-{start + 512}", by=by),
        await farm.get(slot(), f"/pieces/{piece}/path", by=by),
    ]
    found = {(one.status_code // 100, error_of(one) if one.is_error else "") for one in asked}
    listing = await farm.get(slot(), "/pieces", by=by)
    if listing.status_code == 200:
        found.add((2, "") if str(piece) in listing.json()["roots"] else (4, "closed_until_epoch"))
    else:
        found.add((listing.status_code // 100, error_of(listing)))
    return found


@pytest.mark.parametrize(
    ("by", "vacant", "eager", "shown"),
    [
        (slot().renter, False, False, "all"),
        (FARMER, False, False, "third"),
        (FARMER, False, True, "third"),
        (FARMER, True, False, "third"),
        (FARMER, True, True, "all"),
        (REPAIRER, False, False, "nothing"),
        (REPAIRER, False, True, "nothing"),
        (REPAIRER, True, False, "third"),
        (REPAIRER, True, True, "all"),
        (POOR, True, True, "nothing"),
    ],
)
async def test_a_reader_gets_its_share_in_every_way_to_ask(
    kept: Farm, by: Wallet, vacant: bool, eager: bool, shown: str
) -> None:
    """Ranges, single leaves, paths and lists count as the piece."""
    stand(kept, vacant=vacant, eager=eager)
    for _ in range(3):
        open_piece = kept.market.epoch % 3
        for piece in range(PIECES):
            expected = {
                "all": {(2, "")},
                "third": {(2, "")} if piece % 3 == open_piece else {(4, "closed_until_epoch")},
                "nothing": {(4, "not_a_reader")},
            }[shown]
            assert await answers(kept, by, piece) == expected
        kept.market.mine_to_epoch(kept.market.epoch + 1)
        await kept.node.follower.refresh()


async def test_what_is_closed_says_when_it_opens(kept: Farm) -> None:
    epoch = kept.market.epoch
    closed = (epoch + 2) % 3
    response = await kept.get(slot(), f"/pieces/{closed}/path", by=FARMER)
    assert response.status_code == 403
    assert response.json()["detail"] == {"piece": closed, "epoch": epoch + 2, "current": epoch}


@pytest.mark.parametrize("pieces", [2, 4, PIECES])
async def test_a_range_over_several_pieces_needs_all_of_them(kept: Farm, pieces: int) -> None:
    first = kept.market.epoch % 3
    wanted = f"bytes={first * PIECE_BYTES}-{min(first + pieces, PIECES) * PIECE_BYTES - 1}"
    for asked in (wanted, None):
        response = await kept.get(slot(), wanted=asked, by=FARMER)
        assert (response.status_code, error_of(response)) == (403, "closed_until_epoch")


async def test_a_path_of_the_open_third_leads_to_the_root(kept: Farm) -> None:
    piece = kept.market.epoch % 3
    shown = (await kept.get(slot(), f"/pieces/{piece}/path", by=FARMER)).json()
    path = [bytes.fromhex(sibling) for sibling in shown["path"]]
    assert root_from_path(slot().roots[piece], piece, PIECES, path) == slot().root


async def test_a_peer_hears_in_which_epoch_to_come_back(tmp_path: Path) -> None:
    market = FakeMarket()
    market.stand(slot(), operators=frozenset({FARMER.address}))
    async with serving(tmp_path / "data", market, offer_terms=FREE) as (farm, endpoint):
        await farm.keep(slot())
        epoch = market.epoch
        async with customer(farm, endpoint, wallet=FARMER, egress_price_per_gib=0) as (peer, _):
            opened, closed = epoch % 3, (epoch + 1) % 3
            read = await peer.read(slot().order, slot().slot, opened * PIECE_BYTES, PIECE_BYTES)
            assert read == slot().pieces[opened]
            with pytest.raises(PieceClosed) as caught:
                await peer.read(slot().order, slot().slot, closed * PIECE_BYTES, PIECE_BYTES)
            assert caught.value.open_epoch == epoch + 1
        async with customer(farm, endpoint, wallet=REPAIRER, egress_price_per_gib=0) as (peer, _):
            with pytest.raises(FarmerRefused) as refused:
                await peer.read(slot().order, slot().slot, 0, PIECE_BYTES)
            assert (refused.value.status, refused.value.code) == (403, "not_a_reader")


@pytest.mark.parametrize(("vacant", "paths"), [(False, 1), (True, 0)])
async def test_a_source_checks_a_piece_by_its_path_where_not_all_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vacant: bool, paths: int
) -> None:
    """Over sockets: against the slot's root on chain, whatever the farmer shows of its list."""
    market, held = FakeMarket(), slot()
    market.stand(held, operators=frozenset({FARMER.address}), is_vacant=vacant, is_eager=vacant)
    size = PIECE_BYTES // 512
    geometry = Geometry.from_leaves(k=1, n=1, leaf_count=PIECES * size, piece_leaves=size)
    async with serving(tmp_path / "data", market, offer_terms=FREE) as (farm, endpoint):
        await farm.keep(held)
        opened, asked = market.epoch % 3, []
        async with customer(farm, endpoint, wallet=FARMER, egress_price_per_gib=0) as (peer, _):
            path = peer.piece_path
            monkeypatch.setattr(peer, "piece_path", lambda *of: (asked.append(of), path(*of))[1])
            source = Source(slot=held.slot, farmer=FarmerId(7), root=held.root, open_peer=lambda: peer)
            piece = Stripe(first=opened, end=opened + 1, columns=frozenset())
            assert (
                await ListedRoots(held.order, geometry, farm.node.executors).read(source, piece)
                == held.pieces[opened]
            )
            assert len(asked) == paths
            with pytest.raises(FarmerLied):
                await ListedRoots(held.order, geometry, farm.node.executors).read(
                    replace(source, root=bytes(32)), piece
                )


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_farmer_of_the_order_before_or_after_is_one_of_the_order(kept: Farm, is_known: bool) -> None:
    """The bytes are the same, and who keeps them may have to mend them."""
    relative, other = OrderId(b"\x21" * 32), Wallet(b"\x22" * 32)
    state = ReadableOrder(
        renter=slot().renter.address,
        operators=frozenset({other.address}),
        is_vacant=False,
        is_eager=False,
    )
    if is_known:
        kept.market.states[relative] = state
    kept.market.stand(slot(), family=(relative,))
    kept.market.mine()
    kept.clock.now += 60
    await kept.node.follower.refresh()
    piece = kept.market.epoch % 3
    response = await kept.get(slot(), f"/pieces/{piece}/path", by=other)
    assert response.status_code == (200 if is_known else 403)


async def test_the_renter_is_served_without_a_chain_and_others_hear_why_not(kept: Farm) -> None:
    kept.market.down = True
    kept.clock.now += 60
    assert (await kept.get(slot())).content == slot().data
    response = await kept.get(slot(), "/pieces/0/path", by=FARMER)
    assert (response.status_code, error_of(response)) == (503, "chain_unavailable")


def brought_by_another(farm: Farm) -> None:
    """The slot as if anyone who sent it had shown no salt, as one that takes it over for an order."""
    record = farm.node.ledger.acceptance(slot().order, slot().slot)
    assert record is not None
    assert record.renter_proven
    farm.node.ledger.adopt(record.key, record.agreed, farm.market.height)
    record = farm.node.ledger.acceptance(slot().order, slot().slot)
    assert record is not None
    assert not record.renter_proven


async def test_a_renter_that_showed_its_order_to_be_its_own_costs_the_chain_no_question(
    tmp_path: Path,
) -> None:
    """Also after a restart, and in whatever block it asks."""
    async with open_farm(tmp_path / "data") as farm:
        await farm.keep(slot())
        market, clock = farm.market, farm.clock
    async with open_farm(tmp_path / "data", market=market, clock=clock) as farm:
        await farm.node.follower.refresh()
        for _ in range(2):
            assert (await farm.get(slot())).content == slot().data
            farm.market.mine()
            await farm.node.follower.refresh()
        assert market.orders_asked == market.states_asked == 0


async def test_the_repairer_that_brought_a_slot_is_not_the_renter(kept: Farm) -> None:
    """Else it could read for ever what it was paid once to move."""
    brought_by_another(kept)
    theirs = Wallet(b"\x31" * 32)
    kept.market.orders[slot().order] = Order(
        renter=theirs.address, start=Epoch(2), end=Epoch(16), k=1, n=4, slots_hash=bytes(32)
    )
    kept.market.states[slot().order] = replace(kept.market.states[slot().order], renter=theirs.address)
    await kept.node.follower.refresh()
    assert error_of(await kept.get(slot())) == "not_a_reader"
    assert (await kept.get(slot(), by=theirs)).content == slot().data


# What it may cost.


async def flood(farm: Farm, wallets: list[Wallet], order: Parcel | None = None) -> list[int]:
    asked = (farm.get(order or slot(), "/pieces", by=wallet) for wallet in wallets)
    return [response.status_code for response in await asyncio.gather(*asked)]


async def test_orders_that_are_not_kept_here_cost_no_question(kept: Farm) -> None:
    assert set(await flood(kept, [REPAIRER] * 5, parcel(seed=9))) == {404}
    assert kept.market.states_asked == 0


async def test_a_flood_of_strangers_costs_one_question_a_block(kept: Farm) -> None:
    """Those who are refused share the answer, too."""
    wallets = [Wallet(bytes([number]) * 32) for number in range(50, 90)]
    funds = kept.market.funds_asked
    assert set(await flood(kept, wallets)) == {403}
    assert set(await flood(kept, wallets)) == {403}
    assert kept.market.states_asked == 1
    kept.market.mine()
    await kept.node.follower.refresh()
    assert set(await flood(kept, wallets)) == {403}
    assert kept.market.states_asked == 1
    kept.clock.now += 60
    assert set(await flood(kept, wallets)) == {403}
    assert kept.market.states_asked == 2
    assert kept.market.funds_asked == funds


async def test_a_chain_that_does_not_answer_is_not_asked_by_everyone(
    kept: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept.node.follower.refresh()
    asked = []

    async def fails(order: OrderId, **_: bool) -> ReadableOrder | None:
        asked.append(order)
        raise ChainUnavailable("http://chain", "connection refused")

    with monkeypatch.context() as patched:
        patched.setattr(kept.market, "order_state", fails)
        assert set(await flood(kept, [REPAIRER] * 20)) == {503}
    assert len(asked) == 1
    kept.clock.now += kept.node.follower.pause_seconds()
    assert set(await flood(kept, [REPAIRER] * 20)) == {403}


async def test_what_was_answered_does_not_outlive_the_epoch(kept: Farm) -> None:
    """A loss that was declared counts from the next one."""
    assert error_of(await kept.get(slot(), "/pieces", by=REPAIRER)) == "not_a_reader"
    kept.market.stand(slot(), is_vacant=True, is_eager=True)
    kept.market.mine_to_epoch(kept.market.epoch + 1)
    await kept.node.follower.refresh()
    assert (await kept.get(slot(), "/pieces", by=REPAIRER)).status_code == 200


async def test_more_than_may_wait_are_sent_away(kept: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.node.readers._line = FairShares(6)  # of which one network gets half
    asked, ask = asyncio.Event(), kept.market.order_state

    async def slowly(order: OrderId, **_: bool) -> ReadableOrder | None:
        await asked.wait()
        return await ask(order)

    monkeypatch.setattr(kept.market, "order_state", slowly)
    wallets = [Wallet(bytes([number]) * 32) for number in range(50, 60)]
    flooding = asyncio.create_task(flood(kept, wallets))
    await asyncio.wait([asyncio.create_task(_until(lambda: kept.node.readers._line.total == 3))])
    assert (await kept.get(slot())).content == slot().data
    asked.set()
    assert sorted(set(await flooding)) == [403, 429]
    assert kept.market.states_asked == 1


async def _until(true: object) -> None:
    while not true():  # type: ignore[operator]  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_memory_of_orders_is_bounded(kept: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "MAX_ORDERS", 2)
    for seed in range(1, 5):
        other = parcel(seed=seed)
        await kept.keep(other)
        kept.market.stand(other)
        assert await flood(kept, [REPAIRER], other) == [403]
        assert await flood(kept, [other.renter], other) == [200]
    assert len(kept.node.readers._answers) <= 2
    assert len(kept.node.readers._renters) <= 2


async def test_money_is_asked_for_only_while_a_slot_is_vacant(kept: Farm) -> None:
    funds = kept.market.funds_asked
    await flood(kept, [REPAIRER] * 3)
    assert kept.market.funds_asked == funds
    stand(kept, vacant=True)
    await kept.node.follower.refresh()
    assert await flood(kept, [REPAIRER] * 3) == [200] * 3
    assert kept.market.funds_asked == funds + 1


async def test_an_upload_that_is_asked_for_is_not_forgotten(farm: Farm) -> None:
    """A repairer comes back for the next third of an order only in the next epoch."""
    await farm.put(slot(), 0)
    for _ in range(10):
        farm.clock.now += 3600
        assert (await farm.get(slot(), "/pieces")).status_code == 200
        assert await farm.node.collector.collect() == 0
    farm.clock.now += 7 * 3600
    assert await farm.node.collector.collect() == 1


async def test_after_a_restart_readers_are_known_from_the_chain(tmp_path: Path) -> None:
    async with open_farm(tmp_path / "data") as farm:
        await farm.keep(slot())
        market, clock = farm.market, farm.clock
    market.stand(slot(), operators=frozenset({FARMER.address, OPERATOR.address}))
    async with open_farm(tmp_path / "data", market=market, clock=clock) as farm:
        record = farm.node.ledger.acceptance(slot().order, slot().slot)
        assert record is not None
        assert record.state is SlotState.PLACED
        access = await farm.node.readers.access(record, Address(FARMER.address), UNKNOWN)
        assert [access.shows(piece) for piece in range(3)] == [
            piece == market.epoch % 3 for piece in range(3)
        ]


async def test_a_renter_whose_order_the_chain_does_not_show_costs_it_a_question_a_block(kept: Farm) -> None:
    """As when it was closed: its slot is read for a while still."""
    brought_by_another(kept)
    kept.market.orders.pop(slot().order, None)
    for _ in range(2):
        stand(kept)
        await kept.node.follower.refresh()
        before = kept.market.orders_asked
        found = await asyncio.gather(*(kept.get(slot(), wanted="bytes=0-9") for _ in range(10)))
        assert {answer.status_code for answer in found} == {206}
        assert kept.market.orders_asked == before + 1


async def test_the_third_of_the_last_epoch_is_closed_as_soon_as_the_next_one_has_begun(kept: Farm) -> None:
    """Though the chain was looked at a moment ago: an audit asks for leaves in this very moment."""
    market, epoch = kept.market, Epoch(kept.market.epoch + 1)
    market.mine_to_epoch(epoch + 1, offset=-2)
    kept.clock.now += PARAMETERS.epoch_blocks
    await kept.node.follower.refresh()
    assert kept.node.follower.view is not None
    assert kept.node.follower.view.head.epoch == epoch
    assert await answers(kept, FARMER, epoch % 3) == {(2, "")}
    pass_blocks(kept, 2)
    assert market.epoch == epoch + 1
    assert await answers(kept, FARMER, epoch % 3) == {(4, "closed_until_epoch")}
    assert await answers(kept, FARMER, (epoch + 1) % 3) == {(2, "")}


async def test_many_who_ask_at_once_for_the_newest_view_cost_few_looks_at_the_chain(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers may ask as an epoch ends, when what was seen last is too old for them."""
    asked, ask = [], farm.market.head

    async def head() -> Head:
        asked.append(farm.market.height)
        await asyncio.sleep(0)
        return await ask()

    monkeypatch.setattr(farm.market, "head", head)
    first = asyncio.create_task(farm.node.follower.newest())
    await asyncio.sleep(0)
    farm.market.mine()
    views = await asyncio.gather(*(farm.node.follower.newest() for _ in range(50)))
    await first
    # Reading events asks for it, too.
    assert len(asked) < 10
    assert {view.head.number for view in views} == {farm.market.height}


async def test_whose_an_unknown_order_is_costs_one_question_out_of_a_strangers_allowance(
    kept: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anyone can invent ids: no endpoint is doubted for one, and readers wait for none of them."""

    async def doubts(*_: object) -> None:
        raise AssertionError("all endpoints were asked")

    asked: list[OrderId] = []

    async def denies(order: OrderId) -> None:
        asked.append(order)

    monkeypatch.setattr(readers_module, "find_known_order", doubts)
    monkeypatch.setattr(kept.market, "order", denies)
    readers = kept.node.readers
    readers._line = FairShares(0)  # of readers nobody else may wait
    invented = [OrderId(number.to_bytes(32)) for number in range(1, QUESTIONS_IN_A_ROW + 2)]
    await kept.node.follower.refresh()

    async def ask_for_all() -> None:
        for order in invented:
            assert await readers.renter_of(order, UNKNOWN) is None

    with pytest.raises(TooBusy):
        await ask_for_all()
    assert 0 < len(asked) <= QUESTIONS_IN_A_ROW
    assert asked == invented[: len(asked)]
    assert await readers.renter_of(invented[0], UNKNOWN) is None, "it was asked in this block"

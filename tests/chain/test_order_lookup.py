"""How an order stands, read from the real contract: what decides who may read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from chain_support import RATE, TestFarmer, funded, store
from test_market_repair import LEAVES, held_of, refill, until_lapsed

from grange import messages
from grange.audit import loss_words
from grange.chain import Chain, ChainError, RpcError, Sender, calls
from grange.chain.order_index import OrderIndex
from grange.executors import Executors
from grange.types import Epoch, OrderId, Terms
from grange_devnet import Devnet
from grange_node.chain import order_state
from grange_node.chain.order_state import OrderLookup
from grange_node.self_repair.rebuilder import LiveRebuilder

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def several(devnet: Devnet, count: int) -> list[TestFarmer]:
    return [await TestFarmer.register(devnet) for _ in range(count)]


async def next_epoch(devnet: Devnet) -> Epoch:
    epoch = (await devnet.chain.head()).epoch
    await devnet.mine_to_epoch(epoch + 1)
    return Epoch(epoch + 1)


async def prove_all(devnet: Devnet, *farmers: TestFarmer) -> None:
    epoch = (await devnet.chain.head()).epoch
    for farmer in farmers:
        await farmer.prove(epoch)


async def test_an_order_that_is_whole_names_its_renter_and_operators(devnet: Devnet) -> None:
    farmers = await several(devnet, 3)
    renter = Sender(devnet.chain, await funded(devnet))
    order, _ = await store(devnet, renter, farmers, leaf_count=LEAVES)
    await next_epoch(devnet)
    lookup = OrderLookup(devnet.chain)
    state = await lookup.state(order)
    assert state is not None
    assert (state.renter, state.is_vacant, state.family) == (renter.address, False, ())
    assert state.operators == {farmer.sender.address for farmer in farmers}
    assert await lookup.state(OrderId(b"\x01" * 32)) is None


async def test_a_slot_is_vacant_in_the_epoch_after_its_loss_was_declared(devnet: Devnet) -> None:
    """So nobody can declare a loss and read in the same epoch what its audit asks for."""
    loser, *others = await several(devnet, 4)
    renter = Sender(devnet.chain, await funded(devnet))
    order, _ = await store(devnet, renter, [loser, *others], leaf_count=LEAVES)
    await next_epoch(devnet)
    await prove_all(devnet, *others)
    [book] = loser.books.values()
    await loser.sender.send(calls.declare_loss(loser.id, book.end, loss_words(book, 0), extension=False))
    lookup = OrderLookup(devnet.chain)
    state, found = await lookup.state(order), await lookup.order(order)
    assert state is not None
    assert found is not None
    assert found.lost == {0}
    assert not state.is_vacant
    assert loser.sender.address not in state.operators
    await next_epoch(devnet)
    state = await lookup.state(order)
    assert state is not None
    assert state.is_vacant


async def test_a_refill_is_followed_and_read_no_further_than_it_must_be(
    devnet: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with a lookup that begins long afterwards; what was read is not read again."""
    chain: Chain = devnet.chain
    gone, taker = await several(devnet, 2)
    renter, repairer = Sender(chain, await funded(devnet)), Sender(chain, await funded(devnet))
    order, _ = await store(devnet, renter, [gone], leaf_count=LEAVES, epochs=80)
    placed = await chain.order(order)
    assert placed is not None
    lookup = OrderLookup(chain)
    await lookup.state(order)
    await until_lapsed(devnet, gone.id)
    state = await lookup.state(order)
    assert state is not None
    assert (state.is_vacant, state.operators) == (True, frozenset())
    await refill(devnet, order, taker, repairer)
    ranges: list[tuple[int, int]] = []
    logs = chain.logs

    async def counted(first: int, last: int, *args: object) -> object:
        ranges.append((first, last))
        return await logs(first, last, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(chain, "logs", counted)
    monkeypatch.setattr(order_state, "MAX_SPAN_BLOCKS", 50)
    fresh = OrderLookup(chain)
    for one in (lookup, fresh):
        state = await one.state(order)
        assert state is not None
        assert (state.is_vacant, state.operators) == (False, {taker.sender.address})
    assert len(ranges) > 2
    del ranges[:]
    for one in (lookup, fresh):
        await one.state(order)
    assert ranges == []


async def test_an_endpoint_that_holds_events_back_is_not_believed(
    devnet: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slots must have the hash that the contract keeps."""
    farmers = await several(devnet, 2)
    order, _ = await store(devnet, Sender(devnet.chain, await funded(devnet)), farmers, leaf_count=LEAVES)
    logs = devnet.chain.logs

    async def all_but_one(*args: object) -> object:
        return (await logs(*args))[:-1]  # type: ignore[arg-type]

    lookup = OrderLookup(devnet.chain)
    with monkeypatch.context() as patched:
        patched.setattr(devnet.chain, "logs", all_but_one)
        with pytest.raises(ChainError):
            await lookup.state(order)
    assert await lookup.state(order) is not None


async def test_an_extension_and_what_it_extends_are_one_family(devnet: Devnet) -> None:
    chain: Chain = devnet.chain
    before, after = await several(devnet, 2)
    renter = Sender(chain, await funded(devnet))
    grid = chain.parameters.grid_epochs
    order, _ = await store(devnet, renter, [before], leaf_count=LEAVES, epochs=2 * grid)
    placed = await chain.order(order)
    assert placed is not None
    lookup = OrderLookup(chain)
    await devnet.mine_to_epoch(placed.end - 2, offset_blocks=1)
    state = await lookup.state(order)
    assert state is not None
    assert state.family == ()
    held = await held_of(devnet, order)
    terms = Terms(salt=b"\x09" * 32, end=Epoch(placed.end + grid), leaf_count=LEAVES, piece_leaves=1, k=1)
    longer = messages.order_id(renter.address, terms.salt)
    acceptance = messages.sign_acceptance(
        chain.domain,
        after.sender.wallet.private_key,
        messages.AcceptanceMessage(
            order=longer,
            farmer=after.id,
            slot=0,
            root=held.slots[0].root,
            leaf_count=LEAVES,
            rate=RATE,
            end=terms.end,
            deadline_block=(await chain.head()).number + 50,
            previous=order,
        ),
    )
    await renter.send(calls.deposit_with_permit(await chain.permit(renter.wallet, RATE * 3 * grid)))
    await renter.send(calls.extend(held, terms, [acceptance]))
    states = {one: await lookup.state(one) for one in (order, longer)}
    first, second = states[order], states[longer]
    assert first is not None
    assert second is not None
    assert (first.family, second.family) == ((longer,), (order,))
    assert second.operators == {after.sender.address}


async def test_an_order_whose_events_are_hidden_keeps_no_other_from_being_mended(
    devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as none; the next look finds it when the endpoint shows all."""
    farmers = await several(devnet, 2)
    sender = Sender(devnet.chain, await funded(devnet))
    order, _ = await store(devnet, sender, farmers, leaf_count=LEAVES)

    async def nothing(*_: object) -> list[object]:
        return []

    with Executors.open() as executors:
        rebuilder = LiveRebuilder(tmp_path, sender, executors)
        with monkeypatch.context() as patched:
            patched.setattr(devnet.chain, "logs", nothing)
            assert await rebuilder.order(order) is None
        found = await rebuilder.order(order)
    assert found is not None
    assert [slot.farmer for slot in found.slots] == [farmer.id for farmer in farmers]


def pruned(chain: Chain, first_block: int, patch: pytest.MonkeyPatch) -> None:
    """No logs of an earlier block are given, as by many endpoints."""
    logs = chain.logs

    async def newer(first: int, last: int, *args: object) -> object:
        if first < first_block:
            raise RpcError("eth_getLogs", -32701, "old data not available due to pruning")
        return await logs(first, last, *args)  # type: ignore[arg-type]

    patch.setattr(chain, "logs", newer)


async def test_what_was_looked_up_once_is_known_when_its_events_are_pruned(
    devnet: Devnet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also when slots were refilled since, as long as the newest events are there."""
    chain: Chain = devnet.chain
    gone, stays, taker = await several(devnet, 3)
    renter, repairer = Sender(chain, await funded(devnet)), Sender(chain, await funded(devnet))
    order, _ = await store(devnet, renter, [gone, stays], leaf_count=LEAVES, epochs=80)
    with Executors.open() as executors, OrderIndex.open(tmp_path / "orders", domain=chain.domain) as index:
        placed = await OrderLookup(chain, index, executors).order(order)
        assert placed is not None
        await until_lapsed(devnet, gone.id)
        before_refill = (await chain.head()).number
        await refill(devnet, order, taker, repairer)
        now = await OrderLookup(chain).order(order)
        assert now is not None
        assert now.slots != placed.slots
        with monkeypatch.context() as patched:
            pruned(chain, before_refill, patched)
            patched.setattr(order_state, "MAX_SPAN_BLOCKS", 1)
            assert await OrderLookup(chain, index, executors).order(order) == now
        with monkeypatch.context() as patched:
            pruned(chain, 1 << 40, patched)
            assert await OrderLookup(chain, index, executors).order(order) == now, "it was noted down"
            with pytest.raises(RpcError, match="pruning"):
                await OrderLookup(chain).order(order)

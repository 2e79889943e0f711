"""A put that answers when n farmers have signed: what holds then, and how each ends."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from client_fakes import CALM, FakeFarmer, World, honest
from client_trees import listing
from test_client_devnet import CODE as TOWN_CODE
from test_client_devnet import Town, town

from grange.chain import ChainUnavailable, Receipt, TransactionReverted
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import ProgressEvent, Step
from grange_client.errors import HomeForgetful, NotEnoughMoney, PlaceFailed, QuoteUsed, SourceChanged
from grange_client.orders.pending import PendingOrder
from grange_client.orders.placements import Placement
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter

__all__ = ["town"]
CODE = StoreOptions(k=2, n=4, epochs=5, name="ghost")
LIFE_BLOCKS = 300


class Gate:
    """Keeps transactions from being sent until it is opened."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = asyncio.Event()
        self.reached = asyncio.Event()
        self.waiting = 0
        place: Callable[..., Awaitable[Receipt]] = world.market.place

        async def gated(*given: Any, **options: Any) -> Receipt:
            self.waiting += 1
            self.reached.set()
            await self.opened.wait()
            return await place(*given, **options)

        monkeypatch.setattr(world.market, "place", gated)


@pytest.fixture
def gate(world: World, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(world, monkeypatch)


async def store(renter: Renter, path: Path, options: StoreOptions = CODE) -> PendingOrder:
    return await renter.store(await renter.quote([path], options))


@asynccontextmanager
async def killed(world: World) -> AsyncIterator[Renter]:
    """A renter whose process ends inside, by an error that is not ours."""
    with suppress(MemoryError):
        async with world.renter() as renter:
            yield renter
            raise MemoryError


async def test_it_answers_when_all_have_signed_and_nothing_is_sent(
    world: World, tree: Path, gate: Gate, tmp_path: Path
) -> None:
    """The handle says who signed and until when that holds; the rest of `put` follows behind it."""
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        pending = await renter.store(quote)
        assert not world.market.placed
        assert pending.order_id == quote.order
        assert sorted(pending.farmers) == sorted(chosen.farmer.id for chosen in quote.chosen)
        assert pending.last_block > world.market.block
        [noted] = renter.placements.all()
        assert noted.is_acknowledged
        assert renter.placements.is_underway(quote.order)
        gate.opened.set()
        stored = await pending.placed()
        assert await pending.placed() is stored
        assert not renter.placements.is_underway(quote.order)
        [known] = await renter.orders()
        assert (known.order, known.name) == (stored.order, "ghost")
        await renter.get(known.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)
    assert len(world.market.placed) == 1


async def test_closing_the_renter_waits_for_what_is_on_its_way(world: World, tree: Path, gate: Gate) -> None:
    async with world.renter() as renter:
        first, second = await store(renter, tree), await store(renter, tree)
        asyncio.get_running_loop().call_soon(gate.opened.set)
    assert len(world.market.placed) == 2
    assert (await first.placed()).order.id != (await second.placed()).order.id


async def test_an_error_that_nobody_waited_for_is_raised_on_closing(
    world: World, tree: Path, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """Of several the first; all are logged. One that was told is not told again."""
    refusals = [TransactionReverted("place", name, {}) for name in ("TermTooLong", "RateTooSmall")]
    world.market.failures.extend([refusals[0], *refusals])

    async def work() -> None:
        async with world.renter() as renter:
            told = await store(renter, tree)
            gate.opened.set()
            with pytest.raises(PlaceFailed, match="TermTooLong"):
                await told.placed()
            gate.opened.clear()
            await store(renter, tree)
            await store(renter, tree)
            gate.opened.set()

    with pytest.raises(PlaceFailed, match="TermTooLong"):
        await work()
    assert [record.levelname for record in caplog.records if "is not placed" in record.message] == [
        "ERROR"
    ] * 2


async def test_what_failed_is_given_up_and_not_placed_by_the_next_command(
    world: World, tree: Path, gate: Gate
) -> None:
    """Anyone who was told that it failed may have stored it again."""
    gate.opened.set()
    error = ChainUnavailable("http://chain", "connection refused")
    world.market.failures.append(error)
    async with world.renter() as renter:
        pending = await store(renter, tree)
        with pytest.raises(ChainUnavailable):
            await pending.placed()
    assert sum("delete" in farmer.calls for farmer in world.farmers) == 4
    async with world.renter() as renter:
        assert await renter.orders() == []
        assert renter.notices() == []
    assert not world.market.placed


async def test_what_was_signed_when_the_process_ended_is_placed_by_the_next_command(
    world: World, tree: Path, gate: Gate, tmp_path: Path
) -> None:
    """It says so. Farmers were not told to forget what they had, and are asked nothing again."""
    async with killed(world) as renter:
        pending = await store(renter, tree)
    with pytest.raises(PlaceFailed, match="closed before it was placed"):
        await pending.placed()
    assert not world.market.placed
    assert not any("delete" in farmer.calls for farmer in world.farmers)
    gate.opened.set()
    async with world.renter() as renter:
        [known] = await renter.orders()
        [said] = renter.notices()
        await renter.get(known.order, tmp_path / "back")
    assert known.order.id == pending.order_id
    assert "Farmers have signed for order ghost, and what stored it ended before it was placed" in said
    assert f"placed, in block {known.order.block}" in said
    assert listing(tmp_path / "back" / "tree") == listing(tree)
    async with world.renter() as renter:
        assert len(await renter.orders()) == 1
        assert renter.notices() == []
    assert len(world.market.placed) == 1


async def test_when_the_signatures_are_over_it_is_said_that_nothing_was_paid(
    world: World, tree: Path, gate: Gate
) -> None:
    async with killed(world) as renter:
        await store(renter, tree)
    world.market.block += LIFE_BLOCKS
    async with world.renter() as renter:
        assert await renter.orders() == []
        [said] = renter.notices()
    assert "signatures have expired. Nothing was paid for it. Store it again with `grange orders put`" in said
    async with world.renter() as renter:
        await renter.orders()
        assert renter.notices() == []
    assert not world.market.placed


async def test_what_may_still_be_in_the_next_block_is_not_called_expired(
    world: World, tree: Path, gate: Gate
) -> None:
    """Anyone who is told so stores it again, and pays for both."""
    async with killed(world) as renter:
        last_block = (await store(renter, tree)).last_block
    world.market.block = last_block - 1
    async with world.renter() as renter:
        await renter.orders()
        assert renter.notices() == []
        assert len(renter.placements.all()) == 1
    world.market.block = last_block
    async with world.renter() as renter:
        await renter.orders()
        [said] = renter.notices()
        assert renter.placements.all() == []
    assert "signatures have expired" in said
    assert not world.market.placed


async def test_a_quote_for_the_same_says_that_the_first_will_be_placed(
    world: World, tree: Path, gate: Gate
) -> None:
    """When what stored it has ended; not while that places it."""
    async with killed(world) as renter:
        pending = await store(renter, tree)
        assert not any("earlier" in said for said in (await renter.quote([tree], CODE)).cautions)
    async with world.renter() as renter:
        [said] = [said for said in (await renter.quote([tree], CODE)).cautions if "earlier" in said]
    assert f"an earlier order {pending.order_id.hex()[:8]}" in said
    assert (
        f"Until block {pending.last_block} `grange orders ls` places it, and then you pay for both." in said
    )


async def test_another_command_leaves_what_a_living_one_places(world: World, tree: Path, gate: Gate) -> None:
    """Neither the same process nor another one places it besides, nor says that its time is over."""
    async with world.renter() as renter:
        pending = await store(renter, tree)
        block, world.market.block = world.market.block, world.market.block + LIFE_BLOCKS
        assert await renter.orders() == []
        assert renter.notices() == []
        world.market.block = block
        assert await renter.orders() == []
        async with world.renter() as other:
            assert await other.orders() == []
            assert other.notices() == []
        assert gate.waiting == 1
        gate.opened.set()
        await pending.placed()
    assert len(world.market.placed) == 1


async def test_what_was_sent_before_the_process_ended_is_not_placed_twice(world: World, tree: Path) -> None:
    """The transaction got into a block that the process did not see any more."""

    async def end() -> None:
        raise MemoryError

    world.market.after_mined.append(end)
    async with killed(world) as renter:
        pending = await store(renter, tree)
        with pytest.raises(MemoryError):
            await pending.placed()
    async with world.renter() as renter:
        [known] = await renter.orders()
        assert renter.notices() == []
    assert known.order.id == pending.order_id
    assert len(world.market.placed) == 1


async def test_anyone_who_is_cancelled_before_the_signatures_has_stored_nothing(
    world: World, tree: Path, gate: Gate
) -> None:
    asked = asyncio.Event()

    def tell(event: ProgressEvent) -> None:
        if event == Step(what="Asking for acceptances"):
            asked.set()

    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        storing = asyncio.create_task(renter.store(quote, tell))
        await asked.wait()
        storing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await storing
        assert renter.placements.all() == []
    assert gate.waiting == 0


async def test_one_that_stops_waiting_for_a_block_has_stored_it(world: World, tree: Path, gate: Gate) -> None:
    async with world.renter() as renter:
        pending = await store(renter, tree)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await pending.placed()
        gate.opened.set()
        await pending.placed()
    assert len(world.market.placed) == 1


async def test_errors_before_the_signatures_are_those_of_a_put(world: World, tree: Path) -> None:
    """Farmers that refuse, files that change, a quote that was used: nothing is pending then."""
    async with world.renter() as renter:
        used = await renter.quote([tree], CODE)
        await (await renter.store(used)).placed()
        with pytest.raises(QuoteUsed):
            await renter.store(used)
        changed = await renter.quote([tree], CODE)
        os.utime(tree / "zero", ns=(5, 5))
        with pytest.raises(SourceChanged):
            await renter.store(changed)
        for farmer in world.farmers[:6]:
            farmer.behaviour.accept_status = 409
        with pytest.raises(NotEnoughFarmers):
            await store(renter, tree)
    assert len(world.market.placed) == 1


async def test_files_that_change_while_they_are_read_are_not_acknowledged(world: World, tree: Path) -> None:
    """All farmers sign, but what they have is not what the manifest says."""
    for farmer in world.farmers:

        def accept(farmer: FakeFarmer, fields: dict[str, Any]) -> dict[str, Any]:
            os.utime(tree / "zero", ns=(5, 5))
            return honest(farmer, fields)

        farmer.behaviour.acceptance = accept
    async with world.renter() as renter:
        with pytest.raises(SourceChanged, match="zero"):
            await store(renter, tree)
    assert not world.market.placed


async def test_a_farmer_that_the_market_refuses_afterwards_is_replaced(
    world: World, tree: Path, gate: Gate
) -> None:
    """The order is placed with another, and meanwhile what was acknowledged stays written down."""
    async with world.renter() as renter:
        pending = await store(renter, tree)
        bad, seen = pending.farmers[0], []

        def refuse() -> None:
            raise TransactionReverted("place", "StakeTooSmall", {"farmer": bad})

        world.market.failures.append(refuse)
        for farmer in world.farmers:

            def accept(farmer: FakeFarmer, fields: dict[str, Any]) -> dict[str, Any]:
                seen.append([one.is_acknowledged for one in renter.placements.all()])
                return honest(farmer, fields)

            farmer.behaviour.acceptance = accept
        gate.opened.set()
        stored = await pending.placed()
    assert bad not in {slot.farmer for slot in stored.order.slots}
    assert seen == [[True]]


async def test_money_that_orders_on_their_way_will_take_is_not_spent_twice(
    world: World, tree: Path, gate: Gate
) -> None:
    """A quote counts it as spent, and waits for them where it would be too little."""
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        account = world.identity.wallet.address
        world.market.wallets[account] = quote.cost * 5 // 2
        pending = await renter.store(quote)
        second = await renter.quote([tree], CODE)
        assert second.missing == second.cost
        await renter.store(second)
        steps: list[ProgressEvent] = []

        def open_gate(event: ProgressEvent) -> None:
            steps.append(event)
            if event == Step(what="Waiting until earlier orders are placed"):
                gate.opened.set()

        with pytest.raises(NotEnoughMoney):
            await renter.quote([tree], CODE, open_gate)
        assert gate.opened.is_set()
        await pending.placed()
    assert len(world.market.placed) == 2


async def test_a_crash_is_told_apart_from_an_attempt_of_a_put(world: World, tree: Path, gate: Gate) -> None:
    """`put` acknowledges nothing before the order is placed: when it is killed, no other command pays."""
    async with world.renter() as renter:
        putting = asyncio.create_task(renter.put(await renter.quote([tree], CODE)))
        await gate.reached.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
    gate.opened.set()
    async with world.renter() as renter:
        [noted] = renter.placements.all()
        assert not noted.is_acknowledged
        assert await renter.orders() == []
    assert not world.market.placed


async def test_several_at_once_are_placed_on_a_chain(town: Town, tmp_path: Path) -> None:
    """The same money and the same account: each has its own transaction, and all are listed in the end."""
    async with Renter.open(town.config, policy=CALM) as renter:
        quotes = []
        for number in range(3):
            file = tmp_path / f"file-{number}"
            file.write_bytes(bytes([number]) * 1024)
            quotes.append(await renter.quote([file], TOWN_CODE))
        pending = await asyncio.gather(*map(renter.store, quotes))
        stored = await asyncio.gather(*(one.placed() for one in pending))
        listed = {known.order.id: known.name for known in await renter.orders()}
    assert len({one.receipt.tx_hash for one in stored}) == 3
    assert listed == {quote.order: f"file-{number}" for number, quote in enumerate(quotes)}


async def test_what_failed_with_a_full_disk_is_not_placed_by_the_next_command(
    world: World, tree: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it failed can't be written down: so what is written down goes."""
    world.market.failures.append(ChainUnavailable("http://chain", "connection refused"))
    async with world.renter() as renter:
        pending = await store(renter, tree)

        def refuse(_: Placement) -> None:
            raise HomeForgetful("no space left on device")

        monkeypatch.setattr(renter.placements, "note", refuse)
        gate.opened.set()
        with pytest.raises(ChainUnavailable):
            await pending.placed()
    await assert_not_placed(world)


async def test_what_failed_by_a_mistake_of_ours_is_not_placed_by_the_next_command(
    world: World, tree: Path, gate: Gate
) -> None:
    """Anyone who was told may have stored it again, whatever the error was."""
    world.market.failures.append(ZeroDivisionError())
    gate.opened.set()
    async with world.renter() as renter:
        pending = await store(renter, tree)
        with pytest.raises(ZeroDivisionError):
            await pending.placed()
    await assert_not_placed(world)


async def test_one_that_fails_while_another_command_looks_at_it_is_not_placed(
    world: World, tree: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other had read that it is signed for; then its process was told that it failed, and ended."""
    world.market.failures.append(ChainUnavailable("http://chain", "connection refused"))
    async with world.renter() as renter, world.renter() as other:
        pending = await store(renter, tree)
        listed = other.placements.all()
        gate.opened.set()
        with pytest.raises(ChainUnavailable):
            await pending.placed()
        monkeypatch.setattr(other.placements, "all", lambda: listed)
        assert await other.orders() == []
        assert other.notices() == []
    assert not world.market.placed


async def assert_not_placed(world: World) -> None:
    async with world.renter() as renter:
        assert await renter.orders() == []
        assert renter.notices() == []
    assert not world.market.placed

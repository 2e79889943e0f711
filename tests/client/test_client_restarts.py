"""Farmers that restart while something is being stored with them."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from client_fakes import PARAMETERS, World
from yarl import URL

from grange.peer import Peer
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import FarmerReplaced, ProgressEvent
from grange.transfer.push import MAX_RECOUNTS
from grange.transfer.retry import RetryPolicy, SlowRule
from grange_client.orders.plan import StoreOptions

CODE = StoreOptions(k=2, n=4, epochs=5)


class Restart:
    """A farmer that stops, and is there again after so many pauses of those that wait for it."""

    def __init__(self, world: World, number: int, *, pauses: int = 20) -> None:
        self.farmer = world.farmer(number)
        self.port = URL(world.market.known[number - 1].endpoint).port or 0
        self.pauses = pauses
        self.now = 0.0
        self.restarted = False

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.pauses -= 1
        if self.pauses == 0:
            await self.farmer.start(self.port)
            self.restarted = True

    def count_pauses(self, world: World) -> None:
        """Of all that wait for a farmer from now on."""
        world.policy = replace(world.policy, clock=lambda: self.now, sleep=self.sleep)


def four_only(world: World) -> None:
    for number in (5, 6, 7, 8):
        world.change(number, lapsed=True)


def count_puts(world: World) -> int:
    return sum(farmer.calls.count("put") for farmer in world.farmers)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(9 << 20))
    return path


async def test_a_put_whose_farmer_restarts_goes_on(
    world: World, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no spare left it is waited for, and what it has already is not sent again."""
    four_only(world)
    restart = Restart(world, 2)
    restart.count_pauses(world)
    put_piece, alone, taken = Peer.put_piece, asyncio.Lock(), list[int]()

    async def stopping(peer: Peer, *piece: Any) -> None:
        if peer.farmer.id != restart.farmer.id:
            await put_piece(peer, *piece)
            return
        async with alone:
            # No other piece is on its way when it stops: whether that one arrived would be chance.
            await put_piece(peer, *piece)
            taken.append(1)
            if len(taken) == 2:
                await restart.farmer.stop()

    monkeypatch.setattr(Peer, "put_piece", stopping)
    async with world.renter() as renter:
        quote = await renter.quote([file], CODE)
        assert quote.geometry.segments > 3
        seen: list[ProgressEvent] = []
        await renter.put(quote, seen.append)
    assert restart.restarted
    assert not [one for one in seen if isinstance(one, FarmerReplaced)]
    assert count_puts(world) == 4 * quote.geometry.segments


async def test_a_farmer_that_lost_pieces_in_a_crash_gets_those_again(
    world: World, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so when it is asked for its acceptance; only what its list does not have is sent."""
    four_only(world)
    crashed = world.farmer(3)
    accept = Peer.accept
    lost: list[int] = []

    async def crash_before(peer: Peer, *request: Any) -> Any:
        if peer.farmer.id == crashed.id and not lost:
            [held] = crashed.pieces.values()
            lost.extend([0, 2])
            for piece in lost:
                del held[piece]
        return await accept(peer, *request)

    monkeypatch.setattr(Peer, "accept", crash_before)
    async with world.renter() as renter:
        quote = await renter.quote([file], CODE)
        stored = await renter.put(quote)
    assert crashed.id in {slot.farmer for slot in stored.order.slots}
    assert count_puts(world) == 4 * quote.geometry.segments + len(lost)


async def test_a_farmer_that_always_misses_pieces_is_given_up(
    world: World, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs a bounded number of further uploads, and then a spare has its place."""
    async with world.renter() as renter:
        quote = await renter.quote([file], CODE)
        bad = world.farmer(quote.chosen[0].farmer.id)
        accept = Peer.accept

        async def losing(peer: Peer, *request: Any) -> Any:
            if peer.farmer.id == bad.id:
                bad.pieces.clear()
            return await accept(peer, *request)

        monkeypatch.setattr(Peer, "accept", losing)
        stored = await renter.put(quote)
    assert bad.id not in {slot.farmer for slot in stored.order.slots}
    assert bad.calls.count("put") == quote.geometry.segments * (1 + MAX_RECOUNTS)


async def test_a_farmer_that_does_not_come_back_ends_the_put_after_a_minute(world: World, file: Path) -> None:
    four_only(world)
    restart = Restart(world, 2, pauses=10**9)
    world.policy = RetryPolicy(slow_to_store=SlowRule(floor_seconds=60, factor=8))
    restart.count_pauses(world)
    async with world.renter() as renter:
        quote = await renter.quote([file], CODE)
        await restart.farmer.stop()
        with pytest.raises(NotEnoughFarmers) as raised:
            await renter.put(quote)
    assert "farmer 2" in raised.value.failures
    assert restart.now >= 60


async def test_an_extension_waits_for_a_farmer_that_restarts(world: World, file: Path) -> None:
    """With nobody to step in it is asked for its acceptance until it is there again; nothing is moved."""
    four_only(world)
    restart = Restart(world, 2)
    restart.count_pauses(world)
    async with world.renter() as renter:
        order = (await renter.put(await renter.quote([file], CODE))).order
        world.market.block = (order.end - 2) * PARAMETERS.epoch_blocks
        quote = await renter.quote_extension(order, None)
        await restart.farmer.stop()
        extended = (await renter.extend(quote)).order
    assert restart.restarted
    assert [slot.farmer for slot in extended.slots] == [slot.farmer for slot in order.slots]

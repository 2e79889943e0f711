"""A drive from the phrase alone, on an empty machine: all that is live, by any device and at any moment, in
requests that go with what is live, and not hidden by a device in foreign hands."""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
from client.packs.pack_samples import contents_of, in_thread, placed, sealed
from client.test_drive_session import add_all, read_all, session
from client_fakes import World, without_old_logs

from grange.chain import Event, EventFilter
from grange.types import Epoch, OrderId
from grange_client.drive.chunk import ChunkKey, SealedChunk
from grange_client.drive.journal import DroppedPack, PackDescriptor, PublishedCommit, Record
from grange_client.drive.keys import DriveSecret
from grange_client.drive_session import DriveSession
from grange_client.orders.plan import StoreOptions
from grange_client.packs.spool_file import SpooledPack

SHOWN_BLOCKS = 150
"""So many of the newest blocks an endpoint shows that has pruned the others."""
LONG = StoreOptions(k=2, n=4, epochs=80)
TWO_DAYS = StoreOptions(k=2, n=4, epochs=13)
"""An order that runs for 140 to 210 blocks."""
DAY_BLOCKS = 110
MAX_BLOCK = (1 << 48) - 1
MAX_EPOCH = (1 << 32) - 1


def commit_key(number: int) -> ChunkKey:
    return ChunkKey(b"c" + number.to_bytes(31))


async def publish(
    drive: DriveSession, number: int, more: Collection[Record] = (), *, options: StoreOptions = LONG
) -> list[SealedChunk]:
    """A pack with a commit of this number, which needs two chunks."""
    chunks = sealed(drive.keys, contents_of(2, 2000, seed=number))
    async with drive.writing(options, device="laptop") as writer:
        await in_thread(lambda: add_all(writer, chunks))
        await writer.publish([PublishedCommit(key=commit_key(number)), *more])
    return chunks


def at_once(*drives: DriveSession) -> None:
    """Have the next packs of some devices placed when all of them are written."""
    written = asyncio.Barrier(len(drives))

    async def place(drive: DriveSession, pack: SpooledPack, **options: Any) -> Any:
        await written.wait()
        del drive.__dict__["place"]
        return await drive.place(pack, **options)

    for drive in drives:
        drive.__dict__["place"] = MethodType(place, drive)


async def known_after(world: World, home: Path, chunks: list[list[SealedChunk]]) -> set[ChunkKey]:
    """The live commits as an empty machine finds them, and whether all content comes back."""
    async with session(world, home) as drive:
        synced = await drive.sync()
        assert not synced.recovery.missing
        for number, some in enumerate(chunks, 1):
            assert await read_all(drive, some) == contents_of(2, 2000, seed=number)
        return set(synced.state.live_commits.values())


async def test_two_that_publish_at_once_are_both_found_without_old_logs(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither journal names the other pack. Both orders are among the newest, and each leads to what was
    before. The next journal names both, so its order alone leads to all."""
    async with session(world) as one, session(world, tmp_path / "two") as two:
        await one.sync(is_new=True)
        chunks = [await publish(one, 1)]
        world.market.block += 2 * SHOWN_BLOCKS
        await two.sync()
        at_once(one, two)
        chunks += await asyncio.gather(publish(one, 2), publish(two, 3))
        states = [one.catalog.state(), two.catalog.state()]
        assert all(len(state.live_commits) == 2 for state in states), "neither has seen the other"
        with monkeypatch.context() as pruned:
            without_old_logs(world, world.market.block - SHOWN_BLOCKS, pruned)
            assert await known_after(world, tmp_path / "new", chunks) == set(map(commit_key, (1, 2, 3)))

        world.market.block += 2 * SHOWN_BLOCKS
        chunks.append(await publish(two, 4))
    with monkeypatch.context() as pruned:
        without_old_logs(world, world.market.block - SHOWN_BLOCKS, pruned)
        assert await known_after(world, tmp_path / "newer", chunks) == set(map(commit_key, (1, 2, 3, 4)))
        async with world.renter(tmp_path / "newer") as renter:
            assert len(await renter.orders()) == 1, "what else is there is known by its journal"


async def after_days(world: World, days: int, number: int) -> DriveSecret:
    """A drive with a pack a day, in which each checkpoint drops what is over; two are live in the end."""
    secret = DriveSecret.from_phrase(world.identity.secret, number)
    packs: list[OrderId] = []
    for day in range(1, days + 1):
        world.market.block += DAY_BLOCKS
        async with session(world, secret=secret) as drive:
            synced = await drive.sync(is_new=True)
            over = packs[-2:-1]
            _, records = synced.state.next_journal(synced.head.epoch, drop=over, is_checkpoint=True)
            chunks = sealed(drive.keys, contents_of(2, 2000, seed=day))
            said = [*records, PublishedCommit(key=commit_key(day))]
            args = drive.renter, drive.spool, drive.keys, chunks, said
            done = await placed(*args, drive=number, options=TWO_DAYS)
            drive.spool.remove(done.order.id)
            packs.append(done.order.id)
    return secret


async def asked_by_an_empty_machine(
    world: World, home: Path, secret: DriveSecret, days: int, patch: pytest.MonkeyPatch
) -> Counter[str]:
    """How often the market and farmers are asked what, until all that is live is known and read."""
    asked: Counter[str] = Counter()
    for farmer in world.farmers:
        farmer.calls.clear()
    order, logs = world.market.order, world.market.logs_matching

    async def counted_order(one: OrderId) -> Any:
        asked["order"] += 1
        return await order(one)

    async def counted_logs(first: int, last: int, filters: Sequence[EventFilter]) -> list[Event]:
        asked["logs"] += 1
        return await logs(first, last, filters)

    with patch.context() as counting:
        counting.setattr(world.market, "order", counted_order)
        counting.setattr(world.market, "logs_matching", counted_logs)
        async with session(world, home, secret=secret) as drive:
            synced = await drive.sync()
            assert len(synced.state.live_packs) == 2
            assert len(synced.state.live_commits) == days
            running = [one for one in drive.renter.catalog.orders() if one.order.end > synced.head.epoch]
            assert {one.drive for one in running} == {secret.number}, "no other command looks at them again"
            for day in (days - 1, days):
                chunks = sealed(drive.keys, contents_of(2, 2000, seed=day))
                assert await read_all(drive, chunks) == contents_of(2, 2000, seed=day)
    asked.update(call for farmer in world.farmers for call in farmer.calls)
    return asked


async def test_recovery_takes_what_is_live_and_not_what_was(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After four days and after nine, of which two packs are live: the same requests of each kind."""
    counts = []
    for number, days in enumerate((4, 9)):
        secret = await after_days(world, days, number)
        home = tmp_path / str(number)
        counts.append(await asked_by_an_empty_machine(world, home, secret, days, monkeypatch))
        world.market.block += 4 * DAY_BLOCKS
    assert counts[0] == counts[1]
    assert counts[0]["get"] <= 2 * 2 * 4, "an end, a journal and chunks of two packs, each from k farmers"


async def test_a_newest_pack_that_cannot_be_read_hides_no_other(world: World, tmp_path: Path) -> None:
    """It is named as missing, and what the others say is known."""
    async with session(world) as drive:
        await drive.sync(is_new=True)
        await publish(drive, 1)
        world.market.block += 2
        await publish(drive, 2)
    [first, newest] = sorted(world.market.events, key=lambda event: event.block)[
        :: len(world.market.events) - 1
    ]
    for farmer in world.farmers:
        for key in [one for one in farmer.pieces if one[1] == newest.args["order"].hex()]:
            del farmer.pieces[key]
    async with session(world, tmp_path / "new") as other:
        synced = await other.sync()
        assert set(synced.state.live_commits.values()) == {commit_key(1)}
        assert synced.unread == 1 or set(synced.recovery.missing) == {newest.args["order"]}
    assert first.args["order"] != newest.args["order"]


def fake_descriptor(real: PackDescriptor, number: int, **changes: Any) -> PackDescriptor:
    """A pack that is not there, kept by farmers that are."""
    pack = OrderId(b"fake" + number.to_bytes(28))
    return replace(real, pack=pack, order=pack, **changes)


async def test_what_a_hostile_device_says_of_packs_stops_nobody(world: World, tmp_path: Path) -> None:
    """It names packs that the market does not have, says that a pack is elsewhere by a block that has not
    come, and drops one that is paid for: others read and write as before, an empty machine too."""
    async with session(world) as drive:
        await drive.sync(is_new=True)
        chunks = [await publish(drive, 1)]
        [(pack, where)] = drive.catalog.state().packs.items()
    async with session(world, tmp_path / "thief") as thief:
        await thief.sync()
        far = replace(where, order=OrderId(b"nowhere" + bytes(25)), block=MAX_BLOCK, end=Epoch(MAX_EPOCH))
        fakes = [fake_descriptor(where, number, end=Epoch(MAX_EPOCH)) for number in range(20)]
        chunks.append(await publish(thief, 2, [far, DroppedPack(pack=pack), *fakes]))

    for farmer in world.farmers:
        farmer.calls.clear()
    async with session(world, tmp_path / "new") as new:
        synced = await new.sync()
        assert synced.absent == {fake.pack for fake in fakes}
        assert not synced.recovery.missing
        assert synced.state.packs[pack].order == where.order
        assert len(synced.state.live_packs) == 2
        assert sum(len(farmer.calls) for farmer in world.farmers) < 20, (
            "nobody is asked for what is not there"
        )
        for number, some in enumerate(chunks, 1):
            assert await read_all(new, some) == contents_of(2, 2000, seed=number)
        chunks.append(await publish(new, 3))
        said = synced.state.next_journal(synced.head.epoch, is_checkpoint=True)[1]
        named = {one.pack for one in said if isinstance(one, PackDescriptor)}
        assert named == synced.state.live_packs.keys()
    assert await known_after(world, tmp_path / "newer", chunks) == set(map(commit_key, (1, 2, 3)))

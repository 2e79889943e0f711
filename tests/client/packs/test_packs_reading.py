"""Reading packs from farmers that are honest, silent or lie; for money, and in the order of the bytes."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from client.packs.pack_samples import (
    contents_of,
    in_thread,
    keys_of,
    opened,
    placed,
    sealed,
    spool_of,
    wanted,
)
from client_fakes import World

from grange.errors import Misuse
from grange.peer import Budget, OverBudget, Peer
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import FarmerFailed, ProgressEvent
from grange.types import FarmerId, OrderId
from grange_client.drive.chunk import ChunkKey, ChunkType, SealedChunk
from grange_client.errors import BadChunk, ChunkMissing, ReadingEnded
from grange_client.orders.plan import StoreOptions
from grange_client.packs import chunks as chunks_module
from grange_client.packs import read_ahead as read_ahead_module
from grange_client.packs.placing import PlacedPack
from grange_client.renter import Renter

LONG = StoreOptions(k=2, n=4, epochs=5)


async def stored(
    world: World, renter: Renter, count: int = 12, size_bytes: int = 60_000, seed: int = 1
) -> tuple[list[bytes], list[SealedChunk], PlacedPack]:
    """Chunks in a pack that nothing on this machine has any more."""
    keys = keys_of(world)
    contents = contents_of(count, size_bytes, seed)
    made = sealed(keys, contents)
    spool = spool_of(world.home)
    done = await placed(renter, spool, keys, made, options=LONG)
    spool.remove(done.order.id)
    return contents, made, done


def reads(patch: pytest.MonkeyPatch) -> list[tuple[FarmerId, int]]:
    """What is asked of farmers from now on, and how many bytes."""
    asked: list[tuple[FarmerId, int]] = []
    read = Peer.read

    async def counted(peer: Peer, order: OrderId, slot: int, start: int, size_bytes: int) -> bytes:
        asked.append((peer.farmer.id, size_bytes))
        return await read(peer, order, slot, start, size_bytes)

    patch.setattr(Peer, "read", counted)
    return asked


async def test_a_chunk_costs_its_own_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand bytes in pieces of a megabyte are read as a thousand, rounded to leaves."""
    async with world.renter() as renter:
        contents, made, done = await stored(world, renter, 40, 60_000)
        assert done.order.geometry.piece_bytes >= 1 << 17
        async with opened(renter, keys_of(world)) as drive:
            await drive.fill(done.descriptor)
            asked = reads(monkeypatch)
            for content, chunk in zip(contents, made, strict=True):
                assert await drive.read(chunk.key) == content
            total = sum(map(len, (chunk.sealed for chunk in made)))
            assert total <= sum(size for _, size in asked) <= total + 2 * 512 * len(asked)


async def test_a_liar_is_found_out_and_the_content_is_right(world: World) -> None:
    """One that sends other bytes is named by its piece's path to the root, remembered, and asked no more."""
    async with world.renter() as renter:
        contents, made, done = await stored(world, renter)
        liar = done.order.slots[0].farmer
        seen: list[ProgressEvent] = []
        async with opened(renter, keys_of(world), watch=seen.append) as drive:
            await drive.fill(done.descriptor)
            world.farmer(liar).behaviour.spoil = lambda data: data[:-1] + bytes([data[-1] ^ 1])
            assert [await drive.read(one.key) for one in made] == contents
            calls = len(world.farmer(liar).calls)
            assert [await drive.read(one.key) for one in made] == contents
            assert len(world.farmer(liar).calls) == calls
        await renter.notes.settled()
        assert renter.reputations.records()[liar].lies == 1
    assert {e.farmer for e in seen if isinstance(e, FarmerFailed) and e.lied} == {liar}


async def test_one_that_lies_about_what_is_reconstructed_is_found_out(world: World) -> None:
    """Where the farmer of a column is gone, and one of those that make it up for it lies, it is that one."""
    async with world.renter() as renter:
        contents, made, done = await stored(world, renter)
        gone, liar = done.order.slots[0].farmer, done.order.slots[2].farmer
        async with opened(renter, keys_of(world)) as drive:
            await drive.fill(done.descriptor)
            await world.farmer(gone).stop()
            world.farmer(liar).behaviour.spoil = lambda data: bytes(len(data))
            assert [await drive.read(one.key) for one in made] == contents
        await renter.notes.settled()
        lies = {one: record.lies for one, record in renter.reputations.records().items() if record.lies}
    assert lies == {liar: 1}


@pytest.mark.parametrize("slots", [(0,), (0, 1), (1, 3)])
async def test_silent_farmers_are_made_up_for(world: World, slots: tuple[int, ...]) -> None:
    """Any k of n give it back."""
    async with world.renter() as renter:
        contents, made, done = await stored(world, renter)
        for slot in slots:
            await world.farmer(done.order.slots[slot].farmer).stop()
        async with opened(renter, keys_of(world)) as drive:
            await drive.fill(done.descriptor)
            assert [await drive.read(one.key) for one in made] == contents


async def test_fewer_than_k_are_too_few(world: World) -> None:
    """Said in words, with those that do not answer."""
    async with world.renter() as renter:
        _, made, done = await stored(world, renter)
        async with opened(renter, keys_of(world)) as drive:
            await drive.fill(done.descriptor)
            for slot in done.order.slots[:3]:
                await world.farmer(slot.farmer).stop()
            with pytest.raises(NotEnoughFarmers, match="1 of 4 farmers answer"):
                await drive.read(made[0].key)


async def test_what_was_stored_damaged_is_nobodys_lie(world: World) -> None:
    """A chunk that does not open though its pieces lead to the root is said to be damaged, and nobody is
    blamed."""
    async with world.renter() as renter:
        keys = keys_of(world)
        [sound] = sealed(keys, [b"text" * 100])
        broken = replace(sound, sealed=sound.sealed[:-1] + bytes([sound.sealed[-1] ^ 1]))
        spool = spool_of(world.home)
        done = await placed(renter, spool, keys, [broken])
        spool.remove(done.order.id)
        async with opened(renter, keys) as drive:
            await drive.fill(done.descriptor)
            with pytest.raises(BadChunk):
                await drive.read(sound.key)
        await renter.notes.settled()
        assert not [one for one in renter.reputations.records().values() if one.lies]


def _journal_alone(size_bytes: int) -> Callable[[bytes], bytes]:
    """Spoils what is read of the journal and of the end, which are short."""
    return lambda data: bytes(len(data)) if len(data) < size_bytes else data


async def test_a_journal_comes_through_a_liar(world: World) -> None:
    """One that spoils the end or the journal of a pack is found out too, and the catalog is filled."""
    async with world.renter() as renter:
        contents, made, done = await stored(world, renter)
        for slot in done.order.slots[:2]:
            world.farmer(slot.farmer).behaviour.spoil = _journal_alone(8000)
        async with opened(renter, keys_of(world)) as drive:
            await drive.fill(done.descriptor)
            assert set(drive.catalog.packs()) == {done.order.id}
            assert await drive.read(made[3].key) == contents[3]


async def test_reads_are_paid_within_a_budget(world: World) -> None:
    """What is read is paid by the byte; beyond the budget nothing is read."""
    async with world.renter() as renter:
        contents, made, done = await stored_for_sale(world, renter)
        budget = Budget(10**12)
        async with opened(renter, keys_of(world), budget=budget) as drive:
            await drive.fill(done.descriptor)
            assert await drive.read(made[0].key) == contents[0]
        price = PRICE * len(made[0].sealed) >> 30
        assert price <= budget.spent <= 2 * price
        async with opened(renter, keys_of(world), budget=Budget(1)) as drive:
            with pytest.raises(OverBudget):
                await drive.fill(done.descriptor)


PRICE = 1 << 40


async def stored_for_sale(world: World, renter: Renter) -> tuple[list[bytes], list[SealedChunk], PlacedPack]:
    world.sell(PRICE, vault=1 << 62)
    return await stored(world, renter)


async def test_many_chunks_come_in_the_order_in_which_they_stand(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neighbours are read together, each as often as it was named, and a pack once."""
    async with world.renter() as renter:
        contents, made, done = await stored(world, renter, 60, 3_000)
        by_key = dict(zip((one.key for one in made), contents, strict=True))
        async with opened(renter, keys_of(world)) as drive:
            await drive.fill(done.descriptor)
            asked = reads(monkeypatch)
            got = await drive.read_many([*reversed(made), made[7], made[7]])
        assert [one.key for one, _ in got].count(made[7].key) == 3
        assert all(by_key[one.key] == content for one, content in got)
        places = [one.key for one in made]
        order = [places.index(one.key) for one, _ in got]
        assert order == sorted(order)
        assert len(asked) <= 1 + done.order.geometry.blocks
        total = sum(len(one.sealed) for one in made)
        assert sum(size for _, size in asked) <= total + 1024 * len(asked)


async def test_many_chunks_come_though_one_farmer_lies(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not open of a long read is read again by itself; memory is bounded by what is ahead."""
    monkeypatch.setattr(read_ahead_module, "AHEAD_BYTES", 200_000)
    monkeypatch.setattr(chunks_module, "MAX_RANGE_BYTES", 150_000)
    async with world.renter() as renter:
        contents, made, done = await stored(world, renter, 20, 40_000)
        by_key = dict(zip((one.key for one in made), contents, strict=True))
        async with opened(renter, keys_of(world)) as drive:
            await drive.fill(done.descriptor)
            world.farmer(done.order.slots[1].farmer).behaviour.spoil = lambda data: bytes(len(data))
            got = await drive.read_many(made)
        assert {one.key: content for one, content in got} == by_key


async def test_a_chunk_in_two_packs_survives_one(world: World) -> None:
    """Where one pack cannot be read any more, the other gives it."""
    async with world.renter() as renter:
        contents, made, first = await stored(world, renter)
        _, _, second = await stored(world, renter)
        async with opened(renter, keys_of(world)) as drive:
            await drive.fill(second.descriptor, first.descriptor)
            for lost in (first, second):
                key = (world.identity.account.lower(), lost.order.id.hex())
                held = {
                    farmer.id: {one: farmer.pieces.pop(one) for one in list(farmer.pieces) if one[:2] == key}
                    for farmer in world.farmers
                }
                assert [await drive.read(one.key) for one in made] == contents
                got = await drive.read_many(made)
                assert [content for _, content in got] == contents
                for farmer in world.farmers:
                    farmer.pieces |= held[farmer.id]


async def test_what_is_in_the_spool_is_read_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as a pack lies on this machine nobody is asked for it."""
    async with world.renter() as renter:
        keys = keys_of(world)
        contents = contents_of(5, 9_000)
        made = sealed(keys, contents)
        spool = spool_of(world.home)
        done = await placed(renter, spool, keys, made)
        asked = reads(monkeypatch)
        async with opened(renter, keys, spool=spool) as drive:
            await drive.fill(done.descriptor)
            assert [await drive.read(one.key) for one in made] == contents
            assert [content for _, content in await drive.read_many(made)] == contents
            assert asked == []
            path = spool_of(world.home).get(done.order.id)
            assert path is not None
            path.path.write_bytes(bytes(path.path.stat().st_size))
            assert await drive.read(made[1].key) == contents[1]
            assert asked


async def test_a_chunk_that_is_nowhere_is_said(world: World) -> None:
    """By its kind, for one and for many; and one that is shared where this device has no key for it."""
    nowhere = ChunkKey(bytes(32))
    async with world.renter() as renter, opened(renter, keys_of(world)) as drive:
        with pytest.raises(ChunkMissing, match="tree chunk"):
            await drive.read(nowhere, ChunkType.TREE)
        got = await in_thread(lambda: list(drive.chunks.fetch(wanted([replace_key(nowhere)]))))
        assert [type(one.error) for one in got] == [ChunkMissing]


def replace_key(key: ChunkKey) -> SealedChunk:
    return SealedChunk(type=ChunkType.DATA, key=key, sealed=b"", compressor_failed=False)


async def test_an_event_loop_does_not_wait_for_itself(world: World) -> None:
    """Reading in its own thread is refused, instead of standing still."""
    async with world.renter() as renter:
        _, made, done = await stored(world, renter, 2, 1000)
        async with opened(renter, keys_of(world)) as drive:
            await drive.fill(done.descriptor)
            with pytest.raises(Misuse):
                drive.chunks.read(ChunkType.DATA, made[0].key)


async def test_closing_ends_what_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits for a slow farmer gets an error when the drive is closed, and later ones too."""
    asked = asyncio.Event()

    async def never(*_: object) -> bytes:
        asked.set()
        return await asyncio.Event().wait() and b""

    async with world.renter() as renter:
        _, made, done = await stored(world, renter, 2, 1000)
        async with opened(renter, keys_of(world)) as drive:
            await drive.fill(done.descriptor)
            monkeypatch.setattr(Peer, "read", never)
            reading = asyncio.create_task(drive.read(made[0].key))
            await asked.wait()
            drive.packs.close()
            with pytest.raises(ReadingEnded):
                await reading
            with pytest.raises(ReadingEnded):
                await drive.read(made[1].key)

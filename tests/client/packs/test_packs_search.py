"""Which orders are packs: told by their ends, once, and a wrong key is not an empty drive."""

from pathlib import Path

import pytest
from client.packs.pack_samples import (
    CODE,
    contents_of,
    keys_of,
    opened,
    placed,
    sealed,
    spool_of,
)
from client_fakes import World

from grange.peer import Peer
from grange.seal import RecoverySecret
from grange_client.drive.chunk import ChunkKey
from grange_client.drive.journal import PublishedCommit
from grange_client.drive.keys import DriveKeys, DriveSecret
from grange_client.packs.placing import PlacedPack
from grange_client.packs.search import drives_of_phrase, drives_with_keys
from grange_client.renter import Renter


async def packed(world: World, renter: Renter, number: int, seed: int = 1) -> PlacedPack:
    """A pack of a drive, of which this machine keeps nothing."""
    keys = keys_of(world, number)
    spool = spool_of(world.home)
    done = await placed(renter, spool, keys, sealed(keys, contents_of(2, 2000, seed)), drive=number)
    spool.remove(done.order.id)
    return done


def refuse_reads(patch: pytest.MonkeyPatch) -> None:
    """Nobody is asked for anything from now on."""

    async def refused(*_: object) -> bytes:
        raise AssertionError("a farmer is asked")

    patch.setattr(Peer, "read", refused)


async def test_an_empty_machine_finds_the_packs_of_each_drive(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among packs of two drives and what `put` stored; what an order is, is read once."""
    async with world.renter() as renter:
        main = [await packed(world, renter, 0, seed) for seed in (1, 2)]
        other = await packed(world, renter, 3)
        await renter.put(await renter.quote([tree], CODE))
    whose = drives_of_phrase(world.identity.secret)
    async with world.renter(tmp_path / "new") as renter:
        await renter.sync()
        found = await renter.pack_search.find(0, whose)
        assert [order.id for order in found.packs] == [one.order.id for one in reversed(main)]
        assert len(found.foreign) == 1
        assert not found.unread
    refuse_reads(monkeypatch)
    async with world.renter(tmp_path / "new") as renter:
        await renter.sync()
        search = renter.pack_search
        assert (await search.find(0, whose)).packs == found.packs
        assert [order.id for order in (await search.find(3, whose)).packs] == [other.order.id]
        newest = await search.find(0, whose, only_newest=True)
        assert [order.id for order in newest.packs] == [main[1].order.id]
        rest = await search.find(0, whose, known={main[1].order.id})
        assert [order.id for order in rest.packs] == [main[0].order.id]


async def test_a_wrong_key_is_not_an_empty_drive(world: World, tmp_path: Path) -> None:
    """One that opens none of the account's orders finds them as foreign; an account without orders has
    nothing."""
    wrong = DriveKeys(DriveSecret.from_phrase(RecoverySecret(secret=bytes(32)), 0))
    async with world.renter() as renter:
        await renter.sync()
        nothing = await renter.pack_search.find(0, drives_with_keys({0: wrong}))
        assert (nothing.packs, nothing.foreign) == ((), ())
        done = await packed(world, renter, 0)
    async with world.renter(tmp_path / "new") as renter:
        await renter.sync()
        search = renter.pack_search
        found = await search.find(0, drives_with_keys({0: wrong}))
        assert (found.packs, [one.id for one in found.foreign]) == ((), [done.order.id])
        right = await search.find(1, drives_with_keys({1: keys_of(world, 0)}))
        assert [one.id for one in right.packs] == [done.order.id]


async def test_a_farmer_cannot_hide_a_pack(world: World, tmp_path: Path) -> None:
    """Where the end of a pack is told wrong, its piece is compared with the root; one that cannot be read is
    named."""
    async with world.renter() as renter:
        done = await packed(world, renter, 0)
    whose = drives_of_phrase(world.identity.secret)
    for slot in done.order.slots[:2]:
        world.farmer(slot.farmer).behaviour.spoil = lambda data: bytes(len(data))
    async with world.renter(tmp_path / "one") as renter:
        await renter.sync()
        found = await renter.pack_search.find(0, whose)
        assert [one.id for one in found.packs] == [done.order.id]
    for farmer in world.farmers:
        farmer.behaviour.get_status = 404
    async with world.renter(tmp_path / "two") as renter:
        await renter.sync()
        found = await renter.pack_search.find(0, whose)
        assert (found.packs, found.foreign, list(found.unread)) == ((), (), [done.order.id])


async def test_a_list_of_orders_shows_packs_for_what_they_are(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ls` of a home that never opened the drive says which drive a pack is of, and nothing is unreadable."""
    async with world.renter() as renter:
        await packed(world, renter, 2)
    async with world.renter(tmp_path / "new") as renter:
        [known] = await renter.orders()
        assert (known.drive, known.name, known.title) == (2, None, "pack of drive 2")
        assert renter.notices() == []
    refuse_reads(monkeypatch)
    async with world.renter(tmp_path / "new") as renter:
        [known] = await renter.orders()
        assert known.drive == 2


async def test_the_newest_pack_leads_to_those_that_the_chain_does_not_show(
    world: World, tmp_path: Path
) -> None:
    """Where old events are gone, the journal of the newest pack says where the older ones are."""
    keys, spool = keys_of(world), spool_of(world.home)
    contents = contents_of(4, 5000)
    made = sealed(keys, contents)
    first_key, second_key = ChunkKey(b"1" * 32), ChunkKey(b"2" * 32)
    async with world.renter() as renter:
        first = await placed(renter, spool, keys, made[:2], [PublishedCommit(key=first_key)])
        world.market.block += 100
        second = await placed(
            renter,
            spool,
            keys,
            made[2:],
            [first.descriptor, PublishedCommit(key=second_key)],
            checkpoint=first.order.id,
        )
    async with world.renter(tmp_path / "new", first_block=second.order.block) as renter:
        await renter.sync()
        found = await renter.pack_search.find(0, drives_of_phrase(world.identity.secret))
        assert [one.id for one in found.packs] == [second.order.id]
        async with opened(renter, keys) as drive:
            await drive.fill(second.descriptor)
            state = drive.catalog.state()
            assert set(state.live_commits.values()) == {first_key, second_key}
            assert state.packs[first.order.id] == first.descriptor
            assert [await drive.read(one.key) for one in made] == contents


async def test_a_pack_that_another_farmer_keeps_now_is_read_there(world: World, tmp_path: Path) -> None:
    """A journal's descriptor is older than a repair: who keeps the slots now is asked for."""
    keys, spool = keys_of(world), spool_of(world.home)
    contents = contents_of(3, 5000)
    made = sealed(keys, contents)
    async with world.renter() as renter:
        done = await placed(renter, spool, keys, made)
        spool.remove(done.order.id)
    old = done.order.slots[0].farmer
    new = next(one.id for one in world.farmers if one.id not in {slot.farmer for slot in done.order.slots})
    key = (world.identity.account.lower(), done.order.id.hex(), 0)
    world.farmer(new).pieces[key] = world.farmer(old).pieces.pop(key)
    world.market.block += 10
    world.market.repair(done.order.id, 0, new)
    async with world.renter(tmp_path / "new", first_block=world.market.block) as renter:
        await renter.sync()
        assert renter.catalog.orders() == []
        async with opened(renter, keys) as drive:
            await drive.fill(done.descriptor)
            world.farmer(new).calls.clear()
            assert [await drive.read(one.key) for one in made] == contents
            assert "get" in world.farmer(new).calls

"""A drive that is open: what one machine publishes another reads, and nothing is published in part."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from client.packs.pack_samples import CODE, contents_of, counting, in_thread, killed, sealed
from client_fakes import World

from grange.seal import RecoverySecret
from grange.types import Epoch
from grange_client.drive.backup.backup import Backup, BackupResult, Base
from grange_client.drive.chunk import ChunkKey, ChunkType, SealedChunk
from grange_client.drive.commit import unpack_commit
from grange_client.drive.journal import PublishedCommit, RetiredPack
from grange_client.drive.keys import DriveSecret
from grange_client.drive.leaning import LeaningTimes
from grange_client.drive.restore import RestoreResult, restore
from grange_client.drive_session import DriveSession, DriveWriter
from grange_client.errors import PackGone, WrongDriveKey
from grange_client.orders.plan import StoreOptions

COMMIT = ChunkKey(b"c" * 32)
LONG = StoreOptions(k=2, n=4, epochs=90)
ACCEPTED_BLOCKS = 500
"""Acceptances have lapsed after so many, and what is placed is buried."""


@asynccontextmanager
async def session(
    world: World, home: Path | None = None, *, secret: DriveSecret | None = None
) -> AsyncIterator[DriveSession]:
    home = home or world.home
    async with (
        world.renter(home) as renter,
        DriveSession.open(
            renter, home, secret or DriveSecret.from_phrase(world.identity.secret, 0)
        ) as opened,
    ):
        yield opened


def add_all(writer: DriveWriter, chunks: Sequence[SealedChunk]) -> None:
    for chunk in chunks:
        writer.add(chunk)


async def write(
    drive: DriveSession,
    contents: Sequence[bytes],
    *,
    max_pack_bytes: int = 1 << 30,
    options: StoreOptions = CODE,
) -> tuple[list[SealedChunk], int]:
    """Publish a commit that needs these, whatever it is; how many packs it took."""
    chunks = sealed(drive.keys, contents)
    async with drive.writing(options, device="laptop", max_pack_bytes=max_pack_bytes) as writer:
        await in_thread(lambda: add_all(writer, chunks))
        placed = await writer.publish([PublishedCommit(key=COMMIT)])
        return chunks, len(placed)


async def read_all(drive: DriveSession, chunks: Sequence[SealedChunk]) -> list[bytes]:
    return await in_thread(lambda: [drive.chunks.read(ChunkType.DATA, one.key) for one in chunks])


async def test_what_one_machine_publishes_another_reads(world: World, tmp_path: Path) -> None:
    """In one pack or in many; the commit is said by the last."""
    for number, most in enumerate((1 << 30, 50_000)):
        contents = contents_of(6, 20_000, seed=number)
        async with session(world) as drive:
            await drive.sync(is_new=True)
            chunks, packs = await write(drive, contents, max_pack_bytes=most)
            assert packs == (1 if most > 1 << 20 else 3)
        async with session(world, tmp_path / str(number)) as other:
            synced = await other.sync()
            assert set(synced.state.live_commits.values()) == {COMMIT}
            assert await read_all(other, chunks) == contents


async def test_files_come_back_as_they_were_scanned(world: World, tree: Path, tmp_path: Path) -> None:
    """A backup of a directory through packs; the second one sends what changed and relies on the first."""
    keys, base = list[ChunkKey](), None
    for text in (b"some words\n", b"other words\n"):
        (tree / "small.txt").write_bytes(text)
        async with session(world) as drive:
            await drive.sync(is_new=True)
            epoch = (await drive.renter.market.head()).epoch
            async with drive.writing(CODE, device="laptop") as writer:
                result = await in_thread(partial(back_up, drive, writer, tree, epoch, base))
                assert result.key is not None
                assert result.commit is not None
                keys.append(result.key)
                base = Base(key=result.key, commit=result.commit)
                relied_on = result.relied_on
                await writer.publish(result.records, relied_on=relied_on)
    assert len(relied_on) == 1

    async with session(world, tmp_path / "new") as other:
        synced = await other.sync()
        assert set(synced.state.live_commits.values()) == set(keys)
        assert list(synced.state.heads.values()) == keys[1:], "the first is the second's parent, and no head"
        for number, key in enumerate(keys):
            target = tmp_path / f"back-{number}"
            result = await in_thread(partial(restored, other, key, target))
            assert (target / "tree" / "small.txt").read_bytes() == (b"some words\n", b"other words\n")[number]
            data = (target / "tree" / "inner" / "data.bin").read_bytes()
            assert data == (tree / "inner" / "data.bin").read_bytes()
            assert result.files


def back_up(
    drive: DriveSession, writer: DriveWriter, tree: Path, epoch: Epoch, base: Base | None
) -> BackupResult:
    with Backup(
        keys=drive.keys, catalog=drive.catalog, reader=drive.chunks, sink=writer, after=epoch, base=base
    ) as backup:
        backup.put_path(bytes(tree), b"tree")
        return backup.finish(device="laptop")


def restored(drive: DriveSession, key: ChunkKey, target: Path) -> RestoreResult:
    commit = unpack_commit(drive.chunks.read(ChunkType.COMMIT, key))
    return restore(drive.chunks, commit.root, target, find=drive.catalog.find)


async def test_what_was_cut_short_is_published_by_the_next_command(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack that was whole goes on; nothing of it is sent twice, and what it publishes is there."""
    contents = contents_of(6, 20_000)
    sendings = counting(monkeypatch, stop_after=2)
    async with session(world) as drive:
        await drive.sync(is_new=True)
        await killed(write(drive, contents), sendings)
    assert not world.market.placed
    rest = counting(monkeypatch)
    async with session(world) as drive:
        await drive.sync(is_new=True)
        [placed] = await drive.resume()
        assert (await drive.sync()).state.live_commits
        assert await drive.resume() == []
        chunks = sealed(drive.keys, contents)
        assert await read_all(drive, chunks) == contents
    pieces = [*sendings.arrived, *rest.arrived]
    assert len(pieces) == len(set(pieces)) == placed.order.n * placed.order.geometry.segments
    world.market.block += 100
    async with session(world) as drive:
        await drive.resume()
    spool = world.home / "drives" / "0" / "spool"
    assert [one for one in spool.iterdir() if one.suffix in {".pack", ".json"}] == []


async def test_what_is_not_published_is_given_up(world: World, tmp_path: Path) -> None:
    """An error before the end leaves no commit, and nothing half written."""

    async def fail(drive: DriveSession) -> None:
        async with drive.writing(CODE, device="laptop") as writer:
            await in_thread(lambda: add_all(writer, sealed(drive.keys, [b"text"])))
            raise ZeroDivisionError

    async with session(world) as drive:
        await drive.sync(is_new=True)
        with pytest.raises(ZeroDivisionError):
            await fail(drive)
        assert list((world.home / "drives" / "0" / "spool").iterdir()) == []
    assert not world.market.placed


async def test_a_commit_does_not_rely_on_what_was_let_go(world: World, tmp_path: Path) -> None:
    """Another device retires a pack while this one stores what relies on it: it is told, and pays nothing."""
    async with session(world) as drive:
        await drive.sync(is_new=True)
        await write(drive, contents_of(2, 5000))
        [pack] = drive.catalog.state().packs
        async with session(world, tmp_path / "other") as other:
            await other.sync()
            async with other.writing(CODE, device="desktop") as writer:
                await writer.publish([RetiredPack(pack=pack)])
        placed = len(world.market.placed)
        async with drive.writing(CODE, device="laptop") as writer:
            await in_thread(lambda: add_all(writer, sealed(drive.keys, [b"new"])))
            with pytest.raises(PackGone):
                await writer.publish([PublishedCommit(key=COMMIT)], relied_on={pack})
    assert len(world.market.placed) == placed
    async with session(world) as drive:
        await drive.sync()
        assert await drive.resume() == []
    assert len(world.market.placed) == placed


async def test_a_wrong_key_is_told_apart_from_a_drive_that_is_not_there(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """What `put` stored is no drive; a pack that does not open is one, with another key."""
    wrong = DriveSecret.from_phrase(RecoverySecret(secret=bytes(32)), 0)
    async with world.renter() as renter:
        await renter.put(await renter.quote([tree], CODE))
    async with session(world, tmp_path / "empty") as drive:
        assert not (await drive.sync()).state.packs
    async with session(world) as drive:
        await drive.sync(is_new=True)
        await write(drive, [b"text"])
    async with session(world, tmp_path / "wrong", secret=wrong) as drive:
        drive._whose = lambda pack, check: 0 if check == drive.keys.check_value(pack) else None
        with pytest.raises(WrongDriveKey, match="do not open"):
            await drive.sync()


async def test_a_drive_without_news_asks_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known is not read again: the second run asks farmers for nothing."""
    async with session(world) as drive:
        await drive.sync(is_new=True)
        await write(drive, contents_of(2, 5000))
    for farmer in world.farmers:
        farmer.calls.clear()
    async with session(world) as drive:
        assert (await drive.sync()).state.live_commits
    assert not [call for farmer in world.farmers for call in farmer.calls]


async def test_a_commit_does_not_rely_on_what_others_may_let_go(world: World) -> None:
    """The laptop slept: what it relied on has so little time left that a keeper may drop it any moment."""
    async with session(world) as drive:
        await drive.sync(is_new=True)
        await write(drive, [b"text"])
        [(pack, where)] = drive.catalog.state().packs.items()
        parameters = world.market.parameters
        leaning = LeaningTimes.of_grid(parameters.grid_epochs).leaning_epochs
        world.market.block = (where.end - leaning) * parameters.epoch_blocks
        longer = StoreOptions(k=2, n=4, epochs=parameters.grid_epochs + leaning)
        placed = len(world.market.placed)
        async with drive.writing(longer, device="laptop") as writer:
            await in_thread(lambda: add_all(writer, sealed(drive.keys, [b"new"])))
            with pytest.raises(PackGone):
                await writer.publish([PublishedCommit(key=COMMIT)], relied_on={pack})
        assert where.end <= await drive.relies_after(), "the next run stores again what is in it"
        assert await drive.resume() == []
    assert len(world.market.placed) == placed


async def test_a_commit_does_not_rely_on_what_the_chain_took_back(world: World) -> None:
    """A reorg took the order of a pack that the catalog knows: nothing relies on it, and it is not found."""
    async with session(world) as drive:
        await drive.sync(is_new=True)
        chunks, _ = await write(drive, [b"text"], options=LONG)
        [pack] = drive.catalog.state().packs
        world.market.reorg(0)
        # So that nobody can place it again.
        world.market.block += ACCEPTED_BLOCKS
        async with drive.writing(LONG, device="laptop") as writer:
            await in_thread(lambda: add_all(writer, sealed(drive.keys, [b"new"])))
            with pytest.raises(PackGone):
                await writer.publish([PublishedCommit(key=COMMIT)], relied_on={pack})
        assert drive.catalog.find([chunks[0].id]) == {}


async def test_what_a_reorg_took_back_is_placed_again(world: World, tmp_path: Path) -> None:
    """However long nobody looked: a pack leaves the spool when the chain has it, not when it had it once."""
    async with session(world) as drive:
        await drive.sync(is_new=True)
        chunks, _ = await write(drive, [b"text"], options=LONG)
    world.market.reorg(0)
    world.market.block += ACCEPTED_BLOCKS
    async with session(world) as drive:
        await drive.sync(is_new=True)
        assert len(await drive.resume()) == 1
    async with session(world, tmp_path / "new") as other:
        assert set((await other.sync()).state.live_commits.values()) == {COMMIT}
        assert await read_all(other, chunks) == [b"text"]


async def test_a_pack_whose_order_is_over_leaves_the_spool_without_a_word(world: World) -> None:
    """Nobody ran for long: it was placed, is over and was closed. It is not placed again, and nobody is told
    that something was given up."""
    said: list[object] = []
    async with session(world) as drive:
        await drive.sync(is_new=True)
        await write(drive, [b"text"])
        [where] = drive.catalog.state().packs.values()
        world.market.block = (where.end + 1) * world.market.parameters.epoch_blocks + ACCEPTED_BLOCKS
        world.market._emit(
            "OrderClosed",
            {"order": where.order, "renter": world.market.renter, "refund": 0, "compensation": 0},
        )
        placed = len(world.market.placed)
        drive.watch = said.append
        assert await drive.resume() == []
        assert drive.spool.claim_all() == []
    assert said == []
    assert len(world.market.placed) == placed

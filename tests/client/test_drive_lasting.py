"""What a command decided holds until its commit is there: by the same run, or by the one that goes on."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from client.packs.pack_samples import CODE, contents_of, counting, in_thread, killed, sealed, spool_of
from client.test_drive_session import (
    COMMIT,
    LONG,
    add_all,
    back_up,
    read_all,
    restored,
    session,
    write,
)
from client_fakes import World

from grange.peer import Peer, RateLimit
from grange.peer.rate_limit import LEAST_BYTES_PER_SECOND
from grange.transfer.events import ProgressEvent, Step
from grange.types import OrderId
from grange_client import drive_backup
from grange_client.drive.backup.backup import BackupResult, Base
from grange_client.drive.chunk import ChunkKey
from grange_client.drive.journal import PublishedCommit, Record, RetiredPack
from grange_client.drive_backup import BackupRequest, Source
from grange_client.drive_session import DriveSession, DriveWriter
from grange_client.errors import NotEnoughMoney, OverSpendingLimit, PackGone
from grange_client.orders.plan import StoreOptions
from grange_client.packs.copying import copy_chunks


async def back_up_and_publish(
    drive: DriveSession,
    tree: Path,
    base: Base | None = None,
    *,
    before: Callable[[BackupResult], Awaitable[object]] | None = None,
    max_spend: int | None = None,
    options: StoreOptions = LONG,
) -> tuple[Base, BackupResult, DriveWriter]:
    """One backup as a command makes it; something may happen between its end and its commit."""
    after = await drive.relies_after()
    async with drive.writing(options, device="laptop", max_spend=max_spend) as writer:
        result = await in_thread(partial(back_up, drive, writer, tree, after, base))
        if before is not None:
            await before(result)
        await writer.publish(result.records, relied_on=result.relied_on)
    assert result.key is not None
    assert result.commit is not None
    return Base(key=result.key, commit=result.commit), result, writer


async def publish_elsewhere(world: World, home: Path, records: Sequence[Record]) -> None:
    async with session(world, home) as other:
        await other.sync()
        async with other.writing(LONG, device="desktop") as writer:
            await writer.publish(records)


def words(events: Sequence[ProgressEvent]) -> str:
    return "\n".join(one.what for one in events if isinstance(one, Step))


def noting_pieces(patch: pytest.MonkeyPatch) -> list[tuple[int, OrderId, int, int]]:
    """Farmer, order, slot and number of each piece that is sent from now on."""
    sent: list[tuple[int, OrderId, int, int]] = []
    put_piece = Peer.put_piece

    async def noted(peer: Peer, order: OrderId, slot: int, piece: int, *rest: bytes) -> None:
        await put_piece(peer, order, slot, piece, *rest)
        sent.append((peer.farmer.id, order, slot, piece))

    patch.setattr(Peer, "put_piece", noted)
    return sent


def assert_is_back(tree: Path, copy: Path) -> None:
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    for path in files:
        assert (copy / path.relative_to(tree)).read_bytes() == path.read_bytes()


def big_tree(tree: Path) -> Path:
    for number, content in enumerate(contents_of(8, 60_000)):
        (tree / f"photo-{number}").write_bytes(content)
    return tree


# What a commit relies on goes before it is there.


@pytest.mark.parametrize("when", ["before it is placed", "when all farmers have signed"])
async def test_what_goes_in_the_last_moment_is_stored_again_by_the_same_run(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """That alone, from farmers; the pack of the commit is not sent twice, and nothing of the old one is
    needed any more."""
    big_tree(tree)
    async with session(world) as drive:
        await drive.sync(is_new=True)
        base, _, _ = await back_up_and_publish(drive, tree)
        [old] = drive.catalog.state().packs
        (tree / "photo-0").unlink()
        (tree / "new").write_bytes(contents_of(1, 90_000, seed=9)[0])
        sent = noting_pieces(monkeypatch)

        async def drop(_: object = None) -> None:
            await publish_elsewhere(world, tmp_path / "other", [RetiredPack(pack=old)])

        if when.startswith("before"):
            new, result, writer = await back_up_and_publish(drive, tree, base, before=drop)
        else:
            sync, dropped = drive.sync, False

            async def late(*, is_new: bool = False) -> object:
                nonlocal dropped
                if not dropped:
                    dropped = True
                    await drop()
                return await sync(is_new=is_new)

            monkeypatch.setattr(drive, "sync", late)
            new, result, writer = await back_up_and_publish(drive, tree, base)
        assert result.relied_on == {old}
        again, last = writer.placed
        assert len(sent) == len(set(sent)), "nothing is sent twice"
        ours = {one.descriptor.pack: one.order for one in (again, last)}
        for pack, order in ours.items():
            assert sum(one[1] == pack for one in sent) == order.n * order.geometry.segments
        copied = {one.id for one in drive.catalog.chunks_of(again.descriptor.pack)}
        assert copied < {one.id for one in drive.catalog.chunks_of(old)}, (
            "that alone, without what was removed"
        )
    for farmer in world.farmers:
        for key in [key for key in farmer.pieces if key[1] == old.hex()]:
            del farmer.pieces[key]
    async with session(world, tmp_path / "new") as other:
        assert new.key in (await other.sync()).state.live_commits.values()
        await in_thread(partial(restored, other, new.key, tmp_path / "back"))
    assert_is_back(tree, tmp_path / "back" / "tree")


async def test_what_a_keeper_has_copied_is_relied_on_there(world: World, tree: Path, tmp_path: Path) -> None:
    """Nothing is stored again that is in another pack meanwhile."""
    big_tree(tree)
    async with session(world) as drive:
        await drive.sync(is_new=True)
        base, _, _ = await back_up_and_publish(drive, tree)
        [old] = drive.catalog.state().packs
        (tree / "new").write_bytes(b"one more")

        async def copy(result: BackupResult) -> None:
            async with session(world, tmp_path / "other") as other:
                await other.sync()
                async with other.writing(LONG, device="keeper") as keeper:

                    def all_of_it() -> None:
                        places = [
                            place
                            for chunk in other.catalog.chunks_of(old)
                            for place in other.catalog.find([chunk.id])[chunk.id]
                        ]
                        for one in copy_chunks(other.packs, places):
                            keeper.add(one)

                    await other.in_thread(all_of_it)
                    await keeper.publish([RetiredPack(pack=old)])

        new, _, writer = await back_up_and_publish(drive, tree, base, before=copy)
        assert len(writer.placed) == 1
    async with session(world, tmp_path / "new") as other:
        await other.sync()
        await in_thread(partial(restored, other, new.key, tmp_path / "back"))
    assert (tmp_path / "back" / "tree" / "photo-3").read_bytes() == (tree / "photo-3").read_bytes()


async def test_what_goes_and_is_nowhere_any_more_is_said(world: World, tree: Path, tmp_path: Path) -> None:
    """Then nothing is published, and the next run reads it from the disk."""
    big_tree(tree)
    async with session(world) as drive:
        await drive.sync(is_new=True)
        base, _, _ = await back_up_and_publish(drive, tree)
        [old] = drive.catalog.state().packs
        (tree / "new").write_bytes(b"one more")

        async def lose(_: object) -> None:
            await publish_elsewhere(world, tmp_path / "other", [RetiredPack(pack=old)])
            for farmer in world.farmers:
                for key in [key for key in farmer.pieces if key[1] == old.hex()]:
                    del farmer.pieces[key]

        drive.packs._near.clear()
        for path in (world.home / "drives" / "0" / "spool").iterdir():
            path.unlink()
        with pytest.raises(PackGone):
            await back_up_and_publish(drive, tree, base, before=lose)
        assert base.key in drive.catalog.state().live_commits.values()
        await drive.resume()
        new, result, _ = await back_up_and_publish(drive, tree, base)
        assert result.relied_on == frozenset()
    async with session(world, tmp_path / "new") as other:
        await other.sync()
        await in_thread(partial(restored, other, new.key, tmp_path / "back"))
    assert (tmp_path / "back" / "tree" / "photo-3").read_bytes() == (tree / "photo-3").read_bytes()


async def test_what_no_farmer_has_any_more_is_read_from_the_disk_by_the_same_run(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the command for a backup makes it; what both tries cost is within one limit."""
    big_tree(tree)
    request = BackupRequest(sources=[Source(place=b"tree", local=bytes(tree))])
    async with session(world) as drive:
        await drive.sync(is_new=True)
        await drive_backup.back_up(drive, request, options=LONG, device="laptop")
        [old] = drive.catalog.state().packs
        (tree / "new").write_bytes(b"one more")
        sync, is_lost = drive.sync, False

        async def late(*, is_new: bool = False) -> object:
            nonlocal is_lost
            if not is_lost:
                is_lost = True
                await publish_elsewhere(world, tmp_path / "other", [RetiredPack(pack=old)])
                for farmer in world.farmers:
                    for key in [key for key in farmer.pieces if key[1] == old.hex()]:
                        del farmer.pieces[key]
            return await sync(is_new=is_new)

        monkeypatch.setattr(drive, "sync", late)
        done = await drive_backup.back_up(drive, request, options=LONG, device="laptop", max_spend=10**18)
        assert done.made.relied_on == frozenset()
        assert len(done.placed) == 1
        assert await drive.resume() == []
    async with session(world, tmp_path / "new") as other:
        synced = await other.sync()
        key = done.made.result.key
        assert key in synced.state.heads.values()
        assert key is not None
        await in_thread(partial(restored, other, key, tmp_path / "back"))
    assert_is_back(tree, tmp_path / "back" / "tree")


async def test_of_a_pack_in_which_nobody_looked_all_is_stored_again(world: World, tmp_path: Path) -> None:
    """A long file that is as it was is in some packs, and which chunks it has there was not asked."""
    contents = contents_of(4, 20_000)
    async with session(world) as drive:
        await drive.sync(is_new=True)
        chunks, _ = await write(drive, contents, options=LONG)
        [old] = drive.catalog.state().packs
        await publish_elsewhere(world, tmp_path / "other", [RetiredPack(pack=old)])
        async with drive.writing(LONG, device="laptop") as writer:
            writer.rely_on_packs({old})
            placed = await writer.publish([PublishedCommit(key=COMMIT)], relied_on={old})
        assert len(placed) == 2
        copied = {one.id for one in drive.catalog.chunks_of(placed[0].descriptor.pack)}
        assert copied == {one.id for one in chunks}
        assert await read_all(drive, chunks) == contents


# What may be spent.


async def test_a_limit_is_for_all_packs_of_a_command(world: World) -> None:
    """What was placed before counts; what would go beyond is not sent."""
    contents = contents_of(6, 20_000)
    async with session(world) as drive:
        await drive.sync(is_new=True)
        chunks = sealed(drive.keys, contents)
        async with drive.writing(LONG, device="laptop", max_pack_bytes=50_000) as writer:
            await in_thread(lambda: add_all(writer, chunks))
            await writer.publish([PublishedCommit(key=COMMIT)])
            costs = [one.order.cost for one in writer.placed]
        assert len(costs) == 3
        assert all(costs)
        for most, count in ((4 * costs[0], 3), (5 * costs[0] // 2, 2), (costs[0] // 2, 0)):
            before = world.staged
            placed = len(world.market.placed)
            async with drive.writing(LONG, device="laptop", max_pack_bytes=50_000, max_spend=most) as writer:
                reached = pytest.raises(OverSpendingLimit, match="at most may be spent")
                with nullcontext() if count == 3 else reached:
                    await in_thread(partial(add_all, writer, chunks))
                    await writer.publish([PublishedCommit(key=COMMIT)])
                assert writer.spent <= most
            assert len(world.market.placed) - placed == count
            assert world.staged - before == 4 * count
            assert await drive.resume() == []


@pytest.mark.parametrize("is_enough", [True, False])
async def test_a_limit_survives_a_kill(
    world: World, monkeypatch: pytest.MonkeyPatch, is_enough: bool
) -> None:
    """The next command keeps to what the one that made the pack was allowed, and says so: where dearer
    farmers would step in, nobody is paid."""
    contents = contents_of(6, 20_000)
    seen: list[ProgressEvent] = []
    async with session(world) as drive:
        await drive.sync(is_new=True)
        _, _ = await write(drive, contents)
        cost = sum(order.cost for order in [one.order for one in await drive.renter.orders()])
    sendings = counting(monkeypatch, stop_after=2)

    async def limited(drive: DriveSession) -> None:
        async with drive.writing(CODE, device="laptop", max_spend=cost + cost // 2) as writer:
            await in_thread(lambda: add_all(writer, sealed(drive.keys, contents_of(6, 20_000, seed=5))))
            await writer.publish([PublishedCommit(key=COMMIT)])

    async with session(world) as drive:
        drive.renter.limits.upload.bytes_per_second = 1 << 40
        await killed(limited(drive), sendings)
    counting(monkeypatch)
    if not is_enough:
        plans = [one.plan for one in spool_of(world.home).claim_all() for _ in [one.held.close()]]
        [waiting] = [plan for plan in plans if plan.block is None]
        keepers = {farmer for farmer, _ in waiting.unfinished.keepers}
        for number, farmer in enumerate(world.market.known, 1):
            if number == min(keepers):
                world.farmer(number).behaviour.accept_status = 403
            else:
                offer = replace(farmer.offer, price_per_gib_epoch=farmer.offer.price_per_gib_epoch * 9)
                world.change(number, offer=offer)
    placed = len(world.market.placed)
    async with session(world) as drive:
        drive.watch = seen.append
        rates: list[int | None] = []
        place = drive.place

        async def noting(*rest: object, **more: object) -> object:
            rates.append(drive.renter.limits.upload.bytes_per_second)
            return await place(*rest, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(drive, "place", noting)
        done = await drive.resume()
        assert rates == [1 << 40]
        assert drive.renter.limits.upload.bytes_per_second is None
        assert "may cost" in words(seen)
        assert "a second" in words(seen)
        if is_enough:
            assert sum(one.order.cost for one in done) <= cost + cost // 2
            assert len(world.market.placed) == placed + 1
        else:
            assert done == []
            assert len(world.market.placed) == placed
            assert "given up" in words(seen)
            assert await drive.resume() == []


async def test_a_command_with_a_speed_of_its_own_goes_on_with_that(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sendings = counting(monkeypatch, stop_after=2)
    async with session(world) as drive:
        await drive.sync(is_new=True)
        drive.renter.limits.upload.bytes_per_second = LEAST_BYTES_PER_SECOND
        await killed(write(drive, contents_of(2, 20_000)), sendings)
    counting(monkeypatch)
    async with session(world) as drive:
        await drive.sync(is_new=True)
        drive.renter.limits.upload.bytes_per_second = 1 << 40
        rates: list[int | None] = []
        at = RateLimit.at

        def noting(limit: RateLimit, rate: int | None) -> object:
            rates.append(rate)
            return at(limit, rate)

        monkeypatch.setattr(RateLimit, "at", noting)
        assert len(await drive.resume()) == 1
        assert rates == [None]


# What cannot be placed now.


async def test_a_pack_that_nobody_takes_now_waits_and_holds_up_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said; what another command left goes on, and so does the next one."""
    seen: list[ProgressEvent] = []
    wide = StoreOptions(k=2, n=len(world.farmers), epochs=30)
    async with session(world) as drive:
        await drive.sync(is_new=True)
        for options in (wide, CODE):
            sendings = counting(monkeypatch, stop_after=2)
            await killed(write(drive, contents_of(2, 20_000), options=options), sendings)
    counting(monkeypatch)
    await world.farmer(1).stop()
    async with session(world) as drive:
        await drive.sync(is_new=True)
        drive.watch = seen.append
        assert len(await drive.resume()) == 1
        assert "waits for a later one" in words(seen)
        await write(drive, [b"more"])
    endpoint = await world.farmer(1).start()
    world.change(1, endpoint=endpoint)
    async with session(world) as drive:
        await drive.sync()
        assert len(await drive.resume()) == 1
        assert await drive.resume() == []


async def test_money_that_is_missing_for_an_old_pack_holds_up_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[ProgressEvent] = []
    sendings = counting(monkeypatch, stop_after=2)
    async with session(world) as drive:
        await drive.sync(is_new=True)
        await killed(write(drive, contents_of(2, 20_000)), sendings)
    counting(monkeypatch)
    async with session(world) as drive:
        await drive.sync(is_new=True)
        drive.watch = seen.append

        async def poor(*_: object, **__: object) -> object:
            raise NotEnoughMoney("There is too little.")

        with monkeypatch.context() as patch:
            patch.setattr(drive, "place", poor)
            assert await drive.resume() == []
        assert "There is too little." in words(seen)
        assert len(await drive.resume()) == 1


# Short terms.


async def test_a_drive_with_short_terms_works(world: World, tree: Path, tmp_path: Path) -> None:
    """Shorter than a commit may lean on: then each stores all that it needs, and says nothing of others."""
    big_tree(tree)
    base: Base | None = None
    keys: list[ChunkKey] = []
    async with session(world) as drive:
        await drive.sync(is_new=True)
        grid = world.market.parameters.grid_epochs
        leaning = drive.times.leaning_epochs
        for number in range(3):
            epoch = (await drive.renter.market.head()).epoch
            while (-(-(epoch + 2) // grid) * grid) - epoch > leaning:
                world.market.block += world.market.parameters.epoch_blocks
                epoch = (await drive.renter.market.head()).epoch
            (tree / "note").write_bytes(b"note %d" % number)
            short = StoreOptions(k=2, n=4, epochs=1)
            base, result, writer = await back_up_and_publish(drive, tree, base, options=short)
            [placed] = writer.placed
            assert placed.order.end - epoch <= leaning
            assert result.relied_on == frozenset()
            keys.append(base.key)
    async with session(world, tmp_path / "new") as other:
        await other.sync()
        for number, key in enumerate(keys):
            await in_thread(partial(restored, other, key, tmp_path / f"back-{number}"))
            assert (tmp_path / f"back-{number}" / "tree" / "note").read_bytes() == b"note %d" % number


async def test_nothing_else_is_read_or_said_of_packs_that_stay(
    world: World, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is relied on and stays costs a look at the chain, and no reads."""
    big_tree(tree)
    async with session(world) as drive:
        await drive.sync(is_new=True)
        base, _, _ = await back_up_and_publish(drive, tree)
        (tree / "new").write_bytes(b"one more")
        for farmer in world.farmers:
            farmer.calls.clear()
        _, result, writer = await back_up_and_publish(drive, tree, base)
        assert len(result.relied_on) == 1
        assert len(writer.placed) == 1
        assert not [call for farmer in world.farmers for call in farmer.calls if call == "get"]

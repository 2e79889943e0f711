"""Fetching from farmers that are slow, gone or dishonest, and what lands on the disk."""

import asyncio
import errno
import os
import random
import threading
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest
from client_fakes import HURRIED, FakeFarmer, World, break_peer
from client_trees import listing

from grange.chain.orders import OrderState
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import FarmerFailed, ProgressEvent
from grange_client.downloads import restore as restore_module
from grange_client.errors import (
    BadManifest,
    DiskFailed,
    UnknownOrder,
    Unopened,
    WouldOverwrite,
)
from grange_client.files.manifest import Manifest
from grange_client.files.new_file import NewFile
from grange_client.files.scan import Entry, Kind, Scan, scan
from grange_client.keys.recovery_phrase import identity, new_phrase
from grange_client.orders.pending import Stored
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter

CODE = StoreOptions(k=3, n=6, epochs=5)


async def stored(renter: Renter, *paths: Path, options: StoreOptions = CODE) -> Stored:
    return await renter.put(await renter.quote(paths, options))


def holders(world: World, order: OrderState) -> list[FakeFarmer]:
    return [world.farmer(slot.farmer) for slot in order.slots]


def failures(seen: list[ProgressEvent]) -> dict[int, FarmerFailed]:
    return {event.farmer: event for event in seen if isinstance(event, FarmerFailed)}


async def test_what_comes_back_is_what_was_stored(world: World, tree: Path, tmp_path: Path) -> None:
    """Contents, names, modes, times, links and empty directories are the same."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
        restored = await renter.get(put.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)
    assert restored.files == 4


async def test_new_machine_needs_only_the_words(world: World, tree: Path, tmp_path: Path) -> None:
    """With an empty catalog, chain and farmers give back list and contents."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
    async with world.renter(tmp_path / "other machine") as renter:
        [known] = await renter.orders()
        assert (known.name, known.files) == ("tree", 4)
        assert known.order == put.order
        found = await renter.find("tree")
        await renter.get(found.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_other_words_open_nothing(world: World, tree: Path, tmp_path: Path) -> None:
    """The order's key follows from the secret, not from the order."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
    world.identity = type(world.identity)(wallet=world.identity.wallet, secret=identity(new_phrase()).secret)
    async with world.renter(tmp_path / "other machine") as renter:
        with pytest.raises((Unopened, NotEnoughFarmers)):
            await renter.manifest(put.order)


@pytest.mark.parametrize("gone", [[0, 1, 2], [3, 4, 5], [0, 2, 4]])
async def test_any_k_are_enough(world: World, tree: Path, tmp_path: Path, gone: list[int]) -> None:
    """Whichever n - k farmers are gone, everything comes back."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
        for slot in gone:
            await holders(world, put.order)[slot].stop()
        await renter.get(put.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_fewer_than_k_says_who_and_how_many(world: World, tree: Path, tmp_path: Path) -> None:
    """The error names who answers, who does not, and how many more are needed."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
        farmers = holders(world, put.order)
        for farmer in farmers[:3]:
            await farmer.stop()
        farmers[3].behaviour.get_status = 404
        with pytest.raises(
            NotEnoughFarmers, match="2 of 6 farmers answer, and 3 are needed: 1 more"
        ) as raised:
            await renter.get(put.order, tmp_path / "back")
    assert set(raised.value.failures) == {f"farmer {farmer.id}" for farmer in farmers[:4]}
    assert all(str(farmer.id) in raised.value.detail for farmer in farmers[4:])
    assert "not_found" in raised.value.failures[f"farmer {farmers[3].id}"]
    assert raised.value.missing == 1


async def test_error_that_nobody_foresaw_costs_one_farmer_only(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug that one farmer brings out is that farmer's failure; the others give everything back."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
        bad = holders(world, put.order)[0].id
        break_peer(monkeypatch, "read", bad)
        seen: list[ProgressEvent] = []
        await renter.get(put.order, tmp_path / "back", watch=seen.append)
    assert listing(tmp_path / "back" / "tree") == listing(tree)
    assert set(failures(seen)) == {bad}
    assert "ZeroDivisionError" in failures(seen)[bad].reason


async def test_error_that_nobody_foresaw_while_a_liar_is_sought(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that cannot even be checked convicts nobody else."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
        farmers = holders(world, put.order)
        await farmers[0].stop()
        farmers[3].behaviour.spoil = lambda data: bytes(len(data))
        break_peer(monkeypatch, "piece_path", farmers[3].id)
        await renter.get(put.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_usual_read_touches_only_the_farmers_of_the_data(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """While they are well, the farmers of the blocks themselves are asked and nobody else."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
        await renter.get(put.order, tmp_path / "back")
    assert [("get" in farmer.calls) for farmer in holders(world, put.order)] == [True] * 3 + [False] * 3


async def test_small_read_touches_one_farmer(world: World, tmp_path: Path) -> None:
    """A few bytes cost one request to one farmer."""
    (tmp_path / "file").write_bytes(content := os.urandom(200_000))
    async with world.renter() as renter:
        put = await stored(renter, tmp_path / "file")
        reader = await renter.reader(put.order)
        assert await reader.read(150_000, 100) == content[150_000:150_100]
    assert sum(farmer.calls.count("get") for farmer in world.farmers) == 1


async def test_any_range_reads_right(world: World, tmp_path: Path) -> None:
    """Random ranges over many segments agree with the file."""
    (tmp_path / "file").write_bytes(content := os.urandom(300_000))
    drawn = random.Random(7)
    async with world.renter() as renter:
        put = await stored(renter, tmp_path / "file")
        assert put.order.geometry.segments > 3
        reader = await renter.reader(put.order)
        for _ in range(20):
            start = drawn.randrange(len(content))
            size = drawn.randrange(len(content) - start)
            assert await reader.read(start, size) == content[start : start + size]


async def test_slow_farmer_is_overtaken(world: World, tree: Path, tmp_path: Path) -> None:
    """A farmer that keeps us waiting is not waited for: a parity slot stands in."""
    world.policy = HURRIED
    async with world.renter() as renter:
        put = await stored(renter, tree)
        holders(world, put.order)[1].behaviour.get_seconds = 20
        await renter.get(put.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)
    assert sum("get" in farmer.calls for farmer in holders(world, put.order)[3:]) >= 1


async def test_all_slow_is_still_served(world: World, tree: Path, tmp_path: Path) -> None:
    """When everybody is slow, slow is good enough."""
    world.policy = HURRIED
    async with world.renter() as renter:
        put = await stored(renter, tree)
        for farmer in world.farmers:
            farmer.behaviour.get_seconds = 0.7
        await renter.get(put.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_passing_failure_of_everybody_is_survived(world: World, tree: Path, tmp_path: Path) -> None:
    """Farmers that all fail once are asked once more before giving up."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
        for farmer in world.farmers:
            farmer.behaviour.get_failures = deque([503])
        await renter.get(put.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


def _flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def _shorter(data: bytes) -> bytes:
    return data[:-1]


def _longer(data: bytes) -> bytes:
    return data + b"\0"


@pytest.mark.parametrize("spoil", [_flipped, _shorter, _longer])
@pytest.mark.parametrize("slot", [0, 1, 2])
async def test_wrong_bytes_of_data_are_put_on_the_farmer(
    world: World, tree: Path, tmp_path: Path, slot: int, spoil: Callable[[bytes], bytes]
) -> None:
    """A farmer that sends other bytes is named and passed over, and the files are right."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
        liar = holders(world, put.order)[slot]
        liar.behaviour.spoil = spoil
        seen: list[ProgressEvent] = []
        await renter.get(put.order, tmp_path / "back", watch=seen.append)
        assert renter.reputations.records()[liar.id].lies == 1
    assert failures(seen)[liar.id].lied
    assert listing(tmp_path / "back" / "tree") == listing(tree)


@pytest.mark.parametrize(
    "shown", [dict, lambda path: path | {"root": "00" * 32}, lambda path: path | {"path": []}]
)
async def test_wrong_parity_is_found_by_its_path(
    world: World, tree: Path, tmp_path: Path, shown: Callable[[dict[str, object]], dict[str, object]]
) -> None:
    """A wrong parity piece spoils what is decoded; the path to the root on chain tells whose it was."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
        farmers = holders(world, put.order)
        await farmers[0].stop()
        farmers[3].behaviour.spoil = _flipped
        farmers[3].behaviour.shown_path = shown
        seen: list[ProgressEvent] = []
        await renter.get(put.order, tmp_path / "back", watch=seen.append)
    assert failures(seen)[farmers[3].id].lied
    assert not any(failures(seen)[farmer.id].lied for farmer in farmers[:1])
    assert set(failures(seen)) == {farmers[0].id, farmers[3].id}
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_connection_that_breaks_off(world: World, tree: Path, tmp_path: Path) -> None:
    """Half an answer is no answer."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
        holders(world, put.order)[0].behaviour.cut_off = True
        await renter.get(put.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_endpoint_that_is_none(world: World, tree: Path, tmp_path: Path) -> None:
    """A farmer that registers nonsense as its endpoint is treated as gone."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
        world.change(put.order.slots[0].farmer, endpoint="file:///etc/passwd")
        await renter.get(put.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_nothing_is_overwritten_unasked(world: World, tree: Path, tmp_path: Path) -> None:
    """A file that differs is left alone, and nothing else is written either."""
    back = tmp_path / "back"
    (back / "tree" / "inner").mkdir(parents=True)
    (back / "tree" / "inner" / "run").write_bytes(b"mine")
    async with world.renter() as renter:
        put = await stored(renter, tree)
        with pytest.raises(WouldOverwrite, match="inner/run"):
            await renter.get(put.order, back)
        assert [path.name for path in (back / "tree").iterdir()] == ["inner"]
        await renter.get(put.order, back, overwrite=True)
    assert listing(back / "tree") == listing(tree)


async def test_second_run_fetches_only_what_is_missing(world: World, tree: Path, tmp_path: Path) -> None:
    """Files that are there already, same size and time, are not fetched again."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
        await renter.get(put.order, tmp_path / "back")
        (tmp_path / "back" / "tree" / "small.txt").unlink()
        again = await renter.get(put.order, tmp_path / "back")
    assert (again.files, again.skipped) == (1, 3)
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_interrupted_run_leaves_no_half_file(world: World, tree: Path, tmp_path: Path) -> None:
    """Whatever goes wrong, a file is whole or not there, and a second run finishes the work."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
        await renter.manifest(put.order)
        for farmer in world.farmers:
            farmer.behaviour.get_status = 404
        with pytest.raises(NotEnoughFarmers):
            await renter.get(put.order, tmp_path / "back")
        left = listing(tmp_path / "back")
        assert not [name for name, what in left.items() if what[0] == "file" and what[-1]]
        for farmer in world.farmers:
            farmer.behaviour.get_status = 0
        await renter.get(put.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_nothing_is_written_any_more_once_a_run_was_interrupted(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that writes is waited for: descriptors that are closed under it would soon be others'."""
    at_it, go_on, ended = threading.Event(), threading.Event(), []
    finish = NewFile.finish

    def slow(file: NewFile) -> None:
        at_it.set()
        assert go_on.wait(10)
        try:
            finish(file)
        except BaseException as error:
            ended.append(error)
            raise
        ended.append(None)

    monkeypatch.setattr(NewFile, "finish", slow)
    async with world.renter() as renter:
        put = await stored(renter, tree)
        run = asyncio.create_task(renter.get(put.order, tmp_path / "back"))
        await asyncio.to_thread(at_it.wait, 10)
        run.cancel()
        for _ in range(50):
            await asyncio.sleep(0)
        waits = not run.done()
        go_on.set()
        assert waits
        with pytest.raises(asyncio.CancelledError):
            await run
        assert ended
        assert set(ended) == {None}
        monkeypatch.setattr(NewFile, "finish", finish)
        assert not list((tmp_path / "back").rglob(".grange-*"))
        await renter.get(put.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_parts_of_an_order(world: World, tree: Path, tmp_path: Path) -> None:
    """Only what is asked for comes, with the directories above it."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
        await renter.get(put.order, tmp_path / "back", only=[b"tree/inner/run"])
        with pytest.raises(UnknownOrder):
            await renter.get(put.order, tmp_path / "back", only=[b"tree/nowhere"])
    assert set(listing(tmp_path / "back" / "tree")) == {b".", b"inner", b"inner/run"}


async def test_names_that_are_no_text(world: World, tmp_path: Path) -> None:
    """Names are bytes: what is not UTF-8 comes back the same."""
    (tmp_path / "odd").mkdir()
    for name in (b"\xff\xfe", b"new\nline", b"caf\xc3\xa9", b"caf\xe9", b" ", b"-rf"):
        (tmp_path / "odd" / os.fsdecode(name)).write_bytes(name)
    async with world.renter() as renter:
        put = await stored(renter, tmp_path / "odd")
        await renter.get(put.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "odd") == listing(tmp_path / "odd")


async def test_thousands_of_small_files(world: World, tmp_path: Path) -> None:
    """5,000 files are one order like any other."""
    root = tmp_path / "many"
    drawn = random.Random(3)
    for number in range(5000):
        folder = root / f"{number % 50}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}").write_bytes(drawn.randbytes(drawn.randrange(300)))
    async with world.renter() as renter:
        put = await stored(renter, root)
        await renter.get(put.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "many") == listing(root)
    assert len(world.market.placed) == 1


async def test_holes_come_back_as_holes(world: World, tmp_path: Path) -> None:
    """A sparse file takes no more room after than before."""
    file = tmp_path / "sparse"
    with file.open("wb") as opened:
        opened.seek(12 << 20)
        opened.write(b"end")
    async with world.renter() as renter:
        put = await stored(renter, file)
        await renter.get(put.order, tmp_path / "back")
    back = tmp_path / "back" / "sparse"
    assert back.read_bytes() == file.read_bytes()
    assert back.stat().st_blocks * 512 < 6 << 20


async def test_one_empty_file(world: World, tmp_path: Path) -> None:
    """An order may hold no bytes at all but its names."""
    (tmp_path / "nothing").touch()
    async with world.renter() as renter:
        put = await stored(renter, tmp_path / "nothing")
        await renter.get(put.order, tmp_path / "back")
    assert (tmp_path / "back" / "nothing").read_bytes() == b""


async def test_full_disk_leaves_no_half_file(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full is named as such, and what could not be finished is not there."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with world.renter() as renter:
        put = await stored(renter, tree)
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", full)
            with pytest.raises(DiskFailed, match="No space left"):
                await renter.get(put.order, tmp_path / "back")
        assert not [name for name, what in listing(tmp_path / "back").items() if what[0] == "file"]
        await renter.get(put.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_hostile_manifest_is_refused(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that lead out of the target are refused when read, no matter who wrote them."""
    entry = Entry(path=b"../outside", kind=Kind.FILE, mode=0o644, mtime_ns=0, size_bytes=0)
    hostile = Manifest(name="tree", created=0, entries=(entry,))
    monkeypatch.setattr("grange_client.files.manifest._check_tree", lambda _: None)
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        monkeypatch.setattr("grange_client.orders.store.pack", lambda _: _packed(hostile))
        put = await renter.put(await renter.quote([tree], CODE))
    monkeypatch.undo()
    assert quote.order != put.order.id
    async with world.renter(tmp_path / "other machine") as renter:
        with pytest.raises(BadManifest):
            await renter.get(put.order, tmp_path / "back" / "inner")
    assert not (tmp_path / "back").exists()


def _packed(manifest: Manifest) -> bytes:
    from grange_client.files import manifest as module

    return module.pack(manifest)


async def test_two_at_once_into_one_directory(world: World, tree: Path, tmp_path: Path) -> None:
    """Both succeed, everything is as it was stored, and nothing else is left."""
    async with world.renter() as renter:
        put = await stored(renter, tree)
        await asyncio.gather(*(renter.get(put.order, tmp_path / "back") for _ in range(2)))
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_two_versions_at_once_do_not_mix(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of another order that appears meanwhile is in the way, as it would have been before."""
    fetch = restore_module._fetch

    async def fetch_late(*arguments: Any) -> None:
        (tmp_path / "back" / "tree" / "small.txt").write_bytes(b"of another version")
        await fetch(*arguments)

    async with world.renter() as renter:
        put = await stored(renter, tree)
        monkeypatch.setattr(restore_module, "_fetch", fetch_late)
        with pytest.raises(WouldOverwrite, match=r"tree/small\.txt is there now and differs"):
            await renter.get(put.order, tmp_path / "back")
        assert (tmp_path / "back" / "tree" / "small.txt").read_bytes() == b"of another version"
        await renter.get(put.order, tmp_path / "back", overwrite=True)
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_leftovers_of_killed_runs_are_removed(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In all of the order's directories; a file of the order's own that is called so stays, as earlier
    versions stored it."""
    name = ".grange-00112233445566aa.part"
    (tree / "inner" / name).write_bytes(b"the order's own")
    async with world.renter() as renter:
        with monkeypatch.context() as earlier:
            earlier.setattr("grange_client.files.scan.is_temporary_name", lambda name: False)
            put = await stored(renter, tree)
        await renter.get(put.order, tmp_path / "back")
        for folder in (tmp_path / "back", tmp_path / "back" / "tree", tmp_path / "back" / "tree" / "inner"):
            (folder / ".grange-ffffffffffffffff.part").write_bytes(b"half")
        again = await renter.get(put.order, tmp_path / "back")
    assert again.files == 0
    assert list((tmp_path / "back").iterdir()) == [tmp_path / "back" / "tree"]
    assert {*listing(tmp_path / "back" / "tree")} == {*listing(tree)}


def scanned_as(change: Callable[[Entry], Entry]) -> Callable[..., Scan]:
    """A scan whose entries are changed: what other file systems have, and this one may not."""

    def changed(paths: Any) -> Scan:
        found = scan(paths)
        return replace(found, entries=tuple(map(change, found.entries)))

    return changed


FAR_NS = 16_725_225_600 * 10**9 + 123_456_789
"""In the year 2500, behind the end of 64-bit nanoseconds."""


def far(entry: Entry) -> Entry:
    return entry if entry.kind is Kind.FILE else replace(entry, mtime_ns=FAR_NS)


async def test_times_of_any_file_system_are_stored(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 1678 and after 2262: listed and fetched on a new machine; the target may keep another time."""
    monkeypatch.setattr("grange_client.orders.store.scan", scanned_as(far))
    async with world.renter() as renter:
        await stored(renter, tree)
    async with world.renter(tmp_path / "other machine") as renter:
        [known] = await renter.orders()
        assert known.name == "tree"
        manifest = await renter.manifest(known.order)
        assert {e.mtime_ns for e in manifest.entries if e.kind is not Kind.FILE} == {FAR_NS}
        restored = await renter.get(known.order, tmp_path / "back", only=[b"tree/inner"])
        again = await renter.get(known.order, tmp_path / "back", only=[b"tree/inner"])
    kept_ns = (tmp_path / "back" / "tree" / "inner").stat().st_mtime_ns
    assert restored.inexact.count == again.inexact.count == (0 if kept_ns == FAR_NS else 3)
    assert (again.files, again.skipped) == (0, 2)


async def test_orders_of_the_old_packer_are_read(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order that was stored, and paid, with a time that its own reader refused comes back."""

    def old_pack(manifest: Manifest) -> bytes:
        rows = [
            [e.path, int(e.kind), e.mode, e.mtime_ns, e.target if e.kind is Kind.SYMLINK else e.size_bytes]
            for e in manifest.entries
        ]
        document = {"version": 1, "name": manifest.name, "created": manifest.created, "entries": rows}
        return zlib.compress(msgpack.packb(document, use_bin_type=True), 6)

    monkeypatch.setattr("grange_client.orders.store.pack", old_pack)
    monkeypatch.setattr("grange_client.orders.store.scan", scanned_as(far))
    async with world.renter() as renter:
        await stored(renter, tree)
    async with world.renter(tmp_path / "other machine") as renter:
        [known] = await renter.orders()
        assert (known.name, known.files) == ("tree", 4)
        await renter.get(known.order, tmp_path / "back")
    files = {name: what for name, what in listing(tree).items() if what[0] == "file"}
    assert files.items() <= listing(tmp_path / "back" / "tree").items()


def long_named(entry: Entry) -> Entry:
    return replace(entry, path=entry.path.replace(b"inner", b"i" * 300).replace(b"zero", b"z" * 300))


async def test_names_that_the_target_cannot_have_are_left_out(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a tree from a file system with longer names everything else comes, and what does not is named."""
    monkeypatch.setattr("grange_client.orders.store.scan", scanned_as(long_named))
    async with world.renter() as renter:
        put = await stored(renter, tree)
        restored = await renter.get(put.order, tmp_path / "back")
    assert {one.path.rpartition(b"/")[2] for one in restored.left_out.first} == {
        b"i" * 300,
        b"empty",
        b"data.bin",
        b"run",
        b"z" * 300,
    }
    assert (restored.files, restored.skipped) == (1, 0)
    assert {path.name for path in (tmp_path / "back" / "tree").iterdir()} == {"small.txt", "link", "loop"}


async def test_long_manifests_are_fetched_again(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that the catalog does not keep is read from the farmers, by each command once."""
    monkeypatch.setattr("grange_client.orders.catalog.MAX_KEPT_MANIFEST_BYTES", 10)
    async with world.renter() as renter:
        put = await stored(renter, tree)
        [known] = await renter.orders()
        assert (known.name, known.files) == ("tree", 4)
        assert renter.catalog.manifest(put.order.id) is None
        before = sum(farmer.calls.count("get") for farmer in world.farmers)
        await renter.manifest(put.order)
        read = sum(farmer.calls.count("get") for farmer in world.farmers)
        assert read > before
        await renter.manifest(put.order)
        assert sum(farmer.calls.count("get") for farmer in world.farmers) == read
        await renter.get(put.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_link_in_the_target_is_not_followed(world: World, tree: Path, tmp_path: Path) -> None:
    """A link that lies where a directory belongs does not lead us elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "back" / "tree").mkdir(parents=True)
    (tmp_path / "back" / "tree" / "inner").symlink_to(tmp_path / "elsewhere")
    async with world.renter() as renter:
        put = await stored(renter, tree)
        for overwrite in (False, True):
            with pytest.raises(WouldOverwrite):
                await renter.get(put.order, tmp_path / "back", overwrite=overwrite)
    assert list((tmp_path / "elsewhere").iterdir()) == []

"""Drives by name: what one machine calls them, another finds from the phrase, and a device by what it has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from client.packs.pack_samples import CODE, in_thread, sealed
from client_fakes import World

from grange_client.drive.chunk import ChunkKey
from grange_client.drive.journal import PublishedCommit
from grange_client.drives import FOLDER_NAME, NAMES_NAME, Drives, names_here
from grange_client.errors import BadName, NotAccount, UnknownDrive
from grange_client.keys.identity_file import DelegateSecret
from grange_client.keys.recovery_phrase import Identity
from grange_client.packs.drive_secrets import drive_secret, give_drive


@asynccontextmanager
async def drives_of(world: World, home: Path | None = None) -> AsyncIterator[Drives]:
    async with world.renter(home) as renter:
        yield Drives(renter)


async def write(drives: Drives, name: str, text: bytes = b"text") -> None:
    """One commit more, whatever it is."""
    async with (
        drives.open(name, writes=True) as drive,
        drive.session.writing(CODE, device="laptop") as writer,
    ):
        [chunk] = sealed(drive.session.keys, [text])
        await in_thread(lambda: writer.add(chunk))
        await writer.publish([PublishedCommit(key=ChunkKey(text.ljust(32, b"c")))])


async def names_and_commits(drives: Drives) -> dict[str, int]:
    return {one.name: len(one.state.live_commits) for one in await drives.listed()}


async def test_names_are_found_again_from_the_phrase_alone(world: World, tmp_path: Path) -> None:
    """By a machine that knows nothing; `main` is there from the start, and a new drive once it has a
    commit."""
    async with drives_of(world) as drives:
        assert await names_and_commits(drives) == {"main": 0}
        assert (await drives.create("photos")).number == 1
        assert await names_and_commits(drives) == {"main": 0, "photos": 0}
        async with drives_of(world, tmp_path / "early") as other:
            assert await names_and_commits(other) == {"main": 0}
        await write(drives, "photos")
        await write(drives, "main")
        await write(drives, "main", b"more")
    async with drives_of(world, tmp_path / "new") as other:
        assert await names_and_commits(other) == {"main": 2, "photos": 1}
        async with other.open("photos") as drive:
            assert (drive.name, drive.session.number) == ("photos", 1)
            assert drive.state.live_commits
    assert names_here(tmp_path / "new") == ["main", "photos"]


async def test_an_unknown_drive_is_told_which_there_are(world: World) -> None:
    async with drives_of(world) as drives:
        await drives.create("photos")
        with pytest.raises(UnknownDrive, match="no drive music") as told:
            async with drives.open("music"):
                pass
        assert "main, photos" in told.value.detail
        assert "grange drives create music" in told.value.hint


async def test_a_name_is_given_once(world: World) -> None:
    """Also one that differs in capitals only, and one that no drive can have."""
    async with drives_of(world) as drives:
        await drives.create("photos")
        for name in ("photos", "Photos", "main", "Main", "a b", "c"):
            with pytest.raises(BadName):
                await drives.create(name)
        assert (await drives.create("music")).number == 2


async def test_a_renamed_drive_has_its_new_name_everywhere(world: World, tmp_path: Path) -> None:
    """Also at a machine that noted the old one; `main` keeps its name."""
    async with drives_of(world) as drives:
        await drives.create("photos")
        await write(drives, "photos")
        async with drives_of(world, tmp_path / "other") as other:
            assert "photos" in await names_and_commits(other)
            assert await drives.rename("photos", "pictures", lambda _: CODE, device="laptop")
            async with other.open("pictures") as drive:
                assert drive.session.number == 1
            with pytest.raises(UnknownDrive):
                async with other.open("photos"):
                    pass
        await drives.create("films")
        assert await drives.rename("films", "movies", lambda _: CODE, device="laptop") == [], (
            "nothing is in it"
        )
        assert await names_and_commits(drives) == {"main": 0, "pictures": 1, "movies": 0}
        for old, new in (("main", "other"), ("pictures", "main"), ("pictures", "movies")):
            with pytest.raises(BadName):
                await drives.rename(old, new, lambda _: CODE, device="laptop")


async def test_two_that_made_a_drive_at_once_lose_no_commit(world: World, tmp_path: Path) -> None:
    """Both took one number: the drive is called what was said last, and has what both put into it."""
    async with drives_of(world) as one, drives_of(world, tmp_path / "other") as other:
        await one.create("photos")
        await other.create("music")
        await write(one, "photos")
        with pytest.raises(UnknownDrive):
            await write(other, "music", b"song")
        assert await names_and_commits(other) == {"main": 0, "photos": 1}
        assert (await other.create("music")).number == 2
        await write(other, "music", b"song")
        assert await names_and_commits(one) == {"main": 0, "photos": 1, "music": 1}


async def test_a_device_has_the_drives_that_it_was_given(world: World, tmp_path: Path) -> None:
    """It reads and writes these, finds no others, and makes none; who gave them sees what it wrote."""
    async with drives_of(world) as drives:
        for name in ("photos", "secret"):
            await drives.create(name)
        await write(drives, "main")
        await write(drives, "secret")
    given = [
        give_drive(drive_secret(world.identity, number), name)
        for number, name in ((0, "main"), (1, "photos"))
    ]
    identity = DelegateSecret.parse(DelegateSecret.new(world.identity, drives=given).text(None), "").identity
    # The market of these tests has one key: the device signs with it, and has only its own drives.
    device = replace(world, identity=_with_key_of(identity, world))
    async with drives_of(device, tmp_path / "device") as drives:
        assert await names_and_commits(drives) == {"main": 1, "photos": 0}
        await write(drives, "photos")
        with pytest.raises(UnknownDrive):
            async with drives.open("secret"):
                pass
        with pytest.raises(NotAccount):
            await drives.create("more")
    async with drives_of(world) as drives:
        assert await names_and_commits(drives) == {"main": 1, "photos": 1, "secret": 1}


def _with_key_of(identity: Identity, world: World) -> Identity:
    return Identity(
        wallet=world.identity.wallet,
        secret=identity.secret,
        delegate_of=world.identity.account,
        drives=lambda: identity.given_drives,
    )


async def test_who_writes_waits_for_others_of_this_home(world: World) -> None:
    waiting = asyncio.Event()
    async with world.renter() as renter, world.renter() as another:
        async with Drives(renter).open("main", writes=True):
            second = asyncio.create_task(write(Drives(another, on_wait=waiting.set), "main"))
            await waiting.wait()
            assert not second.done()
            async with Drives(another).open("main") as drive:
                assert not drive.state.packs, "who reads does not wait"
        await second
        async with Drives(renter).open("main") as drive:
            assert len(drive.state.packs) == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"drives": 1}', '{"drives": {"x": {}}}', '{"drives": {"1": 5}}']
)
async def test_a_damaged_note_of_names_is_made_again(world: World, text: str) -> None:
    async with drives_of(world) as drives:
        await drives.create("photos")
        await write(drives, "photos")
        (world.home / FOLDER_NAME / NAMES_NAME).write_text(text)
        async with drives.open("photos") as drive:
            assert drive.session.number == 1
    assert names_here(world.home) == ["main", "photos"]

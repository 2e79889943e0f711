"""An order of `put` at real farmers becomes a version of a drive, which an empty machine restores whole."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path
from random import Random

import pytest
from e2e_command import grange
from e2e_town import Person, Town

from grange_client.drive.edits.known_commits import KnownCommits
from grange_client.drive.keys import DriveSecret
from grange_client.drive.restore import restore
from grange_client.drive_session import DriveSession
from grange_client.renter import Renter

CODE = ("--k", 2, "--n", 4)

pytestmark = pytest.mark.asyncio(loop_scope="session")


def make(folder: Path) -> dict[str, tuple[object, ...]]:
    """A directory with all that an order keeps; what it is like."""
    (folder / "inner" / "empty").mkdir(parents=True)
    (folder / "large.bin").write_bytes(Random(11).randbytes(3 << 20))
    (folder / "inner" / "run").write_bytes(b"#!/bin/sh\n")
    (folder / "inner" / "run").chmod(0o755)
    (folder / "zero").touch()
    (folder / "link").symlink_to("inner/run")
    os.utime(folder / "large.bin", ns=(1, 1_234_567_890_123_456_789))
    os.utime(folder / "inner", ns=(1, 1_000_000_000_000_000_001))
    return listed(folder)


def listed(folder: Path) -> dict[str, tuple[object, ...]]:
    """Each path with its mode, time, and content or target."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content: object = None
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file():
            content = path.read_bytes()
        mode = None if path.is_symlink() else status.st_mode
        found[str(path.relative_to(folder))] = (mode, None if path.is_dir() else status.st_mtime_ns, content)
    return found


async def test_an_order_is_imported_and_restored_from_the_phrase(
    town: Town, person: Person, tmp_path: Path
) -> None:
    """Nothing of it is on the machine that restores. Importing it once more sends nothing."""
    wanted = make(tmp_path / "album")
    home = ("--home", person.home)
    assert (await grange("orders", "put", tmp_path / "album", *CODE, "--yes", *home)).code == 0
    done = await grange("import", "album", "main:/old", *CODE, "--yes", "--json", *home)
    assert done.json["files"] == 3, done
    assert done.json["links"] == 1
    again = await grange("import", "album", "main:/old", *CODE, "--yes", *home)
    assert again.code == 0, again
    assert "Nothing was sent or paid" in again.out, again

    config = town.home_for(person.phrase)
    secret = DriveSecret.from_phrase(config.identity.secret, 0)
    async with Renter.open(config) as renter, DriveSession.open(renter, config.home, secret) as drive:
        synced = await drive.sync()
        past = KnownCommits(drive.chunks, synced.state)
        [head] = await asyncio.to_thread(past.heads)
        commit = await asyncio.to_thread(past.commit_of, head)
        assert commit is not None
        assert commit.message.startswith("Imported from the order album, stored 20")
        back = partial(restore, drive.chunks, commit.root, tmp_path / "back", find=drive.catalog.find)
        await asyncio.to_thread(back)
    assert listed(tmp_path / "back" / "old" / "album") == wanted

"""A drive by command, at real farmers: what is in it, what changed when, edits of it, and its past."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from e2e_command import Ran, grange
from e2e_town import Person, Town

from grange.cli.exit_codes import ExitCode
from grange.token_unit import PLAIN_UNIT
from grange.units import TOKEN

LETTERS = b"".join(b"line %05d\n" % number for number in range(40_000))
"""A file of several chunks."""
pytestmark = pytest.mark.asyncio(loop_scope="session")


def done(ran: Ran) -> Ran:
    assert ran.code == 0, ran
    return ran


class Drive:
    """The drive `main` of a home, by command."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def run(self, *arguments: object) -> Ran:
        return await grange(*arguments, "--home", self._home)

    async def json(self, *arguments: object) -> Any:
        return (await self.run(*arguments, "--json")).json

    async def put(self, folder: Path) -> str:
        """A commit of the folder; its id."""
        stored = await self.json("put", folder, "main:", "--k", 2, "--n", 4, "--yes")
        commit: str = stored["commit"]
        return commit

    async def names(self, place: str, *more: object) -> list[str]:
        return done(await self.run("ls", place, *more)).out.splitlines()


async def test_a_drive_is_looked_at_and_changed_by_command(
    town: Town, person: Person, tmp_path: Path
) -> None:
    """Two versions; then each command that looks, and each that edits; and all of it as another machine sees
    it, with the phrase alone, and a device that was given the drive."""
    drive = Drive(person.home)
    folder = tmp_path / "docs"
    (folder / "old").mkdir(parents=True)
    (folder / "letters.txt").write_bytes(LETTERS)
    (folder / "old" / "notes.txt").write_bytes(b"first notes\n")
    assert "Nothing is in main yet" in done(await drive.run("ls", "main:")).err
    first = await drive.put(folder)
    (folder / "old" / "notes.txt").write_bytes(b"second notes\n")
    (folder / "new.txt").write_bytes(b"new\n")
    second = await drive.put(folder)
    await look(drive, first, second)
    await edit(drive, first, second)

    other = Drive(town.home_for(person.phrase).home)
    assert await other.names("main:/papers") == ["notes.txt"]
    assert await other.names("main:/docs", "--at", first[:8]) == ["letters.txt", "old/"]
    assert done(await other.run("cat", "main:/docs/letters.txt", "--at", first)).out.encode() == LETTERS
    assert await other.json("tag", "main:") == []

    device = Drive(await device_of(person, tmp_path / "device"))
    assert await device.names("main:/docs", "--at", second) == ["letters.txt", "new.txt", "old/"]


async def look(drive: Drive, first: str, second: str) -> None:
    """ls, log, diff, cat of a part, find and du."""
    assert await drive.names("main:/docs") == ["letters.txt", "new.txt", "old/"]
    assert [one["commit"] for one in await drive.json("log", "main:")] == [second, first]
    of_notes = await drive.json("log", "main:/docs/old/notes.txt")
    assert [(one["commit"], one["change"]) for one in of_notes] == [(second, "content"), (first, "added")]
    changed = done(await drive.run("diff", "main:", first[:8])).out.splitlines()
    assert [one for one in changed if one[0] != "m"] == ["A  docs/new.txt", "M  docs/old/notes.txt"]
    part = done(await drive.run("cat", "main:/docs/letters.txt", "--offset", 200_000, "--length", 1000))
    assert part.out.encode() == LETTERS[200_000:201_000]
    found = done(await drive.run("find", "main:", "--name", "*.txt", "--smaller", "1kB"))
    assert found.out.splitlines() == ["main:/docs/new.txt", "main:/docs/old/notes.txt"]
    total = await drive.json("du", "main:/docs", "--depth", 1)
    assert [(one["shown"], one["names"]) for one in total] == [("main:/docs", 4), ("main:/docs/old", 1)]
    assert total[0]["bytes"] == len(LETTERS) + 17


async def edit(drive: Drive, first: str, second: str) -> None:
    """tag, rm, restore and mv, each with what is seen of it."""
    done(await drive.run("tag", "main:", "before", first[:8], "--yes"))
    dry = await drive.json("rm", "main:/docs/letters.txt", "--dry-run")
    assert (dry["dry_run"], int(dry["cost"]) > 0) == (True, True)
    assert (await drive.run("rm", "main:/docs", "--yes")).code == ExitCode.USAGE
    removed = await drive.json("rm", "main:/docs/letters.txt", "main:/docs/old", "-r", "--yes")
    assert await drive.names("main:/docs") == ["new.txt"]
    assert await drive.names("main:/docs", "--at", "before") == ["letters.txt", "old/"]
    restored = await drive.json("restore", "main:/docs/old", "--at", "before", "--yes")
    assert restored["version"] == first
    assert done(await drive.run("cat", "main:/docs/old/notes.txt")).out == "first notes\n"
    moved = await drive.json("mv", "main:/docs/old", "main:/papers", "--yes")
    assert await drive.names("main:") == ["docs/", "papers/"]

    log = await drive.json("log", "main:")
    commits = [one["commit"] for one in log]
    assert commits == [moved["commit"], restored["commit"], removed["commit"], second, first]
    assert [one["is_head"] for one in log] == [True, False, False, False, False]
    shown = await drive.json("snapshots", "main:")
    assert [one["commit"] for one in shown["commits"]] == commits
    done(await drive.run("tag", "main:", "before", "--remove", "--yes"))
    assert (await drive.run("ls", "main:", "--at", "before")).code == ExitCode.FILES


async def device_of(person: Person, folder: Path) -> Path:
    """The home of a device that has the keys of the drive and not the phrase."""
    done(await grange("deposit", 5, "--home", person.home))
    file, amount = folder.with_suffix(".delegate"), PLAIN_UNIT.number(5 * TOKEN)
    limits = ("--per-epoch", amount, "--in-all", amount, "--epochs", 90)
    given = ("keys", "delegate", "new", file, "--drive", "main", "--no-encryption")
    done(await grange(*given, *limits, "--home", person.home))
    done(await grange("init", "--delegate", file, "--trust-market", "--home", folder))
    return folder

"""Every command of docs/renter.md can be typed: chapter by chapter, as a newcomer would, at real farmers.

Two chapters, on storing in a drive and on looking into it, are typed in
tests/client/cli/test_drive_commands.py, where a drive can be older than a test is long.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from e2e_command import Ran, begun, ended
from e2e_town import RENTER_GAS_WEI, Town
from renter_manual import chapters_of_manual, commands_of_manual

from grange.chain.network_file import write_network
from grange.types import address_from
from grange.units import TOKEN

ELSEWHERE = {"Store", "Look into a drive, and change it"}
HERE = ("A first try", "Set up", "Get back", "Who keeps it", "Orders", "Keep drives alive")
PHOTOS = {"2019/sea.jpg": b"sea" * 999, "2024/hill.jpg": b"hill" * 999, "now.jpg": b"now"}


@dataclass(kw_only=True)
class Reader:
    """Somebody with a folder, in which what the manual says is typed."""

    folder: Path
    home: Path
    told: list[bytes] = field(default_factory=list)
    """What came at the webhook."""

    async def type(self, *words: str, home: Path | None = None, answer: str = "y\n") -> Ran:
        """A command, which must end well."""
        programs = self.folder / "programs"
        process = await begun(*words, folder=self.folder, home=home or self.home, programs=programs)
        ran = await ended(process, typed=answer)
        assert ran.code == 0, (words, ran)
        return ran

    async def read(self, chapter: str, answers: dict[str, str] | None = None) -> dict[str, str]:
        """Type all of a chapter; what each command printed."""
        said = {}
        for words in commands_of_manual(chapter):
            line = " ".join(words)
            said[line] = (await self.type(*words, answer=(answers or {}).get(line, "y\n"))).out
        return said


@asynccontextmanager
async def webhook(told: list[bytes]) -> AsyncIterator[str]:
    """The address of one that takes all that comes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/grange"


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    folder = tmp_path / "reader"
    for name, content in PHOTOS.items():
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    mail = folder / "programs" / "sendmail"
    mail.parent.mkdir()
    mail.write_text("#!/bin/sh\ncat >mail\n")
    mail.chmod(0o755)
    return Reader(folder=folder, home=folder / "home")


def same_photos(folder: Path) -> bool:
    return all((folder / name).read_bytes() == content for name, content in PHOTOS.items())


def test_every_chapter_is_typed_somewhere() -> None:
    assert set(chapters_of_manual()) == set(HERE) | ELSEWHERE


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine", ["py-evm"], indirect=True, scope="session")
async def test_the_manual_can_be_typed(town: Town, reader: Reader) -> None:
    """From nothing to a drive that is kept, a drill of recovery, and single orders."""
    folder = reader.folder
    write_network(folder / "devnet.json", town.devnet.network)

    first, *others = commands_of_manual("A first try")
    assert first[0] == "init"
    await reader.type(*first)
    address = address_from((await reader.type("balance", "--address")).out.strip())
    await town.devnet.faucet(address, RENTER_GAS_WEI, 500 * TOKEN)
    said = {}
    for words in others:
        said[" ".join(words)] = (await reader.type(*words)).out
    assert "photos/" in said["ls"]
    assert "Nothing changed" in said["put photos"]
    assert same_photos(folder / "back" / "photos")
    assert said["log main:"].count("\n") >= 1
    assert "main" in said["drives"]
    assert "main is kept until" in " ".join(said["keep --once"].split())

    (folder / "card.txt").write_text((await reader.type("keys", "card")).out)
    one, card, look = commands_of_manual("Set up")
    await reader.type(*(word.replace("NAME-OR-FILE", "devnet.json") for word in one), home=folder / "another")
    new = folder / "new computer"
    await reader.type(*(word.replace("FILE", "card.txt") for word in card), home=new)
    assert "photos/" in (await reader.type(*look, home=new)).out

    await reader.type("tag", "main:", "before-the-move", "--yes")
    said = await reader.read("Get back")
    assert same_photos(folder / "all" / "photos")
    assert same_photos(folder / "restored" / "photos")
    assert (folder / "back" / "2019" / "sea.jpg").read_bytes() == PHOTOS["2019/sea.jpg"]
    assert "main" in said["drives --home drill"]

    assert str(len(town.farmers)) in (await reader.read("Who keeps it"))["farmers"]

    said = await reader.read("Orders")
    assert same_photos(folder / "copy" / "photos")
    assert "pack of main" in said["orders ls"]
    assert "photos/" in (await reader.type("ls", "main:/imported")).out

    await reader.type("drives", "create", "letters")
    async with webhook(reader.told) as url:
        chapter = commands_of_manual("Keep drives alive")
        assert ["keep"] in chapter
        for words in chapter:
            if words == ["keep"]:
                await keep_until_told(reader)
            else:
                await reader.type(*words, answer=f"{url}\n" if "--webhook" in words else "y\n")
    assert reader.told, "the webhook"
    assert (folder / "mail").read_text(), "the mail command"


async def keep_until_told(reader: Reader) -> None:
    """`grange keep` works until it is sent SIGTERM."""
    keeping = await begun("keep", folder=reader.folder, home=reader.home)
    assert keeping.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert await keeping.stdout.readline()
            keeping.terminate()
            assert await keeping.wait() == 0
    finally:
        if keeping.returncode is None:
            keeping.kill()
            await keeping.wait()

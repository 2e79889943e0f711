"""Killed anywhere, the next run goes on: nothing that farmers have is sent again, nothing is paid twice, and
nothing partial looks whole.

Real processes get SIGKILL at named points of a backup and of a restore (`kill_child`), with real farmers on a
real chain. Ten points are tried in every run, all of them with `--long`.
"""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from e2e_town import Person, Town
from kill_child import head_of

from grange.peer import FARMER_FAULTS, Peer, PeerTimeouts, Signer, held_pieces, open_session
from grange.types import OrderId
from grange_client.drive.keys import DriveSecret
from grange_client.drive.restore import restore
from grange_client.drive_session import DriveSession
from grange_client.keys.config import Config
from grange_client.packs.spool_file import PackPlan
from grange_client.renter import Renter

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

CHILD = Path(__file__).with_name("kill_child.py")
CHILD_SECONDS = 150.0
PACKS = 2
"""What the tree takes."""
DRAFT = "grange_client.packs.spool:PackDraft"
SPOOL = "grange_client.packs.spool:Spool"
PEER = "grange.peer.peer:Peer"
CATALOG = "grange_client.drive.sqlite_catalog:SqliteCatalog"
Piece = tuple[int, str, int, int]
Tree = dict[str, tuple[int, int, Any]]


@dataclass(frozen=True, slots=True)
class Point:
    """Where a process is killed: before or after the nth call of a function."""

    target: str
    when: str
    nth: int
    is_always_tried: bool = False

    def __str__(self) -> str:
        return f"{self.when}-{self.target.partition(':')[2]}-{self.nth}"


def tried(stories: Sequence[tuple[Point, ...]]) -> list[Any]:
    """As pytest takes them: most of them are for long runs."""
    return [
        pytest.param(
            points,
            id="+".join(map(str, points)),
            marks=() if all(one.is_always_tried for one in points) else (pytest.mark.long,),
        )
        for points in stories
    ]


WHILE_PUT = [
    Point(f"{DRAFT}.__init__", "after", 1),
    Point(f"{DRAFT}.__init__", "after", 2),
    Point(f"{DRAFT}.add", "after", 1),
    Point(f"{DRAFT}.add", "after", 9, is_always_tried=True),
    Point(f"{DRAFT}.write_journal", "before", 1),
    Point(f"{DRAFT}.write_journal", "after", 1),
    Point(f"{DRAFT}.write_journal", "after", 2),
    Point(f"{DRAFT}.finish", "before", 2),
    Point("grange_client.packs.spool:_write_plan", "before", 1, is_always_tried=True),
    Point("grange_client.packs.spool:_write_plan", "after", 1),
    Point("grange_client.packs.spool:_write_plan", "before", 2),
    Point("grange_client.packs.spool:_write_plan", "before", 3),
    Point(f"{DRAFT}.finish", "after", 1),
    Point(f"{DRAFT}.finish", "after", 2),
    Point(f"{PEER}.put_piece", "before", 1),
    Point(f"{PEER}.put_piece", "after", 1),
    Point(f"{PEER}.put_piece", "after", 2, is_always_tried=True),
    Point(f"{PEER}.put_piece", "before", 20),
    Point(f"{PEER}.put_piece", "after", 30),
    Point(f"{PEER}.accept", "before", 1),
    Point(f"{PEER}.accept", "after", 1, is_always_tried=True),
    Point(f"{PEER}.accept", "after", 4),
    Point(f"{PEER}.accept", "before", 5),
    Point(f"{PEER}.accept", "after", 8),
    Point("grange_client.orders.placements:Placements.note", "before", 1),
    Point("grange_client.orders.placements:Placements.note", "after", 1),
    Point("grange_client.orders.placements:Placements.note", "before", 2),
    Point("grange_client.orders.placements:Placements.note", "after", 3),
    Point("grange.chain.outbox:Outbox.send_raw", "before", 1),
    Point("grange.chain.outbox:Outbox.send_raw", "after", 1, is_always_tried=True),
    Point("grange.chain.outbox:Outbox.send_raw", "before", 2),
    Point("grange.chain.outbox:Outbox.send_raw", "after", 2, is_always_tried=True),
    Point(f"{SPOOL}.note_placed", "before", 1),
    Point(f"{SPOOL}.note_placed", "after", 1),
    Point(f"{SPOOL}.note_placed", "before", 2),
    Point(f"{SPOOL}.note_placed", "after", 2),
    Point("grange_client.orders.catalog:Catalog.note_pack", "before", 1),
    Point("grange_client.orders.catalog:Catalog.note_pack", "after", 2),
    Point(f"{CATALOG}.put_stamped", "before", 1),
    Point(f"{CATALOG}.put_stamped", "after", 1),
    Point(f"{CATALOG}.add_packs", "after", 2),
    Point(f"{CATALOG}.add_journal", "before", 1),
    Point(f"{CATALOG}.add_journal", "after", 1, is_always_tried=True),
    Point(f"{CATALOG}.add_journal", "before", 2),
]
AGAIN = [
    # A run that goes on is killed as well.
    (Point(f"{PEER}.put_piece", "after", 2), Point(f"{PEER}.put_piece", "after", 2)),
    (Point(f"{PEER}.accept", "after", 2), Point(f"{PEER}.accept", "after", 1)),
    (Point("grange.chain.outbox:Outbox.send_raw", "after", 1), Point(f"{SPOOL}.note_placed", "before", 1)),
    (Point(f"{DRAFT}.add", "after", 3), Point("grange_client.packs.spool:_write_plan", "before", 1)),
]
WHILE_GET = [
    Point(f"{PEER}.read", "after", 1),
    Point(f"{PEER}.read", "before", 6, is_always_tried=True),
    Point(f"{CATALOG}.add_journal", "before", 1),
    Point(f"{CATALOG}.add_journal", "after", 2),
    Point("os:pwrite", "before", 1),
    Point("os:pwrite", "after", 2, is_always_tried=True),
    Point("os:ftruncate", "after", 3),
    Point("os:fsync", "after", 8),
    Point("os:rename", "before", 4),
    Point("os:rename", "after", 5, is_always_tried=True),
    Point("os:link", "before", 1),
    Point("os:symlink", "after", 1),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """One engine is enough: what is killed is the client."""
    async with Town.open("py-evm", tmp_path_factory.mktemp("kills")) as opened:
        yield opened


# Processes.


async def run(action: str, home: Path, log: Path, path: Path, point: Point | None = None) -> dict[str, Any]:
    """One command in a process of its own; it is killed where it is to be, and else ends well."""
    arguments = [action, home, log, path, *((point.target, point.when, point.nth) if point else ())]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, CHILD, *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CHILD_SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = err.decode(errors="replace")
    expected = 0 if point is None else -signal.SIGKILL
    assert process.returncode == expected, f"{point}: {process.returncode}\n{out.decode()}\n{said}"
    lines = [json.loads(line) for line in out.decode().splitlines()]
    return {name: value for line in lines for name, value in line.items()}


def pieces_in(log: Path) -> list[Piece]:
    """What farmers have taken, in the order in which they did."""
    lines = log.read_text().splitlines() if log.exists() else []
    rows = [line.split() for line in lines]
    return [(int(farmer), order, int(slot), int(piece)) for farmer, order, slot, piece in rows]


async def staged(town: Town, person: Person) -> set[Piece]:
    """What farmers say that they hold of the packs in the spool."""
    held: set[Piece] = set()
    signer = Signer(domain=town.chain.domain, wallet=person.wallet, timeouts=PeerTimeouts())
    async with open_session(PeerTimeouts(), chain_id=town.chain.chain_id) as session:
        for path in (person.home / "drives" / "0" / "spool").glob("*.json"):
            plan = PackPlan.from_json(path.read_text())
            order, geometry = plan.order, plan.unfinished.geometry
            for slot, (farmer, _) in enumerate(plan.unfinished.keepers):
                peer = Peer(await town.chain.farmer(farmer), session, signer)
                try:
                    found = await held_pieces(peer, order, slot, geometry.segments)
                except FARMER_FAULTS:
                    # It has nothing of it yet.
                    continue
                held |= {(farmer, order.hex(), slot, piece) for piece in found}
    return held


# What is there.


def tree_at(root: Path) -> Tree:
    """Kinds, modes, and contents of all that is below a directory."""
    seen: Tree = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        content: Any = None
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        mode = 0 if path.is_symlink() else stat.S_IMODE(info.st_mode)
        seen[str(path.relative_to(root))] = (stat.S_IFMT(info.st_mode), mode, content)
    return seen


async def restored(config: Config, into: Path) -> bool:
    """Bring back what a home that knows nothing but the phrase finds; whether there is anything."""
    secret = DriveSecret.from_phrase(config.identity.secret, 0)
    async with Renter.open(config) as renter, DriveSession.open(renter, config.home, secret) as drive:
        synced = await drive.sync(is_new=True)
        assert len(synced.state.heads) <= 1
        base = await head_of(drive)
        if base is None:
            return False
        result = await drive.in_thread(lambda: restore(drive.chunks, base.commit.root, into))
        assert result.is_complete
        return True


async def paid_orders(town: Town, person: Person) -> set[OrderId]:
    """The orders of a renter, each of which was paid once, and nothing besides."""
    ids = [OrderId(one) for one in await town.orders_of(person.address)]
    assert len(ids) == len(set(ids))
    async with Renter.open(person.config) as renter:
        await renter.sync()
        orders = {known.order.id: known.order for known in await renter.orders()}
    assert set(ids) == orders.keys()
    return set(ids)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Small files, a large one, a link, and a file with two names."""
    root, drawn = tmp_path / "tree", Random(1)
    (root / "inner").mkdir(parents=True)
    for number in range(8):
        (root / "inner" / f"photo-{number}").write_bytes(drawn.randbytes(30_000))
    (root / "large").write_bytes(drawn.randbytes(200_000))
    (root / "note").write_bytes(b"words")
    (root / "note").chmod(0o640)
    (root / "other").hardlink_to(root / "note")
    (root / "link").symlink_to("note")
    return root


# Backups.


@pytest.mark.parametrize("points", tried([*((one,) for one in WHILE_PUT), *AGAIN]))
async def test_a_killed_backup_goes_on(
    town: Town, person: Person, tree: Path, tmp_path: Path, points: tuple[Point, ...]
) -> None:
    """Two packs, each sent and paid once, whenever the process was killed."""
    log = tmp_path / "sent"
    wealth = sum(await town.wealth(person.address))
    for point in points:
        before = set(pieces_in(log)) | await staged(town, person)
        count = len(pieces_in(log))
        await run("put", person.home, log, tree, point)
        assert before.isdisjoint(pieces_in(log)[count:]), "sent again"
        if await town.orders_of(person.address):
            back = tmp_path / f"look-{point}"
            if await restored(town.home_for(person.phrase), back):
                assert tree_at(back / "tree") == tree_at(tree)
    before = set(pieces_in(log)) | await staged(town, person)
    count = len(pieces_in(log))
    await run("put", person.home, log, tree)
    sent = pieces_in(log)
    assert before.isdisjoint(sent[count:]), "sent again"
    assert [one for one, times in Counter(sent).items() if times > 1] == []
    orders = await paid_orders(town, person)
    assert len(orders) == PACKS
    assert {order for _, order, _, _ in sent} >= {one.hex() for one in orders}
    paid = wealth - sum(await town.wealth(person.address))
    async with Renter.open(person.config) as renter:
        assert paid == sum(known.order.cost for known in await renter.orders())
    assert await restored(town.home_for(person.phrase), tmp_path / "back")
    assert tree_at(tmp_path / "back" / "tree") == tree_at(tree)


# Restores.


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stored(
    shared_town: Town, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Person, Path]]:
    """Somebody whose drive has a tree."""
    folder = tmp_path_factory.mktemp("stored")
    root, drawn = folder / "tree", Random(2)
    (root / "inner").mkdir(parents=True)
    for number in range(6):
        (root / "inner" / f"photo-{number}").write_bytes(drawn.randbytes(30_000))
    (root / "large").write_bytes(drawn.randbytes(3_000_000))
    (root / "note").write_bytes(b"words")
    (root / "other").hardlink_to(root / "note")
    (root / "link").symlink_to("note")
    person = await shared_town.person()
    await run("put", person.home, folder / "sent", root)
    yield person, root


@pytest.mark.parametrize("points", tried([(one,) for one in WHILE_GET]))
async def test_a_killed_restore_goes_on(
    town: Town, stored: tuple[Person, Path], tmp_path: Path, points: tuple[Point, ...]
) -> None:
    """What has its name is whole; what is there is not fetched again; no leftovers at the end."""
    person, tree = stored
    config, into = town.home_for(person.phrase), tmp_path / "back"
    for point in points:
        await run("get", config.home, tmp_path / "log", into, point)
    whole_bytes = 0
    for path in (into / "tree").rglob("*"):
        if path.is_file() and not path.is_symlink() and not path.name.startswith(".grange-"):
            content = path.read_bytes()
            assert content == (tree / path.relative_to(into / "tree")).read_bytes()
            whole_bytes += len(content)
    said = await run("get", config.home, tmp_path / "log", into)
    total = sum(len(content) for _, _, content in tree_at(tree).values() if isinstance(content, bytes))
    assert said["fetched_bytes"] + whole_bytes <= total
    assert tree_at(into / "tree") == tree_at(tree)
    note, other = (into / "tree" / name for name in ("note", "other"))
    assert note.samefile(other)

"""A drive's packs at real farmers: stored by the account and by a device, and back from the phrase alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest
from e2e_command import grange
from e2e_town import Person, Town

from grange.seal import RecoverySecret
from grange.token_unit import PLAIN_UNIT
from grange.types import OrderId
from grange.units import TOKEN
from grange_client.drive.chunk import ChunkId, ChunkKey, ChunkType, SealedChunk, id_of
from grange_client.drive.commit import Commit, pack_commit, unpack_commit
from grange_client.drive.content import ContentBuilder, Reference, read_references
from grange_client.drive.entry import TreeEntry
from grange_client.drive.journal import Header, PublishedCommit
from grange_client.drive.keys import DriveKeys, DriveSecret
from grange_client.drive.sqlite_catalog import SqliteCatalog
from grange_client.drive.tree import walk
from grange_client.drive.tree_builder import build_tree
from grange_client.files.scan import Kind
from grange_client.keys.config import Config, load
from grange_client.orders.plan import StoreOptions
from grange_client.packs.chunks import PackChunks
from grange_client.packs.descriptor import descriptor_of
from grange_client.packs.placing import PlacedPack
from grange_client.packs.search import drives_of_phrase, drives_with_keys
from grange_client.packs.spool import Spool
from grange_client.renter import Renter

CODE = StoreOptions(k=2, n=4)
CODE_OF_DEVICE = StoreOptions(k=3, n=5)
Files = dict[bytes, bytes]

pytestmark = pytest.mark.asyncio(loop_scope="session")


class NewChunks:
    """Seals what is not there yet."""

    def __init__(self, keys: DriveKeys, known: Iterable[ChunkId]) -> None:
        self._keys = keys
        self._known = set(known)
        self.new: list[SealedChunk] = []

    def write(self, chunk_type: ChunkType, content: bytes) -> ChunkKey:
        key = self._keys.own.key_of(chunk_type, content)
        if id_of(key) not in self._known:
            self._known.add(id_of(key))
            self.new.append(self._keys.own.seal(chunk_type, content, key=key))
        return key

    def commit(self, files: Files, parents: tuple[ChunkKey, ...]) -> ChunkKey:
        root = build_tree(self, self._keys.border_secret, map(self._entry, sorted(files.items())))
        return self.write(
            ChunkType.COMMIT, pack_commit(Commit(root=root, parents=parents, time_ns=1, device="laptop"))
        )

    def _entry(self, file: tuple[bytes, bytes]) -> tuple[bytes, TreeEntry]:
        name, text = file
        builder = ContentBuilder(self)
        for part in self._keys.chunker.split([text]):
            builder.add(Reference(key=self.write(ChunkType.DATA, part), size_bytes=len(part)))
        content = builder.finish()
        return name, TreeEntry(name=name, kind=Kind.FILE, mode=0o644, mtime_ns=1, content=content)


async def backed_up(
    config: Config, keys: DriveKeys, files: Files, *, number: int, parents: tuple[ChunkKey, ...] = ()
) -> tuple[PlacedPack, ChunkKey]:
    """A commit of these files in a pack, made on a machine that knows the drive from the chain alone."""
    spool = Spool(config.home / "spool")
    async with Renter.open(config) as renter:
        with SqliteCatalog.open(None, keys=keys, domain=renter.market.domain) as catalog:
            await synced(renter, keys, catalog)
            known = [chunk.id for pack in catalog.packs() for chunk in catalog.chunks_of(pack, limit=1000)]
            chunks = NewChunks(keys, known)
            commit = chunks.commit(files, parents)
            epoch = (await renter.market.head()).epoch
            checkpoint, records = catalog.state().next_journal(epoch)
        salt = renter.packs.new_salt()
        with spool.begin(keys, renter.packs.order_of(salt)) as draft:
            for chunk in chunks.new:
                draft.add(chunk)
            header = Header(seconds=number, device="laptop", checkpoint=checkpoint)
            needed = draft.write_journal(header, [*records, PublishedCommit(key=commit)])
            options = CODE if renter.identity.is_account else CODE_OF_DEVICE
            quote = await renter.packs.quote(needed, options, salt=salt)
            with draft.finish(quote) as pack:
                return await renter.packs.place(spool, pack, drive=0), commit


async def synced(renter: Renter, keys: DriveKeys, catalog: SqliteCatalog) -> set[OrderId]:
    """Bring a drive's catalog up to the chain; the drive's packs on it."""
    head = (await renter.sync()).head
    found = await renter.pack_search.find(0, drives_with_keys({0: keys}))
    assert not found.unread
    if found.packs:
        where = {order.sealed_as: descriptor_of(order, head.number) for order in found.packs}
        packs = renter.read_packs(keys, catalog)
        try:
            recovery = await asyncio.to_thread(packs.fill, list(where)[:1], where)
        finally:
            packs.close()
        assert not recovery.missing
    return {order.sealed_as for order in found.packs}


async def restored(config: Config, keys: DriveKeys) -> list[Files]:
    """All versions, on a machine that knows nothing."""
    async with Renter.open(config) as renter:
        with SqliteCatalog.open(None, keys=keys, domain=renter.market.domain) as catalog:
            assert len(await synced(renter, keys, catalog)) == 2
            packs = renter.read_packs(keys, catalog)
            try:
                commits = sorted(catalog.state().live_commits.values())
                return [await asyncio.to_thread(files_of, PackChunks(packs), key) for key in commits]
            finally:
                packs.close()


def files_of(chunks: PackChunks, key: ChunkKey) -> Files:
    commit = unpack_commit(chunks.read(ChunkType.COMMIT, key))
    return {
        path: b"".join(
            chunks.read(ChunkType.DATA, one.key) for _, one in read_references(chunks, entry.content)
        )
        for path, entry in walk(chunks, commit.root)
        if entry.content is not None
    }


async def device_of(town: Town, person: Person, folder: Path) -> Config:
    """A device that may spend from the account's vault, and has gas of its own."""
    assert (await grange("deposit", 20, "--home", person.home)).code == 0
    file, amount = folder.with_suffix(".delegate"), PLAIN_UNIT.number(20 * TOKEN)
    limits = ("--per-epoch", amount, "--in-all", amount, "--epochs", 90)
    made = await grange("keys", "delegate", "new", file, "--no-encryption", *limits, "--home", person.home)
    assert made.code == 0, made
    taken = await grange("init", "--delegate", file, "--trust-market", "--home", folder)
    assert taken.code == 0, taken
    device = load(folder)
    await town.devnet.faucet(device.identity.wallet.address, 10**18, 0)
    return device


async def test_two_versions_come_back_from_the_phrase_and_the_chain(
    town: Town, person: Person, tmp_path: Path
) -> None:
    """The account stores one, a device with its own key the next, which sends what changed; an empty machine
    with the phrase reads both, and a wrong phrase finds that something is there which it cannot open."""
    keys = DriveKeys(DriveSecret.from_phrase(person.config.identity.secret, 0))
    drawn = Random(5)
    files: Files = {b"large.bin": drawn.randbytes(3 << 20), b"notes.txt": b"some words\n" * 1000}
    first, key = await backed_up(person.config, keys, files, number=1)
    assert first.order.renter == person.address

    device = await device_of(town, person, tmp_path / "device")
    changed = files | {b"large.bin": files[b"large.bin"][: 2 << 20] + b"!" + files[b"large.bin"][2 << 20 :]}
    second, _ = await backed_up(device, keys, changed, number=2, parents=(key,))
    assert second.order.renter == person.address
    assert second.order.geometry.data_bytes < first.order.geometry.data_bytes

    versions = await restored(town.home_for(person.phrase), keys)
    assert sorted(versions, key=repr) == sorted([files, changed], key=repr)

    wrong = drives_of_phrase(RecoverySecret(secret=bytes(32)))
    async with Renter.open(town.home_for(person.phrase)) as renter:
        await renter.sync()
        found = await renter.pack_search.find(0, wrong)
    assert (len(found.packs), len(found.foreign)) == (0, 2)

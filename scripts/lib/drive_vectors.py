"""The golden vectors of drives: keys, chunks, borders, trees and a pack, out of one recovery secret.

Content that a compressor could make smaller is left out of what is sealed here: its output may differ between
releases. One frame is given as it was written once, to be read.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from grange.seal import RecoverySecret
from grange.types import Epoch, FarmerId, OrderId, Slot
from grange_client.drive.chunk import ChunkId, ChunkKey, ChunkType
from grange_client.drive.commit import Commit, pack_commit
from grange_client.drive.content import Content, ContentBuilder, Reference
from grange_client.drive.entry import Attributes, TreeEntry
from grange_client.drive.journal import (
    DroppedPack,
    Header,
    NamedValue,
    PackDescriptor,
    PublishedCommit,
    RetiredPack,
    SupersededCommit,
    WithdrawnCommit,
)
from grange_client.drive.keys import DriveKeys, DriveSecret
from grange_client.drive.pack import PackWriter
from grange_client.drive.stored_form import content_of
from grange_client.drive.tree import DirectoryBuilder
from grange_client.drive.tree_builder import build_tree
from grange_client.files.scan import Kind

RECOVERY = RecoverySecret(secret=bytes(range(32)))
FRAME = "0x0128b52ffd205b750000386772616e6765200100a1a91801"
"""A stored form: "grange " 13 times, as Zstandard 1.5.7 compresses it."""
STREAM_BYTES = 24 << 20


def hexed(value: bytes) -> str:
    """As all vectors have bytes."""
    return "0x" + value.hex()


def noise(name: bytes, size_bytes: int) -> bytes:
    """Bytes that follow from a name: SHA-256 of it and a counter of 8 bytes, in a row."""
    rounds = -(-size_bytes // 32)
    return b"".join(sha256(name + count.to_bytes(8)).digest() for count in range(rounds))[:size_bytes]


class Contents:
    """The contents of chunks in the order in which they were written."""

    def __init__(self, keys: DriveKeys) -> None:
        self._keys = keys
        self.contents: dict[ChunkKey, bytes] = {}

    def write(self, chunk_type: ChunkType, content: bytes) -> ChunkKey:
        """Keep it."""
        key = self._keys.own.key_of(chunk_type, content)
        self.contents.setdefault(key, content)
        return key


def tree_vectors(keys: DriveKeys) -> dict[str, Any]:
    """A small tree with one of each kind, a commit of it, a large directory and a long file."""
    store = Contents(keys)
    attributes = Attributes(
        user_id=1000,
        group_id=0,
        user=b"ann",
        group=b"root",
        extended=((b"user.a", b""), (b"user.b", b"\xff")),
        hard_links=noise(b"links", 16),
    )
    text = Content(references=(Reference(key=ChunkKey(noise(b"text", 32)), size_bytes=70_000),))
    shared = Content(references=(Reference(key=ChunkKey(noise(b"shared", 32)), size_bytes=1, shared=True),))
    entries = [
        TreeEntry(name=b"d", kind=Kind.DIRECTORY, mode=0o755, mtime_ns=-1),
        TreeEntry(
            name=b"f\xff\n",
            kind=Kind.FILE,
            mode=0o4644,
            mtime_ns=5 * 10**9 + 7,
            attributes=attributes,
            content=text,
        ),
        TreeEntry(name=b"l", kind=Kind.SYMLINK, mode=0o777, mtime_ns=0, target=b"../d"),
        TreeEntry(name=b"z", kind=Kind.FILE, mode=0, mtime_ns=0, content=shared),
    ]
    paths = [b"d", b"d/f\xff\n", b"d/l", b"z"]
    root = build_tree(store, keys.border_secret, zip(paths, entries, strict=True))
    commit = Commit(
        root=root,
        parents=(ChunkKey(noise(b"parent", 32)),),
        time_ns=1_700_000_000 * 10**9,
        device="laptop",
        message="said",
    )
    large, long = Contents(keys), Contents(keys)
    directory, content = DirectoryBuilder(large, keys.border_secret), ContentBuilder(long)
    for number in range(2_000):
        directory.add(TreeEntry(name=b"%06d" % number, kind=Kind.FILE, mode=0o644, mtime_ns=number))
        content.add(Reference(key=ChunkKey(noise(b"chunk %d" % number, 32)), size_bytes=1 + number))
    top, lists = directory.finish(), content.finish()
    return {
        "trees": [hexed(raw) for raw in store.contents.values()],
        "treeKeys": [hexed(key) for key in store.contents],
        "commit": hexed(pack_commit(commit)),
        "largeNames": 2_000,
        "largeLevel": top.level,
        "largeKey": hexed(top.key or b""),
        "largeChunkBytes": [len(raw) for raw in large.contents.values()],
        "longLevel": lists.level,
        "longReferences": [hexed(one.packed()) for one in lists.references],
        "longChunkBytes": [len(raw) for raw in long.contents.values()],
    }


def pack_vectors(keys: DriveKeys, order: OrderId) -> dict[str, Any]:
    """A small pack with one record of each kind."""
    slot = Slot(
        farmer=FarmerId(7), root=noise(b"root", 32), rate=5, max_egress_price_per_gib=1 << 70, start=Epoch(3)
    )
    where = PackDescriptor(
        pack=OrderId(noise(b"pack", 32)),
        order=OrderId(noise(b"extended", 32)),
        block=1234,
        end=Epoch(16),
        k=1,
        leaf_count=4096,
        piece_leaves=2048,
        slots=(slot, slot),
    )
    records = [
        PublishedCommit(key=ChunkKey(noise(b"commit", 32))),
        WithdrawnCommit(id=ChunkId(noise(b"withdrawn", 32)), until=Epoch(99)),
        where,
        RetiredPack(pack=OrderId(noise(b"retired", 32))),
        DroppedPack(pack=OrderId(noise(b"dropped", 32))),
        SupersededCommit(id=ChunkId(noise(b"superseded", 32))),
        NamedValue(name="name", value=b"photos", seconds=1_700_000_001),
        NamedValue(name="tag/first", value=b"", seconds=-1, until=Epoch(99)),
    ]
    header = Header(seconds=1_700_000_000, device="laptop", checkpoint=OrderId(noise(b"checkpoint", 32)))
    written = bytearray()
    writer = PackWriter(keys, order, written.extend)
    for chunk_type in (ChunkType.DATA, ChunkType.COMMIT):
        writer.add(keys.own.seal(chunk_type, noise(b"content", 48)))
    writer.write_journal(header, records)
    writer.finish(1024)
    return {"pack": hexed(bytes(written))}


def drive_vectors() -> dict[str, Any]:
    """Everything that docs/protocol.md says of drives, in numbers."""
    secrets = [DriveSecret.from_phrase(RECOVERY, number, share=True) for number in (0, 1, 65_535)]
    drives = [DriveKeys(secret) for secret in secrets]
    order = OrderId(noise(b"order", 32))
    keys = drives[0]
    content = noise(b"content", 48)
    chunks = [keys.own.seal(chunk_type, content) for chunk_type in ChunkType]
    shared = drives[1].data.seal(ChunkType.DATA, content)
    stream = noise(b"stream", STREAM_BYTES)
    return {
        "recoverySecret": hexed(RECOVERY.secret),
        "numbers": [secret.number for secret in secrets],
        "secrets": [hexed(secret.secret) for secret in secrets],
        "sharedSecret": hexed(secrets[0].shared or b""),
        "scopes": [hexed(drive.own.scope_id) for drive in drives],
        "sharedScope": hexed(drives[0].data.scope_id),
        "borderSecrets": [hexed(drive.border_secret) for drive in drives],
        "order": hexed(order),
        "checkValues": [hexed(drive.check_value(order)) for drive in drives],
        "packKey": hexed(keys.pack_key(order, b"trailer")),
        "content": hexed(content),
        "types": list(ChunkType),
        "keys": [hexed(chunk.key) for chunk in chunks],
        "ids": [hexed(chunk.id) for chunk in chunks],
        "sealed": [hexed(chunk.sealed) for chunk in chunks],
        "sharedKey": hexed(shared.key),
        "sharedSealed": hexed(shared.sealed),
        **pack_vectors(DriveKeys(DriveSecret.from_phrase(RECOVERY, 0)), order),
        **tree_vectors(DriveKeys(DriveSecret.from_phrase(RECOVERY, 0))),
        "compressed": FRAME,
        "uncompressed": hexed(content_of(bytes.fromhex(FRAME[2:]), 1000)),
        "streamName": "stream",
        "streamBytes": STREAM_BYTES,
        "chunkBytes": [
            len(chunk) for chunk in DriveKeys(DriveSecret.from_phrase(RECOVERY, 0)).chunker.split([stream])
        ],
    }

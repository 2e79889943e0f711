"""What the tests of drives use: keys of a drive, a store of chunks in memory, and trees of any shape."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st

from grange.seal import RecoverySecret
from grange_client.drive.chunk import ChunkKey, ChunkType
from grange_client.drive.chunk_store import FetchedChunk, WantedChunk
from grange_client.drive.content import Content, ContentBuilder, Reference
from grange_client.drive.entry import Attributes, Directory, TreeEntry
from grange_client.drive.keys import DriveKeys, DriveSecret
from grange_client.drive.tree import walk
from grange_client.drive.tree_builder import build_tree
from grange_client.errors import BadChunk
from grange_client.files.scan import Kind

RECOVERY = RecoverySecret(secret=bytes(range(32)))
SECRET = bytes(range(32, 64))
"""Decides where nodes end."""
Paths = dict[bytes, TreeEntry]
_KEYS = DriveKeys(DriveSecret.from_phrase(RECOVERY, 0))


def drive_keys(number: int = 0, *, share: bool = False, recovery: RecoverySecret = RECOVERY) -> DriveKeys:
    return DriveKeys(DriveSecret.from_phrase(recovery, number, share=share))


class MemoryChunks:
    """Chunks in a dictionary, and how often each was asked for or was new."""

    def __init__(self) -> None:
        self.keys = _KEYS
        self.contents: dict[tuple[ChunkType, ChunkKey], bytes] = {}
        self.reads: list[ChunkKey] = []
        self.new: list[bytes] = []
        self.asked: list[list[WantedChunk]] = []

    def write(self, chunk_type: ChunkType, content: bytes) -> ChunkKey:
        key = self.keys.own.key_of(chunk_type, content)
        if (chunk_type, key) not in self.contents:
            self.contents[chunk_type, key] = content
            self.new.append(content)
        return key

    def fetch(self, wanted: Sequence[WantedChunk]) -> Iterator[FetchedChunk]:
        """In another order than they were asked for; what is not there comes with an error."""
        self.asked.append(list(wanted))
        for one in reversed(wanted):
            content = self.contents.get((one.type, one.key))
            if content is None:
                error = BadChunk("It is in no pack.")
                yield FetchedChunk(wanted=one, error=error)
            else:
                self.reads.append(one.key)
                yield FetchedChunk(wanted=one, content=content)

    def read(self, chunk_type: ChunkType, key: ChunkKey, *, shared: bool = False) -> bytes:
        self.reads.append(key)
        if (chunk_type, key) not in self.contents:
            raise BadChunk("It is in no pack.")
        return self.contents[chunk_type, key]


def file(name: bytes, text: bytes = b"", *, mtime_ns: int = 1, mode: int = 0o644, **more: Any) -> TreeEntry:
    """A file with this content, as far as a tree knows it."""
    key = _KEYS.data.key_of(ChunkType.DATA, text)
    references = (Reference(key=key, size_bytes=len(text)),) if text else ()
    content = Content(references=references)
    return TreeEntry(name=name, kind=Kind.FILE, mode=mode, mtime_ns=mtime_ns, content=content, **more)


def stored_file(
    store: MemoryChunks,
    name: bytes,
    data: bytes,
    *,
    part_bytes: int = 8,
    mtime_ns: int = 1,
    mode: int = 0o644,
    **more: Any,
) -> TreeEntry:
    """A file whose content is in the store, cut into parts of one length."""
    builder = ContentBuilder(store)
    for start in range(0, len(data), part_bytes):
        part = data[start : start + part_bytes]
        builder.add(Reference(key=store.write(ChunkType.DATA, part), size_bytes=len(part)))
    content = builder.finish()
    return TreeEntry(name=name, kind=Kind.FILE, mode=mode, mtime_ns=mtime_ns, content=content, **more)


def folder(name: bytes, *, mtime_ns: int = 1, mode: int = 0o755, **more: Any) -> TreeEntry:
    return TreeEntry(name=name, kind=Kind.DIRECTORY, mode=mode, mtime_ns=mtime_ns, **more)


def link(name: bytes, target: bytes = b"elsewhere", *, mtime_ns: int = 1, **more: Any) -> TreeEntry:
    return TreeEntry(name=name, kind=Kind.SYMLINK, mode=0o777, mtime_ns=mtime_ns, target=target, **more)


def in_order(paths: Paths) -> list[tuple[bytes, TreeEntry]]:
    """As a tree is walked."""
    return sorted(paths.items(), key=lambda pair: pair[0].split(b"/"))


def tree_of(store: MemoryChunks, paths: Paths) -> Directory:
    return build_tree(store, SECRET, in_order(paths))


def paths_of(store: MemoryChunks, root: Directory) -> Paths:
    """What is in a tree, directories without what is below them."""
    return {path: _bare(entry) for path, entry in walk(store, root)}


def _bare(entry: TreeEntry) -> TreeEntry:
    return (
        entry
        if entry.kind is not Kind.DIRECTORY
        else folder(entry.name, mtime_ns=entry.mtime_ns, mode=entry.mode)
    )


@contextmanager
def small_nodes() -> Iterator[None]:
    """Nodes of two or three items, so that a few names make many levels."""
    levels = "grange_client.drive.levels"
    with patch(f"{levels}.MARK_BITS", 1), patch(f"{levels}.MIN_NODE_ITEMS", 2):
        yield


names = st.sampled_from(
    [b"a", b"b", b"b.txt", b"c", b"\xff", b"\xfe", b"new\nline", "é".encode(), "é".encode()]
)
texts = st.sampled_from([b"", b"one", b"two", b"three"])
times = st.sampled_from([0, 1, -1, 10**9, 7 * 10**18])
attributes = st.builds(
    Attributes,
    user_id=st.none() | st.integers(0, (1 << 32) - 1),
    user=st.sampled_from([b"", b"root"]),
    extended=st.sampled_from([(), ((b"user.a", b""), (b"user.b", b"\xff\0"))]),
    hard_links=st.sampled_from([b"", bytes(16)]),
)


@st.composite
def trees(draw: st.DrawFn, more_names: st.SearchStrategy[bytes] = names, most: int = 14) -> Paths:
    """Trees of few names, so that two of them have much in common."""
    paths: Paths = {}
    for _ in range(draw(st.integers(0, most))):
        above = draw(
            st.sampled_from([b"", *(p + b"/" for p, e in paths.items() if e.kind is Kind.DIRECTORY)])
        )
        name, time = draw(more_names), draw(times)
        if above + name in paths:
            continue
        paths[above + name] = draw(
            st.sampled_from([folder(name, mtime_ns=time), link(name, mtime_ns=time)])
            | st.builds(lambda text, name=name, time=time: file(name, text, mtime_ns=time), texts)
        )
    return paths

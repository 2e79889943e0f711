"""Trees with everything that a file system can have, put into a store and compared with what is on disk."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from client.drive.drive_samples import MemoryChunks, Paths, drive_keys, folder, in_order, link, stored_file
from hypothesis import strategies as st

from grange_client.drive.chunk import ChunkType
from grange_client.drive.content import read_references
from grange_client.drive.entry import Attributes, Directory
from grange_client.drive.restore import RestoreOptions, RestoreResult, restore
from grange_client.drive.restore.local_chunks import chunk_check
from grange_client.drive.tree_builder import build_tree
from grange_client.files.scan import Kind

SECRET = bytes(32)
IS_CHUNK = chunk_check(drive_keys())
DURABLE = (
    "fsync",
    "ftruncate",
    "link",
    "mkdir",
    "open",
    "pwrite",
    "rename",
    "symlink",
    "unlink",
    "utime",
    "fchmod",
    "setxattr",
)
"""What changes the disk; `open` may make a file."""
DEAD, ALIVE = 9, 1


@contextmanager
def before_each_step(act: Callable[[], None]) -> Iterator[None]:
    """Have something done before each call that changes the disk."""

    def noticed(call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **more: Any) -> Any:
            act()
            return call(*arguments, **more)

        return step

    with ExitStack() as stack:
        for name in DURABLE:
            stack.enter_context(patch.object(os, name, noticed(getattr(os, name))))
        yield


def run_killed_at(step: int, work: Callable[[], object]) -> None:
    """Do the work in a process of its own that dies before this step, as a killed one does."""
    child = os.fork()
    if not child:
        left = [step]

        def die() -> None:
            left[0] -= 1
            if left[0] < 0:
                os._exit(DEAD)

        try:
            with before_each_step(die):
                work()
        finally:
            os._exit(ALIVE)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == DEAD


def tree_with(store: MemoryChunks, paths: Paths) -> Directory:
    return build_tree(store, SECRET, in_order(paths))


def restored(store: MemoryChunks, root: Directory, into: Path, **options: Any) -> RestoreResult:
    return restore(store, root, into, options=RestoreOptions(**options), is_chunk=IS_CHUNK)


def on_disk(root: Path) -> dict[bytes, tuple[Any, ...]]:
    """What the system says of everything below a directory: what a restore has to bring back."""
    seen = {}
    for above, directories, files in os.walk(os.fsencode(root)):
        for name in [*directories, *files]:
            path = os.path.join(above, name)  # noqa: PTH118  names are bytes
            info = os.lstat(path)
            content: Any = None
            if stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)  # noqa: PTH115
            elif stat.S_ISREG(info.st_mode):
                content = Path(os.fsdecode(path)).read_bytes()
            extended = {
                one: os.getxattr(path, one, follow_symlinks=False)
                for one in os.listxattr(path, follow_symlinks=False)
                if one.startswith("user.")
            }
            mode = 0o777 if stat.S_ISLNK(info.st_mode) else stat.S_IMODE(info.st_mode)
            kind = stat.S_IFMT(info.st_mode)
            relative = os.path.relpath(path, os.fsencode(root))
            seen[relative] = (kind, mode, info.st_mtime_ns, content, extended)
    return seen


def as_it_should_be(store: MemoryChunks, paths: Paths) -> dict[bytes, tuple[Any, ...]]:
    """The same, of the entries of a tree."""
    kinds = {Kind.FILE: stat.S_IFREG, Kind.DIRECTORY: stat.S_IFDIR, Kind.SYMLINK: stat.S_IFLNK}
    expected = {}
    for path, entry in paths.items():
        content: Any = None
        if entry.kind is Kind.SYMLINK:
            content = entry.target
        elif entry.kind is Kind.FILE:
            content = content_of(store, path, paths)
        extended = {os.fsdecode(name): value for name, value in entry.attributes.extended}
        expected[path] = (kinds[entry.kind], entry.mode, entry.mtime_ns, content, extended)
    return expected


def content_of(store: MemoryChunks, path: bytes, paths: Paths) -> bytes:
    parts = [store.read(ChunkType.DATA, one.key) for _, one in read_references(store, paths[path].content)]
    return b"".join(parts)


MTIMES = st.integers(0, 2**33 * 10**9)
FILE_MODES = st.sampled_from([0o644, 0o600, 0o400, 0o000, 0o755, 0o1644])
DIRECTORY_MODES = st.sampled_from([0o755, 0o700, 0o500, 0o000, 0o1777])
EXTENDED = st.sampled_from([(), ((b"user.a", b"\xff\0"), (b"user.b", b""))])
NAMES = st.sampled_from(
    [b"a", b"b", b"b.txt", b"CON", b"\xff", b"\xfe", b"new\nline", "é".encode(), b"n" * 255]
)
TEXTS = st.sampled_from([b"", b"one", b"two chunks", b"\0" * 20, b"many chunks of eight bytes" * 9])


@st.composite
def disk_trees(draw: st.DrawFn) -> tuple[MemoryChunks, Paths]:
    """A store, and the paths of a tree whose files are in it."""
    store, paths = MemoryChunks(), Paths()
    for _ in range(draw(st.integers(0, 10))):
        above = draw(
            st.sampled_from([b"", *(p + b"/" for p, e in paths.items() if e.kind is Kind.DIRECTORY)])
        )
        name, time = draw(NAMES), draw(MTIMES)
        if above + name in paths:
            continue
        named = Attributes(extended=draw(EXTENDED))
        kind = draw(st.sampled_from(["file", "file", "folder", "link"]))
        if kind == "file":
            entry = stored_file(
                store, name, draw(TEXTS), mtime_ns=time, mode=draw(FILE_MODES), attributes=named
            )
        elif kind == "folder":
            entry = folder(name, mtime_ns=time, mode=draw(DIRECTORY_MODES), attributes=named)
        else:
            entry = link(name, draw(st.sampled_from([b"a", b"../x", b"/etc/\xff"])), mtime_ns=time)
        paths[above + name] = entry
    return store, paths

"""The piece store: what is on this farmer's disk, safe against a kill at any moment.

The slot that a renter reads is its pieces one after the other, in the folder that `slot_folder` describes.
The name of a piece carries its root, so nothing is
hashed again when the node starts, and a piece that is there under its name was whole and on the disk
before it got that name: temporary file, fsync, rename, fsync of the folder. A folder goes by being
renamed into `tmp/` first, so a slot is there or not, never half.

Decided here: durability, room (a reserve of the disk is never touched), and which root a piece index is
taken by. Left to others: who may write and read (`auth`, `routes`), for how long things are kept
(`collector`), capacity (`node`). All methods block and are safe to call from several threads. OSErrors
leave as `NoRoom` when space ran out, else as `StoreFailed`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from grange.merkle import PieceHasher, merkle_root
from grange.types import OrderId, address_from
from grange_node.errors import Conflict, DataInUse, Mismatch, NoRoom, PieceDamaged, PieceMissing, StoreFailed
from grange_node.files import FOLDER_MODE, DiskFiles, Files
from grange_node.slot_folder import ROOTS_NAME, Piece, pack_roots, piece_name, slot_path, unpack_roots
from grange_node.slot_key import SlotKey

MAX_CACHED_PIECES = 200_000
"""Slots count as a piece more each, so that empty ones are not kept for nothing."""
NO_LINKS = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
"""What file systems say that have no hard links."""
OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class Store:
    """Pieces by slot and index."""

    def __init__(self, root: Path, reserve_bytes: int, files: Files) -> None:
        """Use `Store.open`."""
        self._files = files
        self._reserve_bytes = reserve_bytes
        self._root = root
        self._slots = root / "slots"
        self._tmp = root / "tmp"
        self._lock = threading.RLock()
        self._arriving_bytes = 0
        self._committing: dict[tuple[SlotKey, int], bytes] = {}
        self._cache: OrderedDict[SlotKey, dict[int, Piece]] = OrderedDict()
        self._cached_pieces = 0
        self.shares = True
        """Whether two slots can have the same bytes: not every file system gives a file a second name."""

    @classmethod
    @contextmanager
    def open(cls, root: Path, *, reserve_bytes: int, files: Files | None = None) -> Iterator[Store]:
        """Take the folder for this process, and remove what a kill left half done.

        Raises DataInUse when another process has it.
        """
        root.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise DataInUse(f"{root} is served by another process; stop that one first") from error
            store = cls(root, reserve_bytes, files or DiskFiles())
            with translated(f"preparing {root}"):
                store._prepare()
            yield store
        finally:
            os.close(lock)

    def begin(self, key: SlotKey, piece: int, size_bytes: int) -> PieceWriter:
        """Make room for a piece that is about to arrive.

        Raises NoRoom when writing it would touch the reserve.
        """
        with self._lock, translated(f"starting piece {piece} of {key}"):
            free = self._files.free_bytes(self._root) - self._arriving_bytes
            if free - size_bytes < self._reserve_bytes:
                raise NoRoom(
                    "the disk is full up to its reserve", free_bytes=free, reserve_bytes=self._reserve_bytes
                )
            self._make_folders(key)
            path = self._temporary()
            descriptor = self._files.create(path)
            self._arriving_bytes += size_bytes
        return PieceWriter(
            store=self, key=key, piece=piece, size_bytes=size_bytes, path=path, descriptor=descriptor
        )

    def pieces(self, key: SlotKey) -> dict[int, Piece]:
        """What is held of a slot: a copy, by piece index; empty when there is nothing."""
        with self._lock:
            return dict(self._index(key))

    def piece(self, key: SlotKey, piece: int) -> Piece | None:
        """One held piece, or None."""
        with self._lock:
            return self._index(key).get(piece)

    def roots(self, key: SlotKey, indices: range) -> tuple[dict[int, bytes], int]:
        """The roots of those pieces in a range that are held, and how many pieces are held in all."""
        with self._lock:
            held = self._index(key)
            return {index: held[index].root for index in indices if index in held}, len(held)

    def seal(self, key: SlotKey, count: int) -> None:
        """Write down the roots of a complete slot of `count` equal pieces; it takes no more from then on.

        Raises Conflict while a piece of it is being stored.
        """
        with self._lock:
            if any(committing == key for committing, _ in self._committing):
                raise Conflict("a piece of this slot is just being stored; try again")
            held = self._index(key)
            if len(held) != count:
                raise ValueError(f"{len(held)} pieces are here, not {count}")
            content = pack_roots(held)
            with translated(f"sealing {key}"):
                self._write_roots(self._folder(key), content)

    def mend(self, key: SlotKey, piece: int, data: bytes) -> None:
        """Put a piece back that was gone or wrong.

        Raises Mismatch when it is another than the one that was here, NoRoom.
        """
        root = merkle_root(data)
        with self._lock, translated(f"mending piece {piece} of {key}"):
            known = self._known(key).get(piece)
            if known is not None and known.root != root:
                raise Mismatch(
                    f"what was rebuilt as piece {piece} of {key} is another piece",
                    known=known.root.hex(),
                    rebuilt=root.hex(),
                )
            if self._files.free_bytes(self._root) - len(data) < self._reserve_bytes:
                raise NoRoom("the disk is full up to its reserve")
            self._make_folders(key)
            folder = self._folder(key)
            self._replace(folder / piece_name(piece, root), data)
            index = self._index(key)
            self._cached_pieces += piece not in index
            index[piece] = Piece(root, len(data))

    def _known(self, key: SlotKey) -> dict[int, Piece]:
        """The list of pieces; one that cannot be read is removed, and made again from the files' names."""
        try:
            return self._index(key)
        except PieceDamaged:
            self._files.unlink(self._folder(key) / ROOTS_NAME)
            return self._index(key)

    def read(self, key: SlotKey, piece: int, offset: int, length: int) -> bytes:
        """Exactly `length` bytes of a piece, not hashed: the renter's seal shows whether they are right.

        Raises PieceMissing, PieceDamaged when the file is too short.
        """
        held = self._must_hold(key, piece)
        data = self._read_file(key, piece, held, offset, length)
        if len(data) != length:
            raise PieceDamaged(f"piece {piece} of {key} is shorter than it was", piece=piece)
        return data

    def read_verified(self, key: SlotKey, piece: int) -> bytes:
        """A whole piece that hashes to its root. Raises PieceMissing, PieceDamaged."""
        held = self._must_hold(key, piece)
        data = self._read_file(key, piece, held, 0, held.size_bytes)
        if len(data) != held.size_bytes or merkle_root(data) != held.root:
            raise PieceDamaged(f"piece {piece} of {key} no longer hashes to its root", piece=piece)
        return data

    def link(self, source: SlotKey, target: SlotKey) -> None:
        """Keep all that is held of a slot under another key too. The bytes are on the disk once if `shares`,
        and stay until both are dropped. May be repeated after it failed half way. Raises NoRoom."""
        held = self.pieces(source)
        with self._lock, translated(f"making {target}"):
            self._make_folders(target)
        old, new = self._folder(source), self._folder(target)
        with translated(f"keeping {source} as {target} too"):
            for index, piece in held.items():
                name = piece_name(index, piece.root)
                if not self.shares:
                    if not (new / name).exists():
                        self._copy(source, index, new / name)
                    continue
                try:
                    self._files.link(old / name, new / name)
                except FileNotFoundError as error:
                    raise PieceMissing(
                        f"the file of piece {index} of {source} is gone", piece=index
                    ) from error
            self._files.fsync_folder(new)
        with self._lock:
            self._forget(target)

    def borrow(self, source: SlotKey, target: SlotKey, piece: int) -> None:
        """Put a piece back that was gone or wrong, out of another slot that has the same.

        Raises PieceMissing and PieceDamaged when that has it not either, Mismatch, NoRoom.
        """
        data = self.read_verified(source, piece)
        if not self.shares:
            self.mend(target, piece, data)
            return
        root = self._must_hold(source, piece).root
        with self._lock, translated(f"taking piece {piece} of {target} from {source}"):
            known = self._known(target).get(piece)
            if known is not None and known.root != root:
                raise Mismatch(f"piece {piece} of {target} is another than that of {source}")
            self._make_folders(target)
            name = piece_name(piece, root)
            temporary = self._temporary()
            self._files.link(self._folder(source) / name, temporary)
            self._files.rename(temporary, self._folder(target) / name)
            with suppress(FileNotFoundError):
                # It stays where both were the same file before.
                self._files.unlink(temporary)
            self._files.fsync_folder(self._folder(target))
            index = self._index(target)
            self._cached_pieces += piece not in index
            index[piece] = Piece(root, len(data))

    def _copy(self, source: SlotKey, piece: int, path: Path) -> None:
        held = self._must_hold(source, piece)
        data = self.read(source, piece, 0, held.size_bytes)
        with self._lock:
            if self._files.free_bytes(self._root) - self._arriving_bytes - len(data) < self._reserve_bytes:
                raise NoRoom("the disk is full up to its reserve")
            self._replace(path, data)

    def drop(self, key: SlotKey) -> None:
        """Remove a slot, all at once. Nothing happens when it is not there."""
        folder = self._folder(key)
        with self._lock, translated(f"removing {key}"):
            self._forget(key)
            condemned = self._temporary()
            try:
                self._files.rename(folder, condemned)
            except FileNotFoundError:
                was_there = False
            else:
                was_there = True
                self._files.fsync_folder(folder.parent)
            for parent in (folder.parent, folder.parent.parent):
                with suppress(OSError):
                    parent.rmdir()
        if was_there:
            with translated(f"removing {key}"):
                self._files.remove_tree(condemned)

    def slot_keys(self) -> list[SlotKey]:
        """Every slot that has a folder."""
        return [
            SlotKey(
                renter=address_from("0x" + folder.parent.parent.name),
                order=OrderId(bytes.fromhex(folder.parent.name)),
                slot=int(folder.name),
            )
            for folder in sorted(self._slots.glob("*/*/*"))
        ]

    def held_bytes(self, key: SlotKey) -> int:
        """The bytes of all pieces held of a slot."""
        with self._lock:
            return sum(piece.size_bytes for piece in self._index(key).values())

    def free_bytes(self) -> int:
        """What can still be written without touching the reserve."""
        with translated("asking for free space"):
            free = self._files.free_bytes(self._root)
        return max(0, free - self._arriving_bytes - self._reserve_bytes)

    def _prepare(self) -> None:
        for folder in (self._slots, self._tmp):
            if not folder.exists():
                self._files.make_folder(folder)
        self._files.fsync_folder(self._root)
        for stray in self._tmp.iterdir():
            if stray.is_dir():
                self._files.remove_tree(stray)
            else:
                self._files.unlink(stray)
        self.shares = self._can_link()

    def _can_link(self) -> bool:
        first, second = self._temporary(), self._temporary()
        self._files.close(self._files.create(first))
        try:
            self._files.link(first, second)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return False
        else:
            self._files.unlink(second)
            return True
        finally:
            self._files.unlink(first)

    def _write_roots(self, folder: Path, content: bytes) -> None:
        self._replace(folder / ROOTS_NAME, content)

    def _replace(self, path: Path, content: bytes) -> None:
        """Write a file in one step, whether it is there or not."""
        temporary = self._temporary()
        descriptor = self._files.create(temporary)
        try:
            self._files.write(descriptor, content)
            self._files.fsync(descriptor)
        finally:
            self._files.close(descriptor)
        self._files.rename(temporary, path)
        self._files.fsync_folder(path.parent)

    def _temporary(self) -> Path:
        return self._tmp / secrets.token_hex(12)

    def _folder(self, key: SlotKey) -> Path:
        return self._slots / slot_path(key)

    def _make_folders(self, key: SlotKey) -> None:
        folder = self._folder(key)
        if folder.is_dir():
            return
        for parent in (folder.parent.parent, folder.parent, folder):
            if not parent.is_dir():
                self._files.make_folder(parent)
                self._files.fsync_folder(parent.parent)

    def _must_hold(self, key: SlotKey, piece: int) -> Piece:
        held = self.piece(key, piece)
        if held is None:
            raise PieceMissing(f"piece {piece} of {key} is not here", piece=piece)
        return held

    def _read_file(self, key: SlotKey, piece: int, held: Piece, offset: int, length: int) -> bytes:
        path = self._folder(key) / piece_name(piece, held.root)
        try:
            with translated(f"reading piece {piece} of {key}"):
                return self._files.read(path, offset, length)
        except FileNotFoundError as error:
            raise PieceMissing(f"the file of piece {piece} of {key} is gone", piece=piece) from error

    def _index(self, key: SlotKey) -> dict[int, Piece]:
        held = self._cache.get(key)
        if held is not None:
            self._cache.move_to_end(key)
            return held
        held = self._load(key)
        self._cache[key] = held
        self._cached_pieces += len(held)
        while self._cached_pieces + len(self._cache) > MAX_CACHED_PIECES and len(self._cache) > 1:
            _, evicted = self._cache.popitem(last=False)
            self._cached_pieces -= len(evicted)
        return held

    def _load(self, key: SlotKey) -> dict[int, Piece]:
        folder = self._folder(key)
        with translated(f"listing {key}"):
            try:
                return unpack_roots((folder / ROOTS_NAME).read_bytes())
            except FileNotFoundError:
                pass
            except ValueError as error:
                raise PieceDamaged(f"the list of roots of {key} is damaged: {error}") from error
            held: dict[int, Piece] = {}
            with suppress(FileNotFoundError):
                for entry in os.scandir(folder):
                    index, _, root = entry.name.partition(".")
                    held[int(index)] = Piece(bytes.fromhex(root), entry.stat().st_size)
            return held

    def _forget(self, key: SlotKey) -> None:
        evicted = self._cache.pop(key, None)
        if evicted is not None:
            self._cached_pieces -= len(evicted)

    # What a PieceWriter does to the store it writes into.

    def _commit(self, writer: PieceWriter) -> bool:
        key, piece, root = writer.key, writer.piece, writer.root
        with self._lock:
            taken = self._index(key).get(piece)
            other = taken.root if taken else self._committing.get((key, piece))
            if other is not None and other != root:
                raise Conflict(
                    f"piece {piece} is already here with another root; delete the slot first",
                    root=other.hex(),
                )
            if taken is not None:
                return False
            if (self._folder(key) / ROOTS_NAME).exists():
                raise Conflict("this slot is complete and takes no more pieces")
            self._committing[key, piece] = root
        folder = self._folder(key)
        target = folder / piece_name(piece, root)
        try:
            with translated(f"storing piece {piece} of {key}"):
                try:
                    self._files.rename(writer.path, target)
                except FileNotFoundError as error:
                    raise Conflict("the slot was deleted while the piece arrived") from error
                self._make_name_durable(folder, target)
            with self._lock:
                index = self._index(key)
                is_new = piece not in index
                self._cached_pieces += is_new
                index[piece] = Piece(root, writer.size_bytes)
        finally:
            with self._lock:
                self._committing.pop((key, piece), None)
        # The same piece may have arrived twice at once; the bytes are the same, and it counts once.
        return is_new

    def _make_name_durable(self, folder: Path, name: Path) -> None:
        try:
            self._files.fsync_folder(folder)
        except OSError:
            # Nobody is told that the piece is here, so it must not turn up later.
            with suppress(OSError):
                self._files.unlink(name)
            raise

    def _release(self, size_bytes: int) -> None:
        with self._lock:
            self._arriving_bytes -= size_bytes


class PieceWriter:
    """A piece on its way in: hashed as it is written, and not there before `commit` returns."""

    def __init__(
        self, *, store: Store, key: SlotKey, piece: int, size_bytes: int, path: Path, descriptor: int
    ) -> None:
        """Made by `Store.begin`."""
        self.key = key
        self.piece = piece
        self.size_bytes = size_bytes
        self.path = path
        self.root = b""
        self._store = store
        self._descriptor: int | None = descriptor
        self._hasher = PieceHasher()

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Hash and append. Raises NoRoom."""
        assert self._descriptor is not None
        self._hasher.update(chunk)
        with translated(f"writing piece {self.piece} of {self.key}"):
            self._store._files.write(self._descriptor, memoryview(chunk))

    def commit(self, announced_root: bytes) -> bool:
        """Make the piece durable under its name. True when it is new, False when it was here already.

        Raises Mismatch when the bytes hash to another root than announced, Conflict when the index is
        taken by other bytes, NoRoom.
        """
        assert self._descriptor is not None
        try:
            self.root = self._hasher.root()
            if self.root != announced_root:
                raise Mismatch(
                    "the bytes that came hash to another root than announced",
                    announced=announced_root.hex(),
                    computed=self.root.hex(),
                )
            with translated(f"storing piece {self.piece} of {self.key}"):
                self._store._files.fsync(self._descriptor)
            return self._store._commit(self)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leave nothing behind of a piece that was not committed. Harmless afterwards."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        self._store._release(self.size_bytes)
        with suppress(OSError):
            self._store._files.close(descriptor)
        with suppress(OSError):
            self._store._files.unlink(self.path)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn OSErrors into what they mean here; a missing file stays what it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in OUT_OF_SPACE:
            raise NoRoom(f"no space left on the disk while {doing}") from error
        raise StoreFailed(f"{doing}: {error.strerror or error}") from error

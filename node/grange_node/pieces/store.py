"""The piece store: what is on this farmer's disk, safe against a kill at any moment.

The slot that a renter reads is its pieces one after the other, in the folder that `slot_folder` describes.
The name of a piece carries its root, so nothing is hashed again when the node starts, and a piece that is
there under its name was whole and on the disk before it got that name: temporary file, fsync, rename, fsync
of the folder. A folder goes by being renamed into `tmp/` first, so a slot is there or not, never half.

Decided here: durability, room (a reserve of the disk is never touched), and which root a piece index is
taken by. `folders` moves files and folders, `piece_index` remembers what is held, `piece_writer` takes the
bytes. Left to others: who may write and read (`auth`, `routes`), for how long things are kept (`collector`),
capacity (`capacity`). All methods block and are safe to call from several threads. OSErrors
leave as `StorageFull` when space ran out, else as `StoreFailed`. Folders that vanish under a running node are
made again when something is put into them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from grange.kernel import merkle_root
from grange.storage.file_lock import lock_file
from grange_node.errors import Conflict, DataInUse, Mismatch, PieceDamaged, PieceMissing, StorageFull
from grange_node.files import FOLDER_MODE, DiskFiles, Files
from grange_node.pieces.folders import Folders, translated
from grange_node.pieces.piece_index import PieceIndex
from grange_node.pieces.piece_writer import PieceWriter
from grange_node.pieces.slot_folder import ROOTS_NAME, Piece, pack_roots, piece_name
from grange_node.slot_key import SlotKey


class Store:
    """Pieces by slot and index."""

    def __init__(self, root: Path, reserve_bytes: int, files: Files, may_make: Callable[[], None]) -> None:
        """Use `Store.open`."""
        self._files = files
        self._reserve_bytes = reserve_bytes
        self._root = root
        self._folders = Folders(root, files, may_make)
        self._index = PieceIndex(self._folders, files)
        self._changing_folders = threading.Lock()
        """Taken before `_lock`, if both are. New folders and lists of roots are flushed under it alone: a
        slow disk must not keep proofs from what is held, and nobody uses a folder before it is flushed."""
        self._lock = threading.RLock()
        self._arriving_bytes = 0
        self._committing: dict[tuple[SlotKey, int], bytes] = {}
        self._sealing: SlotKey | None = None
        """The slot whose list of roots is being written."""

    @classmethod
    @contextmanager
    def open(
        cls,
        root: Path,
        *,
        reserve_bytes: int,
        files: Files | None = None,
        may_make: Callable[[], None] = lambda: None,
    ) -> Iterator[Store]:
        """Take the folder for this process, and remove what a kill left half done. `may_make` is asked before
        a folder that vanished is made again, and raises if it must not be.

        Raises DataInUse when another process has it, StorageFull, StoreFailed.
        """
        with translated(f"opening the data folder {root}"):
            root.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take(lock, root)
            store = cls(root, reserve_bytes, files or DiskFiles(), may_make)
            with translated(f"preparing {root}"):
                store._folders.prepare()
            yield store
        finally:
            os.close(lock)

    @staticmethod
    def check_free(root: Path) -> None:
        """Raise DataInUse when a process has the store in this folder open."""
        try:
            lock = os.open(root / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return
        try:
            _take(lock, root)
        finally:
            os.close(lock)

    def begin(self, key: SlotKey, piece: int, size_bytes: int) -> PieceWriter:
        """Make room for a piece that is about to arrive.

        Raises StorageFull when writing it would touch the reserve.
        """
        with translated(f"starting piece {piece} of {key}"):
            with self._lock:
                free = self._files.free_bytes(self._root) - self._arriving_bytes
                if free - size_bytes < self._reserve_bytes:
                    raise StorageFull(
                        "the disk is full up to its reserve",
                        free_bytes=free,
                        reserve_bytes=self._reserve_bytes,
                    )
                self._arriving_bytes += size_bytes
            try:
                with self._changing_folders:
                    self._folders.make(key)
                    path = self._folders.temporary()
                descriptor = self._files.create(path)
            except BaseException:
                self._release(size_bytes)
                raise
        return PieceWriter(
            files=self._files,
            key=key,
            piece=piece,
            size_bytes=size_bytes,
            path=path,
            descriptor=descriptor,
            keep=self._keep,
            release=self._release,
        )

    @property
    def shares(self) -> bool:
        """Whether two slots can have the same bytes: not every file system gives a file a second name."""
        return self._folders.shares

    def pieces(self, key: SlotKey) -> dict[int, Piece]:
        """What is held of a slot: a copy, by piece index; empty when there is nothing."""
        with self._lock:
            return dict(self._index.of(key))

    def piece(self, key: SlotKey, piece: int) -> Piece | None:
        """One held piece, or None."""
        with self._lock:
            return self._index.of(key).get(piece)

    def roots(self, key: SlotKey, indices: range) -> tuple[dict[int, bytes], int]:
        """The roots of those pieces in a range that are held, and how many pieces are held in all."""
        with self._lock:
            held = self._index.of(key)
            return {index: held[index].root for index in indices if index in held}, len(held)

    def flush(self, key: SlotKey) -> None:
        """Return when all that is held of a slot would survive a loss of power, also what a process stored
        that was killed before it could say so. Raises StoreFailed."""
        with self._changing_folders, translated(f"flushing {key}"):
            if self._folders.has(key):
                self._folders.make(key)

    def seal(self, key: SlotKey, count: int) -> None:
        """Write down the roots of a complete slot of `count` equal pieces; it takes no more from then on.

        Raises Conflict while a piece of it is being stored.
        """
        with self._changing_folders:
            with self._lock:
                if any(committing == key for committing, _ in self._committing):
                    raise Conflict("a piece of this slot is just being stored; try again")
                held = dict(self._index.of(key))
                if len(held) != count:
                    raise ValueError(f"{len(held)} pieces are here, not {count}")
                self._sealing = key
            try:
                self._write_roots(key, held)
            finally:
                with self._lock:
                    self._sealing = None

    def _write_roots(self, key: SlotKey, held: dict[int, Piece]) -> None:
        with translated(f"sealing {key}"):
            if not self._folders.has(key):
                # It vanished with the pieces that are remembered.
                with self._lock:
                    self._index.forget(key)
                raise PieceMissing(f"the folder of {key} is gone")
            self._folders.replace(self._folders.of(key) / ROOTS_NAME, pack_roots(held))

    def mend(self, key: SlotKey, piece: int, data: bytes) -> None:
        """Put a piece back that was gone or wrong.

        Raises Mismatch when it is another than the one that was here, StorageFull.
        """
        root = merkle_root(data)
        with self._changing_folders, self._lock, translated(f"mending piece {piece} of {key}"):
            known = self._index.known(key).get(piece)
            if known is not None and known.root != root:
                raise Mismatch(
                    f"what was rebuilt as piece {piece} of {key} is another piece",
                    known=known.root.hex(),
                    rebuilt=root.hex(),
                )
            if self._files.free_bytes(self._root) - len(data) < self._reserve_bytes:
                raise StorageFull("the disk is full up to its reserve")
            self._folders.make(key)
            self._folders.replace(self._folders.of(key) / piece_name(piece, root), data)
            self._index.add(key, piece, Piece(root, len(data)))

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
        and stay until both are dropped. May be repeated after it failed half way. Raises StorageFull."""
        held = self.pieces(source)
        with self._changing_folders, self._lock, translated(f"making {target}"):
            self._folders.make(target)
        old, new = self._folders.of(source), self._folders.of(target)
        with translated(f"keeping {source} as {target} too"):
            for index, piece in held.items():
                name = piece_name(index, piece.root)
                if not self._folders.shares:
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
            self._index.forget(target)

    def borrow(self, source: SlotKey, target: SlotKey, piece: int) -> None:
        """Put a piece back that was gone or wrong, out of another slot that has the same.

        Raises PieceMissing and PieceDamaged when that has it not either, Mismatch, StorageFull.
        """
        data = self.read_verified(source, piece)
        if not self._folders.shares:
            self.mend(target, piece, data)
            return
        root = self._must_hold(source, piece).root
        with (
            self._changing_folders,
            self._lock,
            translated(f"taking piece {piece} of {target} from {source}"),
        ):
            known = self._index.known(target).get(piece)
            if known is not None and known.root != root:
                raise Mismatch(f"piece {piece} of {target} is another than that of {source}")
            self._folders.make(target)
            name = piece_name(piece, root)
            temporary = self._folders.temporary()
            self._files.link(self._folders.of(source) / name, temporary)
            self._files.rename(temporary, self._folders.of(target) / name)
            with suppress(FileNotFoundError):
                # It stays where both were the same file before.
                self._files.unlink(temporary)
            self._files.fsync_folder(self._folders.of(target))
            self._index.add(target, piece, Piece(root, len(data)))

    def drop(self, key: SlotKey) -> None:
        """Remove a slot, all at once. Nothing happens when it is not there."""
        with self._changing_folders, self._lock, translated(f"removing {key}"):
            self._index.forget(key)
            condemned = self._folders.condemn(key)
        if condemned is not None:
            with translated(f"removing {key}"):
                self._files.remove_tree(condemned)

    def slot_keys(self) -> list[SlotKey]:
        """Every slot that has a folder."""
        return self._folders.slot_keys()

    def has_folder(self, key: SlotKey) -> bool:
        """Whether the folder of a slot is there, whatever is in it."""
        return self._folders.has(key)

    def listed(self, key: SlotKey) -> dict[int, Piece]:
        """What is held of a slot, by the names of its files if the list of roots cannot be read; that list is
        removed then, until the slot is sealed again."""
        with self._lock, translated(f"listing {key}"):
            return dict(self._index.known(key))

    def held_bytes(self, key: SlotKey) -> int:
        """The bytes of all pieces held of a slot."""
        with self._lock:
            return sum(piece.size_bytes for piece in self._index.of(key).values())

    def free_bytes(self) -> int:
        """What can still be written without touching the reserve."""
        with translated("asking the data folder for its free space"):
            free = self._files.free_bytes(self._root)
        return max(0, free - self._arriving_bytes - self._reserve_bytes)

    def _must_hold(self, key: SlotKey, piece: int) -> Piece:
        held = self.piece(key, piece)
        if held is None:
            raise PieceMissing(f"piece {piece} of {key} is not here", piece=piece)
        return held

    def _read_file(self, key: SlotKey, piece: int, held: Piece, offset: int, length: int) -> bytes:
        path = self._folders.of(key) / piece_name(piece, held.root)
        with translated(f"reading piece {piece} of {key}"):
            try:
                return self._files.read(path, offset, length)
            except FileNotFoundError as error:
                raise PieceMissing(f"the file of piece {piece} of {key} is gone", piece=piece) from error

    def _copy(self, source: SlotKey, piece: int, path: Path) -> None:
        held = self._must_hold(source, piece)
        data = self.read(source, piece, 0, held.size_bytes)
        with self._lock:
            if self._files.free_bytes(self._root) - self._arriving_bytes - len(data) < self._reserve_bytes:
                raise StorageFull("the disk is full up to its reserve")
            self._folders.replace(path, data)

    def _keep(self, writer: PieceWriter) -> bool:
        """Give a written piece its name. Raises Conflict when the index is taken by other bytes."""
        key, piece, root = writer.key, writer.piece, writer.root
        with self._lock:
            taken = self._index.of(key).get(piece)
            other = taken.root if taken else self._committing.get((key, piece))
            if other is not None and other != root:
                raise Conflict(
                    f"piece {piece} is already here with another root; delete the slot first",
                    root=other.hex(),
                )
            if taken is not None:
                return False
            folder = self._folders.of(key)
            if key == self._sealing or (folder / ROOTS_NAME).exists():
                raise Conflict("this slot is complete and takes no more pieces")
            self._committing[key, piece] = root
        target = folder / piece_name(piece, root)
        try:
            with translated(f"storing piece {piece} of {key}"):
                try:
                    self._files.rename(writer.path, target)
                except FileNotFoundError as error:
                    raise Conflict("the slot was deleted while the piece arrived") from error
                writer.has_name = True
                self._make_name_durable(folder, target)
            with self._lock:
                is_new = self._index.add(key, piece, Piece(root, writer.size_bytes))
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
            self._folders.doubt(folder)
            with suppress(OSError):
                self._files.unlink(name)
            raise

    def _release(self, size_bytes: int) -> None:
        with self._lock:
            self._arriving_bytes -= size_bytes


def _take(lock: int, root: Path) -> None:
    try:
        is_ours = lock_file(lock)
    except OSError as error:
        raise DataInUse(f"{root} cannot be locked: {error.strerror}.", hint="Use another disk.") from error
    if not is_ours:
        raise DataInUse(f"{root} is served by another process.", hint="Stop that one first.")

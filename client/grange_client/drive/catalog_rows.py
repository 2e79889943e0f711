"""The rows of a catalog, sealed: what a database has of a drive's state and of files, whichever it is.

A row of the state is (kind, key) and a value; rows of two states with the same key become one as the states
do. Keys of commits and names of files would tell a thief of the catalog more than where chunks are, so values
are sealed, and a path is a keyed hash of it. A value opens only in the row it was written for: a bit that
changed is noticed.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from typing import Final

from grange.types import Epoch, OrderId
from grange_client.drive.chunk import ChunkId, ChunkKey
from grange_client.drive.drive_state import DriveState
from grange_client.drive.journal import HASH_BYTES, NamedValue, PackDescriptor, pack_record, unpack_record
from grange_client.drive.sealing import keyed_hash, open_sealed, seal
from grange_client.drive.stamp import StampedFile, pack_stamped, unpack_stamped
from grange_client.errors import BadDrive

NAME_BYTES: Final = 16
_SECONDS_BYTES: Final = 8
_EPOCH_BYTES: Final = 4
_LENGTH_BYTES: Final = 2
_PATH_LABEL: Final = b"path"
_VALUE_LABEL: Final = b"value"
_STAMP_CONTEXT: Final = b"grange/catalog/1/stamp"
_STATE_CONTEXT: Final = b"grange/catalog/1/state"

RowKey = tuple[int, bytes]
Rows = Mapping[RowKey, bytes]


class RowKind(IntEnum):
    """What a row of the state says; the numbers are in files."""

    READ = 1
    PACK = 2
    RETIRED = 3
    DROPPED = 4
    COMMIT = 5
    PUBLISHERS = 6
    WITHDRAWN = 7
    CHECKPOINT = 8
    NAMED_VALUE = 9
    SUPERSEDED = 10


class BadRow(Exception):
    """A row that was never written so."""


class CatalogRows:
    """Writes and reads the rows of one drive. Without state: threads may share one."""

    def __init__(self, secret: bytes) -> None:
        """`secret` is what `DriveKeys.catalog_secret` gives."""
        self._secret = secret

    def rows_of(self, state: DriveState) -> dict[RowKey, bytes]:
        """What is known of a drive, as rows."""
        rows = {key: self._seal_value(key, plain) for key, plain in _plain_rows(state)}
        for one, packs in state.named_values.items():
            packed = pack_record(one)
            key = (RowKind.NAMED_VALUE, keyed_hash(self._secret, _VALUE_LABEL, packed))
            rows[key] = self._seal_value(key, len(packed).to_bytes(_LENGTH_BYTES) + packed + _joined(packs))
        return rows

    def state_of(self, rows: Rows) -> DriveState:
        """What rows say together. Raises BadRow."""
        plain: dict[RowKind, dict[bytes, bytes]] = {kind: {} for kind in RowKind}
        for (kind, key), sealed in rows.items():
            value = open_sealed(self._secret, sealed, _state_context((kind, key)))
            if value is None:
                raise BadRow
            plain[RowKind(kind)][key] = value
        try:
            return _state_of(plain)
        except BadDrive as error:
            raise BadRow from error

    def name_of(self, path: bytes) -> bytes:
        """What a file is found by: NAME_BYTES that tell nothing of its path."""
        return keyed_hash(self._secret, _PATH_LABEL, path)[:NAME_BYTES]

    def seal_stamped(self, path: bytes, file: StampedFile) -> bytes:
        """The value of a file's row."""
        return seal(self._secret, pack_stamped(file), _STAMP_CONTEXT + path)

    def open_stamped(self, path: bytes, day: int, sealed: bytes) -> StampedFile | None:
        """A file out of it, put on this day; None if it is spoilt, or was written for another path."""
        plain = open_sealed(self._secret, sealed, _STAMP_CONTEXT + path)
        if plain is None:
            return None
        try:
            return unpack_stamped(plain, seen_day=day)
        except BadDrive:
            # Another version wrote it.
            return None

    def _seal_value(self, key: RowKey, plain: bytes) -> bytes:
        return seal(self._secret, plain, _state_context(key))


def _state_context(key: RowKey) -> bytes:
    return _STATE_CONTEXT + bytes([key[0]]) + key[1]


def _plain_rows(state: DriveState) -> Iterator[tuple[RowKey, bytes]]:
    yield from (((RowKind.READ, pack), b"") for pack in state.read)
    yield from (((RowKind.PACK, pack), pack_record(where)) for pack, where in state.packs.items())
    yield from (((RowKind.RETIRED, pack), b"") for pack in state.retired)
    yield from (((RowKind.DROPPED, pack), b"") for pack in state.dropped)
    yield from (((RowKind.COMMIT, one), key) for one, key in state.commits.items())
    yield from (((RowKind.PUBLISHERS, one), _joined(packs)) for one, packs in state.publishers.items())
    yield from (((RowKind.SUPERSEDED, one), b"") for one in state.superseded)
    for one, until in state.withdrawn.items():
        yield (RowKind.WITHDRAWN, one), until.to_bytes(_EPOCH_BYTES)
    for pack, (seconds, named) in state.checkpoints.items():
        yield (RowKind.CHECKPOINT, pack), seconds.to_bytes(_SECONDS_BYTES, signed=True) + _joined(named)


def _state_of(plain: Mapping[RowKind, Mapping[bytes, bytes]]) -> DriveState:
    def packs(kind: RowKind) -> frozenset[OrderId]:
        return frozenset(map(OrderId, plain[kind]))

    return DriveState(
        read=packs(RowKind.READ),
        packs={OrderId(key): _descriptor(value) for key, value in plain[RowKind.PACK].items()},
        retired=packs(RowKind.RETIRED),
        dropped=packs(RowKind.DROPPED),
        commits={ChunkId(key): ChunkKey(value) for key, value in plain[RowKind.COMMIT].items()},
        publishers={ChunkId(key): _cut(value) for key, value in plain[RowKind.PUBLISHERS].items()},
        withdrawn={
            ChunkId(key): Epoch(int.from_bytes(value)) for key, value in plain[RowKind.WITHDRAWN].items()
        },
        checkpoints={OrderId(key): _checkpoint(value) for key, value in plain[RowKind.CHECKPOINT].items()},
        superseded=frozenset(map(ChunkId, plain[RowKind.SUPERSEDED])),
        named_values=dict(map(_named_value, plain[RowKind.NAMED_VALUE].values())),
    )


def _descriptor(value: bytes) -> PackDescriptor:
    record = unpack_record(value)
    if not isinstance(record, PackDescriptor):
        raise BadRow
    return record


def _named_value(value: bytes) -> tuple[NamedValue, frozenset[OrderId]]:
    end = _LENGTH_BYTES + int.from_bytes(value[:_LENGTH_BYTES])
    record = unpack_record(value[_LENGTH_BYTES:end])
    if not isinstance(record, NamedValue):
        raise BadRow
    return record, _cut(value[end:])


def _checkpoint(value: bytes) -> tuple[int, frozenset[OrderId]]:
    return int.from_bytes(value[:_SECONDS_BYTES], signed=True), _cut(value[_SECONDS_BYTES:])


def _joined(packs: Iterable[OrderId]) -> bytes:
    return b"".join(sorted(packs))


def _cut(value: bytes) -> frozenset[OrderId]:
    return frozenset(OrderId(value[at : at + HASH_BYTES]) for at in range(0, len(value), HASH_BYTES))

"""What stands behind the chunks of a pack: records, each an array of msgpack, one after the other.

    [0, version, seconds, device, checkpoint]   first, once; the pack with the last checkpoint, or empty if
                                                this journal is one
    [1, key]                                    a commit of the drive
    [2, id, until]                              a commit that is withdrawn; to be said again until this epoch
    [3, pack, order, block, end, k, leaves, piece leaves, slots]   where an earlier pack is, by the chain
    [4, pack]                                   a pack that no new commit may lean on
    [5, pack]                                   a pack that is not needed any more
    [6, type, id, length]                       a chunk of this pack, in the order in which they stand
    [7, name, value, seconds, until]            a named value of the drive, or that there is none any more
    [8, id]                                     a commit that another one comes from

A pack is called by the order that it was sealed for; `order` is the one that keeps it now, which is another
once it was extended; `block` is the one in which it was seen so. A slot is `[farmer, root, rate, most that
reading costs a GiB, from]`. Chunks come last: who wants only commits and packs need not read on. Reading
trusts nothing, and holds one record. A device of the drive may be hostile, so there is a most of each kind.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from grange.types import Epoch, FarmerId, OrderId, Slot
from grange.units import LEAF_BYTES, MAX_LEAF_COUNT, MAX_PIECE_BYTES, MAX_SLOTS
from grange_client.drive.chunk import MAX_SEALED_BYTES, ChunkId, ChunkKey, ChunkType
from grange_client.drive.commit import MAX_DEVICE_CHARACTERS
from grange_client.drive.sealing import SEAL_BYTES
from grange_client.errors import BadPack

VERSION: Final = 1
MAX_RECORD_BYTES: Final = 32 << 10
"""More than any sound record takes: the slots of one order."""
MAX_CHUNKS: Final = 1_000_000
MAX_RECORDS_BYTES: Final = 32 << 20
"""All records of a journal but its chunks."""
MAX_COMMITS: Final = 1 << 16
"""So many commits one journal publishes at most; so many it withdraws, and so many it says are superseded."""
MAX_NAMED_PACKS: Final = 1 << 14
"""So many packs one journal says where they are; so many it retires, and so many it drops."""
MAX_VALUES: Final = 1 << 12
"""Named values of a drive, and of a journal."""
MAX_VALUES_BYTES: Final = 1 << 20
"""All of them with their names."""
HASH_BYTES: Final = 32
MAX_NAME_CHARACTERS: Final = 255
"""Of a named value."""
MAX_VALUE_BYTES: Final = 16 << 10
"""Of a named value."""
NO_EPOCH: Final = Epoch(0)
MAX_SECONDS: Final = (1 << 63) - 1
_SECONDS: Final = range(-(1 << 63), MAX_SECONDS + 1)
_EPOCHS: Final = range(1 << 32)
_BLOCKS: Final = range(1 << 48)
_AMOUNTS: Final = range(1 << 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Who wrote the pack, and when."""

    seconds: int
    """Since 1970, by the clock of the device."""
    device: str
    checkpoint: OrderId | None
    """The pack with the last checkpoint; None if this one is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedCommit:
    """A commit of the drive, in this pack or an earlier one."""

    key: ChunkKey = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawnCommit:
    """A commit that is not kept any more."""

    id: ChunkId
    until: Epoch
    """Checkpoints repeat it until then: a device that was away so long could bring the commit back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackDescriptor:
    """Where a pack is, as the chain knew it: enough to read it without old logs."""

    pack: OrderId
    """The order that it was sealed for."""
    order: OrderId
    """The one that keeps it."""
    block: int
    """In which the chain showed all this: of two descriptors the one from the later block counts. Take the
    number of a head that endpoints agree on, since one from the far future is never passed."""
    end: Epoch
    k: int
    leaf_count: int
    piece_leaves: int
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetiredPack:
    """A pack that no new commit may lean on, since it is about to go."""

    pack: OrderId


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedPack:
    """A pack that is not needed any more: everything in it that is live is elsewhere."""

    pack: OrderId


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedValue:
    """What a drive says under a name: its own name, a part of its policy, a tag."""

    name: str
    value: bytes
    """Empty if there is none any more."""
    seconds: int
    """When it was said, since 1970: the latest counts, of two at once the greater. `DriveState.new_value`
    takes care of that."""
    until: Epoch = NO_EPOCH
    """Of one that is no more: checkpoints repeat it until then, as for `WithdrawnCommit`."""

    @property
    def size_bytes(self) -> int:
        """What it counts towards MAX_VALUES_BYTES."""
        return len(self.name.encode()) + len(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupersededCommit:
    """A commit that another comes from: it is no head of the drive, also once that other is not kept."""

    id: ChunkId


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedChunk:
    """Where a chunk is in its pack."""

    type: ChunkType
    id: ChunkId
    offset_bytes: int
    size_bytes: int
    """As it is sealed."""


Record = (
    PublishedCommit
    | WithdrawnCommit
    | PackDescriptor
    | RetiredPack
    | DroppedPack
    | NamedValue
    | SupersededCommit
)
MOST_OF_A_KIND: Final[Mapping[type[Record], int]] = {
    PublishedCommit: MAX_COMMITS,
    WithdrawnCommit: MAX_COMMITS,
    SupersededCommit: MAX_COMMITS,
    PackDescriptor: MAX_NAMED_PACKS,
    RetiredPack: MAX_NAMED_PACKS,
    DroppedPack: MAX_NAMED_PACKS,
    NamedValue: MAX_VALUES,
}
"""How many records of each kind a journal may have. A journal with more is damaged, for everybody alike."""


class JournalLimits:
    """What is left of what one journal may say, beside its chunks. For its writer and its readers alike."""

    def __init__(self) -> None:
        self._left = Counter(MOST_OF_A_KIND)
        self._bytes_left = MAX_RECORDS_BYTES
        self._value_bytes_left = MAX_VALUES_BYTES

    def take(self, record: Record, size_bytes: int) -> bool:
        """Whether one more record fits, which takes so many bytes."""
        self._left[type(record)] -= 1
        self._bytes_left -= size_bytes
        self._value_bytes_left -= record.size_bytes if isinstance(record, NamedValue) else 0
        return min(self._left[type(record)], self._bytes_left, self._value_bytes_left) >= 0


def pack_header(header: Header) -> bytes:
    """The first record."""
    if len(header.device) > MAX_DEVICE_CHARACTERS or not header.device.isprintable():
        raise BadPack("A journal is from a device whose name is too long, or cannot be printed.")
    return _packed([0, VERSION, header.seconds, header.device, header.checkpoint or b""])


def pack_record(record: Record) -> bytes:
    """Any of the others."""
    match record:
        case PublishedCommit():
            return _packed([1, record.key])
        case WithdrawnCommit():
            return _packed([2, record.id, record.until])
        case PackDescriptor():
            return _packed([3, *_descriptor_row(record)])
        case RetiredPack():
            return _packed([4, record.pack])
        case DroppedPack():
            return _packed([5, record.pack])
        case NamedValue():
            _check_named(record)
            return _packed([7, record.name, record.value, record.seconds, record.until])
        case SupersededCommit():
            return _packed([8, record.id])


def unpack_record(raw: bytes) -> Record:
    """One of them, out of its bytes. Raises BadPack."""
    rows = list(_rows(iter((raw,))))
    if len(rows) != 1:
        raise BadPack("A record of a journal is none, or more than one.")
    return _record(rows[0][0])


def pack_chunk(chunk_type: ChunkType, chunk_id: ChunkId, size_bytes: int) -> bytes:
    """The record of a chunk."""
    return _packed([6, int(chunk_type), chunk_id, size_bytes])


class JournalReader:
    """Reads the records of one journal, from front to back."""

    def __init__(self, parts: Iterable[bytes], *, chunk_count: int, content_bytes: int) -> None:
        """`parts` is the journal, in parts of any size; the numbers are what the pack's end says. Raises
        BadPack, and what `parts` raises."""
        self._rows = _rows(iter(parts))
        self._chunk_count = chunk_count
        self._content_bytes = content_bytes
        self._first_chunk: list[Any] | None = None
        self.header: Final = _header(next(self._rows, (None, 0))[0])

    def records(self) -> Iterator[Record]:
        """All but the chunks."""
        limits = JournalLimits()
        for row, size_bytes in self._rows:
            if _number(row) == 6:
                self._first_chunk = row
                return
            record = _record(row)
            if not limits.take(record, size_bytes):
                raise BadPack(
                    "A journal says more than one journal may.",
                    detail="No sound device writes it: one that has the keys may be in foreign hands.",
                )
            yield record

    def chunks(self) -> Iterator[PlacedChunk]:
        """The chunks and where they stand; after `records`."""
        row, offset = self._first_chunk, 0
        for _ in range(self._chunk_count):
            if row is None:
                raise BadPack("A journal names fewer chunks than its pack has.")
            chunk = _chunk(row, offset)
            offset += chunk.size_bytes
            yield chunk
            row, _ = next(self._rows, (None, 0))
        if row is not None or offset != self._content_bytes:
            raise BadPack("A journal names other chunks than its pack has.")


def _rows(parts: Iterator[bytes]) -> Iterator[tuple[list[Any], int]]:
    """One record after the other and how many bytes it takes, with no more in memory than one takes."""
    unpacker = msgpack.Unpacker(
        raw=False,
        strict_map_key=True,
        max_buffer_size=1 << 20,
        max_array_len=MAX_SLOTS + 8,
        max_map_len=0,
        max_ext_len=0,
        max_bin_len=MAX_RECORD_BYTES,
        max_str_len=MAX_RECORD_BYTES,
    )
    fed = taken = 0
    while True:
        begun = fed
        while True:
            try:
                row = unpacker.unpack()
                break
            except msgpack.OutOfData:
                part = next(parts, None)
            except (ValueError, TypeError, msgpack.UnpackException) as error:
                raise BadPack(f"A journal cannot be read: {error}.") from error
            if part is None:
                if taken != fed:
                    raise BadPack("A journal ends in the middle of a record.")
                return
            if fed - begun > MAX_RECORD_BYTES:
                raise BadPack("A record of a journal is too long.")
            unpacker.feed(part)
            fed += len(part)
        begun, taken = taken, unpacker.tell()
        if taken - begun > MAX_RECORD_BYTES or not isinstance(row, list) or not row:
            raise BadPack("A journal has something that is no record, or too long for one.")
        yield row, taken - begun


def _header(row: list[Any] | None) -> Header:
    if row is None or len(row) != 5 or _number(row) != 0:
        raise BadPack("A journal does not begin as one.")
    _, version, seconds, device, checkpoint = row
    if version != VERSION or type(version) is not int:
        raise BadPack(
            f"A journal has version {version!r}, and this client reads {VERSION}.",
            hint="It may be from a newer version of Grange.",
        )
    if not _is_in(seconds, _SECONDS) or not isinstance(device, str) or not device.isprintable():
        raise BadPack("A journal does not say who wrote it, and when.")
    if len(device) > MAX_DEVICE_CHARACTERS or (checkpoint != b"" and not _is_hash(checkpoint)):
        raise BadPack("A journal does not say where the checkpoint before it is.")
    return Header(seconds=seconds, device=device, checkpoint=OrderId(checkpoint) if checkpoint else None)


def _record(row: list[Any]) -> Record:
    number, values = _number(row), row[1:]
    if number == 1 and len(values) == 1 and _is_hash(values[0]):
        return PublishedCommit(key=ChunkKey(values[0]))
    if number == 2 and len(values) == 2 and _is_hash(values[0]) and _is_in(values[1], _EPOCHS):
        return WithdrawnCommit(id=ChunkId(values[0]), until=Epoch(values[1]))
    if number == 3 and len(values) == 8:
        return _descriptor(values)
    if number == 4 and len(values) == 1 and _is_hash(values[0]):
        return RetiredPack(pack=OrderId(values[0]))
    if number == 5 and len(values) == 1 and _is_hash(values[0]):
        return DroppedPack(pack=OrderId(values[0]))
    if number == 7 and len(values) == 4:
        return _named_value(values)
    if number == 8 and len(values) == 1 and _is_hash(values[0]):
        return SupersededCommit(id=ChunkId(values[0]))
    raise BadPack("A journal has a record that there is not.")


def _chunk(row: list[Any], offset_bytes: int) -> PlacedChunk:
    if len(row) != 4 or _number(row) != 6:
        raise BadPack("A journal has something else among its chunks.")
    _, chunk_type, chunk_id, size_bytes = row
    if not _is_in(chunk_type, range(1, len(ChunkType) + 1)) or not _is_hash(chunk_id):
        raise BadPack("A journal has a chunk of a type or with an id that there is not.")
    if not _is_in(size_bytes, range(SEAL_BYTES + 1, MAX_SEALED_BYTES + 1)):
        raise BadPack("A journal has a chunk of a length that there is not.")
    return PlacedChunk(
        type=ChunkType(chunk_type), id=ChunkId(chunk_id), offset_bytes=offset_bytes, size_bytes=size_bytes
    )


def _named_value(values: list[Any]) -> NamedValue:
    name, value, seconds, until = values
    if not (isinstance(name, str) and isinstance(value, bytes)):
        raise BadPack("A journal has a named value of another form than there is.")
    if not (_is_in(seconds, _SECONDS) and _is_in(until, _EPOCHS)):
        raise BadPack("A journal has a named value with a time that there is not.")
    named = NamedValue(name=name, value=value, seconds=seconds, until=Epoch(until))
    _check_named(named)
    return named


def _check_named(named: NamedValue) -> None:
    if not 0 < len(named.name) <= MAX_NAME_CHARACTERS or not named.name.isprintable():
        raise BadPack("A named value of a drive has a name that is too long, or cannot be printed.")
    if len(named.value) > MAX_VALUE_BYTES:
        raise BadPack(f"A named value of a drive has more than {MAX_VALUE_BYTES:,} bytes.")
    if named.value and named.until:
        raise BadPack("A named value of a drive is there, and says until when it is not.")


def _descriptor_row(one: PackDescriptor) -> list[Any]:
    slots = [[s.farmer, s.root, _wide(s.rate), _wide(s.max_egress_price_per_gib), s.start] for s in one.slots]
    return [one.pack, one.order, one.block, one.end, one.k, one.leaf_count, one.piece_leaves, slots]


def _descriptor(values: list[Any]) -> PackDescriptor:
    pack, order, block, end, k, leaf_count, piece_leaves, slots = values
    if not (_is_hash(pack) and _is_hash(order) and isinstance(slots, list)):
        raise BadPack("A journal names a pack in a way that there is not.")
    if not (_is_in(block, _BLOCKS) and _is_in(end, _EPOCHS)):
        raise BadPack("A journal names a pack in a way that there is not.")
    if not (0 < len(slots) <= MAX_SLOTS and _is_in(k, range(1, len(slots) + 1))):
        raise BadPack("A journal names a pack with a number of slots that there is not.")
    if not (
        _is_in(leaf_count, range(1, MAX_LEAF_COUNT + 1))
        and _is_in(piece_leaves, range(1, MAX_PIECE_BYTES // LEAF_BYTES + 1))
        and not piece_leaves & (piece_leaves - 1)
        and not leaf_count % piece_leaves
    ):
        raise BadPack("A journal names a pack of a size that there is not.")
    return PackDescriptor(
        pack=OrderId(pack),
        order=OrderId(order),
        block=block,
        end=Epoch(end),
        k=k,
        leaf_count=leaf_count,
        piece_leaves=piece_leaves,
        slots=tuple(map(_slot, slots)),
    )


def _slot(row: Any) -> Slot:
    if not isinstance(row, list) or len(row) != 5:
        raise BadPack("A journal names a slot in a way that there is not.")
    farmer, root, rate, price, start = row
    amounts = _narrow(rate), _narrow(price)
    if not (_is_in(farmer, _EPOCHS) and _is_hash(root) and _is_in(start, _EPOCHS)):
        raise BadPack("A journal names a slot in a way that there is not.")
    return Slot(
        farmer=FarmerId(farmer),
        root=root,
        rate=amounts[0],
        max_egress_price_per_gib=amounts[1],
        start=Epoch(start),
    )


def _wide(amount: int) -> int | bytes:
    """Amounts may be larger than msgpack's numbers: then they are bytes, big endian."""
    return amount if amount < 1 << 64 else amount.to_bytes(16)


def _narrow(value: Any) -> int:
    amount = int.from_bytes(value) if isinstance(value, bytes) and len(value) == 16 else value
    if not _is_in(amount, _AMOUNTS):
        raise BadPack("A journal names an amount that there is not.")
    return int(amount)


def _number(row: list[Any]) -> int:
    return row[0] if type(row[0]) is int else -1


def _is_in(value: Any, allowed: range) -> bool:
    return type(value) is int and value in allowed


def _is_hash(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) == HASH_BYTES


def _packed(row: list[Any]) -> bytes:
    packed: bytes = msgpack.packb(row, use_bin_type=True)
    return packed

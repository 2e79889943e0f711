"""Packs: new chunks end to end, the journal behind them, and an end that says where it is.

    pack    = chunks | journal | filler | end (128 bytes)
    journal = sections of 64 KiB of records, the last one shorter, each sealed
    end     = check value (16 bytes) | sealed: version, bytes of chunks, bytes of records, chunks, capacity,
              hash of the journal

A pack fills the data pieces of an order, which are not sealed once more. To a farmer it is noise from front
to back: chunks and sections have no headers, and the filler is made like the rest. So neither lengths nor
borders show; what it sees is the size of the order, which is rounded up. A command that is killed may leave
another version of a pack at a farmer. So the filler follows from all that is in the pack: two versions have
none of it in common, and comparing them does not show where it begins.

The same chunks and records for the same order are the same bytes, so what was sent before a process was
killed need not be sent again.
"""

import hmac
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from struct import Struct
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from grange.errors import Misuse
from grange.types import OrderId
from grange_client.drive.chunk import SealedChunk, StoredChunk
from grange_client.drive.journal import (
    MAX_CHUNKS,
    Header,
    JournalLimits,
    JournalReader,
    PlacedChunk,
    Record,
    pack_chunk,
    pack_header,
    pack_record,
)
from grange_client.drive.keys import CHECK_BYTES, DriveKeys
from grange_client.drive.sealing import SEAL_BYTES, keyed_hash, open_sealed, seal
from grange_client.errors import BadPack, DriveFull, WrongDriveKey

END_BYTES: Final = 128
SECTION_BYTES: Final = 64 << 10
VERSION: Final = 1
MAX_JOURNAL_BYTES: Final = 80 << 20
"""Its records and its chunks: no reader has to take more."""
_END: Final = Struct(">8sQQQQ32s12x")
_MAGIC: Final = b"GRPACK\x00"
_END_CONTEXT: Final = b"grange/pack/1/end"
_SECTION_CONTEXT: Final = b"grange/journal/1"
_FILL_BYTES: Final = 1 << 20

Read = Callable[[int, int], bytes]
"""So many bytes of a pack from an offset on."""
Write = Callable[[bytes], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackEnd:
    """What the end of a pack says."""

    content_bytes: int
    """Of the chunks, which stand first."""
    journal_bytes: int
    """Of the records, before they are sealed."""
    chunk_count: int
    capacity_bytes: int
    """Of the whole pack."""
    journal_hash: bytes
    """SHA-256 of the sealed sections in a row."""

    @property
    def sections(self) -> int:
        """How many the journal has."""
        return -(-self.journal_bytes // SECTION_BYTES)

    @property
    def size_bytes(self) -> int:
        """Everything but the filler."""
        return self.content_bytes + self.journal_bytes + self.sections * SEAL_BYTES + END_BYTES


class PackWriter:
    """Lays out the pack of one order: chunks, then the journal, then the end. One thread at a time."""

    def __init__(self, keys: DriveKeys, order: OrderId, write: Write) -> None:
        """`write` takes the bytes of the pack in their order."""
        self._keys = keys
        self._order = order
        self._write = write
        self._content_bytes = 0
        self._chunk_count = 0
        self._chunk_rows = bytearray()
        self._journal_bytes: int | None = None
        self._journal_hash = sha256()

    @property
    def is_full(self) -> bool:
        """Whether it takes no more chunks."""
        return self._chunk_count == MAX_CHUNKS

    def add(self, chunk: SealedChunk | StoredChunk) -> int:
        """Where the chunk stands now. Raises Misuse behind the journal, and in a pack that is full."""
        if self._journal_bytes is not None or self.is_full:
            raise Misuse("this pack takes no more chunks")
        offset = self._content_bytes
        self._write(chunk.sealed)
        self._content_bytes += len(chunk.sealed)
        self._chunk_count += 1
        self._chunk_rows += pack_chunk(chunk.type, chunk.id, len(chunk.sealed))
        return offset

    def write_journal(self, header: Header, records: Iterable[Record]) -> int:
        """How many bytes the pack needs at least, now that everything is in it.

        Raises DriveFull if it says more than a journal may.
        """
        if self._journal_bytes is not None:
            raise Misuse("this pack has its journal")
        key = self._keys.pack_key(self._order, b"journal")
        self._journal_bytes = 0
        for index, section in enumerate(_sections(self._rows(header, records))):
            self._journal_bytes += len(section)
            sealed = seal(key, section, _section_context(index))
            self._journal_hash.update(sealed)
            self._write(sealed)
        return self._end(0).size_bytes

    def finish(self, capacity_bytes: int) -> None:
        """Fill the pack up to what its order holds. Raises Misuse if it has less than the pack needs."""
        end = self._end(capacity_bytes)
        missing = capacity_bytes - end.size_bytes
        if missing < 0:
            raise Misuse(f"a pack of {end.size_bytes} bytes does not fit into {capacity_bytes}")
        plain = _END.pack(
            _MAGIC + bytes([VERSION]),
            end.content_bytes,
            end.journal_bytes,
            end.chunk_count,
            end.capacity_bytes,
            end.journal_hash,
        )
        key = keyed_hash(self._keys.pack_key(self._order, b"filler"), plain)
        filler = Cipher(AES(key), CTR(bytes(16))).encryptor()
        while missing:
            part = min(missing, _FILL_BYTES)
            self._write(filler.update(bytes(part)))
            missing -= part
        sealed = seal(self._keys.pack_key(self._order, b"end"), plain, _END_CONTEXT)
        self._write(self._keys.check_value(self._order) + sealed)

    def _rows(self, header: Header, records: Iterable[Record]) -> Iterator[bytes]:
        yield pack_header(header)
        limits = JournalLimits()
        for record in records:
            row = pack_record(record)
            if not limits.take(record, len(row)):
                raise DriveFull(
                    "The drive has more packs, commits or tags than its readers take.",
                    detail="Nothing of this was published or paid.",
                    hint="Keep fewer versions and tags, or begin another drive.",
                )
            yield row
        for begin in range(0, len(self._chunk_rows), SECTION_BYTES):
            yield bytes(self._chunk_rows[begin : begin + SECTION_BYTES])

    def _end(self, capacity_bytes: int) -> PackEnd:
        if self._journal_bytes is None:
            raise Misuse("this pack has no journal yet")
        return PackEnd(
            content_bytes=self._content_bytes,
            journal_bytes=self._journal_bytes,
            chunk_count=self._chunk_count,
            capacity_bytes=capacity_bytes,
            journal_hash=self._journal_hash.digest(),
        )


class PackReader:
    """Finds what is in the pack of one order. Reads no more than what it is asked for."""

    def __init__(
        self,
        keys: DriveKeys,
        order: OrderId,
        capacity_bytes: int,
        read: Read,
        *,
        read_proven: Read | None = None,
    ) -> None:
        """Reads the pack's end. `order` is the one that the pack was sealed for. Where what `read` gives may
        not be what was stored, it is read again by `read_proven` if it does not open.

        Raises WrongDriveKey if this is no pack of the drive, BadPack if it is and is damaged, and what `read`
        raises.
        """
        self._keys = keys
        self._order = order
        self._read = read
        self._read_proven = read_proven
        self.end: Final = self._read_end(capacity_bytes)

    def journal(self) -> JournalReader:
        """The journal, from its beginning. Raises BadPack, and what `read` raises; so does what it gives."""
        return JournalReader(
            self._read_sections(),
            chunk_count=self.end.chunk_count,
            content_bytes=self.end.content_bytes,
        )

    def sealed_chunk(self, chunk: PlacedChunk) -> bytes:
        """The bytes of one chunk, not opened. Raises what `read` raises."""
        return self._read(chunk.offset_bytes, chunk.size_bytes)

    def _read_opened(
        self, offset_bytes: int, size_bytes: int, open_raw: Callable[[bytes], bytes | None]
    ) -> tuple[bytes, bytes | None]:
        """Some bytes, and what is in them; None if they do not open however they are read."""
        raw = self._read(offset_bytes, size_bytes)
        opened = open_raw(raw)
        if opened is None and self._read_proven is not None:
            raw = self._read_proven(offset_bytes, size_bytes)
            opened = open_raw(raw)
        return raw, opened

    def _read_end(self, capacity_bytes: int) -> PackEnd:
        if capacity_bytes < END_BYTES:
            raise BadPack(f"A pack has at least {END_BYTES} bytes.")
        key = self._keys.pack_key(self._order, b"end")
        raw, plain = self._read_opened(
            capacity_bytes - END_BYTES,
            END_BYTES,
            lambda raw: open_sealed(key, raw[CHECK_BYTES:], _END_CONTEXT),
        )
        if plain is None:
            if raw[:CHECK_BYTES] == self._keys.check_value(self._order):
                raise BadPack("The end of a pack is damaged.")
            raise WrongDriveKey(
                "An order is there, and does not open as a part of this drive.",
                detail="It is another drive's, or stored by `grange orders put`, or the key is a wrong one.",
                hint="Check the recovery phrase, and which drive it should be.",
            )
        magic, content_bytes, journal_bytes, chunk_count, capacity, journal_hash = _END.unpack(plain)
        if magic != _MAGIC + bytes([VERSION]):
            raise BadPack(
                "A pack has another version than this client reads.",
                hint="It may be from a newer version of Grange.",
            )
        end = PackEnd(
            content_bytes=content_bytes,
            journal_bytes=journal_bytes,
            chunk_count=chunk_count,
            capacity_bytes=capacity,
            journal_hash=journal_hash,
        )
        if (
            capacity != capacity_bytes
            or not 0 < journal_bytes <= MAX_JOURNAL_BYTES
            or chunk_count > MAX_CHUNKS
        ):
            raise BadPack("A pack has another size than it says, or more in it than a pack can have.")
        if end.size_bytes > capacity_bytes:
            raise BadPack("A pack says that there is more in it than fits.")
        return end

    def _read_sections(self) -> Iterator[bytes]:
        key = self._keys.pack_key(self._order, b"journal")
        offset, left = self.end.content_bytes, self.end.journal_bytes
        journal_hash = sha256()
        for index in range(self.end.sections):
            size = min(left, SECTION_BYTES)
            open_section = partial(open_sealed, key, context=_section_context(index))
            sealed, section = self._read_opened(offset, size + SEAL_BYTES, open_section)
            if section is None or len(section) != size:
                raise BadPack("The journal of a pack is damaged.")
            journal_hash.update(sealed)
            is_last = index == self.end.sections - 1
            if is_last and not hmac.compare_digest(journal_hash.digest(), self.end.journal_hash):
                raise BadPack("The journal of a pack has a part of another version of it.")
            yield section
            offset += size + SEAL_BYTES
            left -= size


def _section_context(index: int) -> bytes:
    return _SECTION_CONTEXT + index.to_bytes(8)


def _sections(rows: Iterable[bytes]) -> Iterator[bytes]:
    """The records in a row, cut into sections."""
    waiting = bytearray()
    for row in rows:
        waiting += row
        begin = 0
        while len(waiting) - begin >= SECTION_BYTES:
            yield bytes(waiting[begin : begin + SECTION_BYTES])
            begin += SECTION_BYTES
        del waiting[:begin]
    if waiting:
        yield bytes(waiting)

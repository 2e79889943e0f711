"""What a file is made of: references to its chunks, in a tree of lists where they are many.

    reference = key (32 bytes) | shared (1 bit) and length (63 bits), big endian
    list      = version 1 (1 byte) | level (1 byte) | references

Level 0 refers to data chunks, level 1 to lists of level 0, and so on; the length is that of all content
below.
Up to INLINE references stand in the file's entry, so most files have no list.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Self

from grange_client.drive.chunk import MAX_CONTENT_BYTES, ChunkKey, ChunkType
from grange_client.drive.chunk_store import ChunkReader, ChunkWriter
from grange_client.drive.levels import MAX_LEVEL, LevelBuilder
from grange_client.errors import BadTree

VERSION: Final = 1
INLINE: Final = 16
"""So many references may stand in an entry."""
KEY_BYTES: Final = 32
REFERENCE_BYTES: Final = 40
MAX_FILE_BYTES: Final = (1 << 63) - 1
_SHARED: Final = 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A data chunk of a file, or a list; `size_bytes` is the content below it."""

    key: ChunkKey = field(repr=False)
    size_bytes: int
    shared: bool = False
    """Whether it is in the scope that drives share; lists never are."""

    def packed(self) -> bytes:
        """Its REFERENCE_BYTES."""
        return self.key + (self.size_bytes | (_SHARED if self.shared else 0)).to_bytes(8)

    @classmethod
    def unpacked(cls, raw: bytes) -> Self:
        """Out of its REFERENCE_BYTES."""
        number = int.from_bytes(raw[KEY_BYTES:])
        return cls(key=ChunkKey(raw[:KEY_BYTES]), size_bytes=number & (_SHARED - 1), shared=number >= _SHARED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a file is made of."""

    level: int = 0
    references: tuple[Reference, ...] = ()

    @property
    def size_bytes(self) -> int:
        """How long the file is."""
        if len(self.references) == 1:
            # Most files, and this is asked often.
            return self.references[0].size_bytes
        return sum(one.size_bytes for one in self.references)


class ContentBuilder:
    """Makes the content of one file out of its data chunks, in their order."""

    def __init__(self, writer: ChunkWriter) -> None:
        self._writer = writer
        self._levels = LevelBuilder[tuple[Reference, int]](
            make_node=self._make_list, mark_of=lambda item: item[1], size_of=lambda item: REFERENCE_BYTES
        )

    def add(self, reference: Reference) -> None:
        """The next chunk."""
        self._levels.add((reference, int.from_bytes(reference.key[-8:])))

    def add_run(self, reference: Reference, count: int) -> None:
        """The same chunk so many times, as quickly as a few."""
        self._levels.add_run((reference, int.from_bytes(reference.key[-8:])), count)

    def finish(self) -> Content:
        """All of it."""
        level, items = self._levels.finish(lambda level: INLINE)
        return Content(level=level, references=tuple(reference for reference, _ in items))

    def _make_list(self, level: int, items: list[tuple[Reference, int]]) -> tuple[Reference, int]:
        references = [reference for reference, _ in items]
        packed = bytes([VERSION, level]) + b"".join(reference.packed() for reference in references)
        key = self._writer.write(ChunkType.LIST, packed)
        size_bytes = sum(reference.size_bytes for reference in references)
        return Reference(key=key, size_bytes=size_bytes), items[-1][1]


def check_content(content: Content) -> None:
    """Raise BadTree for what no file is made of, as far as it can be seen without reading a list."""
    if not 0 <= content.level <= MAX_LEVEL + 1 or (content.level and not content.references):
        raise BadTree(f"A file has a list of level {content.level}.")
    if len(content.references) > INLINE:
        raise BadTree(f"A file has {len(content.references)} references beside its name, more than {INLINE}.")
    if content.size_bytes > MAX_FILE_BYTES:
        raise BadTree("A file is longer than any file can be.")
    _check_references(content.level, content.references)


def read_references(
    reader: ChunkReader,
    content: Content,
    *,
    start: int = 0,
    end: int | None = None,
    skips: Callable[[int, int, Reference], bool] = lambda level, offset, reference: False,
) -> Iterator[tuple[int, Reference]]:
    """Where each data chunk of a file begins, and the chunk; of those only that have a byte of [start, end).

    Lists that have none of these bytes are not read. `skips` is told the level and the offset of each chunk
    (level 0) and list, and says which to leave out with all that is below. Memory is bounded however long the
    file is; time is not, unless something is left out: a few lists can say that a file has eight exbibytes.
    Raises BadTree, and what the reader and `skips` raise.
    """
    end = content.size_bytes if end is None else end
    pending = [(content.level, 0, iter(content.references))]
    while pending:
        level, offset, references = pending.pop()
        reference = next(references, None)
        if reference is None:
            continue
        pending.append((level, offset + reference.size_bytes, references))
        if offset >= end:
            return
        if offset + reference.size_bytes <= start or skips(level, offset, reference):
            continue
        if level:
            pending.append((level - 1, offset, iter(read_list(reader, reference, level - 1))))
        else:
            yield offset, reference


def chunks_of(reader: ChunkReader, content: Content) -> Iterator[tuple[ChunkType, Reference]]:
    """All chunks that a file is made of: lists, and what is in them; what a list has in it once, however
    often the list stands there. Raises BadTree, and what the reader raises."""
    pending = [(content.level, iter(content.references))]
    seen: set[ChunkKey] = set()
    while pending:
        level, references = pending[-1]
        reference = next(references, None)
        if reference is None:
            pending.pop()
            continue
        if level and reference.key in seen:
            continue
        yield ChunkType.LIST if level else ChunkType.DATA, reference
        if level:
            seen.add(reference.key)
            pending.append((level - 1, iter(read_list(reader, reference, level - 1))))


def read_list(reader: ChunkReader, above: Reference, level: int) -> tuple[Reference, ...]:
    """What a list of this level refers to, given what refers to it. Raises BadTree, and what the reader
    raises."""
    raw = reader.read(ChunkType.LIST, above.key)
    if len(raw) < 2 or raw[0] != VERSION:
        raise BadTree("A list of chunks has another version than this client reads, or none.")
    body = raw[2:]
    if raw[1] != level or not body or len(body) % REFERENCE_BYTES:
        raise BadTree("A list of chunks is not of the level or the length that it should be.")
    references = tuple(
        Reference.unpacked(body[place : place + REFERENCE_BYTES])
        for place in range(0, len(body), REFERENCE_BYTES)
    )
    _check_references(level, references)
    if sum(one.size_bytes for one in references) != above.size_bytes:
        raise BadTree("A list of chunks has more or fewer bytes than what names it says.")
    return references


def _check_references(level: int, references: tuple[Reference, ...]) -> None:
    limit = MAX_FILE_BYTES if level else MAX_CONTENT_BYTES[ChunkType.DATA]
    for one in references:
        if not 0 < one.size_bytes <= limit or (level and one.shared):
            raise BadTree("A file refers to a chunk of a size that it cannot have.")

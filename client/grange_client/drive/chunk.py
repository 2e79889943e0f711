"""Chunks: runs of a file's bytes, and what describes them, each sealed under a key of its own.

    key    = HMAC(the scope's secret for this type, content)       who has it can open the chunk
    id     = HMAC(key, "grange/chunk/1/id")                        what it is found by
    sealed = seal(key, stored form, "grange/chunk/1" | type | scope)

The key follows from the content, so equal content within a scope is one chunk; and the id follows from the
key, so a tree that names the keys of what is below it needs no ids. Neither tells anything to who has not the
scope's secret. A scope is a drive, or all drives of a phrase that share chunks. The type is part of the key
and of what the seal authenticates: a file whose bytes are those of a tree is never taken for one.

Anyone who was given the key of a chunk, to read it, could seal other content under it. So who has the secret
opens with `ChunkKeys.open`, which also compares the content with the key; `open_chunk` is for who was given
nothing but keys, and relies on the roots that are on chain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Final, NewType

from grange.seal import KEY_BYTES, Buffer
from grange_client.drive.sealing import SEAL_BYTES, keyed_hash, open_sealed, seal
from grange_client.drive.stored_form import Compress, compress, content_of, plain_form, smallest_form
from grange_client.errors import BadChunk, NotReadable

ChunkKey = NewType("ChunkKey", bytes)
ChunkId = NewType("ChunkId", bytes)

SCOPE_BYTES: Final = 16
_ID_LABEL: Final = b"grange/chunk/1/id"
_IDS_KEPT: Final = 8192
"""What is wanted at a time has fewer chunks, and each step on the way to one asks for its id again."""
_CONTEXT: Final = b"grange/chunk/1"


class ChunkType(IntEnum):
    """What a chunk holds; the numbers are part of the format."""

    DATA = 1
    """A run of a file's bytes."""
    LIST = 2
    """Which chunks a long file is made of."""
    TREE = 3
    """A directory, or a part of a large one."""
    COMMIT = 4


MAX_CONTENT_BYTES: Final[Mapping[ChunkType, int]] = {
    ChunkType.DATA: 4 << 20,
    ChunkType.LIST: 1 << 20,
    ChunkType.TREE: 1 << 20,
    ChunkType.COMMIT: 1 << 16,
}
MAX_SEALED_BYTES: Final = max(MAX_CONTENT_BYTES.values()) + 1 + SEAL_BYTES
"""The longest chunk: never more than its content, the byte of the form, and the seal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChunk:
    """A chunk as it is in a pack already, to go into another one: who copies it needs no key."""

    type: ChunkType
    id: ChunkId
    """What it is found by."""
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedChunk:
    """A chunk as it goes into a pack."""

    type: ChunkType
    key: ChunkKey = field(repr=False)
    sealed: bytes = field(repr=False)
    compressor_failed: bool
    """What the compressor wrote did not give the content back; it is stored as it is, and should be said."""

    @property
    def id(self) -> ChunkId:
        """What it is found by."""
        return id_of(self.key)


@lru_cache(maxsize=_IDS_KEPT)
def id_of(key: ChunkKey) -> ChunkId:
    """The id of the chunk with this key."""
    return ChunkId(keyed_hash(key, _ID_LABEL))


def open_chunk(chunk_type: ChunkType, key: ChunkKey, scope_id: bytes, sealed: Buffer) -> bytes:
    """The content of a chunk. Raises BadChunk if it was altered, or is of another type, key or scope."""
    if len(sealed) > MAX_SEALED_BYTES:
        raise BadChunk(f"A chunk has at most {MAX_SEALED_BYTES:,} bytes, and this has {len(sealed):,}.")
    stored = open_sealed(key, sealed, _context(chunk_type, scope_id))
    if stored is None:
        raise BadChunk(
            "A chunk does not open: it was altered, or is not what is named here.",
        )
    return content_of(stored, MAX_CONTENT_BYTES[chunk_type])


class ChunkKeys:
    """Makes and opens the chunks of one scope. Without state: threads may share one."""

    __slots__ = ("_secrets", "scope_id")

    def __init__(self, *, scope_id: bytes, secrets: Mapping[ChunkType, bytes]) -> None:
        assert len(scope_id) == SCOPE_BYTES
        assert all(len(secret) == KEY_BYTES for secret in secrets.values())
        self.scope_id = scope_id
        self._secrets = dict(secrets)

    def __repr__(self) -> str:
        return f"ChunkKeys({self.scope_id.hex()})"

    def key_of(self, chunk_type: ChunkType, content: Buffer) -> ChunkKey:
        """The key of the chunk with this content; by it one sees whether the chunk is there already."""
        return ChunkKey(keyed_hash(self._secrets[chunk_type], content))

    def seal(
        self,
        chunk_type: ChunkType,
        content: Buffer,
        *,
        key: ChunkKey | None = None,
        compress: Compress = compress,
    ) -> SealedChunk:
        """The chunk with this content, opened again and compared before it is returned.

        `key` is what `key_of` gave for the content, if it was asked before. Where the compressor's output
        does not give the content back, it is sealed as it is. Raises NotReadable if that does not open
        either.
        """
        if len(content) > MAX_CONTENT_BYTES[chunk_type]:
            raise ValueError(f"{len(content)} bytes are no {chunk_type.name} chunk")
        key = key or self.key_of(chunk_type, content)
        forms: tuple[Callable[[], bytes], ...] = (
            lambda: smallest_form(content, compress),
            lambda: plain_form(content),
        )
        for failed, form in enumerate(forms):
            sealed = seal(key, form(), _context(chunk_type, self.scope_id))
            if self._gives_back(chunk_type, key, sealed, content):
                return SealedChunk(type=chunk_type, key=key, sealed=sealed, compressor_failed=bool(failed))
        raise NotReadable(
            "What was sealed just now does not open again.",
            detail="Nothing of it was sent.",
            hint="This computer's memory or processor may be failing. Test it before you trust it with data.",
        )

    def open(self, chunk_type: ChunkType, key: ChunkKey, sealed: Buffer) -> bytes:
        """The content of a chunk, after it was compared with the key. Raises BadChunk."""
        content = open_chunk(chunk_type, key, self.scope_id, sealed)
        if self.key_of(chunk_type, content) != key:
            raise BadChunk("A chunk opens, and its content is not what its key was made of.")
        return content

    def _gives_back(self, chunk_type: ChunkType, key: ChunkKey, sealed: bytes, content: Buffer) -> bool:
        try:
            return open_chunk(chunk_type, key, self.scope_id, sealed) == content
        except BadChunk:
            return False


def _context(chunk_type: ChunkType, scope_id: bytes) -> bytes:
    return _CONTEXT + bytes([chunk_type]) + scope_id

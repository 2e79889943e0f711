"""Where every byte of an order is: from the stream of plaintext to blocks, segments, slots and pieces.

    stream:  file contents | manifest | zeros | trailer (64 bytes, ending the last block)
    block b: bytes [b x block_bytes, (b + 1) x block_bytes) of the stream; sealed, exactly one piece
    segment: k blocks, erasure-coded to n pieces; block b is piece b mod k of segment b div k
    slot i:  piece i of segment 0, of segment 1, ...

A pack of a drive is sealed in itself: its bytes are the data pieces as they are, `data_bytes` of them.

Decides the size of pieces and the form of the trailer. Leaves sealing to `grange.seal`, coding to
`grange.erasure`, and what a manifest says to the client.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final, Self

from grange.errors import BadTrailer, Misuse
from grange.units import LEAF_BYTES, MAX_LEAF_COUNT, MAX_PIECE_BYTES, MAX_SLOTS, TAG_BYTES

TRAILER_BYTES: Final = 64
MAX_PADDING_SHARE: Final = 32
"""Zeros fill at most one part in 32 of an order, unless it fits a single segment."""

MIN_PACK_BYTES: Final = 64 << 10
"""No pack has less: what changes little looks alike."""

_TRAILER: Final = Struct(">8sQQQ32s")
_MAGIC: Final = b"GRANGE\x00"
_VERSION: Final = 1
_NO_CODE: Final = f"k of n is from 1 of 1 to {MAX_SLOTS} of {MAX_SLOTS}, not {{}} of {{}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """The shape of one order. Raises Misuse for what no order can have."""

    k: int
    n: int
    piece_bytes: int
    segments: int

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n <= MAX_SLOTS:
            raise Misuse(_NO_CODE.format(self.k, self.n))
        if not is_piece_size(self.piece_bytes):
            raise Misuse(
                f"a piece is a power of two of {LEAF_BYTES} bytes up to {MAX_PIECE_BYTES}: {self.piece_bytes}"
            )
        if self.segments < 1 or self.leaf_count > MAX_LEAF_COUNT:
            raise Misuse(f"a slot has from 1 to {MAX_LEAF_COUNT} leaves, not {self.leaf_count}")

    @classmethod
    def for_stream(cls, stream_bytes: int, k: int, n: int) -> Self:
        """The shape for so many bytes of contents and manifest.

        The largest piece that leaves at most one part in MAX_PADDING_SHARE of zeros; if there is none, which
        happens only to what fits one segment, the smallest piece with which it does.
        """
        if stream_bytes < 0:
            raise Misuse(f"a stream of {stream_bytes} bytes")
        return cls._holding(stream_bytes + TRAILER_BYTES, k, n, tag_bytes=TAG_BYTES, share_of=stream_bytes)

    @classmethod
    def for_pack(cls, pack_bytes: int, k: int, n: int) -> Self:
        """The shape for a pack of so many bytes at least: what it holds follows from its size rounded up by
        `rounded_pack_bytes`, so that it tells no more than that."""
        if pack_bytes < 0:
            raise Misuse(f"a pack of {pack_bytes} bytes")
        size_bytes = rounded_pack_bytes(pack_bytes)
        return cls._holding(size_bytes, k, n, tag_bytes=0, share_of=size_bytes)

    @classmethod
    def _holding(cls, needed_bytes: int, k: int, n: int, *, tag_bytes: int, share_of: int) -> Self:
        if not 1 <= k <= n <= MAX_SLOTS:
            raise Misuse(_NO_CODE.format(k, n))
        smallest_whole = None
        piece_bytes = MAX_PIECE_BYTES
        while piece_bytes >= LEAF_BYTES:
            segment_bytes = k * (piece_bytes - tag_bytes)
            segments = -(-needed_bytes // segment_bytes)
            if (segments * segment_bytes - needed_bytes) * MAX_PADDING_SHARE <= share_of:
                return cls(k=k, n=n, piece_bytes=piece_bytes, segments=segments)
            if segments == 1:
                smallest_whole = piece_bytes
            piece_bytes //= 2
        assert smallest_whole is not None, (
            "with the smallest piece, anything beyond one segment is padded enough"
        )
        return cls(k=k, n=n, piece_bytes=smallest_whole, segments=1)

    @classmethod
    def from_leaves(cls, *, k: int, n: int, leaf_count: int, piece_leaves: int) -> Self:
        """The shape as the chain tells it: leaves in a slot and in a piece."""
        if piece_leaves < 1 or leaf_count % piece_leaves:
            raise Misuse(f"{leaf_count} leaves are not a whole number of pieces of {piece_leaves}")
        return cls(k=k, n=n, piece_bytes=piece_leaves * LEAF_BYTES, segments=leaf_count // piece_leaves)

    @property
    def piece_leaves(self) -> int:
        """Leaves in a piece."""
        return self.piece_bytes // LEAF_BYTES

    @property
    def leaf_count(self) -> int:
        """Leaves in a slot."""
        return self.segments * self.piece_leaves

    @property
    def slot_bytes(self) -> int:
        """What one farmer keeps."""
        return self.segments * self.piece_bytes

    @property
    def block_bytes(self) -> int:
        """Plaintext in one block: a piece without the seal's tag."""
        return self.piece_bytes - TAG_BYTES

    @property
    def blocks(self) -> int:
        """Blocks in the order."""
        return self.segments * self.k

    @property
    def capacity_bytes(self) -> int:
        """The plaintext stream with its zeros and trailer: all blocks, full."""
        return self.blocks * self.block_bytes

    @property
    def data_bytes(self) -> int:
        """What the data pieces hold: the size of a pack."""
        return self.blocks * self.piece_bytes

    def place_of(self, block: int) -> tuple[int, int]:
        """Segment and slot of a block."""
        if not 0 <= block < self.blocks:
            raise Misuse(f"there is no block {block} among {self.blocks}")
        return divmod(block, self.k)

    def block_at(self, segment: int, slot: int) -> int:
        """The block that is the piece of this segment in this slot, one of the first k."""
        if not (0 <= segment < self.segments and 0 <= slot < self.k):
            raise Misuse(f"no block is in segment {segment} of {self.segments}, slot {slot} of {self.k}")
        return segment * self.k + slot

    def blocks_of(self, offset_bytes: int, size_bytes: int) -> range:
        """The blocks that hold these bytes of the stream."""
        if offset_bytes < 0 or size_bytes < 0 or offset_bytes + size_bytes > self.capacity_bytes:
            raise Misuse(f"{size_bytes} bytes at {offset_bytes} are outside of {self.capacity_bytes}")
        if not size_bytes:
            return range(0)
        first = offset_bytes // self.block_bytes
        return range(first, (offset_bytes + size_bytes - 1) // self.block_bytes + 1)

    def piece_range(self, segment: int) -> tuple[int, int]:
        """Where the piece of a segment begins and ends in any slot, in bytes."""
        if not 0 <= segment < self.segments:
            raise Misuse(f"there is no segment {segment} among {self.segments}")
        start = segment * self.piece_bytes
        return start, start + self.piece_bytes


def rounded_pack_bytes(size_bytes: int) -> int:
    """A size of which only the first few binary digits are told: for 2^e bytes and more the others, all but
    as many as e has itself, are rounded up (Padme, in "Reducing Metadata Leakage from Encrypted Files and
    Communication with PURBs", 2019). At most one part in 32 more."""
    size_bytes = max(size_bytes, MIN_PACK_BYTES)
    exponent = size_bytes.bit_length() - 1
    step = 1 << (exponent - exponent.bit_length())
    return -(-size_bytes // step) * step


def is_piece_size(size_bytes: int) -> bool:
    """Whether a piece can have this size: a power of two of leaves, up to MAX_PIECE_BYTES."""
    return LEAF_BYTES <= size_bytes <= MAX_PIECE_BYTES and size_bytes & (size_bytes - 1) == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailer:
    """The last 64 bytes of the stream, big endian: magic, version, three lengths, the manifest's SHA-256."""

    manifest_offset_bytes: int
    manifest_bytes: int
    stream_bytes: int
    """Contents and manifest together, without zeros and trailer."""
    manifest_sha256: bytes

    def __post_init__(self) -> None:
        if not self._is_consistent() or len(self.manifest_sha256) != 32:
            raise Misuse(f"no stream ends with {self}")

    def _is_consistent(self) -> bool:
        return (
            self.manifest_offset_bytes >= 0
            and self.manifest_bytes >= 0
            and self.manifest_offset_bytes + self.manifest_bytes <= self.stream_bytes < 1 << 64
        )

    def pack(self) -> bytes:
        """The 64 bytes."""
        return _TRAILER.pack(
            _MAGIC + bytes([_VERSION]),
            self.manifest_offset_bytes,
            self.manifest_bytes,
            self.stream_bytes,
            self.manifest_sha256,
        )

    @classmethod
    def unpack(cls, raw: bytes, geometry: Geometry) -> Self:
        """Read the last 64 bytes of an order's stream.

        Raises BadTrailer when they have another magic or version, or name bytes that the order has not.
        """
        if len(raw) != TRAILER_BYTES:
            raise BadTrailer(f"a trailer has {TRAILER_BYTES} bytes, not {len(raw)}")
        magic, offset_bytes, manifest_bytes, stream_bytes, digest = _TRAILER.unpack(raw)
        if magic[:-1] != _MAGIC:
            raise BadTrailer("the order does not end with a Grange trailer: it was written by something else")
        if magic[-1] != _VERSION:
            raise BadTrailer(
                f"the order's layout is version {magic[-1]}; this program reads version {_VERSION}"
            )
        if offset_bytes + manifest_bytes > stream_bytes:
            raise BadTrailer(f"the trailer puts the manifest beyond the {stream_bytes} bytes of the stream")
        if stream_bytes > geometry.capacity_bytes - TRAILER_BYTES:
            raise BadTrailer(f"the trailer names {stream_bytes} bytes, more than the order holds")
        return cls(
            manifest_offset_bytes=offset_bytes,
            manifest_bytes=manifest_bytes,
            stream_bytes=stream_bytes,
            manifest_sha256=digest,
        )

"""Journals, chunks and files that a catalog is told of."""

from collections.abc import Callable, Iterable, Sequence
from random import Random

from client.drive.drive_samples import drive_keys

from grange.messages import Domain
from grange.types import Address, Epoch, FarmerId, OrderId, Slot
from grange_client.drive.catalog import Catalog
from grange_client.drive.chunk import ChunkId, ChunkKey, ChunkType, id_of
from grange_client.drive.content import Content, Reference
from grange_client.drive.drive_state import DriveState, Journal
from grange_client.drive.journal import (
    DroppedPack,
    Header,
    NamedValue,
    PackDescriptor,
    PlacedChunk,
    PublishedCommit,
    Record,
    RetiredPack,
    SupersededCommit,
    WithdrawnCommit,
)
from grange_client.drive.stamp import Stamp, StampedFile

KEYS = drive_keys()
DOMAIN = Domain(chain_id=1337, market=Address("0x1111111111111111111111111111111111111111"))
PACKS = 12
PATHS = [b"/home/ada/letter.txt", b"/home/ada/\xff", b"/", b"/home/ada/new\nline", b"x" * 4000]


def pack_id(number: int) -> OrderId:
    return OrderId(b"pack" + number.to_bytes(28))


def chunk_id(number: int) -> ChunkId:
    """Two of them begin alike."""
    return ChunkId((number // 2).to_bytes(31) + bytes([number]))


def commit_key(number: int) -> ChunkKey:
    return ChunkKey(b"commit" + number.to_bytes(26))


def descriptor(number: int, *, end: int = 50, order: int | None = None, block: int = 1) -> PackDescriptor:
    slot = Slot(farmer=FarmerId(1), root=bytes(32), rate=1 << 70, max_egress_price_per_gib=1, start=Epoch(0))
    return PackDescriptor(
        pack=pack_id(number),
        order=pack_id(number if order is None else order),
        block=block,
        end=Epoch(end),
        k=1,
        leaf_count=1,
        piece_leaves=1,
        slots=(slot,),
    )


def placed(numbers: Iterable[int]) -> list[PlacedChunk]:
    """Chunks of these numbers end to end; the length follows from the number."""
    chunks, offset = [], 0
    for number in numbers:
        size = 40 + number
        chunks.append(
            PlacedChunk(
                type=ChunkType(1 + number % 4), id=chunk_id(number), offset_bytes=offset, size_bytes=size
            )
        )
        offset += size
    return chunks


def journal(number: int, records: Sequence[Record] = (), *, checkpoint: int | None = None) -> Journal:
    header = Header(
        seconds=number, device="laptop", checkpoint=None if checkpoint is None else pack_id(checkpoint)
    )
    return Journal(pack=pack_id(number), header=header, records=tuple(records))


def stamped_file(number: int) -> StampedFile:
    references = tuple(
        Reference(key=commit_key(one), size_bytes=1 + one, shared=bool(one % 2)) for one in range(number % 17)
    )
    return StampedFile(
        stamp=Stamp(
            size_bytes=number,
            mtime_ns=-number,
            ctime_ns=(1 << 63) + number,
            inode=(1 << 64) - 1 - number,
            device=number,
        ),
        content=Content(level=0, references=references),
        read_seconds=number,
    )


def draw_world(drawn: Random) -> list[tuple[Journal, list[PlacedChunk]]]:
    """Packs whose chunks come from one small pool, with journals that say all kinds of things."""
    world = []
    for number in range(PACKS):
        others = drawn.sample(range(PACKS), drawn.randrange(5))
        records: list[Record] = [
            descriptor(one, end=drawn.randrange(100), block=drawn.randrange(9)) for one in others
        ]
        records += [PublishedCommit(key=commit_key(drawn.randrange(9))) for _ in range(drawn.randrange(3))]
        if not drawn.randrange(3):
            gone = id_of(commit_key(drawn.randrange(9)))
            records.append(WithdrawnCommit(id=gone, until=Epoch(drawn.randrange(100))))
        if not drawn.randrange(5):
            records.append(RetiredPack(pack=pack_id(drawn.randrange(PACKS))))
        if not drawn.randrange(8):
            records.append(DroppedPack(pack=pack_id(drawn.randrange(PACKS))))
        if not drawn.randrange(3):
            name, value = f"tag/{drawn.randrange(3)}", b"%d" % drawn.randrange(3)
            records.append(NamedValue(name=name, value=value, seconds=drawn.randrange(9)))
        if not drawn.randrange(3):
            records.append(SupersededCommit(id=id_of(commit_key(drawn.randrange(9)))))
        checkpoint = None if not drawn.randrange(4) else drawn.randrange(PACKS)
        chunks = placed(drawn.choices(range(24), k=drawn.randrange(12)))
        world.append((journal(number, records, checkpoint=checkpoint), chunks))
    return world


def view(catalog: Catalog) -> tuple[object, ...]:
    """Everything that a catalog says, but for what is marked."""
    ids = [chunk_id(number) for number in range(24)]
    pages = {}
    for number in range(PACKS):
        pages[number] = first = catalog.chunks_of(pack_id(number), limit=3)
        if first:
            pages[number] += catalog.chunks_of(pack_id(number), after=first[-1].offset_bytes)
    return catalog.state(), catalog.packs(), catalog.find(ids), pages, catalog.stamped(PATHS)


def reader_of(
    world: Sequence[tuple[Journal, list[PlacedChunk]]], reads: list[OrderId] | None = None
) -> Callable[[OrderId, PackDescriptor | None], tuple[Journal, list[PlacedChunk]]]:
    """What `fill` reads packs with; it notes which."""
    by_pack = {one.pack: (one, chunks) for one, chunks in world}

    def read(pack: OrderId, where: PackDescriptor | None) -> tuple[Journal, list[PlacedChunk]]:
        if reads is not None:
            reads.append(pack)
        return by_pack[pack]

    return read


def straight_state(world: Iterable[tuple[Journal, list[PlacedChunk]]]) -> DriveState:
    state = DriveState()
    for one, _ in world:
        state = state.with_journal(one)
    return state

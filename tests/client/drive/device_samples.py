"""Devices that write journals of one drive, each with what it has seen so far."""

from dataclasses import dataclass, field

from hypothesis import strategies as st

from grange.types import Epoch, FarmerId, OrderId, Slot
from grange_client.drive.chunk import ChunkKey, id_of
from grange_client.drive.drive_state import DriveState, Journal
from grange_client.drive.journal import (
    Header,
    PackDescriptor,
    PublishedCommit,
    Record,
    RetiredPack,
    WithdrawnCommit,
)

LIFE = 50
"""Epochs that a pack is paid for."""


def pack_id(number: int) -> OrderId:
    return OrderId(number.to_bytes(32))


def commit_key(number: int) -> ChunkKey:
    return ChunkKey(b"c" + number.to_bytes(31))


def descriptor(
    number: int, *, end: int = LIFE, order: OrderId | None = None, block: int = 1, farmer: int = 1
) -> PackDescriptor:
    slot = Slot(farmer=FarmerId(farmer), root=bytes(32), rate=1, start=Epoch(0))
    return PackDescriptor(
        pack=pack_id(number),
        order=order or pack_id(number),
        block=block,
        end=Epoch(end),
        k=1,
        leaf_count=1,
        piece_leaves=1,
        slots=(slot,),
    )


@dataclass
class World:
    """Packs as they were placed, and the epoch."""

    journals: dict[OrderId, Journal] = field(default_factory=dict)
    descriptors: dict[OrderId, PackDescriptor] = field(default_factory=dict)
    commits: int = 0


@dataclass
class Device:
    """Writes to a drive with what it has seen so far."""

    world: World
    state: DriveState = field(default_factory=DriveState)

    def sync(self) -> None:
        """See all that was placed."""
        for pack, journal in self.world.journals.items():
            if pack not in self.state.read and pack not in self.state.dropped:
                self.state = self.state.with_journal(journal)
            self.state = self.state.with_pack(self.world.descriptors[pack])

    def place(
        self,
        *,
        drop: tuple[OrderId, ...] = (),
        more: tuple[Record, ...] = (),
        epoch: int = 0,
        seconds: int | None = None,
    ) -> OrderId:
        """A pack with a new commit."""
        number = len(self.world.journals) + 1
        checkpoint, records = self.state.next_journal(Epoch(epoch), drop=drop, said=more)
        self.world.commits += 1
        commit = PublishedCommit(key=commit_key(self.world.commits))
        header = Header(
            seconds=number if seconds is None else seconds, device="laptop", checkpoint=checkpoint
        )
        journal = Journal(pack=pack_id(number), header=header, records=(*records, commit, *more))
        self.world.journals[journal.pack] = journal
        self.world.descriptors[journal.pack] = descriptor(number, end=epoch + LIFE)
        self.state = self.state.with_journal(journal).with_pack(self.world.descriptors[journal.pack])
        return journal.pack


ACTS = ("sync", "place", "withdraw", "drop", "retire", "say", "unsay")
acts = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["sync", "place", "place", "withdraw", "drop", "retire", "say", "unsay"]),
    ),
    max_size=30,
)


def play(steps: list[tuple[int, str]]) -> tuple[World, list[Device]]:
    world = World()
    devices = [Device(world) for _ in range(3)]
    for number, act in steps:
        device = devices[number]
        if act == "sync":
            device.sync()
        elif act == "withdraw" and device.state.live_commits:
            oldest = min(device.state.live_commits.values())
            device.place(more=(WithdrawnCommit(id=id_of(oldest), until=Epoch(1000)),))
        elif act == "drop" and device.state.live_packs:
            device.sync()
            device.place(drop=(min(device.state.live_packs),))
        elif act == "retire" and device.state.live_packs:
            device.place(more=(RetiredPack(pack=min(device.state.live_packs)),))
        elif act in ("say", "unsay"):
            value = b"" if act == "unsay" else b"%d" % len(world.journals)
            name = f"tag/{len(world.journals) % 3}"
            device.place(more=(device.state.new_value(name, value, seconds=number, gone_until=Epoch(1000)),))
        elif act == "place":
            device.place()
    return world, devices

"""What all journals of a drive say together: its commits, and where its packs are.

Journals are added up in any order, some of them twice, from any number of devices: what is said to be there
is there until somebody says that it is gone, and gone is for good, since nothing gets the same id again. So
two devices that have seen the same journals know the same, whatever happened at once.

The newest journal leads to all others, without the chain's old logs: every journal names the packs since the
last checkpoint, and the pack that has it; a checkpoint names everything that is live, and a commit of a pack
that it names is live if it says so. Then the journals of the live packs say which chunks are where. What that
takes grows with what is live and not with history.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self, TypeVar

from grange.errors import Misuse, UserError
from grange.types import Epoch, OrderId
from grange_client.drive.chunk import ChunkId, ChunkKey, id_of
from grange_client.drive.journal import (
    MAX_COMMITS,
    MAX_SECONDS,
    NO_EPOCH,
    DroppedPack,
    Header,
    NamedValue,
    PackDescriptor,
    PublishedCommit,
    Record,
    RetiredPack,
    SupersededCommit,
    WithdrawnCommit,
)
from grange_client.drive.named_values import DriveValues, count_values, fits, later_value
from grange_client.errors import BadPack, DriveFull, JournalsUnread

MAX_BETWEEN: Final = 16
"""So many packs since the last checkpoint are named; the next journal is a checkpoint."""
MAX_PACKS: Final = 100_000
"""So many packs of a drive are looked at."""
Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What a journal says, without its chunks, and which pack it is in."""

    pack: OrderId
    header: Header
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveState:
    """What is known of a drive. Everything in it only grows; what is live follows."""

    read: frozenset[OrderId] = frozenset()
    """The packs whose journals were added."""
    packs: Mapping[OrderId, PackDescriptor] = field(default_factory=dict)
    """Where packs are, by the order that each was sealed for; those that are not needed any more, too."""
    retired: frozenset[OrderId] = frozenset()
    dropped: frozenset[OrderId] = frozenset()
    commits: Mapping[ChunkId, ChunkKey] = field(default_factory=dict)
    """All that were published."""
    publishers: Mapping[ChunkId, frozenset[OrderId]] = field(default_factory=dict)
    """Which packs publish each of them."""
    withdrawn: Mapping[ChunkId, Epoch] = field(default_factory=dict)
    """Those of them that are not kept any more, and until when that has to be said."""
    checkpoints: Mapping[OrderId, tuple[int, frozenset[OrderId]]] = field(default_factory=dict)
    """Of each checkpoint: when it was written, and which packs it names."""
    named_values: Mapping[NamedValue, frozenset[OrderId]] = field(default_factory=dict)
    """All that was ever said under names, and which packs say it."""
    superseded: frozenset[ChunkId] = frozenset()
    """Commits that others come from, whether these are kept or not."""

    @property
    def live_packs(self) -> dict[OrderId, PackDescriptor]:
        """The packs that are needed."""
        return {pack: where for pack, where in self.packs.items() if pack not in self.dropped}

    @property
    def leanable_packs(self) -> dict[OrderId, PackDescriptor]:
        """The packs in which a new commit may rely on a chunk that is there already."""
        return {pack: where for pack, where in self.live_packs.items() if pack not in self.retired}

    @property
    def live_commits(self) -> dict[ChunkId, ChunkKey]:
        """The commits that are kept: of packs that a checkpoint names, those that it says are."""
        covered = self.covered_packs
        return {
            one: key
            for one, key in self.commits.items()
            if one not in self.withdrawn and not self.publishers[one] <= covered
        }

    @property
    def heads(self) -> dict[ChunkId, ChunkKey]:
        """The live commits that no other comes from: mostly one, and two where two devices wrote at once.

        None if all of these were withdrawn, or somebody said so of all: `edits.known_commits` tells then by
        the commits. Who writes a commit says of its parents that they are superseded
        (`publish_commit`): by the commits alone one could not tell, once one in the middle is not kept.
        """
        return {one: key for one, key in self.live_commits.items() if one not in self.superseded}

    @property
    def values(self) -> dict[str, bytes]:
        """What is said under each name: the drive's name, its policy, tags."""
        return {name: one.value for name, one in self._counted_values.latest.items() if one.value}

    @property
    def values_left_out(self) -> tuple[str, ...]:
        """Names under which something was said beyond what a drive may have: a person should know, and the
        next checkpoint does not repeat them."""
        return self._counted_values.left_out

    def new_value(self, name: str, value: bytes, *, seconds: int, gone_until: Epoch = NO_EPOCH) -> NamedValue:
        """The record that says `value` under a name from now on, for the next journal.

        `seconds` is the time now; where a clock that is ahead has said something before, the record gets a
        later time than that. Where no time is later, the journal has to be a checkpoint: `next_journal` sees
        to it. An empty value takes away what is there: checkpoints say so until `gone_until`. Raises
        DriveFull.
        """
        latest = self._counted_values.latest
        before = latest.get(name)
        after = seconds if before is None else max(seconds, before.seconds + 1)
        new = NamedValue(
            name=name,
            value=value,
            seconds=min(after, MAX_SECONDS),
            until=NO_EPOCH if value else gone_until,
        )
        if value and not fits(latest, new):
            raise DriveFull(
                "The drive has as many tags and settings as its readers take.",
                detail="Nothing of this was published or paid.",
                hint="Take tags away that you do not need.",
            )
        return new

    @property
    def covered_packs(self) -> frozenset[OrderId]:
        """The packs that some checkpoint names: of what these say, only that is live which it repeats. Who
        lets another pack end loses what only its journal says."""
        return frozenset[OrderId]().union(*(named for _, named in self.checkpoints.values()))

    @property
    def _counted_values(self) -> DriveValues:
        return count_values(self.named_values, self.covered_packs)

    @property
    def checkpoint(self) -> OrderId | None:
        """The newest checkpoint; of two at once the same for everybody.

        One that names the pack of another is newer than it. The clocks of devices only decide between those
        that do not know each other, so one that is years ahead is passed like any other.
        """
        passed = {one for pack, (_, named) in self.checkpoints.items() for one in named if one != pack}
        candidates = (self.checkpoints.keys() - passed) or self.checkpoints.keys()
        return max(candidates, key=lambda one: (self.checkpoints[one][0], one), default=None)

    def with_journal(self, journal: Journal) -> Self:
        """What is known with one more journal."""
        builder = _StateBuilder(self)
        builder.add(_said_by(journal))
        return type(self)(**builder.fields())

    def with_pack(self, descriptor: PackDescriptor) -> Self:
        """What is known once the chain shows where a pack is, or that this changed."""
        return self.joined(type(self)(packs={descriptor.pack: descriptor}))

    def without_packs(self, packs: Collection[OrderId]) -> Self:
        """What is known but for where some packs are: journals name them, and the market does not have them.
        The next journal does not name them, and does not drop them either: one that is there after all is
        found by others as it was."""
        return replace(self, packs={one: where for one, where in self.packs.items() if one not in packs})

    def joined(self, other: Self) -> Self:
        """What two know together; the same whichever of them is asked."""
        builder = _StateBuilder(self)
        builder.add(other)
        return type(self)(**builder.fields())

    def next_journal(
        self,
        epoch: Epoch,
        *,
        drop: Collection[OrderId] = (),
        lost: Collection[OrderId] = (),
        said: Collection[Record] = (),
        is_checkpoint: bool = False,
    ) -> tuple[OrderId | None, list[Record]]:
        """What the next journal says of earlier packs: the checkpoint that its header names, and records.

        The packs since the checkpoint; or None and everything that is live, which makes it a checkpoint,
        where there are more than MAX_BETWEEN, or some are dropped: their journals will not be read any more.
        So it is with `is_checkpoint`, and where a value that is to be `said` has no later time than the one
        that is there, or there are too many: a checkpoint repeats no value that is said again or does not
        fit. What is over in `epoch` is left out then. The caller puts what it has to say behind.

        While a live pack could not be read, no checkpoint replaces its journal, and packs are named beyond
        MAX_BETWEEN. `lost` are packs that are given up: they are dropped unread, with what only they have.
        Raises Misuse where a checkpoint is needed, and journals of other live packs were not added;
        JournalsUnread if it is needed for a value.
        """
        checkpoint, live = self.checkpoint, self.live_packs
        gone = frozenset(drop) | frozenset(lost)
        unread = live.keys() - self.read - frozenset(lost)
        outdone = self._outdone(said)
        if unread and outdone:
            raise JournalsUnread(
                f"{outdone[0]} cannot be changed now: {len(unread)} packs of the drive could not be read.",
                detail="What it says was written by a device whose clock is wrong for good, or that is in "
                "foreign hands. To pass it, all packs have to be read. Nothing was published or paid.",
                hint="Run this again when their farmers answer.",
            )
        # What does not fit is not repeated: so there is room for what is said.
        says_values = any(isinstance(one, NamedValue) for one in said)
        is_overfull = says_values and bool(self.values_left_out) and not unread
        is_checkpoint |= bool(gone or outdone) or is_overfull
        if checkpoint is not None and checkpoint in live and not is_checkpoint:
            named = self.checkpoints[checkpoint][1]
            since = [where for pack, where in live.items() if pack not in named]
            if len(since) <= MAX_BETWEEN or unread:
                return checkpoint, _sorted(since)
        if unread:
            raise Misuse(f"the journals of {len(unread)} packs were not read, and a checkpoint replaces them")
        return None, _sorted(self._everything(epoch, gone, said))

    def _outdone(self, said: Iterable[Record]) -> list[str]:
        """The names under which something is to be said that would not count beside what is there."""
        latest = self._counted_values.latest
        values = [one for one in said if isinstance(one, NamedValue) and one.name in latest]
        return [one.name for one in values if later_value(one, latest[one.name]) != one]

    def _everything(self, epoch: Epoch, gone: frozenset[OrderId], said: Iterable[Record]) -> list[Record]:
        # That a pack is dropped is said once at least, even of one that is over already. Of a pack that
        # nothing else is known of it need not be said: nobody comes to it.
        dropped = (self.dropped & self.packs.keys()) - gone
        over = {pack for pack in dropped if self.packs[pack].end <= epoch}
        renamed = {one.name for one in said if isinstance(one, NamedValue)}
        withdrawn_now = {one.id for one in said if isinstance(one, WithdrawnCommit)}
        values = [one for name, one in self._counted_values.latest.items() if name not in renamed]
        return [
            *(where for pack, where in self.packs.items() if pack not in over),
            *(PublishedCommit(key=key) for one, key in self.live_commits.items() if one not in withdrawn_now),
            *self._still_withdrawn(epoch, MAX_COMMITS - len(withdrawn_now)),
            *(SupersededCommit(id=one) for one in self.superseded & self.live_commits.keys()),
            *(one for one in values if one.value or one.until > epoch),
            *(RetiredPack(pack=pack) for pack in (self.retired & self.packs.keys()) - over),
            *(DroppedPack(pack=pack) for pack in (dropped | gone) - over),
        ]

    def _still_withdrawn(self, epoch: Epoch, most: int) -> list[Record]:
        """Those that would come back; of too many the ones that have to be said for the shortest time, since
        who floods a drive would say `until` the end of time."""
        left = sorted((until, one) for one, until in self.withdrawn.items() if until > epoch)
        return [WithdrawnCommit(id=one, until=until) for until, one in left[: max(0, most)]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What `recover` found, and what it did not."""

    state: DriveState
    missing: Mapping[OrderId, UserError]
    """The live packs whose journals could not be read, and why. Commits, chunks and older packs that only
    these name are not known."""


def supersede(parents: Iterable[ChunkKey]) -> list[Record]:
    """What a journal says of commits that are no heads any more."""
    return [SupersededCommit(id=id_of(key)) for key in parents]


def publish_commit(key: ChunkKey, parents: Iterable[ChunkKey]) -> tuple[Record, ...]:
    """What the journal that publishes a commit says: that it is one, and its parents no heads any more."""
    return (PublishedCommit(key=key), *supersede(parents))


def recover(
    newest: Iterable[OrderId],
    read_journal: Callable[[OrderId, PackDescriptor | None], Journal],
    *,
    known: DriveState | None = None,
) -> Recovery:
    """What is known of a drive, from its newest packs alone: the rest is found by what they name.

    `read_journal` is given where a pack is, as far as a journal said it. A pack that is known to be dropped
    is not read, and none whose journal is part of what was `known` before. One for which `read_journal`
    raises a UserError is passed over, and tried again if a journal says that it is elsewhere. So are packs
    beyond MAX_PACKS. Raises the first of these errors if no journal at all can be read, and what else
    `read_journal` raises.
    """
    builder = _StateBuilder(known or DriveState())
    missing: dict[OrderId, UserError] = {}
    tried: dict[OrderId, object] = {}
    pending = deque([*newest, *(known.live_packs if known else ())])
    while pending:
        pack = pending.popleft()
        where = builder.packs.get(pack)
        place = where and (where.order, where.slots)
        if pack in builder.read or pack in builder.dropped or (pack in missing and tried[pack] == place):
            continue
        tried[pack] = place
        if len(builder.read) + len(missing) >= MAX_PACKS:
            # Not raised: a hostile device that names endless packs would close the whole drive.
            missing[pack] = _TOO_MANY_PACKS
            continue
        try:
            journal = read_journal(pack, where)
        except UserError as error:
            missing[pack] = error
            continue
        missing.pop(pack, None)
        builder.add(_said_by(journal))
        named = (one.pack for one in journal.records if isinstance(one, PackDescriptor))
        pending.extend(one for one in named if one not in builder.read)
    if missing and not builder.read:
        raise next(iter(missing.values()))
    return Recovery(
        state=DriveState(**builder.fields()),
        missing={pack: error for pack, error in missing.items() if pack not in builder.dropped},
    )


_TOO_MANY_PACKS: Final = BadPack(f"A drive has more than {MAX_PACKS:,} packs: this one was not looked at.")


class _StateBuilder:
    """Adds up states in place, so that a thousand journals are not copied a thousand times."""

    def __init__(self, state: DriveState) -> None:
        self.read = set(state.read)
        self.packs = dict(state.packs)
        self.retired = set(state.retired)
        self.dropped = set(state.dropped)
        self.commits = dict(state.commits)
        self.publishers = dict(state.publishers)
        self.withdrawn = dict(state.withdrawn)
        self.checkpoints = dict(state.checkpoints)
        self.named_values = dict(state.named_values)
        self.superseded = set(state.superseded)

    def add(self, other: DriveState) -> None:
        self.read |= other.read
        self.retired |= other.retired
        self.dropped |= other.dropped
        self.commits |= other.commits
        _add(self.packs, other.packs, _later)
        _add(self.publishers, other.publishers, frozenset.union)
        _add(self.withdrawn, other.withdrawn, max)
        _add(self.checkpoints, other.checkpoints, max)
        self.superseded |= other.superseded
        _add(self.named_values, other.named_values, frozenset.union)

    def fields(self) -> dict[str, Any]:
        """Of the DriveState that it is now."""
        return {
            "read": frozenset(self.read),
            "packs": self.packs,
            "retired": frozenset(self.retired),
            "dropped": frozenset(self.dropped),
            "commits": self.commits,
            "publishers": self.publishers,
            "withdrawn": self.withdrawn,
            "checkpoints": self.checkpoints,
            "named_values": self.named_values,
            "superseded": frozenset(self.superseded),
        }


def _said_by(journal: Journal) -> DriveState:
    """What one journal says."""
    records = journal.records
    published = [one.key for one in records if isinstance(one, PublishedCommit)]
    packs: dict[OrderId, PackDescriptor] = {}
    withdrawn: dict[ChunkId, Epoch] = {}
    for record in records:
        if isinstance(record, PackDescriptor):
            _add(packs, {record.pack: record}, _later)
        elif isinstance(record, WithdrawnCommit):
            _add(withdrawn, {record.id: record.until}, max)
    named = [one for one in records if isinstance(one, NamedValue)]
    is_checkpoint = journal.header.checkpoint is None
    return DriveState(
        read=frozenset({journal.pack}),
        packs=packs,
        retired=frozenset(one.pack for one in records if isinstance(one, RetiredPack)),
        dropped=frozenset(one.pack for one in records if isinstance(one, DroppedPack)),
        commits={id_of(key): key for key in published},
        publishers={id_of(key): frozenset({journal.pack}) for key in published},
        withdrawn=withdrawn,
        checkpoints={journal.pack: (journal.header.seconds, frozenset(packs))} if is_checkpoint else {},
        named_values=dict.fromkeys(named, frozenset({journal.pack})),
        superseded=frozenset(one.id for one in records if isinstance(one, SupersededCommit)),
    )


def _later(one: PackDescriptor, other: PackDescriptor) -> PackDescriptor:
    """Of two descriptors of a pack the one that the chain showed last.

    A repair changes slots and not the end, and a reorg may take an extension back: nothing but the block
    says which is the later one.
    """
    if one == other:
        return one
    return max(one, other, key=lambda where: (where.block, where.end, where.order, repr(where.slots)))


def _add(
    to: MutableMapping[Key, Value], more: Mapping[Key, Value], choose: Callable[[Value, Value], Value]
) -> None:
    """Put entries to others; where there is one with the same key, the one that is chosen."""
    for key, value in more.items():
        to[key] = choose(to[key], value) if key in to else value


def _sorted(records: Sequence[Record]) -> list[Record]:
    """In the order in which everybody writes them."""
    return sorted(records, key=lambda record: (type(record).__name__, repr(_sort_key(record))))


def _sort_key(record: Record) -> bytes:
    match record:
        case PublishedCommit():
            return record.key
        case WithdrawnCommit() | SupersededCommit():
            return record.id
        case NamedValue():
            return record.name.encode()
        case _:
            return record.pack

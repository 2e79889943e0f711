"""One slot on its way to a farmer: which farmer, which pieces that one has, and who could take its place."""

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from grange.executors import Executors
from grange.kernel import merkle_roots
from grange.peer import Peer
from grange.transfer.acceptance import Keeper
from grange.types import FarmerId


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One slot's part of one segment."""

    slot: int
    segment: int
    data: bytes
    root: bytes


async def hash_pieces(segment: int, data_by_slot: Mapping[int, bytes], executors: Executors) -> list[Piece]:
    """Pieces of a segment that were rebuilt, with their roots."""
    roots = await executors.on_cpu(merkle_roots, list(data_by_slot.values()))
    return [
        Piece(slot=slot, segment=segment, data=data, root=root)
        for (slot, data), root in zip(data_by_slot.items(), roots, strict=True)
    ]


class Candidates:
    """The farmers that could step in, best first, and what became of those that were replaced."""

    def __init__(self, keepers: Iterable[Keeper] = (), *, more_elsewhere: bool = False) -> None:
        """With `more_elsewhere` the caller finds others when these are used up."""
        self._waiting = deque(keepers)
        self._slow = deque[Keeper]()
        self._more_elsewhere = more_elsewhere
        self.failures: dict[FarmerId, str] = {}

    @property
    def is_exhausted(self) -> bool:
        """Whether nobody could take the place of a keeper that fails."""
        return not self._slow and not self.has_untried

    @property
    def has_untried(self) -> bool:
        """Whether somebody could take the place of a keeper that is merely slow."""
        return bool(self._waiting) or self._more_elsewhere

    def take(self) -> Keeper | None:
        """The next one; one that was slow where all others are used up."""
        if self._waiting:
            return self._waiting.popleft()
        if not self._slow:
            return None
        slow = self._slow.popleft()
        self.failures.pop(slow.farmer.id, None)
        return slow

    def put_back(self, keeper: Keeper) -> None:
        """One that was slow: better than none, unless others are to be found elsewhere."""
        if not self._more_elsewhere:
            self._slow.append(keeper)


class Batch:
    """The pieces of one segment on their way: `is_done` is set when each of them has arrived."""

    def __init__(self, count: int) -> None:
        self._left = count
        self.is_done = asyncio.Event()

    def note_arrival(self) -> None:
        """One more is there, or not wanted any more."""
        self._left -= 1
        if not self._left:
            self.is_done.set()


class SlotUpload:
    """Who is to keep a slot, what it has of it, and what is on its way. Changed by `SlotPush` alone."""

    def __init__(self, number: int, keeper: Keeper, segments: int, *, is_whole: bool) -> None:
        self.number = number
        self.stored = bytearray(segments)
        self.queue = asyncio.Queue[tuple[Piece, Batch]]()
        self.flights: dict[asyncio.Timeout, float] = {}
        """Pieces on their way, and since when. Each ends when its keeper is replaced."""
        self.slow_before_seconds = 0.0
        """What a piece took the keeper before this one, if that one was slow."""
        self.give(keeper)
        if is_whole:
            self.stored = bytearray(b"\1" * segments)
            self.is_counted = True

    def give(self, keeper: Keeper | None) -> None:
        """Begin again with another keeper, or with none; what is on its way to the old one ends."""
        self.keeper = keeper
        self.peer: Peer | None = None
        self.stored = bytearray(len(self.stored))
        self.is_counted = False
        """Whether its keeper was asked what it has already."""
        self.is_sent = False
        self.recounts = 0
        self.seconds: float | None = None
        """What the last piece took; None before the first."""
        self.slow_in_a_row = 0
        for flight in self.flights:
            flight.reschedule(0.0)
        self.flights.clear()

    @property
    def is_whole(self) -> bool:
        """Whether its keeper has all pieces."""
        return all(self.stored)

    def note(self, held: Collection[int]) -> None:
        """Its keeper has these pieces besides."""
        for segment in held:
            self.stored[segment] = 1

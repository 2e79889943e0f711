"""One slot while it is being filled: which farmer has it, and which pieces that farmer has.

                   a piece fails for good, or is slow
            .------------------------------------------.
            v                                          |
    farmer given -> pieces arrive -> all there -> promise asked -> promised
            ^                                          |              |
            '------------------------------------------'--------------'
                   a refusal, a lie                       it lapsed: ask again

A lane changes its farmer as often as there are spares (`Spares`); the pieces sent before are then missing
again. Leaves what is sent and when to `upload`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable

from grange.errors import Told
from grange.peer import FarmerLied, Peer
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import FarmerFailed, FarmerReplaced, Listener
from grange.transfer.selection import Chosen
from grange.types import Acceptance, FarmerId


class Spares:
    """The farmers that are still to be had, best first, and what became of those that were."""

    def __init__(self, chosen: Iterable[Chosen]) -> None:
        self._waiting = deque(chosen)
        self.failures: dict[FarmerId, str] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> Chosen:
        """The next one. Raises NotEnoughFarmers when there is none."""
        if not self._waiting:
            raise NotEnoughFarmers(
                "Too many farmers failed, and there is none left to replace them.",
                failures={f"farmer {farmer}": reason for farmer, reason in self.failures.items()},
                missing=1,
                means="Nothing was placed and nothing is paid.",
                todo="Try again later, or with a smaller --n.",
            )
        return self._waiting.popleft()


class Lane:
    """One slot on its way to one farmer."""

    def __init__(
        self, slot: int, segments: int, spares: Spares, open_peer: Callable[[Chosen], Peer], watch: Listener
    ) -> None:
        self.slot = slot
        self.acceptance: Acceptance | None = None
        self.gate = asyncio.Semaphore(1)
        self._segments = segments
        self._spares = spares
        self._open_peer = open_peer
        self._watch = watch
        self._stored = bytearray(segments)
        self._sending: set[asyncio.Task[None]] = set()
        self._give(spares.take())

    def _give(self, chosen: Chosen) -> None:
        self.chosen = chosen
        self.recounts = 0
        self.peer = self._open_peer(chosen)

    @property
    def farmer(self) -> FarmerId:
        """Who has the slot at the moment."""
        return self.chosen.farmer.id

    def has(self, segment: int) -> bool:
        """Whether the present farmer has its piece of a segment."""
        return bool(self._stored[segment])

    def missing(self) -> list[int]:
        """Segments of which the present farmer has no piece."""
        return [segment for segment, there in enumerate(self._stored) if not there]

    def recount(self, held: Collection[int]) -> bool:
        """Believe of the present farmer only that it has these pieces. Whether some are missing now."""
        self.recounts += 1
        self._stored = bytearray(segment in held for segment in range(self._segments))
        return not all(self._stored)

    def can_replace(self) -> bool:
        """Whether there is anybody to take over."""
        return len(self._spares) > 0

    def replace(self, chosen: Chosen, error: Told) -> None:
        """Give the slot to a spare, unless `chosen` has lost it already. Raises NotEnoughFarmers."""
        if self.chosen is not chosen:
            return
        old = chosen.farmer.id
        self._spares.failures[old] = error.what
        self._watch(
            FarmerFailed(slot=self.slot, farmer=old, reason=error.what, lied=isinstance(error, FarmerLied))
        )
        self._give(self._spares.take())
        self._stored = bytearray(self._segments)
        self.acceptance = None
        for task in self._sending:
            task.cancel()
        self._watch(FarmerReplaced(slot=self.slot, farmer=old, successor=self.farmer, reason=error.what))

    async def run(self, chosen: Chosen, task: "asyncio.Task[None]", segment: int) -> bool:
        """Wait for the sending of a piece; False if the farmer was replaced in the meantime."""
        self._sending.add(task)
        try:
            await asyncio.wait([task])
        finally:
            self._sending.discard(task)
            task.cancel()
        if self.chosen is not chosen:
            if not task.cancelled():
                task.exception()
            return False
        task.result()
        self._stored[segment] = 1
        return True

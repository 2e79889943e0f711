"""Whether what the ledger has read of the chain agrees with what the market itself says of this farmer.

    events, blocks  --> ledger --> rates and books  <-- compared -->  the market's figures, asked directly

They can differ for a moment, while a new block is half read; so a difference counts when it is seen twice in
a row. Then all our events are read again from the beginning, once at first and then at intervals that
double, and what they say replaces what the ledger had, unless it lacks slots that the market says are ours.

Decides what is compared, how often all is read again, and what the operator is told. Leaves when to look to
`watcher`, and what a history may take back to `ledger_events`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from grange.chain import Batch, Cursor, Rollback
from grange.types import Epoch
from grange_node.chain_link import ChainLink
from grange_node.errors import HistoryDoubtful
from grange_node.ledger import Ledger
from grange_node.ledger_events import Changes, Figures
from grange_node.proof import books_from

FIRST_REREAD_SECONDS: Final = 5.0
LONGEST_REREAD_SECONDS: Final = 600.0
"""Between two readings of all events, while they do not help."""
LONGEST_HELD_SECONDS: Final = 15.0
"""Between two looks at a history that is not taken over: it may be the right one again."""
MAX_READINGS: Final = 10_000
"""Answers of a follower that one reading of all events may take."""

log = logging.getLogger("grange.farm")


class Agreement:
    """Of one ledger with one market. Not safe for several tasks at once: the watcher's lock is around it."""

    def __init__(self, ledger: Ledger, link: ChainLink, clock: Callable[[], float]) -> None:
        """`clock` gives Unix seconds."""
        self._ledger = ledger
        self._link = link
        self._clock = clock
        self._times_different = 0
        self._reread_at = 0.0
        self._reread_pause = 0.0
        self._held: HistoryDoubtful | None = None
        self._anchored = True
        self._times_held = 0
        self._retry_at = 0.0
        self._retry_pause = 0.0
        self._compared: Epoch | None = None
        self.readings = 0

    @property
    def is_held(self) -> bool:
        """Whether a history is not taken over."""
        return self._held is not None

    def differs(self, figures: Figures) -> bool:
        """Whether the market's rate is another than the ledger's."""
        if figures.committed_rate is None:
            return False
        return self._ledger.committed_rate(figures.epoch) != figures.committed_rate

    def suspect(self) -> None:
        """Compare the books, too, with the next figures."""
        self._compared = None

    # A history that is not taken over.

    def may_read(self) -> bool:
        """Whether it is time to look at the chain's history, which costs several requests when it was bad."""
        return self._held is None or self._clock() >= self._retry_at

    def hold(self, error: HistoryDoubtful, *, anchored: bool) -> None:
        """Do not take a history over."""
        self._held, self._anchored = error, anchored
        self._times_held += 1
        self._retry_pause = min(2 * self._retry_pause or 1.0, LONGEST_HELD_SECONDS)
        self._retry_at = self._clock() + self._retry_pause

    def release(self) -> None:
        """The history is one that the ledger could take over."""
        self._held, self._anchored = None, True
        self._times_held, self._retry_pause = 0, 0.0

    # Figures.

    async def settle(self, figures: Figures) -> Changes:
        """Compare, and read all again where it is due. Gives what that changed. Raises ChainError."""
        if not await self._is_different(figures):
            await self._believe()
            return Changes()
        self._times_different += 1
        if self._times_different < 2:
            return Changes()
        changes = Changes()
        if self._clock() >= self._reread_at:
            self._reread_pause = min(2 * self._reread_pause or FIRST_REREAD_SECONDS, LONGEST_REREAD_SECONDS)
            self._reread_at = self._clock() + self._reread_pause
            changes = await self._read_again(figures)
            if not await self._is_different(figures):
                await self._believe()
                return changes
        await self._doubt(self._what_differs(figures))
        return changes

    async def note_unknown_farmer(self) -> None:
        """The market has no farmer of our number."""
        await self._doubt(
            "the market at this endpoint does not know this farmer, so this is another chain than the one on "
            "which it was registered (a devnet that was started again is a new chain)"
        )

    async def _is_different(self, figures: Figures) -> bool:
        if self._held is not None or self.differs(figures):
            return True
        if self._compared != figures.epoch:
            if await self._books_differ(figures):
                return True
            self._compared = figures.epoch
        return False

    async def _read_again(self, figures: Figures) -> Changes:
        log.warning("the ledger does not agree with the market: reading all events of this farm again")
        steps: list[Rollback | Batch] = []
        cursor = Cursor(start=self._ledger.cursor().start)
        for _ in range(MAX_READINGS):
            part = await self._link.follow(cursor)
            if not part:
                break
            steps += part
            cursor = part[-1].cursor
        try:
            changes = await asyncio.to_thread(self._ledger.replace, steps, figures, anchored=self._anchored)
        except HistoryDoubtful as error:
            if self._held is None:
                log.warning("what was read again is not taken over: %s", error)
            return Changes()
        self.readings += 1
        self._compared = None
        self.release()
        return changes

    async def _books_differ(self, figures: Figures) -> bool:
        """Whether a book has other entries than the market's: by their count, and by the peaks over them."""
        if figures.committed_rate is None:
            return False
        ours = await asyncio.to_thread(lambda: books_from(self._ledger.entries(figures.epoch)))
        theirs = await self._link.books([(book.end, book.extension) for book in ours])
        return any(
            (book.mountain.count, tuple(book.mountain.peaks)) != (kept.count, tuple(kept.peaks))
            for book, kept in zip(ours, theirs, strict=True)
        )

    def _what_differs(self, figures: Figures) -> str:
        if self._held is not None:
            return self._held.message
        if self.differs(figures):
            ours = self._ledger.committed_rate(figures.epoch)
            return (
                f"the market says that this farm keeps slots for {figures.committed_rate} base units an "
                f"epoch, and by the events that the endpoint gives it is {ours}"
            )
        return "the market's books of this farm are not those that the endpoint's events add up to"

    async def _doubt(self, what: str) -> None:
        content = (
            f"{what}. Nothing that was placed is removed, what is known is proven, and all is read again "
            "from time to time. If this lasts, the RPC endpoint lags, lies or serves another chain: use "
            "another one"
        )
        before = self._ledger.doubt()
        if before is None or before[0] != content:
            log.error("%s", content)
            await asyncio.to_thread(self._ledger.set_doubt, content, int(self._clock()))

    async def _believe(self) -> None:
        self._times_different, self._reread_pause, self._reread_at = 0, 0.0, 0.0
        if self._ledger.doubt() is not None:
            log.info("the ledger agrees with the market again")
            await asyncio.to_thread(self._ledger.set_doubt, None, int(self._clock()))

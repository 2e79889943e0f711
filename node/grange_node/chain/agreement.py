"""Whether what the ledger has read of the chain agrees with what the market itself says of this farmer.

    events, blocks  --> ledger --> rates and books  <-- compared -->  the market's figures, asked directly

They can differ for a moment, while a new block is half read; so a difference counts when it is seen twice in
a row. Then our events are read again: at first those since the two last agreed, and if that does not help all
of them, at intervals that double. What they say replaces what the ledger had, unless it lacks slots that the
market says are ours.

Decides what is compared, how often all is read again, and what the operator is told. Leaves when to look to
`chain_follower`, and what a history may take back to `ledger_events`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Final

from grange.chain import Batch, Cursor, Rollback
from grange.chain.connection import Connection
from grange.errors import Misuse
from grange.executors import Executors
from grange.types import Epoch
from grange_node.chain.farm_market import FarmMarket
from grange_node.elapsed import elapsed
from grange_node.errors import HistoryDoubtful
from grange_node.ledger.books import books_from
from grange_node.ledger.ledger import Ledger
from grange_node.ledger.ledger_events import Changes, Figures

FIRST_REREAD_SECONDS: Final = 5.0
LONGEST_REREAD_SECONDS: Final = 600.0
"""Between two readings of all events, while they do not help."""
LONGEST_HELD_SECONDS: Final = 15.0
"""Between two looks at a history that is not taken over: it may be the right one again."""
MAX_READINGS: Final = 10_000
"""Answers of a follower that one reading of all events may take."""

log = logging.getLogger("grange.farm")


class Agreement:
    """Of one ledger with one market. Not safe for several tasks at once: the follower looks in turns."""

    def __init__(
        self,
        ledger: Ledger,
        market: FarmMarket,
        clock: Callable[[], float],
        tell: Callable[[Changes], Awaitable[None]],
        executors: Executors,
    ) -> None:
        """`clock` gives Unix seconds; `tell` is told of slots whose state changed."""
        self._tell = tell
        self._executors = executors
        self._ledger = ledger
        self._market = market
        self._clock = clock
        self._times_different = 0
        self._reread_at = -math.inf
        self._reread_pause = 0.0
        self._held: HistoryDoubtful | None = None
        self._anchored = True
        self._held_at = 0.0
        self._retry_pause = 0.0
        self._compared: Epoch | None = None
        self._left: Connection | None = None
        """The endpoint with which the ledger did not agree, while another one is asked."""
        self._agreed_block: int | None = None
        """Up to where the ledger was right. None when that is not known, or reading again from there was
        of no use."""
        self.readings = 0

    @property
    def is_held(self) -> bool:
        """Whether a history is not taken over."""
        return self._held is not None

    async def differs(self, figures: Figures) -> bool:
        """Whether the market's rate is another than the ledger's."""
        if figures.committed_rate is None:
            return False
        ours = await self._executors.in_database(self._ledger.committed_rate, figures.epoch)
        return ours != figures.committed_rate

    def suspect(self) -> None:
        """Compare the books, too, with the next figures."""
        self._compared = None

    # A history that is not taken over.

    def may_read(self) -> bool:
        """Whether it is time to look at the chain's history, which costs several requests when it was bad."""
        return self._held is None or elapsed(self._held_at, self._clock()) >= self._retry_pause

    def hold(self, error: HistoryDoubtful, *, anchored: bool) -> None:
        """Do not take a history over."""
        self._held, self._anchored = error, anchored
        self._retry_pause = min(2 * self._retry_pause or 1.0, LONGEST_HELD_SECONDS)
        self._held_at = self._clock()

    def release(self) -> None:
        """The history is one that the ledger could take over."""
        self._held, self._anchored = None, True
        self._retry_pause = 0.0

    # Figures.

    async def settle(self, figures: Figures) -> None:
        """Compare, and read again where it is due. Raises ChainError."""
        if not await self._is_different(figures):
            await self._believe()
            return
        self._times_different += 1
        if self._times_different < 2:
            return
        if elapsed(self._reread_at, self._clock()) >= self._reread_pause:
            self._reread_pause = min(2 * self._reread_pause or FIRST_REREAD_SECONDS, LONGEST_REREAD_SECONDS)
            self._reread_at = self._clock()
            for begun in await self._beginnings():
                await self._read_again(begun, figures)
                if not await self._is_different(figures):
                    await self._believe()
                    return
            # What another endpoint shows is compared at the next look, its figures too.
            self._left = self._market.rpc.ask_another() or self._left
        await self._doubt(await self._what_differs(figures))

    async def _beginnings(self) -> list[Cursor]:
        """From where to read again: a chain is long, and what is missing is mostly new."""
        cursor = await self._executors.in_database(self._ledger.cursor)
        every = cursor.begun_again()
        if self._agreed_block is None or self._held is not None:
            return [every]
        since = cursor.rolled_back(self._agreed_block)
        self._agreed_block = None
        return [since, every]

    async def note_unknown_farmer(self) -> None:
        """The market has no farmer of our number."""
        await self._doubt(
            "the market at this endpoint does not know this farmer, so this is another chain than the one on "
            "which it was registered (a devnet that was started again is a new chain)"
        )

    async def _is_different(self, figures: Figures) -> bool:
        if self._held is not None or await self.differs(figures):
            return True
        if self._compared != figures.epoch:
            if await self._books_differ(figures):
                return True
            self._compared = figures.epoch
        return False

    async def _read_again(self, begun: Cursor, figures: Figures) -> None:
        log.warning(
            "the ledger does not agree with the market: reading this farm's events again from block %d on",
            begun.block + 1,
        )
        steps: list[Rollback | Batch] = []
        cursor = begun
        for _ in range(MAX_READINGS):
            part = await self._market.follow(cursor)
            if not part:
                break
            steps += part
            cursor = part[-1].cursor
        try:
            changes = await self._executors.in_database(
                self._ledger.replace, begun, steps, figures, anchored=self._anchored
            )
        except HistoryDoubtful as error:
            if self._held is None:
                log.warning("what was read again is not taken over: %s", error)
            return
        self.readings += 1
        self._compared = None
        self.release()
        await self._tell(changes)

    async def _books_differ(self, figures: Figures) -> bool:
        """Whether a book has other entries than the market's: by their count, by the peaks over them, and by
        where positions begin."""
        if figures.committed_rate is None:
            return False
        try:
            ours = await self._executors.in_database(lambda: books_from(self._ledger.entries(figures.epoch)))
        except Misuse:
            # The events tell what no market does.
            return True
        theirs = await self._market.books([(book.end, book.extension) for book in ours])
        return any(
            (book.mountain.count, tuple(book.mountain.peaks), book.front_at_start(book.end))
            != (kept.count, tuple(kept.peaks), kept.front_before + kept.front_added)
            for book, kept in zip(ours, theirs, strict=True)
        )

    async def _what_differs(self, figures: Figures) -> str:
        if self._held is not None:
            return self._held.message
        if await self.differs(figures):
            ours = await self._executors.in_database(self._ledger.committed_rate, figures.epoch)
            return (
                f"the market says that this farm keeps slots for {figures.committed_rate} base units an "
                f"epoch, and by the events that the endpoint gives it is {ours}"
            )
        return "the market's books of this farm are not those that the endpoint's events add up to"

    async def _doubt(self, what: str) -> None:
        content = (
            f"{what}. Nothing that was placed is removed, what the farm knows is proven, and all is read "
            "again from time to time. If this lasts, the RPC endpoint lags, lies or serves another chain: "
            "use another one"
        )
        if self._held is not None and not self._anchored:
            # A farm that began to read by a lie about all blocks can't tell the right chain from another.
            content += (
                ". If all endpoints that you trust show the same, and it is the right chain: stop the farm, "
                "move ledger.sqlite3 and the files whose names begin with that away, and start it again; it "
                "learns from the chain what is placed with it, and keeps the pieces"
            )
        before = await self._executors.in_database(self._ledger.doubt)
        if before is None or before[0] != content:
            log.error("%s", content)
            await self._executors.in_database(self._ledger.set_doubt, content, int(self._clock()))

    async def _believe(self) -> None:
        if self._left is not None:
            self._market.rpc.accuse(
                self._left, "showed other events of this farm than the market's own figures told"
            )
            self._left = None
        self._times_different, self._reread_pause = 0, 0.0
        self._agreed_block = (await self._executors.in_database(self._ledger.cursor)).block
        if await self._executors.in_database(self._ledger.doubt) is not None:
            log.info("the ledger agrees with the market again")
            await self._executors.in_database(self._ledger.set_doubt, None, int(self._clock()))

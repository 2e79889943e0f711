"""Following the market's events through reorgs and restarts.

Each poll returns steps that are to be carried out in order. A Rollback says that everything after a block
never happened; a Batch brings the events of the blocks that follow. Each step carries the cursor to be stored
together with what was done for it; a follower that starts again from that cursor misses nothing and repeats
nothing.

Decides: how blocks are cut into requests, how a reorg is noticed, how far one goes back. Leaves to the
caller: what events mean, how rollbacks are undone, storing the cursor, when to poll.

The cursor remembers hashes of some earlier blocks (anchors): the newest ones densely, older ones at distances
that double, and the block before the first that matters. After a reorg the highest anchor that is still part
of the chain is where following goes on; that may be somewhat below the fork, so that a few events are taken
back and delivered again. If no anchor stands, it is another chain, or a lie: the rollback's cursor has no
anchors then. One block of what was left is remembered (`former`), which tells when it is shown again.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from grange.chain.errors import AnswerTooLong, BlocksMissing, ChainError, ChainTimeout, RpcError
from grange.chain.events import Event, EventFilter
from grange.chain.views import Head
from grange.errors import Misuse
from grange.json_text import parse_json
from grange.tasks import together

MAX_BLOCKS_PER_BATCH = 2_000
MAX_BATCHES_PER_POLL = 50
MAX_TRIES_PER_BATCH = 12
DENSE_ANCHORS = 32
MAX_FORMER = 16
"""Histories of which a block is remembered after they were left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far the events were read: up to and including the last anchor's block.

    `anchors` are (number, hash) of blocks already read, ascending; `start` is the first block that matters.
    `former` has the lowest of those of histories that were left since none of their blocks stood: where one
    of them stands again it is the chain that was read once, and not another. `gaps` are ranges of blocks,
    both ends included, that were passed over without reading their events.
    """

    start: int
    anchors: tuple[tuple[int, bytes], ...] = ()
    former: tuple[tuple[int, bytes], ...] = ()
    gaps: tuple[tuple[int, int], ...] = ()

    @property
    def block(self) -> int:
        """The last block read; start - 1 at the beginning."""
        return self.anchors[-1][0] if self.anchors else self.start - 1

    def advanced(self, number: int, block_hash: bytes, between: Sequence[tuple[int, bytes]] = ()) -> "Cursor":
        """The cursor after reading up to a block; `between` are blocks passed on the way, ascending."""
        return replace(self, anchors=_thinned((*self.anchors, *between, (number, block_hash))))

    def passed_over(self, number: int, block_hash: bytes) -> "Cursor":
        """The cursor that goes on behind a block, where the events up to it can't be had. The gap stays in
        it until it is rolled back to before it."""
        gap = (self.block + 1, number)
        return replace(self.advanced(number, block_hash), gaps=(*self.gaps, gap))

    def rolled_back(self, number: int) -> "Cursor":
        """The cursor with only the anchors up to a block. What it passed over behind them is read again."""
        back = replace(self, anchors=tuple(a for a in self.anchors if a[0] <= number))
        return replace(back, gaps=tuple(gap for gap in self.gaps if gap[1] <= back.block))

    def begun_again(self) -> "Cursor":
        """The cursor from which all is read again; the history that is left can be told by a block of it."""
        former = dict.fromkeys((*self.former, *self.anchors[:1]))
        return Cursor(start=self.start, former=tuple(former)[:MAX_FORMER])

    def to_json(self) -> str:
        """For storing."""
        anchors, former = ([[n, h.hex()] for n, h in blocks] for blocks in (self.anchors, self.former))
        content = {"start": self.start, "anchors": anchors}
        more = {"former": former, "gaps": [list(gap) for gap in self.gaps]}
        return json.dumps(content | {name: blocks for name, blocks in more.items() if blocks})

    @classmethod
    def from_json(cls, text: str) -> "Cursor":
        """The inverse of `to_json`; raises Misuse if the text is something else."""
        try:
            content = parse_json(text)
            anchors, former = (
                tuple((int(number), bytes.fromhex(value)) for number, value in blocks)
                for blocks in (content["anchors"], content.get("former", []))
            )
            gaps = tuple((int(first), int(last)) for first, last in content.get("gaps", []))
            return cls(start=int(content["start"]), anchors=anchors, former=former, gaps=gaps)
        except (AttributeError, ValueError, KeyError, TypeError) as error:
            raise Misuse(f"this is not a cursor: {text[:80]!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """Blocks after `block` were replaced: undo every event with a higher block number."""

    block: int
    cursor: Cursor
    is_known: bool = False
    """Whether a block stands of a history that was left before."""

    @property
    def is_anchored(self) -> bool:
        """Whether it leads back to a chain that was read once, as far as blocks tell."""
        return bool(self.cursor.anchors) or self.is_known


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The events of blocks `from_block` to `to_block`, both included, in order; often none."""

    from_block: int
    to_block: int
    to_hash: bytes
    events: tuple[Event, ...]
    cursor: Cursor


class EventSource(Protocol):
    """What a follower asks: a `Chain`, or one that asks it for more than filters can say."""

    async def head(self) -> Head:
        """The newest block."""

    async def block_hash(self, number: int) -> bytes | None:
        """The hash of a block of the canonical chain; None if there is no such block."""

    async def block_hashes(self, numbers: Sequence[int]) -> list[bytes | None]:
        """The same for several blocks."""

    async def logs_matching(
        self, from_block: int, to_block: int, filters: Sequence[EventFilter], /
    ) -> list[Event]:
        """Events in a closed range of blocks, in order."""


ReadAtOnce = Callable[
    [int, int, Sequence[EventFilter], Sequence[int]], Awaitable[tuple[list[Event], list[bytes | None]]]
]
"""Events in a closed range of blocks, and then the hashes of some blocks, in one request."""


class EventFollower:
    """Reads the events that match `filters` (all, if there are none), from block `start` or a stored cursor.

    With `confirmations` n the newest n blocks are left alone until they are buried. `read` is for a source
    that gives events and hashes in one request; else it is asked for one after the other. `log_blocks` is
    how many blocks' logs the endpoint was found to give at once.
    """

    def __init__(
        self,
        chain: EventSource,
        filters: Sequence[EventFilter] = (),
        *,
        start: int = 0,
        cursor: Cursor | None = None,
        confirmations: int = 0,
        read: ReadAtOnce | None = None,
        log_blocks: Callable[[], int] = lambda: MAX_BLOCKS_PER_BATCH,
    ) -> None:
        self._chain = chain
        self._log_blocks = log_blocks
        self._read = read or self._read_in_turn
        self._filters = tuple(filters) or (EventFilter(),)
        self._confirmations = confirmations
        self._span = MAX_BLOCKS_PER_BATCH
        self.cursor = cursor or Cursor(start=start)

    async def poll(self, head: Head | None = None) -> list[Rollback | Batch]:
        """What happened since the last poll; empty if no block was added.

        `head` is the newest block, for anyone who has just asked for it. Two requests with it, else three,
        and three for each further MAX_BLOCKS_PER_BATCH; one less each where they are read at once.

        Raises what the transport raises, and BlocksMissing if the endpoint shows none of the blocks before
        the newest; a failing poll leaves the cursor as it was, and steps completed before the failure are
        discarded and read again.
        """
        before = self.cursor
        try:
            return await self._steps(head)
        except BaseException:
            self.cursor = before
            raise

    async def _steps(self, head: Head | None) -> list[Rollback | Batch]:
        steps: list[Rollback | Batch] = []
        for _ in range(MAX_BATCHES_PER_POLL):
            rollback = None
            if head is None:
                newest, rollback = await together(self._chain.head(), self._rollback())
                head = newest
            elif head.number - self._confirmations <= self.cursor.block:
                # Otherwise the batch finds out whether it continues what was read.
                rollback = await self._rollback()
            if rollback is not None:
                steps.append(rollback)
                self.cursor = rollback.cursor
            last = head.number - self._confirmations
            if last <= self.cursor.block:
                break
            batch = await self._batch(last, head)
            if batch is None:
                head = None
                continue
            steps.append(batch)
            self.cursor = batch.cursor
            if batch.to_block == last:
                break
        else:
            if not steps:
                # To give nothing would say that nothing happened.
                raise BlocksMissing(self.cursor.block, last)
        return steps

    async def _rollback(self) -> Rollback | None:
        """A rollback to the highest anchor that still stands, if the last one does not."""
        anchors = self.cursor.anchors
        if not anchors or (await self._chain.block_hash(anchors[-1][0])) == anchors[-1][1]:
            return None
        hashes = await self._chain.block_hashes([number for number, _ in anchors])
        standing = [n for (n, ours), now in zip(anchors, hashes, strict=True) if now == ours]
        if not standing:
            former = self.cursor.former
            shown = await self._chain.block_hashes([number for number, _ in former]) if former else []
            is_known = any(ours == now for (_, ours), now in zip(former, shown, strict=True))
            begun = self.cursor.begun_again()
            return Rollback(block=begun.block, cursor=begun, is_known=is_known)
        block = max(standing)
        return Rollback(block=block, cursor=self.cursor.rolled_back(block))

    async def _batch(self, to_block: int, head: Head) -> Batch | None:
        """The next events; None if a reorg came between, so that the caller looks again.

        The hash of the last block is read before and after the logs, and that of the block before the first
        one after: if all are as they were, the logs belong to one chain that continues ours. Should an
        endpoint answer the questions of one request in another order, and its chain change in that moment,
        the next poll finds an anchor that does not stand, and takes the batch back.
        """
        first = self.cursor.block + 1
        for _ in range(MAX_TRIES_PER_BATCH):
            last = min(to_block, first + min(self._span, self._log_blocks()) - 1)
            before = head.hash if last == head.number else await self._chain.block_hash(last)
            if before is None:
                return None
            passed = self._passed(first, last)
            numbers = [last] + [number for number, _ in self.cursor.anchors[-1:]]
            expected = [before] + [value for _, value in self.cursor.anchors[-1:]]
            try:
                events, hashes = await self._read(first, last, self._filters, [*numbers, *passed])
            except (AnswerTooLong, ChainTimeout, RpcError):
                if last == first:
                    raise
                self._span = max(1, min(self._span, last - first + 1) // 2)
                continue
            if hashes[: len(expected)] != expected:
                return None
            between = [
                (number, value)
                for number, value in zip(passed, hashes[len(expected) :], strict=True)
                if value is not None
            ]
            self._span = min(self._span * 2, MAX_BLOCKS_PER_BATCH)
            return Batch(
                from_block=first,
                to_block=last,
                to_hash=before,
                events=tuple(events),
                cursor=self.cursor.advanced(last, before, between),
            )
        raise ChainError(f"the endpoint refuses to give logs from block {first} on, however few")

    async def _read_in_turn(
        self, first: int, last: int, filters: Sequence[EventFilter], numbers: Sequence[int]
    ) -> tuple[list[Event], list[bytes | None]]:
        events = await self._chain.logs_matching(first, last, filters)
        return events, await self._chain.block_hashes(numbers)

    def _passed(self, first: int, last: int) -> list[int]:
        """Blocks of a long batch, or of the first one, that become anchors with the last: without them the
        shortest reorg after it would leave nothing standing above the batch."""
        if self.cursor.anchors and last - first < DENSE_ANCHORS:
            return []
        lowest = first if self.cursor.anchors else max(0, first - 1)
        distances = (1 << power for power in range((last - lowest).bit_length()))
        return sorted({lowest, *(last - distance for distance in distances)} - {last})


def _thinned(anchors: tuple[tuple[int, bytes], ...]) -> tuple[tuple[int, bytes], ...]:
    """The last DENSE_ANCHORS, and of older ones one for each doubling of the distance."""
    recent, older = anchors[-DENSE_ANCHORS:], anchors[:-DENSE_ANCHORS]
    newest = anchors[-1][0]
    kept: dict[int, tuple[int, bytes]] = {}
    for anchor in older:
        kept.setdefault((newest - anchor[0]).bit_length(), anchor)
    return (*sorted(kept.values()), *recent)

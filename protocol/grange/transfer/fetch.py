"""Fetching k of the n slots of an order, stripe by stripe, from the farmers that give them soonest.

    async with Fetcher(geometry, sources, verifier, slow_rule, executors=executors) as fetcher:
        fetched = await fetcher.fetch(stripe)              the columns that the stripe wants, or any k slots
        pieces = await fetcher.rebuild(segment, slots)     the pieces of slots that are lost

Where columns are wanted, the farmers that hold them are asked first, as long as they are well; one more is
asked for each that fails, lies or is late, and any k of them give the rest. Of two that serve as well the
first of `sources` is asked. One that lies is asked for nothing more, one that fails only when there is nobody
else. What is true is the verifier's to say (`verification`). For one event loop; several stripes may be
fetched at once.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from grange.errors import UserError
from grange.executors import Executors
from grange.kernel import Codec
from grange.layout import Geometry
from grange.peer import FARMER_FAULTS, FarmerLied, FarmerRefused, PieceClosed, dealing_with
from grange.tasks import cancelled
from grange.transfer.errors import NotEnoughSources
from grange.transfer.events import FarmerFailed, FarmersNow, Listener, ignore_progress
from grange.transfer.retry import SlowRule
from grange.transfer.sources import Source
from grange.transfer.stripes import Stripe
from grange.transfer.verification import Fetched, Verifier
from grange.types import Epoch
from grange.wire.codes import ErrorCode

USUAL_READS: Final = 64
"""Reads whose time is remembered, to know what is usual."""


@dataclass(slots=True, kw_only=True)
class _Attempt:
    """The state of fetching one stripe."""

    fetched: Fetched
    running: dict[asyncio.Task[bytes], Source] = field(default_factory=dict)
    late: set[int] = field(default_factory=set)
    asked_again: set[int] = field(default_factory=set)
    closed: dict[int, Epoch] = field(default_factory=dict)
    """Slots whose farmers show this in a later epoch."""

    @property
    def asked(self) -> set[int]:
        return {source.slot for source in self.running.values()}


class Fetcher:
    """One order, being read."""

    def __init__(
        self,
        geometry: Geometry,
        sources: Iterable[Source],
        verifier: Verifier,
        slow_rule: SlowRule,
        listener: Listener = ignore_progress,
        *,
        executors: Executors,
    ) -> None:
        """`sources` come in the order in which they are preferred."""
        self.geometry = geometry
        self.sources = {source.slot: source for source in sources}
        self._rank = {slot: rank for rank, slot in enumerate(self.sources)}
        self._verifier = verifier
        self._executors = executors
        self._slow_rule = slow_rule
        self._listener = listener
        self._codec = Codec(geometry.k, geometry.n)
        self._seconds: list[float] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._verifier.close()

    @property
    def liars(self) -> list[Source]:
        """Those that were caught sending wrong bytes."""
        return [source for source in self.sources.values() if source.lied]

    async def fetch(self, stripe: Stripe) -> Fetched:
        """The wanted columns of a stripe, or where it wants none the bytes of k slots, all of them right.

        Raises NotEnoughSources, OverBudget, and what the verifier raises.
        """
        attempt = _Attempt(fetched=Fetched(stripe=stripe))
        try:
            for column in stripe.columns:
                if column in self.sources and self.sources[column].is_well:
                    self._ask(attempt, self.sources[column])
            while not self._is_complete(attempt.fetched):
                if len(attempt.fetched.arrived) >= self.geometry.k:
                    self._drop(attempt, await self._verifier.complete(attempt.fetched))
                else:
                    self._reinforce(attempt)
                    await self._wait(attempt)
        finally:
            await cancelled(attempt.running)
        return attempt.fetched

    async def rebuild(self, segment: int, slots: Sequence[int]) -> dict[int, bytes]:
        """The pieces that slots have of a segment, made of any k that came. Raises as `fetch` does."""
        arrived = (await self.fetch(Stripe(first=segment, end=segment + 1, columns=frozenset()))).arrived
        missing = [slot for slot in slots if slot not in arrived]
        made = await self._executors.on_cpu(self._codec.rebuild, arrived, missing) if missing else {}
        return {slot: made[slot] if slot in made else bytes(arrived[slot]) for slot in slots}

    def _is_complete(self, fetched: Fetched) -> bool:
        wanted = fetched.stripe.columns
        return wanted <= fetched.opened.keys() if wanted else len(fetched.arrived) >= self.geometry.k

    def _reinforce(self, attempt: _Attempt) -> None:
        """Ask more farmers, unless those being asked can give everything."""
        fetched = attempt.fetched
        hopeful = attempt.asked - attempt.late
        wanted = fetched.stripe.columns
        if wanted and wanted <= fetched.opened.keys() | hopeful:
            return
        needed = self.geometry.k - len(fetched.arrived) - len(hopeful)
        for source in self._next(attempt)[: max(0, needed)]:
            self._ask(attempt, source)
        if not attempt.running:
            raise NotEnoughSources(
                have=len(fetched.arrived), needed=self.geometry.k, closed=dict(attempt.closed)
            )

    def _next(self, attempt: _Attempt) -> list[Source]:
        """Who can be asked, best first. When nobody is left, those that only failed to answer get one more
        chance, if they can make it whole."""
        busy = attempt.asked | attempt.fetched.arrived.keys()
        idle = [source for source in self.sources.values() if source.open_peer and source.slot not in busy]
        well = [source for source in idle if not source.failure]
        if not well and not attempt.running:
            silent = [
                source
                for source in idle
                if not source.lied and source.slot not in attempt.asked_again | attempt.closed.keys()
            ]
            if len(attempt.fetched.arrived) + len(silent) >= self.geometry.k:
                well = silent
        return sorted(well, key=self._preference)

    def _preference(self, source: Source) -> tuple[bool, bool, bool, bool, int, int]:
        last_resort = source.is_denied, source.is_dear, source.lied_before
        return *last_resort, not source.is_well, source.late, self._rank[source.slot]

    def _ask(self, attempt: _Attempt, source: Source) -> None:
        if source.failure:
            attempt.asked_again.add(source.slot)
        task = asyncio.create_task(self._read(source, attempt.fetched.stripe))
        attempt.running[task] = source

    async def _read(self, source: Source, stripe: Stripe) -> bytes:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with dealing_with(source.farmer):
            data = await self._verifier.read(source, stripe)
        source.reads += 1
        if source.reads == 1:
            self._listener(FarmersNow(count=sum(one.reads > 0 for one in self.sources.values())))
        if not source.lied:
            source.failure = None
        self._seconds = [*self._seconds[1 - USUAL_READS :], loop.time() - begun]
        return data

    async def _wait(self, attempt: _Attempt) -> None:
        """Until something arrives or fails, or those still running are late."""
        waiting = [source for source in attempt.running.values() if source.slot not in attempt.late]
        limit = self._slow_rule.limit_seconds(self._seconds) if waiting else None
        done, _ = await asyncio.wait(attempt.running, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            for source in waiting:
                attempt.late.add(source.slot)
                source.late += 1
        for task in done:
            source = attempt.running.pop(task)
            try:
                attempt.fetched.arrived[source.slot] = memoryview(task.result())
            except FARMER_FAULTS as error:
                if isinstance(error, PieceClosed):
                    attempt.closed[source.slot] = error.open_epoch
                self._note(source, error)
            else:
                self._drop(attempt, await self._verifier.take(attempt.fetched, source))

    def _drop(self, attempt: _Attempt, faults: Mapping[int, UserError]) -> None:
        for slot, fault in faults.items():
            del attempt.fetched.arrived[slot]
            self._note(self.sources[slot], fault)

    def _note(self, source: Source, error: UserError) -> None:
        if source.lied or (source.failure and not isinstance(error, FarmerLied)):
            return
        source.failure = error
        if isinstance(error, PieceClosed):
            return
        if isinstance(error, FarmerRefused) and error.code == ErrorCode.VAULT_TOO_SMALL:
            # A vault of ours that does not cover what was signed is not the farmer's fault.
            return
        lied = isinstance(error, FarmerLied)
        self._listener(FarmerFailed(slot=source.slot, farmer=source.farmer, reason=error.message, lied=lied))

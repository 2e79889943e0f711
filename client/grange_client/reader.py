"""Reading an order: any range of its plaintext, from whichever farmers give it soonest.

Decides whom to ask for a stripe (some segments on end, the same bytes of every slot): the farmers that hold
the blocks themselves, as long as they are well; one more for each that fails, lies or is late; any k of them
give the rest. Every block is authenticated before it is handed on, so a wrong byte is noticed, its farmer
named and passed over. Leaves files to `restore` and HTTP to `peer`.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

from grange.erasure import Codec
from grange.errors import AuthenticationFailed, Told
from grange.layout import Geometry
from grange.peer import (
    FARMER_FAULTS,
    FarmerLied,
    FarmerRefused,
    FarmerUnreachable,
    Peer,
    dealing_with,
    fault_of,
)
from grange.seal import OrderKey
from grange.tasks import cancelled
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import FarmerFailed, FarmersNow, Listener
from grange.transfer.retry import RetryPolicy
from grange_client.errors import NotEnoughMoney, Unopened
from grange_client.health import Health
from grange_client.orders.fare import too_small
from grange_client.orders.orders import PlacedOrder
from grange_client.stripes import Stripe, stripes_for

STRIPES_AHEAD = 2
"""Stripes fetched before the one that is handed on."""

VAULT_CODE = "vault_too_small"
"""A farmer's word for a vault that does not cover what was signed."""
RANSOM_CODE = "ransom"
"""Our own word for a farmer that asks far too much for reading to be asked without a question."""

USUAL_READS = 64
"""Reads whose time is remembered, to know what is usual."""

Columns = dict[int, memoryview]
Result = TypeVar("Result")


@dataclass(slots=True, kw_only=True)
class _Hunt:
    """The state of getting one stripe."""

    stripe: Stripe
    arrived: Columns = field(default_factory=dict)
    opened: dict[int, list[bytes]] = field(default_factory=dict)
    running: dict[asyncio.Task[bytes], int] = field(default_factory=dict)
    late: set[int] = field(default_factory=set)
    asked_again: bool = False


class OrderReader:
    """One order, opened for reading.

    `peers[i]` is the farmer of slot i, None if it has no endpoint to speak of.
    """

    def __init__(
        self,
        order: PlacedOrder,
        key: OrderKey,
        peers: Sequence[Peer | None],
        *,
        policy: RetryPolicy,
        executor: Executor,
        watch: Listener,
        dear: Mapping[int, Told] | None = None,
        at_any_price: bool = False,
    ) -> None:
        """`dear` are slots that are read only at any price, and then where the others are not enough."""
        self.order = order
        self.geometry: Geometry = order.geometry
        self.health = [Health() for _ in peers]
        self._key = key
        self._peers = list(peers)
        self._policy = policy
        self._executor = executor
        self._watch = watch
        self._codec = Codec(self.geometry.k, self.geometry.n)
        self._seconds: list[float] = []
        for slot, peer in enumerate(peers):
            if dear and slot in dear:
                self.health[slot].is_dear = True
                if not at_any_price:
                    self._peers[slot], self.health[slot].failure = None, dear[slot]
            if peer is None:
                self.health[slot].failure = FarmerUnreachable("It has no endpoint that could be asked.")

    async def read(self, offset_bytes: int, size_bytes: int) -> bytes:
        """So many bytes of the plaintext stream. Raises NotEnoughFarmers."""
        blocks = self.geometry.blocks_of(offset_bytes, size_bytes)
        joined = b"".join([data async for _, data in self.blocks(blocks)])
        start = offset_bytes - blocks.start * self.geometry.block_bytes
        return joined[start : start + size_bytes]

    async def blocks(self, wanted: Iterable[int]) -> AsyncGenerator[tuple[int, bytes], None]:
        """Blocks by ascending index, each once, with a few stripes fetched ahead.

        Raises NotEnoughFarmers.
        """
        stripes = stripes_for(self.geometry, wanted)
        ahead: list[asyncio.Task[dict[int, bytes]]] = []
        try:
            for stripe in stripes:
                ahead.append(asyncio.create_task(self._stripe(stripe)))
                if len(ahead) > STRIPES_AHEAD:
                    for block in sorted((await ahead[0]).items()):
                        yield block
                    ahead.pop(0)
            while ahead:
                for block in sorted((await ahead[0]).items()):
                    yield block
                ahead.pop(0)
        finally:
            await cancelled(ahead)

    async def _stripe(self, stripe: Stripe) -> dict[int, bytes]:
        """The wanted blocks of a stripe, authenticated."""
        hunt = _Hunt(stripe=stripe)
        try:
            return await self._hunted(hunt)
        finally:
            await cancelled(hunt.running)

    async def _hunted(self, hunt: _Hunt) -> dict[int, bytes]:
        wanted = hunt.stripe.columns
        for column in wanted:
            if self.health[column].is_well:
                self._ask(hunt, column)
        while not wanted <= hunt.opened.keys():
            if len(hunt.arrived) >= self.geometry.k:
                await self._decode(hunt)
            else:
                self._reinforce(hunt)
                await self._next(hunt)
        return self._collected(hunt)

    def _reinforce(self, hunt: _Hunt) -> None:
        """Ask more farmers, unless those being asked can give everything."""
        asked = set(hunt.running.values())
        hopeful = asked - hunt.late
        if hunt.stripe.columns <= hunt.opened.keys() | hopeful:
            return
        needed = self.geometry.k - len(hunt.arrived) - len(hopeful)
        others = [s for s in range(self.geometry.n) if s not in asked and s not in hunt.arrived]
        usable = [s for s in others if not self.health[s].failure]
        for slot in sorted(usable, key=self._preference)[: max(0, needed)]:
            self._ask(hunt, slot)
        if not hunt.running:
            self._ask_again(hunt)

    def _preference(self, slot: int) -> tuple[bool, bool, int, int]:
        health = self.health[slot]
        return health.is_dear, not health.is_well, health.late, slot

    def _ask_again(self, hunt: _Hunt) -> None:
        """Nobody is left: give those that only failed to answer one more chance, or give up."""
        silent = [
            slot
            for slot, health in enumerate(self.health)
            if health.failure and not health.lied and self._peers[slot]
        ]
        if hunt.asked_again or len(hunt.arrived) + len(silent) < self.geometry.k:
            raise self._too_few(len(hunt.arrived))
        hunt.asked_again = True
        for slot in silent:
            self._ask(hunt, slot)

    def _ask(self, hunt: _Hunt, slot: int) -> None:
        peer = self._peers[slot]
        assert peer is not None
        stripe, piece_bytes = hunt.stripe, self.geometry.piece_bytes
        size_bytes = (stripe.end - stripe.first) * piece_bytes
        task = asyncio.create_task(self._fetched(peer, slot, stripe.first * piece_bytes, size_bytes))
        hunt.running[task] = slot

    async def _fetched(self, peer: Peer, slot: int, start: int, size_bytes: int) -> bytes:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with dealing_with(self.order.slots[slot].farmer):
            data = await peer.read(self.order.id, slot, start, size_bytes)
        self.health[slot].reads += 1
        if self.health[slot].reads == 1:
            self._watch(FarmersNow(count=sum(health.reads > 0 for health in self.health)))
        if not self.health[slot].lied:
            self.health[slot].failure = None
        self._seconds = [*self._seconds[1 - USUAL_READS :], loop.time() - begun]
        return data

    async def _next(self, hunt: _Hunt) -> None:
        """Until something arrives or fails, or those still running are late."""
        waiting = {task for task, slot in hunt.running.items() if slot not in hunt.late}
        limit = self._policy.slow_to_give.limit_seconds(self._seconds) if waiting else None
        done, _ = await asyncio.wait(hunt.running, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            for task in waiting:
                slot = hunt.running[task]
                hunt.late.add(slot)
                self.health[slot].late += 1
        for task in done:
            slot = hunt.running.pop(task)
            try:
                hunt.arrived[slot] = memoryview(task.result())
            except FARMER_FAULTS as error:
                self._failed(slot, error)
            else:
                if slot < self.geometry.k:
                    await self._open_column(hunt, slot)

    async def _open_column(self, hunt: _Hunt, slot: int) -> None:
        """Authenticate a column of blocks that came as they are. If one does not open, it may be the farmer's
        fault, or ours: we may have been told wrongly which order's key opens it."""
        data = hunt.arrived[slot]
        if slot not in hunt.stripe.columns and hunt.stripe.columns <= hunt.opened.keys():
            return
        try:
            hunt.opened[slot] = await self._in_thread(lambda: self._opened(hunt.stripe, slot, data))
        except AuthenticationFailed as error:
            await self._convict(hunt, self.geometry.place_of(error.block_index)[0], [slot])

    async def _decode(self, hunt: _Hunt) -> None:
        """Compute the wanted columns that are missing, or find out who keeps them from opening."""
        lost = sorted(hunt.stripe.columns - hunt.opened.keys())
        try:
            hunt.opened.update(await self._in_thread(lambda: self._rebuilt(hunt, lost)))
        except AuthenticationFailed as error:
            suspects = [slot for slot in hunt.arrived if slot not in hunt.opened]
            await self._convict(hunt, self.geometry.place_of(error.block_index)[0], suspects)

    def _rebuilt(self, hunt: _Hunt, lost: list[int]) -> dict[int, list[bytes]]:
        stripe, size = hunt.stripe, self.geometry.piece_bytes
        columns: dict[int, list[bytes]] = {column: [] for column in lost}
        for index, segment in enumerate(range(stripe.first, stripe.end)):
            pieces = {slot: data[index * size : (index + 1) * size] for slot, data in hunt.arrived.items()}
            blocks = self._codec.blocks(pieces)
            for column in lost:
                block = self.geometry.block_at(segment, column)
                columns[column].append(self._key.open(block, blocks[column]))
        return columns

    async def _convict(self, hunt: _Hunt, segment: int, suspects: Sequence[int]) -> None:
        """Drop those whose pieces of this segment are not what the chain knows."""
        size = self.geometry.piece_bytes
        start = (segment - hunt.stripe.first) * size

        async def one(slot: int) -> Told | None:
            peer = self._peers[slot]
            assert peer is not None
            return await fault_of(
                peer,
                self.order.id,
                slot,
                self.order.slots[slot].root,
                piece=segment,
                pieces=self.geometry.segments,
                data=hunt.arrived[slot][start : start + size],
            )

        faults = await asyncio.gather(*(one(slot) for slot in suspects))
        if not any(faults):
            raise Unopened(
                f"Segment {segment} does not open, although every piece of it is what the chain knows.",
                means="It was stored with other words than these, or by a faulty client.",
            )
        for slot, fault in zip(suspects, faults, strict=True):
            if fault is not None:
                del hunt.arrived[slot]
                self._failed(slot, fault)

    def _opened(self, stripe: Stripe, column: int, data: memoryview) -> list[bytes]:
        size = self.geometry.piece_bytes
        return [
            self._key.open(self.geometry.block_at(segment, column), data[index * size : (index + 1) * size])
            for index, segment in enumerate(range(stripe.first, stripe.end))
        ]

    def _collected(self, hunt: _Hunt) -> dict[int, bytes]:
        stripe = hunt.stripe
        return {
            self.geometry.block_at(segment, column): hunt.opened[column][index]
            for column in stripe.columns
            for index, segment in enumerate(range(stripe.first, stripe.end))
        }

    def _failed(self, slot: int, error: Told) -> None:
        known = self.health[slot]
        if known.lied or (known.failure and not isinstance(error, FarmerLied)):
            return
        known.failure = error
        if _missing(error):
            # Our vault is too small: that is no fault of the farmer's.
            return
        self._watch(
            FarmerFailed(
                slot=slot,
                farmer=self.order.slots[slot].farmer,
                reason=error.what,
                lied=isinstance(error, FarmerLied),
            )
        )

    def _too_few(self, have: int) -> NotEnoughFarmers | NotEnoughMoney:
        # With how much more in our vault enough of them would answer: not the word of one of them.
        asked = sorted(missing for health in self.health if (missing := _missing(health.failure)))
        if len(asked) >= self.geometry.k - have:
            return too_small(asked[max(0, self.geometry.k - have - 1)])
        failures = {
            f"farmer {slot.farmer}": health.failure.what
            for slot, health in zip(self.order.slots, self.health, strict=True)
            if health.failure
        }
        answered = [
            str(slot.farmer)
            for slot, health in zip(self.order.slots, self.health, strict=True)
            if not health.failure
        ]
        missing = self.geometry.k - have
        gone = sum(_is_gone(health.failure) for health in self.health)
        if self.geometry.n - gone >= self.geometry.k:
            means = (
                f"These answer: {', '.join(answered) or 'none'}. "
                f"If {missing} of the others come back, everything is there."
            )
            todo = "Try again later; `grange health` shows which farmers still prove what they keep."
        else:
            means = (
                f"{gone} of its farmers answer and do not have it, or send wrong bytes: it seems to be lost."
            )
            todo = "Store it again from another copy; `grange health` shows what its farmers still prove."
        if any(isinstance(h.failure, FarmerRefused) and h.failure.code == RANSOM_CODE for h in self.health):
            todo += " `grange get --max-price TOKENS` pays what they ask, up to that."
        return NotEnoughFarmers(
            f"{len(answered)} of {self.geometry.n} farmers answer, and {self.geometry.k} are needed: "
            f"{missing} more.",
            failures=failures,
            missing=missing,
            means=means,
            todo=todo,
        )

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)


def _is_gone(failure: Told | None) -> bool:
    """Whether a farmer that answers does not have what it should, so that waiting for it does not help."""
    is_unknown = isinstance(failure, FarmerRefused) and failure.status == HTTPStatus.NOT_FOUND
    return is_unknown or isinstance(failure, FarmerLied)


def _missing(failure: Told | None) -> int:
    """By how much our vault is too small, if that is why a farmer refuses."""
    if not isinstance(failure, FarmerRefused) or failure.code != VAULT_CODE:
        return 0
    missing = failure.detail.get("missing")
    return missing if isinstance(missing, int) and missing > 0 else 1

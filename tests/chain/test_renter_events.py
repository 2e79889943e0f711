"""All events of a renter's orders are found, in however many requests the chain is read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from grange.chain import Batch, Event, EventFilter, EventFollower, Head
from grange.chain.follower import MAX_BLOCKS_PER_BATCH
from grange.chain.renter_events import OF_ORDER, RenterEvents, Watched
from grange.types import Address, Epoch, OrderId

RENTER: Final = Address("0x" + "11" * 20)
FIRST, SECOND = OrderId(b"\x01" * 32), OrderId(b"\x02" * 32)


def event(name: str, order: OrderId, block: int, **args: Any) -> Event:
    return Event(
        name=name, args={"order": order, **args}, block=block, block_hash=b"", tx_hash=b"", log_index=0
    )


class FakeChain:
    """A chain of so many blocks that shows these events to those who ask for them."""

    def __init__(self, blocks: int, *events: Event) -> None:
        self.blocks = blocks
        self.events = events
        self.orders_asked_for: list[set[OrderId]] = []

    async def head(self) -> Head:
        return Head(number=self.blocks, hash=bytes(32), timestamp=0, epoch=Epoch(0))

    async def block_hash(self, number: int) -> bytes | None:
        return bytes(32) if number <= self.blocks else None

    async def block_hashes(self, numbers: Sequence[int]) -> list[bytes | None]:
        return [await self.block_hash(number) for number in numbers]

    async def logs_and_hashes(
        self, first: int, last: int, filters: Sequence[EventFilter], numbers: Sequence[int]
    ) -> tuple[list[Event], list[bytes | None]]:
        return await self.logs_matching(first, last, filters), await self.block_hashes(numbers)

    async def logs_matching(self, first: int, last: int, filters: Sequence[EventFilter]) -> list[Event]:
        self.orders_asked_for += [
            set(chosen.args["order"]) for chosen in filters if tuple(chosen.events) == OF_ORDER
        ]
        return [
            one
            for one in self.events
            if first <= one.block <= last and any(_matches(one, chosen) for chosen in filters)
        ]


def _matches(one: Event, chosen: EventFilter) -> bool:
    wanted = ((one.args.get(name), value) for name, value in chosen.args.items())
    return one.name in chosen.events and all(
        got in value if isinstance(value, list) else got == value for got, value in wanted
    )


def watching(known: Collection[OrderId]) -> Watched:
    """These are known, in whatever block."""

    async def watched(_: int) -> Collection[OrderId]:
        return known

    return watched


def followed(chain: FakeChain, *known: OrderId) -> tuple[RenterEvents, EventFollower]:
    events = RenterEvents(chain, RENTER)  # type: ignore[arg-type]
    events.watch(watching(known))
    return events, EventFollower(events, read=events.logs_and_hashes)


async def names(follower: EventFollower) -> list[str]:
    return [one.name for step in await follower.poll() if isinstance(step, Batch) for one in step.events]


async def test_what_happened_to_an_order_long_after_it_was_placed_is_found_on_a_new_computer() -> None:
    """Nothing is known before: the order turns up in the same look, in an earlier range of blocks."""
    placed = event("OrderPlaced", FIRST, 5, renter=RENTER)
    refilled = event("SlotFilled", FIRST, 5 + 2 * MAX_BLOCKS_PER_BATCH)
    _, follower = followed(FakeChain(6 + 3 * MAX_BLOCKS_PER_BATCH, placed, refilled))
    assert await names(follower) == ["OrderPlaced", "SlotFilled"]


async def test_what_the_caller_does_not_watch_any_more_is_not_asked_for_in_the_next_look() -> None:
    chain = FakeChain(10, event("OrderPlaced", FIRST, 5, renter=RENTER))
    events, follower = followed(chain)
    await follower.poll()
    chain.blocks, chain.orders_asked_for = 20, []
    events.watch(watching([SECOND]))
    await follower.poll()
    assert chain.orders_asked_for == [{SECOND}]

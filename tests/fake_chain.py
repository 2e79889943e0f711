"""A chain in memory, on which the fake markets of farmers, repairers and renters stand.

Its whole state is the list of its blocks with their events, so that a reorg is a cut. `FakeChain` answers
what `Chain` reads of blocks and events; put before a market in a class's bases, all that the market makes of
these is the real thing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from market_rules import PARAMETERS

from grange.chain import Chain, ChainUnavailable, Event, EventFilter, Head, Receipt, Sender, Wallet
from grange.chain.health import MAX_LOG_BLOCKS
from grange.messages import Domain
from grange.times import BlockClock
from grange.types import Epoch, Parameters

BLOCK_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block, and what the market said in it."""

    hash: bytes
    timestamp: int
    events: tuple[Event, ...]


class FakeChain:
    """Blocks that a test mines."""

    def __init__(self, rules: Parameters = PARAMETERS) -> None:
        self.rules = rules
        self.base_fee_wei = 7
        self.blocks: list[Block] = []
        self.down = False
        """Whether its endpoint answers nothing."""
        self._fork = 0

    @property
    def height(self) -> int:
        return len(self.blocks) - 1

    @property
    def epoch(self) -> Epoch:
        return Epoch(self.height // self.rules.epoch_blocks)

    def mine(self, count: int = 1, events: Sequence[tuple[str, dict[str, Any]]] = ()) -> int:
        """Add blocks, the last of which has these events; gives its number."""
        for left in reversed(range(count)):
            number = len(self.blocks)
            block_hash = hashlib.sha256(f"{number}/{self._fork}".encode()).digest()
            made = tuple(
                Event(
                    name=name,
                    args=args,
                    block=number,
                    block_hash=block_hash,
                    tx_hash=hashlib.sha256(block_hash).digest(),
                    log_index=index,
                )
                for index, (name, args) in enumerate(events if left == 0 else ())
            )
            self.blocks.append(Block(hash=block_hash, timestamp=number, events=made))
        return self.height

    def reorg(self, depth: int) -> None:
        """Forget the newest blocks; those mined from now on have other hashes."""
        del self.blocks[len(self.blocks) - depth :]
        self._fork += 1

    def events(self, name: str) -> list[Event]:
        """All events of this name."""
        return [event for block in self.blocks for event in block.events if event.name == name]

    def receipt(self, block: int, gas_used: int = 1) -> Receipt:
        """Of the transaction that made a block."""
        made = self.blocks[block]
        return Receipt(
            tx_hash=made.events[0].tx_hash if made.events else bytes(32),
            block=block,
            block_hash=made.hash,
            gas_used=gas_used,
            effective_gas_price=1,
            events=made.events,
            contract_address=None,
        )

    def ask(self) -> None:
        """What each question does first."""
        if self.down:
            raise ChainUnavailable("http://chain", "connection refused")

    # What `Chain` reads of it.

    async def head(self) -> Head:
        self.ask()
        newest = self.blocks[-1]
        return Head(
            number=self.height,
            hash=newest.hash,
            timestamp=newest.timestamp,
            epoch=self.epoch,
            base_fee_wei=self.base_fee_wei,
        )

    async def clock(self) -> BlockClock:
        self.ask()
        return BlockClock(
            block=self.height,
            timestamp=self.blocks[-1].timestamp,
            block_seconds=BLOCK_SECONDS,
            epoch_blocks=self.rules.epoch_blocks,
        )

    async def block_hash(self, number: int) -> bytes | None:
        self.ask()
        return self.blocks[number].hash if 0 <= number <= self.height else None

    async def block_hashes(self, numbers: Sequence[int]) -> list[bytes | None]:
        return [await self.block_hash(number) for number in numbers]

    async def logs(
        self,
        from_block: int,
        to_block: int | None,
        events: Sequence[str] = (),
        args: Mapping[str, Any] | None = None,
    ) -> list[Event]:
        last = self.height if to_block is None else to_block
        return await self.logs_matching(
            from_block, last, [EventFilter(events=tuple(events), args=args or {})]
        )

    async def logs_and_hashes(
        self, first: int, last: int, filters: Sequence[EventFilter], numbers: Sequence[int]
    ) -> tuple[list[Event], list[bytes | None]]:
        return await self.logs_matching(first, last, filters), await self.block_hashes(numbers)

    async def logs_matching(self, first: int, last: int, filters: Sequence[EventFilter]) -> list[Event]:
        self.ask()
        blocks = self.blocks[first : last + 1]
        return [
            event for block in blocks for event in block.events if any(matches(event, one) for one in filters)
        ]


class NoEndpoint:
    """What a test's market does not answer itself, nothing answers."""

    url = "http://chain"
    log_blocks = MAX_LOG_BLOCKS
    connections = ()
    in_use = None
    is_alone = True
    known_event_block: int | None = None

    def __init__(self) -> None:
        self.reports: dict[str, None] = {}

    def ask_another(self) -> None:
        """There is none."""

    def distrust(self, reason: str) -> None:
        """There is nobody to ask instead."""

    async def call(self, *_: object) -> None:
        raise ChainUnavailable(self.url, "there is none")

    batch = call


def unconnected(domain: Domain, wallet: Wallet, parameters: Parameters = PARAMETERS) -> Sender:
    """A sender from which a fake market learns who it is, and over which nothing can be sent."""
    rpc: Any = NoEndpoint()
    chain = Chain(rpc, market=domain.market, chain_id=domain.chain_id, parameters=parameters)
    return Sender(chain, wallet)


def matches(event: Event, chosen: EventFilter) -> bool:
    """Whether an endpoint gives an event to who asks with this filter. What a test left out of the event
    suits every filter."""

    def suits(name: str, wanted: Any) -> bool:
        choices = [wanted] if isinstance(wanted, str | bytes | int) else wanted
        return name not in event.args or event.args[name] in choices

    is_named = not chosen.events or event.name in chosen.events
    return is_named and all(suits(*one) for one in chosen.args.items())

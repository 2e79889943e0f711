"""What tests of repairs share: a market and its farmers in memory, and a repairer among them.

`Ground` stands for the chain: all that it says follows from the list of its blocks, so that a reorg is a cut,
and events are followed by the real EventFollower. `Keep` stands for a farmer's node behind a `Peer`. What a
test lets go wrong is set on these; `watch` is called with a word before each thing a farmer or the chain is
asked for, so that a test can end the repairer there.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grange.chain import (
    ChainUnavailable,
    Event,
    EventFilter,
    EventFollower,
    Eviction,
    Farmer,
    Head,
    Loss,
    Receipt,
    Rollback,
    TransactionReverted,
    Wallet,
)
from grange.erasure import Codec
from grange.layout import Geometry
from grange.merkle import merkle_root, root_of_hashes
from grange.messages import Domain, acceptance_signer, sign_takeover, tenure_word
from grange.peer import (
    FarmerRefused,
    FarmerUnreachable,
    Listing,
    Patience,
    Promise,
    Proposal,
)
from grange.peer.purse import Budget
from grange.types import (
    Acceptance,
    Address,
    Epoch,
    FarmerId,
    Held,
    Offer,
    OrderId,
    Parameters,
    Slot,
    Takeover,
    address_from,
)
from grange.units import GIB, HASH_BYTES, LEAF_BYTES, TOKEN, egress_rounded_up
from grange_node.repair.chart import Chart
from grange_node.repair.contacts import Contacts
from grange_node.repair.crew import Wanted
from grange_node.repair.market import Earned, Market
from grange_node.repair.repairer import Repairer, Settings

DOMAIN = Domain(chain_id=1337, market=address_from(b"\x11" * 20))
PARAMETERS = Parameters(
    token=address_from(b"\x22" * 20),
    epoch_blocks=10,
    grid_epochs=8,
    max_books=12,
    samples=5,
    collateral_epochs=16,
    max_misses=4,
    penalty=1,
    fine=1,
    auction_epochs=4,
    withdraw_delay_epochs=2,
)
K, N = 2, 5
SEGMENTS = 6
PIECE_LEAVES = 4
PIECE_BYTES = PIECE_LEAVES * LEAF_BYTES
SLOT_BYTES = SEGMENTS * PIECE_BYTES
RATE = TOKEN // 10
STAKE = 100 * TOKEN
END = Epoch(32)
DEADLINE_BLOCKS = 100
ORDER = OrderId(hashlib.sha256(b"the order").digest())
RENTER = address_from(b"\x33" * 20)
PATIENCE = Patience(tries=1, pause_seconds=0.0)

Watch = Callable[[str], Awaitable[None]]


async def nothing(_: str) -> None:
    """Let it happen."""


@dataclass
class Clock:
    """Seconds that only move when told to."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(kw_only=True)
class Keep:
    """A farmer: what it keeps and what was sent to it, and how it behaves."""

    id: FarmerId
    wallet: Wallet
    egress_price: int = 0
    gone: bool = False
    gone_after_reads: int | None = None
    lies: bool = False
    refuses: bool = False
    gone_once_signed: bool = False
    reads: int = 0
    puts: int = 0
    kept: dict[tuple[OrderId, int], dict[int, bytes]] = field(default_factory=dict)
    sent: dict[tuple[Address, OrderId, int], dict[int, bytes]] = field(default_factory=dict)
    promised: dict[tuple[OrderId, int], Address] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block, and what the market said in it."""

    hash: bytes
    events: tuple[Event, ...]


class Ground:
    """A market with some farmers and one order."""

    def __init__(self, farmers: int = 9) -> None:
        self.keeps = {
            FarmerId(number): Keep(id=FarmerId(number), wallet=Wallet(bytes([number]) * 32))
            for number in range(1, farmers + 1)
        }
        self.blocks: list[Block] = []
        self.down = False
        self.lapsed: set[FarmerId] = set()
        self.stakes: dict[FarmerId, int] = {}
        self.refills = 0
        self.slots: list[list[bytes]] = []
        """What was placed, as whoever placed it says."""
        self._fork = 0
        self.mine(35)

    # For the tests.

    @property
    def height(self) -> int:
        return len(self.blocks) - 1

    @property
    def epoch(self) -> Epoch:
        return Epoch(self.height // PARAMETERS.epoch_blocks)

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
            self.blocks.append(Block(hash=block_hash, events=made))
        return self.height

    def mine_to_next_epoch(self) -> None:
        self.mine((self.epoch + 1) * PARAMETERS.epoch_blocks - self.height)

    def reorg(self, depth: int) -> None:
        """The newest blocks are replaced by as many empty ones."""
        del self.blocks[len(self.blocks) - depth :]
        self._fork += 1
        self.mine(depth)

    def place(self, *, wrong: Iterable[int] = ()) -> list[list[bytes]]:
        """An order that the first N farmers keep; gives its pieces by slot. Those of `wrong` slots are of no
        code word."""
        codec = Codec(K, N)
        made = [
            codec.encode(hashlib.shake_256(bytes([number])).digest(K * PIECE_BYTES))
            for number in range(SEGMENTS)
        ]
        slots = [[made[segment][slot] for segment in range(SEGMENTS)] for slot in range(N)]
        for slot in wrong:
            slots[slot] = [bytes(PIECE_BYTES)] * SEGMENTS
        start = Epoch(self.epoch + 1)
        leaf_count = SEGMENTS * PIECE_LEAVES
        placed = {
            "order": ORDER, "renter": RENTER, "from": start, "end": END, "k": K, "n": N,
            "leaf_count": leaf_count, "piece_leaves": PIECE_LEAVES,
        }  # fmt: skip
        filled = []
        for slot, pieces in enumerate(slots):
            farmer = FarmerId(slot + 1)
            self.keeps[farmer].kept[ORDER, slot] = dict(enumerate(pieces))
            filled.append(("SlotFilled", self._filled(farmer, slot, _root(pieces), start)))
        self.mine(events=[("OrderPlaced", placed), *filled])
        return slots

    def _filled(self, farmer: FarmerId, slot: int, root: bytes, start: Epoch) -> dict[str, Any]:
        return {
            "order": ORDER, "farmer": farmer, "slot": slot, "root": root, "rate": RATE,
            "leaf_count": SEGMENTS * PIECE_LEAVES, "from": start, "end": END, "extension": False,
        }  # fmt: skip

    def lapse(self, *farmers: int) -> None:
        """These vanish, and have missed too much."""
        for number in farmers:
            farmer = FarmerId(number)
            self.keeps[farmer].gone = True
            self.lapsed.add(farmer)
            self.mine(events=[("Lapsed", {"farmer": farmer, "vacant_from": self.epoch + 1})])

    def evict_now(self, *farmers: int) -> None:
        """Somebody evicts them, and their bounties are at their full height."""
        for number in farmers:
            self.mine(events=[("Evicted", {"farmer": FarmerId(number), "collateral_epochs": 16})])
        self.mine(PARAMETERS.auction_epochs * PARAMETERS.epoch_blocks)

    def events(self, name: str) -> list[Event]:
        return [event for block in self.blocks for event in block.events if event.name == name]

    def holders(self) -> dict[int, FarmerId]:
        """Who holds which slot."""
        return {
            event.args["slot"]: event.args["farmer"]
            for event in self.events("SlotFilled")
            if event.args["order"] == ORDER
        }

    def pieces_at(self, slot: int) -> list[bytes]:
        """What the present holder of a slot keeps of it."""
        keep = self.keeps[self.holders()[slot]]
        held = keep.kept.get((ORDER, slot)) or next(
            pieces for (_, order, index), pieces in keep.sent.items() if (order, index) == (ORDER, slot)
        )
        return [held[index] for index in range(SEGMENTS)]

    def ask(self) -> None:
        if self.down:
            raise ChainUnavailable("http://chain", "connection refused")

    def farmer(self, farmer: FarmerId) -> Farmer:
        keep = self.keeps[farmer]
        return Farmer(
            id=farmer,
            owner=keep.wallet.address,
            operator=keep.wallet.address,
            stake=self.stakes.get(farmer, STAKE),
            committed_rate=RATE,
            settled_epoch=Epoch(self.epoch),
            misses=0,
            strikes=0,
            lapsed=farmer in self.lapsed,
            endpoint=f"http://127.0.0.1:{farmer}",
            offer=Offer(
                price_per_gib_epoch=TOKEN,
                egress_price_per_gib=keep.egress_price,
                capacity_bytes=GIB,
                longest_term_epochs=100,
            ),
        )

    # What an EventFollower asks.

    async def head(self) -> Head:
        self.ask()
        return Head(number=self.height, hash=self.blocks[-1].hash, timestamp=self.height, epoch=self.epoch)

    async def block_hashes(self, numbers: Sequence[int]) -> list[bytes | None]:
        self.ask()
        return [self.blocks[number].hash if 0 <= number <= self.height else None for number in numbers]

    async def block_hash(self, number: int) -> bytes | None:
        return (await self.block_hashes([number]))[0]

    async def logs_matching(self, first: int, last: int, filters: Sequence[EventFilter]) -> list[Event]:
        self.ask()
        return [event for block in self.blocks[first : last + 1] for event in block.events]


class FakeMarket(Market):
    """The ground as one repairer sees it."""

    def __init__(self, ground: Ground, wallet: Wallet, watch: Watch) -> None:
        self._ground = ground
        self._wallet = wallet
        self._watch = watch
        self.funded: list[int] = []
        self.lose_answer = False

    @property
    def domain(self) -> Domain:
        return DOMAIN

    @property
    def parameters(self) -> Parameters:
        return PARAMETERS

    @property
    def address(self) -> Address:
        return self._wallet.address

    async def head(self) -> Head:
        return await self._ground.head()

    async def follow(self, chart: Chart) -> None:
        while steps := await EventFollower(self._ground, cursor=chart.cursor).poll():  # type: ignore[arg-type]
            if any(isinstance(step, Rollback) for step in steps):
                await self._watch("rollback")
            chart.apply(steps)

    async def farmers(self, epoch: Epoch) -> dict[FarmerId, Farmer]:
        self._ground.ask()
        return {farmer: self._ground.farmer(farmer) for farmer in self._ground.keeps}

    async def eviction(self, farmer: FarmerId) -> Eviction | None:
        self._ground.ask()
        for event in self._ground.events("Evicted"):
            if event.args["farmer"] == farmer:
                return Eviction(evicted_block=event.block, collateral_epochs=event.args["collateral_epochs"])
        return None

    async def loss(self, order: OrderId, index: int, slot: Slot) -> Loss | None:
        for event in self._ground.events("LossDeclared"):
            args = event.args
            if (args["order"], args["slot"], args["from"]) == (order, index, slot.start):
                return Loss(
                    farmer=slot.farmer,
                    lost_epoch=args["lost_epoch"],
                    lost_block=event.block,
                    collateral=args["collateral"],
                )
        return None

    async def missed(self, farmer: FarmerId, epoch: Epoch) -> bool:
        return False

    async def earned(self, order: OrderId, since_block: int) -> Earned:
        await self._watch("earned")
        found = [
            event
            for event in self._ground.events("SlotVacated")
            if event.block >= since_block and event.args["repairer"] == self.address
        ]
        return Earned(
            bounty=sum(event.args["bounty"] for event in found),
            transactions=tuple(dict.fromkeys(event.tx_hash.hex() for event in found)),
            slots=frozenset(event.args["slot"] for event in found),
        )

    async def fund(self, amount: int, signed: Mapping[FarmerId, int]) -> None:
        await self._watch("fund")
        self.funded.append(amount)

    async def evict(self, farmer: FarmerId) -> Receipt:
        await self._watch("evict")
        if await self.eviction(farmer) is not None:
            raise TransactionReverted("evict", "AlreadyEvicted", {"farmer": farmer})
        return self._receipt(
            self._ground.mine(events=[("Evicted", {"farmer": farmer, "collateral_epochs": 16})])
        )

    async def close(self, held: Held) -> Receipt:
        await self._watch("close")
        return self._receipt(self._ground.mine(events=[("OrderClosed", {"order": held.order})]))

    async def refill(self, held: Held, takeovers: Sequence[Takeover]) -> Receipt:
        await self._watch("refill")
        ground = self._ground
        ground.ask()
        holders = ground.holders()
        events: list[tuple[str, dict[str, Any]]] = []
        start = Epoch((ground.height + 1) // PARAMETERS.epoch_blocks + 1)
        for takeover in takeovers:
            slot = held.slots[takeover.slot]
            self._check(held, takeover, slot, holders)
            vacated = {
                "order": ORDER, "farmer": slot.farmer, "slot": takeover.slot, "repairer": self.address,
                "bounty": RATE, "refund": 0,
            }  # fmt: skip
            events.append(("SlotVacated", vacated))
            events.append(("SlotFilled", ground._filled(takeover.farmer, takeover.slot, slot.root, start)))
        block = ground.mine(events=events)
        ground.refills += 1
        if self.lose_answer:
            raise ChainUnavailable("http://chain", "connection lost while waiting")
        return self._receipt(block)

    def _check(self, held: Held, takeover: Takeover, slot: Slot, holders: Mapping[int, FarmerId]) -> None:
        ground = self._ground
        if holders[takeover.slot] != slot.farmer:
            raise TransactionReverted("refill", "NotTheSlots", {"order": ORDER})
        if takeover.farmer in holders.values():
            raise TransactionReverted("refill", "DuplicateFarmer", {"farmer": takeover.farmer})
        if slot.farmer not in ground.lapsed:
            raise TransactionReverted("refill", "SlotNotVacant", {"index": takeover.slot})
        if takeover.farmer in ground.lapsed:
            raise TransactionReverted("refill", "FarmerLapsed", {"farmer": takeover.farmer})
        acceptance = Acceptance(
            farmer=takeover.farmer,
            root=slot.root,
            rate=slot.rate,
            deadline_block=takeover.deadline_block,
            r=takeover.r,
            vs=takeover.vs,
        )
        signer = acceptance_signer(
            DOMAIN,
            acceptance,
            order=ORDER,
            slot=takeover.slot,
            leaf_count=held.leaf_count,
            end=END,
            previous=tenure_word(slot.start),
            repairer=self.address,
        )
        assert signer == ground.keeps[takeover.farmer].wallet.address

    def _receipt(self, block: int) -> Receipt:
        newest = self._ground.blocks[block]
        return Receipt(
            tx_hash=bytes(32),
            block=block,
            block_hash=newest.hash,
            gas_used=1,
            effective_gas_price=1,
            events=newest.events,
            contract_address=None,
        )


class FakePeer:
    """A farmer as one account talks to it."""

    def __init__(self, ground: Ground, farmer: FarmerId, account: Address, watch: Watch) -> None:
        self.farmer = ground.farmer(farmer)
        self._ground = ground
        self._keep = ground.keeps[farmer]
        self._account = account
        self._watch = watch

    def _answers(self) -> None:
        if self._keep.gone:
            raise FarmerUnreachable(f"Farmer {self._keep.id} cannot be reached.")

    async def listing(self, order: OrderId, slot: int, first: int = 0) -> Listing:
        await self._watch("listing")
        self._answers()
        held = self._keep.kept.get((order, slot)) or self._keep.sent.get((self._account, order, slot))
        if held is None:
            raise FarmerRefused("nothing of it is here", status=404, code="not_found")
        return Listing(roots={index: merkle_root(piece) for index, piece in held.items()}, count=len(held))

    async def read(self, order: OrderId, slot: int, start: int, size_bytes: int) -> bytes:
        await self._watch("read")
        self._answers()
        keep = self._keep
        if keep.gone_after_reads is not None and keep.reads >= keep.gone_after_reads:
            keep.gone = True
            self._answers()
        keep.reads += 1
        held = keep.kept[order, slot]
        data = b"".join(held[index] for index in range(len(held)))[start : start + size_bytes]
        return bytes(len(data)) if keep.lies else data

    async def put_piece(self, order: OrderId, slot: int, piece: int, data: bytes, root: bytes) -> None:
        await self._watch("put")
        self._answers()
        self._keep.puts += 1
        assert merkle_root(data) == root
        self._keep.sent.setdefault((self._account, order, slot), {})[piece] = bytes(data)

    async def drop(self, order: OrderId, slot: int) -> None:
        self._answers()
        if self._keep.promised.get((order, slot)) == self._account:
            raise FarmerRefused("this slot is promised", status=409, code="conflict")
        self._keep.sent.pop((self._account, order, slot), None)

    async def accept(self, order: OrderId, slot: int, proposal: Proposal) -> Promise:
        await self._watch("accept")
        self._answers()
        keep = self._keep
        assert proposal.held is not None
        if keep.refuses:
            raise FarmerRefused("no more", status=409, code="stake_too_small")
        sent = keep.sent.get((self._account, order, slot), {})
        if sorted(sent) != list(range(SEGMENTS)) or _root([sent[i] for i in sorted(sent)]) != proposal.root:
            raise FarmerRefused("another root", status=422, code="root_mismatch")
        if keep.promised.setdefault((order, slot), self._account) != self._account:
            raise FarmerRefused("promised to another", status=409, code="promised")
        consent = sign_takeover(
            DOMAIN,
            keep.wallet.private_key,
            order=order,
            farmer=keep.id,
            slot=slot,
            root=proposal.root,
            leaf_count=proposal.leaf_count,
            rate=proposal.rate,
            end=Epoch(proposal.end),
            deadline_block=self._ground.height + DEADLINE_BLOCKS,
            replaces=proposal.held.slots[slot].start,
            repairer=self._account,
        )
        if keep.gone_once_signed:
            self._ground.lapse(keep.id)
        return Promise(
            farmer=keep.id,
            slot=slot,
            root=proposal.root.hex(),  # type: ignore[arg-type]
            rate=proposal.rate,
            leaf_count=proposal.leaf_count,
            end=proposal.end,
            deadline_block=consent.deadline_block,
            r=consent.r.hex(),  # type: ignore[arg-type]
            vs=consent.vs.hex(),  # type: ignore[arg-type]
        )


class _Tabs:
    def totals(self) -> dict[FarmerId, int]:
        return {}


class FakeReading:
    """What one repair reads."""

    def __init__(self, contacts: "FakeContacts", budget: Budget) -> None:
        self._contacts = contacts
        self._budget = budget
        self._priced = dict(contacts.farmers)
        self.received_bytes = 0

    def source(self, farmer: FarmerId) -> FakePeer:
        peer = self._contacts.taker(farmer)
        read = peer.read

        async def counted(order: OrderId, slot: int, start: int, size_bytes: int) -> bytes:
            asked, known = peer.farmer.offer.egress_price_per_gib, self._priced[farmer].offer
            if asked > known.egress_price_per_gib:
                raise FarmerRefused("asks more", status=402, code="dearer")
            price = egress_rounded_up(asked, size_bytes)
            self._budget.spend(price)
            try:
                data = await read(order, slot, start, size_bytes)
            except FarmerUnreachable:
                self._budget.spent -= price
                raise
            self._contacts.spent += price
            self.received_bytes += len(data)
            return data

        peer.read = counted  # type: ignore[method-assign]
        return peer


class FakeContacts(Contacts):
    """The farmers as one repairer knows them."""

    def __init__(self, ground: Ground, wallet: Wallet, watch: Watch) -> None:
        self.patience = PATIENCE
        self.tabs = _Tabs()  # type: ignore[assignment]
        self._ground = ground
        self._wallet = wallet
        self._watch = watch
        self._farmers = {}
        self.spent = 0

    def taker(self, farmer: FarmerId) -> FakePeer:  # type: ignore[override]
        return FakePeer(self._ground, farmer, self._wallet.address, self._watch)

    @asynccontextmanager
    async def reading(self, budget: Budget) -> AsyncIterator[FakeReading]:  # type: ignore[override]
        yield FakeReading(self, budget)

    async def who_answers(self, farmers: Iterable[Farmer], tie: bytes) -> list[Wanted]:
        await self._watch("greet")
        return [
            Wanted(farmer=farmer, free_bytes=GIB)
            for farmer in farmers
            if not self._ground.keeps[farmer.id].gone
        ]

    async def whereabouts(self, farmers: Sequence[FarmerId]) -> list[Wanted]:
        return [Wanted(farmer=self._ground.farmer(farmer), free_bytes=0) for farmer in farmers]


@asynccontextmanager
async def repairing(
    ground: Ground,
    folder: Path,
    *,
    wallet: Wallet | None = None,
    watch: Watch = nothing,
    clock: Clock | None = None,
    **settings: Any,
) -> AsyncIterator[Repairer]:
    """A repairer that moves when its `tick` is called; leaving it ends it where it is."""
    wallet = wallet or Wallet(b"\x77" * 32)
    chosen = Settings(folder=folder, **{"retry_seconds": 0.0, "window_blocks": 1, **settings})
    market, contacts = FakeMarket(ground, wallet, watch), FakeContacts(ground, wallet, watch)
    async with asyncio.TaskGroup() as tasks:
        repairer = Repairer(chosen, market, contacts, clock or Clock(), tasks)
        try:
            yield repairer
        finally:
            await repairer.end()


async def until_done(ground: Ground, repairer: Repairer, rounds: int = 30) -> None:
    """Look at the chain again and again, a block apart, until nothing is left to do."""
    for _ in range(rounds):
        await repairer.tick()
        await repairer.idle()
        if repairer.jobs.done() and not repairer.jobs.under_way():
            return
        ground.mine()
    raise AssertionError("not repaired")


def _root(pieces: Sequence[bytes]) -> bytes:
    return root_of_hashes(b"".join(merkle_root(piece) for piece in pieces))


assert (
    Geometry.from_leaves(k=K, n=N, leaf_count=SEGMENTS * PIECE_LEAVES, piece_leaves=PIECE_LEAVES).slot_bytes
    == SLOT_BYTES
)
assert len(_root([bytes(PIECE_BYTES)])) == HASH_BYTES

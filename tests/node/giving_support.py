"""A farm that hands slots over, and the farmers that could take them, in memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from node_support import (
    DOMAIN,
    FARMER,
    OFFER,
    PIECE_LEAVES,
    Clock,
    FakeMarket,
    Farm,
    Parcel,
    open_farm,
    parcel,
    pass_blocks,
)

from grange.chain import Farmer, Order, Wallet
from grange.chain.orders import OrderState
from grange.layout import Geometry
from grange.merkle import merkle_root, root_of_hashes
from grange.messages import AcceptanceMessage, sign_takeover, slots_hash, tenure_word
from grange.peer import FarmerRefused, FarmerUnreachable
from grange.transfer.retry import RetryPolicy
from grange.types import NO_LIMIT, Epoch, FarmerId, OrderId, Slot
from grange.units import TOKEN
from grange.wire.bodies import AcceptanceAnswer, HandOverRequest, Listing
from grange_node.config import HAND_OVERS_NAME
from grange_node.hand_over.list_file import HandOver, HandOverList

ALLOWED = 1 << 11
N, K = 5, 1
END = 40
DEADLINE_BLOCKS = 100


@dataclass(kw_only=True)
class Taker:
    """A farmer that could take a slot, and how it behaves."""

    id: FarmerId
    wallet: Wallet
    gone: bool = False
    refuses: str = ""
    """With which code it does not sign."""
    lies: bool = False
    """It signs for another root than the order has."""
    hangs: bool = False
    """It takes for ever to take a piece."""
    pieces: dict[tuple[OrderId, int], dict[int, bytes]] = field(default_factory=dict)
    puts: int = 0

    def farmer(self, **changes: Any) -> Farmer:
        return registered_farmer(self.id, owner=self.wallet.address, operator=self.wallet.address, **changes)


def registered_farmer(farmer: FarmerId, **changes: Any) -> Farmer:
    """One that the chain shows, in good standing and with stake enough."""
    fields: dict[str, Any] = {
        "id": farmer,
        "stake": 100 * TOKEN,
        "committed_rate": TOKEN,
        "settled_epoch": Epoch(1),
        "misses": 0,
        "strikes": 0,
        "epochs_proven": 1,
        "registered_block": 0,
        "ceiling": NO_LIMIT,
        "loss_limit": NO_LIMIT,
        "lapsed": False,
        "endpoint": "http://127.0.0.1:1",
        "offer": OFFER,
    }
    return Farmer(**(fields | changes))


class TakerPeer:
    """A taker as the giver talks to it."""

    def __init__(self, taker: Taker, market: FakeMarket) -> None:
        self.farmer = taker.farmer()
        self._taker = taker
        self._market = market

    def _answer(self) -> None:
        if self._taker.gone:
            raise FarmerUnreachable(f"Farmer {self._taker.id} cannot be reached.")

    async def listing(self, order: OrderId, slot: int, first: int = 0) -> Listing:
        self._answer()
        held = self._taker.pieces.get((order, slot), {})
        return Listing(roots={index: merkle_root(piece) for index, piece in held.items()}, count=len(held))

    async def put_piece(self, order: OrderId, slot: int, piece: int, data: bytes, root: bytes) -> None:
        self._answer()
        if self._taker.hangs:
            await asyncio.Event().wait()
        assert merkle_root(data) == root
        self._taker.puts += 1
        self._taker.pieces.setdefault((order, slot), {})[piece] = bytes(data)

    async def drop(self, order: OrderId, slot: int) -> None:
        self._answer()
        self._taker.pieces.pop((order, slot), None)

    async def accept(self, order: OrderId, slot: int, request: HandOverRequest) -> AcceptanceAnswer:
        self._answer()
        taker, held = self._taker, request.held(order)
        if taker.refuses:
            status = {"not_found": 404, "limit_reached": 429}.get(taker.refuses, 409)
            raise FarmerRefused("no", status=status, code=taker.refuses)
        given = slots_hash(held.leaf_count, held.piece_leaves, held.slots)
        if given != self._market.orders[order].slots_hash:
            raise FarmerRefused("the slots are not those of the order", status=422, code="root_mismatch")
        wanted = held.slots[slot]
        pieces = taker.pieces.get((order, slot), {})
        if root_of_hashes(b"".join(merkle_root(pieces[one]) for one in sorted(pieces))) != wanted.root:
            raise FarmerRefused("pieces are missing", status=404, code="not_found")
        root = bytes(32) if taker.lies else wanted.root
        message = AcceptanceMessage(
            order=order,
            farmer=taker.id,
            slot=slot,
            root=root,
            leaf_count=held.leaf_count,
            rate=wanted.rate,
            max_egress_price_per_gib=wanted.max_egress_price_per_gib,
            end=Epoch(END),
            deadline_block=self._market.height + DEADLINE_BLOCKS,
            previous=tenure_word(wanted.start),
            giver=FARMER,
        )
        signed = sign_takeover(DOMAIN, taker.wallet.private_key, message)
        return AcceptanceAnswer(
            farmer=taker.id,
            slot=slot,
            root=root,
            rate=wanted.rate,
            max_egress_price_per_gib=wanted.max_egress_price_per_gib,
            leaf_count=held.leaf_count,
            end=Epoch(END),
            deadline_block=signed.deadline_block,
            r=signed.r,
            vs=signed.vs,
        )


@dataclass(kw_only=True)
class FakeTakers:
    """Some farmers, which are preferred in this order."""

    market: FakeMarket
    takers: dict[FarmerId, Taker]
    policy: RetryPolicy = field(default_factory=lambda: RetryPolicy(tries=1, pause_seconds=0.0))
    found: list[FarmerId] = field(default_factory=list)
    before_put: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[FakeTakers]:
        yield self

    async def find(
        self, order_state: OrderState, slot: int, *, wanted: Collection[FarmerId], but: Collection[FarmerId]
    ) -> FarmerId | None:
        holders = {held.farmer for held in order_state.slots}
        left = [one for one in self.takers if one not in {*but, *holders} and (not wanted or one in wanted)]
        left = [one for one in left if not self.takers[one].gone]
        self.found += left[:1]
        return left[0] if left else None

    def farmer(self, farmer: FarmerId) -> Farmer:
        return self.takers[farmer].farmer()

    def peer(self, farmer: Farmer) -> Any:
        return TakerPeer(self.takers[farmer.id], self.market)


@dataclass(kw_only=True)
class Giving:
    """A farm with slots, and those that could take them."""

    farm: Farm
    directory: FakeTakers
    slots: list[Parcel]
    folder: Path

    @property
    def market(self) -> FakeMarket:
        return self.farm.market

    @property
    def takers(self) -> dict[FarmerId, Taker]:
        return self.directory.takers

    async def order(self, order: OrderId) -> OrderState | None:
        """As its events tell it now."""
        known, found = self.market.orders.get(order), next(one for one in self.slots if one.order == order)
        if known is None:
            return None
        filled = [one.args for one in self.market.events("SlotFilled") if one.args["order"] == order]
        return order_of(found, filled[-1]["farmer"], filled[-1]["from"])

    def ask(self, *slots: Parcel, wanted: Sequence[int] = ()) -> None:
        """The operator asks for these to be handed over, in another process."""
        with HandOverList.open(self.folder / HAND_OVERS_NAME) as hand_overs:
            hand_overs.add([(one.order, one.slot) for one in slots], [FarmerId(one) for one in wanted])

    def listed(self) -> list[HandOver]:
        with HandOverList.look(self.folder / HAND_OVERS_NAME) as hand_overs:
            return hand_overs.all()

    async def prove(self) -> None:
        """The farm proves the epoch that it is, unless it did."""
        await self.farm.node.prover.step(await self.farm.node.follower.refresh())
        await self.farm.node.follower.refresh()

    async def next_epoch(self) -> None:
        """It begins, and the farm has proven it."""
        pass_blocks(
            self.farm, self.market.rules.epoch_blocks - self.market.height % self.market.rules.epoch_blocks
        )
        self.farm.node.follower.read_soon()
        await self.prove()

    async def tick(self) -> None:
        await self.farm.node.giver.tick()
        await self.farm.node.follower.refresh()

    async def settle_bonds(self) -> None:
        """What can be is released, the event read, and what was released let go."""
        await self.farm.node.bonds.tick()
        await self.farm.node.follower.refresh()
        await self.farm.node.bonds.tick()

    def taker_proves(self, *takers: int) -> None:
        """These have proven up to now."""
        for taker in map(FarmerId, takers or self.takers):
            self.market.others[taker] = self.takers[taker].farmer(settled_epoch=Epoch(self.market.epoch))


def order_of(slot: Parcel, farmer: FarmerId, start: Epoch) -> OrderState:
    """An order whose other slots others keep."""
    kept = {
        index: Slot(farmer=FarmerId(100 + index), root=bytes([index]) * 32, rate=slot.rate, start=Epoch(2))
        for index in range(N)
    }
    kept[slot.slot] = Slot(farmer=farmer, root=slot.root, rate=slot.rate, start=start)
    return OrderState(
        id=slot.order,
        renter=slot.renter.address,
        block=1,
        start=Epoch(2),
        end=Epoch(slot.end),
        geometry=Geometry.from_leaves(
            k=K, n=N, leaf_count=len(slot.pieces) * PIECE_LEAVES, piece_leaves=PIECE_LEAVES
        ),
        slots=tuple(kept[index] for index in range(N)),
    )


@asynccontextmanager
async def giving(
    folder: Path,
    slots: int = 1,
    *,
    takers: Sequence[int] = (8, 9),
    market: FakeMarket | None = None,
    clock: Clock | None = None,
    begin: bool = True,
    **settings: Any,
) -> AsyncIterator[Giving]:
    """A farm that keeps some slots of as many orders, and has proven the epoch. With `begin` False it is
    started again on what there is."""
    parcels = [parcel(seed=seed, end=END) for seed in range(slots)]
    async with open_farm(folder, market=market, clock=clock, **settings) as farm:
        directory = FakeTakers(
            market=farm.market,
            takers={
                FarmerId(one): Taker(id=FarmerId(one), wallet=Wallet(hashlib.sha256(bytes([one])).digest()))
                for one in takers
            },
        )
        given = Giving(farm=farm, directory=directory, slots=parcels, folder=folder)
        farm.node.giver._takers = directory
        farm.node.giver._order_of = given.order
        farm.node.giver._front._order_of = given.order
        farm.node.collector._history = given.order
        if begin:
            for one in parcels:
                await farm.keep(one)
                state = await _placed(given, one)
                farm.market.orders[one.order] = state
            given.taker_proves()
            await given.next_epoch()
        yield given


async def _placed(given: Giving, slot: Parcel) -> Order:
    start = Epoch(given.market.events("SlotFilled")[-1].args["from"])
    state = order_of(slot, FARMER, start)
    return Order(
        renter=slot.renter.address,
        start=start,
        end=Epoch(slot.end),
        k=K,
        n=N,
        slots_hash=slots_hash(state.geometry.leaf_count, state.geometry.piece_leaves, state.slots),
        hand_overs=ALLOWED,
    )


def lets(market: FakeMarket, slot: Parcel, hand_overs: int) -> None:
    """What the market says of hand-overs of a slot's order."""
    market.orders[slot.order] = replace(market.orders[slot.order], hand_overs=hand_overs)

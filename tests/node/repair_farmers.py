"""The farmers as one repairer knows and talks to them, on the ground of the tests.

`FakePeer` answers out of a farmer's `Keep`, as well or badly as that says; `FakeReading` pays for what is
read, and `FakeDirectory` says who there is.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from repair_ground import DEADLINE_BLOCKS, DOMAIN, END, PIECE_BYTES, SEGMENTS, Ground, Watch, root_of
from repair_market import FakeMarket

from grange.chain import Farmer, Wallet
from grange.merkle import Tree, merkle_root
from grange.messages import AcceptanceMessage, sign_takeover, tenure_word
from grange.peer import FarmerRefused, FarmerUnreachable, PieceClosed
from grange.peer.read_payments import Budget, read_price
from grange.transfer.directory import Probed, Reputations
from grange.transfer.retry import RetryPolicy
from grange.transfer.selection import Candidate
from grange.types import Address, FarmerId, OrderId
from grange.units import GIB, egress_rounded_up
from grange.wire.bodies import AcceptanceAnswer, Listing, PiecePath, TakeOverRequest
from grange_node.errors import ClosedUntilEpoch
from grange_node.reads.readers import AS_RENTER, Access
from grange_node.repair.directory import AS_FOLLOWED, FollowedDirectory

POLICY = RetryPolicy(tries=1, pause_seconds=0.0)


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
        access = self._access() if (order, slot) in self._keep.kept else AS_RENTER
        shown = {index: merkle_root(piece) for index, piece in held.items() if access.shows(index)}
        return Listing(roots=shown, count=len(held))

    async def piece_path(self, order: OrderId, slot: int, piece: int) -> PiecePath:
        await self._watch("path")
        self._answers()
        self._require([piece])
        held = self._keep.kept[order, slot]
        tree = Tree(b"".join(merkle_root(held[index]) for index in range(len(held))))
        return PiecePath(root=tree.leaf(piece), path=tree.path(piece), pieces=len(held))

    def _access(self) -> Access:
        return self._ground.access(self._account)

    def _require(self, pieces: Sequence[int]) -> None:
        try:
            self._access().require(pieces)
        except ClosedUntilEpoch as error:
            raise PieceClosed(
                error.message, status=error.code.status, code=error.code, open_epoch=error.values["epoch"]
            ) from error

    async def read(self, order: OrderId, slot: int, start: int, size_bytes: int) -> bytes:
        await self._watch("read")
        self._answers()
        keep = self._keep
        if keep.gone_after_reads is not None and keep.reads >= keep.gone_after_reads:
            keep.gone = True
            self._answers()
        self._require(range(start // PIECE_BYTES, (start + size_bytes - 1) // PIECE_BYTES + 1))
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
        if self._keep.accepted.get((order, slot)) == self._account:
            raise FarmerRefused("this slot is accepted", status=409, code="conflict")
        self._keep.sent.pop((self._account, order, slot), None)

    async def accept(self, order: OrderId, slot: int, request: TakeOverRequest) -> AcceptanceAnswer:
        await self._watch("accept")
        self._answers()
        keep = self._keep
        held = request.held(order)
        wanted = held.slots[slot]
        if keep.refuses:
            raise FarmerRefused("no more", status=409, code="stake_too_small")
        sent = keep.sent.get((self._account, order, slot), {})
        if sorted(sent) != list(range(SEGMENTS)) or root_of([sent[i] for i in sorted(sent)]) != wanted.root:
            raise FarmerRefused("another root", status=422, code="root_mismatch")
        if keep.accepted.setdefault((order, slot), self._account) != self._account:
            raise FarmerRefused("accepted to another", status=409, code="already_accepted")
        takeover = sign_takeover(
            DOMAIN,
            keep.wallet.private_key,
            AcceptanceMessage(
                order=order,
                farmer=keep.id,
                slot=slot,
                root=wanted.root,
                leaf_count=held.leaf_count,
                rate=wanted.rate,
                max_egress_price_per_gib=wanted.max_egress_price_per_gib,
                end=END,
                deadline_block=self._ground.height + DEADLINE_BLOCKS,
                previous=tenure_word(wanted.start),
                repairer=self._account,
            ),
        )
        if keep.gone_once_signed:
            self._ground.lapse(keep.id)
        return AcceptanceAnswer(
            farmer=keep.id,
            slot=slot,
            root=wanted.root,
            rate=wanted.rate,
            max_egress_price_per_gib=wanted.max_egress_price_per_gib,
            leaf_count=held.leaf_count,
            end=END,
            deadline_block=takeover.deadline_block,
            r=takeover.r,
            vs=takeover.vs,
        )


class _Payments:
    async def totals(self) -> dict[FarmerId, int]:
        return {}


PAYMENTS: Any = _Payments()


class FakeReading:
    """What one repair reads."""

    def __init__(self, directory: "FakeDirectory", budget: Budget) -> None:
        self._directory = directory
        self._budget = budget
        self._priced = dict(directory.farmers)
        self.received_bytes = 0

    def source(self, farmer: FarmerId, most_per_gib: int) -> FakePeer:
        peer = self._directory.taker(farmer)
        read = peer.read

        async def counted(order: OrderId, slot: int, start: int, size_bytes: int) -> bytes:
            asked = read_price(peer.farmer, most_per_gib)
            if asked > read_price(self._priced[farmer], most_per_gib):
                raise FarmerRefused("asks more", status=402, code="dearer")
            price = egress_rounded_up(asked, size_bytes)
            self._budget.spend(price)
            try:
                data = await read(order, slot, start, size_bytes)
            except FarmerUnreachable:
                self._budget.spent -= price
                raise
            self._directory.spent += price
            self.received_bytes += len(data)
            return data

        peer.read = counted  # type: ignore[method-assign]
        return peer


class FakeDirectory(FollowedDirectory):
    """The farmers as one repairer knows them."""

    def __init__(self, market: FakeMarket, ground: Ground, wallet: Wallet, watch: Watch) -> None:
        nothing: Any = None
        super().__init__(market, nothing, PAYMENTS, nothing, policy=POLICY, freshness=AS_FOLLOWED)
        self._ground = ground
        self._wallet = wallet
        self._watch = watch
        self.spent = 0

    def taker(self, farmer: FarmerId) -> FakePeer:  # type: ignore[override]
        return FakePeer(self._ground, farmer, self._wallet.address, self._watch)

    @asynccontextmanager
    async def reading(self, budget: Budget) -> AsyncIterator[FakeReading]:  # type: ignore[override]
        yield FakeReading(self, budget)

    async def probe(self, farmers: Sequence[Farmer], reputations: Reputations | None = None) -> Probed:
        await self._watch("greet")
        there = (farmer for farmer in farmers if not self._ground.keeps[farmer.id].gone)
        return Probed(candidates=tuple(Candidate(farmer=farmer, free_bytes=GIB) for farmer in there))

    async def _locate(self, farmers: Sequence[Farmer]) -> list[Candidate]:
        return [Candidate(farmer=farmer, free_bytes=0) for farmer in farmers]

"""What tests of repairs stand on: a chain in memory, with one order and the farmers that keep it.

All that the chain says follows from the list of its blocks, so that a reorg is a cut. What a farmer keeps,
and how it behaves, is a `Keep`. What a test lets go wrong is set on these.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fake_chain import FakeChain
from market_rules import PARAMETERS

from grange.chain import Farmer, Wallet
from grange.erasure import Codec
from grange.layout import Geometry
from grange.merkle import merkle_root, root_of_hashes
from grange.messages import Domain
from grange.reads import Reader, share_of
from grange.repair import is_eager
from grange.types import NO_LIMIT, Address, Epoch, FarmerId, Offer, OrderId, address_from
from grange.units import GIB, HASH_BYTES, LEAF_BYTES, TOKEN
from grange_node.reads.readers import Access

DOMAIN = Domain(chain_id=1337, market=address_from(b"\x11" * 20))
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

Watch = Callable[[str], Awaitable[None]]


async def nothing(_: str) -> None:
    """Let it happen."""


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
    accepted: dict[tuple[OrderId, int], Address] = field(default_factory=dict)


class Ground(FakeChain):
    """A market with some farmers and one order."""

    def __init__(self, farmers: int = 9, n: int = N) -> None:
        super().__init__()
        self.n = n
        self.keeps = {
            FarmerId(number): Keep(id=FarmerId(number), wallet=Wallet(bytes([number]) * 32))
            for number in range(1, farmers + 1)
        }
        self.lapsed: dict[FarmerId, Epoch] = {}
        """With the first epoch in which its slots are vacant."""
        self.proven: dict[FarmerId, int] = {}
        self.stakes: dict[FarmerId, int] = {}
        self.refills = 0
        self.max_egress_price_per_gib = NO_LIMIT
        """What farmers have signed for in this order."""
        self.slots: list[list[bytes]] = []
        """What was placed, according to the one that placed it."""
        self.mine(35)

    def mine_to_next_epoch(self) -> None:
        self.mine((self.epoch + 1) * PARAMETERS.epoch_blocks - self.height)

    def reorg(self, depth: int) -> None:
        """The newest blocks are replaced by as many empty ones."""
        super().reorg(depth)
        self.mine(depth)

    def place(self, *, wrong: Iterable[int] = ()) -> list[list[bytes]]:
        """An order that the first n farmers keep; gives its pieces by slot. Those of `wrong` slots are of no
        code word."""
        codec = Codec(K, self.n)
        made = [
            codec.encode(hashlib.shake_256(bytes([number])).digest(K * PIECE_BYTES))
            for number in range(SEGMENTS)
        ]
        slots = [[made[segment][slot] for segment in range(SEGMENTS)] for slot in range(self.n)]
        for slot in wrong:
            slots[slot] = [bytes(PIECE_BYTES)] * SEGMENTS
        start = Epoch(self.epoch + 1)
        leaf_count = SEGMENTS * PIECE_LEAVES
        placed = {
            "order": ORDER, "renter": RENTER, "from": start, "end": END, "k": K, "n": self.n,
            "leaf_count": leaf_count, "piece_leaves": PIECE_LEAVES,
        }  # fmt: skip
        filled = []
        for slot, pieces in enumerate(slots):
            farmer = FarmerId(slot + 1)
            self.keeps[farmer].kept[ORDER, slot] = dict(enumerate(pieces))
            filled.append(("SlotFilled", self.filled(farmer, slot, root_of(pieces), start)))
        self.mine(events=[("OrderPlaced", placed), *filled])
        return slots

    def filled(self, farmer: FarmerId, slot: int, root: bytes, start: Epoch) -> dict[str, Any]:
        """What the market says when a slot is filled."""
        return {
            "order": ORDER, "farmer": farmer, "slot": slot, "root": root, "rate": RATE,
            "max_egress_price_per_gib": self.max_egress_price_per_gib, "leaf_count": SEGMENTS * PIECE_LEAVES,
            "from": start, "end": END, "extension": False,
        }  # fmt: skip

    def lapse(self, *farmers: int) -> None:
        """These vanish, and have missed too much."""
        for number in farmers:
            farmer = FarmerId(number)
            self.keeps[farmer].gone = True
            self.lapsed[farmer] = self.epoch
            self.mine(events=[("Lapsed", {"farmer": farmer, "vacant_from": self.epoch})])

    def evict_now(self, *farmers: int) -> None:
        """Somebody evicts them, and their bounties are at their full height."""
        for number in farmers:
            self.mine(events=[("Evicted", {"farmer": FarmerId(number), "collateral_epochs": 16})])
        self.end_auctions()

    def end_auctions(self) -> None:
        """The bounties of all that is vacant now are at their full height."""
        self.mine(PARAMETERS.auction_epochs * PARAMETERS.epoch_blocks)

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

    def access(self, account: Address) -> Access:
        """What an account may read of the order."""
        holders = self.holders()
        keepers = {self.keeps[farmer].wallet.address for farmer in holders.values()} - {
            self.keeps[farmer].wallet.address for farmer in self.lapsed
        }
        reader = Reader.RENTER if account == RENTER else (
            Reader.FARMER if account in keepers else Reader.REPAIRER
        )  # fmt: skip
        gone = self.lapsed.keys() & set(holders.values())
        share = share_of(reader, is_vacant=bool(gone), is_eager=is_eager(self.n - len(gone), K, self.n))
        return Access(reader=reader, share=share, epoch=self.epoch)

    def farmer(self, farmer: FarmerId) -> Farmer:
        keep = self.keeps[farmer]
        return Farmer(
            id=farmer,
            owner=keep.wallet.address,
            operator=keep.wallet.address,
            stake=self.stakes.get(farmer, STAKE),
            committed_rate=RATE,
            settled_epoch=Epoch(self.lapsed.get(farmer, self.epoch + 1) - 1),
            misses=0,
            strikes=0,
            epochs_proven=self.proven.get(farmer, 0),
            registered_block=0,
            ceiling=NO_LIMIT,
            loss_limit=NO_LIMIT,
            lapsed=farmer in self.lapsed,
            endpoint=f"http://127.0.0.1:{farmer}",
            offer=Offer(
                price_per_gib_epoch=TOKEN,
                egress_price_per_gib=keep.egress_price,
                capacity_bytes=GIB,
                longest_term_epochs=100,
            ),
        )


def root_of(pieces: Sequence[bytes]) -> bytes:
    """The root of a slot."""
    return root_of_hashes(b"".join(merkle_root(piece) for piece in pieces))


assert (
    Geometry.from_leaves(k=K, n=N, leaf_count=SEGMENTS * PIECE_LEAVES, piece_leaves=PIECE_LEAVES).slot_bytes
    == SLOT_BYTES
)
assert len(root_of([bytes(PIECE_BYTES)])) == HASH_BYTES

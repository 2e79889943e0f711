"""The market as one repairer sees it, on the ground of the tests.

Events are followed by the real EventFollower, and a refill is judged by the rules of the contract.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fake_chain import unconnected
from repair_ground import DOMAIN, END, ORDER, PARAMETERS, RATE, Ground, Watch

from grange.chain import (
    ChainUnavailable,
    Eviction,
    Farmer,
    Loss,
    Order,
    Receipt,
    TransactionReverted,
    Wallet,
)
from grange.chain.order_index import OrderIndex
from grange.chain.orders import OrderState
from grange.executors import Executors
from grange.messages import AcceptanceMessage, acceptance_signer, tenure_word
from grange.types import Epoch, FarmerId, Held, OrderId, Slot, Takeover
from grange_node.repair.market import Earned, RepairMarket


class FakeMarket(RepairMarket):
    """The ground as one repairer sees it."""

    def __init__(self, ground: Ground, wallet: Wallet, watch: Watch) -> None:
        super().__init__(unconnected(DOMAIN, wallet))
        self._ground = ground
        for name in ("head", "block_hash", "block_hashes", "logs", "logs_matching", "logs_and_hashes"):
            setattr(self, name, getattr(ground, name))
        self._watch = watch
        self.funded: list[int] = []
        self.lose_answer = False

    async def farmers_of(self, epoch: Epoch) -> dict[FarmerId, Farmer]:
        self._ground.ask()
        return {farmer: self._ground.farmer(farmer) for farmer in self._ground.keeps}

    async def order(self, order: OrderId) -> Order | None:
        self._ground.ask()
        if any(event.args["order"] == order for event in self._ground.events("OrderClosed")):
            return None
        for event in self._ground.events("OrderPlaced"):
            args = event.args
            if args["order"] == order:
                return Order(
                    renter=args["renter"],
                    start=args["from"],
                    end=args["end"],
                    k=args["k"],
                    n=args["n"],
                    slots_hash=bytes(32),
                )
        return None

    async def eviction(self, farmer: FarmerId) -> Eviction | None:
        self._ground.ask()
        for event in self._ground.events("Evicted"):
            if event.args["farmer"] == farmer:
                return Eviction(
                    vacant_block=self._ground.lapsed[farmer] * PARAMETERS.epoch_blocks,
                    collateral_epochs=event.args["collateral_epochs"],
                )
        return None

    async def loss(self, order: OrderId, slot: int, start: Epoch) -> Loss | None:
        for event in self._ground.events("LossDeclared"):
            args = event.args
            if (args["order"], args["slot"], args["from"]) == (order, slot, start):
                return Loss(
                    farmer=args["farmer"],
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
        return self._ground.receipt(
            self._ground.mine(events=[("Evicted", {"farmer": farmer, "collateral_epochs": 16})])
        )

    async def close(self, held: Held) -> Receipt:
        await self._watch("close")
        return self._ground.receipt(
            self._ground.mine(events=[("OrderClosed", {"order": held.order, "refund": 0, "compensation": 0})])
        )

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
            events.append(("SlotFilled", ground.filled(takeover.farmer, takeover.slot, slot.root, start)))
        block = ground.mine(events=events)
        ground.refills += 1
        if self.lose_answer:
            raise ChainUnavailable("http://chain", "connection lost while waiting")
        return self._ground.receipt(block)

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
        message = AcceptanceMessage(
            order=ORDER,
            farmer=takeover.farmer,
            slot=takeover.slot,
            root=slot.root,
            leaf_count=held.leaf_count,
            rate=slot.rate,
            max_egress_price_per_gib=slot.max_egress_price_per_gib,
            end=END,
            deadline_block=takeover.deadline_block,
            previous=tenure_word(slot.start),
            repairer=self.address,
        )
        signer = acceptance_signer(DOMAIN, message, r=takeover.r, vs=takeover.vs)
        assert signer == ground.keeps[takeover.farmer].wallet.address


async def order_as_read(market: FakeMarket) -> OrderState:
    """The order of the ground, as its events tell it."""
    with OrderIndex.open(None, domain=DOMAIN) as orders:
        with Executors.open() as executors:
            await market.follow(orders, 0, executors)
        found = orders.order(ORDER)
    assert found is not None
    return found

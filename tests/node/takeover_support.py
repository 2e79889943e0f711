"""Slots of a placed order that a farm is asked to take over: how they stand on chain, and what is asked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import httpx
from node_support import PIECE_LEAVES, FakeMarket, Farm, Parcel, parcel

from grange.chain import Order, Wallet
from grange.chain.orders import OrderState
from grange.layout import Geometry
from grange.messages import order_id, slots_hash
from grange.types import Epoch, FarmerId, OrderId, Slot
from grange.wire.bodies import HeldSlot

RENTER = Wallet(b"\x02" * 32)
REPAIRER = Wallet(b"\x05" * 32)
SALT = hashlib.sha256(b"the order").digest()
SLOTS = 5
VACANT = 3
HOLDER = FarmerId(20 + VACANT)


@dataclass(kw_only=True)
class Rebuilt(Parcel):
    """A slot of the renter's order that a repairer has rebuilt and brings."""

    read_price: int = 0
    holder: FarmerId = HOLDER
    """Who had it; NO_FARMER where it began vacant."""
    order_salt: bytes = SALT

    @property
    def order(self) -> OrderId:
        return order_id(RENTER.address, self.order_salt)

    def slots(self) -> list[Slot]:
        return [
            Slot(
                farmer=self.holder if index == self.slot else FarmerId(20 + index),
                root=self.root if index == self.slot else bytes([index]) * 32,
                rate=self.rate,
                max_egress_price_per_gib=self.read_price,
                start=Epoch(1),
            )
            for index in range(SLOTS)
        ]

    def claim(self, **changes: Any) -> dict[str, Any]:
        return {
            "use": "take_over",
            "repairer": self.renter.address,
            "leaf_count": len(self.pieces) * PIECE_LEAVES,
            "piece_leaves": PIECE_LEAVES,
            "slots": shown(self.slots()),
        } | changes


def shown(slots: list[Slot]) -> list[dict[str, Any]]:
    """Slots as a request shows them."""
    return [HeldSlot.showing(slot).model_dump(mode="json") for slot in slots]


def rebuilt(seed: int = 0, **fields: Any) -> Rebuilt:
    source = parcel(seed=seed)
    return Rebuilt(renter=fields.pop("renter", REPAIRER), pieces=source.pieces, slot=VACANT, **fields)


def put_on_chain(market: FakeMarket, slot: Rebuilt, **changes: Any) -> None:
    """The order as its renter placed it, with a vacant slot."""
    market.orders[slot.order] = Order(
        renter=RENTER.address,
        start=Epoch(1),
        end=Epoch(slot.end),
        k=2,
        n=SLOTS,
        slots_hash=slots_hash(len(slot.pieces) * PIECE_LEAVES, PIECE_LEAVES, slot.slots()),
        **changes,
    )
    market.vacant.add((slot.order, slot.slot))


def order_state(slot: Rebuilt) -> OrderState:
    """The order as its events tell it."""
    return OrderState(
        id=slot.order,
        renter=RENTER.address,
        block=1,
        start=Epoch(1),
        end=Epoch(slot.end),
        geometry=Geometry.from_leaves(
            k=2,
            n=len(slot.slots()),
            leaf_count=len(slot.pieces) * PIECE_LEAVES,
            piece_leaves=PIECE_LEAVES,
        ),
        slots=tuple(slot.slots()),
    )


async def claimed(farm: Farm, slot: Rebuilt, **changes: Any) -> httpx.Response:
    path = f"{slot.path}/accept"
    body = json.dumps(slot.claim(**changes)).encode()
    headers = farm.sign(slot.renter, "POST", path, hashlib.sha256(body).digest())
    return await farm.http.post(path, content=body, headers=headers)


async def brought(farm: Farm, **fields: Any) -> Rebuilt:
    """All pieces are there, and the chain has the order."""
    slot = rebuilt(**fields)
    put_on_chain(farm.market, slot)
    await farm.upload(slot)
    return slot

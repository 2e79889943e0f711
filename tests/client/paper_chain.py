"""A chain of nothing but logs, behind the JSON-RPC of our own client: for tests with more orders than a real
one places in a second."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import market_rules
import pytest
from client_fakes import MARKET, farmer_view

from grange.chain import Farmer, Order
from grange.chain.codec import Element, market_abi
from grange.chain.connection import Connection, Timeouts
from grange.chain.gateway import Chain
from grange.chain.rpc import Rpc
from grange.messages import slots_hash
from grange.types import Address, Epoch, FarmerId, OrderId, Slot, address_from

PARAMETERS = market_rules.PARAMETERS
K, N = 2, 3
LEAVES = 4
END = Epoch(1 << 20)


def order_number(number: int) -> OrderId:
    """The id of an order that a test counts."""
    return OrderId(sha256(b"order %d" % number).digest())


@dataclass(slots=True)
class PaperChain:
    """Orders that one renter placed, some in each block."""

    renter: Address
    height: int = 0
    logs: list[dict[str, Any]] = field(default_factory=list)
    orders: dict[OrderId, Order] = field(default_factory=dict)
    farmers: list[Farmer] = field(default_factory=list)

    def chain(self, monkeypatch: pytest.MonkeyPatch) -> Chain:
        """What asks this chain and no other."""

        async def answer(_: Connection, content: Any) -> Any:
            if isinstance(content, list):
                return [self._answer(one) for one in content]
            return self._answer(content)

        monkeypatch.setattr(Connection, "post", answer)
        rpc = Rpc("http://paper", Timeouts())
        return Chain(rpc, market=MARKET, chain_id=1337, parameters=PARAMETERS)

    def place(self, numbers: Sequence[int]) -> None:
        """Place these orders in the next block."""
        self.height += 1
        start = Epoch(self.height // PARAMETERS.epoch_blocks + 1)
        for number in numbers:
            order = order_number(number)
            slots = [
                Slot(
                    farmer=FarmerId(1 + (number + slot) % len(self.farmers)), root=order, rate=5, start=start
                )
                for slot in range(N)
            ]
            self.orders[order] = Order(
                renter=self.renter,
                start=start,
                end=END,
                k=K,
                n=N,
                slots_hash=slots_hash(LEAVES, LEAVES, slots),
            )
            placed = {"from": start, "end": END, "leafCount": LEAVES, "pieceLeaves": LEAVES, "k": K, "n": N}
            self._emit("OrderPlaced", {"order": order, "renter": self.renter, **placed})
            for index, slot in enumerate(slots):
                self._fill(order, index, slot)

    def refill(self, number: int, slot: int, farmer: int) -> None:
        """Another farmer takes a slot over, in the next block."""
        self.height += 1
        order = order_number(number)
        start = Epoch(self.height // PARAMETERS.epoch_blocks + 1)
        taken = Slot(farmer=FarmerId(farmer), root=order, rate=5, start=start)
        self._fill(order, slot, taken)

    def register(self, count: int) -> None:
        """So many farmers, whose endpoints nobody serves."""
        for number in range(1, count + 1):
            operator = address_from(sha256(b"%d" % number).digest()[:20])
            self.farmers.append(farmer_view(number, operator, "http://192.0.2.1:1"))

    def _fill(self, order: OrderId, index: int, slot: Slot) -> None:
        args = {
            "order": order, "farmer": slot.farmer, "slot": index, "root": slot.root, "rate": slot.rate,
            "maxEgressPricePerGib": slot.max_egress_price_per_gib, "leafCount": LEAVES,
            "from": slot.start, "end": END, "extension": False,
        }  # fmt: skip
        self._emit("SlotFilled", args)

    def _emit(self, name: str, args: dict[str, Any]) -> None:
        element = market_abi().event(name)
        indexed = zip(element.indexed.components, element.indexed.types, strict=True)
        topics = [element.topic, *(kind.encode(args[one["name"]]) for one, kind in indexed)]
        data = element.plain.encode_all([args[one["name"]] for one in element.plain.components])
        self.logs.append(
            {
                "topics": ["0x" + topic.hex() for topic in topics],
                "data": "0x" + data.hex(),
                "address": MARKET,
                "blockNumber": hex(self.height),
                "blockHash": self._block(self.height)["hash"],
                "transactionHash": "0x" + bytes(32).hex(),
                "logIndex": hex(len(self.logs)),
            }
        )

    def _block(self, number: int) -> dict[str, str]:
        digest = sha256(b"block %d" % number).hexdigest()
        return {"number": hex(number), "hash": "0x" + digest, "timestamp": hex(1_800_000_000 + number)}

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        method, params = question["method"], question["params"]
        if method == "eth_getBlockByNumber":
            number = self.height if params[0] == "latest" else int(params[0], 16)
            result: Any = self._block(number) if number <= self.height else None
        elif method == "eth_getLogs":
            result = [log for log in self.logs if _matches(log, params[0])]
        else:
            assert method == "eth_call", method
            result = "0x" + self._called(bytes.fromhex(params[0]["data"][2:])).hex()
        return {"jsonrpc": "2.0", "id": question["id"], "result": result}

    def _called(self, data: bytes) -> bytes:
        functions = market_abi().functions
        if data[:4] == functions["order"].selector:
            return _returned(functions["order"], self.orders[OrderId(data[4:36])])
        if data[:4] == functions["farmer"].selector:
            return _returned(functions["farmer"], self.farmers[int.from_bytes(data[4:36]) - 1])
        if data[:4] == functions["farmers"].selector:
            return _returned(functions["farmers"], self.farmers)
        raise AssertionError(data[:4].hex())


def _matches(log: dict[str, Any], chosen: dict[str, Any]) -> bool:
    if not int(chosen["fromBlock"], 16) <= int(log["blockNumber"], 16) <= int(chosen["toBlock"], 16):
        return False
    return all(
        wanted is None or topic in wanted
        for wanted, topic in zip(chosen["topics"], log["topics"], strict=False)
    )


def _returned(function: Element, value: Any) -> bytes:
    return function.outputs.encode_all([value])

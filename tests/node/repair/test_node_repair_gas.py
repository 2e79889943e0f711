"""What has to pay for its gas pays for all of it: the data that a rollup charges for, too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from grange.chain import Farmer, Mandate
from grange.chain.call_sizes import extend, refill_of_order, refilled_slot
from grange.chain.gas_cost import DataPrices, GasPrices
from grange.chain.gas_value import FREE_GAS, GasValue
from grange.types import Address, Epoch, FarmerId, OrderId, Slot
from grange.units import MICROUSD
from grange_node.repair.costs import gas_cost, pass_cost
from grange_node.repair.mandate_extender import MandateExtender

SLOTS = 8
SLOT = Slot(farmer=FarmerId(1), root=bytes(32), rate=5, start=Epoch(1))
ORDER: Any = SimpleNamespace(
    id=OrderId(b"\x07" * 32),
    slots_hash=b"\x08" * 32,
    slots=(SLOT,) * SLOTS,
    n=SLOTS,
    k=1,
    end=Epoch(30),
    geometry=SimpleNamespace(slot_bytes=1 << 20, piece_bytes=1 << 20, segments=1),
)
PER_BYTE = GasValue(prices=GasPrices(gas_wei=0, data=DataPrices(byte_wei=1)), microusd=MICROUSD)
"""Gas is free, a byte of data costs a base unit."""


def mandate(fee: int) -> Mandate:
    return Mandate(
        highest_price=1 << 40,
        highest_egress_price=0,
        fee=fee,
        until=Epoch(100),
        term_epochs=30,
        left=10**18,
        revoked=False,
    )


class Market:
    """As far as a due order is looked at."""

    def __init__(self, fee: int) -> None:
        self.fee = fee

    async def order(self, _: OrderId) -> Any:
        return SimpleNamespace(mandate=1, slots_hash=ORDER.slots_hash, renter=Address("0x" + "22" * 20))

    async def mandate(self, _account: Address, _number: int) -> Mandate:
        return mandate(self.fee)

    async def vault(self, _: Address) -> int:
        return 10**18


async def is_due(fee: int, gas: GasValue) -> bool:
    view: Any = SimpleNamespace(market=Market(fee))
    directory: Any = None
    return await MandateExtender(view, directory)._due(ORDER, gas) is not None


async def test_an_order_is_extended_for_a_fee_that_pays_for_the_data_of_the_transaction() -> None:
    cost = PER_BYTE.base_units(extend(SLOTS))
    assert cost > extend(SLOTS).data_bytes
    assert await is_due(cost, PER_BYTE)
    assert not await is_due(cost - 1, PER_BYTE)
    assert await is_due(0, FREE_GAS)


def test_a_pass_costs_reading_and_the_data_of_its_transaction() -> None:
    farmers: dict[FarmerId, Farmer] = {
        FarmerId(1): SimpleNamespace(offer=SimpleNamespace(egress_price_per_gib=0))  # type: ignore[dict-item]
    }
    free = pass_cost(ORDER, range(SLOTS), farmers, FREE_GAS)
    assert (free.once, free.per_slot) == (0, 0)
    cost = pass_cost(ORDER, range(SLOTS), farmers, PER_BYTE)
    assert cost.per_slot == refilled_slot().data_bytes
    assert cost.once > refill_of_order(SLOTS).data_bytes
    assert cost.once + 3 * cost.per_slot == gas_cost(ORDER, 3, PER_BYTE)

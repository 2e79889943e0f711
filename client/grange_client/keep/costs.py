"""What it costs to keep a pack on, and what to keep its live bytes in a new one instead. Pure arithmetic.

An extension begins where the order ends, so nothing is paid twice by extending early. A new pack is paid from
the next epoch on, while the old order still runs: what is left of that is lost, since orders are paid for in
advance and give nothing back for time that was proven. All amounts are base units, rounded up.
"""

from dataclasses import dataclass
from typing import Final

from grange.chain.call_sizes import extend, give_mandate, place
from grange.chain.gas_value import FREE_GAS, GasValue
from grange.layout import Geometry
from grange.types import Epoch
from grange.units import egress_rounded_up, rate_rounded_up

JOURNAL_BYTES_PER_CHUNK: Final = 48
"""About what a journal has of each chunk: type, id and length."""
JOURNAL_BYTES: Final = 8 << 10
"""About what it has besides, with the end of the pack."""
MEAN_CHUNK_BYTES: Final = 512 << 10
"""For an estimate of how many chunks some bytes are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Prices of now."""

    k: int
    n: int
    """Of new packs."""
    price_per_gib_epoch: int
    """What a farmer asks for a slot."""
    egress_price_per_gib: int = 0
    journal_bytes: int = JOURNAL_BYTES
    """About what the journal of a new pack has besides its chunks: a checkpoint names all packs."""
    gas: GasValue = FREE_GAS

    def new_rate(self, content_bytes: int) -> int:
        """What a new pack with so much in it costs for an epoch."""
        chunks = -(-content_bytes // MEAN_CHUNK_BYTES)
        pack_bytes = content_bytes + self.journal_bytes + chunks * JOURNAL_BYTES_PER_CHUNK
        slot_bytes = Geometry.for_pack(pack_bytes, self.k, self.n).slot_bytes
        return self.n * rate_rounded_up(self.price_per_gib_epoch, slot_bytes)

    def new_pack(self, content_bytes: int, *, epoch: Epoch, end: Epoch) -> int:
        """Keeping it from the next epoch to an end, without gas."""
        return self.new_rate(content_bytes) * max(0, end - epoch - 1)

    def reading(self, content_bytes: int) -> int:
        """Fetching what is copied: any k slots have it once."""
        return egress_rounded_up(self.egress_price_per_gib, content_bytes)

    def place_gas(self) -> int:
        """Placing a new pack."""
        return self.gas.base_units(place(self.n))

    def extend_gas(self, slots: int) -> int:
        """Extending an order of so many slots."""
        return self.gas.base_units(extend(slots))

    def mandate_gas(self, orders: int) -> int:
        """Giving a mandate over so many orders."""
        return self.gas.base_units(give_mandate(orders))

"""Farmers for the tests of `grange.transfer`."""

from grange.chain import Farmer
from grange.messages import address_of
from grange.types import NO_LIMIT, Epoch, FarmerId, Offer

KEYS = [bytes([number]) * 32 for number in range(1, 9)]
OPERATORS = [address_of(key) for key in KEYS]


def farmer_of(number: int) -> Farmer:
    """One that the chain knows, with a key of KEYS."""
    return Farmer(
        id=FarmerId(number),
        owner=OPERATORS[number - 1],
        operator=OPERATORS[number - 1],
        endpoint=f"http://farmer{number}.example",
        stake=10**20,
        committed_rate=0,
        settled_epoch=Epoch(0),
        misses=0,
        strikes=0,
        epochs_proven=0,
        registered_block=0,
        ceiling=NO_LIMIT,
        loss_limit=NO_LIMIT,
        lapsed=False,
        offer=Offer(
            price_per_gib_epoch=1, egress_price_per_gib=0, capacity_bytes=1 << 40, longest_term_epochs=400
        ),
    )

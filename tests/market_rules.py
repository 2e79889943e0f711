"""The rules of a market that is only made up: short epochs, and every number small enough to count with.

Tests that want others take these and `replace` what matters to them.
"""

from grange.types import Parameters, address_from

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
    min_stake=1,
    former_operator_blocks=30,
)

"""How much gas and data the market's calls take, for all who ask whether one is worth it.

Gas is that of larger cases than most, and data what the ABI makes of them, so that nobody is surprised: both
are held against what is measured by tests/chain/test_call_sizes.py. Leaves what that costs to `gas_cost` and
`gas_value`, and the measured figures themselves to tests/contracts/gas.json.
"""

from typing import Final

from grange.chain.gas_cost import CallSize
from grange.chain.wallet_signatures import WALLET_GAS

SLOT_BYTES: Final = 160
"""A slot of an order, or what a farmer signs, in a call's data."""
ACCEPTANCE_BYTES: Final = 224
PASSING_BYTES: Final = 1_830
"""What shows a slot that is handed over, with its group."""
OTHER_SLOT_BYTES: Final = 16
"""Of each slot of its order: its farmer, and its part of a group's hash."""

PROOF: Final = CallSize(gas=350_000, data_bytes=9_732)
"""Five samples of slots of a TiB."""
RECORD_SEED: Final = CallSize(gas=60_000, data_bytes=4)
SETUP: Final = CallSize(gas=500_000, data_bytes=1_000)
"""Registering, and allowing the market to take the stake where the token knows no permits: two calls."""
CLAIM: Final = CallSize(gas=80_000, data_bytes=68)
EVICT: Final = CallSize(gas=110_000, data_bytes=36)
RELEASE: Final = CallSize(gas=60_000, data_bytes=100)
_REDEEM: Final = CallSize(gas=40_000, data_bytes=110)
_REDEEM_VOUCHER: Final = CallSize(gas=50_000, data_bytes=ACCEPTANCE_BYTES)
WALLET_ANSWER: Final = CallSize(gas=WALLET_GAS + 10_000, data_bytes=ACCEPTANCE_BYTES)
"""What a contract wallet may cost besides, that is asked for its word."""
_REFILL: Final = CallSize(gas=150_000, data_bytes=460)
_REFILL_SLOT: Final = CallSize(gas=200_000, data_bytes=SLOT_BYTES)
_EXTEND: Final = CallSize(gas=150_000, data_bytes=620)
_EXTEND_SLOT: Final = CallSize(gas=75_000, data_bytes=ACCEPTANCE_BYTES + SLOT_BYTES)
_PLACE: Final = CallSize(gas=150_000, data_bytes=430)
_PLACE_SLOT: Final = CallSize(gas=60_000, data_bytes=ACCEPTANCE_BYTES)
_MANDATE: Final = CallSize(gas=90_000, data_bytes=370)
_MANDATE_ORDER: Final = CallSize(gas=35_000, data_bytes=32)
_CLOSE: Final = CallSize(gas=110_000, data_bytes=260)
_CLOSE_SLOT: Final = CallSize(gas=5_000, data_bytes=SLOT_BYTES)
_HAND_OVER: Final = CallSize(gas=210_000, data_bytes=PASSING_BYTES)


def redeem(vouchers: int, *, wallets: int = 0) -> CallSize:
    """Vouchers of so many payers, of whom some are contract wallets that use up all the gas they may."""
    return _REDEEM + _REDEEM_VOUCHER * vouchers + WALLET_ANSWER * wallets


def redeemed_voucher(*, is_of_wallet: bool) -> CallSize:
    """Each voucher in such a call."""
    return _REDEEM_VOUCHER + WALLET_ANSWER if is_of_wallet else _REDEEM_VOUCHER


def refill_of_order(slots: int) -> CallSize:
    """Refilling an order of so many slots, without what each that is refilled takes."""
    return _REFILL + _held(slots)


def refilled_slot() -> CallSize:
    """Each slot that is refilled."""
    return _REFILL_SLOT


def place(slots: int) -> CallSize:
    """An order of so many slots, with a permit."""
    return _PLACE + _PLACE_SLOT * slots


def extend(slots: int) -> CallSize:
    """Extending an order of so many slots, by its renter or by mandate."""
    return _EXTEND + _EXTEND_SLOT * slots


def give_mandate(orders: int) -> CallSize:
    """A mandate over so many orders."""
    return _MANDATE + _MANDATE_ORDER * orders


def close(slots: int) -> CallSize:
    """Closing an order of so many slots, all of whose farmers that lapsed are evicted already."""
    return _CLOSE + _CLOSE_SLOT * slots


def hand_over(slots: int) -> CallSize:
    """Handing over a slot of an order of so many, alone."""
    return _HAND_OVER + CallSize(gas=0, data_bytes=OTHER_SLOT_BYTES * slots)


def _held(slots: int) -> CallSize:
    return CallSize(gas=0, data_bytes=SLOT_BYTES * slots)

"""The numbers that farmers, renters and the contract share, the arithmetic of money, and how sizes are read
and printed. Amounts of a market's token are read and printed by `grange.token_unit`.

Decides the sizes of leaves, pieces and slots, and how a price becomes a rate. Leaves to the contract what may
differ from one market to the next: the length of an epoch, the calendar grid, the number of samples.
"""

import re
from typing import Final

from grange.errors import Misuse

HASH_BYTES: Final = 32
LEAF_BYTES: Final = 512
"""The unit of audit. docs/adr/0001-leaf-size.md says why."""

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

MAX_PIECE_BYTES: Final = MIB
MAX_PIECE_LEAVES: Final = MAX_PIECE_BYTES // LEAF_BYTES

MAX_SLOTS: Final = 80
"""Slots in one order: the contract's limit, with which every call about an order fits in a block."""

MAX_LEAF_COUNT: Final = (1 << 32) - 1
"""Leaves in one slot: the contract counts them in 32 bits, which is just under 2 TiB."""

MAX_RATE: Final = (1 << 80) - 1
"""Base units per epoch: rates are 80 bits wide on chain."""

TAG_BYTES: Final = 16
"""What sealing adds to a block, so that a sealed block is exactly one piece."""

TOKEN_DECIMALS: Final = 18
TOKEN: Final = 10**TOKEN_DECIMALS
"""Base units in one token of a devnet's kind. A market's own token may have others: `grange.token_unit`."""

GAS_TOKEN_DECIMALS: Final = 18
GAS_TOKEN_DIGITS: Final = 3

USD_DECIMALS: Final = 6
MICROUSD: Final = 10**USD_DECIMALS
"""Dollars are counted in millionths."""
CENT_DIGITS: Final = 2
SHOWN_USD_DIGITS: Final = 3

GWEI_DECIMALS: Final = 9
GWEI: Final = 10**GWEI_DECIMALS
"""Wei in the unit in which prices of gas are told."""

MAX_SIZE_BYTES: Final = (1 << 64) - 1
"""The largest size that is read: the contract holds capacities in 64 bits."""

_DECIMAL_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
_SIZE: Final = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,6}))? ?(?:([kmgtpe])(i?)b?|b|bytes?)?", re.IGNORECASE)


FREE: Final = "free"
"""What a rate is called that is next to nothing."""


def rate_rounded_up(price_per_gib_epoch: int, slot_bytes: int) -> int:
    """Base units per epoch for a slot: price x size, rounded up, as the contract would.

    Raises Misuse when a part is negative or the rate does not fit the 80 bits it has on chain.
    """
    if price_per_gib_epoch < 0 or slot_bytes < 0:
        raise Misuse(f"a price ({price_per_gib_epoch}) and a size ({slot_bytes}) are never negative")
    rate = -(-price_per_gib_epoch * slot_bytes // GIB)
    if rate > MAX_RATE:
        raise Misuse(f"a rate of {rate} base units per epoch does not fit 80 bits")
    return rate


def egress_rounded_up(price_per_gib: int, size_bytes: int) -> int:
    """Base units for reading so many bytes at a farmer's egress price. Raises Misuse for a negative part."""
    if price_per_gib < 0 or size_bytes < 0:
        raise Misuse(f"a price ({price_per_gib}) and a size ({size_bytes}) are never negative")
    return -(-price_per_gib * size_bytes // GIB)


def format_base_units(base_units: int, decimals: int) -> str:
    """Base units as a decimal number, exact, without trailing zeros: 15 * 10**5 with 6 decimals is "1.5"."""
    sign = "-" if base_units < 0 else ""
    whole, part = divmod(abs(base_units), 10**decimals)
    digits = f"{part:0{decimals}d}".rstrip("0") if part else ""
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def format_count(count: int, noun: str) -> str:
    """How many, in words: "1 piece", "1,024 pieces". `noun` is one of them."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_size(size_bytes: float) -> str:
    """A size with three digits, in powers of ten as disks are sold: 1,530,000 is "1.53 MB". `parse_size`
    reads it."""
    unit = 0
    while size_bytes >= 999.5 and unit < len(_DECIMAL_UNITS) - 1:
        size_bytes /= 1000
        unit += 1
    return f"{size_bytes:.3g} {_DECIMAL_UNITS[unit]}" if unit else f"{size_bytes:.0f} {_DECIMAL_UNITS[0]}"


def parse_size(text: str) -> int:
    """Bytes from a number with a unit. 100G and 100GB are powers of ten, 100GiB is a power of two, and a
    number alone is bytes; upper or lower case. Raises Misuse."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise Misuse(f"{text!r} is not a size; write it like 100GB, 100G, 2TiB or 5000000")
    whole, part, letter, binary = match.groups(default="")
    power = "KMGTPE".index(letter.upper()) + 1 if letter else 0
    scale = (1 << 10 * power) if binary else 10 ** (3 * power)
    size_bytes: int = int(whole + part) * scale // 10 ** len(part)
    if size_bytes > MAX_SIZE_BYTES:
        raise Misuse(f"{text!r} is larger than any disk; write it like 100GB, 100G, 2TiB or 5000000")
    return size_bytes


def format_gwei(amount_wei: int) -> str:
    """A price of gas in billionths of a gas token, exact: 1_500_000_000 is "1.5"."""
    whole, part = divmod(amount_wei, GWEI)
    digits = f"{part:0{GWEI_DECIMALS}d}".rstrip("0")
    return f"{whole:,}.{digits}" if digits else f"{whole:,}"


def parse_gwei(text: str) -> int:
    """A decimal number of gwei as wei, more than 0. Raises Misuse."""
    amount = _parse_decimal(text.replace(",", ""), GWEI_DECIMALS)
    if not amount:
        raise Misuse(f"{text!r} is not a price of gas in gwei; write it like 0.05 or 30")
    return amount


def parse_gas_tokens(text: str) -> int:
    """Gas tokens as wei. Raises Misuse."""
    amount = _parse_decimal(text, GAS_TOKEN_DECIMALS)
    if amount is None:
        raise Misuse(f"{text!r} is not an amount of gas tokens; write it like 10 or 0.5")
    return amount


def parse_usd(text: str) -> int:
    """A decimal number of dollars as millionths of one. Raises Misuse."""
    amount = _parse_decimal(text, USD_DECIMALS)
    if amount is None:
        raise Misuse(
            f"{text!r} is not an amount of dollars: digits, and at most {USD_DECIMALS} after a point"
        )
    return amount


def format_usd(microusd: int) -> str:
    """Millionths of a dollar for a person, rounded up to cents, or to three digits that matter where it is
    less than a dollar: "$1,234.57", "$0.00123"."""
    unit = 10**4 if microusd >= MICROUSD else int(10 ** max(0, len(str(abs(microusd))) - SHOWN_USD_DIGITS))
    whole, part = divmod(-(-microusd // unit) * unit, MICROUSD)
    digits = f"{part:0{USD_DECIMALS}d}"
    kept = digits[:CENT_DIGITS] + digits[CENT_DIGITS:].rstrip("0")
    return f"${whole:,}.{kept}"


def _parse_decimal(text: str, decimals: int) -> int | None:
    match = re.fullmatch(rf"([0-9]{{1,15}})(?:\.([0-9]{{1,{decimals}}}))?", text)
    if match is None:
        return None
    whole, part = match.groups(default="")
    return int(whole) * int(10**decimals) + int(part.ljust(decimals, "0"))


def format_gas_tokens(amount_wei: int) -> str:
    """An amount of gas tokens, rounded up to three digits that matter: 526_491 * 10**9 is
    "0.000527"."""
    unit = int(10 ** max(0, len(str(abs(amount_wei))) - GAS_TOKEN_DIGITS))
    return format_base_units(-(-amount_wei // unit) * unit, GAS_TOKEN_DECIMALS)

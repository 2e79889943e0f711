"""The values that cross the line between Python and the contract, one dataclass for each Solidity struct.

Names are the contract's in snake_case; `contracts/types/Types.sol` has the originals. Decides nothing beyond
the form of an address: limits are checked by anyone who makes or receives a value.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NewType

from grange.errors import Misuse
from grange.keccak import keccak256

OrderId = NewType("OrderId", bytes)
"""32 bytes: keccak256(abi.encode(account, sender, salt))."""

FarmerId = NewType("FarmerId", int)
"""Counted from 1 in order of registration; 0 is nobody."""

NO_FARMER: Final = FarmerId(0)
"""In place of the farmer of a slot that began vacant, as some may when an order is extended by mandate."""

Epoch = NewType("Epoch", int)
"""block.number / epoch_blocks."""

Address = NewType("Address", str)
"""An account: 0x and 40 hex digits with EIP-55 checksum. Made by `address_from`."""

ADDRESS_BYTES = 20
COMPACT_SIGNATURE_BYTES: Final = 64
"""A key's signature in the short form of EIP-2098."""
KEPT_CHECKSUMS = 4_096

_HEX_DIGITS = re.compile(r"(?:[0-9a-fA-F]{2})*")


def bytes_from_hex(text: str) -> bytes:
    """Bytes from hex digits in either case, with or without 0x. Raises ValueError for anything else.

    `bytes.fromhex` skips blanks, so that one id could be written in many ways, some of them of the right
    length and with too few bytes.
    """
    digits = text.removeprefix("0x")
    if _HEX_DIGITS.fullmatch(digits) is None:
        raise ValueError(f"{text!r} is not hex")
    return bytes.fromhex(digits)


def address_from(value: str | bytes) -> Address:
    """An address with its EIP-55 checksum, from 20 bytes or from hex.

    Hex in one case only is taken as it is; mixed case must carry the right checksum. Raises Misuse otherwise.
    """
    if isinstance(value, str):
        digits = value.removeprefix("0x").removeprefix("0X")
        try:
            raw = bytes_from_hex(digits)
        except ValueError:
            raise Misuse(f"{value!r} is not an address") from None
        if len(raw) != ADDRESS_BYTES or len(digits) != 2 * ADDRESS_BYTES:
            raise Misuse(f"{value!r} is not an address")
        made = _checksummed(raw)
        if digits not in (digits.lower(), digits.upper(), made[2:]):
            raise Misuse(f"{value!r} has a wrong checksum: a digit is mistyped")
        return made
    if len(value) != ADDRESS_BYTES:
        raise Misuse(f"an address has {ADDRESS_BYTES} bytes, not {len(value)}")
    return _checksummed(bytes(value))


def checked_address(value: object) -> Address:
    """An address in a file, with its checksum. Raises ValueError, as pydantic wants it."""
    try:
        return address_from(str(value))
    except Misuse as error:
        raise ValueError(str(error)) from error


# The same few addresses stand in all events, and a farm's folders are named by them.
@lru_cache(maxsize=KEPT_CHECKSUMS)
def _checksummed(raw: bytes) -> Address:
    digits = raw.hex()
    marks = keccak256(digits.encode()).hex()
    return Address("0x" + "".join(d.upper() if m >= "8" else d for d, m in zip(digits, marks, strict=False)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a farmer asks and has. Prices are in token base units."""

    price_per_gib_epoch: int
    egress_price_per_gib: int
    capacity_bytes: int
    longest_term_epochs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is the same for all slots of an order."""

    salt: bytes
    end: Epoch
    """Exclusive; a multiple of grid_epochs."""
    leaf_count: int
    """Leaves in each slot."""
    piece_leaves: int
    """Leaves in each piece: a power of two that divides leaf_count."""
    k: int
    """Any k slots give the data back."""
    allows_hand_over: bool = True
    """Whether farmers may pass its slots on to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """One slot as the renter hands it in: what a farmer signed. Its place in the list is its index."""

    farmer: FarmerId
    root: bytes
    rate: int
    max_egress_price_per_gib: int
    """The most that the farmer asks for reading until the order's end, in base units."""
    deadline_block: int
    """The last block in which it may be used."""
    r: bytes
    vs: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """A farmer's acceptance of a vacant slot, at its root, its rate and its highest price for reading."""

    slot: int
    farmer: FarmerId
    deadline_block: int
    """The last block in which it may be used."""
    r: bytes
    vs: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One slot as the order's hash binds it: its present tenure."""

    farmer: FarmerId
    root: bytes
    rate: int
    max_egress_price_per_gib: int = 0
    """The most that the farmer asks for reading until the order's end, in base units: it has signed that."""
    start: Epoch
    """The contract's `from`: the first epoch that this farmer is audited and paid for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An order with its slots, as its maintenance hands it in: the order keeps only the hash of these."""

    order: OrderId
    leaf_count: int
    piece_leaves: int
    slots: tuple[Slot, ...]


GROUP_SLOTS: Final = 4
"""Slots of an order that are hashed together; in the last group there may be fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldGroup:
    """An order of which one group of slots is handed in: enough to show that, and who has the others."""

    order: OrderId
    leaf_count: int
    piece_leaves: int
    farmers: bytes
    """Of all slots, in four bytes each."""
    groups: tuple[bytes, ...]
    """The hash of each other group."""
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """A slot that its farmer hands over: its order, its place in the farmer's book, what the other signed."""

    held: HeldGroup
    index: int
    first: int
    """The book's total rate before it."""
    path: tuple[bytes, ...]
    """From the slot's entry to its peak."""
    takeover: Takeover


@dataclass(frozen=True, slots=True, kw_only=True)
class Parting:
    """What a farmer hands over of one of its books."""

    end: Epoch
    extension: bool
    """Whether it is the book for extensions."""
    passings: tuple[Passing, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Voucher:
    """Signed by a renter: in all, so much for one farmer."""

    renter: Address
    cumulative: int
    """In base units; what was redeemed before is part of it."""
    signature: bytes
    """As the market takes it: 64 bytes (EIP-2098) by the renter's key or that of its delegate. Of any other
    length, it is what a contract wallet at the renter's address is asked about (ERC-1271)."""

    @property
    def is_of_wallet(self) -> bool:
        """Whether a contract wallet has to say that it is its own."""
        return len(self.signature) != COMPACT_SIGNATURE_BYTES


EXTENDED: Final = (1 << 16) - 1
"""In place of an order's mandate, once another order goes on where it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateTerms:
    """What a renter lets others do with its orders. Amounts are in base units."""

    highest_price: int
    """For each GiB of a slot and epoch."""
    highest_egress_price: int
    """For each GiB that is read."""
    fee: int
    """For each extension."""
    until: Epoch
    """No extension ends later; a multiple of grid_epochs."""
    term_epochs: int
    """How long an extension lasts; a multiple of grid_epochs."""
    total: int
    """What extensions may cost in all, with fees, and bounties of slots that begin vacant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """An ERC-2612 permit for the Market to pull `value` base units from the caller."""

    value: int
    deadline: int
    v: int
    r: bytes
    s: bytes


NO_LIMIT: Final = (1 << 80) - 1
"""Of what an operator may commit or declare lost: no rate is larger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorConsent:
    """An operator's signed consent to act for a farmer. The empty one, where the operator itself sends."""

    deadline_block: int = 0
    """The last block in which it may be used."""
    r: bytes = bytes(32)
    vs: bytes = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The market's immutable parameters."""

    token: Address
    epoch_blocks: int
    grid_epochs: int
    """Orders end on multiples of this."""
    max_books: int
    """Grid dates ahead that an order may end on, and so live books per farmer."""
    samples: int
    """Leaves proven per farmer and epoch."""
    collateral_epochs: int
    """Epochs of its pay that a farmer has at stake."""
    max_misses: int
    """Misses, each proof making good for one, with which a farmer lapses."""
    penalty: int
    """Epochs of pay that a missed epoch moves from the stake to the renters."""
    fine: int
    """Epochs of pay that a missed epoch burns of the stake."""
    auction_epochs: int
    """In these the bounty for a vacant slot rises to its full height."""
    withdraw_delay_epochs: int
    """From a renter's announcement to its withdrawal."""
    min_stake: int
    """What a farmer registers with at least, in base units, and leaves at stake until it leaves."""
    former_operator_blocks: int
    """In these an operator's acceptances still count once there is another."""

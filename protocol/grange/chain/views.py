"""What the market and the chain show, as values.

Decides the shapes only. `gateway.py` fetches them; what they mean is said in the contract's interface.
"""

from dataclasses import dataclass

from grange.types import Address, Epoch, FarmerId, Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest block that the endpoint knows."""

    number: int
    hash: bytes
    timestamp: int
    epoch: Epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Farmer:
    """A registered farmer. Money is in token base units, the committed rate per epoch."""

    id: FarmerId
    owner: Address
    operator: Address
    stake: int
    committed_rate: int
    settled_epoch: Epoch
    misses: int
    endpoint: str
    offer: Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A placed order; it is paid for in epochs `start` (the contract's `from`) to `end`, end exclusive."""

    renter: Address
    start: Epoch
    end: Epoch
    k: int
    n: int
    slots_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The chain's summary of what one farmer keeps until one end date."""

    count: int
    rate_before: int
    rate_added: int
    added_epoch: Epoch
    peaks: tuple[bytes, ...]

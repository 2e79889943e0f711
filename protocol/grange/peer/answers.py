"""What farmers and renters say to each other, as JSON: the shapes only.

Answers come from strangers: each field has its type and its limits, and what does not fit is refused whole.
Whether an answer is true is for others to find out.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from grange.messages import NO_ORDER, NOBODY
from grange.types import Address, Held, OrderId, bytes_from_hex
from grange.units import HASH_BYTES


def _hash(value: object) -> object:
    return bytes_from_hex(value) if isinstance(value, str) else value


Hash = Annotated[bytes, BeforeValidator(_hash), Field(min_length=HASH_BYTES, max_length=HASH_BYTES)]
Amount = Annotated[int, Field(ge=0, lt=1 << 256)]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Info(_Answer):
    """What a farmer says of itself."""

    farmer: int
    chain_id: int
    market: str
    free_bytes: int = Field(ge=0)


class StoredPiece(_Answer):
    """The root of a piece as the farmer computed it."""

    root: Hash


class AcceptanceAnswer(_Answer):
    """An acceptance as the farmer words it."""

    farmer: int
    slot: int
    root: Hash
    rate: int = Field(ge=0)
    leaf_count: int
    end: int
    deadline_block: int = Field(ge=0, lt=1 << 64)
    r: Hash
    vs: Hash


class PiecePath(_Answer):
    """A piece's root and its path to the slot's root."""

    root: Hash
    path: list[Hash]
    pieces: int


class Listing(_Answer):
    """The roots of those pieces of one page of a slot that are there, by index, and how many are in all."""

    roots: dict[int, Hash]
    count: int = Field(ge=0)


class Refusal(_Answer):
    """Why a farmer says no."""

    error: str = Field(max_length=64)
    message: str = Field(max_length=1024)
    detail: dict[str, Any] = Field(default_factory=dict)


class Shortage(_Answer):
    """Why a voucher does not cover a request: `needed` is its price, `spent` what all before it cost, and
    `cumulative` the highest total that the farmer has seen. In base units."""

    spent: Amount
    cumulative: Amount
    needed: Amount


class Account(_Answer):
    """What a payer stands for with a farmer: the highest total it signed, signature, and what was used."""

    cumulative: Amount
    spent: Amount
    r: Hash
    vs: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceRequest:
    """What a farmer is asked to accept.

    A new order has a `salt`; one that goes on where another ends names that as `previous` besides; to take a
    vacant slot over it is the `repairer` that is named, no salt, and the order is shown as it is `held`.
    """

    salt: bytes = b""
    k: int
    pieces: int
    piece_leaves: int
    root: bytes
    rate: int
    end: int
    previous: OrderId = NO_ORDER
    repairer: Address = NOBODY
    held: Held | None = None

    @property
    def leaf_count(self) -> int:
        """Leaves in the slot."""
        return self.pieces * self.piece_leaves

    def to_json(self) -> bytes:
        """As it goes over the wire."""
        if self.held is not None:
            return self._claim(self.held)
        fields: dict[str, object] = {
            "k": self.k,
            "pieces": self.pieces,
            "piece_leaves": self.piece_leaves,
            "root": self.root.hex(),
            "rate": self.rate,
            "end": self.end,
        }
        if self.salt:
            fields["salt"] = self.salt.hex()
        if self.previous != NO_ORDER:
            fields["previous"] = self.previous.hex()
        return json.dumps(fields).encode()

    def _claim(self, held: Held) -> bytes:
        """The terms follow from the order, of which the chain keeps the hash."""
        slots = [[slot.farmer, slot.root.hex(), slot.rate, slot.start] for slot in held.slots]
        fields = {
            "repairer": self.repairer,
            "leaf_count": held.leaf_count,
            "piece_leaves": held.piece_leaves,
            "slots": slots,
        }
        return json.dumps(fields).encode()

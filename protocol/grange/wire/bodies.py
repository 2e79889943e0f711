"""What farmers and those who talk to them send each other as JSON: the shapes and their limits only.

Both come from strangers: each field has its type and its limits, and what does not fit is refused whole. A
request with a field that is not known here is refused, too, since it asks for something that we would not do;
in an answer, unknown fields are ignored. Whether what is said is true is for others to find out.
"""

from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from grange.json_text import parse_json
from grange.types import Held, OrderId, Slot
from grange.units import MAX_LEAF_COUNT, MAX_PIECE_LEAVES, MAX_RATE, MAX_SLOTS
from grange.wire.fields import (
    MAX_UINT32,
    AccountText,
    Amount,
    BlockNumber,
    EpochNumber,
    FarmerNumber,
    Hash,
    HolderNumber,
    OrderHash,
    PieceInPath,
    SignatureHex,
    SlotNumber,
)
from grange.wire.limits import MAX_CODE_CHARACTERS, MAX_MESSAGE_CHARACTERS, MAX_PIECES_PER_SLOT

Rate = Annotated[int, Field(gt=0, le=MAX_RATE)]
"""Base units per epoch."""
EgressPrice = Annotated[int, Field(ge=0, le=MAX_RATE)]
"""Base units for a GiB that is read."""
PieceLeaves = Annotated[int, Field(gt=0, le=MAX_PIECE_LEAVES)]
LeafCount = Annotated[int, Field(gt=0, le=MAX_LEAF_COUNT)]
PieceCount = Annotated[int, Field(gt=0, le=MAX_PIECES_PER_SLOT)]
End = Annotated[EpochNumber, Field(gt=0)]
"""Exclusive."""


# Built when they are first used: a command uses one or two of them, and building all takes a while.


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, defer_build=True)


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class OfferAnswer(_Answer):
    """What a farmer asks and has. Prices in base units."""

    price_per_gib_epoch: Amount
    egress_price_per_gib: Amount
    capacity_bytes: Annotated[int, Field(ge=0, lt=1 << 64)]
    longest_term_epochs: Annotated[int, Field(ge=0, le=MAX_UINT32)]


class Info(_Answer):
    """What a farmer says of itself. `free_bytes` is the room for anyone who asks; `head_block` and `epoch`
    are how far it has seen the chain."""

    farmer: FarmerNumber
    chain_id: Annotated[int, Field(ge=0, lt=1 << 256)]
    market: AccountText
    free_bytes: Annotated[int, Field(ge=0)]
    version: Annotated[str, Field(max_length=64)] | None = None
    offer: OfferAnswer | None = None
    head_block: BlockNumber | None = None
    epoch: EpochNumber | None = None


class StoredPiece(_Answer):
    """The root of a piece as the farmer computed it."""

    root: Hash


class AcceptanceAnswer(_Answer):
    """An acceptance as the farmer words it."""

    farmer: FarmerNumber
    slot: SlotNumber
    root: Hash
    rate: Annotated[int, Field(ge=0, le=MAX_RATE)]
    max_egress_price_per_gib: EgressPrice
    leaf_count: LeafCount
    end: EpochNumber
    deadline_block: BlockNumber
    r: Hash
    vs: Hash


class PiecePath(_Answer):
    """A piece's root and its path to the slot's root."""

    root: Hash
    path: Annotated[list[Hash], Field(max_length=32)]
    pieces: PieceCount


class Listing(_Answer):
    """The roots of those pieces of one page of a slot that are there, by index, and how many are in all."""

    roots: dict[PieceInPath, Hash]
    count: Annotated[int, Field(ge=0)]


class Account(_Answer):
    """What a payer stands for with a farmer: the highest total it signed, and what was used."""

    cumulative: Amount
    spent: Amount
    signature: SignatureHex


class ErrorAnswer(_Answer):
    """Why a farmer says no: one of `grange.wire.codes`, or a word that we do not know; a sentence; and values
    that say more."""

    error: Annotated[str, Field(max_length=MAX_CODE_CHARACTERS)]
    message: Annotated[str, Field(max_length=MAX_MESSAGE_CHARACTERS)]
    detail: dict[str, Any] = Field(default_factory=dict)


class Shortage(_Answer):
    """The `detail` of `payment_needed`: `needed` is the price of this request, `spent` what all before it
    cost, and `cumulative` the highest total that the farmer has seen. In base units."""

    spent: Amount
    cumulative: Amount
    needed: Amount


class _NewSlot(_Request):
    salt: Hash
    k: Annotated[int, Field(gt=0, le=MAX_SLOTS)]
    pieces: PieceCount
    piece_leaves: PieceLeaves
    root: Hash
    rate: Rate
    end: End


class PlaceRequest(_NewSlot):
    """Asks for an acceptance to place a new order with."""

    use: Literal["place"] = "place"


class ExtendRequest(_NewSlot):
    """Asks for one to go on with, from where the order `previous` ends."""

    use: Literal["extend"] = "extend"
    previous: OrderHash


class MandateRequest(_Request):
    """Asks for one to extend the order `previous` with by its renter's mandate, with the fee for the one that
    signs this. The farmer knows the rest: what it keeps, its price, and the mandate."""

    use: Literal["mandate"] = "mandate"
    previous: OrderHash


class HeldSlot(_Request):
    """A slot as the chain binds it: its farmer, root, rate, highest price for reading, and the first epoch
    that it is paid for."""

    model_config = ConfigDict(serialize_by_alias=True)

    farmer: HolderNumber
    root: Hash
    rate: Rate
    max_egress_price_per_gib: EgressPrice
    start: Annotated[EpochNumber, Field(alias="from")]

    @classmethod
    def showing(cls, slot: Slot) -> Self:
        """For a slot of an order that we know."""
        fields = {
            "farmer": slot.farmer,
            "root": slot.root,
            "rate": slot.rate,
            "max_egress_price_per_gib": slot.max_egress_price_per_gib,
            "from": slot.start,
        }
        return cls.model_validate(fields)


class _PlacedSlot(_Request):
    """Of a slot of a placed order, of which it shows all slots."""

    leaf_count: LeafCount
    piece_leaves: PieceLeaves
    slots: Annotated[list[HeldSlot], Field(max_length=MAX_SLOTS)]

    def held(self, order: OrderId) -> Held:
        """The order as it is shown."""
        slots = (
            Slot(
                farmer=slot.farmer,
                root=slot.root,
                rate=slot.rate,
                max_egress_price_per_gib=slot.max_egress_price_per_gib,
                start=slot.start,
            )
            for slot in self.slots
        )
        return Held(
            order=order, leaf_count=self.leaf_count, piece_leaves=self.piece_leaves, slots=tuple(slots)
        )

    @staticmethod
    def _shown(held: Held) -> dict[str, Any]:
        """An order as the chain keeps its hash."""
        return {
            "leaf_count": held.leaf_count,
            "piece_leaves": held.piece_leaves,
            "slots": [HeldSlot.showing(slot) for slot in held.slots],
        }


class TakeOverRequest(_PlacedSlot):
    """Asks for one to take over a vacant slot with."""

    use: Literal["take_over"] = "take_over"
    repairer: AccountText

    @classmethod
    def showing(cls, held: Held, repairer: AccountText) -> Self:
        """For an order that we know."""
        return cls(repairer=repairer, **cls._shown(held))


class HandOverRequest(_PlacedSlot):
    """Asks for one to hand a slot over with, by the farmer that has it."""

    use: Literal["hand_over"] = "hand_over"

    @classmethod
    def showing(cls, held: Held) -> Self:
        """For an order that we know."""
        return cls(**cls._shown(held))


class ShownSlot(HeldSlot):
    """The same, as a farmer shows it."""

    model_config = ConfigDict(extra="ignore")


class ShownOrder(_PlacedSlot):
    """An order of which the farmer keeps a slot, as it was when the farmer looked at the chain last. Whether
    it is so now can be told by the hash that the contract keeps; in which block it was placed, and what it
    extends, can't."""

    model_config = ConfigDict(extra="ignore")

    slots: Annotated[list[ShownSlot], Field(max_length=MAX_SLOTS)]  # type: ignore[assignment]
    block: BlockNumber
    previous: OrderHash

    @classmethod
    def showing(cls, held: Held, *, block: int, previous: OrderId) -> Self:
        """For an order that we know."""
        shown = cls._shown(held)
        shown["slots"] = [one.model_dump() for one in shown["slots"]]
        return cls.model_validate({**shown, "block": block, "previous": previous})


AcceptanceRequest = PlaceRequest | ExtendRequest | MandateRequest | TakeOverRequest | HandOverRequest
ACCEPTANCE_REQUEST: Final[TypeAdapter[AcceptanceRequest]] = TypeAdapter(
    Annotated[AcceptanceRequest, Field(discriminator="use")], config=ConfigDict(defer_build=True)
)

Body = TypeVar("Body", bound=BaseModel)


def parse_answer(shape: type[Body], text: bytes) -> Body:
    """The answer that a body is. Raises ValueError, as pydantic's ValidationError where it is JSON."""
    return shape.model_validate(parse_json(text))


def parse_acceptance_request(text: bytes) -> AcceptanceRequest:
    """The request that a body is. Raises ValueError, as pydantic's ValidationError where it is JSON."""
    return ACCEPTANCE_REQUEST.validate_python(parse_json(text))


def format_body(body: BaseModel) -> bytes:
    """As it goes over the wire."""
    return body.model_dump_json().encode()

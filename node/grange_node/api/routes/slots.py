"""Agreements about slots: accepting, showing what is held, proving a piece's place, dropping."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Annotated, Any, NamedTuple, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grange.types import Acceptance, Epoch, FarmerId, Held, OrderId, Slot, Takeover
from grange.units import MAX_LEAF_COUNT, MAX_PIECE_LEAVES, MAX_RATE, MAX_SLOTS
from grange_node.api.auth import require_content
from grange_node.api.routes.common import (
    MAX_PIECES_PER_SLOT,
    node_of,
    own_slot,
    parse_hash,
    parse_order,
    parse_piece,
    parse_slot,
    promised_slot,
    shown_slot,
    signed_by,
    signed_without_content,
)
from grange_node.errors import Foreign, Malformed, NotFound, TooMuch
from grange_node.records import SlotState, SlotTerms
from grange_node.slot_key import SlotKey

MAX_BODY_BYTES = 32 * 1024
"""Twice what the slots of the largest order take."""
MAX_EPOCH = (1 << 32) - 1
LISTED_INDICES = 1000
"""What one listing covers: a slot may have millions of pieces, and an answer is made between others."""

router = APIRouter(prefix="/v1/orders/{order}/slots/{slot}")


class AcceptBody(BaseModel):
    """What a renter proposes. Hashes in hex, the rate in base units per epoch, the end exclusive."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    salt: str
    k: Annotated[int, Field(gt=0, le=MAX_SLOTS)]
    pieces: Annotated[int, Field(gt=0, le=MAX_PIECES_PER_SLOT)]
    piece_leaves: Annotated[int, Field(gt=0, le=MAX_PIECE_LEAVES)]
    root: str
    rate: Annotated[int, Field(gt=0, le=MAX_RATE)]
    end: Annotated[int, Field(gt=0, le=MAX_EPOCH)]
    previous: str | None = None
    """The order that this one extends."""

    def terms(self) -> SlotTerms:
        """What we would sign for."""
        return SlotTerms(
            pieces=self.pieces,
            piece_leaves=self.piece_leaves,
            root=parse_hash(self.root, "root"),
            rate=self.rate,
            end=Epoch(self.end),
        )


class HeldSlot(NamedTuple):
    """A slot as the chain binds it: its farmer, root, rate, and the first epoch it is paid for."""

    farmer: Annotated[int, Field(gt=0, le=MAX_EPOCH)]
    root: str
    rate: Annotated[int, Field(gt=0, le=MAX_RATE)]
    start: Annotated[int, Field(ge=0, le=MAX_EPOCH)]


class TakeoverBody(BaseModel):
    """What a repairer proposes: to take over a slot of a placed order, of which it shows all slots."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repairer: str
    leaf_count: Annotated[int, Field(gt=0, le=MAX_LEAF_COUNT)]
    piece_leaves: Annotated[int, Field(gt=0, le=MAX_PIECE_LEAVES)]
    slots: Annotated[list[HeldSlot], Field(max_length=MAX_SLOTS)]

    def held(self, order: OrderId) -> Held:
        """The order as the chain keeps its hash."""
        slots = tuple(
            Slot(
                farmer=FarmerId(slot.farmer),
                root=parse_hash(slot.root, "root"),
                rate=slot.rate,
                start=Epoch(slot.start),
            )
            for slot in self.slots
        )
        return Held(order=order, leaf_count=self.leaf_count, piece_leaves=self.piece_leaves, slots=slots)


_Body = TypeVar("_Body", bound=BaseModel)


@router.post("/accept")
async def accept(request: Request, order: str, slot: str) -> dict[str, Any]:
    """Promise to keep a slot that is all here: a renter's, for the first time or for longer, or a vacant one
    for whoever repairs it."""
    node = node_of(request)
    order_id, slot_index = parse_order(order), parse_slot(slot)
    signed = signed_by(request)
    body = await _read_body(request)
    require_content(signed, sha256(body).digest())
    key = SlotKey(renter=signed.renter, order=order_id, slot=slot_index)
    acceptance: Acceptance | Takeover
    if b'"repairer"' in body:
        claim = _read(TakeoverBody, body)
        if claim.repairer.lower() != signed.renter.lower():
            raise Foreign("the bounty is for who sent the pieces, and signed this")
        terms, acceptance = await node.acceptance_service.take_over(key, claim.held(order_id), signed.network)
    else:
        proposal = _read(AcceptBody, body)
        terms = proposal.terms()
        salt = parse_hash(proposal.salt, "salt")
        if proposal.previous is None:
            acceptance = await node.acceptance_service.accept(key, salt, terms, signed.network)
        else:
            previous = OrderId(parse_hash(proposal.previous, "previous"))
            acceptance = await node.acceptance_service.extend(key, salt, terms, previous, signed.network)
    return {
        "farmer": acceptance.farmer,
        "slot": slot_index,
        "root": terms.root.hex(),
        "rate": terms.rate,
        "leaf_count": terms.leaf_count,
        "end": terms.end,
        "deadline_block": acceptance.deadline_block,
        "r": acceptance.r.hex(),
        "vs": acceptance.vs.hex(),
    }


@router.get("/pieces")
async def list_pieces(request: Request, order: str, slot: str) -> dict[str, Any]:
    """The roots of the pieces that are here and open to the signer, of LISTED_INDICES indices from `from`
    on, and how many pieces are here in all."""
    node = node_of(request)
    order_id, slot_index = parse_order(order), parse_slot(slot)
    first = parse_piece(request.query_params.get("from", "0"))
    record, access = await shown_slot(node, signed_without_content(request), order_id, slot_index)
    if record.state is SlotState.STAGED:
        # Whoever asks how far an upload came means to go on with it.
        node.locks.touch(record.key)
    asked = range(first, first + LISTED_INDICES)
    async with node.carer.reading(record.key, 0):
        roots, count = await asyncio.to_thread(node.store.roots, record.key, asked)
    shown = {str(index): root.hex() for index, root in roots.items() if access.shows(index)}
    return {"roots": shown, "count": count}


@router.get("/pieces/{piece}/path")
async def piece_path(request: Request, order: str, slot: str, piece: str) -> dict[str, Any]:
    """A piece's root and the path that leads from it to the slot's root."""
    node = node_of(request)
    order_id, slot_index, index = parse_order(order), parse_slot(slot), parse_piece(piece)
    record, access = await promised_slot(node, signed_without_content(request), order_id, slot_index)
    if index >= record.agreed.pieces:
        raise NotFound(f"the slot has {record.agreed.pieces} pieces")
    access.require([index])
    async with node.carer.reading(record.key, index):
        root, siblings = await node.paths.of(record, index)
    return {
        "root": root.hex(),
        "path": [sibling.hex() for sibling in siblings],
        "pieces": record.agreed.pieces,
    }


@router.delete("")
async def delete_slot(request: Request, order: str, slot: str) -> Response:
    """Drop what was staged."""
    node = node_of(request)
    key_order, key_slot = parse_order(order), parse_slot(slot)
    record = own_slot(node, signed_without_content(request), key_order, key_slot)
    await node.uploads.withdraw_staging(record.key)
    return Response(status_code=204)


def _read(shape: type[_Body], body: bytes) -> _Body:
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        problems = [
            {"where": ".".join(str(part) for part in problem["loc"]), "what": problem["msg"]}
            for problem in error.errors()
        ]
        raise Malformed("the proposal cannot be read", problems=problems) from error


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise TooMuch(f"a proposal has {MAX_BODY_BYTES} bytes at most", limit=MAX_BODY_BYTES)
    return bytes(body)

"""Agreements about slots: accepting, showing what is held, proving a piece's place, dropping."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError

from grange.types import Acceptance, Takeover
from grange.units import format_count
from grange.wire import paths
from grange.wire.bodies import (
    AcceptanceAnswer,
    AcceptanceRequest,
    ExtendRequest,
    HandOverRequest,
    Listing,
    MandateRequest,
    PiecePath,
    PlaceRequest,
    TakeOverRequest,
    parse_acceptance_request,
)
from grange.wire.codes import ErrorCode
from grange.wire.fields import OrderHash, PieceInPath, SlotInPath
from grange.wire.headers import content_hash
from grange.wire.limits import LISTED_INDICES, MAX_REQUEST_BODY_BYTES
from grange_node.api.auth import Signed, require_content
from grange_node.api.openapi import REQUEST_SCHEMA, json_body, refusals
from grange_node.api.refusals import problems_of
from grange_node.api.routes.common import (
    NodeHere,
    SignedRequest,
    SignedWithoutContent,
    accepted_slot,
    own_slot,
    shown_slot,
)
from grange_node.errors import Foreign, Malformed, NotFound, TooMuch
from grange_node.node import Node
from grange_node.records import SlotState, SlotTerms
from grange_node.slot_key import SlotKey

router = APIRouter()

_OF_READERS = (
    ErrorCode.UNAUTHORISED,
    ErrorCode.FOREIGN,
    ErrorCode.NOT_A_READER,
    ErrorCode.NOT_FOUND,
    ErrorCode.CONFLICT,
    ErrorCode.PIECE_DAMAGED,
    ErrorCode.PIECE_MISSING,
    ErrorCode.CHAIN_DOUBTFUL,
    ErrorCode.CHAIN_UNAVAILABLE,
)


async def _asked(request: Request, signed: SignedRequest) -> AcceptanceRequest:
    """The request for an acceptance. FastAPI would read and parse a body before anything else: this one is
    read when its sender is known, no further than it may be, and parsed when it is what was signed."""
    body = await _read_body(request)
    require_content(signed, content_hash(body))
    try:
        return parse_acceptance_request(body)
    except ValidationError as error:
        raise Malformed("the request cannot be read", problems=problems_of(error.errors())) from error
    except ValueError as error:
        raise Malformed("the request is not JSON that can be read") from error


@router.post(
    paths.ACCEPT,
    openapi_extra=json_body(REQUEST_SCHEMA),
    responses=refusals(
        ErrorCode.UNAUTHORISED,
        ErrorCode.VAULT_TOO_SMALL,
        ErrorCode.FOREIGN,
        ErrorCode.RENTER_NOT_SERVED,
        ErrorCode.NOT_FOUND,
        ErrorCode.CONFLICT,
        ErrorCode.ALREADY_ACCEPTED,
        ErrorCode.STAKE_TOO_SMALL,
        ErrorCode.TERMS_REFUSED,
        ErrorCode.TOO_MUCH,
        ErrorCode.ROOT_MISMATCH,
        ErrorCode.PIECE_DAMAGED,
        ErrorCode.PIECE_MISSING,
        ErrorCode.CHAIN_DOUBTFUL,
        ErrorCode.CHAIN_UNAVAILABLE,
        ErrorCode.NO_ROOM,
    ),
)
async def accept(
    node: NodeHere,
    order: OrderHash,
    slot: SlotInPath,
    signed: SignedRequest,
    asked: Annotated[AcceptanceRequest, Depends(_asked)],
) -> AcceptanceAnswer:
    """Accept a slot that is all here: a renter's, for the first time or for longer, a vacant one for the one
    that repairs it, or one that its farmer hands over."""
    key = SlotKey(renter=signed.renter, order=order, slot=slot)
    terms, acceptance = await _accept(node, key, asked, signed)
    return AcceptanceAnswer(
        farmer=acceptance.farmer,
        slot=slot,
        root=terms.root,
        rate=terms.rate,
        max_egress_price_per_gib=terms.max_egress_price_per_gib,
        leaf_count=terms.leaf_count,
        end=terms.end,
        deadline_block=acceptance.deadline_block,
        r=acceptance.r,
        vs=acceptance.vs,
    )


async def _accept(
    node: Node, key: SlotKey, asked: AcceptanceRequest, signed: Signed
) -> tuple[SlotTerms, Acceptance | Takeover]:
    service, network = node.acceptance_service, signed.network
    match asked:
        case TakeOverRequest():
            if asked.repairer.lower() != signed.renter.lower():
                raise Foreign("the bounty is for who sent the pieces, and signed this")
            return await service.take_over(key, asked.held(key.order), network)
        case HandOverRequest():
            return await service.receive_hand_over(key, asked.held(key.order), network)
        case MandateRequest():
            return await service.extend_by_mandate(
                key.order, key.slot, asked.previous, extender=signed.renter, network=network
            )
        case ExtendRequest():
            terms = _terms(asked)
            signed_for = await service.extend(
                key, asked.salt, terms, asked.previous, network, sender=signed.signer
            )
        case PlaceRequest():
            terms = _terms(asked)
            signed_for = await service.accept(key, asked.salt, terms, network, sender=signed.signer)
    return replace(terms, max_egress_price_per_gib=signed_for.max_egress_price_per_gib), signed_for


def _terms(asked: PlaceRequest | ExtendRequest) -> SlotTerms:
    """What we would sign for."""
    return SlotTerms(
        pieces=asked.pieces,
        piece_leaves=asked.piece_leaves,
        root=asked.root,
        rate=asked.rate,
        end=asked.end,
    )


@router.get(paths.PIECES, responses=refusals(*_OF_READERS))
async def list_pieces(
    node: NodeHere,
    order: OrderHash,
    slot: SlotInPath,
    signed: SignedWithoutContent,
    first: Annotated[PieceInPath, Query(alias="from")] = 0,
) -> Listing:
    """The roots of the pieces that are here and open to the signer, of LISTED_INDICES indices from `from`
    on, and how many pieces are here in all."""
    record, access = await shown_slot(node, signed, order, slot)
    if record.state is SlotState.STAGED:
        # Anyone who asks how far an upload came means to go on with it.
        node.locks.touch(record.key)
    asked = range(first, first + LISTED_INDICES)
    async with node.self_repairer.reading(record.key, 0):
        roots, count = await node.executors.on_disk(node.store.roots, record.key, asked)
    return Listing(roots={index: root for index, root in roots.items() if access.shows(index)}, count=count)


@router.get(paths.PIECE_PATH, responses=refusals(*_OF_READERS, ErrorCode.CLOSED_UNTIL_EPOCH))
async def piece_path(
    node: NodeHere, order: OrderHash, slot: SlotInPath, piece: PieceInPath, signed: SignedWithoutContent
) -> PiecePath:
    """A piece's root and the path that leads from it to the slot's root."""
    record, access = await accepted_slot(node, signed, order, slot)
    if piece >= record.agreed.pieces:
        raise NotFound(f"the slot has {format_count(record.agreed.pieces, 'piece')}")
    access.require([piece])
    async with node.self_repairer.reading(record.key, piece):
        root, siblings = await node.paths.of(record, piece)
    return PiecePath(root=root, path=siblings, pieces=record.agreed.pieces)


@router.delete(
    paths.SLOT,
    status_code=204,
    responses=refusals(
        ErrorCode.UNAUTHORISED, ErrorCode.FOREIGN, ErrorCode.NOT_FOUND, ErrorCode.CONFLICT, ErrorCode.NO_ROOM
    ),
)
async def delete_slot(
    node: NodeHere, order: OrderHash, slot: SlotInPath, signed: SignedWithoutContent
) -> None:
    """Drop what was staged."""
    record = await own_slot(node, signed, order, slot)
    await node.uploads.withdraw_staging(record.key)


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BODY_BYTES:
            raise TooMuch(
                f"a request has {MAX_REQUEST_BODY_BYTES} bytes at most", limit=MAX_REQUEST_BODY_BYTES
            )
    return bytes(body)

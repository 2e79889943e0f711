"""The data path: bytes in, bytes out, and as little else as possible.

FastAPI knows these routes and leaves them alone. A piece is read off the socket into the buffer that a thread
then hashes and writes from; a range is read in parts of at most one piece, the next one while the last is
being sent.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from typing import Annotated, Any, NamedTuple, TypeVar

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from grange.executors import Executors
from grange.types import OrderId
from grange.units import LEAF_BYTES, MAX_PIECE_BYTES
from grange.wire import paths
from grange.wire.bodies import StoredPiece, format_body
from grange.wire.codes import ErrorCode
from grange.wire.fields import OrderHash, PieceInPath, SlotInPath
from grange.wire.headers import (
    RANGE_PATTERN,
    VOUCHER,
    VOUCHER_PATTERN,
    content_hash,
    format_content_range,
    parse_range,
)
from grange_node.api.auth import Signed, require_content
from grange_node.api.connection import BODY_HOOK, CLOSE_HOOK
from grange_node.api.openapi import byte_answer, byte_body, json_answer, refusals
from grange_node.api.refusals import problems_of
from grange_node.api.routes.common import GRANGE_SIGNATURE, accepted_slot, asking, node_of
from grange_node.errors import (
    LengthMissing,
    Malformed,
    NodeWorldError,
    RangeInvalid,
    Refusal,
    TooBusy,
    TooMuch,
)
from grange_node.node import Node
from grange_node.payments.payment_gate import Earn
from grange_node.pieces.store import Store
from grange_node.records import SlotTerms
from grange_node.self_repair.self_repairer import SelfRepairer
from grange_node.slot_key import SlotKey
from grange_node.uploads.body import gather_into

MAX_LENGTH_DIGITS = 12
PARTS_IN_MEMORY = 3
"""The one that is being sent, as we have it and as the connection has it, and the next."""

log = logging.getLogger("grange.farm")

_Value = TypeVar("_Value")
_ORDER: TypeAdapter[OrderId] = TypeAdapter(OrderHash)
_SLOT: TypeAdapter[int] = TypeAdapter(SlotInPath)
_PIECE: TypeAdapter[int] = TypeAdapter(PieceInPath)


async def put_piece(request: Request) -> Response:
    """Store one piece; its root was announced in the signature."""
    node, names = node_of(request), request.path_params
    order, slot = _slot_in(names)
    piece = _in_path("piece", _PIECE, names["piece"])
    signed = await asking(request)
    size_bytes = _announced_bytes(request)
    await node.renter_lists.require_sender(signed.renter, order, signed.network)
    key = SlotKey(renter=signed.renter, order=order, slot=slot)
    with _memory(node, signed, size_bytes):
        created = await node.uploads.receive(
            key, piece, size_bytes, signed.content, partial(_read_body, request), network=signed.network
        )
    answer = format_body(StoredPiece(root=signed.content))
    return Response(answer, status_code=201 if created else 200, media_type="application/json")


async def _read_body(request: Request, buffer: memoryview) -> None:
    """Fill a buffer of as many bytes as were announced. Raises Malformed, TooMuch."""
    hook = request.scope.get("extensions", {}).get(BODY_HOOK)
    try:
        if hook is None:
            await gather_into(buffer, request.stream())
        else:
            await hook["read_into"](buffer)
    except ClientDisconnect as error:
        raise Malformed("the connection ended before the piece did") from error


async def get_slot(request: Request) -> Response:
    """Read a slot, or one range of it."""
    node, names = node_of(request), request.path_params
    order, slot = _slot_in(names)
    signed = await asking(request)
    wanted = request.headers.get("range")
    require_content(signed, content_hash(None if wanted is None else wanted.encode("latin-1")))
    record, access = await accepted_slot(node, signed, order, slot)
    terms = record.agreed
    try:
        first, end = parse_range(wanted, terms.slot_bytes)
    except ValueError as error:
        raise RangeInvalid(str(error), slot_bytes=terms.slot_bytes) from error
    access.require(range(first // terms.piece_bytes, (end - 1) // terms.piece_bytes + 1))
    headers = {"content-length": str(end - first), "accept-ranges": "bytes"}
    if wanted is not None:
        headers["content-range"] = format_content_range(first, end, terms.slot_bytes)
    admission = node.payment_gate.admitted(
        signed.payer,
        end - first,
        request.headers.get(VOUCHER),
        network=signed.network,
        is_own=access.is_renter,
        most_per_gib=terms.max_egress_price_per_gib,
    )
    return SliceResponse(
        node.store,
        record.key,
        terms,
        first,
        end,
        self_repairer=node.self_repairer,
        executors=node.executors,
        memory=_memory(node, signed, min(end - first, PARTS_IN_MEMORY * terms.piece_bytes)),
        admission=admission,
        status=200 if wanted is None else 206,
        headers=headers,
    )


class Part(NamedTuple):
    """Bytes of one piece."""

    piece: int
    offset: int
    length: int


class SliceResponse(Response):
    """Sends bytes `first` to `end`, exclusive, of a slot, if the reader is admitted. The first part is read
    before the status is sent."""

    media_type = "application/octet-stream"

    def __init__(
        self,
        store: Store,
        key: SlotKey,
        terms: SlotTerms,
        first: int,
        end: int,
        *,
        self_repairer: SelfRepairer,
        executors: Executors,
        memory: AbstractContextManager[None],
        admission: AbstractAsyncContextManager[Earn],
        status: int,
        headers: dict[str, str],
    ) -> None:
        self.status_code = status
        self.background = None
        self.init_headers(headers)
        self._memory = memory
        self._admission = admission
        self._store = store
        self._executors = executors
        self._self_repairer = self_repairer
        self._key = key
        # One after the other: a slot may have millions of pieces, and be read many times at once.
        self._parts = parts(first, end, terms.piece_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read and send, one part ahead. What is paid for is paid when it has been read and before it is
        sent. Raises TooBusy while too much is on its way."""
        with self._memory:
            async with self._admission as earn:
                await self._serve(earn, scope, receive, send)

    async def _serve(self, earn: Earn, scope: Scope, receive: Receive, send: Send) -> None:
        data = await self._read(next(self._parts))
        await earn()
        if not await self._send(data, send):
            await _break_off(scope, receive)

    async def _send(self, data: bytes, send: Send) -> bool:
        """False if what is to come cannot be read."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for part in self._parts:
            following = asyncio.create_task(self._read(part))
            try:
                await send({"type": "http.response.body", "body": data, "more_body": True})
            finally:
                await asyncio.wait([following])
                failure = following.exception()
            if isinstance(failure, (Refusal, NodeWorldError)):
                # The status is out: that the connection ends here is all that can be said.
                log.warning("an answer broke off: %s", failure)
                return False
            data = following.result()
        await send({"type": "http.response.body", "body": data, "more_body": True})
        # The server waits with this one until most of that is taken: as long it is in our memory.
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True

    async def _read(self, part: Part) -> bytes:
        async with self._self_repairer.reading(self._key, part.piece):
            return await self._executors.on_disk(
                self._store.read, self._key, part.piece, part.offset, part.length
            )


async def _break_off(scope: Scope, receive: Receive) -> None:
    """Have the connection closed once what was sent is out: a server takes an answer that just ends for a
    mistake of ours."""
    hook = (scope.get("extensions") or {}).get(CLOSE_HOOK)
    if hook is not None:
        hook["close"]()
        while (await receive())["type"] != "http.disconnect":
            pass


def parts(first: int, end: int, piece_bytes: int) -> Iterator[Part]:
    """Cut a range of a slot at the borders of its pieces."""
    while first < end:
        piece, offset = divmod(first, piece_bytes)
        length = min(piece_bytes - offset, end - first)
        yield Part(piece, offset, length)
        first += length


def _memory(node: Node, signed: Signed, size_bytes: int) -> AbstractContextManager[None]:
    """So many bytes on their way, as long as it is entered. Raises TooBusy."""
    refusal = TooBusy("too much is on its way from or to your network, or all; try again in a moment")
    return node.memory.held(signed.network, size_bytes, refusal)


def _announced_bytes(request: Request) -> int:
    text = request.headers.get("content-length")
    if text is None:
        raise LengthMissing("announce the length of the piece")
    if not text.isascii() or not text.isdecimal():
        raise Malformed("the announced length is not a number")
    if len(text) > MAX_LENGTH_DIGITS or int(text) > MAX_PIECE_BYTES:
        raise TooMuch(f"a piece has {MAX_PIECE_BYTES} bytes at most", limit=MAX_PIECE_BYTES)
    size_bytes = int(text)
    leaves = size_bytes // LEAF_BYTES
    if size_bytes % LEAF_BYTES or not leaves or leaves & (leaves - 1):
        raise Malformed(f"a piece has a power of two of leaves of {LEAF_BYTES} bytes", announced=size_bytes)
    return size_bytes


def _slot_in(names: Mapping[str, str]) -> tuple[OrderId, int]:
    """The order and the slot that a path names. Raises Malformed."""
    return _in_path("order", _ORDER, names["order"]), _in_path("slot", _SLOT, names["slot"])


def _in_path(name: str, kind: TypeAdapter[_Value], text: str) -> _Value:
    try:
        return kind.validate_python(text)
    except ValidationError as error:
        raise Malformed(
            f"the {name} in the path cannot be read", problems=problems_of(error.errors())
        ) from error


class _ByteRoute(APIRoute):
    """A route that FastAPI describes and does not touch: its requests go to the endpoint as they are, and
    what that raises to the handlers of the whole service."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request whose path matches; one of another method is refused as everywhere."""
        if self.methods is not None and scope["method"] not in self.methods:
            await super().handle(scope, receive, send)
            return
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


async def _names_slot(order: OrderHash, slot: SlotInPath) -> None:
    """What the path of a slot says. For the description only, like the two below."""


async def _names_piece(piece: PieceInPath) -> None: ...


async def _takes_range(
    wanted: Annotated[str | None, Header(alias="Range", pattern=RANGE_PATTERN)] = None,
    voucher: Annotated[str | None, Header(alias=VOUCHER, pattern=VOUCHER_PATTERN)] = None,
) -> None: ...


router = APIRouter(route_class=_ByteRoute, default_response_class=Response)
router.put(
    paths.PIECE,
    status_code=201,
    dependencies=[Depends(GRANGE_SIGNATURE), Depends(_names_slot), Depends(_names_piece)],
    openapi_extra=byte_body(),
    responses={
        200: json_answer("StoredPiece", "It was there already"),
        201: json_answer("StoredPiece", "It is stored"),
        **refusals(
            ErrorCode.UNAUTHORISED,
            ErrorCode.VAULT_TOO_SMALL,
            ErrorCode.FOREIGN,
            ErrorCode.RENTER_NOT_SERVED,
            ErrorCode.CONFLICT,
            ErrorCode.LENGTH_MISSING,
            ErrorCode.TOO_MUCH,
            ErrorCode.ROOT_MISMATCH,
            ErrorCode.PIECE_MISSING,
            ErrorCode.CHAIN_UNAVAILABLE,
            ErrorCode.NO_ROOM,
        ),
    },
)(put_piece)
router.get(
    paths.SLOT,
    dependencies=[Depends(GRANGE_SIGNATURE), Depends(_names_slot), Depends(_takes_range)],
    responses={
        200: byte_answer("All of the slot"),
        206: byte_answer("The range that was asked for"),
        **refusals(
            ErrorCode.UNAUTHORISED,
            ErrorCode.PAYMENT_NEEDED,
            ErrorCode.VAULT_TOO_SMALL,
            ErrorCode.CLOSED_UNTIL_EPOCH,
            ErrorCode.FOREIGN,
            ErrorCode.NOT_A_READER,
            ErrorCode.NOT_FOUND,
            ErrorCode.CONFLICT,
            ErrorCode.RANGE_INVALID,
            ErrorCode.PIECE_DAMAGED,
            ErrorCode.PIECE_MISSING,
            ErrorCode.CHAIN_DOUBTFUL,
            ErrorCode.CHAIN_UNAVAILABLE,
        ),
    },
)(get_slot)

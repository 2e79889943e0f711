"""What every route needs: the node, the slot that a path names, and the signer of a request."""

from __future__ import annotations

from starlette.requests import HTTPConnection, Request

from grange.messages import NO_CONTENT
from grange.types import OrderId, bytes_from_hex
from grange.units import MAX_SLOTS
from grange_node.api.auth import Gatekeeper, Signed, require_content
from grange_node.errors import Foreign, Malformed, NotFound
from grange_node.limits.networks import UNKNOWN, Network, network_of
from grange_node.node import Node
from grange_node.reads.readers import AS_RENTER, Access
from grange_node.records import SlotRecord, SlotState
from grange_node.slot_key import SlotKey

ORDER_HEX_CHARS = 64
MAX_PIECES_PER_SLOT = 1 << 22
"""As many as a slot of 2^32 leaves has in pieces of 1 MiB, and some."""


def node_of(connection: HTTPConnection) -> Node:
    """The running node."""
    node = connection.app.state.node
    assert isinstance(node, Node)
    return node


def signed_by(request: Request) -> Signed:
    """Check a request's signature over method, raw path and query. Raises Unauthorised, TooBusy."""
    scope = request.scope
    path = scope["raw_path"].decode("ascii", "replace")
    if scope["query_string"]:
        path += "?" + scope["query_string"].decode("ascii", "replace")
    authorization = request.headers.get("authorization")
    gatekeeper = request.app.state.gatekeeper
    assert isinstance(gatekeeper, Gatekeeper)
    return gatekeeper.check(scope["method"], path, authorization, network_asking(request))


def network_asking(request: Request) -> Network:
    """The network that a request comes from."""
    return UNKNOWN if request.client is None else network_of(request.client.host)


def signed_without_content(request: Request) -> Signed:
    """The same for a request that carries nothing."""
    signed = signed_by(request)
    require_content(signed, NO_CONTENT)
    return signed


def parse_order(text: str) -> OrderId:
    """An order id of 64 hex digits. Raises Malformed."""
    if len(text) != ORDER_HEX_CHARS:
        raise Malformed("an order id has 64 hex digits")
    return OrderId(parse_hash(text, "an order id"))


def parse_slot(text: str) -> int:
    """A slot's number. Raises Malformed."""
    return _number(text, MAX_SLOTS, "slot")


def parse_piece(text: str) -> int:
    """A piece's index. Raises Malformed."""
    return _number(text, MAX_PIECES_PER_SLOT, "piece")


def parse_hash(text: str, name: str) -> bytes:
    """32 bytes in hex. Raises Malformed."""
    try:
        value = bytes_from_hex(text)
    except ValueError:
        value = b""
    if len(value) != 32:
        raise Malformed(f"{name} has 64 hex digits")
    return value


def own_slot(node: Node, signed: Signed, order: OrderId, slot: int) -> SlotRecord:
    """The signer's slot. Raises Foreign when it is another renter's, NotFound when there is none."""
    record = node.ledger.slot(SlotKey(renter=signed.renter, order=order, slot=slot))
    if record is not None:
        return record
    if node.ledger.acceptance(order, slot) is not None:
        raise Foreign("this slot belongs to another renter's order")
    raise NotFound("nothing of this slot is here")


async def shown_slot(node: Node, signed: Signed, order: OrderId, slot: int) -> tuple[SlotRecord, Access]:
    """The slot with what the signer may read of it: of what is placed as `readers` says, of its own,
    however far it is, everything. Raises Foreign, NotAReader, NotFound, ChainDown, TooBusy."""
    placed = node.ledger.acceptance(order, slot)
    if placed is not None and placed.state is SlotState.PLACED:
        return placed, await node.readers.access(placed, signed.renter, signed.network)
    return own_slot(node, signed, order, slot), AS_RENTER


async def promised_slot(node: Node, signed: Signed, order: OrderId, slot: int) -> tuple[SlotRecord, Access]:
    """The same if it is accepted or placed. Raises NotFound if it is not."""
    record, access = await shown_slot(node, signed, order, slot)
    if record.state is SlotState.STAGED:
        raise NotFound("this slot is not accepted yet")
    return record, access


def _number(text: str, limit: int, name: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) >= limit:
        raise Malformed(f"a {name} is a number below {limit}")
    return int(text)

"""What every route needs: the node, the signer of a request, and the slot that it is about.

Dependencies are coroutines, though they wait for nothing: FastAPI runs plain functions on threads.
"""

from dataclasses import replace
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from grange.errors import Misuse
from grange.messages import NO_CONTENT
from grange.types import OrderId, address_from
from grange.wire.headers import SCHEME
from grange.wire.paths import ACCOUNT_QUERY as ACCOUNT
from grange_node.api.auth import Gatekeeper, SignatureUnknown, Signed, require_content
from grange_node.errors import Foreign, Malformed, NotFound
from grange_node.limits.networks import UNKNOWN, Network, network_of
from grange_node.node import Node
from grange_node.reads.readers import AS_RENTER, Access
from grange_node.records import SlotRecord, SlotState
from grange_node.slot_key import SlotKey

BINDING_METHODS: Final = ("DELETE", "POST")
"""What can't be taken back: pieces that go, and acceptances."""


def node_of(connection: HTTPConnection) -> Node:
    """The running node."""
    node = connection.app.state.node
    assert isinstance(node, Node)
    return node


async def signed_by(request: Request) -> Signed:
    """Check a request's signature over method, raw path and query; a contract wallet is asked for its own.
    Raises Unauthorised, ChainDown, TooBusy."""
    scope = request.scope
    path = scope["raw_path"].decode("ascii", "replace")
    if scope["query_string"]:
        path += "?" + scope["query_string"].decode("ascii", "replace")
    authorization = request.headers.get("authorization")
    gatekeeper = request.app.state.gatekeeper
    assert isinstance(gatekeeper, Gatekeeper)
    network = network_asking(request)
    try:
        return gatekeeper.check(scope["method"], path, authorization, network)
    except SignatureUnknown as refused:
        wallets = node_of(request).wallet_signatures
        says_yes = await wallets.is_approved(
            refused.renter,
            refused.digest,
            refused.signature,
            network,
            is_binding=scope["method"] in BINDING_METHODS,
        )
        if not says_yes:
            raise
        approved = refused.digest
    return gatekeeper.check(scope["method"], path, authorization, network, approved=approved)


async def asking(request: Request) -> Signed:
    """Check a request's signature, and whose it is: the signer's own, or that of the account which it names,
    if it is a delegate of that. Raises Unauthorised, Malformed, Foreign, ChainDown, TooBusy."""
    signed = await signed_by(request)
    named = request.query_params.getlist(ACCOUNT)
    if not named:
        return signed
    try:
        [account] = map(address_from, named)
    except (ValueError, Misuse) as error:
        raise Malformed(f"one address is wanted as `{ACCOUNT}`") from error
    if account == signed.renter:
        return signed
    await node_of(request).delegates.require(account, signed.renter, signed.network)
    return replace(signed, renter=account, delegate=signed.renter)


def network_asking(request: Request) -> Network:
    """The network that a request comes from."""
    return UNKNOWN if request.client is None else network_of(request.client.host)


class GrangeSignature(SecurityBase):
    """A request's signature, as FastAPI knows ways of signing in."""

    scheme_name = SCHEME

    def __init__(self) -> None:
        self.model = HTTPBase(
            scheme=SCHEME, description="docs/protocol.md, section 5: Authorization: Grange renter=…"
        )

    async def __call__(self, request: Request) -> Signed:
        """Whose request it is. Raises what `asking` does."""
        return await asking(request)


GRANGE_SIGNATURE = GrangeSignature()


async def _node_here(connection: HTTPConnection) -> Node:
    return node_of(connection)


NodeHere = Annotated[Node, Depends(_node_here)]
SignedRequest = Annotated[Signed, Depends(GRANGE_SIGNATURE)]
"""Whose request it is. What it carries is still to be compared with what was signed."""


async def _without_content(signed: SignedRequest) -> Signed:
    require_content(signed, NO_CONTENT)
    return signed


SignedWithoutContent = Annotated[Signed, Depends(_without_content)]
"""Who signed a request that carries nothing."""


async def own_slot(node: Node, signed: Signed, order: OrderId, slot: int) -> SlotRecord:
    """The signer's slot. Raises Foreign when it is another renter's, NotFound when there is none."""
    key = SlotKey(renter=signed.renter, order=order, slot=slot)
    record = await node.executors.in_database(node.ledger.slot, key)
    if record is not None:
        return record
    if await node.executors.in_database(node.ledger.acceptance, order, slot) is not None:
        raise Foreign("this slot belongs to another renter's order")
    raise NotFound("nothing of this slot is here")


async def shown_slot(node: Node, signed: Signed, order: OrderId, slot: int) -> tuple[SlotRecord, Access]:
    """The slot with what the signer may read of it: of what is placed as `readers` says, of its own,
    however far it is, everything. Raises Foreign, NotAReader, NotFound, ChainDown, TooBusy."""
    placed = await node.executors.in_database(node.ledger.acceptance, order, slot)
    if placed is not None and placed.state is SlotState.ACCEPTED and placed.key.renter != signed.renter:
        # A repairer brought it: the block in which it was placed may be newer than our last look.
        await node.readers.look_again(signed.network)
        placed = await node.executors.in_database(node.ledger.acceptance, order, slot)
    if placed is not None and placed.state is SlotState.PLACED:
        return placed, await node.readers.access(placed, signed.renter, signed.network)
    return await own_slot(node, signed, order, slot), AS_RENTER


async def accepted_slot(node: Node, signed: Signed, order: OrderId, slot: int) -> tuple[SlotRecord, Access]:
    """The same if it is accepted or placed. Raises NotFound if it is not."""
    record, access = await shown_slot(node, signed, order, slot)
    if record.state is SlotState.STAGED:
        raise NotFound("this slot is not accepted yet")
    return record, access

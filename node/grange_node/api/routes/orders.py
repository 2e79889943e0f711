"""What a farm knows of orders of which it keeps a slot, for those whose endpoints give no old logs."""

from fastapi import APIRouter

from grange.wire import paths
from grange.wire.bodies import ShownOrder
from grange.wire.codes import ErrorCode
from grange.wire.fields import OrderHash
from grange_node.api.openapi import refusals
from grange_node.api.routes.common import NodeHere, SignedWithoutContent

router = APIRouter()


@router.get(
    paths.ORDER, responses=refusals(ErrorCode.UNAUTHORISED, ErrorCode.NOT_FOUND, ErrorCode.LIMIT_REACHED)
)
async def show_order(node: NodeHere, order: OrderHash, signed: SignedWithoutContent) -> ShownOrder:
    """All slots of an order, with those who keep them, as the farm has seen them on chain. Anyone may ask:
    they were public when the order was placed."""
    found = await node.known_orders.shown(order, signed.network)
    return ShownOrder.showing(found.held, block=found.block, previous=found.previous)

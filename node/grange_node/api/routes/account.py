"""What a payer stands for with us, for one that has only its key left."""

from fastapi import APIRouter

from grange.wire import paths
from grange.wire.bodies import Account
from grange.wire.codes import ErrorCode
from grange_node.api.openapi import refusals
from grange_node.api.routes.common import NodeHere, SignedWithoutContent
from grange_node.errors import NotFound

router = APIRouter()


@router.get(paths.ACCOUNT, responses=refusals(ErrorCode.UNAUTHORISED, ErrorCode.NOT_FOUND))
async def account(node: NodeHere, signed: SignedWithoutContent) -> Account:
    """The signer's highest total with its own signature, and what was used of it."""
    found = await node.executors.in_database(node.payment_gate.account, signed.payer)
    if found is None:
        raise NotFound("nothing was paid to this farmer yet")
    return Account(cumulative=found.cumulative, spent=found.spent, signature=found.signature)

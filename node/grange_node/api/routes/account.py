"""What a payer stands for with us, for one that has only its key left."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from grange_node.api.routes.common import node_of, signed_without_content
from grange_node.errors import NotFound

router = APIRouter(prefix="/v1")


@router.get("/account")
async def account(request: Request) -> dict[str, Any]:
    """The signer's highest total with its own signature, and what was used of it."""
    node = node_of(request)
    found = node.till.account(signed_without_content(request).renter)
    if found is None:
        raise NotFound("nothing was paid to this farmer yet")
    return {
        "cumulative": found.cumulative,
        "spent": found.spent,
        "r": found.r.hex(),
        "vs": found.vs.hex(),
    }

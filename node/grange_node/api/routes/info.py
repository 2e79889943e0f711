"""Introducing ourselves to anyone who asks."""

from importlib.metadata import version

from fastapi import APIRouter, Request

from grange.types import Address
from grange.wire import paths
from grange.wire.bodies import Info, OfferAnswer
from grange_node.api.openapi import refusals
from grange_node.api.routes.common import NodeHere, network_asking

router = APIRouter()

VERSION = version("grange")


@router.get(paths.INFO, responses=refusals())
async def info(request: Request, node: NodeHere) -> Info:
    """Who we are, what we offer, how much room there is for anyone who asks, and how far we have seen the
    chain."""
    config, view = node.config, node.follower.view
    return Info(
        farmer=config.farmer,
        chain_id=config.chain_id,
        market=Address(config.market),
        version=VERSION,
        free_bytes=min(node.capacity.free_bytes(network_asking(request)), node.disk_capacity.free_bytes),
        offer=OfferAnswer(**config.offer_terms.model_dump()),
        head_block=view.head.number if view else None,
        epoch=view.head.epoch if view else None,
    )

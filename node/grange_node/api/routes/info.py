"""Introducing ourselves to whoever asks."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request

from grange_node.api.routes.common import network_asking, node_of

router = APIRouter(prefix="/v1")

VERSION = version("grange")


@router.get("/info")
async def info(request: Request) -> dict[str, Any]:
    """Who we are, what we offer, how much room there is for whoever asks, and how far we have seen the
    chain."""
    node = node_of(request)
    config, view = node.config, node.watcher.view
    disk_bytes = await asyncio.to_thread(node.store.free_bytes)
    return {
        "farmer": config.farmer_id,
        "chain_id": config.chain_id,
        "market": config.market,
        "version": VERSION,
        "free_bytes": min(node.capacity.free_bytes(network_asking(request)), disk_bytes),
        "offer": config.offer_terms.model_dump(),
        "head_block": view.head.number if view else None,
        "epoch": view.head.epoch if view else None,
    }

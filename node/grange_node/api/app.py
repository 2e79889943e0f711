"""The farmer's HTTP service: docs/protocol.md, section 5, says what it answers, `grange.wire` in what shape.

Decides how resources live: the lifespan opens the node and runs its loops. Leaves requests to `routes`, and
what an error is answered with to `refusals`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from grange.chain import Wallet
from grange.executors import Executors
from grange_node.api.auth import Gatekeeper
from grange_node.api.openapi import publish
from grange_node.api.refusals import add_error_handlers
from grange_node.api.routes import account, data, info, orders, slots
from grange_node.chain.farm_market import FarmMarket
from grange_node.config import Config
from grange_node.errors import EndsNode
from grange_node.files import Files
from grange_node.node import Node
from grange_node.pieces.volume import Volume


def create_app(
    config: Config,
    wallet: Wallet,
    *,
    market: FarmMarket | None = None,
    files: Files | None = None,
    clock: Callable[[], float] = time.time,
    steady: Callable[[], float] = time.monotonic,
    loops: bool = True,
    volume: Volume | None = None,
    executors: Executors | None = None,
) -> FastAPI:
    """The service of one farm; its lifespan owns the node, found as `app.state.node`, and who may ask."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Node.open(
            config,
            wallet,
            market=market,
            files=files,
            clock=clock,
            steady=steady,
            volume=volume,
            executors=executors,
        ) as node:
            app.state.node = node
            app.state.gatekeeper = Gatekeeper(config.domain, config.farmer, clock)
            if not loops:
                yield
                return
            async with _running(node) as app.state.loops:
                yield

    app = FastAPI(
        title="Grange farmer",
        # `publish` does these, within limits.
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    # Not `include_router`, which has every request go through one router more.
    for router in (data.router, info.router, account.router, orders.router, slots.router):
        app.router.routes.extend(router.routes)
    publish(app, steady)
    add_error_handlers(app, steady)
    return app


@asynccontextmanager
async def _running(node: Node) -> AsyncIterator[asyncio.Task[None]]:
    """Run the node's loops beside the body. Raises what ended them, an `EndsNode`."""
    running = asyncio.create_task(node.run_loops())
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.wait([running])
        await node.redeemer.before_stop()
    if not running.cancelled() and (failure := running.exception()) is not None:
        raise _reason(failure) from failure


def _reason(failure: BaseException) -> BaseException:
    """What is in a group of exceptions: that one of ours which came first, if there is any."""
    if not isinstance(failure, BaseExceptionGroup):
        return failure
    found = [_reason(one) for one in failure.exceptions]
    return next((one for one in found if isinstance(one, EndsNode)), found[0])

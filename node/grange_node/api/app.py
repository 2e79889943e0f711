"""The farmer's HTTP service.

    GET    /v1/info                                            unsigned: who we are and what we offer
    GET    /v1/account                                         what the signer paid and used
    PUT    /v1/orders/{order}/slots/{slot}/pieces/{piece}      store a piece
    POST   /v1/orders/{order}/slots/{slot}/accept              ask for our signature
    GET    /v1/orders/{order}/slots/{slot}                     read bytes of a slot
    GET    /v1/orders/{order}/slots/{slot}/pieces              which pieces are here
    GET    /v1/orders/{order}/slots/{slot}/pieces/{piece}/path a piece's root and its path to the slot's root
    DELETE /v1/orders/{order}/slots/{slot}                     drop what is staged

Decides how resources live (the lifespan opens the node and runs its loops) and how errors become
responses, here and nowhere else: `{"error": code, "message": sentence, "detail": {...}}`. The data path
(PUT and ranged GET) consists of plain Starlette routes without validation models, since it is all bytes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from grange.chain import Wallet
from grange_node.api.auth import Gatekeeper
from grange_node.api.routes import account, data, info, slots
from grange_node.chain.chain_link import ChainLink
from grange_node.config import Config
from grange_node.errors import EndsNode, NodeMisuse, NodeWorldError, RangeInvalid, Refusal, TooMuch
from grange_node.files import Files
from grange_node.limits.log_seldom import LogSeldom
from grange_node.node import Node
from grange_node.pieces.volume import Volume

MAX_DISCARDED_DIGITS = 7
"""A refused body of up to ten million bytes is read to its end."""

log = logging.getLogger("grange.farm")


def create_app(
    config: Config,
    wallet: Wallet,
    *,
    link: ChainLink | None = None,
    files: Files | None = None,
    clock: Callable[[], float] = time.time,
    steady: Callable[[], float] = time.monotonic,
    loops: bool = True,
    volume: Volume | None = None,
) -> FastAPI:
    """The service of one farm; its lifespan owns the node, found as `app.state.node`, and who may ask."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Node.open(
            config, wallet, link=link, files=files, clock=clock, steady=steady, volume=volume
        ) as node:
            app.state.node = node
            app.state.gatekeeper = Gatekeeper(config.domain, config.farmer, clock)
            if not loops:
                yield
                return
            async with _running(node) as app.state.loops:
                yield

    app = FastAPI(title="Grange farmer", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.routes.extend(data.ROUTES)
    app.include_router(info.router)
    app.include_router(account.router)
    app.include_router(slots.router)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(NodeWorldError, _failing(LogSeldom(log, steady)))
    app.add_exception_handler(NodeMisuse, _ending)
    app.add_exception_handler(Exception, _broken)
    app.add_exception_handler(RequestValidationError, _unreadable)
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


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    headers: dict[str, str] = {}
    if isinstance(error, TooMuch) and len(request.headers.get("content-length", "")) > MAX_DISCARDED_DIGITS:
        # What was refused unread is still on its way. A little of it is read and thrown away, so that the
        # sender gets to see this answer; of more than that we take no more.
        headers["connection"] = "close"
    if isinstance(error, RangeInvalid) and "slot_bytes" in error.detail:
        headers["content-range"] = f"bytes */{error.detail['slot_bytes']}"
    return JSONResponse(
        {"error": error.code, "message": error.message, "detail": dict(error.detail)},
        status_code=error.status,
        headers=headers,
    )


def _failing(log_seldom: LogSeldom) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def failed(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, NodeWorldError)
        # Strangers can bring some of these about as often as they like: a full farm is one.
        log_seldom.warn(error.code, f"{request.method} {request.url.path}: {error.message}")
        return JSONResponse(
            {"error": error.code, "message": error.message, "detail": dict(error.detail)},
            status_code=error.status,
        )

    return failed


async def _ending(request: Request, error: Exception) -> JSONResponse:
    """The ledger is damaged: the loops end the node with what the operator has to hear."""
    log.error("%s %s: %s", request.method, request.url.path, error)
    return _world_failed()


async def _broken(request: Request, error: Exception) -> JSONResponse:
    """A bug, whose traceback the server logs."""
    return _world_failed()


def _world_failed() -> JSONResponse:
    content = {"error": NodeWorldError.code, "message": "the farmer failed to answer this", "detail": {}}
    return JSONResponse(content, status_code=NodeWorldError.status)


async def _unreadable(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = [
        {"where": ".".join(str(part) for part in problem["loc"]), "what": problem["msg"]}
        for problem in error.errors()
    ]
    return JSONResponse(
        {"error": "malformed", "message": "the request cannot be read", "detail": {"problems": problems}},
        status_code=400,
    )

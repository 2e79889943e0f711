"""Serving a farm: the socket, the server, being ready, and stopping when told to.

Decides where we listen and what is announced, in this order: listen, serve, announce the endpoint on
chain if asked to, and only then say that we are ready. SIGTERM and SIGINT end it in good order: open
requests are finished, files closed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import uvicorn

from grange.chain import ChainReplaced, TransactionReverted, Wallet, WrongChain
from grange.errors import GrangeError
from grange.types import Address
from grange_node.api.app import create_app
from grange_node.api.connection import limited
from grange_node.api.connection_limits import Limits, raise_file_limit
from grange_node.chain.ownership import check_owner, other_operator, unknown_farmer
from grange_node.config import Config, split_endpoint, write_private
from grange_node.errors import ConfigInvalid, FarmerForeign
from grange_node.loops import forever
from grange_node.node import Node
from grange_node.pieces.store import Store
from grange_node.pieces.volume import Volume
from grange_node.repair.repairer import POLL_SECONDS, Repairer, Settings

LISTEN_BACKLOG = 1024
KEEP_ALIVE_SECONDS = 75
GRACEFUL_SECONDS = 5
ANNOUNCE_RETRY_SECONDS = 3.0
IPV4_LOOPBACK = "127.0.0.1"
EVERY_IPV4_ADDRESS = "0.0.0.0"
EVERY_ADDRESS = "::"
"""Of both kinds."""

log = logging.getLogger("grange.farm")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How to run. `listen` is (host, port), port 0 for any; `announce` puts the endpoint on chain if it
    differs."""

    listen: tuple[str, int] | None = None
    announce: bool = False
    volume: Volume | None = None
    """The data folder as the farm expects it."""
    repair: Settings | None = None
    """Repair orders beside the farm, with its key, if given."""
    ready_file: Path | None = None
    ready_descriptor: int | None = None


class CannotListen(ConfigInvalid):
    """The address cannot be listened on."""

    def __init__(self, shown: str, error: OSError) -> None:
        super().__init__(
            f"The farm cannot listen on {shown}: {error.strerror or error}.",
            hint="Choose another address with --listen, or end what uses it.",
        )


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: it would end the process before we have closed our
    files."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(config: Config, wallet: Wallet, options: ServeOptions) -> None:
    """Run a farm until it is told to stop. Raises DataInUse, LedgerInvalid, ConfigInvalid, StoreFailed,
    and what the farm cannot go on after."""
    host, port = options.listen or default_listen(config.endpoint)
    try:
        listening = _listen(host, port)
    except CannotListen:
        # The port of a farm that runs is taken by itself: that is what the operator has to hear.
        Store.check_free(config.data_folder)
        raise
    app = create_app(config, wallet, volume=options.volume)
    server = make_server(app, Limits().fitting(raise_file_limit()))
    try:
        with _stopping(lambda: setattr(server, "should_exit", True)):
            async with app.router.lifespan_context(app):
                endpoint = with_port(config.endpoint, listening.getsockname()[1])
                node: Node = app.state.node
                # They end only if the farm cannot go on; what ended them is raised as the lifespan closes.
                app.state.loops.add_done_callback(lambda _: setattr(server, "should_exit", True))
                async with (
                    _beside(_check_farmer(server, node, wallet.address)),
                    _beside(_become_ready(server, node, endpoint, options)),
                    _beside(_repair(node, options.repair)),
                ):
                    await server.serve(sockets=[listening])
    finally:
        listening.close()
    log.info("farmer %d stopped", config.farmer_id)


def make_server(app: Callable[..., Any], limits: Limits) -> _Server:
    """The server of a farm's HTTP interface, with limits on what strangers may hold."""
    # Anyone can send what is not HTTP; a log line for each would fill the disk.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return _Server(
        uvicorn.Config(
            app,
            http=limited(limits),  # type: ignore[arg-type]  # it is only called
            ws="none",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
    )


def default_listen(endpoint: str) -> tuple[str, int]:
    """Where an endpoint is served if nothing else is said: on itself if it is a loopback address, else on all
    addresses; also those of IPv6, unless the endpoint is an IPv4 address."""
    host, port = split_endpoint(endpoint)
    if host == "localhost":
        return IPV4_LOOPBACK, port
    try:
        address = ip_address(host)
    except ValueError:
        # A name may stand for addresses of both kinds.
        return (EVERY_ADDRESS if socket.has_dualstack_ipv6() else EVERY_IPV4_ADDRESS), port
    if address.is_loopback:
        return host, port
    return (EVERY_ADDRESS if address.version == 6 else EVERY_IPV4_ADDRESS), port


def with_port(endpoint: str, port: int) -> str:
    """The endpoint as others reach it: port 0 replaced by the one we got."""
    host, named = split_endpoint(endpoint)
    if named != 0:
        return endpoint.rstrip("/")
    shown = f"[{host}]" if ":" in host else host
    return urlunsplit((urlsplit(endpoint).scheme, f"{shown}:{port}", "", "", ""))


async def announce(node: Node, endpoint: str) -> None:
    """Put the endpoint on chain unless it is there; tries until it is."""
    complaint = ""
    while True:
        try:
            if (await node.market.own_farmer()).endpoint != endpoint:
                await node.market.update(endpoint)
                log.info("announced on chain: %s", endpoint)
        except GrangeError as error:
            if str(error) != complaint:
                log.warning("the endpoint cannot be announced yet: %s; trying again", error)
                complaint = str(error)
            await asyncio.sleep(ANNOUNCE_RETRY_SECONDS)
        else:
            return


async def _check_farmer(server: _Server, node: Node, operator: Address) -> None:
    """End the farm if its endpoint serves another chain than the one that it was set up on, or if the farmer
    there is somebody else's. A chain that does not answer is waited for. Raises WrongChain, ChainReplaced,
    FarmerForeign."""
    complaint = ""
    while True:
        try:
            farmer = await node.market.own_farmer()
            check_owner(farmer, node.config)
        except (WrongChain, ChainReplaced, FarmerForeign):
            server.should_exit = True
            raise
        except TransactionReverted as error:
            # An endpoint that lags may not know a new farmer yet, so this does not end the farm.
            if str(error) != complaint:
                log.warning("%s", unknown_farmer(node.config))
                complaint = str(error)
        except GrangeError:
            pass
        else:
            if farmer.operator != operator:
                log.error(
                    "%s Proofs go on, but nothing new can be accepted.", other_operator(farmer, operator)
                )
            return
        await asyncio.sleep(ANNOUNCE_RETRY_SECONDS)


async def _become_ready(server: _Server, node: Node, endpoint: str, options: ServeOptions) -> None:
    await server.listening.wait()
    if options.announce:
        await announce(node, endpoint)
    config = node.config
    log.info("farmer %d serves %s from %s", config.farmer_id, endpoint, config.data_folder)
    line = json.dumps(
        {
            "farmer": config.farmer_id,
            "endpoint": endpoint,
            "port": split_endpoint(endpoint)[1],
            "pid": os.getpid(),
            "market": config.market,
            "chain_id": config.chain_id,
        }
    )
    if options.ready_file is not None:
        write_private(options.ready_file, line + "\n")
    if options.ready_descriptor is not None:
        os.write(options.ready_descriptor, line.encode() + b"\n")


async def _repair(node: Node, settings: Settings | None) -> None:
    """Be a repairer too, from when the chain first answers on."""
    if settings is None:
        return

    async def work() -> None:
        node.volume.require()
        await node.market.head()
        async with Repairer.open(settings, node.market.sender) as repairer:
            log.info("farmer %d repairs orders too", node.config.farmer_id)
            await forever("repairs", repairer.tick, lambda: POLL_SECONDS)

    await forever("repairs", work, lambda: ANNOUNCE_RETRY_SECONDS)


def _listen(host: str, port: int) -> socket.socket:
    is_ipv6 = ":" in host
    shown = f"[{host}]:{port}" if is_ipv6 else f"{host}:{port}"
    try:
        listening = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise CannotListen(shown, error) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_ipv6:
            # Systems differ in whether "::" takes IPv4 too if nothing is said.
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != EVERY_ADDRESS))
        listening.bind((host, port))
        listening.listen(LISTEN_BACKLOG)
    except OSError as error:
        listening.close()
        raise CannotListen(shown, error) from error
    return listening


@contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run a coroutine while the body runs; end it with the body."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()

"""The in-process chain as a process of its own: JSON-RPC over HTTP on the loopback.

    python -m grange_devnet.pyevm_server --port 0 --chain-id 1337 --fund ADDRESS ... [--block-seconds 1]

Prints one JSON line {"port": n} when it listens. Decides when blocks are made: one for each transaction as it
comes, or one every block-seconds. With --until-stdin-closes it ends when its parent closes the pipe or dies.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from typing import Any

from aiohttp import web

from grange.json_text import parse_json
from grange_devnet.evm import Evm
from grange_devnet.pyevm_rpc import RpcMethods

HOST = "127.0.0.1"
MAX_BODY_BYTES = 64 * 1024 * 1024
GENESIS_BALANCE_WEI = 10**27


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m grange_devnet.pyevm_server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--chain-id", type=int, default=1337)
    parser.add_argument(
        "--fund", action="append", default=[], help="an address that has gas tokens from the start"
    )
    parser.add_argument("--block-seconds", type=float, help="make blocks by the clock, not by transaction")
    parser.add_argument("--until-stdin-closes", action="store_true")
    return parser.parse_args()


def make_app(methods: RpcMethods) -> web.Application:
    """The HTTP side: POST anything JSON-RPC to any path."""

    async def answer(request: web.Request) -> web.Response:
        try:
            body = parse_json(await request.read())
        except ValueError:
            error = {"code": -32700, "message": "parse error"}
            return web.json_response({"jsonrpc": "2.0", "id": None, "error": error})
        return web.json_response(methods.answer(body))

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/{path:.*}", answer)
    return app


async def _make_blocks(evm: Evm, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() + seconds
    while True:
        await asyncio.sleep(max(0.0, due - loop.time()))
        evm.mine()
        due = max(due + seconds, loop.time())


async def _stdin_closed() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while await reader.read(4096):
        pass


async def _serve(arguments: argparse.Namespace) -> None:
    balances = {bytes.fromhex(address.removeprefix("0x")): GENESIS_BALANCE_WEI for address in arguments.fund}
    evm = Evm(chain_id=arguments.chain_id, balances=balances)
    evm.automine = arguments.block_seconds is None
    runner = web.AppRunner(make_app(RpcMethods(evm, client_version="grange-devnet/py-evm")), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, HOST, arguments.port)
    await site.start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(stop.wait())]
    if arguments.until_stdin_closes:
        tasks.append(asyncio.create_task(_stdin_closed()))
    if arguments.block_seconds is not None:
        tasks.append(asyncio.create_task(_make_blocks(evm, arguments.block_seconds)))
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await runner.cleanup()
    for task in done:
        task.result()


def main() -> None:
    """Run until told to stop."""
    asyncio.run(_serve(_arguments()))


if __name__ == "__main__":
    main()

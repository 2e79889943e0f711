"""geth and reth, which run live chains, as the engine of a private one: where they are on the PATH.

    await prepare_geth(binary, options, folder)     a first block that has our account, and the rules wanted
    command = geth_command(binary, options, folder)

They are other programs than those for tests: no block is made by a call, none is taken back, and time goes no
faster than the clock. With blocks by the clock both make one every so many whole seconds; without, one for
each transaction, so that `Devnet.mine` sends as many.
"""

import asyncio
import json
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from grange.errors import Misuse
from grange.json_text import parse_json
from grange.types import Address
from grange_devnet.errors import EngineFailed, EngineMissing

GETH_REMEDY: Final = "geth.ethereum.org says how, and `geth` has to be on the PATH"
RETH_REMEDY: Final = "reth.rs says how, and `reth` has to be on the PATH"
RETH_CHAIN_ID: Final = 1337
PREPARE_SECONDS: Final = 60.0
_LATER_RULES: Final = ("bogotaTime", "amsterdamTime", "ubtTime")
"""Of geth's development chain, that live chains do not have yet."""
_OSAKA: Final = "osakaTime"
_FEW_MEGABYTES: Final = "128"
"""For its caches, in place of gigabytes."""


def find_program(name: str, remedy: str) -> Path:
    """Where it is. Raises EngineMissing."""
    found = shutil.which(name)
    if found is None:
        raise EngineMissing(name, f"the program {name}", remedy)
    return Path(found)


def whole_seconds(block_seconds: float) -> int:
    """These programs count blocks' times in seconds: at least one."""
    return max(1, math.ceil(block_seconds))


def geth_genesis(
    shown: dict[str, Any], *, chain_id: int, hardfork: str, account: Address, wei: int, gas_limit: int
) -> dict[str, Any]:
    """The first block of geth's development chain, as `geth --dev dumpgenesis` shows it, with an account that
    has money, a block gas limit, and the rules that are wanted."""
    config = {name: value for name, value in shown["config"].items() if name not in _LATER_RULES}
    config["chainId"] = chain_id
    if hardfork == "osaka":
        config[_OSAKA] = 0
    else:
        config.pop(_OSAKA, None)
    alloc = shown["alloc"] | {account.removeprefix("0x"): {"balance": hex(wei)}}
    return shown | {"config": config, "alloc": alloc, "gasLimit": hex(gas_limit)}


async def prepare_geth(
    binary: Path,
    folder: Path,
    *,
    chain_id: int,
    hardfork: str,
    account: Address,
    wei: int,
    gas_limit: int,
) -> None:
    """Write the first block into a data folder. Raises EngineFailed."""
    shown = await _output_of([str(binary), "--dev", "dumpgenesis"])
    try:
        genesis = geth_genesis(
            parse_json(shown),
            chain_id=chain_id,
            hardfork=hardfork,
            account=account,
            wei=wei,
            gas_limit=gas_limit,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = shown.decode(errors="replace")
        raise EngineFailed("geth", "shows no first block that we know", said) from error
    path = folder / "genesis.json"
    path.write_text(json.dumps(genesis), encoding="utf-8")
    await _output_of([str(binary), "init", "--datadir", str(folder / "geth"), str(path)])


def geth_command(
    binary: Path, folder: Path, *, host: str, port: int, block_seconds: float | None, gas_limit: int
) -> list[str]:
    """To run it over a data folder that `prepare_geth` made; nobody but this computer may ask it."""
    command = [str(binary), "--dev", "--datadir", str(folder / "geth"), "--cache", _FEW_MEGABYTES]
    command += ["--dev.gaslimit", str(gas_limit), "--ipcdisable", "--nodiscover", "--port", "0"]
    command += ["--http", "--http.addr", host, "--http.port", str(port), "--http.api", "eth,net,web3"]
    command += ["--authrpc.addr", host, "--authrpc.port", "0"]
    if block_seconds is not None:
        command += ["--dev.period", str(whole_seconds(block_seconds))]
    return command


def reth_command(
    binary: Path, folder: Path, *, host: str, port: int, chain_id: int, block_seconds: float | None
) -> list[str]:
    """To run it. Its development chain has money on the account of the well-known mnemonic, an id of its own,
    and the rules of its version."""
    if chain_id != RETH_CHAIN_ID:
        raise Misuse(f"the development chain of reth has the id {RETH_CHAIN_ID}")
    command = [str(binary), "node", "--dev", "--datadir", str(folder / "reth")]
    command += ["--ipcdisable", "--disable-discovery", "--port", "0"]
    command += ["--http", "--http.addr", host, "--http.port", str(port), "--http.api", "eth,net,web3"]
    command += ["--authrpc.addr", host, "--authrpc.port", "0"]
    if block_seconds is not None:
        command += ["--dev.block-time", f"{whole_seconds(block_seconds)}s"]
    return command


async def _output_of(command: list[str]) -> bytes:
    """What a program prints that ends by itself. Raises EngineFailed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PREPARE_SECONDS):
            output, said = await process.communicate()
    except TimeoutError:
        raise EngineFailed("geth", f"did not end within {PREPARE_SECONDS:g} s", " ".join(command)) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise EngineFailed("geth", "could not make a first block", said.decode(errors="replace"))
    return output

"""geth and reth as engines. What geth itself does is in `test_devnet` and `test_gas_agrees`, where it is on
the PATH; reth was not at hand for any of these tests, so a stand-in with its options plays its part."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from grange.chain import ChainUnavailable, Timeouts
from grange.chain.deploying import unmarketed
from grange.chain.network_file import Network
from grange.chain.rpc import Rpc
from grange.errors import Misuse
from grange.messages import NOBODY
from grange_devnet import DEVNET_PARAMETERS, Devnet, DevnetError, EngineFailed, EngineMissing
from grange_devnet.engines import DEV_ADDRESS, EngineOptions, RunningEngine, _command, _port_in
from grange_devnet.live_engines import geth_genesis, prepare_geth, whole_seconds

SHOWN = {
    "config": {"chainId": 1337, "pragueTime": 0, "osakaTime": 0, "bogotaTime": 0},
    "gasLimit": "0xaf79e0",
    "alloc": {"0000f90827f1c53a10cb7a02335b175320002935": {"code": "0x33"}},
}
"""A part of what `geth --dev dumpgenesis` prints."""


def program(folder: Path, name: str, script: str) -> Path:
    """A stand-in, which does what a script says."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize("hardfork", ["prague", "osaka"])
def test_geths_first_block_has_our_account_and_the_rules_that_are_wanted(hardfork: str) -> None:
    """None that live chains do not have yet; its contracts stay as they are."""
    made = geth_genesis(
        SHOWN, chain_id=4242, hardfork=hardfork, account=DEV_ADDRESS, wei=10**27, gas_limit=30_000_000
    )
    rules = {"chainId": 4242, "pragueTime": 0} | ({"osakaTime": 0} if hardfork == "osaka" else {})
    assert made["config"] == rules
    assert int(made["gasLimit"], 16) == 30_000_000
    assert made["alloc"] == SHOWN["alloc"] | {DEV_ADDRESS[2:]: {"balance": hex(10**27)}}
    assert SHOWN["config"]["bogotaTime"] == 0, "what was shown is as it was"


async def test_a_geth_that_fails_or_shows_something_else_ends_in_words(tmp_path: Path) -> None:
    for script, said in (
        ("echo no such flag >&2; exit 2", "could not make a first block"),
        ("echo hello", "shows no first block that we know"),
        ("echo '{}'", "shows no first block that we know"),
    ):
        binary = program(tmp_path, "geth", script)
        with pytest.raises(EngineFailed, match=said):
            await prepare_geth(
                binary,
                tmp_path,
                chain_id=1,
                hardfork="prague",
                account=DEV_ADDRESS,
                wei=1,
                gas_limit=30_000_000,
            )


@pytest.mark.parametrize("engine", ["geth", "reth"])
async def test_a_program_that_is_not_on_the_path_is_missing_in_words(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineMissing, match=f"needs the program {engine}, which is not installed") as raised:
        async with Devnet.start(engine=engine):  # type: ignore[arg-type]
            pass
    assert "on the PATH" in raised.value.hint


@pytest.mark.parametrize(("engine", "option"), [("geth", "--dev.period 2"), ("reth", "--dev.block-time 2s")])
def test_blocks_come_by_the_clock_in_whole_seconds(
    engine: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it listens to nobody but this computer."""
    program(tmp_path, engine, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    command = " ".join(_command(EngineOptions(engine=engine, block_seconds=1.5), tmp_path))  # type: ignore[arg-type]
    assert option in command
    assert "--http.addr 127.0.0.1" in command
    assert "--authrpc.addr 127.0.0.1" in command
    assert [whole_seconds(seconds) for seconds in (0.05, 1.0, 1.01)] == [1, 1, 2]


def test_reth_has_a_chain_id_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "reth", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Misuse, match="has the id 1337"):
        _command(EngineOptions(engine="reth", chain_id=5), tmp_path)


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("INFO HTTP server started                      endpoint=127.0.0.1:8551 auth=true prefix=", None),
        ("INFO HTTP server started                      endpoint=127.0.0.1:44555 auth=false prefix=", 44555),
        ("INFO RPC auth server started url=127.0.0.1:8551", None),
        ("INFO RPC HTTP server started url=127.0.0.1:8545", 8545),
        ("Listening on 127.0.0.1:8545", 8545),
        (json.dumps({"port": 7}), 7),
    ],
)
def test_the_port_is_that_of_what_all_may_ask(line: str, port: int | None) -> None:
    assert _port_in(line) == port


RETH = """
import re, subprocess, sys
words = sys.argv[1:]
assert words.pop(0) == "node", words
# As `reth node --help` has them: those that take a value, and those that take none.
options = {}
while words:
    name = words.pop(0)
    if name in {"--dev", "--ipcdisable", "--disable-discovery", "--http"}:
        options[name] = True
    elif name in {"--datadir", "--port", "--http.addr", "--http.port", "--http.api", "--authrpc.addr",
                  "--authrpc.port", "--dev.block-time"}:
        options[name] = words.pop(0)
    else:
        sys.exit(f"error: unexpected argument '{name}' found")
assert options["--dev"] and options["--http"] and options["--http.addr"] == "127.0.0.1"
command = [sys.executable, "-m", "grange_devnet.pyevm_server", "--port", options["--http.port"]]
command += ["--chain-id", "1337", "--fund", "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"]
if "--dev.block-time" in options:
    command += ["--block-seconds", re.fullmatch("([0-9]+)s", options["--dev.block-time"])[1]]
with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
    import signal
    signal.signal(signal.SIGTERM, lambda *_: served.terminate())
    port = re.search("[0-9]+", served.stdout.readline())[0]
    print("INFO RPC auth server started url=127.0.0.1:1", flush=True)
    print(f"INFO RPC HTTP server started url=127.0.0.1:{port}", flush=True)
    sys.exit(served.wait())
"""
"""A program with reth's options and reth's words, over our own server: of the real one it shows nothing."""


async def test_a_market_lives_on_what_has_the_options_and_words_of_reth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started, told by its output where it listens, given a market, and ended."""
    script = tmp_path / "reth.py"
    script.write_text(RETH)
    program(tmp_path, "reth", f'exec {sys.executable} {script} "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    async with Devnet.start(engine="reth") as devnet:
        assert (devnet.engine, devnet.chain_id) == ("reth", 1337)
        before = (await devnet.chain.head()).number
        await devnet.mine(3)
        assert (await devnet.chain.head()).number == before + 3
        await devnet.faucet(NOBODY, native=7)
        assert await devnet.chain.native_balance(NOBODY) >= 7
        with pytest.raises(DevnetError, match="makes its blocks by itself"):
            await devnet.snapshot()
        url = devnet.rpc_url
    async with Rpc(url, Timeouts(request_seconds=1.0, retries=0)) as rpc:
        with pytest.raises(ChainUnavailable):
            await rpc.call("eth_chainId")


async def test_what_only_programs_for_tests_can_do_is_refused_in_words() -> None:
    rpc = Rpc("http://127.0.0.1:1", Timeouts())
    engine = RunningEngine(name="geth", url=rpc.url, process=None)  # type: ignore[arg-type]
    chain = unmarketed(rpc, 1, DEVNET_PARAMETERS)
    devnet = Devnet(engine, chain, rpc, Network(rpc=rpc.url, market=NOBODY))
    for asked in (devnet.set_automine(False), devnet.snapshot(), devnet.revert("0x1")):
        with pytest.raises(DevnetError, match="The engine geth makes its blocks by itself"):
            await asked

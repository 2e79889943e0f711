"""`grange devnet` runs until it is told to stop, and its faucet gives what was asked for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grange.chain import Chain, Wallet
from grange.chain.network_file import Network, read_network, write_network
from grange.cli.exit_codes import ExitCode
from grange.units import TOKEN
from grange_devnet.cli import DEFAULT_OUTPUT, _next_commands, _written, app
from grange_devnet.errors import FileTaken

ENTRY = "from grange_devnet.cli import app; app()"
ENVIRONMENT = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}


def _wait_for(output: Path) -> None:
    for _ in range(400):
        if output.exists():
            return
        time.sleep(0.05)


@asynccontextmanager
async def running(output: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ENTRY, "--port", "0", "--block-seconds", "0.2", "--output", str(output)),
        *options,
        stdout=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )
    try:
        await asyncio.to_thread(_wait_for, output)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_it_shows_where_it_is_funds_an_address_and_ends_on_interrupt(tmp_path: Path) -> None:
    output = tmp_path / "devnet.json"
    receiver = Wallet.random().address
    async with running(output) as devnet:
        place = json.loads(output.read_text())
        assert set(place) == {
            *("name", "rpc", "chain_id", "market", "token", "first_block", "genesis_hash"),
            *("token_symbol", "token_decimals"),
        }
        fund = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", ENTRY, "fund", receiver, "--tokens", "12.5", "--network", str(output)),
            stdout=asyncio.subprocess.PIPE,
            env=ENVIRONMENT,
        )
        said, _ = await fund.communicate()
        assert fund.returncode == 0
        assert f"{receiver} now has 12.5 GRNG and 10 gas tokens" in said.decode()
        async with Chain.connect(place["rpc"], place["market"]) as chain:
            assert await chain.token_balance(receiver) == 25 * TOKEN // 2
        # How many digits an amount has, the network's file says.
        many = await asyncio.to_thread(
            *(CliRunner().invoke, app, ["fund", receiver, "--tokens", "many", "--network", str(output)])
        )
        assert many.exit_code == ExitCode.USAGE
        assert "'many' is not an amount of GRNG" in many.stderr
        devnet.send_signal(signal.SIGINT)
        shown, _ = await devnet.communicate()
    assert devnet.returncode == 0
    assert place["market"] in shown.decode()
    assert "grange devnet fund" in shown.decode()
    assert not output.exists()


async def test_farmers_that_it_was_starting_end_with_it(tmp_path: Path) -> None:
    """A service manager ends it at any time, with a signal to it alone."""
    output, farms = tmp_path / "devnet.json", tmp_path / "farms"
    async with running(output, "--farmers", "2", "--farms", str(farms)) as devnet:
        while not processes_of(farms):
            assert devnet.returncode is None
            await asyncio.sleep(0.05)
        devnet.send_signal(signal.SIGTERM)
        await devnet.communicate()
    assert devnet.returncode == 0
    assert processes_of(farms) == []
    assert not output.exists()


def processes_of(farms: Path) -> list[str]:
    """The command lines that name one of these farms."""
    found = list[str]()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if f"{farms}/" in line and "run" in line.split()]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["fund", "0x12"], ExitCode.USAGE, "is not an address"),
        (
            ["fund", Wallet.random().address, "--network", "/nowhere.json"],
            ExitCode.SETUP,
            "`grange devnet` writes such a file",
        ),
    ],
)
def test_what_goes_wrong_is_said_in_a_line_with_its_own_exit_code(
    arguments: list[str], code: int, said: str
) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code
    assert said in result.stderr


def test_a_devnet_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    place = {
        "rpc": "http://127.0.0.1:1",
        "chain_id": 1337,
        "market": Wallet.random().address,
        "token": Wallet.random().address,
    }
    path = tmp_path / "devnet.json"
    path.write_text(json.dumps(place))
    result = CliRunner().invoke(app, ["fund", Wallet.random().address, "--network", str(path)])
    assert result.exit_code == ExitCode.CHAIN
    assert "Is the devnet running?" in result.stderr


def _readme_commands() -> str:
    readme = Path(__file__).parents[2] / "README.md"
    return readme.read_text(encoding="utf-8").replace("\\\n        ", "")


def test_the_readme_says_what_the_devnet_prints() -> None:
    """Stake, price, endpoint and amounts are the same in both, so that either can be followed."""
    commands = [command for part in _next_commands(DEFAULT_OUTPUT).values() for command in part]
    assert len(commands) == 6
    for command in commands:
        # What is stored is up to the reader.
        assert command.startswith("grange put ") or f"    {command}" in _readme_commands()


def test_commands_of_another_devnet_name_its_file(tmp_path: Path) -> None:
    output = tmp_path / "other.json"
    commands = [command for part in _next_commands(output).values() for command in part]
    assert sum(str(output) in command for command in commands) == 5


def _network(port: int) -> Network:
    return Network(
        rpc=f"http://127.0.0.1:{port}",
        market=Wallet.random().address,
        token=Wallet.random().address,
        chain_id=1337,
    )


def test_the_file_of_a_devnet_that_runs_is_neither_replaced_nor_removed(tmp_path: Path) -> None:
    output = tmp_path / "devnet.json"
    with socket.create_server(("127.0.0.1", 0)) as other:
        running_network = _network(other.getsockname()[1])
        write_network(output, running_network)
        with pytest.raises(FileTaken, match="which is running"), _written(_network(1), output):
            pass
        assert read_network(output) == running_network


def test_the_file_of_a_devnet_that_was_killed_is_replaced(tmp_path: Path) -> None:
    output = tmp_path / "devnet.json"
    with socket.create_server(("127.0.0.1", 0)) as other:
        dead = _network(other.getsockname()[1])
    write_network(output, dead)
    with _written(_network(1), output):
        assert read_network(output).rpc == "http://127.0.0.1:1"
    assert not output.exists()

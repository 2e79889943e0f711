"""The farm as a process: sockets, signals, kills, and what a person sees."""

import asyncio
import hashlib
import json
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from node_support import OPERATOR, PIECE_BYTES, Asker, Clock, Parcel, config_for, open_farm, parcel
from typer.testing import CliRunner

from grange.chain.market_pins import pins_from
from grange.cli.exit_codes import ExitCode
from grange.merkle import merkle_root
from grange.types import Address
from grange.units import MAX_PIECE_BYTES
from grange_node.api.serve import _listen
from grange_node.cli.farm import app
from grange_node.config import KEY_NAME, LEDGER_NAME, load_config, save_config, write_private
from grange_node.pieces.volume import begin_volume

SECONDS = 30


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "grange_node", *map(str, arguments)]


def run(*arguments: object) -> Result:
    """A command, in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A farm that is set up; its chain is down."""
    folder = tmp_path / "home"
    folder.mkdir()
    write_private(folder / KEY_NAME, OPERATOR.private_key.hex())
    config = config_for(tmp_path / "data")
    market = Address(config.market)
    pins = pins_from(config.chain_id, market, config.expected_genesis, {market: b"code"}, "address")
    config = config.model_copy(update={"market_pins": pins})
    save_config(folder, config)
    begin_volume(folder, config)
    return folder


@asynccontextmanager
async def running(
    home: Path, *arguments: object
) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    """The farm's process once it is ready, and its ready line; killed at the end if it is still there."""
    process = await asyncio.create_subprocess_exec(
        *command("run", "--home", home, "--ready-fd", 1, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), SECONDS)
        assert line, (await process.stderr.read()).decode()
        yield process, json.loads(line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def begin(data_folder: Path, slot: Parcel) -> None:
    """The first piece, which no farm takes without asking a chain."""
    async with open_farm(data_folder) as farm:
        assert (await farm.put(slot, 0)).status_code == 201


async def test_a_farm_serves_and_stops_when_told_to_though_its_chain_is_down(home: Path) -> None:
    ready_file = home / "ready.json"
    async with running(home, "--ready-file", ready_file) as (process, ready):
        assert json.loads(ready_file.read_text()) == ready
        async with httpx.AsyncClient(base_url=ready["endpoint"]) as http:
            assert (await http.get("/v1/info")).json()["farmer"] == 7
        assert process.stderr is not None
        lines = []
        async with asyncio.timeout(SECONDS):
            while not any(b"no chain endpoint" in line for line in lines):
                lines.append(await process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), SECONDS)
        assert process.returncode == 0
    log = (b"".join(lines) + errors).decode()
    assert "farmer 7 serves http://127.0.0.1:" in log
    assert "farmer 7 stopped" in log
    assert log.count("no chain endpoint") == 1
    assert all(re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in log.splitlines()), log
    assert "Traceback" not in log


@pytest.mark.parametrize("edited", [{"market_pins": None}, {"genesis_hash": "5a" * 32}])
def test_a_farm_does_not_start_before_its_market_was_looked_at(home: Path, edited: dict[str, Any]) -> None:
    """Nothing is signed for another one, not even while no chain answers."""
    save_config(home, load_config(home).model_copy(update=edited))
    result = run("run", "--home", home)
    assert result.exit_code == ExitCode.CHAIN
    assert "No chain endpoint" in result.stderr


async def test_one_data_folder_is_served_by_one_process(home: Path) -> None:
    async with running(home):
        second = await asyncio.create_subprocess_exec(
            *command("run", "--home", home), stderr=asyncio.subprocess.PIPE
        )
        _, errors = await asyncio.wait_for(second.communicate(), SECONDS)
    assert second.returncode == ExitCode.IN_USE
    assert b"another process" in errors


async def test_a_second_run_of_one_home_is_told_that_the_farm_runs_and_not_that_its_port_is_taken(
    home: Path,
) -> None:
    async with running(home) as (_, ready):
        second = await asyncio.create_subprocess_exec(
            *command("run", "--home", home, "--listen", f"127.0.0.1:{ready['port']}"),
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await asyncio.wait_for(second.communicate(), SECONDS)
    assert second.returncode == ExitCode.IN_USE
    assert b"another process" in errors


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_an_ipv6_endpoint_is_served_on_itself(home: Path) -> None:
    config = load_config(home)
    save_config(home, config.model_copy(update={"endpoint": "http://[::1]:0"}))
    async with running(home) as (_, ready):
        assert ready["endpoint"] == f"http://[::1]:{ready['port']}"
        async with httpx.AsyncClient(base_url=ready["endpoint"]) as http:
            assert (await http.get("/v1/info")).json()["farmer"] == 7


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_all_addresses_are_those_of_both_kinds() -> None:
    with _listen("::", 0) as listening:
        port = listening.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, port), timeout=5).close()


async def test_a_kill_in_the_middle_of_an_upload_leaves_whole_pieces_only(home: Path, tmp_path: Path) -> None:
    """Real socket, real SIGKILL: what was answered is there, what was not is whole or absent."""
    slot = parcel()
    pieces = [hashlib.shake_256(bytes([index])).digest(MAX_PIECE_BYTES) for index in range(6)]
    slot.pieces = pieces
    await begin(tmp_path / "data", slot)
    async with (
        running(home) as (process, ready),
        httpx.AsyncClient(base_url=ready["endpoint"], timeout=SECONDS) as http,
    ):
        signer = Asker(clock=Clock(time.time()), http=http)
        assert [(await signer.put(slot, index)).status_code for index in range(3)] == [200, 201, 201]
        uploads = [asyncio.create_task(signer.put(slot, index)) for index in range(3, 6)]
        await asyncio.sleep(0.005)
        process.kill()
        await process.wait()
        await asyncio.gather(*uploads, return_exceptions=True)
    async with open_farm(tmp_path / "data") as farm:
        held = farm.node.store.pieces(slot.key)
        assert {0, 1, 2} <= set(held)
        for index, piece in held.items():
            assert piece.root == merkle_root(pieces[index])
            assert farm.node.store.read_verified(slot.key, index) == pieces[index]
        assert farm.node.capacity.used_bytes == len(held) * MAX_PIECE_BYTES


async def test_pieces_go_in_and_out_over_a_real_socket(home: Path, tmp_path: Path) -> None:
    slot = parcel()
    await begin(tmp_path / "data", slot)
    async with running(home) as (_, ready), httpx.AsyncClient(base_url=ready["endpoint"]) as http:
        signer = Asker(clock=Clock(time.time()), http=http)
        await signer.upload(slot)
        listed = await signer.get(slot, "/pieces")
        roots = {str(index): root.hex() for index, root in enumerate(slot.roots)}
        assert listed.json() == {"roots": roots, "count": len(slot.roots)}
        refused = await signer.put(slot, 0, body=bytes(2 * MAX_PIECE_BYTES))
        assert refused.status_code == 413
        other = bytes(PIECE_BYTES)
        wrong = await signer.put(slot, 1, body=other, announced=merkle_root(other))
        assert wrong.status_code == 409
        assert (await signer.accept(slot)).status_code == 503


def test_status_works_without_chain_and_before_the_first_run(home: Path) -> None:
    shown = run("status", "--home", home, "--json")
    assert shown.exit_code == 0
    status = json.loads(shown.stdout)
    assert (status["farmer"], status["stored_bytes"], status["unclaimed"]) == (7, 0, None)
    assert "no chain endpoint" in status["chain_error"]
    table = run("status", "--home", home)
    assert table.exit_code == 0
    assert "Farmer 7" in table.stdout
    assert (status["strikes"], status["lapsed_from_epoch"]) == (None, None)
    # Only the chain knows how many epochs were missed: 0 would be a guess.
    assert status["misses"] is None
    assert "missed: unknown" in table.stdout
    # Amounts are larger than what many readers of JSON take for whole numbers.
    assert (status["earned"], status["committed_rate"], status["stake"]) == ("0", "0", None)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("status", "--home", "/nonexistent"), 3, "grange farm init"),
        (("run", "--home", "/nonexistent"), 3, "grange farm init"),
        (("withdraw",), 8, "Nothing was lost"),
        (("unstake",), 8, "Nothing was lost"),
        (("rotate-key",), 8, "Nothing was lost"),
        (("update", "--price", "2"), 8, "Nothing was lost"),
        (("withdraw", "--amount", "lots"), 2, "not an amount"),
        (("update",), 2, "give at least one of --price"),
        (("update", "--capacity", "much"), 2, "is not a size"),
        (("update", "--endpoint", "nowhere"), 3, "http://host:port"),
        (("run", "--listen", "127.0.0.1:99999"), 3, "is not an endpoint"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_errors_say_what_to_do_and_have_their_exit_code(
    home: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    if arguments[0] != "nonsense" and "--home" not in arguments:
        arguments = (*arguments, "--home", str(home))
    done = run(*arguments)
    assert done.exit_code == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_farm_whose_ledger_is_gone_ends_with_words(home: Path, tmp_path: Path) -> None:
    async with running(home) as (process, _):
        (tmp_path / "data" / LEDGER_NAME).unlink()
        assert process.stderr is not None
        said = (await asyncio.wait_for(process.stderr.read(), SECONDS)).decode()
        assert await process.wait() == ExitCode.FILES
    assert "The data folder" in said
    assert "Start the farm again" in said
    assert "Traceback" not in said

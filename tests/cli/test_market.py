"""`grange market`: what is refused, and that parameters which no preset has are put into words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner, Result

from grange.chain import Timeouts, Wallet
from grange.chain.chain_probe import Finding
from grange.chain.network_file import write_network
from grange.chain.presets import PRESETS
from grange.chain.rpc import Rpc
from grange.cli import market
from grange.cli.exit_codes import ExitCode
from grange.cli.market import PresetName, app
from grange_client.cli.app import app as client
from grange_devnet import DEVNET_PARAMETERS, Devnet
from grange_devnet.engines import DEV_ADDRESS, DEV_KEY

TOKEN = Wallet.random().address


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, [str(one) for one in arguments])


def key_file(folder: Path, key: bytes = DEV_KEY, mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_text(key.hex())
    path.chmod(mode)
    return path


@contextmanager
def devnet_file(folder: Path, **changes: Any) -> Iterator[tuple[Devnet, Path]]:
    """A devnet that other threads can ask, and its network's file."""
    runner = asyncio.Runner()
    devnet = Devnet.start(parameters=replace(DEVNET_PARAMETERS, **changes))
    running = runner.run(devnet.__aenter__())
    try:
        write_network(folder / "devnet.json", running.network)
        yield running, folder / "devnet.json"
    finally:
        runner.run(devnet.__aexit__(None, None, None))
        runner.close()


def test_the_presets_are_those_that_there_are() -> None:
    assert get_args(PresetName) == tuple(PRESETS)
    shown = run("presets")
    assert shown.exit_code == 0
    assert all(name in shown.stdout for name in PRESETS)


@pytest.mark.parametrize(
    "options",
    [
        ["--preset", "rollup"],
        ["--preset", "rollup", "--rpc", "http://127.0.0.1:1"],
        ["--preset", "cheap", "--rpc", "http://127.0.0.1:1", "--token", TOKEN],
    ],
)
def test_half_of_what_deploying_needs_is_wrong_usage(tmp_path: Path, options: list[str]) -> None:
    assert run("deploy", "--key-file", key_file(tmp_path), *options).exit_code == ExitCode.USAGE


def test_what_is_wrong_with_the_networks_file_is_said_before_anything_is_paid(tmp_path: Path) -> None:
    """Its name, its endpoints, and where it is to be written."""
    with devnet_file(tmp_path) as (devnet, _):
        before = asyncio.run(_nonce(devnet))
        deploying = ["deploy", "--preset", "test", "--key-file", key_file(tmp_path), "--yes"]
        there, mine = ["--rpc", devnet.rpc_url], ["--output", tmp_path / "mine.json"]
        named = run(*deploying, *there, *mine, "--name", "My Town")
        assert (named.exit_code, "--name: " in named.stderr) == (ExitCode.SETUP, True), named.output
        twice = run(*deploying, *there, *there, *mine)
        assert (twice.exit_code, "given twice" in twice.stderr) == (ExitCode.SETUP, True), twice.output
        nowhere = run(*deploying, *there, "--output", tmp_path / "none" / "mine.json")
        assert nowhere.exit_code == ExitCode.USAGE, nowhere.output
        assert asyncio.run(_nonce(devnet)) == before


async def _nonce(devnet: Devnet) -> int:
    async with Rpc(devnet.rpc_url, Timeouts()) as rpc:
        return int(await rpc.call("eth_getTransactionCount", DEV_ADDRESS, "latest"), 16)


def test_what_an_endpoint_says_does_nothing_to_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unfit(_: object) -> list[Finding]:
        return [Finding(what="events", is_right=False, text="refused: \x1b]0;mine\x07\x1b[2J")]

    monkeypatch.setattr(market, "probe_chain", unfit)
    deploying = ["deploy", "--preset", "test", "--rpc", "http://127.0.0.1:1", "--output", tmp_path / "mine"]
    refused = run(*deploying, "--key-file", key_file(tmp_path), "--yes")
    assert refused.exit_code == ExitCode.WRONG_CHAIN, refused.output
    assert "refused: ?]0;mine" in refused.stdout
    assert "\x1b" not in refused.output


def test_a_key_that_others_can_read_or_that_is_none_is_refused_and_not_shown(tmp_path: Path) -> None:
    deploying = ("deploy", "--preset", "test", "--rpc", "http://127.0.0.1:1", "--key-file")
    shared = run(*deploying, key_file(tmp_path, mode=0o644))
    assert (shared.exit_code, "chmod 600" in shared.stderr) == (ExitCode.SETUP, True)
    broken = run(*deploying, key_file(tmp_path, key=b"\xff" * 32))
    assert broken.exit_code == ExitCode.SETUP
    assert "ffff" not in broken.output
    assert run(*deploying, tmp_path / "none").exit_code == ExitCode.SETUP


def test_parameters_that_no_preset_has_are_explained_and_nothing_is_deployed_twice_into_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with devnet_file(tmp_path, epoch_blocks=100, max_misses=3) as (devnet, file):
        verified = run("verify", "--network", file)
        assert verified.exit_code == 0, verified.output
        assert "are not those of a preset. Beside test" in verified.stdout
        assert "epoch_blocks is 100, not 10. Epochs are longer" in verified.stdout
        assert "max_misses is 3, not 4. A farmer is out after fewer misses" in verified.stdout
        told = CliRunner().invoke(client, ["init", "--network", str(file), "--home", str(tmp_path / "home")])
        assert told.exit_code == 0, told.output
        assert "epoch_blocks is 100, not 10, max_misses is 3, not 4" in told.stderr
        described = run("describe", "--network", file)
        assert described.exit_code == 0
        for said in ("Epochs are longer", devnet.market, "GRNG, 18 decimals", "MarketSlots"):
            assert said in described.stdout

        deploying = ("deploy", "--preset", "test", "--rpc", devnet.rpc_url, "--key-file")
        mine = tmp_path / "mine.json"
        poor = run(*deploying, key_file(tmp_path, key=bytes([7]) * 32), "--output", mine, "--yes")
        assert poor.exit_code == ExitCode.MONEY, poor.output
        not_agreed = run(*deploying, key_file(tmp_path), "--output", mine)
        assert not_agreed.exit_code == ExitCode.DECLINED, not_agreed.output

        async def unfit(_: object) -> list[Finding]:
            return [Finding(what="gas", is_right=False, text="5 in a block")]

        monkeypatch.setattr(market, "probe_chain", unfit)
        refused = run(*deploying, key_file(tmp_path), "--output", mine, "--yes")
        assert refused.exit_code == ExitCode.WRONG_CHAIN, refused.output
        assert "Gas: 5 in a block." in " ".join(refused.stderr.split())
        assert not mine.exists()
        monkeypatch.undo()

        secret = f"{devnet.rpc_url}/KEY"
        deployed = run(
            "deploy",
            "--preset",
            "test",
            "--rpc",
            secret,
            "--key-file",
            key_file(tmp_path),
            "--output",
            mine,
            "--yes",
        )
        assert deployed.exit_code == 0, deployed.output
        assert mine.stat().st_mode & 0o777 == 0o600
        assert "put public endpoints into it first" in deployed.stdout

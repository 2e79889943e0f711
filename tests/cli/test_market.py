"""`grange market`: what is refused, and that parameters which no preset has are put into words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner, Result

from grange.chain import ChainUnavailable, Sender, Timeouts, Wallet
from grange.chain.chain_probe import Finding
from grange.chain.key_file import key_from_file
from grange.chain.network_file import read_network, write_network
from grange.chain.presets import PRESETS
from grange.chain.rpc import Rpc
from grange.cli import market
from grange.cli.exit_codes import ExitCode
from grange.cli.market import PresetName, app
from grange.keystore.passphrases import Passphrases
from grange.types import Address
from grange_client.cli.app import app as client
from grange_devnet import DEVNET_PARAMETERS, Devnet
from grange_devnet.engines import DEV_ADDRESS, DEV_KEY
from grange_devnet.tokens import TokenName

TOKEN = Wallet.random().address


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, [str(one) for one in arguments])


def key_file(folder: Path, key: bytes = DEV_KEY, mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_text(key.hex())
    path.chmod(mode)
    return path


@contextmanager
def devnet_file(
    folder: Path,
    *,
    token: TokenName = "plain",  # noqa: S107
    blocked: Sequence[Address] = (),
    **changes: Any,
) -> Iterator[tuple[Devnet, Path]]:
    """A devnet that other threads can ask, and its network's file. Its token may block accounts."""
    runner = asyncio.Runner()
    devnet = Devnet.start(parameters=replace(DEVNET_PARAMETERS, **changes), token=token)
    running = runner.run(devnet.__aenter__())
    try:
        for account in blocked:
            runner.run(running.block(account))
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


def test_a_token_is_made_or_named_and_not_both(tmp_path: Path) -> None:
    with devnet_file(tmp_path) as (devnet, _):
        there = ["--rpc", devnet.rpc_url, "--key-file", key_file(tmp_path), "--preset", "rollup", "--yes"]
        none = run("deploy", *there, "--output", tmp_path / "a.json")
        assert (none.exit_code, "--new-token" in none.output) == (ExitCode.USAGE, True)
        both = run("deploy", *there, "--output", tmp_path / "a.json", "--new-token", "--token", TOKEN)
        assert both.exit_code == ExitCode.USAGE
        made = run("deploy", *there, "--output", tmp_path / "made.json", "--new-token")
        assert made.exit_code == 0, made.output
        assert "Its parameters are those of the preset rollup" in made.stdout
        assert read_network(tmp_path / "made.json").token is not None


def test_a_key_is_made_once_and_its_address_shown(tmp_path: Path) -> None:
    """Behind a passphrase, or in clear if that is said; where nobody can be asked, one of both is wanted."""
    path, word = tmp_path / "club.key", tmp_path / "word"
    word.write_text("correct horse\n")
    asked = run("address", "--key-file", path)
    assert asked.exit_code == ExitCode.SETUP
    assert not path.exists()
    made = run("address", "--key-file", path, "--passphrase-file", word)
    assert made.exit_code == 0, made.output
    before = path.read_bytes()
    again = run("address", "--key-file", path)
    assert (again.stdout, path.read_bytes()) == (made.stdout, before)
    assert key_from_file(path, Passphrases(files=[word])).address == made.stdout.strip()


def test_members_are_given_tokens_and_gas_tokens(tmp_path: Path) -> None:
    """Each gets the same, and is shown with what it has then; nothing is sent that cannot be given to all,
    and nothing unless somebody agrees."""
    ann, bob = (Wallet.random().address for _ in range(2))
    with devnet_file(tmp_path) as (devnet, file):
        giving = ["give", "--network", file, "--key-file", key_file(tmp_path)]
        done = run(*giving, ann, bob, "--tokens", "2.5", "--gas-tokens", "0.5", "--yes", "--json")
        assert done.exit_code == 0, done.output
        expected = {"tokens": str(25 * 10**17), "gas_wei": str(5 * 10**17)}
        assert json.loads(done.stdout) == [{"address": one} | expected for one in (ann, bob)]
        said = run(*giving, ann, "--gas-tokens", "0.5", "--yes")
        assert f"{ann} now has 2.5 GRNG and 1 gas tokens" in said.stdout
        before = asyncio.run(_nonce(devnet))
        for wrong, code in (
            ([ann], ExitCode.USAGE),
            ([ann, ann, "--tokens", "1"], ExitCode.USAGE),
            ([ann, "--gas-tokens", "some"], ExitCode.USAGE),
            ([ann, bob, "--tokens", "600000000"], ExitCode.MONEY),
            ([ann, "--gas-tokens", "1000000000"], ExitCode.MONEY),
        ):
            refused = run(*giving, *wrong, "--yes")
            assert (refused.exit_code, refused.exception is None or code) == (code, code), refused.output
        assert run(*giving, ann, "--tokens", "1").exit_code == ExitCode.DECLINED
        assert asyncio.run(_nonce(devnet)) == before


def test_a_receiver_that_the_token_blocks_gets_nothing_and_who_was_paid_is_said(tmp_path: Path) -> None:
    """With --json one value, which names all who lack something; who was paid is on the other stream."""
    ann, bob, cyd = (Wallet.random().address for _ in range(3))
    with devnet_file(tmp_path, token="usdc-like", blocked=[bob]) as (devnet, file):
        giving = ["give", "--network", file, "--key-file", key_file(tmp_path), "--yes"]
        giving += ["--tokens", "1", "--gas-tokens", "0.5"]
        ended = run(*giving, ann, bob, cyd, "--json")
        assert ended.exit_code == ExitCode.REFUSED, ended.output
        error = json.loads(ended.stdout)["error"]
        assert error["failures"] == dict.fromkeys((bob, cyd), "has got nothing")
        assert "get it again if you repeat this" in error["detail"]
        assert f"{ann} now has 1 " in ended.stderr
        assert [asyncio.run(_gas_wei(devnet, one)) for one in (ann, bob, cyd)] == [5 * 10**17, 0, 0]
        first = run(*giving, bob, cyd, "--json")
        assert json.loads(first.stdout)["error"]["failures"] == {}, (
            "nothing was sent, so nothing is said of it"
        )


def test_a_giver_that_stops_between_tokens_and_gas_tokens_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Wallet.random().address

    async def fail(*_: object) -> None:
        raise ChainUnavailable("http://chain.example", "connection reset")

    monkeypatch.setattr(Sender, "transfer_native", fail)
    with devnet_file(tmp_path) as (_, file):
        giving = ["give", "--network", file, "--key-file", key_file(tmp_path), "--yes", "--json"]
        ended = run(*giving, ann, "--tokens", "1", "--gas-tokens", "1")
    assert ended.exit_code == ExitCode.CHAIN
    assert json.loads(ended.stdout)["error"]["failures"] == {ann: "has got its tokens, and no gas tokens"}


def test_the_fees_of_giving_are_kept_back_before_anybody_gets_anything(tmp_path: Path) -> None:
    """All gas tokens can't be given; who has none is told so, also where it gives tokens alone."""
    ann, bob = (Wallet.random().address for _ in range(2))
    poor = Wallet.random()
    with devnet_file(tmp_path) as (devnet, file):
        assert (
            run(
                "give",
                "--network",
                file,
                "--key-file",
                key_file(tmp_path),
                poor.address,
                "--tokens",
                "5",
                "--yes",
            ).exit_code
            == 0
        )
        half = asyncio.run(_gas_wei(devnet, DEV_ADDRESS)) // 2
        giving = ["give", "--network", file, "--yes", "--key-file"]
        # A little less than half: what is left pays for one transaction, and not for two.
        half -= 21_000 * 10**9
        whole, rest = divmod(half, 10**18)
        refused = run(*giving, key_file(tmp_path), ann, bob, "--gas-tokens", f"{whole}.{rest:018}")
        assert refused.exit_code == ExitCode.MONEY, refused.output
        assert "the chain's fees for that may come to" in refused.stderr
        refused = run(*giving, key_file(tmp_path, poor.private_key), ann, "--tokens", "1")
        assert refused.exit_code == ExitCode.MONEY, refused.output
        assert "has 0 gas tokens; the chain's fees" in refused.stderr
        assert "Send gas tokens to this account first" in refused.stderr
        assert asyncio.run(_gas_wei(devnet, ann)) == 0


async def _gas_wei(devnet: Devnet, address: str) -> int:
    async with Rpc(devnet.rpc_url, Timeouts()) as rpc:
        return int(await rpc.call("eth_getBalance", address, "latest"), 16)

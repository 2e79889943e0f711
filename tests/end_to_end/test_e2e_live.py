"""From a chain without a market to files that come back: all by commands, as docs/live.md says it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from e2e_command import grange
from e2e_tree import odd_tree

from grange.chain import Sender, Timeouts, Wallet
from grange.chain.deploying import unmarketed
from grange.chain.network_file import open_network, read_network
from grange.chain.rpc import Rpc
from grange.cli.exit_codes import ExitCode
from grange.types import Address
from grange_client.keys.recovery_card import RecoveryCard
from grange_devnet import DEVNET_PARAMETERS, Devnet, EngineName
from grange_devnet.engines import DEV_KEY, EngineOptions, RunningEngine, run_engine
from grange_devnet.fleet import Fleet
from grange_devnet.tokens import deploy_devnet_token
from stories.compare import differences

FARMERS = 3

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def fresh_chain(engine: EngineName) -> AsyncIterator[RunningEngine]:
    """Without a market; anvil's by Osaka's rules."""
    options = EngineOptions(engine=engine, hardfork="osaka" if engine == "anvil" else "prague")
    async with run_engine(options) as running:
        yield running


@asynccontextmanager
async def as_devnet(engine: RunningEngine, file: Path) -> AsyncIterator[Devnet]:
    """A faucet, and blocks when they are wanted, on a chain whose market was deployed by command."""
    async with (
        open_network(read_network(file)) as (chain, network),
        Rpc(engine.url, Timeouts(request_seconds=60.0, retries=0)) as control,
    ):
        yield Devnet(engine, chain, control, network)


async def test_a_market_is_deployed_verified_and_used_by_network_file_and_card(
    engine: EngineName, tmp_path: Path
) -> None:
    key, file = tmp_path / "key", tmp_path / "town.json"
    key.write_text(DEV_KEY.hex())
    key.chmod(0o600)
    async with fresh_chain(engine) as running:
        deploying = ("market", "deploy", "--rpc", running.url, "--preset", "test", "--name", "town")
        made = await grange(*deploying, "--key-file", key, "--output", file, "--yes")
        assert made.code == 0, made
        assert DEV_KEY.hex() not in made.out + made.err + file.read_text()
        again = await grange(*deploying, "--key-file", key, "--output", file, "--yes")
        assert again.code == ExitCode.USAGE, again
        verified = await grange("market", "verify", "--network", file)
        assert verified.code == 0, verified
        assert "is Grange's" in verified.out
        assert "those of the preset test" in verified.out
        shown = (await grange("market", "describe", "--network", file, "--json")).json
        assert (shown["preset"], shown["differences"]) == ("test", [])
        wrong = tmp_path / "wrong.json"
        wrong.write_text(json.dumps(json.loads(file.read_text()) | {"market": shown["token"]["address"]}))
        refused = await grange("market", "verify", "--network", wrong)
        assert refused.code == ExitCode.WRONG_CHAIN, refused
        async with (
            as_devnet(running, file) as devnet,
            Fleet.start(devnet, FARMERS, tmp_path / "farms") as fleet,
        ):
            await use(devnet, file, tmp_path)
            if engine == "anvil":
                await one_byte_of_its_code_is_another(devnet, file, tmp_path, fleet.farmers[0].home)


async def test_the_presets_of_live_chains_are_deployed_with_a_token_that_is_there(
    engine: EngineName, tmp_path: Path
) -> None:
    """As docs/live.md has the command, with a token of six decimals, and used with epochs of a day."""
    key = tmp_path / "key"
    key.write_text(DEV_KEY.hex())
    key.chmod(0o600)
    async with fresh_chain(engine) as running:
        token = await usdc_like(running)
        for preset in ("mainnet", "rollup"):
            file = tmp_path / f"{preset}.json"
            made = await grange(
                *("market", "deploy", "--rpc", running.url, "--key-file", key, "--token", token),
                *("--preset", preset, "--name", "town", "--output", file, "--yes"),
            )
            assert made.code == 0, made
            verified = await grange("market", "verify", "--network", file)
            assert verified.code == 0, verified
            assert f"those of the preset {preset}" in verified.out
            shown = (await grange("market", "describe", "--network", file, "--json")).json
            assert (shown["preset"], shown["differences"]) == (preset, [])
            assert (shown["token"]["address"], shown["token"]["decimals"]) == (token, 6)
            assert shown["parameters"]["min_stake"] == str(2 * 10**6)
            assert shown["parameters"]["collateral_epochs"] == "30"
        async with (
            as_devnet(running, file) as devnet,
            Fleet.start(devnet, FARMERS, tmp_path / "farms"),
        ):
            await use(devnet, file, tmp_path, tokens=1_000 * 10**6)


async def usdc_like(running: RunningEngine) -> Address:
    """A token on a chain that has no market yet, all of it the account's that will deploy one."""
    async with Rpc(running.url, Timeouts(request_seconds=60.0)) as rpc:
        chain_id = int(await rpc.call("eth_chainId"), 16)
        sender = Sender(unmarketed(rpc, chain_id, DEVNET_PARAMETERS), Wallet(DEV_KEY))
        return await deploy_devnet_token(sender, "usdc-like")


async def use(devnet: Devnet, file: Path, folder: Path, tokens: int = 10**20) -> None:
    """Store by the network's file, and get it back on a new computer by the card alone."""
    home, source = folder / "home", odd_tree(folder / "source", seed=14)
    told = await grange("init", "--network", file, "--home", home)
    assert told.code == 0, told
    card = RecoveryCard.parse(told.out)
    assert (card.network.name, card.network.first_block) == ("town", devnet.network.first_block)
    address = (await grange("balance", "--json", "--home", home)).json["address"]
    await devnet.faucet(address, tokens=tokens)
    put = await grange("orders", "put", source, "--yes", "--k", 2, "--n", FARMERS, "--json", "--home", home)
    assert put.json["n"] == FARMERS
    new = folder / "new computer"
    by_card = await grange("init", "--card", "-", "--home", new, typed=told.out)
    assert by_card.code == 0, by_card
    got = await grange("orders", "get", "source", folder / "back", "--json", "--home", new)
    assert got.json["files"] == put.json["files"]
    assert differences(source, folder / "back" / "source") == []
    drill = await grange("keys", "card", "--check", "-", "--home", new, typed=told.out)
    assert drill.code == 0, drill


async def one_byte_of_its_code_is_another(devnet: Devnet, file: Path, folder: Path, farm: Path) -> None:
    """In each part: nobody verifies it, nobody begins to use it, and who used it is told before money moves.
    Put right, it is as before."""
    rpc, repairer = devnet.chain.rpc, folder / "repairer"
    assert (await grange("repair", "init", "--network", file, "--home", repairer)).code == 0
    for part in (*await devnet.chain.read("parts"), devnet.market):
        code = await rpc.call("eth_getCode", part, "latest")
        middle = len(code) // 2
        other = "0" if code[middle] != "0" else "1"
        await rpc.call("anvil_setCode", part, code[:middle] + other + code[middle + 1 :])
        try:
            refused = await grange("market", "verify", "--network", file)
            for begun_before in (
                ("balance", "--home", folder / "home"),
                ("farm", "withdraw", "--home", farm),
                ("repair", "run", "--home", repairer),
            ):
                told = await grange(*begun_before)
                assert told.code == ExitCode.WRONG_CHAIN, told
                assert f"the code at {part} is not what it was" in told.err.lower().replace(
                    part.lower(), part
                ), told
        finally:
            await rpc.call("anvil_setCode", part, code)
        assert refused.code == ExitCode.WRONG_CHAIN, refused
        assert f"at {part} is not that of this version" in refused.err
    assert (await grange("balance", "--home", folder / "home")).code == 0
    assert (await grange("init", "--network", file, "--home", folder / "another")).code == 0

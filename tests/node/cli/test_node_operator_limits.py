"""The owner limits what the operator's key can do alone; the farm and its renters see it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from test_node_devnet import STAKE, funded, plan_for, renters_slot, running
from typer.testing import CliRunner

from grange.chain import Wallet
from grange.types import NO_LIMIT
from grange.units import TOKEN
from grange_devnet import Devnet
from grange_node.cli.farm import app
from grange_node.cli.operator_limits import OperatorLimits, read_operator_limits, set_operator_limits
from grange_node.cli.registration import set_up
from grange_node.config import load_or_create_key, write_private
from grange_node.errors import NotOwner

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    async with Devnet.start() as running:
        yield running


async def test_a_farm_accepts_no_more_than_its_owner_lets_it_commit(devnet: Devnet, tmp_path: Path) -> None:
    home, owner = tmp_path / "home", await funded(devnet, Wallet.random(), 0)
    operator = await funded(devnet, load_or_create_key(home))
    config = (await set_up(home, plan_for(devnet, tmp_path, owner=owner.address))).config
    assert await read_operator_limits(config) == OperatorLimits(committed_stake=None, lost_stake=None)
    with pytest.raises(NotOwner, match="--owner-key"):
        await set_operator_limits(config, operator, lambda now: now)

    def none(_: OperatorLimits) -> OperatorLimits:
        return OperatorLimits(committed_stake=0, lost_stake=TOKEN)

    kept = await set_operator_limits(config, owner, none)
    assert kept == OperatorLimits(committed_stake=0, lost_stake=TOKEN)
    async with running(devnet, tmp_path, config) as farm:
        slot = await renters_slot(devnet, farm)
        await farm.upload(slot)
        refused = await farm.accept(slot)
        assert (refused.status_code, refused.json()["error"]) == (409, "stake_too_small")
        assert "owner" in refused.json()["message"]


async def test_the_command_sets_what_it_is_told_and_shows_the_rest(devnet: Devnet, tmp_path: Path) -> None:
    home, owner = tmp_path / "home", await funded(devnet, Wallet.random(), 0)
    await funded(devnet, load_or_create_key(home))
    config = (await set_up(home, plan_for(devnet, tmp_path, owner=owner.address))).config
    key_file = tmp_path / "cold.key"
    write_private(key_file, owner.private_key.hex())

    async def command(*options: str) -> str:
        arguments = ["limit-operator", "--home", str(home), *options]
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert done.exit_code == 0, done.output
        return " ".join(done.output.split())

    assert "commit all of the stake to slots, and give up any" in await command()
    epochs = devnet.chain.parameters.collateral_epochs
    half = f"{STAKE // TOKEN // 2}"
    assert "up to 49.99" in await command("--commit", half, "--owner-key", str(key_file))
    assert "up to 49.99" in await command("--give-up", "1", "--owner-key", str(key_file))
    farmer = await devnet.chain.farmer(config.farmer)
    assert farmer.loss_limit == TOKEN // epochs
    assert 0 <= STAKE // 2 // epochs - farmer.ceiling <= farmer.ceiling >> 17
    await command("--commit", "all", "--give-up", "all", "--owner-key", str(key_file))
    farmer = await devnet.chain.farmer(config.farmer)
    assert (farmer.ceiling, farmer.loss_limit) == (NO_LIMIT, NO_LIMIT)

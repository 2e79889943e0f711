"""`farm init` again: over a farm.json of another version, and with another cap on what is paid for gas."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from test_node_devnet import keep, plan_for, registered, running

from grange.errors import Misuse
from grange.units import GWEI
from grange_devnet import Devnet
from grange_node.cli.registration import set_up
from grange_node.config import CONFIG_NAME, load_config
from grange_node.errors import ConfigInvalid

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    async with Devnet.start() as running:
        yield running


async def test_what_the_hint_about_an_old_farm_json_says_loses_nothing(
    devnet: Devnet, tmp_path: Path
) -> None:
    """Moved away, and set up again with the same home and data folder: the same farmer, with its slot."""
    config = await registered(devnet, tmp_path)
    async with running(devnet, tmp_path, config) as farm:
        await keep(devnet, farm)
        await farm.node.follower.refresh()
    home = tmp_path / "home"
    path = home / CONFIG_NAME
    content = json.loads(path.read_text())
    del content["token"]
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigInvalid) as refused:
        load_config(home)
    assert "move it away, and repeat `grange farm init` with this home" in refused.value.hint
    path.rename(tmp_path / "farm.json.old")
    again = await set_up(home, plan_for(devnet, tmp_path))
    assert (again.registered_now, again.config.farmer_id) == (False, config.farmer_id)
    async with running(devnet, tmp_path, again.config) as farm:
        assert len(farm.node.ledger.entries(await devnet.chain.current_epoch())) == 1


async def test_a_cap_can_be_chosen_from_the_beginning_and_stays(devnet: Devnet, tmp_path: Path) -> None:
    """What is wrong with it is said before anything is sent."""
    with pytest.raises(Misuse, match="is not a price of gas"):
        await registered(devnet, tmp_path, max_fee_gwei="cheap")
    config = await registered(devnet, tmp_path, max_fee_gwei="30")
    assert config.fees.policy.max_fee_wei == 30 * GWEI
    for chosen, kept in ((None, 30), ("20", 20)):
        again = await set_up(tmp_path / "home", plan_for(devnet, tmp_path, max_fee_gwei=chosen))
        assert again.config.fees.policy.max_fee_wei == kept * GWEI
        assert load_config(tmp_path / "home").fees == again.config.fees

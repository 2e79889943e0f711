"""A farmer gets another operator key: in steps of which each can be the last, and without losing a key."""

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from test_node_devnet import funded, keep, next_epoch, plan_for, registered, renters_slot, running
from typer.testing import CliRunner

from grange.chain import TransactionReverted, Wallet
from grange.chain.key_file import key_from_file
from grange.types import Address
from grange_devnet import Devnet
from grange_node.audit.prover import Action
from grange_node.cli import key_rotation
from grange_node.cli.farm import app
from grange_node.cli.key_rotation import NEXT_KEY_NAME, rotate_key
from grange_node.cli.registration import set_up
from grange_node.config import load_key, load_or_create_key, load_owner_address, write_private
from grange_node.errors import AcceptancesOpen, FarmerForeign, NotFunded, NotOwner

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    async with Devnet.start() as running:
        yield running


async def test_the_new_key_accepts_proves_and_the_old_one_stays_the_owner(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = await registered(devnet, tmp_path)
    home = tmp_path / "home"
    old = load_key(home)
    gas_tokens = await devnet.chain.native_balance(old.address)
    done = await rotate_key(home, config, old)
    new = load_key(home)
    farmer = await devnet.chain.farmer(config.farmer)
    assert (done.operator, farmer.operator, farmer.owner) == (new.address, new.address, old.address)
    assert new.address != old.address
    assert done.kept == home / "owner.key"
    assert owner_address(home) == old.address
    assert not (home / NEXT_KEY_NAME).exists()
    for name in ("operator.key", "owner.key"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    assert await devnet.chain.native_balance(new.address) == gas_tokens // 2

    async with running(devnet, tmp_path, config) as farm:
        slot = await keep(devnet, farm)
        await next_epoch(devnet)
        assert await farm.step() is Action.PROVE
    # What is earned is the old key's, and is found without naming it.
    withdrawn = await asyncio.to_thread(CliRunner().invoke, app, ["withdraw", "--home", str(home)])
    assert withdrawn.exit_code == 0, withdrawn.output
    assert await devnet.chain.token_balance(old.address) >= slot.rate
    # And init, with the options as before, finds the same farmer.
    again = await set_up(home, plan_for(devnet, tmp_path))
    assert (again.registered_now, again.config.farmer) == (False, config.farmer)


async def test_the_owners_key_is_kept_though_another_key_has_its_name(devnet: Devnet, tmp_path: Path) -> None:
    """Without it nobody could ever change the farmer or take its money."""
    config = await registered(devnet, tmp_path)
    home = tmp_path / "home"
    old, stray = load_key(home), Wallet.random().private_key.hex()
    write_private(home / "owner.key", stray + "\n")
    done = await rotate_key(home, config, old)
    assert done.kept is not None
    assert key_from_file(done.kept).address == old.address
    assert (home / "owner.key").read_text().strip() == stray


def owner_address(home: Path) -> Address:
    kept = load_owner_address(home)
    assert kept is not None
    return kept


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("step", ["_give_gas", "Sender", "_keep_old", "_put_in_place", "move_file"])
async def test_a_rotation_that_was_killed_between_two_steps_is_finished_by_the_next(
    devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    config = await registered(devnet, tmp_path)
    home = tmp_path / "home"
    old = load_key(home)

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(key_rotation, step, killed)
        with pytest.raises(Killed):
            await rotate_key(home, config, old)
    # Whatever the chain says now, the key for it is here.
    new = Wallet(bytes.fromhex((home / NEXT_KEY_NAME).read_text().strip()))
    assert (await devnet.chain.farmer(config.farmer)).operator in (old.address, new.address)
    assert load_key(home).address == old.address
    done = await rotate_key(home, config, old)
    assert done.operator == new.address == (await devnet.chain.farmer(config.farmer)).operator
    assert load_key(home).address == new.address
    assert owner_address(home) == old.address
    assert not (home / NEXT_KEY_NAME).exists()


async def test_a_cold_owner_names_the_new_operator_with_its_own_key(devnet: Devnet, tmp_path: Path) -> None:
    home, owner = tmp_path / "home", await funded(devnet, Wallet.random(), 0)
    old = await funded(devnet, load_or_create_key(home))
    config = (await set_up(home, plan_for(devnet, tmp_path, owner=owner.address))).config
    with pytest.raises(NotOwner, match="--owner-key"):
        await rotate_key(home, config, old)
    assert load_key(home).address == old.address
    key_file = tmp_path / "cold.key"
    write_private(key_file, owner.private_key.hex())
    done = await asyncio.to_thread(
        CliRunner().invoke, app, ["rotate-key", "--home", str(home), "--owner-key", str(key_file)]
    )
    assert done.exit_code == 0, done.output
    assert "still owns" not in done.output
    assert (await devnet.chain.farmer(config.farmer)).operator == load_key(home).address
    kept = home / f"operator.key.old-{old.address[2:10].lower()}"
    assert str(kept) in done.output
    assert bytes.fromhex(kept.read_text().strip()) == old.private_key
    assert load_owner_address(home) is None


async def test_acceptances_of_the_old_key_are_waited_for_or_given_up_on_purpose(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = await registered(devnet, tmp_path)
    home = tmp_path / "home"
    old = load_key(home)
    async with running(devnet, tmp_path, config) as farm:
        slot = await renters_slot(devnet, farm)
        await farm.upload(slot)
        acceptance = (await farm.accept(slot)).json()
        with pytest.raises(AcceptancesOpen, match=f"1 slot, .* block {acceptance['deadline_block']}"):
            await rotate_key(home, config, old)
        assert (await devnet.chain.farmer(config.farmer)).operator == old.address
        await rotate_key(home, config, old, now=True)
        # This is what the refusal was about.
        with pytest.raises(TransactionReverted) as caught:
            await farm.place(slot, acceptance)
        assert caught.value.name == "AcceptanceForged"
        # The node still runs with the old key, and accepts nothing with it.
        await farm.node.follower.refresh()
        other = await renters_slot(devnet, farm, 1)
        await farm.upload(other)
        refused = await farm.accept(other)
        assert (refused.status_code, refused.json()["error"]) == (409, "terms_refused")


async def test_a_running_farm_is_to_be_restarted_and_the_owners_key_to_be_moved(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = await registered(devnet, tmp_path)
    async with running(devnet, tmp_path, config):
        done = await asyncio.to_thread(
            CliRunner().invoke, app, ["rotate-key", "--home", str(tmp_path / "home")]
        )
    assert done.exit_code == 0, done.output
    for said in ("Restart it", "Back up the new", "still owns the farmer", "If it was stolen"):
        assert said in done.output


async def test_a_lost_operator_key_is_replaced_by_its_owner(devnet: Devnet, tmp_path: Path) -> None:
    home, owner = tmp_path / "home", await funded(devnet, Wallet.random(), 0)
    await funded(devnet, load_or_create_key(home))
    config = (await set_up(home, plan_for(devnet, tmp_path, owner=owner.address))).config
    (home / "operator.key").unlink()
    with pytest.raises(NotFunded, match="new operator"):
        await rotate_key(home, config, owner)
    await devnet.faucet(key_from_file(home / NEXT_KEY_NAME).address)
    done = await rotate_key(home, config, owner)
    assert (done.kept, load_key(home).address) == (None, done.operator)


async def test_the_operator_of_somebody_elses_farmer_is_not_changed(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    home = tmp_path / "home"
    other = await registered(devnet, tmp_path / "other")
    with pytest.raises(FarmerForeign):
        await rotate_key(home, config.model_copy(update={"farmer_id": other.farmer_id}), load_key(home))


async def test_two_rotations_at_once_end_with_one_key_that_the_chain_names(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = await registered(devnet, tmp_path)
    home = tmp_path / "home"
    owner = load_key(home)
    done = await asyncio.gather(*(rotate_key(home, config, owner) for _ in range(2)))
    named = (await devnet.chain.farmer(config.farmer)).operator
    assert named == load_key(home).address
    assert sorted(one.operator == named for one in done) == [False, True]
    assert not (home / NEXT_KEY_NAME).exists()

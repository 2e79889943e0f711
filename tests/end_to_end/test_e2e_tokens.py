"""A market whose token has six decimals, a list of blocked accounts and no permits: stored, proven, paid, and
read back; and a contract wallet that rents there."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_command import grange
from e2e_town import Person, Town, fetched, stored
from e2e_tree import plain_file
from e2e_wallet import ContractWallet
from rich.console import Console

from grange.messages import address_of
from grange.types import Epoch
from grange_client.keys.config import load
from grange_client.orders.plan import StoreOptions
from grange_devnet import Devnet
from grange_devnet.engines import EngineName
from grange_devnet.fleet import FarmerProcess, Fleet
from stories.renewal import Renewal
from stories.spine import Spine
from stories.tale import Setting, Tale

FARMERS = 4
FEW_MB = 3_000_000
CODE = StoreOptions(k=2, n=4)
USDC = 10**6

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(engine: EngineName, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """With Osaka's rules where the engine has them."""
    folder = tmp_path_factory.mktemp(f"tokens-{engine}")
    rules = "osaka" if engine == "anvil" else "prague"
    async with (
        Devnet.start(engine=engine, token="usdc-like", hardfork=rules) as devnet,  # type: ignore[arg-type]
        Fleet.start(devnet, FARMERS, folder / "farmers") as fleet,
    ):
        yield Town(devnet, fleet, None, folder)  # type: ignore[arg-type]


async def rich(town: Town) -> Person:
    return await town.person(tokens=100 * USDC)


async def taken_out(farmer: FarmerProcess, *more: object) -> str:
    """What `grange farm withdraw` says."""
    ran = await grange("farm", "withdraw", "--home", farmer.home, *more)
    return f"{ran.code} {ran.out} {ran.err}".replace("\n", " ")


async def test_stored_proven_paid_and_read_back_and_a_blocked_farmer_stalls_nobody(
    town: Town, tmp_path: Path
) -> None:
    person = await rich(town)
    source = plain_file(tmp_path / "one.bin", FEW_MB, seed=51)
    planned = await grange("orders", "put", source, "--k", 2, "--n", 4, "--dry-run", "--home", person.home)
    assert planned.code == 0, planned
    assert "two: USDC knows no permits" in planned.out
    before = sum(await town.wealth(person.address))
    order = (await stored(person.config, source, CODE)).order
    assert await town.nonce(person.address) == 2, "the approval, and the order"
    assert before - sum(await town.wealth(person.address)) == order.cost > 0
    assert await town.chain.token_allowance(person.address) == 0

    blocked, *others = town.farmers
    await town.devnet.block(blocked.address)
    for _ in range(2):
        paid = await town.proven(await town.next_epoch(), town.farmers)
        assert set(paid) == {one.farmer for one in town.farmers}, "being blocked keeps nobody from proving"
    said = await taken_out(blocked)
    assert said.startswith("1")
    assert "its token did. It may have blocked this account" in said
    assert "--to ADDRESS" in said
    for one in others:
        assert (await taken_out(one)).startswith("0 Paid out ")
        assert await town.chain.token_balance(one.address) > 0
    elsewhere = address_of(bytes(31) + b"\x51")
    assert (await taken_out(blocked, "--to", elsewhere)).startswith("0 Paid out ")
    assert await town.chain.token_balance(elsewhere) > 0
    await town.devnet.block(blocked.address, blocked=False)

    back = await fetched(town.home_for(person.phrase), tmp_path / "back")
    assert (back / "one.bin").read_bytes() == source.read_bytes()


async def test_a_contract_wallet_stores_reads_and_is_repaid(town: Town, tmp_path: Path) -> None:
    """Its orders and what comes of them are its own; a device that it authorized once does the work."""
    helper = await rich(town)
    wallet = await ContractWallet.deploy(town, tokens=50 * USDC)
    limits = ("--per-epoch", 20, "--in-all", 20, "--epochs", 90)
    file = tmp_path / "device.delegate"
    new = ("keys", "delegate", "new", file, "--account", wallet.address, "--no-encryption")
    made = await grange(*new, *limits, "--home", helper.home)
    assert made.code == 0, made
    assert "grange keys wallet-calls --delegate" in made.out
    assert await town.nonce(helper.address) == 0, "it can authorize nobody for the wallet"
    taken = await grange("init", "--delegate", file, "--trust-market", "--home", tmp_path / "device")
    assert taken.code == 0, taken
    device = load(tmp_path / "device")
    key = device.identity.wallet.address
    await town.devnet.faucet(key, 10**18, 0)

    called = await wallet.call(helper.home, "--deposit", "30", "--delegate", key, *limits)
    assert called == ["approve", "deposit", "authorize"]
    assert await town.chain.vault(wallet.address) == 30 * USDC
    source = plain_file(tmp_path / "two.bin", FEW_MB, seed=52)
    order = (await stored(device, source, CODE)).order
    assert order.renter == wallet.address
    assert await town.chain.vault(wallet.address) == 30 * USDC - order.cost
    back = await fetched(device, tmp_path / "back")
    assert (back / "two.bin").read_bytes() == source.read_bytes()

    for one in town.farmers:
        await one.stop()
    await town.devnet.mine_to_epoch(order.end)
    closed = await grange("orders", "close", order.id.hex(), "--yes", "--home", device.home)
    assert closed.code == 0, closed
    vault = await town.chain.vault(wallet.address)
    assert vault > 30 * USDC - order.cost, "nobody proved: what was paid came back to the wallet's vault"
    whole = town.chain.unit.number(vault)
    assert await wallet.call(helper.home, "--announce", whole) == ["requestWithdrawal"]
    announced = await town.chain.withdrawal(wallet.address)
    assert announced is not None
    await town.devnet.mine_to_epoch(Epoch(announced.ready_epoch))
    assert await wallet.call(helper.home, "--take-out", wallet.address) == ["withdraw"]
    assert await town.chain.token_balance(wallet.address) == 20 * USDC + vault
    assert await town.chain.vault(wallet.address) == 0


@pytest.mark.long
@pytest.mark.parametrize("story", [Spine, Renewal])
async def test_the_stories_hold_with_a_token_like_usdc(
    engine: EngineName,
    story: type[Tale],
    tmp_path: Path,  # type: ignore[type-arg]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    plain_file(source / "one.bin", FEW_MB, seed=53)
    said = io.StringIO()
    setting = Setting(
        folder=tmp_path / "story",
        engine=engine,
        hardfork="osaka" if engine == "anvil" else "prague",
        directory=source,
        token="usdc-like",
    )
    setting.folder.mkdir()
    outcome = await story(setting, Console(file=said, width=100)).play()
    assert outcome.held, "\n".join([*outcome.failures, said.getvalue()])

"""Orders that live on by a mandate, with real farmers and real repairers, and nobody at the renter's."""

from __future__ import annotations

import asyncio
import filecmp
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_command import grange
from e2e_repair import new_repairer, repairing
from e2e_town import Town, fetched, stored
from e2e_tree import plain_file

from grange.chain import Wallet
from grange.cli.exit_codes import ExitCode
from grange.types import EXTENDED, Epoch, OrderId
from grange.units import TOKEN
from grange_client.orders.plan import StoreOptions
from grange_node.repair.repairer import Repairer

FARMERS = 5
FEW_MB = 3_000_000
MAX_BLOCKS = 40
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """A town whose farmers stay."""
    async with Town.open("py-evm", tmp_path_factory.mktemp("mandate"), FARMERS) as opened:
        yield opened


async def test_an_order_outlives_three_terms_with_no_renter_running(town: Town, tmp_path: Path) -> None:
    """One command gives the mandate. Two repairers extend the order three times, once each time; then it is
    found and fetched with the recovery phrase alone."""
    person = await town.person()
    source = plain_file(tmp_path / "one.bin", FEW_MB, seed=41)
    grid = town.chain.parameters.grid_epochs
    await proven_to(town, ((await town.chain.current_epoch()) // grid + 1) * grid)
    first = (await stored(person.config, source, StoreOptions(k=2, n=4, epochs=grid))).order
    assert (await grange("deposit", 20, "--home", person.home)).code == 0
    asked = await grange(
        "mandate", "give", "one.bin", "--epochs", 6 * grid, "--home", person.home, typed="n\n"
    )
    assert (asked.code, "gas tokens, out of the wallet, once" in asked.out) == (ExitCode.DECLINED, True)
    assert "up to 0 gas" not in asked.out
    options = (
        "--epochs",
        6 * grid,
        "--term-epochs",
        grid,
        "--fee",
        1,
        "--yes",
        "--json",
        "--home",
        person.home,
    )
    given = await grange("mandate", "give", "one.bin", *options)
    assert given.code == 0, given.err
    [listed] = (await grange("mandate", "list", "--json", "--home", person.home)).json
    assert (listed["number"], listed["orders"]) == (given.json["number"], [first.id.hex()])
    wallets = await new_repairer(town), await new_repairer(town)
    order, end = first.id, first.end
    async with (
        repairing(town, tmp_path / "one", wallets[0]) as one,
        repairing(town, tmp_path / "two", wallets[1]) as other,
    ):
        for _ in range(3):
            await proven_to(town, end - grid + 1)
            order, end = await extended(town, (one, other), order), Epoch(end + grid)
            shown = await town.chain.order(order)
            assert shown is not None
            assert (shown.end, shown.renter) == (end, first.renter)
    fees = [await town.chain.earnings(wallet.address) for wallet in wallets]
    assert sum(fees) == 3 * TOKEN
    back = await fetched(town.home_for(person.phrase), tmp_path / "back")
    assert await asyncio.to_thread(filecmp.cmp, back / "one.bin", source, shallow=False)


async def test_what_drains_a_vault_that_mandates_live_on_says_so(town: Town, tmp_path: Path) -> None:
    """Each command that takes from it or looks at it; and none of them where there is enough."""
    person = await town.person()
    source = plain_file(tmp_path / "two.bin", FEW_MB, seed=42)
    grid = town.chain.parameters.grid_epochs
    await stored(person.config, source, StoreOptions(k=2, n=4, epochs=grid))
    home, said = ("--home", person.home), "next extensions by mandate may cost"
    assert (await grange("deposit", 20, *home)).code == 0
    options = ("--epochs", 6 * grid, "--fee", 1, "--max-price", 1, "--yes", *home)
    assert (await grange("mandate", "give", "two.bin", *options)).code == 0
    look = (
        ("orders", "ls"),
        ("orders", "health"),
        ("orders", "get", "two.bin", tmp_path / "back", "--yes"),
        ("mandate", "list"),
    )
    for command in look:
        done = await grange(*command, *home)
        assert (done.code, said in done.err) == (0, False), done
    device = Wallet.random().address
    limits = ("--per-epoch", 20, "--in-all", 20, "--epochs", 99)
    authorized = await grange("keys", "delegate", "authorize", device, *limits, *home)
    assert (authorized.code, said in authorized.err) == (0, True), authorized
    announced = await grange("withdraw", 20, *home)
    assert (announced.code, said in announced.err) == (0, True), announced
    await proven_to(town, (await town.chain.head()).epoch + 3)
    assert (await grange("withdraw", *home)).code == 0
    for command in look:
        done = await grange(*command, *home)
        assert (done.code, said in done.err) == (0, True), done


async def extended(town: Town, repairers: Sequence[Repairer], order: OrderId) -> OrderId:
    """What extends an order, once a repairer has done it; a block is mined between two looks."""
    for _ in range(MAX_BLOCKS):
        await asyncio.gather(*(repairer.tick() for repairer in repairers))
        shown = await town.chain.order(order)
        assert shown is not None
        if shown.mandate == EXTENDED:
            head = (await town.chain.head()).number
            [found] = await town.chain.logs(0, head, ["OrderExtended"], {"previous": order})
            return OrderId(found.args["order"])
        await town.devnet.mine()
    raise AssertionError(f"not extended in {MAX_BLOCKS} blocks")


async def proven_to(town: Town, epoch: int) -> None:
    """Every epoch up to this one is proven by all."""
    while await town.chain.current_epoch() < epoch:
        await town.quiet()

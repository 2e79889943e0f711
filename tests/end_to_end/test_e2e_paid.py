"""Reads that cost money, from real farmers on a real contract, to the base unit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_command import Ran, grange
from e2e_gate import Gate
from e2e_town import Person, Town, eventually, stored
from e2e_tree import plain_file

from grange.chain import calls
from grange.messages import Domain
from grange.peer import PaymentChannels
from grange.types import FarmerId
from grange.units import TOKEN
from grange_client.orders.plan import StoreOptions
from grange_client.renter import CHANNELS_NAME
from grange_devnet import Devnet
from grange_devnet.engines import EngineName
from grange_devnet.fleet import FarmerProcess, Fleet, FleetOptions

FARMERS = 4
FEW_MB = 3_000_000
DEPOSIT = 40 * TOKEN
PRICE = FleetOptions(egress_price_tokens_per_gib="1000")
"""A file of FEW_MB costs each of two farmers more than the token at which they redeem."""
CODE = StoreOptions(k=2, n=4)

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(engine: EngineName, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """A town whose farmers sell reads."""
    folder = tmp_path_factory.mktemp(f"shop-{engine}")
    async with AsyncExitStack() as stack:
        devnet = await stack.enter_async_context(Devnet.start(engine=engine))
        gate = await stack.enter_async_context(Gate.before(devnet.rpc_url))
        fleet = await stack.enter_async_context(
            Fleet.start(devnet, FARMERS, folder / "farmers", options=PRICE)
        )
        yield Town(devnet, fleet, gate, folder)


@pytest_asyncio.fixture(loop_scope="session")
async def customer(shop: Town) -> Person:
    person = await shop.person()
    permit = await shop.chain.permit(person.wallet, DEPOSIT)
    await shop.sender(person.wallet).send(calls.deposit_with_permit(permit))
    return person


async def test_a_download_is_paid_and_redeemed(shop: Town, tmp_path: Path) -> None:
    """An empty vault and a limit that is too low are said before anything is paid; what is shown is what is
    taken, and all of it reaches the farmers."""
    person = await shop.person()
    source = plain_file(tmp_path / "one.bin", FEW_MB, seed=21)
    order = (await stored(person.config, source, CODE)).order
    vault = await shop.chain.vault(person.address)

    poor = await get(person, tmp_path / "no", "--yes")
    assert poor.code == 5
    assert "grange deposit" in poor.err
    assert (await grange("deposit", 40, "--home", person.home)).code == 0
    vault += 40 * TOKEN
    capped = await get(person, tmp_path / "no", "--max-price", "0.5")
    assert (capped.code, "0.5 GRNG that were allowed" in capped.err) == (5, True)
    assert not (tmp_path / "no" / "one.bin").exists()
    spent_in_vain = sum(signed(person).values())
    assert spent_in_vain <= TOKEN // 2

    asked = await get(person, tmp_path / "no", typed="n\n")
    assert (asked.code, "Reading costs about" in asked.err) == (15, True)
    done = await get(person, tmp_path / "back", "--json", "--yes")
    assert int(done.json["paid"]) + spent_in_vain == sum(signed(person).values())
    assert (tmp_path / "back" / "one.bin").read_bytes() == source.read_bytes()
    await until_redeemed(shop, person, vault)
    assert signed(person).keys() <= {slot.farmer for slot in order.slots}


async def test_downloads_side_by_side_pay_once_each(shop: Town, customer: Person, tmp_path: Path) -> None:
    """Two processes with one file of payment channels, from the same farmers."""
    source = plain_file(tmp_path / "one.bin", FEW_MB, seed=22)
    await stored(customer.config, source, CODE)
    vault = await shop.chain.vault(customer.address)
    both = await asyncio.gather(
        *(get(customer, tmp_path / f"back{turn}", "--json", "--yes") for turn in range(2))
    )
    assert sum(int(one.json["paid"]) for one in both) == sum(signed(customer).values())
    for turn in range(2):
        assert (tmp_path / f"back{turn}" / "one.bin").read_bytes() == source.read_bytes()
    await until_redeemed(shop, customer, vault)


async def test_what_a_farmer_sold_outlives_its_kill_and_a_renter_that_leaves(
    shop: Town, customer: Person, tmp_path: Path
) -> None:
    """Too little to be worth the gas, until the renter announces that it takes its money: then all of it is
    redeemed, by farmers that were killed in between."""
    source = plain_file(tmp_path / "one.bin", FEW_MB // 4, seed=23)
    order = (await stored(customer.config, source, CODE)).order
    vault = await shop.chain.vault(customer.address)
    assert (await get(customer, tmp_path / "back", "--yes")).code == 0
    assert 0 < max(signed(customer).values()) < TOKEN
    sellers = [shop.fleet.by_id(farmer) for farmer in signed(customer)]
    for seller in sellers:
        await seller.kill()
        await seller.start()
    assert await shop.chain.vault(customer.address) == vault
    assert (await grange("withdraw", 40, "--home", customer.home)).code == 0
    await until_redeemed(shop, customer, vault)
    announced = await shop.chain.withdrawal(customer.address)
    assert announced is not None
    await shop.devnet.mine_to_epoch(announced.ready_epoch)
    assert (await grange("withdraw", "--home", customer.home)).code == 0
    assert await shop.chain.vault(customer.address) == 0
    broke = await get(customer, tmp_path / "again", "--yes")
    assert (broke.code, "too small" in broke.err) == (5, True)
    assert await shop.chain.order(order.id) is not None


async def test_a_redemption_that_a_reorg_undoes_is_made_again(
    shop: Town, customer: Person, tmp_path: Path
) -> None:
    """Nothing else is under way then: what is undone here is lost, and what was sent behind it waits."""
    source = plain_file(tmp_path / "one.bin", FEW_MB, seed=24)
    await stored(customer.config, source, CODE)
    await shop.quiet()
    vault = await shop.chain.vault(customer.address)
    snapshot = await shop.devnet.snapshot()
    assert (await get(customer, tmp_path / "back", "--yes")).code == 0
    await until_redeemed(shop, customer, vault)
    await shop.devnet.revert(snapshot)
    assert await shop.chain.vault(customer.address) == vault
    await shop.devnet.mine(2)
    await until_redeemed(shop, customer, vault)


async def get(person: Person, target: Path, *options: object, typed: str = "") -> Ran:
    return await grange("orders", "get", "one.bin", target, *options, "--home", person.home, typed=typed)


def signed(person: Person) -> dict[FarmerId, int]:
    """What a renter signed away to each farmer in all."""
    network = person.config.network
    assert network.chain_id is not None
    domain = Domain(chain_id=network.chain_id, market=network.market)
    path = person.config.catalog_path.with_name(CHANNELS_NAME)
    with PaymentChannels.open(path, domain=domain, payer=person.address) as channels:
        return {farmer: channels.channel(farmer).standing for farmer in channels.totals()}


async def until_redeemed(shop: Town, person: Person, vault: int) -> None:
    """Wait until the contract has paid all that was signed; vault and earnings agree with it."""
    owed = signed(person)

    async def all_paid() -> bool:
        return await redeemed(shop, person, owed) == owed

    await eventually(all_paid, f"{owed} are redeemed")
    assert await shop.chain.vault(person.address) == vault - sum(owed.values())
    for farmer in owed:
        await _check_earnings(shop, shop.fleet.by_id(farmer))


async def redeemed(shop: Town, person: Person, farmers: Iterable[FarmerId]) -> dict[FarmerId, int]:
    return {farmer: await shop.chain.redeemed(farmer, person.address) for farmer in farmers}


async def _check_earnings(shop: Town, seller: FarmerProcess) -> None:
    """An owner has what its farmer proved and what it redeemed, and no more."""
    while True:
        head = await shop.chain.head()
        events = await shop.chain.logs(0, head.number, ["Proven", "Redeemed"], {"farmer": seller.farmer})
        earnings = await shop.chain.earnings(seller.address)
        if (await shop.chain.head()).hash == head.hash:
            break
    assert earnings == sum(event.args["amount"] for event in events)

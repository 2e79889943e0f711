"""A device with a key of its own stores and reads for an account, until its limit stops it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_command import Ran, grange
from e2e_town import Person, Town, eventually, fetched, stored
from e2e_tree import plain_file
from e2e_wallet import ContractWallet

from grange import messages
from grange.chain import Sender, TransactionReverted, Wallet, calls
from grange.token_unit import PLAIN_UNIT
from grange.types import Address, Epoch, Terms
from grange.units import TOKEN
from grange_client.errors import Unopened
from grange_client.keys.config import Config, load
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter
from grange_devnet import Devnet
from grange_devnet.engines import EngineName
from grange_devnet.fleet import Fleet, FleetOptions

FARMERS = 4
FEW_MB = 3_000_000
CODE = StoreOptions(k=2, n=4)
PRICE = FleetOptions(egress_price_tokens_per_gib="1000")

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(engine: EngineName, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """Farmers that sell reads."""
    folder = tmp_path_factory.mktemp(f"delegates-{engine}")
    async with (
        Devnet.start(engine=engine) as devnet,
        Fleet.start(devnet, FARMERS, folder / "farmers", options=PRICE) as fleet,
    ):
        yield Town(devnet, fleet, None, folder)  # type: ignore[arg-type]


async def cost_of(config: Config, source: Path) -> int:
    async with Renter.open(config) as renter:
        return (await renter.quote([source], CODE)).cost


async def device_of(town: Town, person: Person, folder: Path, per_epoch: int, in_all: int) -> Config:
    """A device's home, made and authorized by command, with gas of its own."""
    amounts = PLAIN_UNIT.number(per_epoch), PLAIN_UNIT.number(in_all)
    limits = ("--per-epoch", amounts[0], "--in-all", amounts[1], "--epochs", 90)
    file = folder.with_suffix(".delegate")
    new = ("keys", "delegate", "new", file, "--no-encryption", *limits, "--home", person.home)
    made = await grange(*new)
    assert made.code == 0, made
    taken = await grange("init", "--delegate", file, "--trust-market", "--home", folder)
    assert taken.code == 0, taken
    device = load(folder)
    await town.devnet.faucet(device.identity.wallet.address, 10**18, 0)
    return device


async def test_a_device_stores_until_its_limit_stops_it(town: Town, tmp_path: Path) -> None:
    """It has no phrase; what it stores is the account's, paid by its vault and opened by the phrase; then the
    client says that the limit is reached, and so does the market to one that asks it nevertheless."""
    person = await town.person()
    assert (await grange("deposit", 50, "--home", person.home)).code == 0
    source = plain_file(tmp_path / "one.bin", FEW_MB, seed=41)
    cost = await cost_of(person.config, source)
    device = await device_of(town, person, tmp_path / "device", 50 * TOKEN, cost + cost // 2)
    assert not (device.home / "recovery.txt").exists()
    vault = await town.chain.vault(person.address)

    order = (await stored(device, source, CODE)).order
    paid = vault - await town.chain.vault(person.address)
    shown = await town.chain.delegation(person.address, device.identity.wallet.address)
    assert (order.renter, shown.spent) == (person.address, paid)
    assert 0 < paid <= cost
    with_words = await fetched(town.home_for(person.phrase), tmp_path / "words")
    assert (with_words / "one.bin").read_bytes() == source.read_bytes()

    stopped = await grange("orders", "put", source, "--k", 2, "--n", 4, "--yes", "--home", device.home)
    assert (stopped.code, "This device may spend" in stopped.err) == (5, True), stopped
    with pytest.raises(TransactionReverted) as refused:
        await place_beyond(town, device, shown.left_for_orders + 1)
    assert refused.value.name == "DelegateLimitExceeded"
    again = await town.chain.delegation(person.address, device.identity.wallet.address)
    assert again.spent == paid

    shown_there = (await grange("balance", "--json", "--home", device.home)).json
    assert shown_there["limit"] == str(shown.left_for_orders)
    listed = (await grange("keys", "delegate", "list", "--json", "--home", person.home)).json
    assert [(one["delegate"], int(one["spent"])) for one in listed] == [
        (device.identity.wallet.address, paid)
    ]


async def place_beyond(town: Town, device: Config, amount: int) -> None:
    """An order of one slot that costs so much, as the farmer's operator would sign it."""
    farmer = town.farmers[0]
    clock = await town.chain.head()
    grid = town.chain.parameters.grid_epochs
    end = Epoch((clock.epoch // grid + 2) * grid)
    wallet = device.identity.wallet
    account = device.identity.account
    salt = bytes(31) + b"\x01"
    accepted = messages.sign_acceptance(
        town.chain.domain,
        town.operator(farmer).private_key,
        messages.AcceptanceMessage(
            order=messages.order_id(account, salt, sender=wallet.address),
            farmer=farmer.farmer,
            slot=0,
            root=bytes(32),
            leaf_count=1,
            rate=-(-amount // (end - clock.epoch - 2)),
            end=end,
            deadline_block=clock.number + 50,
        ),
    )
    terms = Terms(salt=salt, end=end, leaf_count=1, piece_leaves=1, k=1)
    await Sender(town.chain, wallet).send(calls.place(terms, [accepted], account=account))


async def test_what_a_device_reads_is_paid_by_the_account_and_counts(town: Town, tmp_path: Path) -> None:
    """Farmers take its vouchers, which are redeemed from the account's vault and count against its limit; one
    that was revoked reads nothing any more, and is told so."""
    person = await town.person()
    assert (await grange("deposit", 60, "--home", person.home)).code == 0
    source = plain_file(tmp_path / "one.bin", FEW_MB, seed=42)
    device = await device_of(town, person, tmp_path / "device", 40 * TOKEN, 40 * TOKEN)
    own = device.identity.wallet.address
    cost = (await stored(device, source, CODE)).order.cost
    done = await grange(
        "orders", "get", "one.bin", tmp_path / "back", "--yes", "--json", "--home", device.home
    )
    assert int(done.json["paid"]) > 0
    assert (tmp_path / "back" / "one.bin").read_bytes() == source.read_bytes()

    async def redeemed() -> bool:
        found = [await town.chain.redeemed(one.farmer, person.address, own) for one in town.farmers]
        shown = await town.chain.delegation(person.address, own)
        return 0 < sum(found) == shown.spent - cost

    await eventually(redeemed, "the device's vouchers are redeemed")
    assert all([await town.chain.redeemed(one.farmer, person.address) == 0 for one in town.farmers])

    revoked = await grange("keys", "delegate", "revoke", own, "--home", person.home)
    assert revoked.code == 0, revoked
    stopped: Ran = await grange("orders", "put", source, "--k", 2, "--n", 4, "--yes", "--home", device.home)
    assert (stopped.code, "This device may spend 0 GRNG" in stopped.err) == (5, True), stopped


async def test_a_device_has_to_do_with_its_own_orders_alone(town: Town, tmp_path: Path) -> None:
    """It lists, reads and looks after what it stored, after its home was lost too; what the account or
    another device stored it neither sees nor opens. The account has it all, on a new computer too."""
    person = await town.person()
    assert (await grange("deposit", 60, "--home", person.home)).code == 0
    files = {name: plain_file(tmp_path / name, FEW_MB, seed=43 + n) for n, name in enumerate(("a", "b", "c"))}
    devices = [
        await device_of(town, person, tmp_path / name, 15 * TOKEN, 15 * TOKEN) for name in ("one", "two")
    ]
    placed = [
        (await stored(config, files[name], CODE)).order
        for config, name in zip((person.config, *devices), files, strict=True)
    ]
    device = devices[0]
    again = tmp_path / "again"
    taken = await grange("init", "--delegate", tmp_path / "one.delegate", "--trust-market", "--home", again)
    assert taken.code == 0, taken
    for home in (device.home, again):
        listed = (await grange("orders", "ls", "--json", "--home", home)).json
        assert [(one["name"], one["order"]) for one in listed] == [("b", placed[1].id.hex())]
        health = (await grange("orders", "health", "--json", "--home", home)).json
        assert [one["name"] for one in health] == ["b"]
        done = await grange("orders", "get", "b", home / "back", "--yes", "--home", home)
        assert done.code == 0, done
        assert (home / "back" / "b").read_bytes() == files["b"].read_bytes()
        for other in ("a", "c", placed[0].id.hex()[:12], placed[2].id.hex()[:12]):
            for words in (("get", other, tmp_path / "stolen", "--yes"), ("stat", other), ("extend", other)):
                refused = await grange("orders", *words, "--home", home)
                assert refused.code == 13, refused
    assert not (tmp_path / "stolen").exists()
    async with Renter.open(device) as renter:
        for order in (placed[0], placed[2]):
            with pytest.raises(Unopened):
                await renter.manifest(order)
    for home in (person.home, town.home_for(person.phrase).home):
        names = {one["name"] for one in (await grange("orders", "ls", "--json", "--home", home)).json}
        assert names == set(files)
    new = town.home_for(person.phrase).home
    assert (await grange("orders", "get", "b", tmp_path / "words", "--yes", "--home", new)).code == 0
    assert (tmp_path / "words" / "b").read_bytes() == files["b"].read_bytes()


async def wallet_with_a_file(
    town: Town, person: Person, source: Path, *, key: Wallet | None = None
) -> tuple[ContractWallet, Config]:
    """A contract wallet for which a device, made by a person, has stored a file; and the device."""
    wallet = await ContractWallet.deploy(town, tokens=60 * TOKEN, key=key)
    limits = ("--per-epoch", 20, "--in-all", 20, "--epochs", 90)
    file, folder = source.with_suffix(".delegate"), source.with_suffix(".device")
    new = ("keys", "delegate", "new", file, "--account", wallet.address, "--no-encryption", *limits)
    made = await grange(*new, "--home", person.home)
    assert made.code == 0, made
    assert f"grange init --phrase --account {wallet.address}" in made.out.replace("\n", " ")
    taken = await grange("init", "--delegate", file, "--trust-market", "--home", folder)
    assert taken.code == 0, taken
    device = load(folder)
    own = device.identity.wallet.address
    await town.devnet.faucet(own, 10**18, 0)
    await wallet.call(person.home, "--deposit", "50", "--delegate", own, *limits)
    await stored(device, source, CODE)
    return wallet, device


async def test_a_card_with_a_contract_wallet_brings_its_orders_back_to_its_owner(
    town: Town, tmp_path: Path
) -> None:
    """The device is lost, and all that is left is a card. Its phrase's key is the wallet's owner, so farmers
    take its requests and vouchers as the wallet's own, are paid by the wallet's vault, and no transaction
    was needed."""
    person = await town.person()
    source = plain_file(tmp_path / "one.bin", FEW_MB, seed=61)
    wallet, device = await wallet_with_a_file(town, person, source, key=person.wallet)
    printed = await grange("keys", "card", "--account", wallet.address, "--home", person.home)
    assert printed.code == 0, printed
    assert f"account: {wallet.address}" in printed.out
    assert "this card brings back what delegates" in printed.out.replace("\n", " ").lower()
    card, home = tmp_path / "card.txt", tmp_path / "new"
    card.write_text(printed.out)
    card.chmod(0o600)
    sent = await town.nonce(person.address)
    taken = await grange("init", "--card", card, "--trust-market", "--home", home)
    assert taken.code == 0, taken
    assert wallet.address in taken.out
    checked = await grange("keys", "card", "--check", card, "--trust-market", "--home", home)
    assert checked.code == 0, checked
    listed = (await grange("orders", "ls", "--json", "--home", home)).json
    assert [one["name"] for one in listed] == ["one.bin"]
    done = await grange("orders", "get", "one.bin", home / "back", "--yes", "--json", "--home", home)
    assert int(done.json["paid"]) > 0
    assert (home / "back" / "one.bin").read_bytes() == source.read_bytes()
    assert await town.nonce(person.address) == sent, "nothing was sent for it"

    async def redeemed() -> bool:
        found = [await town.chain.redeemed(one.farmer, wallet.address) for one in town.farmers]
        return sum(found) > 0

    await eventually(redeemed, "the wallet's own vouchers are redeemed")
    own = device.identity.wallet.address
    revoked = await grange("keys", "delegate", "revoke", own, "--home", home)
    assert (revoked.code, "has to call" in revoked.err, "data  0x" in revoked.out) == (0, True, True), revoked
    assert (await town.chain.delegation(wallet.address, own)).in_all > 0, "printed, and not sent"
    for words in (("deposit", 1), ("withdraw", 1), ("mandate", "revoke", 1)):
        refused = await grange(*words, "--home", home)
        assert (refused.code, f"the contract wallet {wallet.address}" in refused.err.replace("\n", " ")) == (
            2,
            True,
        ), refused


async def test_a_phrase_whose_key_no_wallet_knows_is_told_what_the_wallet_has_to_do(
    town: Town, tmp_path: Path
) -> None:
    """The wallet is somebody else's program: it authorizes the phrase's key, and then everything is there.
    What that key stores itself opens by the phrase too."""
    person = await town.person()
    source = plain_file(tmp_path / "two.bin", FEW_MB, seed=62)
    wallet, device = await wallet_with_a_file(town, person, source)
    home = tmp_path / "new"
    network = town.devnet.network
    init = ("init", "--phrase", "--account", wallet.address, "--rpc", network.rpc, "--market", network.market)
    taken = await grange(*init, "--trust-market", "--home", home, typed=f"{person.phrase}\n")
    assert taken.code == 0, taken
    listed = (await grange("orders", "ls", "--json", "--home", home)).json
    assert [one["order"] for one in listed] != []
    refused = await grange("orders", "get", listed[0]["order"], home / "back", "--yes", "--home", home)
    said = refused.err.replace("\n", " ")
    assert (refused.code, "neither calls this home's signatures its own" in said) == (2, True), refused
    assert f"grange keys wallet-calls --delegate {person.address}" in said

    limits = ("--per-epoch", 20, "--in-all", 20, "--epochs", 90)
    assert await wallet.call(home, "--delegate", person.address, *limits) == ["authorize"]
    done = await grange("orders", "get", "two.bin", home / "back", "--yes", "--home", home)
    assert done.code == 0, done
    assert (home / "back" / "two.bin").read_bytes() == source.read_bytes()
    other = plain_file(tmp_path / "three.bin", FEW_MB, seed=63)
    put = await grange("orders", "put", other, "--k", 2, "--n", 4, "--yes", "--home", home)
    assert put.code == 0, put
    again = tmp_path / "again"
    init = ("init", "--phrase", "--account", wallet.address, "--rpc", network.rpc, "--market", network.market)
    assert (await grange(*init, "--trust-market", "--home", again, typed=f"{person.phrase}\n")).code == 0
    for name, content in (("two.bin", source), ("three.bin", other)):
        done = await grange("orders", "get", name, again / "back", "--yes", "--home", again)
        assert done.code == 0, done
        assert (again / "back" / name).read_bytes() == content.read_bytes()

    listing = ("keys", "delegate", "list", "--json", "--home", person.home)
    assert (await grange(*listing)).json == []
    shown = (await grange(*listing, "--account", wallet.address)).json
    assert {one["delegate"] for one in shown} == {person.address, device.identity.wallet.address}
    own = device.identity.wallet.address
    revoke = ("keys", "delegate", "revoke", own, "--account", wallet.address, "--home", person.home)
    assert "data  0x" in (await grange(*revoke)).out
    assert await wallet.call(person.home, "--revoke", own) == ["authorize"]
    assert (await town.chain.delegation(wallet.address, own)).in_all == 0


async def test_a_device_moves_no_money_and_authorizes_nobody(town: Town, tmp_path: Path) -> None:
    person = await town.person()
    device = await device_of(town, person, tmp_path / "device", TOKEN, TOKEN)
    other: Address = Wallet(bytes([9]) * 32).address
    limits = ("--per-epoch", 1, "--in-all", 1, "--epochs", 1)
    for words in (
        ("deposit", 1),
        ("withdraw", 1),
        ("withdraw",),
        ("keys", "delegate", "authorize", other, *limits),
        ("keys", "delegate", "revoke", other),
    ):
        refused = await grange(*words, "--home", device.home)
        assert (refused.code, "This home is a delegate's" in refused.err) == (2, True), refused
    config = replace(device, home=tmp_path / "another")
    assert config.identity.delegate_of == person.address

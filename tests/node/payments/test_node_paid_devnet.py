"""Vouchers against the contract itself: what it takes, a farmer takes, and the other way round."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from node_support import Parcel, error_of
from paid_support import account, read, voucher
from test_node_devnet import LiveFarm, funded, next_epoch, registered, renters_slot, running

from grange.chain import Sender, TransactionReverted, Wallet, calls
from grange.messages import Domain, sign_voucher
from grange.types import Address, FarmerId, Voucher, address_from
from grange.units import GIB
from grange_devnet import Devnet
from grange_node.chain.vault_funds import MAX_AGE_SECONDS
from grange_node.config import Config, load_key

REDEEM_AT = 1000
VAULT = 5000

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    """py-evm, a block for each transaction and when told to."""
    async with Devnet.start() as started:
        yield started


async def selling(devnet: Devnet, folder: Path) -> Config:
    """A farm to which a byte is worth a base unit, and a thousand of them a transaction."""
    config = await registered(devnet, folder, egress_price_per_gib=GIB)
    return config.model_copy(update={"redeem_at": REDEEM_AT})


async def kept(devnet: Devnet, farm: LiveFarm, vault: int = VAULT) -> Parcel:
    """A slot of a renter whose vault holds so much when all is placed."""
    slot = await renters_slot(devnet, farm)
    await farm.upload(slot)
    acceptance = await farm.accept(slot)
    assert acceptance.status_code == 200, acceptance.text
    await farm.place(slot, acceptance.json())
    sender = Sender(devnet.chain, slot.renter)
    held = await devnet.chain.vault(slot.renter.address)
    if held < vault:
        await sender.send(calls.deposit_with_permit(await devnet.chain.permit(slot.renter, vault - held)))
    else:
        await sender.send(calls.request_withdrawal(held - vault))
        announced = await devnet.chain.withdrawal(slot.renter.address)
        assert announced is not None
        await devnet.mine_to_epoch(announced.ready_epoch)
        await sender.send(calls.withdraw(slot.renter.address))
    assert await devnet.chain.vault(slot.renter.address) == vault
    await farm.node.follower.refresh()
    return slot


async def buy(farm: LiveFarm, slot: Parcel, size_bytes: int, total: int | None = None) -> httpx.Response:
    """Ask for bytes with a voucher over a total, or without one."""
    paid = {} if total is None else header(farm, slot.renter, total)
    return await read(farm, slot, size_bytes, by=slot.renter, **paid)


def header(farm: LiveFarm, by: Wallet, total: int, **other: object) -> dict[str, str]:
    bound = {"farmer": farm.config.farmer, "domain": farm.config.domain} | other
    return voucher(total, by=by, **bound)  # type: ignore[arg-type]


async def test_what_the_contract_would_not_pay_opens_nothing(devnet: Devnet, tmp_path: Path) -> None:
    """Forged, of another farmer, chain or market: the farmer refuses them as the contract does."""
    async with running(devnet, tmp_path, await selling(devnet, tmp_path)) as farm:
        slot, right = await kept(devnet, farm), farm.config.domain
        market = address_from(b"\x12" * 20)
        foreign = (
            {"farmer": FarmerId(farm.config.farmer + 1)},
            {"domain": Domain(chain_id=right.chain_id + 1, market=right.market)},
            {"domain": Domain(chain_id=right.chain_id, market=market)},
        )
        vouchers = [header(farm, slot.renter, 100, **one) for one in foreign]
        vouchers.append(header(farm, Wallet.random(), 100))
        for wrong in vouchers:
            response = await read(farm, slot, 100, by=slot.renter, **wrong)
            assert (response.status_code, error_of(response)) == (401, "unauthorised")
            with pytest.raises(TransactionReverted) as raised:
                await farm.node.market.redeem([_from_header(wrong, slot.renter.address)])
            assert raised.value.name == "VoucherForged"
        assert (await buy(farm, slot, 100, 100)).status_code == 206


async def test_a_total_counts_once_whatever_is_sent_again(devnet: Devnet, tmp_path: Path) -> None:
    """Replayed and shrinking vouchers buy nothing, and the contract pays the highest total once."""
    config = await selling(devnet, tmp_path)
    async with running(devnet, tmp_path, config) as farm:
        slot = await kept(devnet, farm)
        assert (await buy(farm, slot, 600, 600)).status_code == 206
        assert (await buy(farm, slot, 1, 600)).status_code == 402
        assert (await buy(farm, slot, 1, 500)).status_code == 402
        assert (await buy(farm, slot, 900, 1500)).status_code == 206
        owner = farm.node.config.owner
        before = await devnet.chain.earnings(Address(owner))
        await farm.node.redeemer.tick()
        await farm.node.redeemer.tick()
        assert await devnet.chain.earnings(Address(owner)) - before == 1500
        assert await devnet.chain.vault(slot.renter.address) == VAULT - 1500
        older = sign_voucher(config.domain, slot.renter.private_key, farmer=config.farmer, cumulative=600)
        with pytest.raises(TransactionReverted) as raised:
            await farm.node.market.redeem([older])
        assert raised.value.name == "NothingToRedeem"
        assert (await buy(farm, slot, 1, 1500)).status_code == 402


async def test_an_overdrawn_vault_opens_nothing_more(devnet: Devnet, tmp_path: Path) -> None:
    """What is redeemed counts as paid: the vault need only cover what is open."""
    async with running(devnet, tmp_path, await selling(devnet, tmp_path)) as farm:
        slot = await kept(devnet, farm)
        response = await buy(farm, slot, 1, VAULT + 1)
        assert (response.status_code, error_of(response)) == (402, "vault_too_small")
        assert response.json()["detail"]["missing"] == 1
        assert (await buy(farm, slot, 2000, 2000)).status_code == 206
        await farm.node.redeemer.tick()
        assert await devnet.chain.vault(slot.renter.address) == VAULT - 2000
        assert (await buy(farm, slot, VAULT - 2000, VAULT)).status_code == 206
        await farm.node.redeemer.tick()
        assert await devnet.chain.vault(slot.renter.address) == 0
        response = await buy(farm, slot, 1, VAULT + 1)
        assert (response.status_code, error_of(response)) == (402, "vault_too_small")


async def test_a_renter_that_takes_its_money_while_it_downloads(devnet: Devnet, tmp_path: Path) -> None:
    """What it signed before is redeemed in time; what it may take out any moment pays for nothing more."""
    async with running(devnet, tmp_path, await selling(devnet, tmp_path)) as farm:
        slot = await kept(devnet, farm)
        sender = Sender(devnet.chain, slot.renter)
        assert (await buy(farm, slot, 300, 300)).status_code == 206
        await farm.node.redeemer.tick()
        assert await devnet.chain.redeemed(farm.config.farmer, slot.renter.address) == 0
        await sender.send(calls.request_withdrawal(VAULT))
        assert (await buy(farm, slot, 200, 500)).status_code == 206
        await farm.node.redeemer.tick()
        assert await devnet.chain.redeemed(farm.config.farmer, slot.renter.address) == 500
        announced = await devnet.chain.withdrawal(slot.renter.address)
        assert announced is not None
        await devnet.mine_to_epoch(announced.ready_epoch)
        farm.clock.now += MAX_AGE_SECONDS + 1
        response = await buy(farm, slot, 1, 501)
        assert (response.status_code, error_of(response)) == (402, "vault_too_small")
        assert (await buy(farm, slot, 1)).status_code == 402
        before = await devnet.chain.token_balance(slot.renter.address)
        await sender.send(calls.withdraw(slot.renter.address))
        assert await devnet.chain.token_balance(slot.renter.address) - before == VAULT - 500


async def test_a_withdrawal_that_could_be_made_any_moment_is_forestalled(
    devnet: Devnet, tmp_path: Path
) -> None:
    """A farm that was away since the announcement redeems as soon as it is back."""
    config = await selling(devnet, tmp_path)
    async with running(devnet, tmp_path, config) as farm:
        slot = await kept(devnet, farm)
        assert (await buy(farm, slot, 500, 500)).status_code == 206
    await Sender(devnet.chain, slot.renter).send(calls.request_withdrawal(VAULT))
    announced = await devnet.chain.withdrawal(slot.renter.address)
    assert announced is not None
    await devnet.mine_to_epoch(announced.ready_epoch)
    async with running(devnet, tmp_path, config) as farm:
        await farm.node.redeemer.tick()
    assert await devnet.chain.redeemed(config.farmer, slot.renter.address) == 500


async def test_what_was_signed_is_there_after_a_restart(devnet: Devnet, tmp_path: Path) -> None:
    """A kill between sale and redemption loses nothing, on either side."""
    config = await selling(devnet, tmp_path)
    async with running(devnet, tmp_path, config) as farm:
        slot = await kept(devnet, farm)
        assert (await buy(farm, slot, REDEEM_AT, REDEEM_AT)).status_code == 206
    async with running(devnet, tmp_path, config) as farm:
        assert (await account(farm, slot.renter))["spent"] == REDEEM_AT
        assert (await buy(farm, slot, 1, REDEEM_AT)).status_code == 402
        await farm.node.redeemer.tick()
        assert await devnet.chain.redeemed(config.farmer, slot.renter.address) == REDEEM_AT
    async with running(devnet, tmp_path, config) as farm:
        assert farm.node.payment_gate.account(slot.renter.address) is not None
        gas = await devnet.chain.native_balance(load_key(tmp_path / "home").address)
        await farm.node.redeemer.tick()
        assert await devnet.chain.native_balance(load_key(tmp_path / "home").address) == gas


async def test_several_payers_one_of_whom_is_broke(devnet: Devnet, tmp_path: Path) -> None:
    """One call pays for those that can; who emptied its vault elsewhere holds nobody up."""
    async with running(devnet, tmp_path, await selling(devnet, tmp_path)) as farm:
        slots = [await kept(devnet, farm) for _ in range(2)]
        for slot in slots:
            assert (await buy(farm, slot, REDEEM_AT, REDEEM_AT)).status_code == 206
        await next_epoch(devnet)
        sender = Sender(devnet.chain, slots[0].renter)
        await sender.send(calls.request_withdrawal(VAULT))
        announced = await devnet.chain.withdrawal(slots[0].renter.address)
        assert announced is not None
        await devnet.mine_to_epoch(announced.ready_epoch)
        await sender.send(calls.withdraw(slots[0].renter.address))
        await farm.node.redeemer.tick()
        paid = [await devnet.chain.redeemed(farm.config.farmer, one.renter.address) for one in slots]
        assert paid == [0, REDEEM_AT]
        await funded(devnet, slots[0].renter)
        permit = await devnet.chain.permit(slots[0].renter, REDEEM_AT)
        await sender.send(calls.deposit_with_permit(permit))
        await farm.node.redeemer.tick()
        assert await devnet.chain.redeemed(farm.config.farmer, slots[0].renter.address) == REDEEM_AT


def _from_header(headers: dict[str, str], renter: Address) -> Voucher:
    total, signature = (part.split("=")[1] for part in headers["Voucher"].split(","))
    raw = bytes.fromhex(signature)
    return Voucher(renter=renter, cumulative=int(total), signature=raw)

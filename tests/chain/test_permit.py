"""A permit moves tokens without an approval; a stranger's use of it does no harm; a wrong one fails."""

from __future__ import annotations

import dataclasses

import pytest
from chain_support import funded
from eth_account import Account
from eth_account.messages import encode_typed_data

from grange.chain import Call, Sender, TransactionReverted, Wallet, calls
from grange.units import TOKEN
from grange_devnet import Devnet

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_permit_deposits_without_an_approval(devnet: Devnet, wallet: Wallet) -> None:
    sender = Sender(devnet.chain, wallet)
    receipt = await sender.send(calls.deposit_with_permit(await devnet.chain.permit(wallet, 5 * TOKEN)))
    assert receipt.event("Deposited").args == {"account": wallet.address, "amount": 5 * TOKEN}
    assert await devnet.chain.vault(wallet.address) == 5 * TOKEN
    await sender.send(calls.request_withdrawal(2 * TOKEN))
    announced = await devnet.chain.withdrawal(wallet.address)
    assert announced is not None
    assert announced.amount == 2 * TOKEN
    await devnet.mine_to_epoch(announced.ready_epoch)
    await sender.send(calls.withdraw(wallet.address))
    assert await devnet.chain.vault(wallet.address) == 3 * TOKEN
    assert await devnet.chain.withdrawal(wallet.address) is None
    assert await devnet.chain.token_balance(wallet.address) == 997 * TOKEN


async def test_a_permit_is_what_eth_account_would_sign(devnet: Devnet, wallet: Wallet) -> None:
    permit = await devnet.chain.permit(wallet, 7)
    message = {
        "owner": wallet.address,
        "spender": devnet.market,
        "value": 7,
        "nonce": 0,
        "deadline": permit.deadline,
    }
    types = {
        "Permit": [
            {"name": name, "type": "address" if name in ("owner", "spender") else "uint256"}
            for name in message
        ]
    }
    domain = {"name": "Grange", "version": "1", "chainId": 1337, "verifyingContract": devnet.token}
    signed = Account.sign_message(encode_typed_data(domain, types, message), wallet.private_key)
    assert (permit.v, permit.r, permit.s) == (
        signed.v,
        signed.r.to_bytes(32, "big"),
        signed.s.to_bytes(32, "big"),
    )


async def test_a_permit_that_a_stranger_used_first_does_not_block(devnet: Devnet, wallet: Wallet) -> None:
    permit = await devnet.chain.permit(wallet, TOKEN)
    stranger = Sender(devnet.chain, await funded(devnet))
    arguments = (wallet.address, devnet.market, TOKEN, permit.deadline, permit.v, permit.r, permit.s)
    await stranger.send(Call(contract="token", function="permit", args=arguments))
    await Sender(devnet.chain, wallet).send(calls.deposit_with_permit(permit))
    assert await devnet.chain.vault(wallet.address) == TOKEN


async def test_a_permit_for_another_value_is_refused(devnet: Devnet, wallet: Wallet) -> None:
    permit = dataclasses.replace(await devnet.chain.permit(wallet, TOKEN), value=2 * TOKEN)
    with pytest.raises(TransactionReverted) as caught:
        await Sender(devnet.chain, wallet).send(calls.deposit_with_permit(permit))
    assert caught.value.name == "PermitRefused"
    assert caught.value.args_by_name["needed"] == 2 * TOKEN


async def test_an_approval_works_as_well(devnet: Devnet, wallet: Wallet) -> None:
    sender = Sender(devnet.chain, wallet)
    await sender.send(calls.approve(devnet.market, TOKEN))
    assert await devnet.chain.token_allowance(wallet.address) == TOKEN
    await sender.send(calls.deposit(TOKEN))
    assert await devnet.chain.vault(wallet.address) == TOKEN

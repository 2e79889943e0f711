"""The same transactions cost the same gas on every engine, to the unit: they run by the same rules."""

from __future__ import annotations

import pytest

from grange import messages
from grange.chain import Sender, Wallet, calls
from grange.types import Epoch, FarmerId, Offer, Terms
from grange.units import TOKEN
from grange_devnet import ENGINES, Devnet, EngineName
from grange_devnet.engines import missing_reason

OFFER = Offer(price_per_gib_epoch=1, egress_price_per_gib=1, capacity_bytes=1, longest_term_epochs=1)
FARMERS = 5


async def _gas(engine: EngineName) -> list[int]:
    """The same calls with the same keys, so that not a byte of calldata differs."""
    async with Devnet.start(engine=engine) as devnet:
        wallet = Wallet(bytes([7]) * 32)
        operators = [Wallet(bytes([100 + i]) * 32) for i in range(FARMERS)]
        await devnet.faucet(wallet.address, 10**20, 1_000 * TOKEN)
        # Some put two transactions into one block, and the number of the newest is signed.
        await devnet.mine_to(20)
        sender = Sender(devnet.chain, wallet)
        gas = [
            (await sender.send(call)).gas_used
            for call in (calls.approve(devnet.market, 100 * TOKEN), calls.deposit(TOKEN), calls.deposit(2))
        ]
        for operator in operators:
            call = calls.register(
                owner=wallet.address,
                operator=operator.address,
                endpoint="http://127.0.0.1:1",
                offer=OFFER,
                stake=TOKEN,
                consent=await devnet.chain.operator_consent(operator, owner=wallet.address),
            )
            gas.append((await sender.send(call)).gas_used)
        gas += [await _place(devnet, sender, operators, number) for number in range(2)]
        await devnet.mine_to_epoch(3)
        gas.append((await sender.send(calls.record_seed())).gas_used)
        gas.append((await sender.send(calls.settle(FarmerId(1)))).gas_used)
        return gas


async def _place(devnet: Devnet, sender: Sender, operators: list[Wallet], number: int) -> int:
    terms = Terms(salt=bytes([number]) * 32, end=Epoch(16), leaf_count=4, piece_leaves=2, k=2)
    acceptances = [
        messages.sign_acceptance(
            devnet.chain.domain,
            operator.private_key,
            messages.AcceptanceMessage(
                order=messages.order_id(sender.address, terms.salt),
                farmer=FarmerId(slot + 1),
                slot=slot,
                root=bytes([slot + 1]) * 32,
                leaf_count=4,
                rate=5,
                end=terms.end,
                deadline_block=1_000,
            ),
        )
        for slot, operator in enumerate(operators)
    ]
    return (await sender.send(calls.place(terms, acceptances))).gas_used


async def test_gas_is_the_same_on_every_engine() -> None:
    engines = [engine for engine in ENGINES if missing_reason(engine) is None]
    if len(engines) == 1:
        pytest.skip("there is only one engine here to compare")
    measured = {engine: await _gas(engine) for engine in engines}
    assert all(gas == measured["py-evm"] for gas in measured.values()), measured

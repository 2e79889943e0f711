"""The calls by which money comes and goes and farmers say who they are, one by one."""

from __future__ import annotations

from functools import partial

from grange.chain import Sender, Wallet, calls
from grange.messages import sign_voucher
from grange.types import Epoch, FarmerId
from grange.units import TOKEN
from measures.ground import ENDPOINT, OFFER, PARAMETERS, STAKE, Ground

GAS_TOKEN_WEI = 10**18


async def measure_accounts(ground: Ground) -> None:
    """Deposits, withdrawals, stakes: of an account that has been here before, where it says nothing else."""
    await ground.approve()
    ground.put("deposit_first", await ground.gas(calls.deposit(TOKEN)))
    ground.put("deposit", await ground.gas(calls.deposit(10**6 * TOKEN)))
    for name in ("deposit_with_permit_first", "deposit_with_permit"):
        async with ground.permit(TOKEN) as permit:
            ground.put(name, await ground.gas(calls.deposit_with_permit(permit)))
    await ground.begin_epoch()
    ground.put("record_seed", await ground.gas(calls.record_seed()))
    await ground.farms(2)
    register = partial(
        calls.register,
        owner=ground.wallet.address,
        operator=ground.wallet.address,
        endpoint=ENDPOINT,
        offer=OFFER,
        stake=STAKE,
    )
    receipt = await ground.sender.send(register())
    farmer = FarmerId(receipt.event("FarmerRegistered").args["farmer"])
    ground.put("register", receipt.gas_used)
    async with ground.permit(STAKE) as permit:
        ground.put("register_with_permit", await ground.gas(register(permit=permit)))
    ground.put(
        "update_farmer", await ground.gas(calls.update_farmer(farmer, endpoint=ENDPOINT[:-4], offer=OFFER))
    )
    operator = Wallet.random()
    consent = await ground.chain.operator_consent(operator, owner=ground.wallet.address, farmer=farmer)
    change = calls.set_operator(farmer, operator.address, consent=consent, void_former=False)
    ground.put("set_operator", await ground.gas(change))
    ground.put("set_limits", await ground.gas(calls.set_limits(farmer, ceiling=10**18, loss_limit=10**18)))
    ground.put("add_stake", await ground.gas(calls.add_stake(farmer, TOKEN)))
    await ground.gas(calls.unstake(farmer, 10))
    ground.put("unstake", await ground.gas(calls.unstake(farmer, 10)))
    await ground.gas(calls.claim(ground.wallet.address, 10))
    await ground.gas(calls.unstake(farmer, 20))
    ground.put("claim", await ground.gas(calls.claim(ground.wallet.address, 10)))
    ground.put("request_withdrawal", await ground.gas(calls.request_withdrawal(TOKEN)))
    await ground.go_to(Epoch(await ground.chain.current_epoch() + PARAMETERS.withdraw_delay_epochs))
    ground.put("withdraw", await ground.gas(calls.withdraw(ground.wallet.address)))


async def measure_redeem(ground: Ground, counts: tuple[int, ...]) -> None:
    """Vouchers of so many renters for one farmer in one call, redeemed before."""
    (farm,) = await ground.farms(1)
    renters = [Wallet.random() for _ in range(max(counts))]
    for renter in renters:
        await ground.devnet.faucet(renter.address, GAS_TOKEN_WEI, TOKEN)
        sender = Sender(ground.chain, renter, policy=ground.sender.policy)
        await sender.send(calls.deposit_with_permit(await ground.chain.permit(renter, TOKEN)))
    cumulative = 0
    for first in (True, False):
        for count in counts:
            cumulative += 1000
            vouchers = [
                sign_voucher(ground.chain.domain, one.private_key, farmer=farm.id, cumulative=cumulative)
                for one in renters[:count]
            ]
            gas = await ground.gas(calls.redeem(farm.id, vouchers))
            if not first:
                ground.put(f"redeem_per_voucher_{count}", gas / count)

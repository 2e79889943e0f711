"""Paying out what a farm's owner or a repairer has earned in the market.

paid, receipt = await pay_out(chain, wallet, fees, to, amount)
tell_paid_out(chain.unit, paid, to, receipt)
"""

from __future__ import annotations

from typing import Annotated

import typer

from grange.chain import Chain, Receipt, Wallet, calls
from grange.chain.fee_settings import FeeSettings
from grange.chain.sender import burying_sender
from grange.token_unit import TokenUnit
from grange.types import Address
from grange_node.errors import NotFunded

AmountOption = Annotated[str | None, typer.Option("--amount", help="Tokens; all there are if not given.")]


async def pay_out(
    chain: Chain, wallet: Wallet, fees: FeeSettings, to: Address, amount: int | None
) -> tuple[int, Receipt]:
    """Pay out of the wallet's earnings, all if no amount is given; how much, and the transaction.

    Raises NotFunded when there is less than asked for, or nothing, and the errors of the chain.
    """
    held = await chain.earnings(wallet.address)
    wanted = held if amount is None else amount
    if wanted > held:
        raise NotFunded(
            f"The earnings are {chain.unit.exact(held)}, not {chain.unit.exact(wanted)}.",
            hint="Ask for less, or leave --amount out: then all there are is paid out.",
        )
    if wanted == 0:
        raise NotFunded(
            "There is nothing to withdraw.", detail="Nothing was earned or freed since the last time."
        )
    return wanted, await burying_sender(chain, wallet, policy=fees.policy).send(calls.claim(to, wanted))


def tell_paid_out(unit: TokenUnit, paid: int, to: Address, receipt: Receipt) -> None:
    """Say what was paid out, and by which transaction."""
    typer.echo(f"Paid out {unit.exact(paid)} to {to}.")
    typer.echo(f"  transaction  0x{receipt.tx_hash.hex()}")

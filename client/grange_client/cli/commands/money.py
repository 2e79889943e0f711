"""`balance`, `deposit` and `withdraw`: what there is to pay with, and moving it between wallet and vault.

Decides that every move ends by showing the balance. Leaves the work to `renter`.
"""

from pathlib import Path
from typing import Annotated

import typer

from grange.cli.passphrase_options import command_passphrases, opens_keys
from grange.types import address_from
from grange_client.cli import output
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Json, Verbose
from grange_client.cli.screens.account import balance_screen
from grange_client.keys.config import home_path, load
from grange_client.renter import Renter


@opens_keys
def balance(
    address: Annotated[bool, typer.Option("--address", help="Only the address; asks no chain.")] = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Show the address and what there is to pay with."""
    if address:
        # Not through rich: scripts take it from here.
        passphrases = command_passphrases()
        identity = load(home_path(home), passphrases).identity
        if passphrases.are_given:
            # A locked file says whose it is outside of what is locked, and money may be sent there.
            identity.unlock()
        print(identity.wallet.address)
        return
    common.run(_balance(as_json, home))


@opens_keys
def deposit(
    amount: Annotated[str, typer.Argument(metavar="TOKENS", help="How many, such as 12.5.")],
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Move tokens from the wallet into the vault, ahead of time."""

    async def run() -> None:
        async with common.renter(home) as renter:
            receipt = await renter.deposit(renter.market.unit.parse(amount))
            # Said at once: if the balance can't be read, nobody is to deposit it a second time.
            common.err.print(f"Deposited, in block {receipt.block}.")
            await _show_balance(renter, as_json)

    common.run(run())


@opens_keys
def withdraw(
    amount: Annotated[
        str | None, typer.Argument(metavar="TOKENS", help="How many to announce; without, take out.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Who gets what is taken out; your wallet if not given."),
    ] = None,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Announce what you will take out of the vault; later, without an amount, move it into the wallet."""

    if to is not None and amount is not None:
        raise typer.BadParameter("--to is for taking out: give it without an amount.")

    async def run() -> None:
        async with common.renter(home) as renter:
            if amount is None:
                receipt = await renter.withdraw(address_from(to) if to else None)
                common.err.print(f"Taken out of the vault, in block {receipt.block}.")
            else:
                clock, unit = await renter.market.clock(), renter.market.unit
                announced = await renter.request_withdrawal(unit.parse(amount))
                # Said at once: anyone who announces it a second time waits from the beginning.
                ready = clock.describe_epoch(announced.ready_epoch)
                common.err.print(f"Announced. From {ready}, on: grange withdraw", soft_wrap=True)
                if (funds := await renter.funds()).vault < announced.amount:
                    held = unit.rounded_down(funds.vault)
                    common.err.print(f"The vault holds {held} now: no more can be taken out.")
                await common.warn_of_vault(renter, spending=min(funds.vault, announced.amount))
            await _show_balance(renter, as_json)

    common.run(run())


async def _balance(as_json: bool, home: Path | None) -> None:
    async with common.renter(home, unlock=False) as renter:
        await _show_balance(renter, as_json)


async def _show_balance(renter: Renter, as_json: bool) -> None:
    funds = await renter.funds()
    if as_json:
        common.print_json(output.funds_json(renter.address, funds))
    else:
        common.out.print(balance_screen(renter.address, funds))

"""`grange farm release`: what is typed and what is shown. What it does is in `bonds`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from grange.chain import Wallet
from grange.chain.sender import burying_sender
from grange.cli.confirm import confirm
from grange.cli.passphrase_options import command_passphrases, opens_keys
from grange.cli.presenter import explained
from grange_node.chain.farm_market import TIMEOUTS
from grange_node.cli.bonds import Bond, describe_bonds, read_bonds, release_bonds
from grange_node.cli.common import GUIDANCE, Home, names_of_farm
from grange_node.config import Config, connect, home_folder, load_config, load_owner_wallet


@opens_keys
def release(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is bound, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON; amounts in base units.")] = False,
    home: Home = None,
    owner_key: Annotated[
        Path | None,
        typer.Option(help="A file with the key that pays for the gas, if it is not the operator's."),
    ] = None,
) -> None:
    """Free the stake that hand-overs still bind, by what the chain shows: a running farm does it by itself,
    this does it without one, and without its ledger."""
    with explained(GUIDANCE, as_json=as_json):
        folder = home_folder(home)
        config = load_config(folder)
        names = names_of_farm(config.data_folder)

        def show(bonds: list[Bond]) -> None:
            shown = json.dumps([one.to_json() for one in bonds])
            typer.echo(shown if as_json else names.within(describe_bonds(bonds, config.unit)))

        bonds = asyncio.run(_read(config))
        if dry_run or all(bond.obstacle for bond in bonds):
            show(bonds)
            return
        wallet = load_owner_wallet(folder, config, owner_key, command_passphrases())
        if not yes:
            typer.echo(names.within(describe_bonds(bonds, config.unit)), err=as_json)
            confirm("Have it released, with a transaction for each?")
        show(asyncio.run(_release(config, wallet, bonds)))


async def _read(config: Config) -> list[Bond]:
    async with connect(config, TIMEOUTS) as chain:
        return await read_bonds(chain, config.farmer, config.start_block)


async def _release(config: Config, wallet: Wallet, bonds: list[Bond]) -> list[Bond]:
    async with connect(config, TIMEOUTS) as chain:
        sender = burying_sender(chain, wallet, policy=config.fees.policy)
        return await release_bonds(sender, config.farmer, bonds)

"""`init`: the recovery phrase and the market, once.

Decides what is asked and checked before anything is written. Leaves the phrase to `recovery_phrase`, the
files to `config`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from grange.chain import Chain
from grange.chain.network_file import Network
from grange.cli.rpc_options import RpcOption, one_or_several
from grange.plain_errors import describe_invalid
from grange.types import Address
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Verbose
from grange_client.cli.screens.account import phrase_screen
from grange_client.cli.screens.tables import facts
from grange_client.errors import AlreadySetUp, BadConfig
from grange_client.keys.config import home_path, is_set_up, load, move_to, network_from_file, set_up
from grange_client.keys.recovery_phrase import identity, new_phrase

WHAT_TO_GIVE = (
    "--market is an address, 0x and 40 hex digits; --rpc the endpoint of its chain, such as "
    "https://example.org. Those who run the market tell you both."
)


def init(
    *,
    rpc: RpcOption = None,
    market: Annotated[str | None, typer.Option(help="The market's address.")] = None,
    devnet: Annotated[
        Path | None, typer.Option(help="The file that `grange devnet` wrote, instead of the two.")
    ] = None,
    first_block: Annotated[
        int, typer.Option(min=0, help="The block in which the market was deployed, if known.")
    ] = 0,
    phrase: Annotated[bool, typer.Option("--phrase", help="Take a recovery phrase that exists.")] = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Make a recovery phrase, or take yours, and remember the market."""
    folder = home_path(home)
    if is_set_up(folder):
        _move_or_refuse(folder, devnet if not rpc and market is None else None)
        return
    network = common.run(_checked_network(_network(rpc, market, devnet, first_block)))
    chosen = _ask_phrase() if phrase else new_phrase()
    config = set_up(folder, phrase=chosen, network=network)
    if not phrase:
        common.out.print(
            "These words are your recovery phrase: they open everything you store. Write them down, in this "
            "order:\n"
        )
        common.out.print(phrase_screen(chosen))
        common.out.print("\nAnyone who has them has your files and your tokens. They are not shown again.\n")
    rows = [
        ("address", config.identity.wallet.address),
        ("market", network.market),
        ("chain id", str(network.chain_id)),
        ("home", str(folder)),
    ]
    common.out.print(facts(rows))
    if not phrase:
        common.out.print(
            "\nWrite down market and chain too: the phrase alone does not say where your files are."
        )
        common.out.print("\nSend tokens and some gas tokens to that address. On a devnet:")
        common.out.print(f"  grange devnet fund {config.identity.wallet.address}", soft_wrap=True)


def _move_or_refuse(folder: Path, devnet: Path | None) -> None:
    """A home that is set up is left as it is, unless its devnet is gone and another runs in its place."""
    config = load(folder)
    if devnet is not None and config.network.genesis_hash is not None:
        network = common.run(_checked_network(network_from_file(devnet)))
        was, now = config.network, network
        if now.genesis_hash != was.genesis_hash and (now.chain_id, now.market) == (was.chain_id, was.market):
            moved = move_to(folder, network)
            common.out.print(
                "The devnet was started again: it is a new chain, and this home uses it from now on."
            )
            common.out.print(
                "What was stored on the old one is gone. The recovery phrase and the address are the same."
            )
            if moved:
                common.out.print(f"Kept aside: {', '.join(path.name for path in moved)}", soft_wrap=True)
            return
    raise AlreadySetUp(
        f"{folder} is set up already, and was left as it is.",
        hint="`grange balance` shows its address. Use --home for another.",
    )


def _network(rpc: Sequence[str] | None, market: str | None, devnet: Path | None, first_block: int) -> Network:
    if devnet is not None and not rpc and market is None:
        return network_from_file(devnet)
    if devnet is not None or not rpc or market is None:
        raise typer.BadParameter(
            "Give --rpc and --market, or --devnet with the file that `grange devnet` wrote."
        )
    try:
        return Network(rpc=one_or_several(rpc), market=Address(market), first_block=first_block)
    except ValidationError as error:
        raise BadConfig(f"{describe_invalid(error, '--')}.", hint=WHAT_TO_GIVE) from None


async def _checked_network(network: Network) -> Network:
    """Look whether the market is there, and remember its chain's id."""
    async with Chain.connect(network.rpc, network.market, expected_chain_id=network.chain_id) as chain:
        genesis = await chain.genesis_hash()
        found = {"chain_id": chain.chain_id, "genesis_hash": genesis.hex() if genesis else None}
        return network.model_copy(update=found)


def _ask_phrase() -> str:
    if sys.stdin.isatty():
        text: str = typer.prompt("The recovery phrase", err=True)
    else:
        text = sys.stdin.readline()
    identity(text)
    return text

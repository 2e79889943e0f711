"""What the commands of `grange farm` and `grange repair` share: exit codes, words for errors, logging.

with explained():          an error of ours becomes a sentence, advice and an exit code
exit_code, advice          the tables behind it
market_place               --rpc and --market, or the file of a devnet
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from grange.chain import (
    ChainError,
    ChainReplaced,
    ChainUnavailable,
    InsufficientFunds,
    MarketNotFound,
    TransactionReverted,
    WrongChain,
)
from grange.chain.network_file import read_network
from grange.errors import GrangeError
from grange.types import Address, address_from
from grange_node.errors import NodeMisuse, NodeWorldError

EXIT_MISUSE = 3
EXIT_CHAIN_DOWN = 4
EXIT_WRONG_CHAIN = 5
EXIT_NO_FUNDS = 6
EXIT_REFUSED = 7
EXIT_DISK = 9
LOG_TIME = "%Y-%m-%d %H:%M:%S"
GAS_UNIT = 10**6
"""Gas is priced by the million, so that the price is a number one can read."""
KEPT_MEMORY_BYTES = 128 << 20
"""Freed memory that stays ours: pieces on their way."""


def market_place(rpc: str | None, market: str | None, devnet: Path | None) -> tuple[str, Address]:
    """The endpoint and the market's address, as given or out of a devnet's file. Raises BadParameter."""
    if devnet is not None and rpc is None and market is None:
        network = read_network(devnet)
        return network.rpc, network.market
    if devnet is not None or rpc is None or market is None:
        raise typer.BadParameter(
            "Give --rpc and --market, or --devnet with the file that `grange devnet` wrote."
        )
    return rpc, address_from(market)


def start_logging() -> None:
    """One line per event on standard error; the server's own chatter only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", LOG_TIME))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("grange.farm").setLevel(logging.INFO)


def exit_code(error: GrangeError) -> int:
    """What a command ends with."""
    match error:
        case NodeMisuse():
            return error.exit_code
        case WrongChain() | ChainReplaced() | MarketNotFound():
            return EXIT_WRONG_CHAIN
        case InsufficientFunds():
            return EXIT_NO_FUNDS
        case TransactionReverted():
            return EXIT_REFUSED
        case ChainError():
            return EXIT_CHAIN_DOWN
        case NodeWorldError():
            return EXIT_DISK
        case _:
            return EXIT_MISUSE


def advice(error: GrangeError) -> str:
    """What to do next, where the error itself does not say so."""
    match error:
        case ChainUnavailable():
            return "Nothing was lost. Check that the chain endpoint runs, then repeat the command."
        case WrongChain():
            return "The endpoint is of another chain. Use the --rpc of the chain that the market is on."
        case ChainReplaced():
            return (
                "What this home holds is of no use on the new chain. Move it and its data folder away, or "
                "choose other folders (--home, --data), and set up again with init. If the old chain still "
                "runs somewhere, use its endpoint with --rpc."
            )
        case MarketNotFound():
            return "Check --market, and that --rpc is the chain that it was deployed on."
        case InsufficientFunds():
            return "Send that account some of the chain's own coin, then repeat the command."
        case TransactionReverted():
            return "Nothing was changed on chain. The name in the message is the contract's reason."
        case _:
            return ""


@contextmanager
def explained() -> Iterator[None]:
    """Turn our errors into a sentence and an exit code; anything else is a bug and keeps its traceback."""
    try:
        yield
    except GrangeError as error:
        typer.echo(f"error: {error}", err=True)
        if said := advice(error):
            typer.echo(said, err=True)
        raise typer.Exit(exit_code(error)) from error
    except OSError as error:
        if error.filename is None:
            raise
        # Of a file: a disk that is full, read-only or failing is no bug.
        typer.echo(f"error: {error.filename}: {error.strerror}", err=True)
        typer.echo("Check the disk and who may write there, then repeat the command.", err=True)
        raise typer.Exit(EXIT_DISK) from error

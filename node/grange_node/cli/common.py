"""What the commands of `grange farm` and `grange repair` share: words, logging, where the market is.

GUIDANCE        what to correct, for errors of the chain
market_place    --rpc and --market, or the file of a devnet
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from grange.chain.network_file import read_network
from grange.cli.presenter import Guidance
from grange.cli.rpc_options import one_or_several
from grange.types import Address, address_from

GUIDANCE = Guidance(
    new_chain="Move this home and its data folder away, or choose other folders (--home, --data), and set up "
    "again with init."
)
LOG_TIME = "%Y-%m-%d %H:%M:%S"
GAS_UNIT = 10**6
"""Gas is priced by the million, so that the price is a number one can read."""
KEPT_MEMORY_BYTES = 128 << 20
"""Freed memory that stays ours: pieces on their way."""


def market_place(
    rpc: Sequence[str] | None, market: str | None, devnet: Path | None
) -> tuple[str | tuple[str, ...], Address]:
    """The endpoints and the market's address, as given or out of a devnet's file. Raises BadParameter."""
    if devnet is not None and not rpc and market is None:
        network = read_network(devnet)
        return network.rpc, network.market
    if devnet is not None or not rpc or market is None:
        raise typer.BadParameter(
            "Give --rpc and --market, or --devnet with the file that `grange devnet` wrote."
        )
    return one_or_several(rpc), address_from(market)


def start_logging() -> None:
    """One line per event on standard error; the server's own chatter only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", LOG_TIME))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("grange.farm").setLevel(logging.INFO)

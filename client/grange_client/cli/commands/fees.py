"""`fees`: what gas costs, what is offered for it at most, and what it is worth.

Decides nothing but which calls are shown. Leaves options and words to `grange.cli.fees`.
"""

from typing import Annotated, Final

import typer

from grange.chain import Chain
from grange.chain.call_sizes import extend, place
from grange.chain.fee_settings import load_fee_settings, save_fee_settings
from grange.cli.fees import (
    FeeChoice,
    GasUsdCommandOption,
    GasUsdOption,
    MaxFeeOption,
    TokenUsdOption,
    changed_fees,
    show_fees,
)
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Verbose
from grange_client.keys.config import home_path, load

SHOWN_CALLS: Final = {
    "storing with 8 farmers": place(8),
    "storing with 30": place(30),
    "extending with 30": extend(30),
}


def fees(  # noqa: PLR0917  typer makes options of parameters
    max_fee_gwei: MaxFeeOption = None,
    gas_usd: GasUsdOption = None,
    gas_usd_command: GasUsdCommandOption = None,
    token_usd: TokenUsdOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object; amounts as strings.")] = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Show what gas costs and what is offered for it at most, or change that."""
    folder = home_path(home)
    config, settings = load(folder), load_fee_settings(folder)
    choice = FeeChoice(
        max_fee_gwei=max_fee_gwei, gas_usd=gas_usd, gas_usd_command=gas_usd_command, token_usd=token_usd
    )
    changed = changed_fees(settings, choice)
    if changed != settings:
        save_fee_settings(folder, changed)
    network = config.network
    opening = Chain.connect(
        network.rpc,
        network.market,
        expected_chain_id=network.chain_id,
        expected_genesis=config.expected_genesis,
    )
    common.run(show_fees(opening, changed, SHOWN_CALLS, as_json=as_json))

"""What a renter's command says to correct after an error of the chain."""

from dataclasses import replace
from typing import Final

from grange.cli.presenter import Guidance

_SETTING_UP: Final = Guidance(
    new_chain="On a devnet, `grange init --network devnet.json` moves this home to the new chain.",
    when_not_mined="The order is there if `grange orders ls` shows it: look again before you store it again.",
    otherwise="Try again; `--verbose` shows more.",
)
_SET_UP: Final = replace(
    _SETTING_UP,
    rpc="`rpc` in config.json",
    market="`market` in config.json",
    chain_id="`chain_id` in config.json",
    first_block="Put the block that the market was deployed in into config.json, as `first_block`.",
    trust="`grange init --trust-market` in another --home takes it all the same.",
)


def guidance(command: str) -> Guidance:
    """For one command. For `init` there is no configuration yet that could be corrected."""
    return _SETTING_UP if command == "init" else _SET_UP

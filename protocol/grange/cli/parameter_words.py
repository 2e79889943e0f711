"""Sentences about a market, for those who are about to use it."""

from grange.chain.endpoint import is_of_this_computer
from grange.chain.gateway import Chain
from grange.chain.presets import differences, nearest_preset
from grange.chain.token_facts import NotToken, read_token_facts


async def describe_cautions(chain: Chain) -> list[str]:
    """What a person should know of a market before money goes there. Raises ChainError."""
    is_here = all(is_of_this_computer(connection.url) for connection in chain.rpc.connections)
    told = ["" if chain.pins is None or is_here else chain.pins.caution, await describe_unusual(chain)]
    return [sentences for sentences in told if sentences]


async def describe_unusual(chain: Chain) -> str:
    """Which of a market's parameters are not those of a preset; empty if all are, or if the token does not
    say in which unit the least stake is. Raises ChainError."""
    try:
        facts = await read_token_facts(chain)
    except NotToken:
        return ""
    preset = nearest_preset(chain.parameters, decimals=facts.decimals)
    others = differences(chain.parameters, decimals=facts.decimals, preset=preset)
    if not others:
        return ""
    names = ", ".join(f"{one.name} is {one.value:,}, not {one.usual:,}" for one in others)
    return (
        f"The market's parameters are not those of a preset. Beside {preset.name}: {names}. "
        "`grange market describe` says what that means."
    )

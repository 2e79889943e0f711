"""A sentence about a market's parameters, for those who are about to use it."""

from grange.chain.gateway import Chain
from grange.chain.presets import differences, nearest_preset
from grange.chain.token_facts import NotToken, read_token_facts


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

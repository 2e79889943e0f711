"""The market's parts, and what deploys each by a transaction of its own.

    behind = None
    for part in PARTS:
        behind = deploy(creation_code(part, parameters, behind))
    market = behind

Each part hands on to the one before it in this list the calls that it does not have.
"""

from __future__ import annotations

from grange.chain.codec import artifact
from grange.types import Address, Parameters

PARTS = ("MarketAccounts", "MarketSlots", "MarketFarmers", "Market")
"""In the order in which they are deployed; the last is the market."""


def creation_code(part: str, parameters: Parameters, behind: Address | None) -> bytes:
    """What a transaction to nobody carries, to deploy a part.

    `behind` is the address of the part before it; None for the first.
    """
    arguments = (parameters,) if behind is None else (parameters, behind)
    return artifact(part).creation_code(*arguments)

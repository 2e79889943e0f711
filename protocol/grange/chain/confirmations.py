"""How many blocks are to follow on the one that holds a transaction before it is called done.

Pure. Deeper reorganisations are noticed too, but later: by the next command (docs/adr/0085).
"""

from typing import Final

DEVNET_CHAIN_IDS: Final = frozenset({1337, 31337})
"""The chain ids of development chains, which everybody has on their own machine."""
LIVE_CONFIRMATIONS: Final = 3
"""On Ethereum reorganisations are one block deep, seldom two; on rollups there are hardly any."""
FINAL_BLOCKS: Final = 64
"""Deeper reorganisations than two epochs of Ethereum's consensus are not reckoned with."""


def default_confirmations(chain_id: int) -> int:
    """A few blocks; none on a devnet, where there may be no block but ours."""
    return 0 if chain_id in DEVNET_CHAIN_IDS else LIVE_CONFIRMATIONS

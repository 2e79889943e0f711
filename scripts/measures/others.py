"""What calls of other networks' contracts cost, and which contracts these are.

The figures were measured by running those contracts before this one was written. Their version was not
kept, so they say how costs grow and how large they are, not what the contracts of today use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Gas of one call of another network's contract, for one deal."""

    name: str
    unit: str
    what: str
    least: int
    most: int
    source: str


CODEX = "github.com/codex-storage/codex-contracts-eth, contracts/Marketplace.sol"
PDP = "github.com/FilOzone/pdp, src/PDPVerifier.sol"

FILLS = (Other(name="Codex", unit="slot", what="to fill a slot", least=590_000, most=590_000, source=CODEX),)
"""What has a deal begin."""

AUDITS = (
    Other(name="Codex", unit="slot", what="a proof of a slot", least=340_000, most=340_000, source=CODEX),
    Other(
        name="Filecoin PDPVerifier",
        unit="data set",
        what="a proof of a data set",
        least=315_000,
        most=445_000,
        source=PDP,
    ),
)
"""One audit of one deal, which a farmer there sends for every deal."""


def sources() -> dict[str, Sequence[dict[str, str | int]]]:
    """All for machines."""
    return {"others": [asdict(other) for other in (*FILLS, *AUDITS)]}

"""What farmers and renters pay for gas in a month, beside the rent: from what size on a market is worth it.

    plan = month_of(PRESETS["rollup"])
    plan.farmer.cost_usd(prices, microusd)       in millionths of a dollar

Gas is what is measured for each call (`gas_figures.json`, which `scripts/gas-snapshots` writes), data is what
`call_sizes` has. Pure.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from grange.chain import call_sizes
from grange.chain.gas_cost import CallSize, GasPrices
from grange.chain.gas_value import WEI
from grange.chain.presets import Preset
from grange.json_text import parse_json
from grange.seeds import is_long

FIGURES_NAME: Final = "gas_figures.json"
FIGURES: Final = (
    "claim",
    "extend, 30 slots",
    "place, 8 slots",
    "place, per slot, mean after the first",
    "prove, 1 TiB, 128 slots",
    "recordSeed",
    "redeem, 1 voucher",
)
"""Those of tests/contracts/gas.json that are counted with here."""
MONTH_SECONDS: Final = 30 * 86_400
ORDER_SLOTS: Final = 30
ORDER_NEEDED: Final = 10
"""Of the usual order: any ten of thirty give it back."""
_MEASURED_SLOTS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SentCalls:
    """What somebody sends in a month, in words and sizes."""

    words: str
    size: CallSize
    transactions: int

    def cost_usd(self, prices: GasPrices, microusd: int) -> int:
        """In millionths of a dollar, rounded up; `microusd` is what a gas token is worth."""
        return -(-prices.cost_wei(self.size, self.transactions) * microusd // WEI)


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A month on a kind of chain."""

    farmer: SentCalls
    storing: SentCalls
    """What a renter sends at first."""
    renter: SentCalls
    """What it sends in each month."""


def month_of(preset: Preset) -> Month:
    """Thirty days with a preset's epochs."""
    epoch_blocks = preset.values["epoch_blocks"]
    proofs = round(MONTH_SECONDS / (epoch_blocks * preset.block_seconds))
    farmer = _measured("prove, 1 TiB, 128 slots", call_sizes.PROOF) * proofs
    farmer += _measured("redeem, 1 voucher", call_sizes.redeem(1)) + _measured("claim", call_sizes.CLAIM)
    words, transactions = f"{proofs:,} proofs, redeems vouchers once and claims once", proofs + 2
    if is_long(epoch_blocks):
        farmer += _measured("recordSeed", call_sizes.RECORD_SEED)
        words, transactions = f"{words}, and records a seed", transactions + 1
    more = ORDER_SLOTS - _MEASURED_SLOTS
    placing = gas_figures()["place, 8 slots"] + more * gas_figures()["place, per slot, mean after the first"]
    storing = CallSize(gas=placing, data_bytes=call_sizes.place(ORDER_SLOTS).data_bytes)
    extending = _measured("extend, 30 slots", call_sizes.extend(ORDER_SLOTS))
    return Month(
        farmer=SentCalls(words=words, size=farmer, transactions=transactions),
        storing=SentCalls(words=f"an order of {ORDER_SLOTS} slots", size=storing, transactions=1),
        renter=SentCalls(words="one extension", size=extending, transactions=1),
    )


@cache
def gas_figures() -> dict[str, int]:
    """The gas that was measured, by call."""
    text = (files(__package__) / FIGURES_NAME).read_text(encoding="utf-8")
    return {name: int(gas) for name, gas in parse_json(text).items()}


def _measured(figure: str, size: CallSize) -> CallSize:
    return CallSize(gas=gas_figures()[figure], data_bytes=size.data_bytes)

"""`grange market costs`: what gas comes to in a month beside the rent, as a table.

Decides what is shown, in whole numbers. Leaves what is counted to `grange.chain.month_costs`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grange.chain.gas_cost import DataPrices, GasPrices
from grange.chain.month_costs import ORDER_NEEDED, ORDER_SLOTS, Month, SentCalls, month_of
from grange.chain.presets import Preset
from grange.units import format_gwei, format_size, format_usd

SIZES_BYTES: Final = (10**11, 10**12, 10**13)
TB_BYTES: Final = 10**12
WORTH_PART: Final = 10
"""Gas is little where it is less than this part of the rent."""
_GAP: Final = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSettings:
    """What the table is made for. Dollars are in millionths, all else in wei."""

    preset: Preset
    gas_wei: tuple[int, ...]
    microusd: int
    byte_wei: int
    tb_microusd: int
    """What a farmer gets for a TB that it keeps for a month."""

    def prices(self, gas_wei: int) -> GasPrices:
        """Of one row."""
        return GasPrices(gas_wei=gas_wei, data=DataPrices(byte_wei=self.byte_wei))


def cost_lines(settings: CostSettings) -> Iterator[str]:
    """The table, in lines for a person."""
    month = month_of(settings.preset)
    data = (
        f", a byte of data costs {format_gwei(settings.byte_wei)} gwei besides" if settings.byte_wei else ""
    )
    yield f"{settings.preset.name}: {settings.preset.about}."
    yield f"A gas token is {format_usd(settings.microusd)}{data}."
    yield f"A TB that a farmer keeps brings {format_usd(settings.tb_microusd)} a month."
    yield ""
    yield "What gas costs in a month, and how much that is of the rent for three sizes. From the last size on"
    yield "it is a tenth of the rent, and less."
    yield ""
    yield f"A farmer sends in a month {month.farmer.words}:"
    yield f"{_amount(month.farmer)}."
    yield ""
    yield from _table(_rows(settings, month.farmer, settings.tb_microusd))
    yield ""
    yield (
        f"A renter stores with {ORDER_SLOTS} farmers, of which any {ORDER_NEEDED} give it back: it pays for "
        f"{ORDER_SLOTS // ORDER_NEEDED} TB a TB."
    )
    yield f"To store it sends {month.storing.words}, {_amount(month.storing)},"
    yield f"and in each month after that {month.renter.words} of it, {_amount(month.renter)}."
    yield ""
    yield from _table(_rows(settings, month.renter, _renter_tb(settings), storing=month.storing))


def cost_json(settings: CostSettings) -> dict[str, Any]:
    """The same for scripts. Amounts are strings, in millionths of a dollar."""
    month = month_of(settings.preset)
    return {
        "preset": settings.preset.name,
        "rows": [_row_json(settings, month, gas_wei) for gas_wei in settings.gas_wei],
    }


def _row_json(settings: CostSettings, month: Month, gas_wei: int) -> dict[str, Any]:
    prices = settings.prices(gas_wei)
    farmer, storing, renter = (
        work.cost_usd(prices, settings.microusd) for work in (month.farmer, month.storing, month.renter)
    )
    return {
        "gas_wei": str(gas_wei),
        "farmer_microusd": str(farmer),
        "farmer_worth_bytes": _worth_bytes(farmer, settings.tb_microusd),
        "storing_microusd": str(storing),
        "renter_microusd": str(renter),
        "renter_worth_bytes": _worth_bytes(renter, _renter_tb(settings)),
    }


def _renter_tb(settings: CostSettings) -> int:
    return settings.tb_microusd * ORDER_SLOTS // ORDER_NEEDED


def _rows(
    settings: CostSettings, work: SentCalls, tb_microusd: int, *, storing: SentCalls | None = None
) -> list[list[str]]:
    rents = [size * tb_microusd // TB_BYTES for size in SIZES_BYTES]
    head = ["gas", *(["to store"] if storing else []), "a month"]
    head += [
        f"{format_size(size)}: {format_usd(rent)}" for size, rent in zip(SIZES_BYTES, rents, strict=True)
    ]
    rows = [[*head, "a tenth from"]]
    for gas_wei in settings.gas_wei:
        prices = settings.prices(gas_wei)
        cost = work.cost_usd(prices, settings.microusd)
        first = [format_usd(storing.cost_usd(prices, settings.microusd))] if storing else []
        rows.append(
            [
                f"{format_gwei(gas_wei)} gwei",
                *first,
                format_usd(cost),
                *(_percent(cost, rent) for rent in rents),
                format_size(_worth_bytes(cost, tb_microusd)),
            ]
        )
    return rows


def _worth_bytes(cost: int, tb_microusd: int) -> int:
    """From what size on gas is a tenth of the rent, and less."""
    return -(-cost * WORTH_PART * TB_BYTES // tb_microusd)


def _percent(cost: int, rent: int) -> str:
    """With one digit behind the point, rounded up."""
    tenths = -(-cost * 1_000 // rent)
    return f"{tenths // 10:,}.{tenths % 10} %"


def _amount(work: SentCalls) -> str:
    return f"{work.size.gas:,} gas and {format_size(work.size.data_bytes)} of data"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns of the width of their longest text, with what is in them at the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield _GAP.join(text.rjust(width) for text, width in zip(row, widths, strict=True))

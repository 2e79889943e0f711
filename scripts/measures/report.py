"""What the figures mean: the targets that they must meet, and what others' contracts cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table

from measures.farmers import EPOCHS_A_MONTH

TARGETS = {
    "place_per_slot_30": 40_000,
    "prove_5_samples_1TiB": 350_000,
    "evict": 150_000,
    "refill_per_slot": 60_000,
    "close_30": 400_000,
}
"""At most so much gas."""

OTHER_CALLS = (
    "register",
    "update_farmer",
    "set_operator",
    "add_stake",
    "unstake",
    "claim",
    "deposit_first",
    "deposit",
    "deposit_with_permit",
    "request_withdrawal",
    "withdraw",
    "record_seed",
    "burn",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Another network's contract: gas of one audit of one deal, which a farmer there sends for every deal.

    Measured by running their contracts before this one was written: docs/contract.md has the figures.
    """

    name: str
    unit: str
    least: int
    most: int


OTHERS = (
    Other(name="Codex", unit="slot", least=340_000, most=340_000),
    Other(name="Filecoin PDPVerifier", unit="data set", least=315_000, most=445_000),
)


def summary(figures: Mapping[str, float]) -> dict[str, float | bool]:
    """The figures under the names that the targets have, and whether all are met."""
    chosen: dict[str, float] = {
        "prove_5_samples_1TiB": figures["prove_5_samples_1TiB_1000_slots"],
        "evict": _most(figures, "evict_"),
        "refill_per_slot": _most(figures, "refill_per_slot_"),
    }
    known = {**figures, **chosen}
    return {**chosen, "targets_met": all(known[name] <= limit for name, limit in TARGETS.items())}


def months(figures: Mapping[str, float], farm_slots: Sequence[int]) -> dict[str, float]:
    """Gas of a farmer for a month of daily audits, with us and with others."""
    found: dict[str, float] = {}
    for slots in farm_slots:
        found[f"month_{slots}_slots"] = figures[f"month_{slots}_slots"]
        for other in OTHERS:
            key = other.name.split()[0].lower()
            found[f"month_{slots}_slots_{key}_least"] = EPOCHS_A_MONTH * slots * other.least
            found[f"month_{slots}_slots_{key}_most"] = EPOCHS_A_MONTH * slots * other.most
    return found


def shown(
    figures: Mapping[str, float], engine: str, order_slots: Sequence[int], farm_slots: Sequence[int]
) -> RenderableType:
    """All for people: orders, farmers, accounts, months, targets."""
    return Group(
        _orders(figures, engine, order_slots),
        _farmers(figures, farm_slots),
        _accounts(figures),
        _months(figures, farm_slots),
        _targets(figures),
    )


def _most(figures: Mapping[str, float], prefix: str) -> float:
    return max(value for name, value in figures.items() if name.startswith(prefix))


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left")
    return table


def _row(table: Table, label: str, figures: Mapping[str, float], names: Sequence[str]) -> None:
    parts = [figures.get(name) for name in names]
    table.add_row(label, *("" if part is None else f"{part:,.0f}" for part in parts))


def _orders(figures: Mapping[str, float], engine: str, sizes: Sequence[int]) -> Table:
    table = _table(f"Gas on {engine}: orders", "", *(f"{size} slots" for size in sizes))
    for label, name in (
        ("place, a slot", "place_per_slot_{}"),
        ("  the first of its books", "place_per_slot_{}_first"),
        ("extend, a slot", "extend_per_slot_{}"),
        ("  the first of its books", "extend_per_slot_{}_first"),
        ("refill, a slot", "refill_per_slot_{}"),
        ("close, one missed", "close_{}"),
        ("close, all proven", "close_{}_all_proven"),
        ("redeem, a voucher", "redeem_per_voucher_{}"),
        ("declare loss, a slot", "declare_loss_per_slot_{}"),
    ):
        _row(table, label, figures, [name.format(size) for size in sizes])
    return table


def _farmers(figures: Mapping[str, float], sizes: Sequence[int]) -> Table:
    table = _table("A farmer of 1 TiB", "", *(f"{size:,} slots" for size in sizes))
    for label, name in (
        ("prove, 5 samples", "prove_5_samples_1TiB_{}_slots"),
        ("  its first", "prove_5_samples_1TiB_{}_slots_first"),
        ("  the most", "prove_5_samples_1TiB_{}_slots_max"),
        ("settle a missed epoch", "settle_{}_slots"),
        ("evict", "evict_{}_slots"),
    ):
        _row(table, label, figures, [name.format(size) for size in sizes])
    return table


def _accounts(figures: Mapping[str, float]) -> Table:
    table = _table("Other calls", "", "gas")
    for name in OTHER_CALLS:
        _row(table, name.replace("_", " "), figures, [name])
    return table


def _months(figures: Mapping[str, float], sizes: Sequence[int]) -> Table:
    table = _table("A month of daily audits, million gas", "", *(f"{size:,} slots" for size in sizes))
    found = months(figures, sizes)
    table.add_row("Grange", *(f"{found[f'month_{size}_slots'] / 1e6:,.1f}" for size in sizes))
    for other in OTHERS:
        parts = [EPOCHS_A_MONTH * size * other.least / 1e6 for size in sizes]
        most = [EPOCHS_A_MONTH * size * other.most / 1e6 for size in sizes]
        cells = [
            f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
            for low, high in zip(parts, most, strict=True)
        ]
        table.add_row(f"{other.name}, a {other.unit} each", *cells)
    return table


def _targets(figures: Mapping[str, float]) -> Table:
    table = _table("Targets", "", "gas", "at most")
    known = {**figures, **summary(figures)}
    for name, limit in TARGETS.items():
        table.add_row(
            name, f"{known[name]:,.0f}", f"{limit:,}", style=None if known[name] <= limit else "red"
        )
    return table

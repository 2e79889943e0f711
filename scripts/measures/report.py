"""The figures as tables, beside the targets and what others' contracts cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from measures.farmers import EPOCHS_A_MONTH
from measures.others import AUDITS, FILLS, Other
from measures.targets import judge

OTHER_CALLS = (
    "register",
    "register_with_permit",
    "update_farmer",
    "set_operator",
    "set_limits",
    "add_stake",
    "unstake",
    "claim",
    "deposit_first",
    "deposit",
    "deposit_with_permit_first",
    "deposit_with_permit",
    "request_withdrawal",
    "withdraw",
    "record_seed",
    "burn",
)


def months(figures: Mapping[str, float], farm_slots: Sequence[int]) -> dict[str, float]:
    """Gas of a farmer for a month of daily audits, with us and with others."""
    found: dict[str, float] = {}
    for slots in farm_slots:
        found[f"month_{slots}_slots"] = figures[f"month_{slots}_slots"]
        for other in AUDITS:
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
        _others(figures, order_slots, farm_slots),
        _targets(figures, order_slots, farm_slots),
    )


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left", overflow="fold")
    return table


def _row(table: Table, label: str, figures: Mapping[str, float], names: Sequence[str]) -> None:
    parts = [figures.get(name) for name in names]
    table.add_row(label, *("" if part is None else f"{part:,.0f}" for part in parts))


def _orders(figures: Mapping[str, float], engine: str, sizes: Sequence[int]) -> Table:
    table = _table(f"Gas on {engine}: orders", "", *(f"{size} slots" for size in sizes))
    for label, name in (
        ("place, a slot", "place_per_slot_{}"),
        ("  the first of its books", "place_per_slot_{}_first"),
        ("  the 17th, with a permit", "place_per_slot_{}_with_permit"),
        ("extend, a slot", "extend_per_slot_{}"),
        ("  the first of its books", "extend_per_slot_{}_first"),
        ("  with a permit", "extend_per_slot_{}_with_permit"),
        ("  by mandate", "extend_per_slot_{}_by_mandate"),
        ("hand over, a slot, four from the front", "hand_over_per_slot_{}"),
        ("  four from within a book", "hand_over_per_slot_{}_from_within"),
        ("  alone, the first to its taker", "hand_over_{}_alone"),
        ("recover a slot", "recover_{}"),
        ("refill, a slot", "refill_per_slot_{}"),
        ("close, one missed", "close_{}"),
        ("close, all proven", "close_{}_all_proven"),
        ("close, farmers to be evicted", "close_{}_to_be_evicted"),
        ("evict one of its farmers, unsettled", "evict_of_an_order_of_{}"),
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
        ("evict, settled before", "evict_{}_slots"),
        ("evict, unsettled", "evict_{}_slots_unsettled"),
    ):
        _row(table, label, figures, [name.format(size) for size in sizes])
    _row(table, "evict, unsettled, books of all dates", figures, ["evict_all_books_unsettled"])
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
    for other in AUDITS:
        cells = [
            _range(EPOCHS_A_MONTH * size * other.least / 1e6, EPOCHS_A_MONTH * size * other.most / 1e6)
            for size in sizes
        ]
        table.add_row(f"{other.name}, a {other.unit} each", *cells)
    table.caption = "\n".join(f"{other.name}: {other.source}" for other in AUDITS)
    table.caption_justify = "left"
    return table


def _others(figures: Mapping[str, float], order_slots: Sequence[int], farm_slots: Sequence[int]) -> Table:
    """Others' figures beside ours, each with its source."""
    table = _table("Beside other networks", "", "gas", "source")
    for size in order_slots:
        table.add_row(
            f"Grange, place, a slot of {size}", f"{figures[f'place_per_slot_{size}']:,.0f}", "measured here"
        )
    _add_others(table, FILLS)
    for size in farm_slots:
        gas = figures[f"prove_5_samples_1TiB_{size}_slots"]
        table.add_row(f"Grange, a proof of all {size:,} slots", f"{gas:,.0f}", "measured here")
    _add_others(table, AUDITS)
    return table


def _add_others(table: Table, others: Sequence[Other]) -> None:
    for other in others:
        table.add_row(f"{other.name}, {other.what}", _range(other.least, other.most), other.source)


def _range(least: float, most: float) -> str:
    return f"{least:,.0f}" if least == most else f"{least:,.0f} to {most:,.0f}"


def _targets(figures: Mapping[str, float], order_slots: Sequence[int], farm_slots: Sequence[int]) -> Table:
    table = _table("Targets", "", "gas", "at most", "")
    for one in judge(figures, order_slots, farm_slots):
        note = "" if one.is_within else f"over by {one.gas - one.at_most:,.0f}"
        if one.why_not_applied:
            note = f"{note or 'within'}; not applied: {one.why_not_applied}"
        table.add_row(
            one.figure,
            f"{one.gas:,.0f}",
            f"{one.at_most:,}",
            note,
            style="red" if one.is_missed else None,
        )
    return table

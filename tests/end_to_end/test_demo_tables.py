"""The demo's tables fit a terminal of 80 columns: every number, every heading."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from grange.token_unit import PLAIN_UNIT
from grange.units import TOKEN
from stories.stage import MAX_EPOCH_COLUMNS, epoch_table, table

AMOUNT = PLAIN_UNIT.number_rounded_down(123 * TOKEN + 36_621_093_750_000_001)


def drawn(what: Table) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("last", [16, 128])
def test_the_table_of_epochs_fits(last: int) -> None:
    """However long the order: the latest epochs are shown, and nothing is cut."""
    epochs = range(last - 16, last)
    names = {3: "", 5: "deleted data"}
    shown = drawn(epoch_table(names, epochs, {3: frozenset(epochs)}, {3: AMOUNT, 5: "0"}, last))
    assert "…" not in shown
    assert all(text in shown for text in ("farmer", "deleted data", AMOUNT, str(last - 1)))
    assert shown.count("●") == shown.count("✗") == MAX_EPOCH_COLUMNS


def test_the_bill_fits() -> None:
    columns = (">farmer", ">proven", ">missed", ">earned", ">refund", ">compensation")
    shown = drawn(table(*columns, rows=[("5", "12", "0", AMOUNT, AMOUNT, AMOUNT)]))
    assert "…" not in shown
    assert all(column.removeprefix(">") in shown for column in columns)
    assert shown.count(AMOUNT) == 3

"""The tables of docs/durability.md: each is made of the commands above it."""

from __future__ import annotations

import shlex
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from grange_simulate.gang import Renter
from lib import durability

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "durability.md").read_text(encoding="utf-8")
LOST = {
    "probability": 0.05,
    "low": 0.04,
    "high": 0.0612,
    "losses": 7,
    "orders": 100,
    "design_effect": 1.0,
    "one_fate_high": None,
}
AMOUNTS = ("read_tib", "wasted_tib", "read_by_renters_tib", "repair_cost", "rent", "unpaid", "left_out")


def given(command: str) -> Any:
    """What a command would give, all numbers the same."""
    words = shlex.split(command)

    def of(option: str, default: list[str]) -> list[str]:
        return [after for word, after in pairwise(words) if word == option] or default

    if words[:1] == ["check"]:
        row = {"k": 4, "n": 8, "lifetime_days": 60.0, "repair_days": None, "exact": 0.1, "simulated": LOST}
        return [row] * 5
    gang = words[:1] == ["gang"]
    codes = of("--code", ["4/8", "10/30"] if gang else ["4/8", "10/20", "10/30", "29/80"])
    named = [dict(zip("kn", map(int, code.split("/")), strict=True)) for code in codes]
    if gang:
        shares = [float(share) for share in of("--share", ["0.05", "0.1", "0.2", "0.3", "0.4"])]
        counts = {"orders": (20, 20), "enough": (1, 0), "danger": (0, 0), "everything": (0, 0)}
        cases = product(named, Renter, shares)
        return {
            "cases": [
                {"code": code, "renter": str(renter), "gang": {"share": share}, **counts}
                | {"slots": 1.5, "price": 0.5}
                for code, renter, share in cases
            ]
        }
    losses = dict.fromkeys(("loss_per_year", "calm_loss_per_year", "shock_loss", "ended_per_year"), LOST)
    return {"codes": [code | losses | dict.fromkeys(AMOUNTS, 0.5) for code in named]}


@pytest.fixture(autouse=True)
def _no_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durability, "_given", given)


def test_all_tables_of_the_page_are_given_by_the_commands_above_them() -> None:
    written = durability.with_tables(PAGE)
    kept, made = PAGE.splitlines(), written.splitlines()
    assert len(kept) == len(made)
    rows = [
        line for line in kept if line.startswith("| ") and not line.startswith(("| code", "| its", "| ---"))
    ]
    changed = [before for before, after in zip(kept, made, strict=True) if before != after]
    assert len(rows) > 50
    assert changed == rows, "a table is not written, or a line beside the tables is"


def test_of_each_table_the_first_row_is_looked_at_when_it_must_be_quick() -> None:
    made = durability.with_tables(PAGE, first_rows_only=True).splitlines()
    changed = [i for i, (a, b) in enumerate(zip(PAGE.splitlines(), made, strict=True)) if a != b]
    assert len(changed) == PAGE.count("| --- |\n")
    assert all(made[i - 1].startswith("| ---") for i in changed)


def test_rows_are_those_of_each_code_under_each_command() -> None:
    page = """
    grange simulate --extension-days 30 --code 4/8 --code 2/5
    grange simulate --extension-days 90 --code 4/8 --code 2/5

| code | extended every | lost in a year | rent |
| --- | --- | --- | --- |
| a | | | |
| b | | | |
| c | | | |
| d | | | |

"""
    assert durability.with_tables(page).splitlines()[6:] == [
        "| 4 of 8 | 30 days | 5 (4–6.1) | 0.50 |",
        "| 4 of 8 | 90 days | 5 (4–6.1) | 0.50 |",
        "| 2 of 5 | 30 days | 5 (4–6.1) | 0.50 |",
        "| 2 of 5 | 90 days | 5 (4–6.1) | 0.50 |",
    ]
    with pytest.raises(ValueError, match="has 3 rows"):
        durability.with_tables(page.replace("| d | | | |\n", ""))
    with pytest.raises(KeyError, match="colour"):
        durability.with_tables(page.replace("rent", "colour"))

"""What `scripts/bench gas` makes of its figures: targets, exit status, sources."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from measures.others import sources
from measures.report import shown
from measures.targets import Judged, judge, summary, verdict

ORDERS = (8, 30, 80)
FARMS = (1, 1_000, 100_000)


def figures(**changed: float) -> dict[str, float]:
    """All that has a target, at it; and what else the tables need."""
    found: dict[str, float] = {"close_30": 400_000, "evict_all_books_unsettled": 150_000}
    for size in ORDERS:
        found[f"place_per_slot_{size}"] = 40_000
        found[f"place_per_slot_{size}_first"] = 40_000
        found[f"refill_per_slot_{size}"] = 60_000
        found[f"evict_of_an_order_of_{size}"] = 150_000
        found[f"hand_over_per_slot_{size}"] = found[f"hand_over_per_slot_{size}_from_within"] = 100_000
        found[f"extend_per_slot_{size}_by_mandate_more"] = 15_000
    for slots in FARMS:
        found[f"prove_5_samples_1TiB_{slots}_slots"] = 350_000
        found[f"month_{slots}_slots"] = 30 * 350_000
        found[f"evict_{slots}_slots"] = found[f"evict_{slots}_slots_unsettled"] = 150_000
    return {**found, **changed}


def judged(**changed: float) -> list[Judged]:
    return judge(figures(**changed), ORDERS, FARMS)


HELD = [one.figure for one in judged() if not one.why_not_applied]
NOT_HELD = [one.figure for one in judged() if one.why_not_applied]


def test_every_size_of_order_and_farmer_is_held_to_the_targets() -> None:
    """But orders of few slots, the first slot in a book, and slots that leave one from within."""
    assert len(HELD) == 2 + 3 + 2 * 3 + 3 + 1 + 3 + 1 + 3 + 3
    assert [
        "place_per_slot_8",
        *(f"place_per_slot_{size}_first" for size in ORDERS),
        *(f"hand_over_per_slot_{size}_from_within" for size in ORDERS),
    ] == NOT_HELD


def test_figures_at_their_targets_are_within(capsys: pytest.CaptureFixture[str]) -> None:
    """At most is at most."""
    assert summary(judged())["targets_met"] is True
    assert verdict(judged()) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("figure", HELD)
def test_a_missed_target_is_told_and_fails(figure: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Which, and by how much, on standard error alone: standard output is for the figures."""
    missed = judged(**{figure: figures()[figure] + 1_234})
    assert summary(missed)["targets_met"] is False
    assert verdict(missed) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{figure} by 1,234" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("figure", NOT_HELD)
def test_a_target_that_is_not_applied_is_told_with_its_reason(figure: str) -> None:
    """It fails nothing, and hides nothing."""
    changed = {figure: figures()[figure] + 5_287}
    over = judged(**changed)
    assert verdict(over) == 0
    found = summary(over)["targets"]
    assert isinstance(found, dict)
    assert found[figure]["within"] is False
    assert found[figure]["why_not_applied"]
    assert "over by 5,287; not applied" in table(figures(**changed))


def test_a_target_of_what_was_not_measured_is_an_error() -> None:
    """Nothing is met by being left out."""
    left_out = figures()
    del left_out["close_30"]
    with pytest.raises(KeyError, match="close_30"):
        judge(left_out, ORDERS, FARMS)


def test_every_figure_of_others_has_its_source_in_table_and_json() -> None:
    """A repository and a contract in it."""
    printed, others = table(figures()), sources()["others"]
    assert [(other["name"], other["least"]) for other in others] == [
        ("Codex", 590_000),
        ("Codex", 340_000),
        ("Filecoin PDPVerifier", 315_000),
    ]
    for other in others:
        assert f"{other['least']:,}" in printed
        assert str(other["source"]).endswith(".sol")
        assert str(other["source"]) in printed
    json.dumps(others)


def table(found: dict[str, float]) -> str:
    """As printed on a wide terminal."""
    console = Console(file=io.StringIO(), width=250)
    console.print(shown(found, "anvil", ORDERS, FARMS))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()

"""Whole networks, small ones: what is repaired, lost and paid; and the command."""

import dataclasses
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from grange.errors import Misuse
from grange_simulate import report
from grange_simulate.assumptions import Assumptions, Code, Farmers, Prices
from grange_simulate.cli import app
from grange_simulate.extensions import Extensions
from grange_simulate.network import simulated

SMALL = Assumptions(
    years=0.5, orders=200, networks=2, farmers=Farmers(count=300, lifetime_days=120, lifetime_shape=1.0)
)
CODES = (Code(k=4, n=8), Code(k=10, n=30))


def test_the_same_seed_gives_the_same_tallies() -> None:
    assert simulated(SMALL, CODES, 5, 0) == simulated(SMALL, CODES, 5, 0)
    assert simulated(SMALL, CODES, 5, 0) != simulated(SMALL, CODES, 5, 1)


def test_workers_change_nothing() -> None:
    assert report.run(SMALL, CODES, 5, workers=1) == report.run(SMALL, CODES, 5, workers=2)


def test_repairers_earn_more_than_they_spend() -> None:
    for tally in simulated(SMALL, CODES, 5, 0):
        assert tally.rebuilt > 100
        assert tally.bounties > tally.cost > 0


def test_where_repair_never_pays_nobody_repairs() -> None:
    dear = dataclasses.replace(SMALL, prices=Prices(egress_per_tib=1000))
    for tally in simulated(dear, CODES, 5, 0):
        assert (tally.passes, tally.rebuilt, tally.read_bytes) == (0, 0, 0)
        assert tally.losses > 0
        assert tally.unpaid_losses > tally.losses / 2


def test_renters_that_extend_fill_what_nobody_repairs() -> None:
    """Where repair never pays, an order whose renter extends it every two weeks is lost less often; each
    extension reads k slots, and what it fills is vacant no more."""
    dear = dataclasses.replace(SMALL, prices=Prices(egress_per_tib=1000))
    cared_for = dataclasses.replace(dear, extension_days=14)
    for alone, filled in zip(simulated(dear, CODES, 5, 0), simulated(cared_for, CODES, 5, 0), strict=True):
        assert filled.losses < alone.losses / 2
        assert filled.slot_days / filled.order_days > alone.slot_days / alone.order_days
        assert (alone.filled_by_renters, alone.read_by_renters_bytes) == (0, 0)
        slot_bytes = SMALL.slot_bytes(filled.code)
        assert filled.filled_by_renters * slot_bytes >= filled.read_by_renters_bytes / filled.code.k > 0


def test_repairers_leave_to_renters_what_these_fill_first() -> None:
    for alone, filled in zip(
        simulated(SMALL, CODES, 5, 0),
        simulated(dataclasses.replace(SMALL, extension_days=14), CODES, 5, 0),
        strict=True,
    ):
        assert 0 < filled.rebuilt < alone.rebuilt
        assert filled.rebuilt + filled.filled_by_renters > alone.rebuilt / 2


def test_each_order_is_due_once_in_so_many_days_until_it_is_extended() -> None:
    extensions = Extensions(1000, 30, np.random.default_rng(1))
    assert len(extensions.due(0)) == 0
    first = extensions.due(1)
    assert 10 < len(first) < 60
    assert set(first) < set(extensions.due(2)), "what is not done stays due"
    assert len(extensions.due(30)) == 1000
    extensions.extended(np.arange(1000))
    assert set(extensions.due(31)) == set(first)
    assert len(Extensions(10, 0, np.random.default_rng(1)).due(10**6)) == 0


def test_a_network_that_nobody_leaves_loses_and_repairs_nothing() -> None:
    loyal = dataclasses.replace(SMALL, farmers=Farmers(count=300, lifetime_days=1e9, shocks=0))
    for tally in simulated(dataclasses.replace(loyal, years=0.1), CODES, 5, 0):
        assert tally.losses == tally.shock_at_risk == 0
        assert tally.order_days == 200 * 36


def test_a_pass_reads_k_slots_and_writes_what_it_rebuilds() -> None:
    for tally in simulated(SMALL, CODES, 5, 0):
        slot_bytes = SMALL.slot_bytes(tally.code)
        assert tally.read_bytes - tally.wasted_bytes == tally.passes * tally.code.k * slot_bytes
        assert 0 < tally.wasted_bytes < 2 * tally.read_bytes / 3
        assert tally.written_bytes >= tally.rebuilt * slot_bytes


@pytest.mark.parametrize(
    "wrong", [{"years": 0.01}, {"years": 21.0}, {"orders": 0}, {"order_gib": 0.0}, {"extension_days": -1}]
)
def test_what_cannot_be_simulated_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(Misuse):
        dataclasses.replace(SMALL, **wrong)


ROOT = Path(__file__).parents[2]
FEW = ["--farmers", "200", "--years", "0.2", "--orders", "50", "--networks", "2", "--workers", "1"]


def test_the_command_prints_every_code_with_its_interval_as_json() -> None:
    result = CliRunner().invoke(app, [*FEW, "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert [(one["k"], one["n"]) for one in answer["codes"]] == [(4, 8), (10, 20), (10, 30), (29, 80)]
    for one in answer["codes"]:
        loss = one["loss_per_year"]
        assert 0 <= loss["low"] <= loss["probability"] <= loss["high"] <= 1
        assert {"read_tib", "written_tib", "repair_cost"} <= one.keys()
    assert answer["assumptions"]["farmers"]["count"] == 200


def test_the_command_prints_tables_and_draws(tmp_path: Path) -> None:
    drawing = tmp_path / "losses.svg"
    result = CliRunner().invoke(app, [*FEW, "--code", "4/8", "--code", "2/4", "--plot", str(drawing)])
    assert result.exit_code == 0, result.output
    assert "4 of 8" in result.stdout
    assert "2 of 4" in result.stdout
    words = [element.text for element in ElementTree.fromstring(drawing.read_text()).iter() if element.text]
    assert {"4 of 8", "2 of 4", "read", "written"} <= set(words)


def test_the_committed_drawing_of_the_policy_is_what_the_command_draws(tmp_path: Path) -> None:
    drawing = tmp_path / "policy.svg"
    CliRunner().invoke(app, ["policy", "--plot", str(drawing), "--code", "10/30"])
    assert drawing.read_text() == (ROOT / "docs" / "repair-policy.svg").read_text()


def test_the_same_seed_prints_the_same() -> None:
    first, second, other = (
        CliRunner().invoke(app, [*FEW, "--json", "--code", "4/8", "--seed", seed]).stdout for seed in "334"
    )
    assert first == second != other


def test_the_policy_is_drawn_with_every_answer_that_it_gives(tmp_path: Path) -> None:
    drawing = tmp_path / "policy.svg"
    result = CliRunner().invoke(app, ["policy", "--plot", str(drawing), "--code", "4/8"])
    assert result.exit_code == 0, result.output
    words = [element.text for element in ElementTree.fromstring(drawing.read_text()).iter() if element.text]
    assert {"4 live", "7 live", "days since the slots fell vacant"} <= set(words)
    assert CliRunner().invoke(app, ["policy", "--plot", str(drawing), "--code", "8/4"]).exit_code == 2
    assert CliRunner().invoke(app, ["policy", "--plot", str(tmp_path / "no" / "x.svg")]).exit_code == 4


@pytest.mark.parametrize(
    "options",
    [
        ["--code", "8"],
        ["--code", "9/8"],
        ["--farmers", "5"],
        ["--farmers", "many"],
        ["--years", "99"],
        ["--years", "nan"],
        ["--orders", "0"],
        ["--orders", "1000000000"],
        ["--networks", "0"],
        ["--order-gib", "nan"],
        ["--lifetime-days", "nan"],
        ["--lifetime-shape", "0"],
        ["--shock-share", "2"],
        ["--shock-hours", "nan"],
        ["--upload-mbit", "inf"],
        ["--egress", "inf"],
        ["--rent", "-1"],
        ["--collateral-epochs", "3"],
        ["--max-misses", "0"],
        ["--workers", "0"],
        ["--extension-days", "-1"],
        ["--seed", "-1"],
    ],
)
def test_wrong_usage_ends_in_words_and_status_2(options: list[str]) -> None:
    result = CliRunner().invoke(app, [*FEW, *options])
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_drawing_that_cannot_be_written_ends_in_words_and_status_4(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*FEW, "--code", "4/8", "--plot", str(tmp_path / "no" / "where.svg")])
    assert result.exit_code == 4
    assert "cannot be written" in result.output

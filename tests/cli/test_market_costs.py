"""`grange market costs`: what gas comes to in a month, as measured, and what docs/live.md has of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from grange.chain.gas_cost import ENVELOPE_BYTES
from grange.chain.month_costs import FIGURES, gas_figures, month_of
from grange.chain.presets import PRESETS
from grange.cli.exit_codes import ExitCode
from grange.cli.market import app
from lib.market_costs import BEGINS, COMMAND, with_costs

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")
MEASURED = json.loads((ROOT / "tests" / "contracts" / "gas.json").read_text())
ROLLUP = ("--preset", "rollup", "--gas-usd", "3000", "--gas-gwei", "1")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["costs", *arguments])


def row(*arguments: str) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    [found] = json.loads(done.stdout)["rows"]
    return found  # type: ignore[no-any-return]


def test_the_package_has_the_figures_that_are_measured() -> None:
    assert gas_figures() == {name: MEASURED[name] for name in FIGURES}


def test_the_page_has_what_its_commands_print() -> None:
    assert len(COMMAND.findall(PAGE.split(BEGINS)[1])) >= 2
    assert with_costs(PAGE) == PAGE, "run scripts/market-costs"


def test_a_page_whose_tables_are_empty_is_filled() -> None:
    empty = f"{BEGINS}\n    grange market costs {' '.join(ROLLUP)}\n\n```text\n```\n\n<!-- end -->\n"
    filled = with_costs(empty)
    assert "a tenth from" in filled
    assert with_costs(filled) == filled


def test_a_month_on_a_rollup_is_thirty_proofs_and_a_seed() -> None:
    month = month_of(PRESETS["rollup"])
    gas = 30 * MEASURED["prove, 1 TiB, 128 slots"]
    gas += MEASURED["recordSeed"] + MEASURED["claim"] + MEASURED["redeem, 1 voucher"]
    assert (month.farmer.size.gas, month.farmer.transactions) == (gas, 33)
    assert month_of(PRESETS["mainnet"]).farmer.transactions == 32
    # A gwei is 3 millionths of a dollar: all whole numbers, rounded up.
    assert row(*ROLLUP)["farmer_microusd"] == str(3 * gas)


def test_what_data_costs_is_added() -> None:
    month = month_of(PRESETS["rollup"])
    data_bytes = month.farmer.size.data_bytes + month.farmer.transactions * ENVELOPE_BYTES
    besides = int(row(*ROLLUP, "--data-gwei", "2")["farmer_microusd"]) - int(row(*ROLLUP)["farmer_microusd"])
    assert besides == 3 * 2 * data_bytes


def test_it_is_worth_it_from_where_gas_is_a_tenth_of_the_rent() -> None:
    """Of two dollars a TB that a farmer keeps; a renter pays for three."""
    found = row(*ROLLUP)
    for who, dollars_a_tb in (("farmer", 2), ("renter", 6)):
        rent = found[f"{who}_worth_bytes"] * dollars_a_tb * 10**6 // 10**12
        assert abs(rent - 10 * int(found[f"{who}_microusd"])) <= 10
    assert row(*ROLLUP, "--tb-usd", "4")["farmer_worth_bytes"] == pytest.approx(
        found["farmer_worth_bytes"] / 2, abs=1
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--gas-usd", "0"),
        ("--gas-usd", "dear"),
        ("--gas-gwei", "1,,2"),
        ("--gas-gwei", "0"),
        ("--tb-usd", "0"),
        ("--data-gwei", "x"),
        ("--preset", "other"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(options: tuple[str, str]) -> None:
    assert run(*ROLLUP, *options).exit_code == ExitCode.USAGE

"""What durability.md assumes of a market is what the presets of live chains have."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from grange.chain.presets import PRESETS
from grange.cli.market import costs
from grange_simulate.assumptions import DAYS_PER_MONTH, Rules

DURABILITY = (Path(__file__).parents[2] / "docs" / "durability.md").read_text(encoding="utf-8")
LIVE = pytest.mark.parametrize("name", [name for name in PRESETS if name != "test"])


@LIVE
def test_the_simulation_plays_the_rules_of_live_markets(name: str) -> None:
    values = PRESETS[name].values
    assert {one.name: values[one.name] for one in fields(Rules)} == {
        one.name: getattr(Rules(), one.name) for one in fields(Rules)
    }


@LIVE
def test_an_epoch_of_a_live_market_is_the_day_that_the_simulation_counts_in(name: str) -> None:
    preset = PRESETS[name]
    assert preset.values["epoch_blocks"] * preset.block_seconds == 24 * 3600
    assert preset.values["grid_epochs"] == DAYS_PER_MONTH


@LIVE
def test_the_collateral_is_what_durability_asks_for(name: str) -> None:
    [least] = re.findall(r"should have a collateral of (\d+) epochs or more", DURABILITY)
    assert PRESETS[name].values["collateral_epochs"] >= int(least)


@LIVE
def test_the_least_stake_is_what_a_terabyte_has_at_stake(name: str) -> None:
    """At what `grange market costs` assumes that it brings in a month, at a dollar a token."""
    preset = PRESETS[name]
    month = int(inspect.signature(costs).parameters["tb_usd"].default)
    assert preset.min_stake_tokens == month * preset.values["collateral_epochs"] // DAYS_PER_MONTH

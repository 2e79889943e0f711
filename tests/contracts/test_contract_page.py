"""docs/contract.md speaks of every function of the market, and of the money that each call moves."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "contract.md").read_text(encoding="utf-8")
ABI = json.loads((resources.files("grange.chain") / "abi" / "Market.json").read_text())["abi"]
FUNCTIONS = {entry["name"]: entry for entry in ABI if entry["type"] == "function"}
CALLS = {name for name, entry in FUNCTIONS.items() if entry["stateMutability"] not in ("view", "pure")}

BRING_IN = {"addStake", "deposit", "depositWithPermit", "register", "registerWithPermit"}
"""Tokens come into the market: they are stake or vault at once."""
IN_OTHER_WAYS = {"extendWithPermit": "extend", "placeFor": "place", "placeWithPermit": "place"}
BEGIN_A_STATE = {
    "declareLoss": "declared lost",
    "handOver": "handed over",
    "requestWithdrawal": "was announced",
}
"""They move nothing themselves: the table has what follows."""
MOVE_NOTHING = {
    "authorize",
    "coverOrders",
    "cutFront",
    "giveMandate",
    "recordSeed",
    "revokeMandates",
    "setLimits",
    "setOperator",
    "updateFarmer",
}


def money_table() -> str:
    """What stands below "Whose the money is"."""
    return PAGE.split("\n## Whose the money is\n")[1].split("\n## ")[0]


def test_the_page_names_every_function() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert len(FUNCTIONS) > 40
    assert set(FUNCTIONS) <= named


def test_the_table_of_money_has_every_call_that_moves_any() -> None:
    table = money_table()
    named = set(re.findall(r"`(\w+)`", table)) & CALLS
    elsewhere = BRING_IN | set(IN_OTHER_WAYS) | set(BEGIN_A_STATE) | MOVE_NOTHING
    assert named | elsewhere == CALLS
    assert not named & (BRING_IN | MOVE_NOTHING)
    assert set(IN_OTHER_WAYS.values()) <= named
    assert all(state in table for state in BEGIN_A_STATE.values())

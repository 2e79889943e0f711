"""Stories in Solidity count every call of the market that changes anything: none can be left out."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

ABI = json.loads((resources.files("grange.chain") / "abi" / "Market.json").read_text())["abi"]
CHANCE = Path(__file__).parent / "support" / "Chance.sol"


def test_stories_count_every_call_that_changes_anything() -> None:
    listed = re.search(r"enum Done \{([^}]*)\}", CHANCE.read_text(encoding="utf-8"))
    assert listed is not None
    counted = [name.strip() for name in listed[1].split(",")]
    calls = {
        entry["name"]
        for entry in ABI
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }
    assert sorted(name[0].lower() + name[1:] for name in counted) == sorted(calls)

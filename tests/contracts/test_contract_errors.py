"""Every error that the contracts declare is expected by a Solidity test, with the values that explain it."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ABI = json.loads((resources.files("grange.chain") / "abi" / "Market.json").read_text())["abi"]
UNREACHABLE = {"InvalidShortString", "StringTooLong"}
"""OpenZeppelin's EIP-712 declares them for names of more than 31 bytes; the market's is "Grange"."""

ERRORS = {
    entry["name"]: len(entry["inputs"])
    for entry in ABI
    if entry["type"] == "error" and entry["name"] not in UNREACHABLE
}
WRITTEN = "\n".join(path.read_text() for path in sorted(TESTS.glob("*.t.sol")))


def test_there_are_errors_to_look_for() -> None:
    """An ABI file without errors would make the tests below say nothing."""
    assert len(ERRORS) > 70


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_an_error_is_expected_with_its_values(name: str) -> None:
    """The selector is followed by values, unless the error has none."""
    follows = r"\s*," if ERRORS[name] else r"\b"
    assert re.search(rf"\b{name}\.selector{follows}", WRITTEN), (
        f"no Solidity test in {TESTS} expects {name} with its {ERRORS[name]} values"
    )

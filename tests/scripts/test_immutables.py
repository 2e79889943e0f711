"""Where constructors write what is found by deploying the parts, not by the compiler's numbers."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest

from grange.chain.deployment import PARTS
from lib.immutables import find_immutables


def compiled(part: str) -> dict[str, Any]:
    """A part as the compiler hands it on: its words have numbers in the place of names."""
    text = resources.files("grange.chain").joinpath("abi", f"{part}.json").read_text(encoding="utf-8")
    shipped = json.loads(text)
    references = {
        str(number): [{"start": start, "length": 32} for start in starts]
        for number, starts in enumerate(shipped["immutables"].values())
    }
    return shipped | {"immutableReferences": references}


def test_the_words_that_the_package_names_are_those_that_the_constructors_write() -> None:
    artifacts = {part: compiled(part) for part in PARTS}
    assert find_immutables(artifacts) == {part: artifacts[part]["immutables"] for part in PARTS}


def test_a_word_that_nothing_explains_is_a_fault() -> None:
    artifacts = {part: compiled(part) for part in PARTS}
    artifacts["Market"]["immutableReferences"]["99"] = [{"start": 0, "length": 32}]
    with pytest.raises(ValueError, match=r"what Market's code holds at \[0\]"):
        find_immutables(artifacts)

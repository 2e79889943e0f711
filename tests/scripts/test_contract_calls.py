"""The page about what each external call of the contract goes through, and how it is read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lib.contract_calls import external_calls, page
from lib.tree import PARTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "contract-calls.md").read_text(encoding="utf-8")
ABI = json.loads((ROOT / "protocol" / "grange" / "chain" / "abi" / "Market.json").read_text())["abi"]
MARKET, FARMERS, SLOTS, ACCOUNTS = PARTS


def test_the_page_has_a_section_for_every_external_function_and_no_other() -> None:
    functions = {entry["name"] for entry in ABI if entry["type"] == "function"}
    sections = re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)
    assert len(functions) > 40
    assert sorted(sections) == sorted(functions)


def test_the_page_names_all_parameters_of_each_call() -> None:
    for entry in ABI:
        if entry["type"] == "function":
            assert re.search(rf"^`{entry['name']}\((\w+(, \w+)*)?\)`, in `", PAGE, re.MULTILINE), entry[
                "name"
            ]
            [shown] = re.findall(rf"^`{entry['name']}\((.*)\)`", PAGE, re.MULTILINE)
            assert len(shown.split(", ") if shown else []) == len(entry["inputs"]), entry["name"]


def function(number: int, name: str, *body: dict[str, Any], **others: Any) -> dict[str, Any]:
    """A function's node, of which an external one is declared as function 1."""
    node = {
        "id": number,
        "nodeType": "FunctionDefinition",
        "name": name,
        "visibility": "internal",
        "kind": "function",
        "implemented": True,
        "body": {"nodeType": "Block", "statements": list(body)},
    }
    return node | others


def call(number: int, position: int) -> dict[str, Any]:
    named = {"nodeType": "Identifier", "name": "called", "referencedDeclaration": number}
    return {"nodeType": "FunctionCall", "src": f"{position}:1:0", "expression": named}


def emit(name: str) -> dict[str, Any]:
    return {"nodeType": "EmitStatement", "eventCall": {"expression": {"memberName": name}}}


def refuse(name: str) -> dict[str, Any]:
    return {"nodeType": "RevertStatement", "errorCall": {"expression": {"name": name}}}


def sources(*functions: dict[str, Any]) -> dict[str, Any]:
    """Standard JSON's `sources`: an interface with `go`, a market of one module, and parts without calls."""
    declared = function(
        1,
        "go",
        visibility="external",
        implemented=False,
        parameters={"parameters": [{"name": "where"}]},
        documentation={"text": "@notice Goes\n there. @dev Carefully."},
    )

    def unit(number: int, name: str, nodes: list[dict[str, Any]], bases: list[int]) -> dict[str, Any]:
        contract = {"id": number, "nodeType": "ContractDefinition", "name": name, "nodes": nodes}
        return {"ast": {"nodes": [contract | {"linearizedBaseContracts": bases}]}}

    return {
        "contracts/interfaces/IGoing.sol": unit(100, "IGoing", [declared], [100]),
        "contracts/modules/Going.sol": unit(101, "Going", list(functions), [101, 100]),
        MARKET: unit(102, "Market", [], [102, 101, 100]),
        FARMERS: unit(103, "MarketFarmers", [], [103]),
        SLOTS: unit(104, "MarketSlots", [], [104]),
        ACCOUNTS: unit(105, "MarketAccounts", [], [105]),
    }


def go(*body: dict[str, Any]) -> dict[str, Any]:
    return function(2, "go", *body, visibility="external", baseFunctions=[1])


def test_calls_are_followed_in_the_order_of_the_source_and_drawn_once() -> None:
    [found] = external_calls(
        sources(
            go({"nodeType": "Conditional", "later": call(4, position=50), "first": call(3, position=20)}),
            function(3, "_look", call(5, position=1), refuse("Blind")),
            function(4, "_leap", call(3, position=1), emit("Leapt")),
            function(5, "_blink"),
        )
    )
    assert (found.name, found.parameters, found.contract) == ("go", ("where",), "Market")
    assert (found.modules, found.errors, found.notice) == (["Going"], ("Blind",), "Goes there.")
    drawing = """```
Going.go
  Going._look
    Going._blink
  Going._leap  emits Leapt
    Going._look  (as above)
```"""
    assert drawing in page([found])


def test_a_virtual_function_is_refused_since_another_one_may_run() -> None:
    with pytest.raises(ValueError, match="_look is virtual"):
        external_calls(sources(go(call(3, position=1)), function(3, "_look", virtual=True)))

"""What messages tell people to type can be typed: every option and every command in them is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from grange_client.cli.app import app as client
from grange_devnet.cli import app as devnet
from grange_node.cli.farm import app as farm
from grange_node.cli.repair import app as repair

ROOT = Path(__file__).parents[2]
PACKAGES = ("protocol/grange", "client/grange_client", "node/grange_node")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
COMMAND = re.compile(r"`grange ([a-z][a-z ]*?)(?= [A-Z`-]|`)")
ELSEWHERE = {"--user", "--ntp"}
"""Of other programs."""


def commands() -> dict[str, dict[str, Any]]:
    """All commands by name, of each program."""
    found: dict[str, dict[str, Any]] = {}
    for name, app in (("", client), ("farm", farm), ("repair", repair), ("devnet", devnet)):
        group: Any = typer.main.get_command(app)
        context = typer.Context(group)
        # As they are when they are called: the client loads its own then.
        found[name] = {one: group.resolve_command(context, [one])[1] for one in group.list_commands(context)}
    return found


def options() -> set[str]:
    found = {"--help", "--version"}
    for command in (command for group in commands().values() for command in group.values()):
        found |= {opt for one in command.params for opt in (*one.opts, *one.secondary_opts)}
    return found


def exists(words: list[str]) -> bool:
    known = commands()
    group = words[0] if words[0] in known else ""
    names = words[1:] if group else words
    return not names or names[0] in {*known[group], *known}


def sentences(package: str) -> Iterator[tuple[str, str]]:
    """All texts of a package but its docstrings, with where they stand."""
    for path in sorted((ROOT / package).rglob("*.py")):
        tree = ast.parse(path.read_text())
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


@pytest.mark.parametrize("package", PACKAGES)
def test_messages_name_only_options_and_commands_that_there_are(package: str) -> None:
    known, wrong = options(), []
    for where, text in sentences(package):
        wrong += [f"{where}: {option}" for option in OPTION.findall(text) if option not in known | ELSEWHERE]
        wrong += [f"{where}: {words}" for words in COMMAND.findall(text) if not exists(words.split())]
    assert not wrong

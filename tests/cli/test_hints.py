"""What messages tell people to type can be typed: every option and every command in them is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from grange.cli.market import app as market
from grange_client.cli.app import app as client
from grange_devnet.cli import app as devnet
from grange_node.cli.farm import app as farm
from grange_node.cli.repair import app as repair

ROOT = Path(__file__).parents[2]
PACKAGES = ("protocol/grange", "client/grange_client", "node/grange_node")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
COMMAND = re.compile(r"`grange ([a-z][a-z ]*?)(?= [A-Z`-]|`)")
ELSEWHERE = {"--app-name", "--user", "--ntp"}
"""Of other programs."""


def commands() -> dict[str, dict[str, Any]]:
    """All commands by name, of each program."""
    found: dict[str, dict[str, Any]] = {}
    for name, app in (
        ("", client),
        ("farm", farm),
        ("repair", repair),
        ("devnet", devnet),
        ("market", market),
    ):
        group: Any = typer.main.get_command(app)
        context = typer.Context(group)
        # As they are when they are called: the client loads its own then.
        found[name] = {one: group.resolve_command(context, [one])[1] for one in group.list_commands(context)}
    return found


def subcommands(command: Any) -> dict[str, Any]:
    """Of a command that is a group of others."""
    found: dict[str, Any] = getattr(command, "commands", {})
    return found


def with_subcommands(command: Any) -> Iterator[Any]:
    yield command
    for one in subcommands(command).values():
        yield from with_subcommands(one)


def options() -> set[str]:
    found = {"--help", "--version"}
    for named in (named for group in commands().values() for named in group.values()):
        for command in with_subcommands(named):
            found |= {opt for one in command.params for opt in (*one.opts, *one.secondary_opts)}
    return found


def exists(words: list[str]) -> bool:
    """Whether there are such commands; the words after a command that is no group are of the sentence."""
    known = commands()
    group = words[0] if words[0] in known else ""
    found = known[group]
    for place, name in enumerate(words[1:] if group else words):
        if name not in found:
            return place == 0 and name in known
        if not (found := subcommands(found[name])):
            break
    return True


def test_commands_in_groups_are_known() -> None:
    assert "--per-epoch" in options()
    assert exists(["keys", "delegate", "new"])
    assert not exists(["keys", "delegate", "nothing"])
    assert not exists(["keys", "nothing"])


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

"""What a command loads: its own modules, and for help none that take long."""

import gc
import subprocess
import sys
from importlib.metadata import entry_points
from inspect import getdoc

import pytest
from typer import Typer

from grange_client.cli import app
from grange_client.cli.app import COMMANDS, load_command, run
from grange_client.cli.plugins import PLUGINS, help_in_source

TAKE_LONG = (
    "aiohttp",
    "cryptography",
    "eth_abi",
    "eth_account",
    "eth_utils",
    "fastapi",
    "grange.chain",
    "grange.peer",
    "numpy",
    "py_ecc",
    "pydantic",
    "rlp",
    "uvicorn",
    "web3",
)
NEVER = ("Crypto", "eth_abi", "eth_account", "eth_utils", "numpy", "py_ecc", "pycparser", "rlp", "web3")
"""What only tests, and the simulation, load."""
FOR_FARMERS = ("fastapi", "uvicorn")
"""What a farm serves with."""
LOADED = """
import sys
from grange_client.cli import app
app.run(sys.argv[1:])
print("LOADED", *sys.modules)
"""

COLLECTOR = """
import gc, sys
from grange_client.cli import entry
try:
    entry.main()
except SystemExit:
    print("COLLECTOR", gc.isenabled(), gc.get_freeze_count())
"""


def loaded_by(*arguments: str, completing: str = "") -> set[str]:
    """The modules in a process of its own, after it has done as it was told."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={"_GRANGE_COMPLETE": "complete_bash", "COMP_WORDS": completing, "COMP_CWORD": "1"}
        if completing
        else None,
    )
    said, _, modules = done.stdout.rpartition("LOADED")
    assert said, done.stderr
    return set(modules.split())


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_nothing_that_takes_long(option: str) -> None:
    assert loaded_by(option).isdisjoint(TAKE_LONG)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_renters_command_loads_nothing_of_farmers_and_tests(command: str) -> None:
    loaded = loaded_by(command, "--help")
    assert loaded.isdisjoint({*NEVER, *FOR_FARMERS, "grange_node"})
    assert f"grange_client.cli.commands.{COMMANDS[command][0]}" in loaded


@pytest.mark.parametrize("command", ["farm", "repair"])
def test_a_farmers_command_loads_nothing_of_tests_nor_a_server_before_it_serves(command: str) -> None:
    loaded = loaded_by(command, "--help")
    assert loaded.isdisjoint({*NEVER, *FOR_FARMERS})
    assert f"grange_node.cli.{command}" in loaded


@pytest.mark.parametrize("command", ["get", "farm"])
def test_garbage_is_looked_for_once_all_is_loaded_and_never_among_that(command: str) -> None:
    """Ours and another package's. A collector that stays off would let a farm grow; one that looks through
    what is loaded takes a fifth of the processor time of `grange get`."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECTOR, command, "--help"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    is_enabled, frozen = done.stdout.rpartition("COLLECTOR")[2].split()
    assert is_enabled == "True"
    assert int(frozen) > 50_000


def test_running_a_command_inside_another_program_leaves_its_collector_alone() -> None:
    before = gc.get_freeze_count()
    assert run(["get", "--help"]) == 0
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, before)


@pytest.mark.parametrize("command", COMMANDS)
def test_other_packages_are_not_looked_for_when_a_command_of_ours_is_called(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finding them reads a file of every package that is installed."""
    monkeypatch.setattr(app, "entry_points", lambda **_: pytest.fail("they were looked for"))
    assert run([command, "--help"]) == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_that_is_shown_without_loading_is_the_commands_own(name: str) -> None:
    loaded = load_command(name)
    help_text = loaded.info.help if isinstance(loaded, Typer) else getdoc(loaded)
    own = (help_text or "").partition("\n\n")[0]
    assert COMMANDS[name][1] == " ".join(own.split())


@pytest.mark.parametrize("entry", entry_points(group=PLUGINS), ids=lambda entry: entry.name)
def test_the_help_read_in_a_plugins_source_is_its_own(entry: object) -> None:
    assert help_in_source(entry) == entry.load().info.help  # type: ignore[arg-type, attr-defined]
    assert help_in_source(entry)  # type: ignore[arg-type]

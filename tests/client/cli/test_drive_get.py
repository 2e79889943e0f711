"""`get` out of a drive: what comes where, what it costs, and what is said of what does not come."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from client_fakes import World
from client_trees import listing
from test_client_cli import Machine, machine

from grange.cli.exit_codes import ExitCode
from grange.peer import OverBudget
from grange.units import TOKEN
from grange_client.errors import BadPath, UnknownCommit, UnknownDrive, WouldOverwrite

__all__ = ["machine"]

CODE = ("--k", "2", "--n", "4", "--yes")


def stored(machine: Machine, *arguments: object) -> None:
    done = machine("put", *arguments, *CODE)
    assert done.exit_code == 0, (done.output, done.exception)


def get(machine: Machine, *arguments: object, code: int = 0) -> dict[str, Any]:
    """What it says as JSON."""
    done = machine("get", *arguments, "--json")
    assert done.exit_code == code, (done.output, done.exception)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_what_is_named_comes_under_its_own_name(machine: Machine, tree: Path, tmp_path: Path) -> None:
    """With modes and times; of a whole drive, what is in it; of a file, that file."""
    stored(machine, tree, "main:/backup")
    got = machine("get", "main:/backup/tree", tmp_path / "one")
    assert got.exit_code == 0, (got.output, got.exception)
    assert "4 files and 2 links into" in got.stdout
    assert listing(tmp_path / "one" / "tree") == listing(tree)
    get(machine, "main:", tmp_path / "all")
    assert listing(tmp_path / "all" / "backup" / "tree") == listing(tree)
    document = get(machine, "main:/backup/tree/small.txt", tmp_path / "file")
    assert (document["files"], document["bytes"]) == (1, 11)
    assert (tmp_path / "file" / "small.txt").read_bytes() == b"some words\n"


def test_what_is_there_is_not_fetched_again(machine: Machine, tree: Path, tmp_path: Path) -> None:
    """And what differs stays unless it may be replaced."""
    stored(machine, tree, "main:")
    get(machine, "main:/tree", tmp_path / "back")
    again = get(machine, "main:/tree", tmp_path / "back")
    assert (again["files"], again["fetched_bytes"], again["unchanged"]) == (0, 0, 6)
    (tmp_path / "back" / "tree" / "small.txt").write_bytes(b"mine\n")
    refused = machine("get", "main:/tree", tmp_path / "back")
    assert isinstance(refused.exception, WouldOverwrite)
    assert (tmp_path / "back" / "tree" / "small.txt").read_bytes() == b"mine\n"
    assert get(machine, "main:/tree", tmp_path / "back", "--overwrite")["files"] == 1
    assert listing(tmp_path / "back" / "tree") == listing(tree)


def test_an_earlier_version_comes_back(machine: Machine, tree: Path, tmp_path: Path) -> None:
    """By its id."""
    stored(machine, tree, "main:")
    before = listing(tree)
    [main] = json.loads(machine("log", "main:", "--json").stdout)
    (tree / "small.txt").write_bytes(b"other words\n")
    stored(machine, tree, "main:")
    get(machine, "main:/tree", tmp_path / "new")
    assert listing(tmp_path / "new" / "tree") == listing(tree)
    get(machine, "main:/tree", tmp_path / "old", "--at", main["commit"][:8])
    assert listing(tmp_path / "old" / "tree") == before


def test_what_is_not_there_is_told(machine: Machine, tree: Path, tmp_path: Path) -> None:
    empty = machine("get", "main:", tmp_path / "back")
    assert isinstance(empty.exception, UnknownCommit)
    stored(machine, tree, "main:")
    for wanted, error in (("main:/tre", BadPath), ("photos:/x", UnknownDrive), ("main:/../x", BadPath)):
        assert isinstance(machine("get", wanted, tmp_path / "back").exception, error), wanted
    meant = machine("get", "tree/", tmp_path / "back").exception
    assert isinstance(meant, BadPath)
    assert "Did you mean main:/tree? " in meant.hint
    assert "`grange orders`" in meant.hint
    assert not (tmp_path / "back").exists()
    for arguments in (
        ("main:/tree", "--only", "x"),
        ("main:/tree", "--limit-download", "x"),
    ):
        assert machine("get", *arguments).exit_code == ExitCode.USAGE, arguments


def test_a_dry_run_fetches_no_file(machine: Machine, tree: Path, tmp_path: Path) -> None:
    stored(machine, tree, "main:")
    shown = machine("get", "main:/tree", tmp_path / "back", "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "9 names, 70 kB. Reading it is free." in shown.stdout
    assert get(machine, "main:/tree", tmp_path / "back", "--dry-run")["bytes"] == 70_021
    assert not (tmp_path / "back").exists()


def test_reading_that_costs_is_asked_for(machine: Machine, tree: Path, tmp_path: Path) -> None:
    """With the price, before a file is fetched; --yes and --max-price answer in advance."""

    def sell(world: World) -> None:
        world.sell(TOKEN, vault=TOKEN)

    machine.prepare = sell
    stored(machine, tree, "main:")
    spool = machine.home / "drives" / "0" / "spool"
    for one in spool.iterdir():
        # What is here still would be read for nothing.
        one.unlink()
    refused = machine("get", "main:/tree", tmp_path / "back", stdin="n\n")
    assert refused.exit_code == ExitCode.DECLINED, refused.output
    assert "Reading costs about 0.0000" in refused.stderr
    assert not (tmp_path / "back").exists()
    too_little = machine("get", "main:/tree", tmp_path / "little", "--max-price", "0.000000000000000001")
    assert isinstance(too_little.exception, OverBudget), too_little.output
    for turn, arguments in enumerate((["--yes"], ["--max-price", "0.01"])):
        got = machine("get", "main:/tree", tmp_path / f"back{turn}", *arguments)
        assert got.exit_code == 0, (got.output, got.exception)
        assert "Reading cost 0.0000" in got.stderr
        assert listing(tmp_path / f"back{turn}" / "tree") == listing(tree)


def test_content_that_is_not_to_be_had_is_named_at_the_end(
    machine: Machine, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest comes all the same, and the exit code tells it from a name that cannot be."""
    (tree / "large").write_bytes(Random(129).randbytes(1 << 20))
    stored(machine, tree, "main:")
    for one in (machine.home / "drives" / "0" / "spool").iterdir():
        one.unlink()

    def spoil(world: World) -> None:
        for farmer in world.farmers:
            # Half of the shortest chunk but a last one comes from each; all else here is shorter.
            farmer.behaviour.spoil = lambda data: data[:-1] + b"!" if len(data) > 100_000 else data

    machine.prepare = spoil
    got = machine("get", "main:/tree", tmp_path / "back", "--json")
    assert got.exit_code == ExitCode.DATA, (got.output, got.exception)
    assert "left out: tree/large: " in got.stderr
    assert json.loads(got.stdout)["left_out"] == 1
    assert (tmp_path / "back" / "tree" / "small.txt").read_bytes() == b"some words\n"

"""`put` into a drive: what goes where, what is said before it is paid for, and what a second run costs."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from test_client_cli import Machine, fits, machine

from grange.cli.exit_codes import ExitCode
from grange_client.cli.commands import backup
from grange_client.cli.screens.backup import upload_text
from grange_client.cli.screens.tables import speed_text
from grange_client.errors import BadPath, NothingToStore, OverSpendingLimit, UnknownDrive

__all__ = ["machine"]

CODE = ("--k", "2", "--n", "4")


def put(machine: Machine, *arguments: object, code: int = 0) -> dict[str, Any]:
    """What it says as JSON."""
    done = machine("put", *arguments, *CODE, "--yes", "--json")
    assert done.exit_code == code, (done.output, done.exception)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def balance(machine: Machine) -> int:
    shown = json.loads(machine("balance", "--json").stdout)
    return int(shown["wallet"]) + int(shown["vault"])


def drive_of(machine: Machine, name: str = "main") -> dict[str, Any]:
    return next(one for one in json.loads(machine("drives", "--json").stdout) if one["name"] == name)


def test_a_folder_is_stored_and_a_second_time_nothing_is_sent(machine: Machine, tree: Path) -> None:
    """In words: how much is new, what it costs and until when; then that nothing changed, for nothing."""
    first = machine("put", tree, "main:/backup", *CODE, stdin="y\n")
    assert first.exit_code == 0, (first.output, first.exception)
    quoted, _, said = first.stdout.partition("Stored in main:/backup")
    assert "6 new; " in quoted
    assert "0.01" in quoted
    assert fits(quoted)
    assert "6 new, of 4 files and 2 links" in said
    assert "kept until 20" in said
    before = balance(machine)
    again = machine("put", tree, "main:/backup", *CODE)
    assert again.exit_code == 0, again.output
    assert "Nothing changed" in again.stdout
    assert balance(machine) == before


def test_a_changed_file_is_sent_and_no_other(machine: Machine, tree: Path) -> None:
    put(machine, tree, "main:")
    (tree / "small.txt").write_bytes(b"other words\n")
    second = put(machine, tree, "main:")
    assert (second["new"], second["changed"], second["gone"]) == (0, 1, 0)
    assert second["new_bytes"] == len(b"other words\n")
    assert (drive_of(machine)["commits"], drive_of(machine)["packs"]) == (2, 2)


def test_who_says_no_pays_nothing(machine: Machine, tree: Path) -> None:
    before = balance(machine)
    refused = machine("put", tree, "main:", *CODE, stdin="n\n")
    assert refused.exit_code == ExitCode.DECLINED
    assert balance(machine) == before
    assert not drive_of(machine)["packs"]


def test_a_dry_run_says_what_it_would_cost_and_stores_nothing(machine: Machine, tree: Path) -> None:
    """About what the backup then costs; the files are not taken for stored after that."""
    shown = machine("put", tree, "main:", "--dry-run", *CODE)
    assert shown.exit_code == 0, (shown.output, shown.exception)
    assert "to send" in shown.stdout
    assert fits(shown.stdout)
    document = put(machine, tree, "main:", "--dry-run")
    assert document["new"] == 6
    assert not drive_of(machine)["packs"]
    stored = put(machine, tree, "main:")
    assert int(stored["cost"]) <= int(document["cost"]) <= 2 * int(stored["cost"])
    assert put(machine, tree, "main:", "--dry-run")["cost"] == "0"


def test_the_limit_is_not_passed(machine: Machine, tree: Path) -> None:
    """Nothing is sent for more than --max-spend, and within it the term is as long as that pays for."""
    over = machine("put", tree, "main:", *CODE, "--yes", "--max-spend", "0.0000001")
    assert isinstance(over.exception, OverSpendingLimit)
    assert "Nothing was sent or paid" in over.exception.detail
    assert not drive_of(machine)["packs"]
    short = put(machine, tree, "main:/a", "--max-spend", "0.006")
    assert int(short["cost"]) <= 6 * 10**15
    os.utime(tree / "small.txt")
    (tree / "small.txt").write_bytes(os.urandom(70_000))
    long = put(machine, tree, "main:/b", "--max-spend", "10")
    assert long["end"] > short["end"]
    exact = put(machine, tree / "zero", "main:/c", "--epochs", "5")
    assert exact["end"] < long["end"]


def test_the_policy_of_the_drive_holds_where_the_command_says_nothing(machine: Machine, tree: Path) -> None:
    """Its code, how far ahead is paid at most, and its budget. What is typed goes before it."""
    far = put(machine, tree / "zero", "main:/far")
    assert machine("policy", "main:", "--code", "2/3", "--term-epochs", "5", "--yes").exit_code == 0
    near = json.loads(machine("put", tree, "main:/near", "--yes", "--json").stdout)
    assert near["end"] < far["end"]
    assert 2 * near["sent_wire_bytes"] == 3 * near["sent_bytes"]
    typed = put(machine, tree / "small.txt", "main:/typed", "--epochs", "60")
    assert typed["end"] > near["end"]
    assert typed["sent_wire_bytes"] == 2 * typed["sent_bytes"]
    assert machine("policy", "main:", "--term-epochs", "none", "--budget", "0.004", "--yes").exit_code == 0
    cheap = put(machine, tree / "zero", "main:/cheap")
    assert int(cheap["cost"]) <= 4 * 10**15
    assert cheap["end"] < far["end"]


def test_paths_go_below_the_place_under_their_own_names(machine: Machine, tree: Path) -> None:
    """With /. what is in a directory takes the place itself; what has one place with another is refused."""
    other = tree.parent / "other"
    other.mkdir()
    (other / "note").write_bytes(b"note")
    both = put(machine, tree, other, "main:/x/")
    assert (both["new"], both["path"]) == (7, "x")
    assert put(machine, f"{other}/.", "main:/x/other")["commit"] is None, "the same, said otherwise"
    assert put(machine, f"{other}/.", "main:/note")["new"] == 1
    twice = machine("put", other, tree.parent / "tree" / ".." / "other", "main:/x", *CODE, "--yes")
    assert isinstance(twice.exception, NothingToStore)
    for wrong in (
        (f"{other}/.", "main:"),
        (other, "-", "main:/x"),
        ("-", "main:"),
        ("main:/x",),
        ("main:", other),
    ):
        assert machine("put", *wrong, *CODE, "--yes").exit_code == ExitCode.USAGE, wrong
    missing = machine("put", tree / "nothing", "main:/x", *CODE, "--yes")
    assert isinstance(missing.exception, NothingToStore)
    in_the_way = machine("put", other, "main:/x/other/note", *CODE, "--yes")
    assert isinstance(in_the_way.exception, BadPath)


def test_patterns_leave_names_out(machine: Machine, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "patterns").write_text("# comment\nzero\n")
    done = put(
        machine,
        tree,
        "main:",
        "--exclude",
        "*.bin",
        "--exclude-file",
        tmp_path / "patterns",
        "-x",
        "-m",
        "less",
    )
    assert (done["files"], done["links"]) == (2, 2)


def test_what_drives_keep_in_the_home_is_not_stored_in_them(machine: Machine, tree: Path) -> None:
    """A backup that reads its own spool is never done: each would send what the one before had written."""
    put(machine, tree, "main:")
    first = machine("put", machine.home, "main:", *CODE, "--yes")
    assert first.exit_code == 0, first.output
    assert "drives: what is in it is what Grange keeps" in " ".join(first.stderr.split())
    names = [one["shown"] for one in json.loads(machine("find", "main:/home", "--json").stdout)]
    assert "main:/home/drives" in names
    assert not [name for name in names if name.startswith("main:/home/drives/")]


def test_standard_input_is_a_file(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Under the whole path that is given."""
    (tmp_path / "dump").write_bytes(b"select 1;\n" * 1000)
    with (tmp_path / "dump").open("rb") as stream:
        monkeypatch.setattr(backup, "standard_input", lambda: stream)
        done = put(machine, "-", "main:/dumps/today.sql")
    assert (done["files"], done["bytes"], done["path"]) == (1, 10_000, "dumps/today.sql")


def test_what_cannot_be_read_is_said_at_the_end(
    machine: Machine, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an exit code of its own; a socket or a pipe is named, and is no failure."""
    os.mkfifo(tree / "pipe")
    done = machine("put", tree, "main:", *CODE, "--yes")
    assert done.exit_code == 0, done.output
    assert "not stored: tree/pipe: it is a pipe" in done.stderr
    opened = os.open

    def refuse(path: Any, *arguments: Any, **named: Any) -> int:
        if os.fsencode(path).endswith(b"data.bin"):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *arguments, **named)

    (tree / "inner" / "data.bin").write_bytes(b"changed")
    monkeypatch.setattr(os, "open", refuse)
    for arguments in ((), ("--json",)):
        left = machine("put", tree, "main:", *CODE, "--yes", *arguments)
        assert left.exit_code == ExitCode.LEFT_OUT, left.output
        assert "could not be read: tree/inner/data.bin: " in left.stderr
    assert json.loads(left.stdout)["unread"]["count"] == 1


def test_packs_are_placed_while_files_are_read(
    machine: Machine, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked once, when the first is full, with what all may cost at most; the limit holds at each."""
    monkeypatch.setattr(backup, "MAX_PACK_BYTES", 100_000)
    for number in range(6):
        (tree / f"{number}").write_bytes(os.urandom(60_000))
    asked = machine("put", tree, "main:", *CODE, stdin="n\n")
    assert asked.exit_code == ExitCode.DECLINED
    assert "at most" in asked.stdout
    assert not drive_of(machine)["packs"]
    done = machine("put", tree, "main:", *CODE, "--epochs", "5", stdin="y\n")
    assert done.exit_code == 0, (done.output, done.exception)
    before = drive_of(machine)
    assert before["packs"] >= 4
    for number in range(6, 12):
        (tree / f"{number}").write_bytes(os.urandom(60_000))
    spent = balance(machine)
    limited = machine("put", tree, "main:", *CODE, "--epochs", "5", "--yes", "--max-spend", "0.003")
    assert isinstance(limited.exception, OverSpendingLimit), limited.output
    assert "stays and is not sent again" in limited.exception.detail
    after = drive_of(machine)
    assert before["packs"] < after["packs"] < before["packs"] + 4
    assert after["commits"] == before["commits"], "nothing of it is published"
    assert 0 < spent - balance(machine) <= 3 * 10**15
    rest = put(machine, tree, "main:", "--epochs", "5")
    assert rest["new_bytes"] < 6 * 60_000
    assert drive_of(machine)["commits"] == before["commits"] + 1


def test_options_that_do_not_fit_are_refused(machine: Machine, tree: Path) -> None:
    """Those of orders, a place with nothing before it or in the middle, and a rate that is none."""
    for arguments in (
        (tree, "main:", "--name", "x"),
        (tree, "main:", "--confirmations", "2"),
        ("main:/x",),
        ("main:/x", tree),
        (tree, "main:", "--limit-upload", "fast"),
        (tree, "main:", "--limit-upload", "1"),
    ):
        refused = machine("put", *arguments, "--yes")
        assert refused.exit_code == ExitCode.USAGE, arguments


def test_a_drive_that_is_not_there_is_told_before_anything_is_read(machine: Machine, tree: Path) -> None:
    unknown = machine("put", tree, "photos:/x", *CODE, "--yes")
    assert isinstance(unknown.exception, UnknownDrive)
    machine("drives", "create", "photos")
    assert put(machine, tree, "photos:/x")["drive"] == "photos"
    assert not drive_of(machine)["packs"]
    assert drive_of(machine, "photos")["commits"] == 1


def test_where_no_place_is_named_it_goes_into_main(
    machine: Machine, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under its own name, also one with a colon; what `ls` shows without a place is that."""
    monkeypatch.chdir(tree)
    (tree / "main:").write_bytes(b"text")
    done = machine("put", "./main:", "zero", tree / "inner", "--yes", *CODE)
    assert done.exit_code == 0, done.output
    assert "Stored in main:/" in done.stdout
    shown = machine("ls")
    assert shown.stdout.split() == ["inner/", "main:", "zero"]
    assert shown.stdout == machine("ls", "main:").stdout
    assert "beside it" not in shown.stderr, "its own pack is no order to speak of"


def test_ls_says_what_there_is_beside_main(machine: Machine, tree: Path) -> None:
    put(machine, tree, "main:")
    assert machine("ls").stderr == ""
    assert machine("orders", "put", tree, "--yes", *CODE).exit_code == 0
    assert machine("drives", "create", "photos").exit_code == 0
    said = " ".join(machine("ls").stderr.split())
    assert "Other drives: photos:" in said
    assert "1 order beside it: `grange drives` and `grange orders ls` show them." in said
    assert "photos" not in machine("ls", "main:").stderr, "who names a place wants no more"


@pytest.mark.parametrize(
    ("size_bytes", "said"), [(0, ""), (12, ""), (999_999, ""), (3_000_000, " (1.5 MB/s)")]
)
def test_a_few_bytes_have_no_rate(size_bytes: int, said: str) -> None:
    """Their time went into asking and waiting."""
    assert speed_text(size_bytes, 2.0) == said


def test_no_upload_takes_no_time() -> None:
    assert upload_text(0.2, is_most=False) == "less than a second, as fast as it went last"
    assert upload_text(40, is_most=True) == "about 40 seconds at most, as fast as it went last"

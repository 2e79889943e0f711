"""The command line:

what is printed, what is asked, what it exits with. The work itself is tested elsewhere.
"""

import errno
import io
import json
import os
import re
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.message import Message
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import typer
from client_fakes import MARKET, NOW, PARAMETERS, WORDS, World, open_world
from client_trees import listing
from rich.console import Console
from typer.testing import CliRunner, Result

from grange import kernel
from grange.allow_lists import AllowLists, Listed
from grange.chain import (
    ChainTimeout,
    ChainUnavailable,
    InsufficientFunds,
    MarketNotFound,
    RpcError,
    TransactionNotMined,
    TransactionReverted,
    WrongChain,
)
from grange.chain.network_file import Network, NetworkInvalid
from grange.cli import passphrase_options
from grange.cli.exit_codes import ExitCode
from grange.cli.presenter import error_text, explain
from grange.errors import Category, GrangeError, Misuse, UserError
from grange.keystore.container import WrongPassphrase
from grange.keystore.passphrases import PassphraseNeeded
from grange.listed_names import ListedNames
from grange.peer import OverBudget
from grange.transfer.errors import NotEnoughFarmers
from grange.types import FarmerId
from grange.units import TOKEN
from grange_client.cli import app as cli
from grange_client.cli.commands import common, init
from grange_client.cli.group import unknown_command
from grange_client.cli.guidance import guidance
from grange_client.cli.plugins import PLUGINS, add_plugins
from grange_client.cli.screens import health
from grange_client.cli.screens.display import Display
from grange_client.cli.screens.health import risk_text
from grange_client.cli.screens.order import files_screen
from grange_client.errors import (
    AlreadySetUp,
    BadCard,
    BadPath,
    NotEnoughMoney,
    NothingToStore,
    NothingToTakeOut,
    NotInstalled,
    NotSetUp,
    OrderGoesOn,
    OrderMissing,
    SourceChanged,
    UnfitName,
    UnknownOrder,
)
from grange_client.files.manifest import Manifest
from grange_client.files.scan import Entry, Kind
from grange_client.files.stream import source_changed
from grange_client.files.target import Target
from grange_client.keys.config import load, load_card, set_up
from grange_client.keys.delegate_bundle import DelegateBundle
from grange_client.keys.recovery_card import RecoveryCard
from grange_client.keys.recovery_phrase import identity
from grange_client.renter import Renter

WIDTH = 80


class Machine:
    """A home whose renter lives in a fake world; each command opens the world again, as a process would."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = folder / "home"
        self.folder = folder
        self.prepare: Callable[[World], None] = lambda _: None
        self._kept: dict[int, Any] = {}
        monkeypatch.setattr(common, "renter", self._renter)
        monkeypatch.setattr(common, "_loop_factory", lambda: None)

    @asynccontextmanager
    async def _renter(self, home: Path | None, *, unlock: bool = True) -> AsyncIterator[Renter]:
        async with open_world(self.home, 8) as world:
            if self._kept:
                self._carry_over(world)
            self.prepare(world)
            async with world.renter() as renter:
                yield renter
            self._kept = {f.id: (f.pieces, f.accepted) for f in world.farmers} | {0: world.market}

    def _carry_over(self, world: World) -> None:
        before = self._kept[0]
        for name in ("block", "vaults", "announced", "wallets", "events", "native"):
            setattr(world.market, name, getattr(before, name))
        for farmer in world.farmers:
            farmer.pieces, farmer.accepted = self._kept[farmer.id]

    def __call__(self, *arguments: object, stdin: str = "") -> Result:
        runner = CliRunner(env={"COLUMNS": str(WIDTH), "TERM": "dumb"})
        return runner.invoke(cli.app, [str(one) for one in arguments], input=stdin)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine that is set up."""
    monkeypatch.setattr(common.out, "_width", WIDTH)
    return Machine(tmp_path, monkeypatch)  # type: ignore[return-value]


def fits(text: str) -> bool:
    """Whether nothing is wider than a small terminal."""
    return all(len(line) <= WIDTH for line in text.splitlines())


def test_a_dry_run_shows_what_it_would_cost_and_stores_nothing(machine: Machine, tree: Path) -> None:
    shown = machine("orders", "put", tree, "--dry-run", "--k", "2", "--n", "4", "--epochs", "5")
    assert shown.exit_code == 0, shown.output
    assert "tokens, from the wallet" in shown.stdout
    assert "tree" not in machine("orders", "ls").stdout
    found = json.loads(machine("orders", "put", tree, "--dry-run", "--json").stdout)
    assert int(found["cost"]) > 0
    assert found["gas_usd"] is None
    assert json.loads(machine("orders", "ls", "--json").stdout) == []


def test_put_ls_stat_get(machine: Machine, tree: Path, tmp_path: Path) -> None:
    """The whole life of an order, in words and within 80 columns."""
    put = machine("orders", "put", tree, "--yes", "--k", "2", "--n", "4", "--epochs", "5")
    assert put.exit_code == 0, put.output
    assert "4 farmers" in put.stdout
    assert "any 2 give it back" in put.stdout
    assert "tokens, from the wallet" in put.stdout
    listed = machine("orders", "ls")
    assert "tree" in listed.stdout
    shown = machine("orders", "stat", "tree", "--files")
    assert "tree/inner/data.bin" in shown.stdout
    got = machine("orders", "get", "tree", tmp_path / "back")
    assert got.exit_code == 0, got.output
    assert listing(tmp_path / "back" / "tree") == listing(tree)
    assert all(fits(result.stdout) for result in (put, listed, shown))


def test_json_everywhere(machine: Machine, tree: Path, tmp_path: Path) -> None:
    """Everything that prints data prints it as one JSON value, and nothing else on stdout."""
    put = json.loads(machine("orders", "put", tree, "--yes", "--n", "4", "--json").stdout)
    assert (put["files"], put["n"], len(put["farmers"])) == (4, 4, 4)
    [listed] = json.loads(machine("orders", "ls", "--json").stdout)
    assert listed["order"] == put["order"]
    assert listed["cost"] == put["cost"]
    shown = json.loads(machine("orders", "stat", "tree", "--files", "--json").stdout)
    assert [entry["kind"] for entry in shown["entries"]].count("symlink") == 2
    farmers = json.loads(machine("farmers", "--json").stdout)
    assert [farmer["answers"] for farmer in farmers] == [True] * 8
    balance = json.loads(machine("balance", "--json").stdout)
    assert balance["wallet"] == str(1000 * TOKEN - int(put["cost"]))
    got = json.loads(machine("orders", "get", put["order"][:8], tmp_path / "back", "--json").stdout)
    assert got["files"] == 4


def sell(world: World) -> None:
    """Farmers that ask a token for a gibibyte, and a renter with a vault."""
    world.sell(TOKEN, vault=TOKEN)


def test_reading_that_costs_is_asked_for(machine: Machine, tree: Path, tmp_path: Path) -> None:
    """With the price, before anything is fetched; --yes and --max-price answer in advance."""
    machine.prepare = sell
    machine("orders", "put", tree, "--yes", "--k", "2", "--n", "4", "--epochs", "5")
    refused = machine("orders", "get", "tree", tmp_path / "back", stdin="n\n")
    assert refused.exit_code == ExitCode.DECLINED
    assert "Reading costs about 0.0000" in refused.stderr
    assert not (tmp_path / "back").exists()
    for turn, arguments in enumerate((["--yes"], ["--max-price", "0.01"])):
        got = machine("orders", "get", "tree", tmp_path / f"back{turn}", *arguments)
        assert got.exit_code == 0, got.output
        assert "Reading cost 0.0000" in got.stdout
        assert listing(tmp_path / f"back{turn}" / "tree") == listing(tree)
    shown = machine("orders", "get", "tree", tmp_path / "json", "--yes", "--json")
    assert 0 < int(json.loads(shown.stdout)["paid"]) < TOKEN // 1000


def test_no_more_is_paid_than_was_allowed(machine: Machine, tree: Path, tmp_path: Path) -> None:
    machine.prepare = sell
    machine("orders", "put", tree, "--yes", "--k", "2", "--n", "4", "--epochs", "5")
    got = machine("orders", "get", "tree", tmp_path / "back", "--max-price", "0.000000000000000001")
    assert isinstance(got.exception, OverBudget)
    assert explain(got.exception).exit_code == 5


def test_question_is_asked_before_anything_is_sent(machine: Machine, tree: Path) -> None:
    """Without --yes the price is shown and the answer counts."""
    refused = machine("orders", "put", tree, "--n", "4", stdin="n\n")
    assert refused.exit_code == ExitCode.DECLINED
    assert "price" in refused.stdout
    assert json.loads(machine("orders", "ls", "--json").stdout) == []
    assert machine("orders", "put", tree, "--n", "4", stdin="y\n").exit_code == 0
    assert len(json.loads(machine("orders", "ls", "--json").stdout)) == 1


def in_a_while(world: World) -> None:
    """What was announced can be taken out."""
    world.market.block += PARAMETERS.withdraw_delay_epochs * PARAMETERS.epoch_blocks


def test_deposit_and_withdraw(machine: Machine) -> None:
    """Tokens move into the vault; out of it what was announced does."""
    assert json.loads(machine("deposit", "12.5", "--json").stdout)["vault"] == str(125 * TOKEN // 10)
    assert json.loads(machine("withdraw", "2.5", "--json").stdout)["vault"] == str(125 * TOKEN // 10)
    early = machine("withdraw")
    assert isinstance(early.exception, NothingToTakeOut)
    assert re.search(r"2\.5 tokens can be taken out from epoch \d+, about 20", early.exception.message)
    machine.prepare = in_a_while
    assert json.loads(machine("withdraw", "--json").stdout)["vault"] == str(10 * TOKEN)
    nothing = machine("withdraw")
    assert isinstance(nothing.exception, NothingToTakeOut)
    assert "grange withdraw TOKENS" in nothing.exception.hint
    assert explain(nothing.exception).exit_code == 5
    assert "The vault holds 10 tokens now" in machine("withdraw", "11").stderr


def test_close_an_order_that_is_over(machine: Machine, tree: Path) -> None:
    """The list says that money waits; `close` brings it back and shows how much; then nothing waits."""
    put = json.loads(machine("orders", "put", tree, "--yes", "--n", "4", "--epochs", "5", "--json").stdout)
    assert "grange orders close" not in machine("orders", "ls").stderr

    def over(world: World) -> None:
        world.market.block = max(world.market.block, put["end"] * PARAMETERS.epoch_blocks)
        world.market.to_return = (3 * TOKEN, TOKEN)

    early = machine("orders", "close", "tree", "--yes")
    assert isinstance(early.exception, OrderGoesOn)
    machine.prepare = over
    assert f"grange orders close {put['order'][:8]}" in machine("orders", "ls").stderr
    assert "grange orders close" in machine("orders", "stat", "tree").stderr
    declined = machine("orders", "close", "tree", stdin="n\n")
    assert (declined.exit_code, "Nothing was done." in declined.output) == (ExitCode.DECLINED, True)
    assert f"Close tree ({put['order'][:8]})" in declined.output
    assert "grange orders close" in machine("orders", "stat", "tree").stderr
    closed = machine("orders", "close", "tree", "--yes")
    assert closed.exit_code == 0, closed.output
    assert closed.stdout.splitlines()[1].split()[-2:] == ["3", "1"]
    [again] = json.loads(machine("orders", "close", put["order"][:8], "--json", "--yes").stdout)
    assert (again["refund"], again["compensation"]) == (str(3 * TOKEN), str(TOKEN))
    [listed] = json.loads(machine("orders", "ls", "--json").stdout)
    assert (listed["closed"], listed["awaits_closing"]) == (True, False)
    listing_now, shown = machine("orders", "ls"), machine("orders", "stat", "tree")
    assert "closed" in listing_now.stdout
    assert "grange orders close" not in listing_now.stderr + shown.stderr
    assert "came back" in shown.stdout
    assert all(fits(result.stdout) for result in (closed, listing_now, shown))


def test_empty_lists_say_what_to_do(machine: Machine) -> None:
    """An empty list is no blank screen."""
    assert "grange put" in machine("orders", "ls").stdout


def test_odd_names_do_not_reach_the_terminal(machine: Machine, tmp_path: Path) -> None:
    """A file called after an escape sequence is shown as text."""
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "a\x1b[2Jb[red]").touch()
    assert machine("orders", "put", tmp_path / "odd", "--yes", "--n", "4").exit_code == 0
    shown = machine("orders", "stat", "odd", "--files").stdout
    assert "a\\x1b[2Jb[red]" in shown
    assert "\x1b[2J" not in shown


def names_of(listed: str) -> list[str]:
    """The last column of `stat --files`."""
    lines = listed.splitlines()
    [head] = [index for index, line in enumerate(lines) if line.endswith("changed           name")]
    column = len(lines[head]) - len("name")
    return [line[column:] for line in lines[head + 1 :]]


def test_listed_names_can_be_given_back(machine: Machine, tmp_path: Path) -> None:
    """Each name that `stat --files` shows is one that `get --only` takes, whatever bytes are in it."""
    odd = {
        b"bad\xffname",
        b"two\nlines",
        b"back\\x41slash",
        b"backAslash",
        b"plain",
        b" [red]",
        b"caf\xc3\xa9",
    }
    (tmp_path / "odd").mkdir()
    for name in odd:
        (tmp_path / "odd" / os.fsdecode(name)).write_bytes(name)
    assert machine("orders", "put", tmp_path / "odd", "--yes", "--n", "4").exit_code == 0
    listed = names_of(machine("orders", "stat", "odd", "--files").stdout)
    entries = json.loads(machine("orders", "stat", "odd", "--files", "--json").stdout)["entries"]
    assert listed == ["odd/", *(entry["shown"] for entry in entries[1:])]
    for turn, name in enumerate(listed[1:]):
        got = machine("orders", "get", "odd", tmp_path / f"{turn}", "--only", name)
        assert got.exit_code == 0, got.output
        [file] = (tmp_path / f"{turn}" / "odd").iterdir()
        odd.remove(file.read_bytes())
        assert os.fsencode(file.name) == file.read_bytes()
    assert not odd
    wrong = machine("orders", "get", "odd", tmp_path / "wrong", "--only", "odd/a\\qb")
    assert isinstance(wrong.exception, BadPath)
    assert explain(wrong.exception).exit_code == 2


def test_list_of_names_has_sizes_and_times(machine: Machine, tree: Path) -> None:
    """In columns, within 80 characters, names last; links show what they point to."""
    machine("orders", "put", tree, "--yes", "--n", "4")
    shown = machine("orders", "stat", "tree", "--files").stdout
    assert fits(shown)
    [small] = [line for line in shown.splitlines() if line.endswith("  tree/small.txt")]
    assert small.split()[:2] == ["11", "bytes"]
    assert small.split()[2] in {"2009-02-13", "2009-02-14"}
    [link] = [line for line in shown.splitlines() if line.endswith("  tree/link -> inner/data.bin")]
    assert link.split()[0] == "link"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-11_676_052_800, "1600-01-01 12:00"), (19_880_942_400, "2600-01-01 12:00"), (1 << 60, f"@{1 << 60}")],
)
def test_times_far_off_are_shown(seconds: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any time has a text: a date where there is a calendar, else the seconds."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    entry = Entry(path=b"f", kind=Kind.FILE, mode=0o644, mtime_ns=seconds * 10**9)
    *_, line = files_screen(Manifest(name="n", created=0, entries=(entry,)))
    assert str(line).split()[2:] == [*text.split(), "f"]


def test_put_that_leaves_something_out_says_so(machine: Machine, tree: Path) -> None:
    """With an exit code of its own, in words and as JSON; without it nothing is left out."""
    assert machine("orders", "put", tree, "--yes", "--n", "4").exit_code == 0
    os.mkfifo(tree / "pipe")
    for arguments in ([], ["--json"]):
        put = machine("orders", "put", tree, "--yes", "--n", "4", *arguments)
        assert put.exit_code == 10
        assert "not stored: tree/pipe" in put.stderr
    assert json.loads(put.stdout)["skipped"] == [{"path": "tree/pipe", "reason": ANY}]
    assert len(json.loads(machine("orders", "ls", "--json").stdout)) == 3


def test_paths_that_cannot_be_read_are_not_wrong_usage(
    machine: Machine, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are left out like what is below others, and a link to one is stored."""
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    refused = machine("orders", "put", tree / "inner" / "run", "--yes", "--n", "4")
    assert isinstance(refused.exception, NothingToStore)
    put = machine("orders", "put", tree / "link", tree / "inner" / "run", "--yes", "--n", "4")
    assert put.exit_code == 10
    assert "not stored: run" in put.stderr


def test_get_that_leaves_something_out_says_so(
    machine: Machine, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same code, and what cannot be there; a time that was not kept is said and is no failure."""
    machine("orders", "put", tree, "--yes", "--n", "4")

    def refuse_time(*_: object, **__: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    with monkeypatch.context() as patched:
        patched.setattr(os, "utime", refuse_time)
        got = machine("orders", "get", "tree", tmp_path / "timeless", "--only", "tree/small.txt")
        assert got.exit_code == 0
        assert "not exactly as stored: tree/small.txt: its time 2009-02-13" in got.stderr
    new_file = Target.new_file

    def refuse_name(target: Target, entry: Entry) -> Any:
        if entry.path.endswith(b"zero"):
            raise UnfitName("tree/zero cannot have its name here.")
        return new_file(target, entry)

    monkeypatch.setattr(Target, "new_file", refuse_name)
    for arguments in ([], ["--json"]):
        got = machine("orders", "get", "tree", tmp_path / f"back{len(arguments)}", *arguments)
        assert got.exit_code == 10
        assert "left out: tree/zero" in got.stderr
    assert json.loads(got.stdout)["left_out"]["count"] == 1
    assert json.loads(got.stdout)["files"] == 3


@pytest.mark.parametrize("name", ["dir[/]", "x[/bold]y", "back [old]", ":smile:", "[red]"])
def test_names_that_look_like_markup_are_data(
    machine: Machine, tree: Path, tmp_path: Path, name: str
) -> None:
    """Of orders, of targets and in errors: shown as they are, and nothing fails over them."""
    assert machine("orders", "put", tree, "--yes", "--n", "4", "--name", name).exit_code == 0
    got = machine("orders", "get", name, tmp_path / name)
    assert got.exit_code == 0, got.output
    assert name in got.stdout
    for command in (["orders", "ls"], ["orders", "stat", name, "--files"], ["orders", "health", name]):
        assert name in machine(*command).stdout
    with pytest.raises(UnknownOrder) as raised:
        raise machine("orders", "get", name + "?").exception or AssertionError
    screen = error_text(explain(raised.value))
    with common.err.capture() as shown:
        common.err.print(screen, soft_wrap=True)
    assert name in shown.get()


def test_one_file_and_no_bytes_are_said_as_a_person_would(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    put = machine("orders", "put", tmp_path / "empty", "--yes", "--n", "4").stdout
    assert "1 file, 0 bytes" in put
    assert "bytes/s" not in put
    assert "1 file into" in machine("orders", "get", "empty", tmp_path / "back").stdout
    assert "1 file," in machine("orders", "stat", "empty").stdout


def test_what_is_not_in_the_vault_comes_from_the_wallet(machine: Machine, tree: Path) -> None:
    """A price of which the wallet pays all has no second sum beside it, when extending too."""
    machine("orders", "put", tree, "--yes", "--n", "4", "--epochs", "5")
    assert "tokens, from the wallet" in machine("orders", "extend", "tree", "--yes").stdout


def test_an_order_that_is_extended_says_as_which_it_goes_on(machine: Machine, tree: Path) -> None:
    """In one line of the list."""
    machine("orders", "put", tree, "--yes", "--n", "4", "--epochs", "5", "--name", "Pictures")
    before, after = (
        json.loads(machine(*words, "--json").stdout)["order"][:8]
        for words in (("orders", "stat", "Pictures"), ("orders", "extend", "Pictures", "--yes"))
    )
    [line] = [line for line in machine("orders", "ls").stdout.splitlines() if line.strip().endswith(before)]
    assert f"goes on as {after}" in line


def test_health_keeps_an_order_in_one_line(machine: Machine, tree: Path) -> None:
    """With a name of eight letters and ends and risks of the longest kind."""
    assert (
        machine("orders", "put", tree, "--yes", "--k", "2", "--n", "4", "--name", "Pictures").exit_code == 0
    )
    for loss in (1e-12, 1 / 345_678, 1 / 345_678_901):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(health, "risk_text", lambda _, loss=loss: risk_text(loss))
            listed = machine("orders", "health").stdout
        [line] = [line for line in listed.splitlines() if "Pictures" in line]
        assert risk_text(loss) in line
        assert re.search(r"[0-9]+, 20[0-9]{2}-[0-9]{2}-[0-9]{2} ", line)
        assert fits(listed)


def test_a_farmer_that_lapsed_is_shown_as_such(machine: Machine) -> None:
    def lapse(world: World) -> None:
        world.market.known[0] = replace(world.market.known[0], lapsed=True)

    machine.prepare = lapse
    assert "lapsed" in machine("farmers").stdout
    assert sum(farmer["lapsed"] for farmer in json.loads(machine("farmers", "--json").stdout)) == 1


def test_a_target_that_a_terminal_would_act_on_is_escaped(
    machine: Machine, tree: Path, tmp_path: Path
) -> None:
    machine("orders", "put", tree, "--yes", "--n", "4")
    assert "\x1b" not in machine("orders", "get", "tree", tmp_path / "a\x1b[2Jb").output


def test_epochs_and_until_exclude_each_other(machine: Machine, tree: Path) -> None:
    """Two ways to say the same thing are wrong usage."""
    assert machine("orders", "put", tree, "--epochs", "3", "--until", "9").exit_code == 2


def test_errors_come_out_unharmed(machine: Machine, tree: Path) -> None:
    """Commands leave errors to `main`, which explains them."""

    def poor(world: World) -> None:
        world.market.wallets = {}

    machine.prepare = poor
    result = machine("orders", "put", tree, "--yes")
    assert isinstance(result.exception, NotEnoughMoney)
    assert "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266" in result.exception.hint


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (NotSetUp("x"), 3),
        (SourceChanged("x"), 4),
        (NotEnoughMoney("x"), 5),
        (NotEnoughFarmers("x", failures={"farmer 1": "gone"}, missing=1), 6),
        (ChainUnavailable("http://x", "refused"), 8),
        (ChainTimeout("http://x", "eth_call", 5.0), 8),
        (WrongChain("http://x", 1, 2), 11),
        (MarketNotFound("http://x", MARKET, "no contract"), 11),
        (TransactionNotMined("place", bytes(32), 1, 5.0), 8),
        (InsufficientFunds("0x1", "0"), 5),
        (Misuse("x"), 2),
        (GrangeError("x"), 1),
    ],
)
def test_exit_codes(
    error: GrangeError, exit_code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each kind of error has its documented code, says what happened, and shows no traceback."""

    def fail(_: typer.Typer, **__: object) -> None:
        raise error

    monkeypatch.setattr(typer.Typer, "__call__", fail)
    monkeypatch.setattr(cli, "entry_points", lambda group: ())
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == exit_code == explain(error).exit_code
    written = capsys.readouterr()
    assert "Traceback" not in written.err
    assert written.err.strip()
    assert not written.out


def test_every_chain_error_says_what_to_do() -> None:
    """What happened is not enough: the next step belongs to it."""
    errors = (ChainUnavailable("u", "r"), WrongChain("u", 1, 2), MarketNotFound("u", "a", "r"))
    assert all(explain(error, guidance("put")).hint for error in errors)


@pytest.mark.parametrize(
    ("error", "begins"),
    [
        (WrongChain("http://x", 1, 2), "The endpoint http://x serves"),
        (RpcError("eth_call", -1, "no"), "The endpoint refused eth_call"),
        (TransactionReverted("addStake", "FarmerLapsed", {}), "addStake was refused"),
        (GrangeError("http://x is odd"), "http://x is odd."),
        (GrangeError("the head is behind"), "The head is behind."),
        (source_changed("photos", "it was written to"), "photos changed while"),
    ],
)
def test_a_sentence_begins_with_a_capital_unless_it_begins_with_a_name(
    error: GrangeError, begins: str
) -> None:
    """A URL, a method, a function or a file keeps its spelling: `Http://` belongs to no address, and there is
    no file Photos."""
    assert explain(error).message.startswith(begins)


def test_verbose_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """--verbose behind any command shows where an error came from."""
    monkeypatch.setattr(sys, "argv", ["grange", "ls", "--home", str(tmp_path / "none"), "--verbose"])
    monkeypatch.setattr(common.Verbosity, "on", False)
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == 3
    assert "Traceback" in capsys.readouterr().err


def test_init_shows_a_card_and_keeps_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The card on the screen has what is in the files, and a second run changes neither."""

    async def network(given: Network, trust: bool) -> tuple[Network, None]:
        return given.model_copy(update={"chain_id": 5}), None

    monkeypatch.setattr(init, "_checked_network", network)
    runner, home = CliRunner(), tmp_path / "home"
    options = ["init", "--home", str(home), "--rpc", "http://127.0.0.1:1", "--market", MARKET]
    options.append("--no-encryption")
    first = runner.invoke(cli.app, options)
    assert first.exit_code == 0, first.output
    words = (home / "recovery.txt").read_text().split()
    card = RecoveryCard.parse(first.stdout)
    assert (card.phrase.split(), card.network) == (words, load(home).network)
    second = runner.invoke(cli.app, options)
    assert isinstance(second.exception, UserError)
    assert (home / "recovery.txt").read_text().split() == words
    restored = runner.invoke(
        cli.app, [*options[:1], "--phrase", "--home", str(tmp_path / "b"), *options[3:]], input=WORDS + "\n"
    )
    assert restored.exit_code == 0, restored.output
    assert "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266" in restored.stdout
    assert "junk" not in restored.stdout


def init_on(monkeypatch: pytest.MonkeyPatch, chain_id: int) -> None:
    """What `init` finds, without asking anybody."""

    async def network(given: Network, trust: bool) -> tuple[Network, None]:
        return given.model_copy(update={"chain_id": chain_id}), None

    monkeypatch.setattr(init, "_checked_network", network)


PLACE = ("--rpc", "http://127.0.0.1:1", "--market", MARKET)


def test_the_phrase_is_locked_as_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And `keys encrypt` changes the passphrase; the address is shown without it."""
    init_on(monkeypatch, 5)
    home, passphrase, new = tmp_path / "home", tmp_path / "passphrase", tmp_path / "new"
    for path, text in ((passphrase, "correct horse"), (new, "battery staple")):
        path.write_text(text)
        path.chmod(0o600)

    def run(*words: object) -> Result:
        return CliRunner().invoke(cli.app, [*map(str, words), "--home", str(home)])

    made = run("init", *PLACE, "--passphrase-file", passphrase)
    assert (made.exit_code, made.stderr) == (0, ""), made.output
    phrase = RecoveryCard.parse(made.stdout).phrase
    assert phrase.split()[0] not in (home / "recovery.txt").read_text()
    address = run("balance", "--address")
    assert (address.exit_code, address.stdout.strip()) == (0, identity(phrase).wallet.address)
    changed = run("keys", "encrypt", "--passphrase-file", passphrase, "--new-passphrase-file", new)
    assert changed.exit_code == 0, changed.output
    assert isinstance(run("keys", "card", "--passphrase-file", passphrase).exception, WrongPassphrase)
    assert RecoveryCard.parse(run("keys", "card", "--passphrase-file", new).stdout).phrase == phrase
    assert isinstance(run("keys", "card").exception, PassphraseNeeded)
    assert run("keys", "encrypt", "--passphrase-file", new, "--no-encryption").exit_code == 0
    assert load_card(home).phrase == phrase


def test_where_nobody_can_be_asked_no_phrase_is_written_in_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init_on(monkeypatch, 5)
    options = ["init", "--home", str(tmp_path / "home"), *PLACE]
    refused = CliRunner().invoke(cli.app, options)
    assert isinstance(refused.exception, PassphraseNeeded)
    assert "--no-encryption" in refused.exception.hint
    assert not (tmp_path / "home").exists()
    assert "Grange recovery card" not in refused.stdout
    agreed = CliRunner().invoke(cli.app, [*options, "--no-encryption"])
    assert (agreed.exit_code, "is kept in clear" in agreed.stderr) == (0, True), agreed.output


def test_on_a_devnet_nobody_is_asked_for_a_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init_on(monkeypatch, 1337)
    monkeypatch.setattr(passphrase_options, "is_terminal", lambda: True)
    done = CliRunner().invoke(cli.app, ["init", "--home", str(tmp_path / "home"), *PLACE])
    assert (done.exit_code, "is kept in clear" in done.stderr) == (0, True), done.output
    assert f"grange keys encrypt --home {tmp_path / 'home'}" in done.stderr.replace("\n", "")


def test_a_person_is_asked_for_one_passphrase_and_may_want_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init_on(monkeypatch, 5)
    monkeypatch.setattr(passphrase_options, "is_terminal", lambda: True)
    asked: list[str] = []

    def type_nothing(question: str) -> str:
        asked.append(question)
        return ""

    monkeypatch.setattr(passphrase_options, "ask_hidden", type_nothing)
    done = CliRunner().invoke(cli.app, ["init", "--home", str(tmp_path / "home"), *PLACE])
    assert (done.exit_code, "is kept in clear" in done.stderr) == (0, True), done.output
    assert asked == ["A passphrase for the recovery phrase (empty: none)"]


def test_a_devices_file_sets_it_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the network that it has, or by other endpoints; it goes with no other way of setting up."""
    init_on(monkeypatch, 5)
    account = set_up(
        tmp_path / "account", phrase=WORDS, network=Network(rpc="http://x", market=MARKET, chain_id=5)
    )
    bundle, address = DelegateBundle.new(account, None)
    file = tmp_path / "laptop"
    file.write_text(bundle.text())
    file.chmod(0o600)

    def run(home: str, *options: str) -> Result:
        words = ["init", "--delegate", str(file), "--home", str(tmp_path / home), *options]
        return CliRunner().invoke(cli.app, words)

    done = run("device", "--rpc", "http://y")
    assert (done.exit_code, address in done.stdout) == (0, True), done.output
    device = load(tmp_path / "device")
    assert (device.network.rpc, device.identity.account) == ("http://y", account.identity.account)
    assert isinstance(run("device").exception, AlreadySetUp)
    for options in (["--phrase"], ["--card", "-"], ["--network", "x"], ["--market", MARKET]):
        assert run("c", *options).exit_code == ExitCode.USAGE
    assert not (tmp_path / "c").exists()


def test_a_devnet_that_was_started_again_is_moved_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`init --network` says so, keeps the words, and puts aside what was remembered of the old chain."""
    genesis = "aa" * 32
    home, devnet = tmp_path / "home", tmp_path / "devnet.json"
    devnet.write_text(json.dumps({"rpc": "http://127.0.0.1:1", "market": MARKET, "chain_id": 5}))

    async def network(given: Network, trust: bool) -> tuple[Network, None]:
        return given.model_copy(update={"genesis_hash": genesis}), None

    monkeypatch.setattr(init, "_checked_network", network)
    options = ["init", "--home", str(home), "--network", str(devnet), "--no-encryption"]
    first = CliRunner().invoke(cli.app, options)
    assert first.exit_code == 0, first.output
    assert MARKET in first.stdout
    words = (home / "recovery.txt").read_text()
    (home / "catalog.sqlite").write_bytes(b"the old chain's")
    assert isinstance(CliRunner().invoke(cli.app, options).exception, AlreadySetUp)
    genesis = "bb" * 32
    again = CliRunner().invoke(cli.app, options)
    assert again.exit_code == 0, again.output
    assert "The devnet was started again" in again.stdout
    assert (home / "recovery.txt").read_text() == words
    assert not (home / "catalog.sqlite").exists()
    assert (home / "catalog.sqlite.aaaaaaaa").read_bytes() == b"the old chain's"
    assert load(home).expected_genesis == b"\xbb" * 32


def test_no_file_of_a_stranger_moves_a_home_to_another_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with the same id, where what is signed would count on the real one too: a real chain never begins
    again."""
    genesis = "aa" * 32
    home, file = tmp_path / "home", tmp_path / "network.json"
    file.write_text(json.dumps({"rpc": "https://127.0.0.1.example", "market": MARKET, "chain_id": 8453}))

    async def network(given: Network, trust: bool) -> tuple[Network, None]:
        return given.model_copy(update={"genesis_hash": genesis}), None

    monkeypatch.setattr(init, "_checked_network", network)
    options = ["init", "--home", str(home), "--network", str(file), "--no-encryption"]
    assert CliRunner().invoke(cli.app, options).exit_code == 0
    genesis = "bb" * 32
    assert isinstance(CliRunner().invoke(cli.app, options).exception, AlreadySetUp)
    assert load(home).network.genesis_hash == "aa" * 32


def test_a_card_alone_sets_up_a_new_computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a file or from standard input; by other endpoints, if those of the card are gone."""

    async def network(given: Network, trust: bool) -> tuple[Network, None]:
        return given.model_copy(update={"genesis_hash": "ab" * 32}), None

    monkeypatch.setattr(init, "_checked_network", network)
    card = RecoveryCard.of(WORDS, Network(rpc="http://x", market=MARKET, chain_id=5, first_block=7))
    file = tmp_path / "card.txt"
    file.write_text(f"My card:\n\n{card.text()}")

    def set_up_by(home: str, *options: str, text: str = "") -> Result:
        words = ["init", "--home", str(tmp_path / home), "--no-encryption", *options]
        return CliRunner().invoke(cli.app, words, input=text)

    by_file = set_up_by("a", "--card", str(file))
    assert by_file.exit_code == 0, by_file.output
    assert load(tmp_path / "a").network == card.network.model_copy(update={"genesis_hash": "ab" * 32})
    assert load_card(tmp_path / "a") == card
    assert "Others on this computer can read" in by_file.stderr
    assert not any(word in by_file.stdout.split() for word in WORDS.split())
    file.chmod(0o600)
    assert set_up_by("b", "--card", "-", "--rpc", "http://y", text=card.text()).exit_code == 0
    assert load(tmp_path / "b").network.rpc == "http://y"
    assert load_card(tmp_path / "b").phrase == WORDS
    assert isinstance(set_up_by("a", "--card", str(file)).exception, AlreadySetUp)
    assert isinstance(set_up_by("c", "--card", "-", text="words: x").exception, BadCard)
    assert isinstance(set_up_by("c", "--card", str(tmp_path / "none")).exception, BadCard)
    for options in (["--phrase"], ["--network", "x"], ["--market", MARKET], ["--first-block", "1"]):
        assert set_up_by("c", "--card", str(file), *options).exit_code == ExitCode.USAGE
    assert not (tmp_path / "c").exists()


def test_a_drill_says_what_is_wrong_with_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another phrase, another market, a first block that hides orders; else the endpoints are tried."""
    network = Network(rpc="http://127.0.0.1:1", market=MARKET, chain_id=5, first_block=7)
    home = tmp_path / "home"
    set_up(home, phrase=WORDS, network=network)
    monkeypatch.setenv("GRANGE_HOME", str(home))
    shown = CliRunner().invoke(cli.app, ["keys", "card"])
    assert RecoveryCard.parse(shown.stdout) == load_card(home)

    def drill(phrase: str, **changes: Any) -> BaseException | None:
        card = RecoveryCard.of(phrase, network.model_copy(update=changes))
        return CliRunner().invoke(cli.app, ["keys", "card", "--check", "-"], input=card.text()).exception

    other = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    for error, said in (
        (drill(other), "another recovery phrase"),
        (drill(WORDS, chain_id=6), "another market"),
        (drill(WORDS, first_block=8), "older orders would not be found"),
    ):
        assert isinstance(error, BadCard)
        assert said in error.message
    # All that it says is right, and nobody is at its endpoint.
    assert isinstance(drill(WORDS), ChainUnavailable)


@pytest.mark.parametrize(
    "error",
    [ChainUnavailable("http://x", "r"), WrongChain("http://x", 1, 2), MarketNotFound("http://x", "0x", "r")],
)
def test_init_does_not_send_anyone_to_a_file_that_is_not_there(error: GrangeError) -> None:
    """Before there is a configuration, what is to be corrected is an option."""
    assert "config.json" in explain(error, guidance("put")).hint
    assert "config.json" not in explain(error, guidance("init")).hint
    assert "--" in explain(error, guidance("init")).hint


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--rpc", "http://x"],
        ["--market", MARKET, "--network", "x"],
        ["--network", "x", "--first-block", "1"],
    ],
)
def test_init_needs_a_market(tmp_path: Path, options: list[str]) -> None:
    """Half a place is wrong usage."""
    assert CliRunner().invoke(cli.app, ["init", "--home", str(tmp_path / "h"), *options]).exit_code == 2


@pytest.mark.parametrize(
    ("rpc", "market", "said"),
    [
        ("http://127.0.0.1:1", "abc", "--market: 'abc' is not an address."),
        ("127.0.0.1:1/KEY", MARKET, "--rpc: it should begin with http:// or https://."),
    ],
)
def test_an_option_of_init_that_is_wrong_is_named(tmp_path: Path, rpc: str, market: str, said: str) -> None:
    """And what to give is told; what may hold a key is not shown."""
    options = ["init", "--home", str(tmp_path / "h"), "--rpc", rpc, "--market", market]
    error = CliRunner().invoke(cli.app, options).exception
    assert isinstance(error, NetworkInvalid)
    assert error.message == said
    assert "0x and 40 hex digits" in error.hint
    assert "KEY" not in "".join(traceback.format_exception(error))
    assert not (tmp_path / "h").exists()


def test_init_without_a_chain_writes_nothing(tmp_path: Path) -> None:
    """When the endpoint does not answer, nothing is set up."""
    options = ["init", "--home", str(tmp_path / "h"), "--rpc", "http://127.0.0.1:1", "--market", MARKET]
    result = CliRunner().invoke(cli.app, options)
    assert isinstance(result.exception, ChainUnavailable)
    assert not (tmp_path / "h").exists()


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", [[], ["put"], ["farm"], ["farm", "init"]])
def test_help_has_a_short_form_everywhere(command: list[str], flag: str) -> None:
    """Also in the commands of other packages, and without the types of the language it is written in."""
    arguments = [*command, flag]
    add_plugins(cli.app, tuple(entry_points(group=PLUGINS)), argv=arguments, warn=pytest.fail)
    shown = CliRunner(env={"COLUMNS": str(WIDTH), "TERM": "dumb"}).invoke(cli.app, arguments)
    assert shown.exit_code == 0
    assert "Usage:" in shown.stdout
    assert not re.search(r"<\w+|\{", shown.stdout)
    assert fits(shown.stdout)


def test_version() -> None:
    shown = CliRunner().invoke(cli.app, ["--version"])
    first, second = shown.stdout.splitlines()
    assert (shown.exit_code, first) == (0, f"grange {version('grange')}")
    assert second == f"hashing and coding by {kernel.describe()}"


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("delete", "`grange rm` takes a path out"),
        ("versions", "Did you mean 'log'"),
        ("undo", "`grange restore`"),
        ("list", "Did you mean 'ls'?"),
        ("putt", "Did you mean 'put'?"),
        ("recover", "grange init --card"),
        ("foo", "grange --help"),
    ],
)
def test_a_command_that_there_is_not(word: str, hint: str) -> None:
    """The answer helps: anyone who wants to delete is not sent to the farm."""
    said = unknown_command(word, ["init", "put", "get", "ls", "farm", "farmers"])
    assert hint in said
    assert "'farm'" not in said
    assert CliRunner().invoke(cli.app, [word]).exit_code == 2


def test_an_option_before_the_command() -> None:
    """The answer says where it belongs."""
    said = CliRunner().invoke(cli.app, ["--home", "there", "ls"])
    assert said.exit_code == 2
    assert "no option --home before the command" in " ".join(said.output.split())


def test_the_shell_completes_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours and those of other packages."""
    add_plugins(cli.app, tuple(entry_points(group=PLUGINS)), argv=[], warn=pytest.fail)
    asking = {"_GRANGE_COMPLETE": "complete_bash", "COMP_WORDS": "grange fa", "COMP_CWORD": "1"}
    shown = CliRunner(env=asking).invoke(cli.app, prog_name="grange")
    assert {"farm", "farmers"} <= set(shown.stdout.split())


good = typer.Typer()


@good.command()
def hello() -> None:
    """Say hello."""
    typer.echo("hello")


def plugins(*found: EntryPoint, argv: list[str]) -> tuple[typer.Typer, list[str]]:
    app, warnings = typer.Typer(), []  # type: ignore[var-annotated]
    app.command("own")(lambda: None)
    app.callback()(lambda: None)
    add_plugins(app, found, argv=argv, warn=warnings.append)
    return app, warnings


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group=PLUGINS)


def test_plugins_are_commands() -> None:
    """A typer app of another package is a command of ours."""
    app, warnings = plugins(entry("greet", "test_client_cli:good"), argv=["greet"])
    assert CliRunner().invoke(app, ["greet", "hello"]).stdout == "hello\n"
    assert not warnings


def test_broken_plugin_is_one_line() -> None:
    """A plugin that does not load costs a warning, and the others work."""
    app, warnings = plugins(
        entry("broken", "no.such.module:app"), entry("greet", "test_client_cli:good"), argv=[]
    )
    assert len(warnings) == 1
    assert "broken" in warnings[0]
    assert CliRunner().invoke(app, ["greet", "hello"]).exit_code == 0


class Distribution:
    """An installed package with an extra."""

    name = "farmhouse"
    metadata = Message()


Distribution.metadata["Provides-Extra"] = "attic"


def of_farmhouse(name: str, value: str) -> EntryPoint:
    made = entry(name, value)
    vars(made).update(dist=Distribution())
    return made


def test_a_command_whose_extra_is_not_installed_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked of it; the help lists it, and nothing is said before it is called."""
    (tmp_path / "attic_command.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    app, warnings = plugins(of_farmhouse("attic", "attic_command:app"), argv=[])
    assert not warnings
    assert "attic" in CliRunner().invoke(app, ["--help"]).stdout
    for arguments in (["attic"], ["attic", "--help"], ["attic", "light", "--on"]):
        raised = CliRunner().invoke(app, arguments).exception
        assert isinstance(raised, NotInstalled)
        assert raised.category is Category.SETUP
        assert "pip install 'farmhouse[attic]'" in raised.hint


def test_a_package_that_is_broken_is_not_taken_for_an_extra_that_is_missing() -> None:
    """Neither if its own module is missing, nor if it has no extra of that name."""
    for broken in (of_farmhouse("attic", "no_such_module:app"), of_farmhouse("cellar", "no_such_module:app")):
        _, warnings = plugins(broken, argv=[])
        assert len(warnings) == 1


def test_plugin_cannot_take_our_names() -> None:
    """A plugin of the name of a command is left out."""
    _, warnings = plugins(entry("own", "test_client_cli:good"), argv=["own"])
    assert "own" in warnings[0]


def test_plugins_are_not_loaded_for_our_own_commands() -> None:
    """`grange ls` does not wait for the import of a farmer's node."""
    _, warnings = plugins(entry("broken", "no.such.module:app"), argv=["own"])
    assert not warnings


def numbers(value: Any, path: str = "") -> dict[str, Any]:
    """Every number in a JSON value, by the names that lead to it."""
    if isinstance(value, dict):
        return {k: n for name, one in value.items() for k, n in numbers(one, f"{path}.{name}").items()}
    if isinstance(value, list):
        return {k: n for one in value for k, n in numbers(one, path).items()}
    return {path: value} if isinstance(value, int | float) and not isinstance(value, bool) else {}


AMOUNTS = {
    "cost",
    "quoted",
    "rate",
    "refund",
    "compensation",
    "paid",
    "vault",
    "wallet",
    "native",
    "stake",
    "committed_rate",
    "price_per_gib_epoch",
}


def test_amounts_in_json_are_strings(machine: Machine, tree: Path, tmp_path: Path) -> None:
    """What has more than 53 bits is rounded by most readers of JSON, so no amount is a number."""
    documents = [
        json.loads(machine("orders", "put", tree, "--yes", "--n", "4", "--epochs", "5", "--json").stdout)
    ]
    for command in (
        "orders ls",
        "orders stat tree --files",
        "farmers",
        "balance",
        "orders health",
        "deposit 1",
    ):
        documents.append(json.loads(machine(*command.split(), "--json").stdout))
    documents.append(json.loads(machine("orders", "get", "tree", tmp_path / "back", "--json").stdout))

    def over(world: World) -> None:
        world.market.block = max(world.market.block, documents[0]["end"] * PARAMETERS.epoch_blocks)
        world.market.to_return = (3 * TOKEN, TOKEN)

    machine.prepare = over
    documents.append(json.loads(machine("orders", "close", "tree", "--json", "--yes").stdout))
    documents.append(json.loads(machine("orders", "ls", "--json").stdout))
    found = {path.rsplit(".", 1)[-1]: value for one in documents for path, value in numbers(one).items()}
    assert not found.keys() & AMOUNTS
    assert all(abs(value) < 1 << 53 for name, value in found.items() if name != "mtime_ns")
    assert documents[-1][0]["refund"] == str(3 * TOKEN)


def test_health_never_says_that_nothing_is_stored_when_something_is_missing(
    machine: Machine, tree: Path
) -> None:
    """In words and as JSON it ends as `ls` does, with 8 and the order's name."""
    put = machine("orders", "put", tree, "--yes", "--n", "4", "--epochs", "60")
    assert put.exit_code == 0, put.output

    def lose(world: World) -> None:
        world.market.events = []
        world.market.block = max(world.market.block, 340)
        world.market.reorg(0)

    machine.prepare = lose
    for arguments in (["orders", "health"], ["orders", "health", "--json"]):
        said = machine(*arguments)
        assert "Nothing is stored" not in said.output
        assert said.stdout.strip() in ("", "[]")
        assert isinstance(said.exception, OrderMissing)


def test_what_was_moved_is_said_before_the_balance_is_read(machine: Machine) -> None:
    """If the endpoint is gone by then, nobody is to deposit a second time; standard output is the balance."""
    deposited = machine("deposit", "2", "--json")
    assert "Deposited, in block" in deposited.stderr
    assert json.loads(deposited.stdout)["vault"] == str(2 * TOKEN)
    machine("withdraw", "1")
    machine.prepare = in_a_while
    assert "Taken out of the vault, in block" in machine("withdraw").stderr


async def away(_: object) -> Any:
    raise ChainUnavailable("http://chain", "connection refused")


def test_a_withdrawal_is_said_to_be_announced_before_anything_else_is_asked(machine: Machine) -> None:
    """Anyone who announces it again, because the endpoint was gone in that moment, waits from the
    beginning."""

    def gone(world: World) -> None:
        world.market.withdrawal = away  # type: ignore[method-assign]
        world.market.vault = away  # type: ignore[method-assign]

    machine("deposit", "2")
    machine.prepare = gone
    announced = machine("withdraw", "1")
    assert "Announced. From epoch" in announced.stderr
    assert isinstance(announced.exception, ChainUnavailable)


def test_what_another_command_took_out_is_no_refusal_of_the_chain(machine: Machine) -> None:
    """After a reorganisation it may have been faster; the money is in the same wallet."""

    async def refuse(_: Any = None) -> Any:
        raise TransactionReverted("withdraw", "NothingRequested", {})

    def taken(world: World) -> None:
        in_a_while(world)
        world.market.withdraw = refuse  # type: ignore[method-assign]

    machine("deposit", "2")
    machine("withdraw", "1")
    machine.prepare = taken
    refused = machine("withdraw")
    assert isinstance(refused.exception, NothingToTakeOut)
    assert "taken out already" in refused.exception.message


@pytest.mark.parametrize("command", [("balance",), ("deposit", "2"), ("withdraw", "1")])
def test_a_command_about_money_opens_the_home_once(machine: Machine, command: tuple[str, ...]) -> None:
    """What there is to know of the home, as that it is read-only, is said with each opening."""
    opened: list[World] = []
    machine.prepare = opened.append
    assert machine(*command).exit_code == 0
    assert len(opened) == 1


def test_dates_stand_beside_epochs(machine: Machine, tree: Path) -> None:
    """In the quote, in lists, in JSON; and anyone who gave no term is told what it is."""
    put = machine("orders", "put", tree, "--yes", "--n", "4")
    [until] = [line for line in put.stdout.splitlines() if line.startswith("until")]
    assert re.search(r"epoch \d+, about 20\d\d-\d\d-\d\d \d\d:\d\d", until)
    assert "shortest term" in put.stdout
    assert "shortest term" not in machine("orders", "put", tree, "--yes", "--n", "4", "--epochs", "5").stdout
    for command in ("orders ls", "orders stat tree", "orders health"):
        shown = machine(*command.split()).stdout
        assert re.search(r"20\d\d-\d\d-\d\d", shown.split("until", 1)[1])
        assert fits(shown)
    [known, _] = json.loads(machine("orders", "ls", "--json").stdout)
    assert known["end_time"] > NOW


def test_all_that_can_be_closed_is_named(machine: Machine, tree: Path) -> None:
    """The line that is to be copied has every order, however many there are."""
    ends = [
        json.loads(machine("orders", "put", tree, "--yes", "--n", "2", "--epochs", "5", "--json").stdout)[
            "end"
        ]
        for _ in range(6)
    ]

    def over(world: World) -> None:
        world.market.block = max(world.market.block, max(ends) * PARAMETERS.epoch_blocks)

    machine.prepare = over
    said = machine("orders", "ls").stderr
    assert "6 orders are over" in said
    assert len(said.split("grange orders close ")[1].split()) == 6


def test_progress_is_drawn() -> None:
    """Whatever happens, the display shows it and does not fail."""
    from grange.transfer import events as h

    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=WIDTH)
    eve = ListedNames(AllowLists(denied=(Listed(who=FarmerId(3), name="Eve"),)))
    with Display(console, names=lambda: eve) as display:
        display(h.Step(what="Storing", total_bytes=100))
        display(h.Progress(size_bytes=50))
        display(h.FarmersNow(count=4))
        display(h.FarmerFailed(slot=1, farmer=3, reason="Farmer 3 is gone."))  # type: ignore[arg-type]
        display(h.FarmerReplaced(slot=1, farmer=3, successor=4, reason="Farmer 3 is gone."))  # type: ignore[arg-type]
        display(h.Step(what="Placing the order"))
    assert "Farmer 4 takes over from farmer 3 (Eve). Farmer 3 (Eve) is gone." in written.getvalue()


def test_address_needs_no_chain(tmp_path: Path) -> None:
    """For scripts: one line, also while no chain answers."""
    set_up(tmp_path, phrase=WORDS, network=Network(rpc="http://127.0.0.1:1", market=MARKET))
    result = CliRunner().invoke(cli.app, ["balance", "--address", "--home", str(tmp_path)])
    assert result.stdout == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266\n"


def test_home_option_is_used(tmp_path: Path) -> None:
    """Each command takes --home."""
    set_up(tmp_path / "a", phrase=WORDS, network=Network(rpc="http://127.0.0.1:1", market=MARKET))
    result = CliRunner().invoke(cli.app, ["balance", "--home", str(tmp_path / "a")])
    assert isinstance(result.exception, ChainUnavailable)

"""`grange keep`, `grange policy` and `grange alerts` as a person types them."""

import json
import shlex
import sys
from pathlib import Path

import pytest
from client_fakes import PARAMETERS, World
from test_client_cli import Machine, fits, machine

from grange.chain.gas_value import FREE_GAS, GasValue
from grange.cli.exit_codes import ExitCode
from grange.errors import Misuse
from grange.units import TOKEN
from grange_client.errors import BadRetention
from grange_client.keep.alert_settings import load_alert_settings
from grange_client.renter import Renter

__all__ = ["machine"]
BUDGET = ("policy", "main:", "--budget", "5", "--code", "2/4", "--yes")


@pytest.fixture(autouse=True)
def free_gas(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fakes' chain says nothing of fees."""

    async def gas_value(renter: Renter) -> GasValue:
        return FREE_GAS

    monkeypatch.setattr(Renter, "gas_value", gas_value)


def ends_soon(world: World) -> None:
    """A day before what was stored first ends, and there is no money."""
    [end] = {event.args["end"] for event in world.market.events if event.name == "OrderPlaced"}
    world.market.block = (end - 1) * PARAMETERS.epoch_blocks
    world.market.wallets = {}
    world.market.vaults = {}


def mailed_to(machine: Machine) -> tuple[Path, list[str]]:
    """A mail command that appends to a file."""
    file = machine.folder / "mail.txt"
    program = f"import sys; open({str(file)!r}, 'a').write(sys.stdin.read())"
    return file, [sys.executable, "-c", program]


def test_where_nothing_is_stored_nothing_is_kept(machine: Machine) -> None:
    kept = machine("keep", "--once", "--home", machine.home)
    assert (kept.exit_code, fits(kept.stdout)) == (0, True), kept.output
    assert "nothing to keep" in kept.stdout
    assert json.loads(machine("keep", "--once", "--json", "--home", machine.home).stdout) == []


def test_a_policy_is_stored_in_the_drive_and_shown(machine: Machine) -> None:
    """For as much as the person agrees to; rules that would keep nothing are refused before."""
    declined = machine("policy", "main:", "--keep-last", "10", stdin="n\n")
    assert declined.exit_code == ExitCode.DECLINED, declined.output
    assert "for " in declined.output
    rules = ("--keep-last", "10", "--keep-daily", "7", "--keep-within", "14d", "--zone", "Europe/Berlin")
    assert machine("policy", "main:", *rules, "--yes").exit_code == 0
    assert machine(*BUDGET, "--term-epochs", "40", "--mandate-epochs", "90").exit_code == 0
    shown = json.loads(machine("policy", "--json").stdout)
    assert shown == {
        "drive": "main",
        "retention": "last=10 daily=7 within=14d zone=Europe/Berlin",
        "k": 2,
        "n": 4,
        "term_epochs": 40,
        "budget": str(5 * TOKEN),
        "mandate_epochs": 90,
        "mandate_fee": "0",
        "problems": [],
    }
    words = machine("policy", "main")
    assert fits(words.stdout), words.output
    for text in (
        "the last 10; one of each day for 7 days",
        "2 of 4",
        "at most 40 epochs",
        "5 tokens in a year",
    ):
        assert text in " ".join(words.stdout.split()), words.stdout
    for wrong in (("--keep-last", "0"), ("--keep-tag", "typo")):
        assert isinstance(machine("policy", "main:", *wrong, "--yes").exception, BadRetention)
    for wrong in (
        ("--code", "30"),
        ("--code", "5/4"),
        ("--keep-all", "--keep-last", "1"),
        ("--term-epochs", "x"),
    ):
        assert isinstance(machine("policy", "main:", *wrong, "--yes").exception, Misuse)
    assert json.loads(machine("policy", "--json").stdout) == shown, "nothing of that was stored"
    assert machine("policy", "main:", "--keep-all", "--budget", "none", "--yes").exit_code == 0
    changed = json.loads(machine("policy", "--json").stdout)
    assert (changed["retention"], changed["budget"], changed["n"]) == (None, None, 4)


def test_what_cannot_be_extended_is_said_told_and_has_an_exit_code(machine: Machine) -> None:
    """By mail as well, and once; the dry run says the same and tells nobody."""
    assert machine(*BUDGET).exit_code == 0
    file, command = mailed_to(machine)
    machine.home.mkdir(parents=True, exist_ok=True)
    home = ("--home", machine.home)
    assert machine("alerts", "--mail-command", shlex.join(command), "--no-desktop", *home).exit_code == 0
    machine.prepare = ends_soon
    dry = machine("keep", "main:", "--dry-run", "--home", machine.home)
    assert (dry.exit_code, "are missing" in dry.stdout, file.exists()) == (0, True, False), dry.output
    kept = machine("keep", "--once", "--home", machine.home)
    assert kept.exit_code == ExitCode.ENDS_SOON, kept.output
    assert "are missing" in kept.stdout
    assert "main is kept until" in kept.stdout.splitlines()[-1]
    told = file.read_text()
    assert "a part of main ends" in told
    shown = machine("keep", "--once", "--json", "--home", machine.home)
    assert shown.exit_code == ExitCode.ENDS_SOON
    [report] = json.loads(shown.stdout)
    assert (report["drive"], report["is_kept"], len(report["unsecured"])) == ("main", False, 1)
    assert file.read_text() == told, "each is told once"


def test_one_drive_that_cannot_be_kept_holds_up_no_other(machine: Machine) -> None:
    """What is wrong with it is said, and its code is that of the command."""
    assert machine(*BUDGET).exit_code == 0
    kept = machine("keep", "photos:", "main:", "--once", "--json", "--home", machine.home)
    assert kept.exit_code == ExitCode.ORDER, kept.output
    wrong, sound = json.loads(kept.stdout)
    assert "photos" in wrong["error"]
    assert (sound["drive"], sound["is_kept"], sound["error"]) == ("main", True, None)


def test_alerts_go_where_they_are_told_and_secrets_are_not_shown(machine: Machine) -> None:
    file, command = mailed_to(machine)
    secret = "https://example.org/secret-of-mine"
    home = ("--home", machine.home)
    machine.home.mkdir(parents=True, exist_ok=True)
    chosen = machine("alerts", "--webhook", "-", "--no-desktop", *home, stdin=secret + "\n")
    assert (chosen.exit_code, "secret-of-mine" in chosen.output) == (0, False), chosen.output
    assert load_alert_settings(machine.home).webhook == secret
    assert isinstance(machine("alerts", "--webhook", "example.org", *home).exception, Misuse)
    mail = ("--webhook", "none", "--mail-command", shlex.join(command))
    tried = machine("alerts", *mail, "--trial", "--json", *home)
    assert tried.exit_code == 0, tried.output
    assert "Grange: a trial" in file.read_text()
    assert json.loads(tried.stdout)["failures"] == []
    failing = machine("alerts", "--mail-command", "false", "--trial", *home)
    assert (failing.exit_code, "false ended with 1" in failing.output) == (ExitCode.SETUP, True), (
        failing.output
    )

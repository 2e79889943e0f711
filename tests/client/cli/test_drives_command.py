"""`grange drives` as a person types it, and the device that is given one."""

import json
from pathlib import Path

from client_fakes import WORDS
from test_client_cli import MARKET, Machine, fits, machine

from grange.chain.network_file import Network
from grange_client.errors import BadName, UnknownDrive
from grange_client.keys.config import set_up
from grange_client.keys.delegate_bundle import DelegateBundle

__all__ = ["machine"]


def test_main_is_there_and_others_are_made(machine: Machine) -> None:
    listed = machine("drives")
    assert (listed.exit_code, fits(listed.stdout)) == (0, True), listed.output
    assert "main" in listed.stdout
    made = machine("drives", "create", "photos")
    assert made.exit_code == 0, made.output
    shown = json.loads(machine("drives", "--json").stdout)
    assert [(one["name"], one["number"], one["is_new"]) for one in shown] == [
        ("main", 0, True),
        ("photos", 1, True),
    ]
    again = machine("drives", "create", "Photos")
    assert isinstance(again.exception, BadName)


def test_a_drive_that_is_new_is_renamed_for_nothing(machine: Machine) -> None:
    machine("drives", "create", "photos")
    renamed = machine("drives", "rename", "photos", "pictures", "--json")
    assert renamed.exit_code == 0, renamed.output
    assert json.loads(renamed.stdout) == {"name": "pictures", "cost": "0"}
    assert [one["name"] for one in json.loads(machine("drives", "--json").stdout)] == ["main", "pictures"]


def test_a_new_name_is_kept_for_as_long_as_what_is_in_the_drive(machine: Machine, tree: Path) -> None:
    """By the policy's code and term: the pack that says it must not be the first to end."""
    machine("drives", "create", "photos")
    stored = machine("put", tree, "photos:", "--k", "2", "--n", "4", "--yes", "--json")
    assert stored.exit_code == 0, stored.output
    assert machine("policy", "photos:", "--code", "1/3", "--yes").exit_code == 0
    [before] = [one for one in json.loads(machine("drives", "--json").stdout) if one["name"] == "photos"]
    renamed = machine("drives", "rename", "photos", "pictures", "--yes", "--json")
    assert renamed.exit_code == 0, renamed.output
    assert int(json.loads(renamed.stdout)["cost"]) > 0
    [after] = [one for one in json.loads(machine("drives", "--json").stdout) if one["name"] == "pictures"]
    assert after["packs"] == before["packs"] + 1
    assert after["kept_until_epoch"] == before["kept_until_epoch"]


def test_a_device_is_given_the_drives_that_are_named(machine: Machine, tmp_path: Path) -> None:
    """The file has their keys and names; a drive that is not there is told before anything is made."""
    machine("drives", "create", "photos")
    network = Network(rpc="http://127.0.0.1:1", chain_id=31337, market=MARKET, first_block=0)
    set_up(machine.home, phrase=WORDS, network=network)
    limits = ("--per-epoch", "1", "--in-all", "2", "--epochs", "5", "--no-encryption")
    common = ("keys", "delegate", "new", "--home", machine.home, *limits)
    unknown = machine(*common, tmp_path / "no.json", "--drive", "music")
    assert isinstance(unknown.exception, UnknownDrive)
    assert not (tmp_path / "no.json").exists()
    made = machine(*common, tmp_path / "file.json", "--drive", "main", "--drive", "photos")
    assert (tmp_path / "file.json").exists(), made.output
    assert made.stdout.count("drive ") >= 2
    bundle = DelegateBundle.parse((tmp_path / "file.json").read_text(), "file")
    drives = json.loads(bundle.secret)["drives"]
    assert [(one["number"], one["name"]) for one in drives] == [(0, "main"), (1, "photos")]

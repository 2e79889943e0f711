"""`grange farm farmers`: the lists by which a farm hands over and repairs, and the names in what it says."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from node_support import config_for
from typer.testing import CliRunner, Result

from grange.allow_lists import FARMERS, RENTERS, ListFiles
from grange.chain import Wallet
from grange.types import FarmerId
from grange_node.cli.common import name_in_logs, names_of_farm
from grange_node.cli.farm import app
from grange_node.config import REPAIRS_NAME, Config, save_config
from grange_node.pieces.volume import begin_volume


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A farm that was set up in `tmp_path`."""
    config = config_for(tmp_path)
    save_config(tmp_path, config)
    begin_volume(tmp_path, config)
    return config


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["farmers", *arguments, "--home", str(home)])


def test_what_a_command_says_is_what_the_farms_files_say(config: Config, tmp_path: Path) -> None:
    """In the folder in which its repairs and hand-overs read them."""
    files, address = ListFiles(folder=config.data_folder / REPAIRS_NAME, of=FARMERS), Wallet.random().address
    allowed = run(tmp_path, "allow", "7", "Bob's cellar")
    assert (allowed.exit_code, "Allowed farmer 7 (Bob's cellar)" in allowed.stdout) == (0, True), allowed
    assert run(tmp_path, "deny", address).exit_code == 0
    assert (files.read().name_of(FarmerId(7)), files.read().is_denied(address)) == ("Bob's cellar", True)
    shown = json.loads(run(tmp_path, "list", "--json").stdout)
    assert shown == {
        "allowed": [{"farmer": 7, "name": "Bob's cellar"}],
        "denied": [{"address": address, "name": ""}],
    }
    assert run(tmp_path, "forget", "7").exit_code == 0
    assert not files.read().allowed
    assert run(tmp_path, "allow", "nobody").exit_code == 2


def test_the_log_calls_farmers_and_renters_as_the_owner_does(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Wallet.random().address
    assert run(tmp_path, "deny", "7", "Eve").exit_code == 0
    ListFiles(folder=config.data_folder, of=RENTERS).allow(ann, "Ann")
    names, handler = names_of_farm(config.data_folder), logging.StreamHandler()
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    name_in_logs(lambda: names)
    logging.getLogger("grange.farm").warning("slot %d: farmer %d broke off, %s waits", 3, 7, ann)
    assert capsys.readouterr().err == f"slot 3: farmer 7 (Eve) broke off, {ann} (Ann) waits\n"

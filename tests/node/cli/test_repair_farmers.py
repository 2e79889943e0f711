"""`grange repair farmers`: the lists that a repairer goes by, kept by command."""

import json
from pathlib import Path

import pytest
from node_support import CHAIN_ID, MARKET
from typer.testing import CliRunner, Result

from grange.allow_lists import FARMERS, ListFiles
from grange.chain import Wallet
from grange_node.cli.repair import app
from grange_node.cli.repair_home import RepairConfig, save_repair_config
from grange_node.config import TokenFile


@pytest.fixture
def home(tmp_path: Path) -> Path:
    token = TokenFile(symbol="GRNG", decimals=18)
    config = RepairConfig(rpc_url="http://127.0.0.1:1", chain_id=CHAIN_ID, market=MARKET, token=token)
    save_repair_config(tmp_path, config)
    return tmp_path


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["farmers", *arguments, "--home", str(home)])


def test_what_a_command_says_is_what_the_repairers_files_say(home: Path) -> None:
    """In the folder in which a repairer reads them when it starts."""
    files, address = ListFiles(folder=home, of=FARMERS), Wallet.random().address
    allowed = run(home, "allow", "7", "Bob's cellar")
    assert (allowed.exit_code, "Allowed farmer 7 (Bob's cellar)" in allowed.stdout) == (0, True)
    assert "A repairer reads its lists when it starts." in allowed.stdout
    assert run(home, "deny", address).exit_code == 0
    assert (files.read().name_of(7), files.read().is_denied(address)) == ("Bob's cellar", True)  # type: ignore[arg-type]
    shown = json.loads(run(home, "list", "--json").stdout)
    assert shown == {
        "allowed": [{"farmer": 7, "name": "Bob's cellar"}],
        "denied": [{"address": address, "name": ""}],
    }
    assert run(home, "forget", "7").exit_code == 0
    assert not files.read().allowed


def test_what_makes_no_line_and_a_home_without_a_repairer_end_in_words(home: Path, tmp_path: Path) -> None:
    wrong = run(home, "allow", "nobody")
    assert (wrong.exit_code, "is not an address" in wrong.stderr) == (2, True)
    missing = run(tmp_path / "none", "list")
    assert (missing.exit_code, "There is no repairer" in missing.stderr) == (3, True)

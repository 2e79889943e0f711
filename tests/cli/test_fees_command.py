"""`grange fees` and `grange market describe`: what gas costs now, as money where a price is given."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from test_market import devnet_file, key_file
from typer.testing import CliRunner, Result

from grange.chain.fee_settings import FEES_NAME
from grange.cli.exit_codes import ExitCode
from grange.cli.market import app as market
from grange_client.cli import app as client_app


def run(app: Any, *arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, [str(one) for one in arguments])


def test_a_renter_sets_a_cap_and_a_price_and_sees_what_storing_costs(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with devnet_file(tmp_path) as (_, file):
        client = client_app.app
        made = run(client, "init", "--network", file, "--home", home)
        assert made.exit_code == 0, made.output
        untold = run(client, "fees", "--home", home)
        assert untold.exit_code == 0, untold.output
        assert "Nothing says what gas is worth" in untold.stdout
        assert not (home / FEES_NAME).exists()
        told = run(client, "fees", "--gas-usd", "3000", "--max-fee-gwei", "40", "--home", home)
        assert "More than 40 gwei is not offered" in told.stdout
        assert "storing with 30: " in told.stdout
        assert "$" in told.stdout
        command = f"{sys.executable} -c 'print(2500)'"
        by_command = run(client, "fees", "--gas-usd-command", command, "--json", "--home", home)
        found = json.loads(by_command.stdout)
        assert (found["price"], found["max_fee_gwei"], found["trouble"]) == ("$2,500.00", "40", "")
        assert found["calls"]["storing with 30"]["usd"].startswith("$")
        broken = run(client, "fees", "--gas-usd-command", "/nowhere/price", "--home", home)
        assert broken.exit_code == 0
        assert "/nowhere/price cannot be run" in broken.stdout
        assert "A gas token counts for $3,000.00" in broken.stdout


def test_a_wrong_amount_is_wrong_usage_and_changes_nothing(tmp_path: Path, capfd: Any) -> None:
    home = tmp_path / "home"
    with devnet_file(tmp_path) as (_, file):
        assert client_app.run(["init", "--network", str(file), "--home", str(home)]) == 0
        assert client_app.run(["fees", "--max-fee-gwei", "0", "--home", str(home)]) == ExitCode.USAGE
        assert "is not a price of gas in gwei" in capfd.readouterr().err
        assert not (home / FEES_NAME).exists()
        (home / FEES_NAME).write_text('{"max_fee_gwei": "lots"}')
        assert client_app.run(["fees", "--home", str(home)]) == ExitCode.SETUP
        assert FEES_NAME in capfd.readouterr().err


def test_a_deployment_that_gas_above_the_cap_holds_back_says_so_and_sends_nothing(tmp_path: Path) -> None:
    with devnet_file(tmp_path) as (devnet, _):
        made = tmp_path / "mine.json"
        options = ("--preset", "test", "--rpc", devnet.rpc_url, "--key-file", key_file(tmp_path), "--yes")
        held = run(market, "deploy", *options, "--output", made, "--max-fee-gwei", "0.000000001")
        assert held.exit_code == ExitCode.MONEY, held.output
        assert "the cap is 0.000000001: nothing was sent" in held.stderr
        assert "Wait, or allow more: --max-fee-gwei." in held.stderr
        assert not made.exists()


def test_describe_says_what_calls_cost(tmp_path: Path) -> None:
    with devnet_file(tmp_path) as (_, file):
        plain = run(market, "describe", "--network", file)
        assert "a farmer's proof: " in plain.stdout
        priced = run(market, "describe", "--network", file, "--gas-usd", "3000")
        assert "A gas token counts for $3,000.00" in priced.stdout
        found = json.loads(run(market, "describe", "--network", file, "--json").stdout)
        assert int(found["gas"]["calls"]["a farmer's proof"]["wei"]) > 0
        assert run(market, "describe", "--network", file, "--gas-usd", "x").exit_code == ExitCode.USAGE

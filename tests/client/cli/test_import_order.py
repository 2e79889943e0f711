"""`import`: an order of `put` becomes a version of a drive; a second time nothing is read, sent or paid."""

import json
from pathlib import Path

from test_client_cli import Machine, machine

from grange.cli.exit_codes import ExitCode
from grange_client.errors import BadPath, UnknownOrder

__all__ = ["machine"]

CODE = ("--k", "2", "--n", "4")


def test_an_order_becomes_a_version_of_a_drive(machine: Machine, tree: Path) -> None:
    """All of its names with their modes and times; what it came from is said. The order stays."""
    assert machine("orders", "put", tree, "--name", "album", *CODE, "--yes").exit_code == 0
    done = machine("import", "album", "main:/old", *CODE, "--yes", "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    document = json.loads(done.stdout)
    assert (document["drive"], document["path"], document["new"]) == ("main", "old", 6)
    assert document["commit"]
    assert len(document["orders"]) == 1
    again = machine("import", "album", "main:/old", *CODE, "--yes")
    assert again.exit_code == 0, again.output
    assert "Nothing changed: main:/old has all of it already" in again.stdout
    orders = json.loads(machine("orders", "ls", "--json").stdout)
    assert [one["name"] for one in orders if one["name"]] == ["album"]


def test_what_cannot_be_imported_is_said(machine: Machine, tree: Path) -> None:
    """A pack of a drive, a place that is none, an order that is not there, and who says no to a price."""
    assert machine("put", tree, "main:", *CODE, "--yes").exit_code == 0
    [pack] = json.loads(machine("orders", "ls", "--json").stdout)
    refused = machine("import", pack["order"], "main:/x", "--yes")
    assert isinstance(refused.exception, UnknownOrder)
    assert "is a pack of a drive" in refused.exception.message
    assert isinstance(machine("import", "nothing", "main:/x", "--yes").exception, UnknownOrder)
    assert isinstance(machine("import", "nothing", "./x", "--yes").exception, BadPath)
    assert machine("orders", "put", tree, "--name", "album", *CODE, "--yes").exit_code == 0
    declined = machine("import", "album", "main:/x", *CODE, stdin="n\n")
    assert declined.exit_code == ExitCode.DECLINED

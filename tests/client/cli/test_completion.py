"""What a shell is offered where a place in a drive is typed."""

from pathlib import Path

import pytest
from test_client_cli import Machine, machine
from typer.testing import CliRunner

from grange_client.cli import app as cli

__all__ = ["machine"]


def completions(line: str) -> list[str]:
    """Of the last word, as bash asks."""
    environment = {
        "_GRANGE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    return CliRunner().invoke(cli.app, [], env=environment, prog_name="grange").stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("grange ls ", ["main:", "photos:"]),
        ("grange get ph", ["photos:"]),
        ("grange mv main:/x m", ["main:"]),
        ("grange rm q", []),
        ("grange find main:", ["main:"]),
    ],
)
def test_drives_of_this_home_are_offered(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, line: str, offered: list[str]
) -> None:
    machine("drives", "create", "photos")
    monkeypatch.setenv("GRANGE_HOME", str(machine.home))
    assert completions(line) == offered


def test_a_home_that_is_not_there_has_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRANGE_HOME", str(tmp_path / "nowhere"))
    assert completions("grange ls ma") == ["main:"]
    assert not (tmp_path / "nowhere").exists()

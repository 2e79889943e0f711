"""Help fills the width of the terminal: line breaks of the source are not to be seen."""

import os
import subprocess
import sys
from itertools import pairwise

import pytest

WIDTH = 80


@pytest.mark.parametrize("command", [["put"], ["keep"], ["farm"], ["farm", "unstake"]], ids=" ".join)
def test_lines_of_help_are_broken_where_the_terminal_ends(command: list[str]) -> None:
    """A line of prose ends only where its next word has no room."""
    shown = subprocess.run(
        [sys.executable, "-m", "grange_client", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": str(WIDTH)},
    ).stdout
    prose = shown.partition("╭")[0].partition("Usage:")[2].split("\n")[1:]
    pairs = [(line.strip(), after.split()) for line, after in pairwise(prose)]
    broken = [line for line, after in pairs if line and after and len(line) + 1 + len(after[0]) < WIDTH - 2]
    assert len(prose) > 1
    assert not broken

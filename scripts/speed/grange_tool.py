"""Grange as a program that backs up, beside the others of `backup_tools`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from speed.backup_tools import Command, Traffic
from speed.trees import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class GrangeTool:
    """A home that is set up and has money; each command is a process of its own."""

    home: Path
    k: int
    n: int
    name: str = "grange"

    @property
    def version(self) -> str:
        return version("grange")

    @property
    def content_share(self) -> float:
        """Of what goes over the wire, what would be there without the redundancy of the code."""
        return self.k / self.n

    def set_up(self) -> None:
        """There is nothing to do."""

    def back_up(self, tree: Tree) -> Command:
        """`put TREE/. main:/tree`; of what is as it was it makes no commit."""
        code = ("--k", self.k, "--n", self.n)
        return self._command("put", f"{tree.root}/.", "main:/tree", *code, "--yes", "--json")

    def restore(self, tree: Tree, target: Path, part: str) -> Command:
        """`get main:/tree TARGET`: what is named comes under its own name, so the target is its parent."""
        place, below = ("main:/tree/" + part, Path(part).parent) if part else ("main:/tree", Path())
        return self._command("get", place, target / below, "--yes", "--json")

    def restored_at(self, target: Path, part: str) -> Path:
        """Where the tree is then."""
        return target if part else target / "tree"

    def stored_bytes(self) -> int:
        """It is at others."""
        return 0

    def traffic(self, said: str, *, grown_bytes: int, read_bytes: int | None) -> Traffic:
        """As it went over the wire."""
        counted = json.loads(self._counted.read_text())
        return Traffic(sent_bytes=counted["sent_bytes"], received_bytes=counted["received_bytes"])

    @property
    def _counted(self) -> Path:
        return self.home.with_name("counted.json")

    def _command(self, *arguments: object) -> Command:
        program = [sys.executable, "-m", "speed.counted_command", str(self._counted)]
        return Command(
            arguments=[*program, *map(str, arguments)],
            folder=self.home,
            environment={"GRANGE_HOME": os.fspath(self.home)},
        )

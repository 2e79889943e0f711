"""Grange as a program that backs up, beside the others of `backup_tools`."""

from __future__ import annotations

import json
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
        return self._command("backup", tree.root, self.k, self.n)

    def settle(self) -> Command:
        """Once its orders are buried, nothing of what it stored is on this disk but the catalog."""
        return self._command("settle")

    def restore(self, tree: Tree, target: Path, part: str) -> Command:
        return self._command("restore", target, *([part] if part else []))

    def stored_bytes(self) -> int:
        """It is at others."""
        return 0

    def traffic(self, said: str, *, grown_bytes: int, read_bytes: int | None) -> Traffic:
        """As it went over the wire."""
        told = json.loads(said.splitlines()[-1])
        return Traffic(sent_bytes=told["sent_bytes"], received_bytes=told["received_bytes"])

    def _command(self, *arguments: object) -> Command:
        program = [sys.executable, "-m", "speed.drive_command", str(self.home)]
        return Command(arguments=[*program, *map(str, arguments)], folder=self.home)

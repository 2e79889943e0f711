"""Programs that back up to a local folder, as commands: what stands beside Grange in `scripts/bench backup`.

Each is run with its own defaults, encrypted, with its caches in the folder that is measured in. Programs that
are not there are left out by name, with the reason.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from speed.trees import Tree, files_below

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is run where."""

    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a command sent to where backups are kept, and received from there."""

    sent_bytes: int
    received_bytes: int | None


class BackupTool(Protocol):
    """A program that backs a tree up into a repository of its own, below a folder."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def version(self) -> str:
        """What it says of itself."""

    @property
    def content_share(self) -> float:
        """Of what is sent, the part that is content: all of it, or k / n."""

    def set_up(self) -> Command | None:
        """Make the repository, if that takes a command."""

    def back_up(self, tree: Tree) -> Command:
        """The whole tree."""

    def restore(self, tree: Tree, target: Path, part: str) -> Command:
        """The newest backup, or what is below a name of it, into a directory that is there: under the names
        that it has in the tree."""

    def restored_at(self, target: Path, part: str) -> Path:
        """Where the tree is in that directory then."""

    def stored_bytes(self) -> int:
        """What its repository has, if that is on this disk."""

    def traffic(self, said: str, *, grown_bytes: int, read_bytes: int | None) -> Traffic:
        """Of a command that said this on standard output, with which the repository grew by so much, and
        which read so much."""


class LocalTool:
    """What those with a repository on the disk have in common: to write it is to send, to read is to
    receive."""

    content_share = 1.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    @property
    def repository(self) -> Path:
        """Where backups are."""
        return self.folder / "repository"

    def restored_at(self, target: Path, part: str) -> Path:
        """Right in it."""
        return target

    def stored_bytes(self) -> int:
        """What the repository has."""
        return sum(file.stat().st_size for file in files_below(self.repository))

    def traffic(self, said: str, *, grown_bytes: int, read_bytes: int | None) -> Traffic:
        """Whatever is read counts, also what is no part of the repository."""
        return Traffic(sent_bytes=grown_bytes, received_bytes=read_bytes)


class Restic(LocalTool):
    """restic, with a repository on the disk."""

    name = "restic"

    @property
    def version(self) -> str:
        return _said("restic", "version").split()[1]

    def set_up(self) -> Command:
        return self._command(self.folder, "init")

    def back_up(self, tree: Tree) -> Command:
        return self._command(tree.root, "backup", "--quiet", ".")

    def restore(self, tree: Tree, target: Path, part: str) -> Command:
        only = ["--include", f"/{part}"] if part else []
        return self._command(self.folder, "restore", "--quiet", "latest", "--target", str(target), *only)

    def _command(self, folder: Path, *arguments: str) -> Command:
        environment = {
            "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_CACHE_DIR": str(self.folder / "cache"),
        }
        return Command(arguments=["restic", *arguments], folder=folder, environment=environment)


class Borg(LocalTool):
    """borg, with a repository on the disk."""

    name = "borg"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.backups = 0

    @property
    def version(self) -> str:
        return _said("borg", "--version").split()[1]

    def set_up(self) -> Command:
        return self._command(self.folder, "init", "--encryption", "repokey-blake2")

    def back_up(self, tree: Tree) -> Command:
        self.backups += 1
        return self._command(tree.root, "create", f"::{self.backups}", ".")

    def restore(self, tree: Tree, target: Path, part: str) -> Command:
        return self._command(target, "extract", f"::{self.backups}", *([part] if part else []))

    def _command(self, folder: Path, *arguments: str) -> Command:
        environment = {
            "BORG_REPO": str(self.repository),
            "BORG_PASSPHRASE": PASSWORD,
            "BORG_BASE_DIR": str(self.folder / "home"),
        }
        return Command(arguments=["borg", *arguments], folder=folder, environment=environment)


KNOWN: Mapping[str, type[Restic | Borg]] = {"restic": Restic, "borg": Borg}
NO_PACKAGE = {"kopia": "neither PyPI nor Debian has a package of it"}
PACKAGES = {"restic": "restic", "borg": "borgbackup"}
"""In Debian."""


def why_left_out(name: str) -> str:
    """Why a program can't be measured here; nothing if it can."""
    if name in NO_PACKAGE:
        return NO_PACKAGE[name]
    if name not in KNOWN:
        return "it is not known here"
    if shutil.which(name) is None:
        return f"it is not installed: apt-get install {PACKAGES[name]}"
    return ""


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout

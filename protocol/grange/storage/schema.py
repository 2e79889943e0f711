"""The tables of a SQLite file, by version: a new file gets them, an older one is brought up to date in place.

    SCHEMA = Schema(version=2, create="CREATE TABLE a (x, y);", upgrades={1: "ALTER TABLE a ADD COLUMN y;"})
    SCHEMA.prepare(db, path)

The version is kept in the file (`PRAGMA user_version`), and beside it a mark that belongs to this version and
no other (`PRAGMA application_id`): a bit that changes in one of them makes no file a newer program's. A file
that has the version is not written to. What a newer program wrote is left alone: `FileTooNew`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from zlib import crc32

from grange.errors import Category, Misuse, UserError
from grange.storage.connection import transaction

NO_MARK: Final = 0
"""Of a file that was made before there were marks."""


class FileTooNew(UserError, Misuse):
    """A newer version of the program wrote this file."""

    category = Category.SETUP

    def __init__(self, path: Path | None, found: int, known: int) -> None:
        super().__init__(
            f"{path} was written by a newer version of Grange.",
            detail=f"It has schema {found}, and this program knows {known}.",
            hint="Install a newer version.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """`create` makes the tables of this version; `upgrades` brings a file up to it, by the version that the
    file has. A file without a version is new, or older than versions: `create` has to suit both."""

    version: int
    create: str
    upgrades: Mapping[int, str] = field(default_factory=dict)

    def prepare(self, db: sqlite3.Connection, path: Path | None) -> None:
        """See that the file has this schema, in one transaction. Raises FileTooNew, and sqlite3.Error: that
        of a damaged file also for a version that there never was."""
        if self._is_current(db, path):
            return
        with transaction(db):
            # Another process may have been here first.
            if self._is_current(db, path):
                return
            version = self.version_of(db)
            if version and version not in self.upgrades:
                raise _damaged(version)
            for statement in _statements(self.upgrades[version] if version else self.create):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {self.version}")
            db.execute(f"PRAGMA application_id = {mark_of(self.version)}")

    def version_of(self, db: sqlite3.Connection) -> int:
        """The version that a file has; 0 if it is new. Raises as `true_version` does."""
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        return self.true_version(version, int(db.execute("PRAGMA application_id").fetchone()[0]))

    def true_version(self, version: int, mark: int) -> int:
        """The version of a file in which these two stand. Raises the error of a damaged file where they do
        not say it."""
        if mark == mark_of(version):
            return version
        if (marked := {mark_of(known): known for known in range(1, self.version + 1)}.get(mark)) is not None:
            return marked
        # Of a mark that has lost a bit the version is right.
        if version <= self.version and (mark == NO_MARK or (mark ^ mark_of(version)).bit_count() == 1):
            return version
        raise _damaged(version)

    def _is_current(self, db: sqlite3.Connection, path: Path | None) -> bool:
        version = self.version_of(db)
        if version > self.version:
            raise FileTooNew(path, version, self.version)
        return version == self.version


def mark_of(version: int) -> int:
    """What stands beside a version in a file of ours: two versions have marks that differ in many bits."""
    return crc32(b"Grange schema %d" % version) >> 1 if version else NO_MARK


def _damaged(version: int) -> sqlite3.DatabaseError:
    """No program wrote that version: bits have changed of which SQLite does not know."""
    error = sqlite3.DatabaseError(f"schema {version} was never written")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _statements(script: str) -> Iterator[str]:
    """One by one: `executescript` would end the transaction."""
    statement = ""
    for part in script.split(";"):
        statement += part
        if statement.strip() and sqlite3.complete_statement(statement + ";"):
            yield statement
            statement = ""
        else:
            statement += ";" if statement.strip() else ""

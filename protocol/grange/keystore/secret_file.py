"""A secret in a file of its own, in clear or locked with a passphrase, that its owner alone can read.

    file = SecretFile.read(path)
    file.container                    what it is locked in; None if it is in clear
    opened = file.open(passphrases)
    relock(file, text_of, passphrase)      another passphrase, or none

Raises SecretUnreadable for a file that is missing, or readable by others, SecretChanged, ContainerInvalid,
and what `passphrases` raises.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from grange.errors import Category, Misuse, UserError
from grange.keystore.container import MAX_CONTAINER_BYTES, Container, is_locked
from grange.keystore.passphrases import Opened, Passphrases, forget_in_keyring, keep_in_keyring
from grange.storage.atomic_file import replace_file
from grange.storage.folder_lock import folder_lock


class SecretUnreadable(UserError, Misuse):
    """A secret's file is missing, not text, or readable by others."""

    category = Category.SETUP


class SecretChanged(UserError, Misuse):
    """A secret's file is not the one any more that was opened."""

    category = Category.IN_USE


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFile:
    """What such a file holds."""

    path: Path
    container: Container | None
    _text: str = field(repr=False)

    @classmethod
    def read(cls, path: Path, *, hint: str = "Put it back from your backup.") -> Self:
        """Read it; nothing is asked yet. `hint` is what to do where it is missing."""
        text = cls.read_text(path, hint=hint)
        container = Container.parse(text, str(path)) if is_locked(text) else None
        return cls(path=path, container=container, _text=text)

    @staticmethod
    def read_text(path: Path, *, hint: str) -> str:
        """What is in it, whatever that is."""
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(MAX_CONTAINER_BYTES)
        except FileNotFoundError as error:
            raise SecretUnreadable(f"The key file {path} is missing.", hint=hint) from error
        except OSError as error:
            raise SecretUnreadable(
                f"{path} cannot be read: {error.strerror}.", hint="Let this account read it."
            ) from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SecretUnreadable(f"{path} can be read by others.", hint=f"Run: chmod 600 {path}")
        return content.decode(errors="replace")

    def open(self, passphrases: Passphrases) -> Opened:
        """The secret, or the file's bytes where it is in clear."""
        if self.container is None:
            return Opened(secret=self._text.encode())
        return passphrases.open(self.container, str(self.path))


def relock(file: SecretFile, text_of: Callable[[], str], passphrase: str | None) -> None:
    """Write a secret again, under another passphrase or in clear, in one step: whatever happens, one of both
    files is whole, and the old one is gone only once the new one is on the disk. `text_of` makes its text.

    What was written is opened once more before it takes the place. A file that is another one than `file`
    stays: while a person thought of a passphrase, a command may have put a new key there. Raises
    SecretChanged, KeyringFailed, and then all is as it was.
    """
    before, text = file.container, text_of()
    if passphrase is not None:
        container = Container.parse(text)
        container.open(passphrase)
        if container.in_keyring:
            keep_in_keyring(container, passphrase)
    with folder_lock(file.path.parent):
        if SecretFile.read(file.path) != file:
            raise SecretChanged(
                f"{file.path} was changed by another command meanwhile, and was left as it is.",
                hint="Run the command again.",
            )
        replace_file(file.path, text)
    if before is not None and before.in_keyring:
        forget_in_keyring(before)

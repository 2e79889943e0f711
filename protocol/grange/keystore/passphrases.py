"""Where the passphrase of a locked secret comes from: a file, a descriptor, the system's keyring, a person.

    passphrases = Passphrases(files=[path], ask=ask)
    opened = passphrases.open(container, "my-farm/operator.key")
    opened.secret, opened.passphrase

Decides in which order they are tried, that a person is asked once for all that one passphrase opens, and what
is said when there is none. Nothing is read or asked before a secret has to be opened. Takes none out of a
command line or the environment, where other programs see it.

Raises PassphraseNeeded where none is to be had, PassphraseUnreadable, WrongPassphrase. One thread at a time.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from grange.errors import Category, Misuse, UserError
from grange.keystore.container import Container, WrongPassphrase

FILE_VARIABLE: Final = "GRANGE_PASSPHRASE_FILE"
KEYRING_SERVICE: Final = "grange"
MAX_PASSPHRASE_BYTES: Final = 1024
MAX_QUESTIONS: Final = 3
HOW_TO_GIVE: Final = (
    f"Give --passphrase-file FILE or --passphrase-fd NUMBER, or name the file in {FILE_VARIABLE}. In a "
    "terminal you are asked."
)

Ask = Callable[[str], str]
"""Puts a question to a person, and shows no answer. Raises EOFError where there is none."""
Tell = Callable[[str], None]


class PassphraseNeeded(UserError, Misuse):
    """A secret is locked, and there is no passphrase."""

    category = Category.SETUP


class PassphraseUnreadable(UserError, Misuse):
    """What should have the passphrase cannot be read, or has none."""

    category = Category.SETUP


class KeyringFailed(UserError, Misuse):
    """The system's keyring is not there, or takes and gives nothing."""

    category = Category.SETUP


class Keyring(Protocol):
    """As the library `keyring` has it."""

    def get_password(self, service: str, username: str, /) -> str | None:
        """What is kept under that name."""

    def set_password(self, service: str, username: str, password: str, /) -> None:
        """Keep it."""

    def delete_password(self, service: str, username: str, /) -> None:
        """Keep it no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A secret, and what opened it: None if it was in clear."""

    secret: bytes = field(repr=False)
    passphrase: str | None = field(repr=False, default=None)


class Passphrases:
    """The passphrases of one command."""

    def __init__(
        self,
        *,
        files: Sequence[Path] = (),
        descriptors: Sequence[int] = (),
        ask: Ask | None = None,
        load_keyring: Callable[[], Keyring] | None = None,
        tell: Tell = lambda _: None,
    ) -> None:
        """`ask` is None where there is nobody to ask. `tell` gets warnings."""
        self._waiting: list[Path | int] = [*files, *descriptors]
        self.are_given = bool(self._waiting)
        self._known: list[str] = []
        self._opened: dict[Container, Opened] = {}
        self._ask = ask
        self._load_keyring = load_keyring
        self._tell = tell

    def open(self, container: Container, what: str) -> Opened:
        """The secret of a container; `what` is how a person calls it. Takes half a second and more the first
        time."""
        if container not in self._opened:
            self._opened[container] = self._open(container, what)
        return self._opened[container]

    def _open(self, container: Container, what: str) -> Opened:
        tried = False
        for passphrase in self._given():
            tried = True
            if (opened := _try(container, passphrase)) is not None:
                return opened
        if (opened := self._by_keyring(container, what)) is not None:
            return opened
        if tried and self._ask is None:
            raise WrongPassphrase(
                f"The passphrase that was given does not open {what}.",
                hint="Look into the file that has it: only its first line counts.",
            )
        return self._by_question(container, what)

    def choose(self, what: str) -> str | None:
        """The passphrase that something new is to be locked with: the first that was given, or one that a
        person thinks of. None if a person wants none. Raises PassphraseNeeded where nobody can be asked."""
        for passphrase in self._given():
            return passphrase
        return self.think_up(what)

    def think_up(self, what: str, *, how_to_give: str = HOW_TO_GIVE) -> str | None:
        """The same, by a person, whatever was given."""
        if self._ask is None:
            raise PassphraseNeeded(
                f"{_capital(what)} would be locked with a passphrase, and none was given.",
                hint=f"{how_to_give} --no-encryption keeps it in clear.",
            )
        for _ in range(MAX_QUESTIONS):
            first = self._asked(f"A passphrase for {what} (empty: none)")
            if not first:
                return None
            if self._asked("The same once more") == first:
                self._known.append(first)
                return first
            self._tell("They differ. Once more, then.")
        raise PassphraseNeeded("The passphrases differed each time.", hint="Run the command again.")

    def _given(self) -> Iterator[str]:
        """Those that were seen, and then those that wait to be read, each once."""
        yield from tuple(self._known)
        while self._waiting:
            source = self._waiting.pop(0)
            read = _read_file(source, self._tell) if isinstance(source, Path) else _read_descriptor(source)
            if read not in self._known:
                self._known.append(read)
                yield read

    def _by_keyring(self, container: Container, what: str) -> Opened | None:
        if not container.in_keyring:
            return None
        try:
            kept = (self._load_keyring or import_keyring)().get_password(KEYRING_SERVICE, container.id)
        except KeyringFailed as error:
            self._tell(str(error))
            return None
        except Exception as error:  # its backends are of many makers
            self._tell(f"The system's keyring does not give the passphrase of {what}: {_first_line(error)}.")
            return None
        opened = None if kept is None else _try(container, kept)
        if opened is None or kept is None:
            self._tell(f"The system's keyring does not have the passphrase of {what}.")
            return None
        self._known.append(kept)
        return opened

    def _by_question(self, container: Container, what: str) -> Opened:
        if self._ask is None:
            raise PassphraseNeeded(f"{_capital(what)} is locked with a passphrase.", hint=HOW_TO_GIVE)
        for left in reversed(range(MAX_QUESTIONS)):
            passphrase = self._asked(f"The passphrase of {what}")
            if (opened := _try(container, passphrase)) is not None:
                self._known.append(passphrase)
                return opened
            if left:
                self._tell("That does not open it.")
        raise WrongPassphrase(
            f"{_capital(what)} was not opened: the passphrase was wrong {MAX_QUESTIONS} times.",
            hint="Nobody can find it again. What was locked is on your recovery card, or in your backup.",
        )

    def _asked(self, question: str) -> str:
        assert self._ask is not None
        try:
            return self._ask(question)
        except EOFError:
            raise PassphraseNeeded("No passphrase was given.", hint=HOW_TO_GIVE) from None


NO_PASSPHRASES: Final = Passphrases()
"""For secrets in clear; what is locked stays locked."""


def keep_in_keyring(container: Container, passphrase: str) -> None:
    """Give the system's keyring the passphrase of a container. Raises KeyringFailed."""
    try:
        import_keyring().set_password(KEYRING_SERVICE, container.id, passphrase)
    except KeyringFailed:
        raise
    except Exception as error:
        raise KeyringFailed(
            f"The system's keyring does not take the passphrase: {_first_line(error)}.",
            hint="Leave --keyring out, and give a file or be asked.",
        ) from None


def forget_in_keyring(container: Container) -> None:
    """Take it out again, if it is there; a keyring that fails keeps it."""
    with suppress(Exception):  # it opens nothing any more
        import_keyring().delete_password(KEYRING_SERVICE, container.id)


def import_keyring() -> Keyring:
    """The library `keyring`. Raises KeyringFailed where it is not installed."""
    try:
        keyring: Any = import_module("keyring")  # an extra, and long to load
    except ImportError:
        raise KeyringFailed(
            "The library for the system's keyring is not installed.",
            hint="Install it: pip install 'grange[keyring]'",
        ) from None
    return keyring  # type: ignore[no-any-return]


def _try(container: Container, passphrase: str) -> Opened | None:
    try:
        return Opened(secret=container.open(passphrase), passphrase=passphrase)
    except WrongPassphrase:
        return None


def _read_file(path: Path, tell: Tell) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_PASSPHRASE_BYTES + 1)
    except OSError as error:
        raise PassphraseUnreadable(
            f"The passphrase cannot be read from {path}: {error.strerror}.",
            hint="Give a file whose first line is the passphrase.",
        ) from None
    # Secrets that a container or systemd mounts are often readable by a group, and cannot be changed.
    if stat.S_ISREG(mode) and mode & stat.S_IRWXO:
        tell(f"Everybody on this computer can read the passphrase in {path}. Run: chmod 600 {path}")
    return _first_of(content, str(path))


def _read_descriptor(descriptor: int) -> str:
    content = b""
    try:
        while len(content) <= MAX_PASSPHRASE_BYTES and b"\n" not in content:
            if not (more := os.read(descriptor, MAX_PASSPHRASE_BYTES)):
                break
            content += more
    except OSError as error:
        raise PassphraseUnreadable(
            f"The passphrase cannot be read from descriptor {descriptor}: {error.strerror}.",
            hint="Open it for the command, as in: grange ls --passphrase-fd 3 3< FILE",
        ) from None
    return _first_of(content, f"descriptor {descriptor}")


def _first_of(content: bytes, where: str) -> str:
    line = content.split(b"\n", 1)[0].removesuffix(b"\r")
    if len(line) > MAX_PASSPHRASE_BYTES:
        raise PassphraseUnreadable(
            f"The passphrase in {where} is longer than {MAX_PASSPHRASE_BYTES} bytes.",
            hint="Give a file whose first line is the passphrase.",
        )
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise PassphraseUnreadable(
            f"There is no passphrase in {where}: its first line is empty, or not text.",
            hint="Give a file whose first line is the passphrase.",
        )
    return text


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _capital(text: str) -> str:
    first = text.split(maxsplit=1)[0]
    return text if "/" in first or "." in first else text[0].upper() + text[1:]

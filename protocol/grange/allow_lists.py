"""Whom one deals with: two text files that a person may edit, one of those allowed and one of those denied.

    # friends in town
    0x52908400098527886E0F7030069857D2E4169EE7  Bob's cellar
    7                                           Eve

A line has an address, or the id of a farmer, and behind it a name of one's own. With anybody on the allow
list all others are left out; who is on the deny list is left out in any case. Commands add and remove lines
and leave all others as they are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from grange.errors import Category, Misuse, UserError
from grange.storage.atomic_file import replace_file
from grange.storage.folder_lock import folder_lock
from grange.types import Address, FarmerId, address_from

MAX_LIST_BYTES: Final = 1 << 20
MAX_NAME_CHARACTERS: Final = 60
MAX_ID_DIGITS: Final = 9
COMMENT: Final = "#"
FARMERS: Final = "farmers"
RENTERS: Final = "renters"
OR_ID: Final = ", or a farmer's id"

Who = Address | FarmerId
"""An account, or a farmer by its id."""


class ListInvalid(UserError, Misuse):
    """A list cannot be read, or what is to be put on it makes no line."""

    category = Category.SETUP


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line of a list: who it is about, and the name that was given to them, if any."""

    who: Who
    name: str = ""

    def __str__(self) -> str:
        said = f"farmer {self.who}" if isinstance(self.who, int) else str(self.who)
        return f"{said} ({self.name})" if self.name else said


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowLists:
    """Both lists as they were read. Who is asked about may have several names: a farmer's id, its owner,
    its operator."""

    allowed: tuple[Listed, ...] = ()
    denied: tuple[Listed, ...] = ()

    def is_denied(self, *names: Who) -> bool:
        """Whether one of these is on the deny list."""
        return _find(self.denied, names) is not None

    def is_allowed(self, *names: Who) -> bool:
        """Whether one of these is on the allow list, and none on the deny list."""
        return _find(self.allowed, names) is not None and not self.is_denied(*names)

    def refusal(self, *names: Who) -> str:
        """Why the lists leave somebody out, in words that follow a subject; empty if they don't."""
        if self.is_denied(*names):
            return "is on the deny list"
        if self.allowed and not self.is_allowed(*names):
            return "is not on the allow list"
        return ""

    def name_of(self, *names: Who) -> str:
        """The name that was given to them; empty if none was."""
        found = (_find(self.allowed, names), _find(self.denied, names))
        return next((one.name for one in found if one is not None and one.name), "")


NO_LISTS: Final = AllowLists()
"""Everybody is welcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFiles:
    """The two files in a folder. All methods block."""

    folder: Path
    of: str
    """Who is on them: FARMERS or RENTERS, of which only farmers have ids."""

    @property
    def allow_path(self) -> Path:
        """The file of those allowed."""
        return self.folder / f"allowed-{self.of}.txt"

    @property
    def deny_path(self) -> Path:
        """The file of those denied."""
        return self.folder / f"denied-{self.of}.txt"

    def read(self) -> AllowLists:
        """What they say; a file that is not there says nothing. Raises ListInvalid, which names the line."""
        return AllowLists(
            allowed=parse_list(_read_text(self.allow_path), self.allow_path, of=self.of),
            denied=parse_list(_read_text(self.deny_path), self.deny_path, of=self.of),
        )

    def state(self) -> tuple[object, ...]:
        """Another value after each change to one of them. Raises OSError."""
        return _file_state(self.allow_path), _file_state(self.deny_path)

    def allow(self, who: Who, name: str = "") -> None:
        """Put somebody on the allow list, and take them off the other. Raises ListInvalid, OSError."""
        self._put(self.allow_path, self.deny_path, Listed(who=who, name=name))

    def deny(self, who: Who, name: str = "") -> None:
        """Put somebody on the deny list, and take them off the other. Raises ListInvalid, OSError."""
        self._put(self.deny_path, self.allow_path, Listed(who=who, name=name))

    def forget(self, who: Who) -> bool:
        """Take somebody off both lists; whether they were on one. Raises ListInvalid, OSError."""
        with folder_lock(self.folder):
            removed = [self._rewrite(path, who) for path in (self.allow_path, self.deny_path)]
        return any(removed)

    def _put(self, onto: Path, off: Path, listed: Listed) -> None:
        _check_name(listed.name)
        with folder_lock(self.folder):
            # The deny list is never short of somebody in between.
            first, second = (onto, off) if onto == self.deny_path else (off, onto)
            for path in (first, second):
                self._rewrite(path, listed.who, listed if path == onto else None)

    def _rewrite(self, path: Path, who: Who, listed: Listed | None = None) -> bool:
        """Remove the lines about somebody, and add one if it is given; whether there was one."""
        lines = _read_text(path).splitlines()
        kept = []
        for number, line in enumerate(lines, 1):
            parsed = _parse_line(line, path, number, self.of)
            if parsed is None or _key(parsed.who) != _key(who):
                kept.append(line)
        added = [] if listed is None else [f"{listed.who}  {listed.name}".rstrip()]
        if kept + added != lines:
            replace_file(path, "".join(f"{line}\n" for line in kept + added))
        return len(kept) < len(lines)


def parse_who(text: str, *, of: str = FARMERS) -> Who:
    """An address, or the id of a farmer. Raises Misuse."""
    if of == FARMERS and text.isascii() and text.isdecimal() and len(text) <= MAX_ID_DIGITS and int(text):
        return FarmerId(int(text))
    return address_from(text)


def parse_list(text: str, path: Path, *, of: str = FARMERS) -> tuple[Listed, ...]:
    """The lines of a list; `path` is for the error. Raises ListInvalid."""
    found = (_parse_line(line, path, number, of) for number, line in enumerate(text.splitlines(), 1))
    return tuple(listed for listed in found if listed is not None)


def _parse_line(line: str, path: Path, number: int, of: str) -> Listed | None:
    words = line.split(COMMENT, 1)[0].split(None, 1)
    if not words:
        return None
    try:
        listed = Listed(who=parse_who(words[0], of=of), name=words[1].strip() if len(words) > 1 else "")
        _check_name(listed.name)
    except Misuse as error:
        reason = error.message if isinstance(error, UserError) else str(error)
        raise ListInvalid(
            f"Line {number} of {path} cannot be used: {reason.rstrip('.')}.",
            detail=f"A line has an address{OR_ID if of == FARMERS else ''}, and behind it a name of yours.",
            hint="Correct it, or put # before it.",
        ) from error
    return listed


def _check_name(name: str) -> None:
    if len(name) > MAX_NAME_CHARACTERS or not all(one.isprintable() and one != COMMENT for one in name):
        raise ListInvalid(
            f"A name has {MAX_NAME_CHARACTERS} characters at most, on one line and without {COMMENT}.",
            hint="Choose another name.",
        )


def _find(listed: Iterable[Listed], names: Iterable[Who]) -> Listed | None:
    wanted = {_key(name) for name in names}
    return next((one for one in listed if _key(one.who) in wanted), None)


def _key(who: Who) -> str:
    return str(who).lower()


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_LIST_BYTES + 1)
        if len(content) > MAX_LIST_BYTES:
            raise ListInvalid(
                f"{path} is too large for a list.", hint=f"It has {MAX_LIST_BYTES} bytes at most."
            )
        return content.decode()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise ListInvalid(f"{path} is not text in UTF-8.", hint="Save it as UTF-8.") from error
    except OSError as error:
        raise ListInvalid(
            f"{path} cannot be read: {error.strerror}.", hint="Let this account read it."
        ) from error


def _file_state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size

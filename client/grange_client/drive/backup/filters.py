"""Which names below a path are left out: patterns as in `.gitignore`, since people know these.

    filters = Filters.read(patterns=["*.o", "/build/", "!keep.o"], files=[Path("exclude.txt")])
    filters.leaves_out(b"src/main.o", is_directory=False)

A pattern without `/` counts at any depth, one with it from the path that was given on; one that ends with
`/` is for directories alone. `*` and `?` stop at `/`, `**` between slashes does not; `!` takes back what a
pattern before it left out. What is left out with its directory cannot be taken back: nobody looks into it.
Patterns of files come first, each file in turn, then those of the command; the last that fits decides.

Names are matched as text: `?` is a character, where git takes a byte.
"""

import codecs
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from grange_client.errors import BadPattern, DiskFailed
from grange_client.files.open_file import READ_FLAGS
from grange_client.files.scan import shown

CACHE_TAG: Final = b"CACHEDIR.TAG"
CACHE_SIGNATURE: Final = b"Signature: 8a477f597d28d172789f06886806bc55"
"""What a file of this name begins with, in a directory that says of itself that it is a cache."""
MAX_FILE_BYTES: Final = 1 << 20
_TRAILING_SPACES: Final = re.compile(r"(?<!\\) +$")
_NAMED_CLASS: Final = re.compile(r"\[:([^:\]]*):\]")
_CLASSES: Final = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "space": r"\x09-\x0d ",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


@dataclass(frozen=True, slots=True)
class _Rule:
    matches: re.Pattern[str]
    leaves_out: bool


class Filters:
    """Patterns in a row. Without state: threads may share one."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Patterns without comments and blank lines. Raises BadPattern."""
        self._rules = tuple(map(_rule, patterns))[::-1]

    @classmethod
    def read(cls, *, patterns: Sequence[str] = (), files: Sequence[Path] = ()) -> Self:
        """Those of files, then those of a command. Raises BadPattern, and DiskFailed for a file that cannot
        be read."""
        lines = [line for path in files for line in _lines_of(path)]
        return cls([*lines, *patterns])

    def leaves_out(self, path: bytes, *, is_directory: bool) -> bool:
        """Whether a path, relative to the one that was given, is left out; its directories are not looked
        at."""
        if not self._rules:
            return False
        text = path.decode("utf-8", "surrogateescape") + ("/" if is_directory else "")
        return next((rule.leaves_out for rule in self._rules if rule.matches.fullmatch(text)), False)


def is_cache(descriptor: int) -> bool:
    """Whether an open directory says of itself that it is a cache."""
    try:
        tag = os.open(CACHE_TAG, READ_FLAGS, dir_fd=descriptor)
    except OSError:
        return False
    try:
        return os.read(tag, len(CACHE_SIGNATURE)) == CACHE_SIGNATURE
    except OSError:
        return False
    finally:
        os.close(tag)


def _lines_of(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise DiskFailed(
            f"The list of what to leave out, {shown(os.fsencode(path))}, cannot be read: {error.strerror}."
        ) from error
    if len(raw) > MAX_FILE_BYTES:
        raise BadPattern(f"{shown(os.fsencode(path))} has more than {MAX_FILE_BYTES:,} bytes of patterns.")
    for line in raw.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape").split("\n"):
        pattern = _TRAILING_SPACES.sub("", line.removesuffix("\r"))
        if pattern and not pattern.startswith("#"):
            yield pattern


def _rule(pattern: str) -> _Rule:
    body = pattern.removeprefix("!")
    directories_only = body.endswith("/")
    body = body.removesuffix("/")
    is_anchored = "/" in body
    body = body.removeprefix("/")
    if not body:
        raise _bad(pattern, "it names nothing")
    ending = "/" if directories_only else "/?"
    regex = ("" if is_anchored else "(?:.*/)?") + "".join(_parts(pattern, body)) + ending
    return _Rule(matches=re.compile(regex, re.DOTALL), leaves_out=not pattern.startswith("!"))


def _parts(pattern: str, body: str) -> Iterator[str]:
    """A pattern as parts of a regular expression."""
    place = 0
    while place < len(body):
        begins_name = place == 0 or body[place - 1] == "/"
        if begins_name and body.startswith("**/", place):
            yield "(?:.*/)?"
            place += 3
        elif begins_name and place and body[place:] == "**":
            # All that is below, and not the directory itself.
            yield ".*[^/]"
            place += 2
        elif body[place] == "*":
            yield "[^/]*"
            place += len(body[place:]) - len(body[place:].lstrip("*"))
        elif body[place] == "?":
            yield "[^/]"
            place += 1
        elif body[place] == "[":
            part, place = _class(pattern, body, place + 1)
            yield part
        elif body[place] == "\\":
            if place + 1 == len(body):
                raise _bad(pattern, "it ends with a backslash")
            yield re.escape(body[place + 1])
            place += 2
        else:
            yield re.escape(body[place])
            place += 1


def _class(pattern: str, body: str, place: int) -> tuple[str, int]:
    """What stands in brackets, from behind the opening one; and where what follows it begins."""
    is_negated = body[place : place + 1] in ("!", "^")
    place += is_negated
    members: list[str] = []
    first = place
    while place < len(body) and (body[place] != "]" or place == first):
        named = _NAMED_CLASS.match(body, place)
        if named is not None:
            if named[1] not in _CLASSES:
                raise _bad(pattern, f"there are no characters called {named[1]}")
            members.append(_CLASSES[named[1]])
            place = named.end()
            continue
        low, place = _member(body, place)
        if body[place : place + 1] == "-" and body[place + 1 : place + 2] not in ("]", ""):
            high, place = _member(body, place + 1)
            if low > high:
                raise _bad(pattern, f"nothing is from {low} to {high}")
            members.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            members.append(re.escape(low))
    if place >= len(body):
        raise _bad(pattern, "a bracket is not closed")
    return f"(?!/)[{'^' * is_negated}{''.join(members)}]", place + 1


def _member(body: str, place: int) -> tuple[str, int]:
    if body[place] == "\\" and place + 1 < len(body):
        place += 1
    return body[place], place + 1


def _bad(pattern: str, reason: str) -> BadPattern:
    return BadPattern(
        f"{pattern} is not a pattern of names: {reason}.",
        hint="A backslash before a character takes away what it means: \\\\[ is a bracket.",
    )


NO_FILTERS: Final = Filters(())

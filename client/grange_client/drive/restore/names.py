"""Names as the target takes them: as they are, or so that Windows has them too.

What Windows cannot have in a name is written as `%` and two digits, and a `%` in front of two digits
likewise: two names stay two names, and who reads them knows what they were.
"""

import re
from collections.abc import Callable
from enum import Enum
from typing import Final

_REFUSED: Final = re.compile(rb'[\x00-\x1f<>:"\\|?*]|%(?=[0-9A-Fa-f]{2})')
_LAST: Final = frozenset(b". ")
_DEVICE: Final = re.compile(rb"(?i)(con|prn|aux|nul|(com|lpt)([0-9]|\xc2[\xb2\xb3\xb9])) *(\.|$)")


class NameRule(Enum):
    """How names are written in the target."""

    AS_STORED = "as-stored"
    WINDOWS = "windows"

    @property
    def rewrite(self) -> Callable[[bytes], bytes]:
        """What makes the target's name of one."""
        return windows_name if self is NameRule.WINDOWS else bytes


def windows_name(name: bytes) -> bytes:
    """A name that Windows can have; the same name if it can have this one."""
    safe = _REFUSED.sub(lambda found: _escaped(found[0]), name)
    try:
        safe.decode()
    except UnicodeDecodeError:
        safe = b"".join(_whole_character(part) for part in _characters(safe))
    if _DEVICE.match(safe):
        safe = _escaped(safe[:1]) + safe[1:]
    if safe[-1] in _LAST:
        safe = safe[:-1] + _escaped(safe[-1:])
    return safe


def _escaped(raw: bytes) -> bytes:
    return b"".join(b"%%%02X" % byte for byte in raw)


def _characters(name: bytes) -> list[str]:
    return list(name.decode("utf-8", "surrogateescape"))


def _whole_character(character: str) -> bytes:
    if "\udc80" <= character <= "\udcff":
        return _escaped(bytes([ord(character) - 0xDC00]))
    return character.encode()

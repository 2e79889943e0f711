"""The commands of docs/renter.md, as words."""

import shlex
from pathlib import Path

_MANUAL = Path(__file__).parents[1] / "docs" / "renter.md"


def chapters_of_manual() -> list[str]:
    """Those in which a command is to be typed, in their order."""
    return [title for title, text in _chapters() if _commands(text)]


def commands_of_manual(chapter: str) -> list[list[str]]:
    """The commands in a chapter, in their order, without the word `grange`."""
    [text] = [text for title, text in _chapters() if title == chapter]
    return _commands(text)


def _chapters() -> list[tuple[str, str]]:
    parts = _MANUAL.read_text(encoding="utf-8").split("\n## ")
    return [(title, text) for title, _, text in (part.partition("\n") for part in parts)]


def _commands(text: str) -> list[list[str]]:
    lines = text.splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("    grange ")]

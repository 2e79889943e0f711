"""Whether any text of the project says a word that docs/glossary.md uses nowhere.

A text is taken apart as names are (`words`), so a word is found in sentences and in names alike. Only forms
that are plainly the same word count: a plural, and what a verb does and did. A phrase may go on in the next
line, also of a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lib.words import PART, lines_of, phrases_of

NOWHERE = "| nowhere |"
_BETWEEN = re.compile(r"[\s_]*(?:#|//+|\*)?[\s_]*")
_ENDINGS = ("", "s", "es", "d", "ed", "ing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """The phrases that are said nowhere, and the files that may say one all the same."""

    refused: frozenset[tuple[str, ...]]
    allowed: frozenset[tuple[str, tuple[str, ...]]]

    @classmethod
    def read(cls, glossary: str, *, allowed: str) -> Prose:
        """From the texts of the glossary and of the list of exceptions, `path: phrase`, one a line. Raises
        ValueError if there is no such table."""
        _, heading, below = glossary.partition(NOWHERE)
        if not heading:
            raise ValueError(f"the glossary has no table with the heading {NOWHERE!r}")
        table = heading + below.partition("\n\n")[0]
        exceptions = (line.partition(":") for line in lines_of(allowed))
        return cls(
            refused=frozenset(phrases_of(table)),
            allowed=frozenset((path, tuple(phrase.split())) for path, _, phrase in exceptions),
        )

    def faults(self, texts: Mapping[str, str]) -> list[str]:
        """One line for each thing that is wrong, by path and line. `texts` are by path."""
        used: set[tuple[str, tuple[str, ...]]] = set()
        found: list[str] = []
        for path, text in sorted(texts.items()):
            for line, phrase in self._said(text):
                if (path, phrase) in self.allowed:
                    used.add((path, phrase))
                else:
                    found.append(f"{path}:{line}: the glossary has another word for `{' '.join(phrase)}`")
        needless = sorted(f"{path}: {' '.join(phrase)}" for path, phrase in self.allowed - used)
        return found + [f"allowed.txt has `{each}`, which is not said there" for each in needless]

    def _said(self, text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Each refused phrase in a text, with its line, counted from 1."""
        first = {phrase[0]: phrase for phrase in self.refused}
        parts = list(PART.finditer(text))
        for at, part in enumerate(parts):
            phrase = next((first[word] for word in _stems(part[0]) if word in first), None)
            if phrase is not None and _goes_on(text, parts[at : at + len(phrase)], phrase):
                yield text.count("\n", 0, part.start()) + 1, phrase


def _stems(part: str) -> Iterator[str]:
    lowered = part.lower()
    for ending in _ENDINGS:
        if lowered.endswith(ending):
            stem = lowered.removesuffix(ending)
            yield stem
            if ending == "ing":
                yield stem + "e"


def _goes_on(text: str, parts: list[re.Match[str]], phrase: tuple[str, ...]) -> bool:
    """Whether the further words of a phrase follow its first, with nothing but space between."""
    return len(parts) == len(phrase) and all(
        part[0].lower() == word and _BETWEEN.fullmatch(text, before.end(), part.start()) is not None
        for before, part, word in zip(parts, parts[1:], phrase[1:], strict=False)
    )

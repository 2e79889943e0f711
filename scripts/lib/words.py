"""Whether names are made of the words that docs/glossary.md explains.

`names_in` finds the names of modules, classes, contracts, structs and value types; `Vocabulary.faults` says
what is wrong with them. A name is taken apart at its capitals and underscores, and each part may be inflected
as plain English verbs and nouns are: `Sealed`, `sealing` and `seals` are all `seal`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

NOT_USED = "## Words that are not used"
PART = re.compile(r"[A-Z]+(?=[A-Z][a-z]|\b|_|\d)|[A-Z]?[a-z]+|\d+")
_ROW = re.compile(r"^\|(?! ---)([^|]+)\|", re.MULTILINE)
_HEADS = ("word", "not", "nowhere")
_DECLARED = re.compile(
    r"^\s*(?:abstract contract|contract|library|interface|struct|enum|type) (\w+)", re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Name:
    """A name, and the file that it was found in."""

    name: str
    path: str

    @property
    def parts(self) -> list[str]:
        """Its words: `RpcError` is `rpc` and `error`."""
        return [part.lower() for part in PART.findall(self.name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The words that names may be made of, and those that they may not. A phrase is a tuple of words."""

    explained: frozenset[str]
    plain: frozenset[str]
    refused: frozenset[tuple[str, ...]]
    to_rename: frozenset[tuple[str, ...]]

    @classmethod
    def read(cls, glossary: str, *, plain: str, to_rename: str) -> Vocabulary:
        """From the texts of the glossary and of the two lists beside the check."""
        explained, refused = glossary.split(NOT_USED)
        return cls(
            explained=frozenset(word for phrase in phrases_of(explained) for word in phrase),
            plain=frozenset(lines_of(plain)),
            refused=frozenset(phrases_of(refused)),
            to_rename=frozenset(tuple(line.split()) for line in lines_of(to_rename)),
        )

    def faults(self, names: Iterable[Name]) -> list[str]:
        """One line for each thing that is wrong, in the order of the alphabet."""
        found = sorted(set(names))
        return sorted(
            [
                *(line for name in found for line in self._faults_of(name)),
                *(
                    f"to-rename.txt has `{' '.join(phrase)}`, which is not used any more"
                    for phrase in self._gone(found)
                ),
                *(
                    f"to-rename.txt has `{' '.join(each)}`, which the glossary does not refuse"
                    for each in self._allowed()
                ),
                *(f"plain.txt has `{word}`, which no name needs" for word in self._needless(found)),
            ]
        )

    def _faults_of(self, name: Name) -> Iterator[str]:
        parts = name.parts
        refused = [phrase for phrase in self.refused if _contains(parts, phrase)]
        for phrase in refused:
            if phrase not in self.to_rename:
                yield f"{name.path}: {name.name}: the glossary has another word for `{' '.join(phrase)}`"
        excused = {word for phrase in refused for word in phrase}
        for part in parts:
            if not (
                _is_one_of(part, self.explained) or _is_one_of(part, self.plain) or _is_one_of(part, excused)
            ):
                yield f"{name.path}: {name.name}: `{part}` is not in docs/glossary.md"

    def _gone(self, names: Sequence[Name]) -> list[tuple[str, ...]]:
        return [
            phrase for phrase in self.to_rename if not any(_contains(name.parts, phrase) for name in names)
        ]

    def _allowed(self) -> list[tuple[str, ...]]:
        return list(self.to_rename - self.refused)

    def _needless(self, names: Sequence[Name]) -> list[str]:
        parts = {part for name in names for part in name.parts}
        unexplained = [part for part in parts if not _is_one_of(part, self.explained)]
        return [word for word in self.plain if not any(_is_one_of(part, {word}) for part in unexplained)]


def names_in(root: Path, files: Iterable[str]) -> Iterator[Name]:
    """The names that these files of Python and Solidity declare, and their own below the package."""
    for path in files:
        match Path(path).suffix:
            case ".py":
                tree = ast.parse((root / path).read_text(encoding="utf-8"))
                declared = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
                own = list(Path(path).with_suffix("").parts[2:])
            case ".sol":
                declared = _DECLARED.findall((root / path).read_text(encoding="utf-8"))
                own = [Path(path).stem]
            case _:
                continue
        for name in (*own, *declared):
            yield Name(name=name, path=path)


def phrases_of(tables: str) -> Iterator[tuple[str, ...]]:
    """What stands in the first column, which may be several phrases with commas between them."""
    for cell in _ROW.findall(tables):
        if cell.strip() not in _HEADS:
            for phrase in cell.split(","):
                yield tuple(re.findall(r"[a-z]+", phrase.lower()))


def lines_of(text: str) -> list[str]:
    """The lines of a list, without empty ones and comments."""
    return [line for raw in text.splitlines() if (line := raw.split("#")[0].strip())]


def _contains(parts: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether the phrase is a part of a name, in the plural or not; other forms are other words."""
    places = range(len(parts) - len(phrase) + 1)
    return any(
        all(part in (word, word + "s", word + "es") for part, word in zip(parts[at:], phrase, strict=False))
        for at in places
    )


def _is_one_of(part: str, words: Iterable[str]) -> bool:
    """Whether it is one of the words, or a plain form of one."""
    return not words_of(part).isdisjoint(words)


def words_of(part: str) -> set[str]:
    """The words that it may be a form of, itself among them."""
    found = {part}
    for ending in ("s", "es", "ed", "d", "ing", "er", "r", "or"):
        if part.endswith(ending) and len(part) - len(ending) >= 2:
            stem = part.removesuffix(ending)
            found |= {stem, stem + "e"}
            if len(stem) > 3 and stem[-1] == stem[-2]:
                found.add(stem[:-1])
    if part.endswith("ies"):
        found.add(part.removesuffix("ies") + "y")
    return found

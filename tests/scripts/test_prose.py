"""The check that no text says a word that the glossary uses nowhere."""

from __future__ import annotations

import pytest

from lib.prose import Prose

GLOSSARY = """
| word | meaning |
| --- | --- |
| acceptance | What a farmer signs. |

## Words that are not used

Nowhere:

| nowhere | but |
| --- | --- |
| promise, consent | acceptance |
| by now | now |

Not in names:

| not | but |
| --- | --- |
| room | capacity |
"""


def faults(text: str, *, allowed: str = "") -> list[str]:
    return Prose.read(GLOSSARY, allowed=allowed).faults({"a.py": text})


@pytest.mark.parametrize(
    "text",
    [
        "# It keeps a promise.",
        "It promised that.",
        "promises",
        "They are Promising.",
        "def without_consent(): ...",
        "class FarmerPromise: ...",
        "PROMISED_BLOCKS = 3",
    ],
)
def test_a_word_that_is_used_nowhere_is_found_in_every_form(text: str) -> None:
    assert len(faults(text)) == 1


def test_a_fault_says_where_it_is_and_what() -> None:
    assert faults("fine\nfine\na promise\n") == ["a.py:3: the glossary has another word for `promise`"]


@pytest.mark.parametrize("text", ["compromise", "room for more", "an acceptance", "consensus"])
def test_other_words_are_free_and_so_are_those_that_only_names_must_not_have(text: str) -> None:
    assert faults(text) == []


@pytest.mark.parametrize("text", ["it is by now old", "by_now = 3", "it is by\n    # now old"])
def test_a_phrase_is_found_across_lines_too(text: str) -> None:
    assert len(faults(text)) == 1


@pytest.mark.parametrize("text", ["done by it. Now go on", "sent by. Now go on", "by(now)", "by"])
def test_the_words_of_a_phrase_are_free_where_something_stands_between(text: str) -> None:
    assert faults(text) == []


def test_an_exception_holds_for_its_file_and_word_and_must_be_needed() -> None:
    assert faults("a promise", allowed="a.py: promise  # of old\n") == []
    assert faults("by now", allowed="a.py: by now") == []
    assert faults("a promise", allowed="b.py: promise") == [
        "a.py:1: the glossary has another word for `promise`",
        "allowed.txt has `b.py: promise`, which is not said there",
    ]
    assert len(faults("a promise", allowed="a.py: consent")) == 2


def test_a_glossary_without_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        Prose.read("| word | meaning |", allowed="")

"""The check that names are made of the glossary's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.words import Name, Vocabulary, names_in, words_of

GLOSSARY = """
| word | meaning |
| --- | --- |
| farmer | Keeps data. |
| sealed block, leaf | What is sealed. |

## Words that are not used

| not | but |
| --- | --- |
| till, giving up | payment gate, loss declaration |
"""


def faults(*names: str, plain: str = "", to_rename: str = "") -> list[str]:
    vocabulary = Vocabulary.read(GLOSSARY, plain=plain, to_rename=to_rename)
    return vocabulary.faults([Name(name=name, path="a.py") for name in names])


def test_names_of_explained_words_and_their_forms_are_right() -> None:
    assert faults("Farmer", "Farmers", "farmer_block", "SealedBlocks", "_Leaf") == []


def test_a_word_that_is_explained_nowhere_is_a_fault() -> None:
    assert faults("FarmerRpc") == ["a.py: FarmerRpc: `rpc` is not in docs/glossary.md"]
    assert faults("FarmerRpc", plain="# of the trade\nrpc\n") == []


def test_a_word_that_is_turned_down_is_a_fault_even_where_its_parts_are_plain() -> None:
    assert faults("Tills") == ["a.py: Tills: the glossary has another word for `till`"]
    assert faults("giving_up", plain="give\nup\ngiving") == [
        "a.py: giving_up: the glossary has another word for `giving up`"
    ]
    assert faults("up", plain="up") == []


def test_a_word_that_still_has_to_be_renamed_is_let_through_until_it_is() -> None:
    assert faults("Till", to_rename="till") == []
    assert faults("Farmer", to_rename="till") == ["to-rename.txt has `till`, which is not used any more"]


def test_only_words_that_are_turned_down_can_be_to_rename() -> None:
    assert faults("Farmer", to_rename="farmer") == [
        "to-rename.txt has `farmer`, which the glossary does not refuse"
    ]


def test_a_plain_word_that_no_name_needs_is_a_fault() -> None:
    assert faults("Farmer", plain="rpc") == ["plain.txt has `rpc`, which no name needs"]
    assert faults("Farmer", plain="farmer") == ["plain.txt has `farmer`, which no name needs"]


@pytest.mark.parametrize(
    ("part", "word"),
    [
        ("sealed", "seal"),
        ("proving", "prove"),
        ("dropped", "drop"),
        ("ies", "ies"),
        ("entries", "entry"),
        ("closer", "close"),
    ],
)
def test_forms_are_led_back_to_their_word(part: str, word: str) -> None:
    assert word in words_of(part)


def test_short_words_are_not_taken_for_forms_of_shorter_ones() -> None:
    assert words_of("is") == {"is"}


def test_names_are_found_in_python_and_solidity(tmp_path: Path) -> None:
    python, solidity = Path("node/grange_node/api/serve_it.py"), Path("contracts/types/Rate.sol")
    for path, text in (
        (python, "class Outer:\n    class _Inner: ...\n\ndef not_a_class(): ...\n"),
        (solidity, "type Rate is uint80;\nabstract contract Held {\n    struct Draw {\n"),
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    found = names_in(tmp_path, [str(python), str(solidity), "contracts/notes.md"])
    assert [name.name for name in found] == [
        *("api", "serve_it", "Outer", "_Inner"),
        *("Rate", "Rate", "Held", "Draw"),
    ]

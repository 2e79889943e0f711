"""Names of one's own are put in wherever a text speaks of a farmer or an account, once and nowhere else."""

from pathlib import Path

import pytest

from grange.allow_lists import FARMERS, AllowLists, Listed, ListFiles
from grange.cli.presenter import error_text, explain, put_names
from grange.errors import UserError
from grange.listed_names import NO_NAMES, ListedNames
from grange.types import Address, FarmerId

ANN = Address("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
BOB = Address("0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359")
NAMES = ListedNames(
    AllowLists(
        allowed=(Listed(who=FarmerId(7), name="Eve"), Listed(who=ANN, name="Ann's cellar")),
        denied=(Listed(who=FarmerId(8)), Listed(who=BOB, name="Bob")),
    ),
    operator_of={FarmerId(9): ANN, FarmerId(10): Address("0x" + "00" * 20)}.get,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Farmer 7 broke off.", "Farmer 7 (Eve) broke off."),
        ("by farmer 7, farmer 8 and farmer 71", "by farmer 7 (Eve), farmer 8 and farmer 71"),
        (
            "Farmer 7 answers where farmer 9 should",
            "Farmer 7 (Eve) answers where farmer 9 (Ann's cellar) should",
        ),
        ("farmer 7 (Eve) again", "farmer 7 (Eve) again"),
        ("7 farmers of farmer 10, in block 7", "7 farmers of farmer 10, in block 7"),
        (f"{BOB} and {ANN.lower()}", f"{BOB} (Bob) and {ANN.lower()} (Ann's cellar)"),
        (f"0x{'ab' * 32} is no account", f"0x{'ab' * 32} is no account"),
        ("Farmer 0 and farmer 1234567890", "Farmer 0 and farmer 1234567890"),
    ],
)
def test_a_text_says_how_they_are_called(text: str, expected: str) -> None:
    assert NAMES.within(text) == expected
    assert NAMES.within(expected) == expected
    assert NO_NAMES.within(text) == text


def test_a_number_and_an_account_alone() -> None:
    assert (NAMES.farmer(FarmerId(7)), NAMES.farmer(FarmerId(8)), NAMES.of(FarmerId(9))) == (
        "7 (Eve)",
        "8",
        "Ann's cellar",
    )
    assert (NAMES.account(BOB), NO_NAMES.account(BOB)) == (f"{BOB} (Bob)", BOB)


def test_an_error_says_them_in_all_its_parts() -> None:
    """Also of each farmer that failed, whose name then stands once."""
    error = UserError("Farmer 7 is away.", detail="farmer 9 too", hint="Ask farmer 7.")
    error.failures = {"farmer 7": "Farmer 7 is away.", "farmer 9": "has no room"}  # type: ignore[attr-defined]
    put_names(error, NAMES)
    assert error_text(explain(error)).plain.splitlines() == [
        "Farmer 7 (Eve) is away.",
        "  Farmer 7 (Eve) is away.",
        "  farmer 9 (Ann's cellar): has no room",
        "farmer 9 (Ann's cellar) too",
        "Ask farmer 7 (Eve).",
    ]


def test_lists_of_files_give_the_names(tmp_path: Path) -> None:
    files = ListFiles(folder=tmp_path, of=FARMERS)
    files.deny(FarmerId(3), "Mallory")
    assert ListedNames(files.read()).within("Farmer 3 lied.") == "Farmer 3 (Mallory) lied."

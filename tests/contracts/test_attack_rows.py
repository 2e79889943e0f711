"""Each row of economics.md and pitfalls.md names tests that exist; gains are told to whom they touch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
ECONOMICS = (ROOT / "docs" / "economics.md").read_text(encoding="utf-8")
_TABLE = ECONOMICS.split("| attack | test | what is measured |\n| --- | --- | --- |\n")[1].split("\n\n")[0]
_PITFALLS = (ROOT / "docs" / "pitfalls.md").read_text(encoding="utf-8")


def _rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


ROWS = _rows(_TABLE)
PITFALLS = [
    row for part in _PITFALLS.split("| --- | --- | --- |\n")[1:] for row in _rows(part.split("\n\n")[0])
]
TOLD = {
    "asks more for reading than it signed": ("renter.md", "No farmer is paid more than it signed"),
    "computes what is drawn from k slots of its own": ("renter.md", "may store k slots of your order"),
    "the same, by its share of the stake": ("renter.md", "Who has a third of all stake"),
    "is cheap, and patient": ("renter.md", "are taken for your own"),
    "names over the same `minStake`, one after the other": ("renter.md", "Names with next to no stake"),
    "gathers an order": ("renter.md", "may gather k slots of an order"),
    "pretends where a slot pays nothing": ("farmer.md", "**What remains** is what the contract alone"),
    "sells reads and takes back": ("repairer.md", "the one that sold the reads has gained"),
    "donates; the token rebases; takes a fee": ("farmer.md", "(a rebase down)"),
    "lets a lapse go unseen": ("renter.md", "A slot that nobody sees to for days costs you more"),
    "asks the highest price of a mandate": ("renter.md", "Your farmers know both bounds"),
    "sets a ransom by mandate": ("renter.md", "Your farmers know both bounds"),
    "chooses it in all": ("renter.md", "Who makes nearly all blocks of the chain"),
    "waits for a better seed while all are silent: a tenth, a fifth; a half": (
        "renter.md",
        "If *all* farms of a market agreed not to",
    ),
    "keeps one proof out; every second": ("farmer.md", "A renter of yours gains by an epoch that you miss"),
    "keeps all proofs out": ("farmer.md", "can keep your proofs out"),
}
"""Of each attack with a gain, or that leaves no trace: where those whom it touches read about it."""
_FILE = re.compile(r"`([^`]+)`(?:: ([^`]+))?")
_NAME = re.compile(r"\w+")


def source_of(file: str) -> str:
    """The Solidity or Python test that a row calls so."""
    if not file.startswith("test_"):
        return (TESTS / "contracts" / f"{file}.t.sol").read_text(encoding="utf-8")
    [path] = TESTS.rglob(f"{file.removesuffix('.py')}.py")
    return path.read_text(encoding="utf-8")


def known_tests(file: str) -> set[str]:
    """Without `test_` and `testFuzz_`."""
    pattern = r"def test_(\w+)\(" if file.startswith("test_") else r"function test(?:Fuzz)?_(\w+)\("
    return set(re.findall(pattern, source_of(file)))


def test_the_tables_are_read() -> None:
    assert len(ROWS) > 80
    assert len(PITFALLS) > 40
    assert all(len(row) == 3 for row in ROWS + PITFALLS)


@pytest.mark.parametrize(("attack", "tests", "measured"), ROWS, ids=[row[0][:60] for row in ROWS])
def test_an_attack_names_tests_that_exist(attack: str, tests: str, measured: str) -> None:
    if tests == "none":
        assert "nothing: it leaves no trace" in measured
        return
    check_named(attack, tests)


@pytest.mark.parametrize(("pitfall", "tests"), [(row[0], row[2]) for row in PITFALLS])
def test_what_hurt_others_names_tests_that_exist(pitfall: str, tests: str) -> None:
    check_named(pitfall, tests)


def check_named(attack: str, tests: str) -> None:
    """Whether all tests of a row are there."""
    named = [one for one in _FILE.findall(tests) if not one[0].startswith("grange ")]
    assert named, attack
    for file, names in named:
        known = known_tests(file)
        assert known
        for name in re.split("[;,] *", names.strip("; ,")):
            if _NAME.fullmatch(name):
                assert name in known, f"{attack}: {file} has no {name}"


def test_every_gain_is_told_to_those_whom_it_touches() -> None:
    gains = [attack for attack, _, measured in ROWS if "**" in measured]
    assert sorted(gains) == sorted(TOLD)
    for page, words in TOLD.values():
        assert words in (ROOT / "docs" / page).read_text(encoding="utf-8"), (page, words)

"""Errors on the screen and as JSON."""

import json
import re
import subprocess
import sys
from io import StringIO

import pytest
from rich.console import Console

from grange.chain.errors import ChainError, ChainUnavailable, TransactionReverted
from grange.cli.exit_codes import ExitCode
from grange.cli.presenter import MAX_LISTED, Guidance, error_text, explain, explained, present, print_prose
from grange.errors import Category, UserError
from grange.transfer.errors import NotEnoughFarmers

BROKEN = UserError("It broke.", detail="Nothing was lost.", hint="Try again.", category=Category.MONEY)


def test_people_read_three_lines_and_nothing_is_on_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert present(explain(BROKEN)) is ExitCode.MONEY
    written = capsys.readouterr()
    assert written.err == "It broke.\nNothing was lost.\nTry again.\n"
    assert written.out == ""


def test_lines_end_between_words_on_a_terminal_and_stay_whole_elsewhere() -> None:
    sentences = "A farmer did not answer in time, and was left out of the order. " * 5
    for is_terminal in (True, False):
        console = Console(file=StringIO(), force_terminal=is_terminal, width=80, no_color=True)
        print_prose(console, error_text(explain(UserError(sentences.strip(), category=Category.MONEY))))
        assert isinstance(console.file, StringIO)
        lines = re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue()).splitlines()
        assert (len(lines) > 1) is is_terminal
        assert all(len(line) <= 80 for line in lines) is is_terminal
        assert " ".join(line.strip() for line in lines) == sentences.strip(), "no word is cut"


def test_scripts_read_one_json_value(capsys: pytest.CaptureFixture[str]) -> None:
    present(explain(BROKEN), as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "error": {
            "category": "money",
            "exit_code": 5,
            "message": "It broke.",
            "detail": "Nothing was lost.",
            "hint": "Try again.",
            "failures": {},
        }
    }


def test_json_has_all_farmers_that_failed_and_the_screen_the_first() -> None:
    failures = {f"farmer {number}": "gone" for number in range(MAX_LISTED + 2)}
    explanation = explain(NotEnoughFarmers("Too few.", failures=failures, missing=1))
    assert explanation.to_json()["error"]["failures"] == failures
    shown = error_text(explanation).plain
    assert f"farmer {MAX_LISTED - 1}: gone" in shown
    assert f"farmer {MAX_LISTED}" not in shown
    assert "and 2 more" in shown


def test_a_command_ends_with_the_code_of_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, explained():
        raise BROKEN
    assert ended.value.code == 5
    assert "It broke." in capsys.readouterr().err


def test_what_a_disk_reports_of_a_file_is_not_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, explained():
        raise OSError(28, "No space left on device", "/data/x")
    assert ended.value.code == ExitCode.FILES
    assert "/data/x: No space left on device." in capsys.readouterr().err


@pytest.mark.parametrize("bug", [ValueError("x"), OSError("no file is named")])
def test_a_bug_keeps_its_traceback(bug: Exception) -> None:
    with pytest.raises(type(bug)), explained():
        raise bug


def test_what_to_correct_is_said_in_the_words_of_the_command() -> None:
    explanation = explain(ChainUnavailable("http://x", "down"), Guidance(rpc="the line `rpc`"))
    assert explanation.category is Category.CHAIN
    assert "Check the network, and the line `rpc`." in explanation.hint


def _kinds(error: type[ChainError]) -> list[type[ChainError]]:
    return [error, *(kind for child in error.__subclasses__() for kind in _kinds(child))]


def test_errors_of_the_chain_say_whose_fault_they_are() -> None:
    """None of them is "unexpected"."""
    assert len(_kinds(ChainError)) > 10
    assert all(kind.category is not Category.UNEXPECTED for kind in _kinds(ChainError))
    assert TransactionReverted.category is Category.REFUSED


def test_what_a_terminal_would_act_on_is_not_printed() -> None:
    assert "\x1b" not in error_text(explain(UserError("\x1b[2J.", detail="\x1b]0;x"))).plain


def test_words_for_errors_load_nothing_heavy() -> None:
    """Commands begin with them: neither the chain nor rich is loaded before there is an error."""
    program = (
        "import sys, grange.cli.presenter, grange.cli.exit_codes; "
        "print(sorted({'rich', 'typer', 'aiohttp', 'pydantic', 'grange.chain'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

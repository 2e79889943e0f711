"""What commands exit with: one table, one page."""

import re
from pathlib import Path

import grange
from grange.cli.exit_codes import EXIT_CODES, ExitCode
from grange.errors import Category, GrangeError, Misuse, UserError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "exit-codes.md"


def test_every_category_has_a_code_of_its_own() -> None:
    assert set(EXIT_CODES) == set(Category)
    assert len(set(EXIT_CODES.values())) == len(Category)
    # 0 is for what went well, and shells use 126 and more themselves.
    assert all(0 < code < 126 for code in EXIT_CODES.values())


def test_the_page_lists_each_code_once_with_its_category() -> None:
    rows = re.findall(r"^\| (\d+) \| (?:`(\w+)`)? ?\| \S.* \|$", PAGE.read_text(encoding="utf-8"), re.M)
    of_code = {code: category.value for category, code in EXIT_CODES.items()}
    assert rows == [(str(int(code)), of_code.get(code, "")) for code in ExitCode]


def test_nobody_below_the_commands_knows_an_exit_code() -> None:
    """Libraries know a category."""
    places = [
        Path(grange.__file__).parent,
        ROOT / "node",
        ROOT / "client",
        ROOT / "devnet",
        ROOT / "simulate",
    ]
    found = [
        path
        for place in places
        for path in place.rglob("*.py")
        if "cli" not in {*path.parts, path.stem}
        and re.search(r"exit_code|EXIT_|ExitCode", path.read_text(encoding="utf-8"))
    ]
    assert not found


def test_an_error_has_the_category_of_its_class_unless_it_is_given_another() -> None:
    class Odd(UserError, Misuse):
        pass

    assert GrangeError("x").category is Category.UNEXPECTED
    assert Odd("x").category is Category.USAGE
    assert Odd("x", category=Category.MONEY).category is Category.MONEY
    assert Odd("y").category is Category.USAGE


def test_a_log_line_has_all_three_parts() -> None:
    assert str(UserError("It broke.", detail="Nothing was lost.", hint="Try again.")) == (
        "It broke. Nothing was lost. Try again."
    )
    assert str(UserError("It broke.", hint="Try again.")) == "It broke. Try again."

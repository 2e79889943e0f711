"""Allow and deny lists are text that a person edits; commands change their own lines only."""

from pathlib import Path

import pytest

from grange.allow_lists import (
    FARMERS,
    MAX_NAME_CHARACTERS,
    RENTERS,
    AllowLists,
    Listed,
    ListFiles,
    ListInvalid,
    parse_who,
)
from grange.errors import Misuse
from grange.types import FarmerId, address_from

BOB, EVE = address_from(b"\x0b" * 20), address_from(b"\x0e" * 20)


def files(folder: Path, of: str = FARMERS) -> ListFiles:
    return ListFiles(folder=folder, of=of)


def test_without_files_everybody_is_welcome(tmp_path: Path) -> None:
    lists = files(tmp_path).read()
    assert lists == AllowLists()
    assert not lists.refusal(BOB)
    assert not lists.is_allowed(BOB)


def test_a_file_that_a_person_wrote_is_read(tmp_path: Path) -> None:
    """Comments, empty lines, any case, and names of several words."""
    files(tmp_path).allow_path.write_text(
        f"# friends\n\n  {BOB.lower()}   Bob's old cellar # since May\r\n7\n"
    )
    lists = files(tmp_path).read()
    assert lists.allowed == (Listed(who=BOB, name="Bob's old cellar"), Listed(who=FarmerId(7)))
    assert (lists.name_of(BOB), lists.name_of(FarmerId(7))) == ("Bob's old cellar", "")
    assert lists.is_allowed(BOB)
    assert lists.refusal(EVE) == "is not on the allow list"


def test_who_is_denied_is_left_out_though_allowed(tmp_path: Path) -> None:
    lists = AllowLists(allowed=(Listed(who=FarmerId(7)),), denied=(Listed(who=EVE),))
    assert lists.is_allowed(FarmerId(7), BOB)
    assert not lists.is_allowed(FarmerId(7), EVE)
    assert lists.refusal(FarmerId(7), EVE) == "is on the deny list"


@pytest.mark.parametrize("line", ["Bob", "0x12 Bob", "0", "-7", BOB[:-1] + "z", "7 " + "x" * 61, "7 a\tb"])
def test_an_error_names_the_file_and_the_line(tmp_path: Path, line: str) -> None:
    path = files(tmp_path).deny_path
    path.write_text(f"# one\n{BOB}\n{line}\n")
    with pytest.raises(ListInvalid) as refused:
        files(tmp_path).read()
    assert f"Line 3 of {path} cannot be used" in str(refused.value)


def test_a_mistyped_address_is_refused(tmp_path: Path) -> None:
    """In mixed case its checksum tells."""
    good = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    files(tmp_path).allow_path.write_text(good.replace("5aAe", "5aae") + "\n")
    with pytest.raises(ListInvalid, match="mistyped"):
        files(tmp_path).read()
    assert parse_who(good) == good


def test_renters_have_no_ids(tmp_path: Path) -> None:
    files(tmp_path, RENTERS).allow_path.write_text("7 Bob\n")
    with pytest.raises(ListInvalid, match="Line 1"):
        files(tmp_path, RENTERS).read()
    with pytest.raises(Misuse):
        parse_who("7", of=RENTERS)


def test_commands_leave_other_lines_as_they_are(tmp_path: Path) -> None:
    lists = files(tmp_path)
    lists.allow_path.write_text(f"# friends\n{BOB}  Bob\n")
    lists.allow(EVE, "Eve")
    assert lists.allow_path.read_text() == f"# friends\n{BOB}  Bob\n{EVE}  Eve\n"
    lists.deny(BOB, "Bob, who went away")
    assert lists.allow_path.read_text() == f"# friends\n{EVE}  Eve\n"
    assert lists.deny_path.read_text() == f"{BOB}  Bob, who went away\n"
    assert lists.forget(BOB)
    assert not lists.forget(BOB)
    assert lists.read() == AllowLists(allowed=(Listed(who=EVE, name="Eve"),))


def test_allowing_again_changes_the_name(tmp_path: Path) -> None:
    lists = files(tmp_path)
    lists.allow(FarmerId(7), "Bob")
    lists.allow(FarmerId(7), "Robert")
    assert lists.read().allowed == (Listed(who=FarmerId(7), name="Robert"),)


@pytest.mark.parametrize("name", ["a # b", "two\nlines", "x" * (MAX_NAME_CHARACTERS + 1)])
def test_a_name_that_makes_no_line_is_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ListInvalid):
        files(tmp_path).allow(BOB, name)
    assert not files(tmp_path).allow_path.exists()


def test_a_damaged_file_is_not_written_over(tmp_path: Path) -> None:
    lists = files(tmp_path)
    lists.allow_path.write_text("what is this\n")
    with pytest.raises(ListInvalid):
        lists.allow(BOB)
    assert lists.allow_path.read_text() == "what is this\n"


def test_a_change_is_seen_without_reading(tmp_path: Path) -> None:
    lists = files(tmp_path)
    states = [lists.state()]
    for change in (lambda: lists.allow(BOB), lambda: lists.deny(BOB), lambda: lists.forget(BOB)):
        change()
        states.append(lists.state())
    assert len(set(states)) == len(states)

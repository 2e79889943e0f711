"""Names of drives: typable, one for each drive, for everybody the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange_client.cli.drive_path import DrivePath, drive_path
from grange_client.drive.drive_name import MAIN, check_drive_name, is_drive_name, names_of_drives
from grange_client.errors import BadName

SAID = st.dictionaries(
    st.integers(0, 65535),
    st.one_of(st.text(max_size=70), st.sampled_from(["photos", "main", "photos-3", "drive-2", ""])),
    max_size=20,
)


@pytest.mark.parametrize("name", ["photos", "2024", "my-photos_v1.2", "Fotos", "caf\xe9", "写真"])
def test_words_are_names(name: str) -> None:
    assert check_drive_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "c", "-a", ".hidden", "a b", "a:b", "a/b", "a@b", "a\nb", "n" * 65, "a\x00", "..", "~x", "a\\b"],
)
def test_what_a_shell_or_windows_takes_for_something_else_is_none(name: str) -> None:
    with pytest.raises(BadName):
        check_drive_name(name)


def test_one_spelling_of_a_name() -> None:
    """An accent may be typed as a character of its own."""
    assert check_drive_name("cafe\u0301") == "caf\xe9"
    assert drive_path("cafe\u0301:/x") == DrivePath(drive="caf\xe9", names=(b"x",))


def test_of_two_drives_with_a_name_the_lower_number_has_it() -> None:
    said = {0: "other", 1: "photos", 2: "photos", 3: "", 4: "main", 5: "a b"}
    assert names_of_drives(said) == {
        0: MAIN,
        1: "photos",
        2: "photos-2",
        3: "drive-3",
        4: "main-4",
        5: "drive-5",
    }


@given(SAID)
def test_each_drive_has_a_name_of_its_own_that_can_be_typed(said: dict[int, str]) -> None:
    names = names_of_drives(said)
    assert names.keys() == said.keys()
    assert len(set(names.values())) == len(names)
    assert all(is_drive_name(name) for name in names.values())
    assert all((name == MAIN) == (number == 0) for number, name in names.items())
    assert names == names_of_drives(dict(reversed(said.items())))

"""Places in drives, as they are typed: what is one, what is a local path, and what no drive has."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange_client.cli.drive_path import DrivePath, drive_path, require_drive_path
from grange_client.errors import BadPath
from grange_client.files.scan import MAX_PART_BYTES, MAX_PATH_BYTES, shown

NAMES = st.lists(
    st.binary(min_size=1, max_size=40).filter(
        lambda one: not {*b"/\0"} & {*one} and one not in (b".", b"..")
    ),
    max_size=5,
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("main:", ()),
        ("main:/", ()),
        ("main:/photos", (b"photos",)),
        ("main:/photos/2024/", (b"photos", b"2024")),
        ("main:/a:b", (b"a:b",)),
        ("main:/back\\\\slash\\xff", (b"back\\slash\xff",)),
        ("main:/caf\xe9", ("caf\xe9".encode(),)),
    ],
)
def test_a_drive_and_a_path_from_its_root(text: str, names: tuple[bytes, ...]) -> None:
    assert drive_path(text) == DrivePath(drive="main", names=names)


@pytest.mark.parametrize(
    "text",
    [
        "photos",
        "/abs/main:/x",
        "./main:/x",
        "../main:/x",
        "c:/users",
        "C:",
        "notes:today.txt",
        ":/x",
        "my notes:/x",
        "-x:/y",
        "",
    ],
)
def test_all_else_is_a_local_path(text: str) -> None:
    """One letter is a disk in Windows, and what a colon follows right away is a file's name."""
    assert drive_path(text) is None
    with pytest.raises(BadPath, match="is not a place"):
        require_drive_path(text)


@pytest.mark.parametrize(
    "text",
    [
        "main:/..",
        "main:/a/../b",
        "main:/./a",
        "main://a",
        "main:/a//b",
        "main:/a//",
        "main:/a\\x00b",
        "main:/a\\qb",
        "main:/" + "n" * (MAX_PART_BYTES + 1),
        "main:/" + "nn/" * (MAX_PATH_BYTES // 3 + 1),
    ],
)
def test_what_no_drive_has_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadPath):
        drive_path(text)


@given(NAMES)
def test_what_is_shown_can_be_typed(names: list[bytes]) -> None:
    """Whatever bytes are in a name."""
    place = DrivePath(drive="photos", names=tuple(names))
    assert drive_path(place.shown) == place
    assert place.shown == "photos:/" + shown(b"/".join(names))


@given(st.binary(max_size=60).filter(lambda raw: 0 not in raw))
def test_anything_that_is_typed_is_a_place_a_local_path_or_refused(raw: bytes) -> None:
    try:
        place = drive_path(os.fsdecode(raw))
    except BadPath:
        return
    if place is not None:
        assert all(one and b"/" not in one and one not in (b".", b"..") for one in place.names)

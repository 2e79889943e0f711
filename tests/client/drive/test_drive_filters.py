"""Filters: what they leave out is what git leaves out, and what means nothing is refused."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from grange_client.drive.backup.filters import CACHE_SIGNATURE, CACHE_TAG, MAX_FILE_BYTES, Filters, is_cache
from grange_client.errors import BadPattern, DiskFailed
from grange_client.files.open_file import DIRECTORY_FLAGS

PATTERNS = [
    "*.o", "*", "**", "a", "/a", "a/", "/a/", "a/b", "/a/b", "a/b/", "b", "b/", "a/*", "a/**",
    "/a/**", "**/b", "**/b/", "a/**/c", "**/a/**", "a**", "**a", "?", "a?", "a?b", "a/?", "[ab]",
    "[!ab]", "[^ab]", "[a-c]", "[]x]", "[a-]", "[]-a]", "[[:alpha:]]", "[[:digit:]b]", "[\\]]",
    "a[/]b", "a[!x]b", "\\*", "\\a", "\\!a", "\\#a", "*.*", ".*", "a b", "a\\ ", "+", "(a)", "$",
    "^", "a|b", "ad/c.o", "*/c", "*/*/c", "**/*.o", "a/b/**", "[[:upper:]]", "[a-c-e]", "x/**/",
    "/*", "/**", "/*.o", "[*]", "{a,b}",
]  # fmt: skip
FILES = [
    "a", "b", "c", "A", "x.o", ".x", "ab", "abc", "a b", "a ", "*", "#a", "!a", "+", "(a)", "$",
    "^", "a|b", "-", "]", "ad/c.o", "ad/c", "x/a", "x/b2/c", "x/y/z/c", "d/e/b/c", "d/ab", "1",
    "new\nline", "\udcff", "{a,b}",
]  # fmt: skip
TREE = ["a/b/c", "a/b/c.o", "a/c", "b/a", "b/c/a/b", "x/a/b", "x/y/a.o", "a/y/z/c"]
"""Others, where `a` and `b` are directories."""


def left_out(filters: Filters, paths: list[str]) -> set[str]:
    """Files that are left out, by themselves or with a directory above them, as a walk finds it."""

    def is_out(path: str) -> bool:
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            above = os.fsencode("/".join(parts[:count]))
            if filters.leaves_out(above, is_directory=count < len(parts)):
                return True
        return False

    return {path for path in paths if is_out(path)}


def left_out_by_git(folder: Path, lines: list[str], paths: list[str]) -> set[str]:
    (folder / ".git" / "info" / "exclude").write_text("".join(f"{line}\n" for line in lines))
    asked = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin", "-z"],
        cwd=folder,
        input=b"\0".join(map(os.fsencode, paths)),
        capture_output=True,
        check=False,
    )
    assert asked.returncode in (0, 1), asked.stderr
    return {os.fsdecode(path) for path in asked.stdout.split(b"\0") if path}


@pytest.mark.parametrize("paths", [FILES, TREE], ids=["files", "tree"])
def test_what_is_left_out_is_what_git_leaves_out(tmp_path: Path, paths: list[str]) -> None:
    """Each pattern alone, and each of some taken back by another: git is the oracle."""
    if shutil.which("git") is None:
        pytest.skip("there is no git here to compare with")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    rows = [[pattern] for pattern in PATTERNS] + [
        ["*", f"!{pattern}"] for pattern in ("*.o", "a", "b/", "/a", "**/c", "x/**")
    ]
    for row in rows:
        assert left_out(Filters(row), paths) == left_out_by_git(tmp_path, row, paths), row


@pytest.mark.parametrize(
    ("patterns", "path", "is_directory", "is_out"),
    [
        (["?"], "é", False, True),  # a character, where git takes a byte
        (["[é]"], "é", False, True),
        (["core"], "core\n", False, False),
        (["a"], "a/", True, True),
        ([], "a", False, False),
        (["*.o", "!keep.o"], "keep.o", False, False),
        (["!keep.o", "*.o"], "keep.o", False, True),
        (["cache/"], "cache", False, False),
        (["cache/"], "cache", True, True),
        (["#a"], "#a", False, True),  # on a command line it is no comment
        ([" a"], "a", False, False),
    ],
)
def test_where_a_pattern_counts(patterns: list[str], path: str, is_directory: bool, is_out: bool) -> None:
    name = os.fsencode(path.removesuffix("/"))
    assert Filters(patterns).leaves_out(name, is_directory=is_directory) == is_out


@pytest.mark.parametrize("pattern", ["", "/", "!", "!/", "[", "[c-a]", "[a", "[[:nonsense:]]", "a\\", "[\\"])
def test_a_pattern_that_means_nothing_is_refused(pattern: str) -> None:
    """Git takes it and matches nothing: then what should have been left out is stored."""
    with pytest.raises(BadPattern):
        Filters([pattern])


def test_a_file_of_patterns_is_read_as_git_reads_one(tmp_path: Path) -> None:
    """Comments, blank lines, ends of lines of other systems, and spaces that nobody sees."""
    path = tmp_path / "exclude"
    path.write_bytes(b"\xef\xbb\xbfone\r\n# two\n\n   \nthree   \nfour\\ \n\\#five\n!six\n\xff")
    filters = Filters.read(files=[path], patterns=["six"])
    names = ["one", "# two", "two", "three", "four ", "four", "#five", "six", "\udcff"]
    assert left_out(filters, names) == {"one", "three", "four ", "#five", "six", "\udcff"}


def test_a_file_of_patterns_that_is_none_ends_in_words(tmp_path: Path) -> None:
    with pytest.raises(DiskFailed, match="cannot be read"):
        Filters.read(files=[tmp_path / "nothing"])
    large = tmp_path / "large"
    large.write_bytes(b"\n" * (MAX_FILE_BYTES + 1))
    with pytest.raises(BadPattern, match="more than"):
        Filters.read(files=[large])


@pytest.mark.parametrize(
    ("content", "is_one"),
    [
        (CACHE_SIGNATURE, True),
        (CACHE_SIGNATURE + b"\n# more", True),
        (b"", False),
        (CACHE_SIGNATURE[:-1], False),
    ],
)
def test_a_cache_is_known_by_its_signature(tmp_path: Path, content: bytes, is_one: bool) -> None:
    descriptor = os.open(tmp_path, DIRECTORY_FLAGS)
    try:
        assert not is_cache(descriptor)
        (tmp_path / os.fsdecode(CACHE_TAG)).write_bytes(content)
        assert is_cache(descriptor) == is_one
    finally:
        os.close(descriptor)

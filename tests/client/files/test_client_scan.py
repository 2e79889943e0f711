"""Scanning and streaming: what is met is listed in a stable order, and exactly that is read."""

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange_client.errors import BadPath, NothingToStore, SourceChanged
from grange_client.files.scan import LEFT_BY_RESTORE, Kind, base_name, from_shown, scan, shown
from grange_client.files.stream import MAX_OPEN_FILES, ContentStream


def open_files() -> int:
    """Descriptors that this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def stream_of(root: Path, tail: bytes = b"", trailer: bytes = b"", padding: int = 0) -> ContentStream:
    found = scan([root])
    size = found.content_bytes + len(tail) + padding + len(trailer)
    return ContentStream(found, tail=tail, trailer=trailer, size_bytes=size)


def test_order_is_stable_and_parents_come_first(tree: Path) -> None:
    """Directories come before what is in them, names in byte order, however the disk lists them."""
    assert [entry.path for entry in scan([tree]).entries] == [
        b"tree",
        b"tree/inner",
        b"tree/inner/data.bin",
        b"tree/inner/empty",
        b"tree/inner/run",
        b"tree/link",
        b"tree/loop",
        b"tree/small.txt",
        b"tree/zero",
    ]


def test_links_are_listed_and_never_followed(tree: Path) -> None:
    """A link that leads to itself is an entry like any other."""
    links = {entry.path: entry.target for entry in scan([tree]).entries if entry.kind is Kind.SYMLINK}
    assert links == {b"tree/link": b"inner/data.bin", b"tree/loop": b"loop"}


def test_hard_links_are_separate_files(tmp_path: Path) -> None:
    """Two names of one file are stored as two files."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_bytes(b"x" * 10)
    os.link(tmp_path / "d" / "a", tmp_path / "d" / "b")
    assert scan([tmp_path / "d"]).content_bytes == 20


def test_special_files_are_skipped_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipes and sockets are left out and named."""
    (tmp_path / "d").mkdir()
    monkeypatch.chdir(tmp_path)
    os.mkfifo("d/pipe")
    Path("d/stays").touch()
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("d/socket")
        found = scan(["d"])
    assert [one.path for one in found.skipped] == [b"d/pipe", b"d/socket"]
    assert "neither a file" in found.skipped[0].reason


def test_unreadable_files_are_skipped_with_a_reason(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What we may not read is named, and the rest is stored."""
    monkeypatch.setattr(os, "access", lambda path, mode: not path.endswith(b"run"))
    found = scan([tree])
    assert [(one.path, one.reason) for one in found.skipped] == [
        (b"tree/inner/run", "no permission to read it")
    ]
    assert found.files == 3


def test_nothing_but_what_cannot_be_read_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories of which no file can be read are not an order; those that are empty are one."""
    for link in ("link", "loop"):
        (tree / link).unlink()
    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(NothingToStore, match="can be stored") as raised:
            scan([tree])
    assert "tree/inner/data.bin: no permission to read it; " in raised.value.detail
    assert "and 1 more" in raised.value.detail
    assert [entry.path for entry in scan([tree / "inner" / "empty"]).entries] == [b"empty"]
    assert [entry.path for entry in scan([tree / "zero"]).entries] == [b"zero"]


def test_names_beyond_the_limits_are_left_out(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a manifest would not take is found by the scan, with its name; the rest is stored."""
    monkeypatch.setattr("grange_client.files.scan.MAX_PART_BYTES", 8)
    monkeypatch.setattr("grange_client.files.scan.MAX_PATH_BYTES", len("tree/inner/run"))
    found = scan([tree])
    assert {one.path for one in found.skipped} == {
        b"tree/inner/data.bin",
        b"tree/inner/empty",
        b"tree/small.txt",
    }
    assert all("8" in one.reason for one in found.skipped)


@pytest.mark.parametrize("limit", ["MAX_ENTRIES", "MAX_NAMES_BYTES"])
def test_tree_that_is_too_large_names_where_it_ends(
    tree: Path, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first name that an order has no room for is said, before anything is sent."""
    monkeypatch.setattr(f"grange_client.files.scan.{limit}", {"MAX_ENTRIES": 4, "MAX_NAMES_BYTES": 60}[limit])
    with pytest.raises(NothingToStore, match="no room for tree/inner/run"):
        scan([tree])


@given(st.binary(max_size=30))
def test_shown_names_are_read_back(path: bytes) -> None:
    """Whatever bytes a name has, what is shown is printable and gives them back."""
    text = shown(path)
    assert text.isprintable()
    assert from_shown(text) == path


def test_escapes_and_names_that_look_like_them(tmp_path: Path) -> None:
    """A real backslash is doubled, so no name is shown as another; a lone one is refused."""
    assert shown(b"back\\x41slash") == "back\\\\x41slash"
    assert from_shown("back\\x41slash") == b"backAslash"
    assert from_shown("caf\u00e9 \\xff\\x0A") == "caf\u00e9 ".encode() + b"\xff\n"
    for wrong in ("a\\", "a\\n", "a\\x4", "a\\x4g", "a\\\\\\"):
        with pytest.raises(BadPath, match="backslash"):
            from_shown(wrong)


def test_several_paths_are_several_roots(tmp_path: Path) -> None:
    """Each path is stored under its own name; two of one name are refused."""
    for name in ("a/x", "b/x", "c/y"):
        (tmp_path / name).mkdir(parents=True)
    assert [e.path for e in scan([tmp_path / "a/x", tmp_path / "c/y"]).entries] == [b"x", b"y"]
    with pytest.raises(NothingToStore, match="both be stored as x"):
        scan([tmp_path / "a/x", tmp_path / "b/x"])


def test_name_of_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The present directory is called by its own name."""
    monkeypatch.chdir(tmp_path)
    assert base_name(b".") == os.fsencode(tmp_path.name)
    assert base_name(b"some/where/") == b"where"
    assert base_name(b"/") == b"root"


@given(st.binary(min_size=1, max_size=40))
def test_shown_names_hold_nothing_that_a_terminal_acts_on(name: bytes) -> None:
    """Whatever the bytes, what is printed is printable."""
    assert shown(name).isprintable()


@given(st.data())
def test_any_part_of_the_stream_is_what_it_should_be(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Random access agrees with contents, tail, zeros and trailer put one after the other."""
    root = tmp_path_factory.mktemp("s")
    contents = data.draw(st.lists(st.binary(max_size=50), max_size=8))
    for number, content in enumerate(contents):
        (root / f"{number}").write_bytes(content)
    tail, trailer = data.draw(st.binary(max_size=30)), data.draw(st.binary(max_size=16))
    padding = data.draw(st.integers(0, 40))
    whole = b"".join(contents) + tail + bytes(padding) + trailer
    with stream_of(root, tail, trailer, padding) as stream:
        assert stream.size_bytes == len(whole)
        start = data.draw(st.integers(0, len(whole)))
        size = data.draw(st.integers(0, len(whole) - start))
        assert stream.read(start, size) == whole[start : start + size]
        with pytest.raises(ValueError, match="not in a stream"):
            stream.read(start, len(whole) - start + 1)


def test_many_files_are_read_with_few_open(tmp_path: Path) -> None:
    """Threads that read thousands of files at random keep a bounded number open."""
    for number in range(300):
        (tmp_path / f"{number:03}").write_bytes(b"%03d" % number)
    before = open_files()
    wrong: list[int] = []
    with stream_of(tmp_path) as stream:

        def read(seed: int) -> None:
            for step in range(300):
                number = (step * seed) % 300
                if stream.read(3 * number, 3) != b"%03d" % number:
                    wrong.append(number)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in (7, 11, 13, 17)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert open_files() <= before + MAX_OPEN_FILES
    assert not wrong
    assert open_files() == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda file: file.write_bytes(b"longer than before"), "it had"),
        (lambda file: file.write_bytes(b"shor"), "it had"),
        (lambda file: os.utime(file, ns=(1, 1)), "written to"),
        (lambda file: file.unlink(), "No such file"),
        (lambda file: (file.unlink(), file.symlink_to("/etc/passwd")), "symbolic link"),
    ],
)
def test_changed_files_are_noticed(tmp_path: Path, change: object, reason: str) -> None:
    """A file that is not as it was scanned is named with what is different, on reading and on checking."""
    (tmp_path / "d").mkdir()
    file = tmp_path / "d" / "file"
    file.write_bytes(b"before")
    with stream_of(tmp_path / "d") as stream:
        change(file)  # type: ignore[operator]
        with pytest.raises(SourceChanged, match=reason):
            stream.read(0, 6)
        with pytest.raises(SourceChanged, match="file changed"):
            stream.check_unchanged()


def test_pipe_that_took_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    """Nobody may ever write into it; a put at night would wait for good."""
    file = tmp_path / "file"
    file.write_bytes(b"before")
    ended: list[SourceChanged] = []
    with stream_of(file) as stream:
        file.unlink()
        os.mkfifo(file)

        def read() -> None:
            with pytest.raises(SourceChanged, match="not a file any more") as raised:
                stream.read(0, 6)
            ended.append(raised.value)

        reader = threading.Thread(target=read)
        reader.start()
        reader.join(10)
        with suppress(OSError):
            # Lets it go if it waits after all.
            os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))
        reader.join()
        assert ended
        with pytest.raises(SourceChanged, match="not a file any more"):
            stream.check_unchanged()


def test_file_cut_while_it_is_open(tmp_path: Path) -> None:
    """A file that becomes shorter under our hands is never padded."""
    (tmp_path / "file").write_bytes(b"x" * 100)
    with stream_of(tmp_path / "file") as stream:
        stream.read(0, 10)
        os.truncate(tmp_path / "file", 50)
        with pytest.raises(SourceChanged, match="shorter"):
            stream.read(0, 100)


def test_what_a_killed_restore_left_is_not_stored_as_somebodys_file(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"x")
    (tmp_path / ".grange-0123456789abcdef.part").write_bytes(b"x")
    found = scan([tmp_path])
    assert [entry.path.rpartition(b"/")[2] for entry in found.entries[1:]] == [b"kept"]
    assert [one.reason for one in found.skipped] == [LEFT_BY_RESTORE]

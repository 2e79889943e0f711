"""Commits come back as they were, nothing else is read, and two histories have one base."""

from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange_client.drive.chunk import MAX_CONTENT_BYTES, ChunkKey, ChunkType
from grange_client.drive.commit import (
    MAX_MESSAGE_CHARACTERS,
    MAX_PARENTS,
    Commit,
    is_ancestor,
    merge_bases,
    pack_commit,
    unpack_commit,
)
from grange_client.drive.entry import Directory
from grange_client.errors import BadCommit

keys = st.binary(min_size=32, max_size=32).map(ChunkKey)
roots = st.just(Directory()) | st.builds(
    Directory,
    level=st.integers(0, 8),
    key=keys,
    count=st.integers(1, 20_000_000),
    size_bytes=st.integers(0, (1 << 63) - 1),
)
commits = st.builds(
    Commit,
    root=roots,
    parents=st.sets(keys, max_size=3).map(lambda some: tuple(sorted(some))),
    time_ns=st.integers(-(10**27), 10**27),
    device=st.sampled_from(["laptop", "Büro", ""]),
    message=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
SOUND = [1, 5, 6, "laptop", "said", bytes(32), 1, 2, 0, bytes(range(32))]


@given(commits)
def test_a_commit_comes_back_as_it_was(commit: Commit) -> None:
    assert unpack_commit(pack_commit(commit)) == commit


def test_the_longest_commit_fits_its_chunk() -> None:
    parents = tuple(ChunkKey(bytes([number]) * 32) for number in range(MAX_PARENTS))
    commit = Commit(
        root=Directory(), parents=parents, time_ns=0, device="😀" * 255, message="😀" * MAX_MESSAGE_CHARACTERS
    )
    assert len(pack_commit(commit)) < MAX_CONTENT_BYTES[ChunkType.COMMIT]


@pytest.mark.parametrize(
    "fields",
    [
        {"parents": (ChunkKey(bytes([1]) * 32), ChunkKey(bytes(32)))},
        {"parents": (ChunkKey(bytes(32)),) * 2},
        {"parents": tuple(ChunkKey(bytes([n]) * 32) for n in range(MAX_PARENTS + 1))},
        {"message": "x" * (MAX_MESSAGE_CHARACTERS + 1)},
        {"message": "\ud800"},
        {"device": "x" * 256},
        {"device": "a\nb"},
        {"time_ns": 1 << 200},
        {"root": Directory(count=1)},
    ],
)
def test_what_is_no_commit_is_not_written(fields: dict[str, Any]) -> None:
    with pytest.raises(BadCommit):
        pack_commit(Commit(**({"root": Directory(), "parents": (), "time_ns": 0, "device": "d"} | fields)))


def test_what_no_client_writes_is_refused() -> None:
    assert unpack_commit(msgpack.packb(SOUND)).time_ns == 5 * 10**9 + 6
    wrong: list[Any] = [b"", b"\xc1", 7, [], SOUND[:-1], [*SOUND, 1], {1: 2}]
    values = [2, "5", 10**9, b"laptop", None, bytes(31), True, (1 << 64) - 1, 99, bytes(33)]
    wrong += [[*SOUND[:place], value, *SOUND[place + 1 :]] for place, value in enumerate(values)]
    wrong += [b"\x9a\xcc\x01" + msgpack.packb(SOUND)[2:], msgpack.packb(SOUND) + b"\0"]
    for document in wrong:
        with pytest.raises(BadCommit):
            unpack_commit(document if isinstance(document, bytes) else msgpack.packb(document))


@given(commits, st.data())
def test_damage_gives_bad_commit_and_nothing_else(commit: Commit, data: st.DataObject) -> None:
    raw = bytearray(pack_commit(commit))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BadCommit):
        assert pack_commit(unpack_commit(bytes(raw))) == raw


def key(letter: str) -> ChunkKey:
    return ChunkKey(letter.encode() * 32)


def history(**parents: str) -> dict[ChunkKey, list[ChunkKey]]:
    return {key(name): [key(one) for one in some] for name, some in parents.items()}


def bases(lines: dict[ChunkKey, list[ChunkKey]], one: str, other: str) -> str:
    """The same with the sides exchanged."""
    found = merge_bases([key(one)], key(other), lambda name: lines.get(name, []))
    assert found == merge_bases([key(other)], key(one), lambda name: lines.get(name, []))
    return "".join(chr(name[0]) for name in found)


def test_the_base_is_the_newest_that_both_come_from() -> None:
    lines = history(a="", b="a", c="b", d="b", e="d", x="")
    assert bases(lines, "c", "e") == "b"
    assert bases(lines, "a", "e") == "a"
    assert bases(lines, "e", "e") == "e"
    assert bases(lines, "x", "e") == ""
    assert is_ancestor(key("a"), key("e"), lines.__getitem__)
    assert not is_ancestor(key("e"), key("a"), lines.__getitem__)


def test_two_that_merged_at_once_have_two_bases() -> None:
    lines = history(a="", b="a", c="a", d="bc", e="bc")
    assert bases(lines, "d", "e") == "bc"
    assert merge_bases([key("b"), key("c")], key("e"), lines.__getitem__) == [key("b"), key("c")]


def test_a_history_that_was_cut_off_has_no_base() -> None:
    """What is not kept any more is not asked for."""
    assert bases(history(c="b", d="b"), "c", "d") == "b"

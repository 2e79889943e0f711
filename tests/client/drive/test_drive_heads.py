"""Which commits of a drive are the newest: told without reading one, and right whatever was withdrawn."""

from dataclasses import replace

import pytest
from client.drive.device_samples import Device, World, commit_key, pack_id
from client.drive.drive_samples import MemoryChunks

from grange.types import Epoch, OrderId
from grange_client.drive.chunk import ChunkKey, ChunkType, id_of
from grange_client.drive.drive_state import DriveState, Journal, recover, supersede
from grange_client.drive.edits.known_commits import KnownCommits
from grange_client.drive.edits.new_commit import commit_tree
from grange_client.drive.entry import Directory
from grange_client.drive.journal import Header, PublishedCommit, WithdrawnCommit
from grange_client.errors import BadChunk


def commit(device: Device, *, drop: tuple[OrderId, ...] = ()) -> ChunkKey:
    """On top of all heads that the device knows."""
    parents = sorted(device.state.heads.values())
    device.place(more=tuple(supersede(parents)), drop=drop)
    return commit_key(device.world.commits)


def withdraw(device: Device, key: ChunkKey) -> None:
    parents = sorted(device.state.heads.values())
    device.place(more=(WithdrawnCommit(id=id_of(key), until=Epoch(1000)), *supersede(parents)))


def test_the_newest_commit_is_the_head() -> None:
    device = Device(World())
    assert device.state.heads == {}
    for _ in range(3):
        key = commit(device)
        assert list(device.state.heads.values()) == [key]


def test_two_at_once_are_two_heads_until_somebody_commits_on_both() -> None:
    world = World()
    one, other = Device(world), Device(world)
    commit(one)
    other.sync()
    keys = {commit(one), commit(other)}
    for device in (one, other):
        device.sync()
        assert set(device.state.heads.values()) == keys
    merged = commit(one)
    other.sync()
    assert list(other.state.heads.values()) == [merged]


def test_a_commit_whose_child_is_withdrawn_is_no_head_again() -> None:
    """Daily commits are thinned out: the one of last month must not be merged with that of today."""
    world = World()
    device = Device(world)
    first, second = commit(device), commit(device)
    last = commit(device)
    withdraw(device, second)
    newest = commit_key(world.commits)
    assert set(device.state.live_commits.values()) == {first, last, newest}
    assert list(device.state.heads.values()) == [newest]
    for number in (1, 2, 3, 4):
        device.place(drop=(pack_id(number),), more=tuple(supersede(device.state.heads.values())))
    found = recover([max(world.journals)], lambda pack, where: world.journals[pack]).state
    assert id_of(first) in found.live_commits
    assert found.heads == device.state.heads
    assert list(found.heads.values()) == [commit_key(world.commits)]


def made(store: MemoryChunks, *parents: ChunkKey) -> ChunkKey:
    return commit_tree(store, Directory(), parents, time_ns=len(store.contents), device="laptop").key


def test_a_drive_with_commits_has_a_head_whatever_journals_say() -> None:
    """The newest was withdrawn, or a device says of all commits that others come from them: the newest of
    those that are kept is the head, also where what lies between them is gone. Else the next backup would
    begin at nothing, and what is not in it would look deleted."""
    store = MemoryChunks()
    first = made(store)
    gone = made(store, first)
    ours, theirs = made(store, gone), made(store, gone)
    newest = made(store, ours)
    state = DriveState().with_journal(
        Journal(
            pack=pack_id(1),
            header=Header(seconds=0, device="laptop", checkpoint=pack_id(2)),
            records=(
                *(PublishedCommit(key=key) for key in (first, gone, ours, theirs, newest)),
                *supersede([first, gone, ours]),
                WithdrawnCommit(id=id_of(gone), until=Epoch(9)),
            ),
        )
    )
    past = KnownCommits(store, state)
    assert past.heads() == sorted([theirs, newest])
    lied = replace(state, superseded=frozenset(state.live_commits))
    assert lied.heads == {}
    assert KnownCommits(store, lied).heads() == sorted([theirs, newest])
    withdrawn = replace(lied, withdrawn={**lied.withdrawn, id_of(newest): Epoch(9)})
    assert KnownCommits(store, withdrawn).heads() == sorted([theirs, ours])
    assert KnownCommits(store, DriveState()).heads() == []
    del store.contents[ChunkType.COMMIT, gone]
    assert KnownCommits(store, lied).heads() == sorted([first, theirs, newest]), (
        "first may be another device's"
    )
    del store.contents[ChunkType.COMMIT, newest]
    with pytest.raises(BadChunk):
        KnownCommits(store, lied).heads()

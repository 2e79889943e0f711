"""Which commits of a drive are the newest: told without reading one, and right whatever was withdrawn."""

from client.drive.device_samples import Device, World, commit_key, pack_id

from grange.types import Epoch, OrderId
from grange_client.drive.chunk import ChunkKey, id_of
from grange_client.drive.drive_state import recover, supersede
from grange_client.drive.journal import WithdrawnCommit


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

"""What journals say together: the same for everybody who has seen them, and all of it from the newest."""

from dataclasses import replace
from typing import Any

import pytest
from client.drive.device_samples import LIFE, Device, World, acts, commit_key, descriptor, pack_id, play
from hypothesis import given, settings
from hypothesis import strategies as st

from grange.errors import Misuse
from grange.types import Epoch, OrderId
from grange_client.drive import drive_state
from grange_client.drive.chunk import id_of
from grange_client.drive.drive_state import MAX_BETWEEN, DriveState, Journal, recover
from grange_client.drive.journal import (
    DroppedPack,
    Header,
    PackDescriptor,
    RetiredPack,
    WithdrawnCommit,
)
from grange_client.errors import BadPack


@given(acts, st.randoms())
def test_the_order_in_which_journals_come_does_not_matter(
    steps: list[tuple[int, str]], drawn: object
) -> None:
    """Nor does it whether one comes twice, or two have added up a part each."""
    world, _ = play(steps)
    journals = list(world.journals.values())
    straight = DriveState()
    for journal in journals:
        straight = straight.with_journal(journal)
    shuffled = journals * 2
    drawn.shuffle(shuffled)  # type: ignore[attr-defined]
    mixed, half = DriveState(), DriveState()
    for place, journal in enumerate(shuffled):
        if place % 2:
            mixed = mixed.with_journal(journal)
        else:
            half = half.with_journal(journal)
    assert mixed.joined(half) == straight == half.joined(mixed)


@given(acts)
def test_devices_that_saw_the_same_know_the_same(steps: list[tuple[int, str]]) -> None:
    _, devices = play(steps)
    for device in devices:
        device.sync()
    views = [(d.state.live_packs, d.state.live_commits, d.state.values, d.state.checkpoint) for d in devices]
    assert views[0] == views[1] == views[2]


@given(acts)
def test_no_commit_is_lost_between_devices(steps: list[tuple[int, str]]) -> None:
    """Whatever happened at once: what was published and nobody withdrew is live."""
    world, devices = play(steps)
    devices[0].sync()
    withdrawn = {r.id for j in world.journals.values() for r in j.records if isinstance(r, WithdrawnCommit)}
    published = {id_of(commit_key(number)) for number in range(1, world.commits + 1)}
    assert set(devices[0].state.live_commits) == published - withdrawn


@settings(max_examples=40)
@given(
    st.lists(
        st.sampled_from(["place", "withdraw", "drop", "retire", "say", "unsay"]), min_size=1, max_size=60
    )
)
def test_the_newest_journal_leads_to_all_that_is_live(steps: list[str]) -> None:
    """Packs that were dropped are not read: nobody keeps them any more."""
    world, devices = play([(0, step) for step in ["place", *steps]])
    newest = max(world.journals)
    read: list[OrderId] = []

    def read_journal(pack: OrderId, where: PackDescriptor | None) -> Journal:
        assert pack not in devices[0].state.dropped
        assert where == (None if pack == newest else world.descriptors[pack])
        read.append(pack)
        return world.journals[pack]

    found = recover([newest], read_journal).state
    expected = devices[0].state
    assert found.live_commits == expected.live_commits
    assert found.values == expected.values
    assert found.live_packs.keys() | {newest} == expected.live_packs.keys()
    assert len(read) == len(set(read)) == len(expected.live_packs)
    assert found.with_pack(world.descriptors[newest]).live_packs == expected.live_packs


@settings(max_examples=40)
@given(acts)
def test_all_is_found_from_those_that_nobody_names(steps: list[tuple[int, str]]) -> None:
    """Devices that placed at once: the newest packs on chain are the ones to begin with."""
    world, devices = play([(0, "place"), *steps])
    named = {r.pack for j in world.journals.values() for r in j.records if isinstance(r, PackDescriptor)}
    newest = sorted(world.journals.keys() - named)
    found = recover(newest, lambda pack, where: world.journals[pack]).state
    for pack in newest:
        found = found.with_pack(world.descriptors[pack])
    devices[0].sync()
    assert found.live_commits == devices[0].state.live_commits
    assert found.values == devices[0].state.values
    assert found.live_packs == devices[0].state.live_packs


def test_a_journal_grows_with_what_is_live_and_not_with_history() -> None:
    """Four hundred days with a pack each, the last ten kept: journals and recovery stay short."""
    world = World()
    device = Device(world)
    sizes = []
    for day in range(400):
        live = sorted(device.state.live_packs)
        old = min(device.state.live_commits.values(), default=None)
        more = (WithdrawnCommit(id=id_of(old), until=Epoch(day + LIFE)),) if old and day > 10 else ()
        device.place(drop=(live[0],) if len(live) == 10 else (), more=more, epoch=day)
        sizes.append(len(world.journals[pack_id(day + 1)].records))
    assert max(sizes[200:]) < 10 + 11 + 3 * LIFE
    reads: list[OrderId] = []

    def read_journal(pack: OrderId, where: PackDescriptor | None) -> Journal:
        reads.append(pack)
        return world.journals[pack]

    found = recover([pack_id(400)], read_journal).state
    assert len(reads) == 10
    assert found.live_commits == device.state.live_commits
    assert len(found.live_commits) == 11


def test_a_checkpoint_comes_after_so_many_packs() -> None:
    device = Device(World())
    checkpoints = [device.world.journals[device.place()].header.checkpoint is None for _ in range(40)]
    assert checkpoints[0]
    assert [n for n, is_one in enumerate(checkpoints) if is_one] == [0, MAX_BETWEEN + 1, 2 * MAX_BETWEEN + 2]


def test_no_checkpoint_is_written_by_who_has_not_read_all_that_it_replaces() -> None:
    """It would hide the commits of a pack that it names and never opened."""
    device = Device(World())
    first = device.place()
    unread = device.state.with_pack(descriptor(99))
    assert unread.next_journal(Epoch(0))[0] == first
    with pytest.raises(Misuse, match="1 packs were not read"):
        unread.next_journal(Epoch(0), drop=[first])


def test_a_retired_pack_is_read_and_not_leaned_on() -> None:
    """A backup that runs while another device tidies up does not rely on what is about to go."""
    device = Device(World())
    first = device.place()
    device.place(more=(RetiredPack(pack=first),))
    assert first in device.state.live_packs
    assert first not in device.state.leanable_packs


def test_an_order_that_was_extended_is_found_under_its_new_name() -> None:
    state = DriveState().with_pack(descriptor(1, end=10))
    extended = descriptor(1, end=20, order=pack_id(77), block=2)
    assert state.with_pack(extended).packs == {pack_id(1): extended}
    assert DriveState().with_pack(extended).with_pack(descriptor(1, end=10)).packs == {pack_id(1): extended}


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (descriptor(1, farmer=9), descriptor(1, farmer=10, block=2)),
        (descriptor(1, end=20, order=pack_id(77)), descriptor(1, end=10, block=2)),
    ],
    ids=["repaired", "extended, and a reorg took it back"],
)
def test_where_a_pack_is_follows_the_later_block(was: PackDescriptor, now: PackDescriptor) -> None:
    """In the state, and in what the next journal says."""
    device = Device(World())
    device.place()
    device.state = DriveState().joined(device.state).with_pack(was).with_pack(now)
    assert device.state.packs[pack_id(1)] == now == device.state.with_pack(was).packs[pack_id(1)]
    checkpoint = DriveState(read=frozenset({pack_id(1)}), packs=device.state.packs)
    assert checkpoint.next_journal(Epoch(0)) == (None, [now])


def test_a_commit_that_was_withdrawn_does_not_come_back() -> None:
    """Also if a device that had not heard of it writes a checkpoint that has it."""
    world = World()
    one, other = Device(world), Device(world)
    first = one.place()
    other.sync()
    gone = id_of(commit_key(1))
    one.place(more=(WithdrawnCommit(id=gone, until=Epoch(1000)),))
    other.place(drop=(first,))
    assert gone in other.state.live_commits
    for device in (one, other):
        device.sync()
        assert gone not in device.state.live_commits
    last = one.place(drop=(min(one.state.live_packs),))
    assert gone not in recover([last], lambda pack, where: world.journals[pack]).state.live_commits


def test_a_clock_that_is_far_ahead_does_not_decide_which_checkpoint_is_newest() -> None:
    """A device with a wrong clock writes one checkpoint, alone or at once with another device: those that
    come after it stay rare."""
    for at_once in (False, True):
        world = World()
        wrong, right = Device(world), Device(world)
        first = right.place()
        wrong.sync()
        wrong.place(drop=(first,), seconds=10**11)
        if at_once:
            right.place(drop=(first,))
        right.sync()
        begun = len(world.journals)
        kinds = [world.journals[right.place()].header.checkpoint is None for _ in range(100)]
        assert sum(kinds) <= 100 // MAX_BETWEEN
        wrong.sync()
        assert wrong.state.checkpoint == right.state.checkpoint
        assert begun < int.from_bytes(right.state.checkpoint or b"")


def test_a_pack_that_cannot_be_read_does_not_end_recovery() -> None:
    """What the others say is known, and the one that is missing is named with its reason."""
    world = World()
    device = Device(world)
    for _ in range(40):
        device.place()
    lost, why = pack_id(7), BadPack("Its farmers are gone.")

    def read_journal(pack: OrderId, where: PackDescriptor | None) -> Journal:
        if pack == lost:
            raise why
        return world.journals[pack]

    found = recover([pack_id(40)], read_journal)
    assert found.missing == {lost: why}
    assert found.state.read == world.journals.keys() - {lost}
    assert found.state.live_packs.keys() | {pack_id(40)} == device.state.live_packs.keys()
    assert found.state.live_commits.keys() >= device.state.live_commits.keys() - {id_of(commit_key(7))}


def test_recovery_raises_what_is_no_pack_that_cannot_be_read() -> None:
    """A bug, and a drive of which nothing at all can be read: that is no empty drive."""
    with pytest.raises(ZeroDivisionError):
        recover([pack_id(1)], lambda pack, where: 1 // 0)  # type: ignore[arg-type, return-value]

    def read_journal(pack: OrderId, where: PackDescriptor | None) -> Journal:
        raise BadPack(f"{pack[-1]} is damaged.")

    with pytest.raises(BadPack, match="1 is damaged"):
        recover([pack_id(1), pack_id(2)], read_journal)


def test_a_pack_is_tried_again_where_a_later_block_has_it() -> None:
    """The first journal that names it was written before a repair; another one says who has it now."""
    header = Header(seconds=0, device="d", checkpoint=pack_id(1))
    stale, fresh = descriptor(3, farmer=9), descriptor(3, farmer=10, block=5)
    journals = {
        pack_id(1): Journal(pack=pack_id(1), header=header, records=(stale, descriptor(2))),
        pack_id(2): Journal(pack=pack_id(2), header=header, records=(descriptor(4),)),
        pack_id(3): Journal(pack=pack_id(3), header=header, records=()),
        pack_id(4): Journal(pack=pack_id(4), header=header, records=(replace(stale, block=4), fresh)),
    }
    asked: list[PackDescriptor | None] = []

    def read_journal(pack: OrderId, where: PackDescriptor | None) -> Journal:
        if pack == pack_id(3):
            asked.append(where)
            if where != fresh:
                raise BadPack("Farmer 9 has it no more.")
        return journals[pack]

    found = recover([pack_id(1)], read_journal)
    assert found.missing == {}
    assert asked == [stale, fresh]
    assert found.state.read == journals.keys()


def test_what_is_dropped_is_not_missing() -> None:
    """It was tried before the journal that drops it was read."""
    world = World()
    device = Device(world)
    first = device.place()
    last = device.place(drop=(first,))

    def read_journal(pack: OrderId, where: PackDescriptor | None) -> Journal:
        if pack == first:
            raise BadPack("Nobody keeps it any more.")
        return world.journals[pack]

    assert recover([first, last], read_journal).missing == {}


def test_writing_goes_on_while_a_pack_cannot_be_read_and_once_it_is_given_up() -> None:
    """No checkpoint hides its commits meanwhile; only who gives it up drops it unread."""
    device = Device(World())
    first = device.place()
    lost = descriptor(99)
    device.state = device.state.with_pack(lost)
    journals = [device.world.journals[device.place()] for _ in range(2 * MAX_BETWEEN)]
    assert {journal.header.checkpoint for journal in journals} == {first}
    assert all(lost in journal.records for journal in journals)
    checkpoint, records = device.state.next_journal(Epoch(0), lost=[lost.pack])
    assert checkpoint is None
    assert DroppedPack(pack=lost.pack) in records
    with pytest.raises(Misuse, match="1 packs were not read"):
        device.state.next_journal(Epoch(0), drop=[lost.pack])


def test_recovery_costs_what_the_journals_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand journals of one record each: nothing that is known already is gone through again."""
    looked_at = 0
    add = drive_state._add

    def counted(to: Any, more: Any, choose: Any) -> None:
        nonlocal looked_at
        looked_at += len(more)
        add(to, more, choose)

    def no_copy(*_: object) -> None:
        pytest.fail("a state was copied for a journal")

    def read_journal(pack: OrderId, where: PackDescriptor | None) -> Journal:
        number = int.from_bytes(pack)
        header = Header(seconds=0, device="d", checkpoint=pack_id(1))
        return Journal(pack=pack, header=header, records=(descriptor(number - 1),) if number else ())

    monkeypatch.setattr(drive_state, "_add", counted)
    monkeypatch.setattr(DriveState, "joined", no_copy)
    monkeypatch.setattr(DriveState, "with_journal", no_copy)
    found = recover([pack_id(1000)], read_journal)
    assert len(found.state.read) == 1001
    assert looked_at <= 3 * 1001


def test_a_drive_that_pretends_to_be_endless_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each journal names one more pack. What was read is known, and the rest is named as not looked at: a
    hostile device must not close the drive for all others."""
    monkeypatch.setattr("grange_client.drive.drive_state.MAX_PACKS", 50)

    def read_journal(pack: OrderId, where: PackDescriptor | None) -> Journal:
        following = descriptor(int.from_bytes(pack) + 1)
        header = Header(seconds=0, device="liar", checkpoint=pack_id(1))
        return Journal(pack=pack, header=header, records=(following,))

    found = recover([pack_id(1)], read_journal)
    assert len(found.state.read) == 50
    assert [str(error) for error in found.missing.values()] == [
        "A drive has more than 100,000 packs: this one was not looked at."
    ]

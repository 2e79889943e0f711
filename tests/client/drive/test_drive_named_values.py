"""Names, policies and tags of a drive: what was said last counts, for everybody the same."""

from dataclasses import replace
from random import Random

import pytest
from client.drive.device_samples import Device, World, descriptor, pack_id
from hypothesis import given
from hypothesis import strategies as st

from grange.types import Epoch, OrderId
from grange_client.drive import named_values
from grange_client.drive.drive_state import DriveState, Journal, recover
from grange_client.drive.journal import (
    MAX_NAME_CHARACTERS,
    MAX_SECONDS,
    MAX_VALUE_BYTES,
    NamedValue,
    pack_record,
)
from grange_client.errors import BadPack, DriveFull, JournalsUnread

GONE_UNTIL = Epoch(30)


def say(device: Device, name: str, value: bytes, *, seconds: int = 0, epoch: int = 0) -> OrderId:
    said = device.state.new_value(name, value, seconds=seconds, gone_until=GONE_UNTIL)
    return device.place(more=(said,), epoch=epoch)


def drop_oldest(device: Device, *, epoch: int = 0) -> OrderId:
    return device.place(drop=(min(device.state.live_packs),), epoch=epoch)


def recovered(world: World) -> DriveState:
    """From the newest pack alone; nobody keeps a pack that was dropped."""
    return recover([max(world.journals)], lambda pack, where: world.journals[pack]).state


def test_what_was_said_last_counts_and_an_empty_value_takes_it_away() -> None:
    device = Device(World())
    say(device, "name", b"photos", seconds=1)
    say(device, "tag/first", b"1", seconds=1)
    say(device, "name", b"pictures", seconds=2)
    assert device.state.values == {"name": b"pictures", "tag/first": b"1"}
    say(device, "tag/first", b"", seconds=3)
    assert device.state.values == {"name": b"pictures"}


def test_of_two_at_once_the_later_counts_and_at_one_time_the_greater_value() -> None:
    for seconds, winner in ((5, b"other"), (6, b"one")):
        world = World()
        one, other = Device(world), Device(world)
        say(one, "name", b"one", seconds=seconds)
        say(other, "name", b"other", seconds=5)
        for device in (one, other):
            device.sync()
            assert device.state.values == {"name": winner}


def test_a_clock_that_is_far_ahead_does_not_have_the_last_word() -> None:
    """Who has seen what it said gives what it says a later time."""
    world = World()
    wrong, right = Device(world), Device(world)
    say(wrong, "name", b"wrong", seconds=10**11)
    right.sync()
    say(right, "name", b"right", seconds=5)
    wrong.sync()
    assert wrong.state.values == right.state.values == {"name": b"right"}


def test_values_outlive_the_packs_in_which_they_were_said() -> None:
    world = World()
    device = Device(world)
    say(device, "policy/keep-last", b"7")
    for _ in range(5):
        drop_oldest(device)
    assert len(device.state.live_packs) == 1
    assert recovered(world).values == {"policy/keep-last": b"7"}


def test_a_value_that_was_taken_away_does_not_come_back() -> None:
    """Neither by a device that had not heard of it, nor out of an old pack once nobody says it any more."""
    world = World()
    one, other = Device(world), Device(world)
    say(one, "tag/first", b"1")
    kept = max(world.journals)
    other.sync()
    say(one, "tag/first", b"")
    drop_oldest(other)
    assert other.state.values == {"tag/first": b"1"}
    for device in (one, other):
        device.sync()
        assert device.state.values == {}
    while min(one.state.live_packs) <= pack_id(3):
        drop_oldest(one, epoch=GONE_UNTIL + 1)
    assert not any(isinstance(r, NamedValue) for r in world.journals[max(world.journals)].records)
    assert recovered(world).values == {}

    world = World()
    device = Device(world)
    other_pack = device.place()
    kept = say(device, "tag/first", b"1")
    gone = say(device, "tag/first", b"")
    device.place(drop=(other_pack, gone), epoch=GONE_UNTIL + 1)
    assert kept in device.state.live_packs
    assert recovered(world).values == device.state.values == {}


def test_checkpoints_say_values_once_however_often_they_were_said() -> None:
    """And those that are taken away no longer than they have to: journals do not grow with history."""
    world = World()
    device = Device(world)
    for day in range(60):
        say(device, "name", b"%d" % day, seconds=day, epoch=day)
        said = device.state.new_value(f"tag/{day}", b"", seconds=day, gone_until=Epoch(day + 5))
        device.place(more=(said,), epoch=day, drop=(min(device.state.live_packs),) if day > 3 else ())
    last = world.journals[max(world.journals)]
    named = [one for one in last.records if isinstance(one, NamedValue)]
    assert {one.name for one in named} == {"name", *(f"tag/{day}" for day in range(55, 60))}


pieces = st.lists(
    st.builds(
        NamedValue,
        name=st.sampled_from(["name", "tag/a", "tag/b"]),
        value=st.sampled_from([b"1", b"2"]),
        seconds=st.integers(0, 3),
    )
    | st.builds(
        NamedValue,
        name=st.sampled_from(["name", "tag/a"]),
        value=st.just(b""),
        seconds=st.integers(0, 3),
        until=st.integers(0, 3).map(Epoch),
    ),
    max_size=3,
)


@given(st.lists(pieces, max_size=5), st.randoms())
def test_values_add_up_in_any_order(said: list[list[NamedValue]], drawn: Random) -> None:
    """Whatever hostile or confused devices wrote."""
    world = World()
    device = Device(world)
    for records in said:
        device.place(more=tuple(records))
    journals: list[Journal] = list(world.journals.values()) * 2
    drawn.shuffle(journals)
    mixed, half = DriveState(), DriveState()
    for number, journal in enumerate(journals):
        if number % 2:
            mixed = mixed.with_journal(journal)
        else:
            half = half.with_journal(journal)
    device.state = DriveState().joined(device.state)
    assert mixed.joined(half).values == half.joined(mixed).values == device.state.values
    assert mixed.joined(half).named_values == device.state.named_values


@pytest.mark.parametrize(
    "record",
    [
        NamedValue(name="", value=b"x", seconds=0),
        NamedValue(name="n" * (MAX_NAME_CHARACTERS + 1), value=b"x", seconds=0),
        NamedValue(name="new\nline", value=b"x", seconds=0),
        NamedValue(name="half \ud800", value=b"x", seconds=0),
        NamedValue(name="n", value=bytes(MAX_VALUE_BYTES + 1), seconds=0),
        NamedValue(name="n", value=b"x", seconds=0, until=Epoch(1)),
    ],
    ids=["no name", "long name", "control", "surrogate", "long value", "there and gone"],
)
def test_what_nobody_would_read_is_not_written(record: NamedValue) -> None:
    with pytest.raises(BadPack):
        pack_record(record)


def test_a_value_from_the_end_of_time_is_passed_by_who_has_read_all() -> None:
    """A hostile device says the greatest value there is at the last second: the next journal that says
    another is a checkpoint, and no checkpoint repeats what it passes. So for all that saw both."""
    world = World()
    hostile, owner, phone = Device(world), Device(world), Device(world)
    owner.place()
    for device in (hostile, phone):
        device.sync()
    hostile.place(more=(NamedValue(name="name", value=b"\xff" * 99, seconds=MAX_SECONDS),))
    owner.sync()
    assert owner.state.values["name"] == b"\xff" * 99
    said = say(owner, "name", b"photos", seconds=7)
    assert world.journals[said].header.checkpoint is None
    say(owner, "name", b"pictures", seconds=8)
    for device in (hostile, phone):
        device.sync()
        assert device.state.values == {"name": b"pictures"}
    drop_oldest(phone)
    assert recovered(world).values == phone.state.values == {"name": b"pictures"}


def test_what_passes_a_value_is_not_written_over_what_was_not_read() -> None:
    """The commits of a pack that cannot be read would be hidden by the checkpoint that it takes."""
    device = Device(World())
    device.place(more=(NamedValue(name="name", value=b"\xff", seconds=MAX_SECONDS),))
    device.state = device.state.with_pack(descriptor(99))
    said = device.state.new_value("name", b"y", seconds=7)
    with pytest.raises(JournalsUnread, match="name cannot be changed now: 1 packs"):
        device.state.next_journal(Epoch(0), said=[said])
    assert device.state.without_packs([pack_id(99)]).next_journal(Epoch(0), said=[said])[0] is None
    other = device.state.new_value("policy/code", b"2/4", seconds=7)
    assert device.state.next_journal(Epoch(0), said=[other])[0] == pack_id(1)


def test_a_flood_of_values_displaces_nothing_and_ends_with_the_next_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the drive says of itself counts first, then what was said first; a person can be told."""
    monkeypatch.setattr(named_values, "MAX_VALUES", 4)
    world = World()
    owner, hostile = Device(world), Device(world)
    say(owner, "tag/first", b"1", seconds=5)
    say(owner, "name", b"photos", seconds=6)
    hostile.sync()
    flood = [NamedValue(name=f"tag/{number}", value=b"x", seconds=10 + number) for number in range(6)]
    hostile.place(more=tuple(flood))
    owner.sync()
    assert owner.state.values == {"tag/first": b"1", "name": b"photos", "tag/0": b"x", "tag/1": b"x"}
    assert owner.state.values_left_out == ("tag/2", "tag/3", "tag/4", "tag/5")
    with pytest.raises(DriveFull, match="as many tags"):
        say(owner, "tag/mine", b"1", seconds=99)
    say(owner, "policy/code", b"2/4", seconds=99)
    say(owner, "tag/0", b"", seconds=99)
    say(owner, "tag/mine", b"1", seconds=99)
    drop_oldest(owner)
    hostile.sync()
    found = recovered(world)
    assert found.values == owner.state.values == hostile.state.values
    assert found.values.keys() == {"tag/first", "name", "policy/code", "tag/mine"}
    assert found.values_left_out == ()


@given(st.lists(st.tuples(pieces, st.booleans()), max_size=6))
def test_who_says_something_is_heard(said: list[tuple[list[NamedValue], bool]]) -> None:
    """Whatever others said before, at whatever time: what the last one says counts for all that know it."""
    world = World()
    device = Device(world)
    for records, is_last in said:
        end = [replace(one, seconds=MAX_SECONDS) for one in records] if is_last else records
        device.place(more=tuple(end))
    say(device, "name", b"mine", seconds=0)
    assert device.state.values["name"] == b"mine"
    assert recovered(world).values["name"] == b"mine"

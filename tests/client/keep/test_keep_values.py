"""Stages, leases, jobs, policies and the memory: the small values that keeping is made of."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from client.drive.catalog_samples import descriptor, journal
from client.drive.catalog_samples import pack_id as journal_pack
from client.keep.keep_samples import EPOCH, pack, pack_id, view
from hypothesis import given
from hypothesis import strategies as st

from grange.errors import Misuse
from grange.types import Epoch
from grange_client.drive.chunk import ChunkId
from grange_client.drive.drive_state import DriveState
from grange_client.drive.journal import (
    MAX_SECONDS,
    DroppedPack,
    NamedValue,
    PackDescriptor,
    RetiredPack,
    WithdrawnCommit,
)
from grange_client.drive.leaning import LeaningTimes
from grange_client.drive.retention_text import parse_retention
from grange_client.errors import Overtaken
from grange_client.keep.jobs import PackJob, check_job, journal_records, repack_job
from grange_client.keep.lease import LEASE_NAME, Lease, next_lease, unpack_lease
from grange_client.keep.memory import MAX_TOLD, KeepMemory, find_budget_left, read_memory, write_memory
from grange_client.keep.plan import Repack, make_plan
from grange_client.keep.policy import DEFAULT_POLICY, KeepPolicy, policy_values, read_policy
from grange_client.keep.stages import FOLLOWING, Stage, stage_of, unread_that_matter

TIMES = LeaningTimes.of_grid(30)


@pytest.mark.parametrize(
    ("grid", "leaning", "publishing"), [(30, 10, 1), (60, 20, 2), (8, 2, 1), (1, 2, 1), (365, 121, 12)]
)
def test_a_look_is_over_before_a_pack_that_it_relies_on_can_be_settled(
    grid: int, leaning: int, publishing: int
) -> None:
    times = LeaningTimes.of_grid(grid)
    assert times == LeaningTimes(leaning_epochs=leaning, publishing_epochs=publishing)
    for end, looked in product(range(2 * leaning), range(2 * leaning)):
        if times.may_rely(Epoch(end), Epoch(looked)):
            placed = Epoch(looked + publishing)
            assert not times.is_settled(Epoch(end), Epoch(placed))
            assert placed < end


def test_a_pack_goes_through_its_stages_one_after_the_other() -> None:
    """Every pair of looks at one pack, the later one with as much or less time left."""
    looks = [
        (left, needed, retired, complete)
        for left, needed, retired, complete in product(
            (40, 12, 10, 9, 0, -9, -10), (0.0, 0.2), (False, True), (False, True)
        )
    ]

    def stage(left: int, needed: float, retired: bool, complete: bool) -> Stage:
        one = pack(1, left=left, needed=needed, is_retired=retired)
        return stage_of(one, epoch=Epoch(EPOCH), times=TIMES, is_complete=complete)

    for first, second in product(looks, looks):
        if second[0] > first[0] or first[2] > second[2]:
            continue  # time and retiring go one way
        before, after = stage(*first), stage(*second)
        assert after is before or after in FOLLOWING[before], (first, second)
    assert {stage(*one) for one in looks} == set(Stage) - {Stage.DROPPED}
    assert not FOLLOWING[Stage.DROPPED], "dropped is for good"


def test_a_pack_that_is_over_and_cannot_be_read_holds_nothing_up_for_ever() -> None:
    gone = pack(1, left=-1, is_unmeasured=True)
    assert stage_of(gone, epoch=Epoch(EPOCH), times=TIMES, is_complete=False) is Stage.LIVE
    for one in (replace(gone, is_retired=True), pack(1, left=-10, is_unmeasured=True)):
        assert stage_of(one, epoch=Epoch(EPOCH), times=TIMES, is_complete=False) is Stage.SETTLED
    state = DriveState().with_pack(descriptor(1, end=50)).with_pack(descriptor(2, end=51))
    packs = [journal_pack(number) for number in (1, 2, 3)]
    assert unread_that_matter(packs, state, Epoch(50)) == {journal_pack(2), journal_pack(3)}


@given(st.integers(0, (1 << 63) - 1), st.text(max_size=20), st.integers(0, (1 << 32) - 1))
def test_a_lease_is_read_as_it_was_written(number: int, device: str, until: int) -> None:
    lease = Lease(number=number, device=device, until=Epoch(until))
    assert unpack_lease(lease.packed()) == lease
    following = next_lease(lease, "other", epoch=Epoch(7), grid_epochs=30)
    assert following.number == (number + 1 if number < (1 << 63) - 1 else 1)
    assert following.until == 14
    assert unpack_lease(following.packed()) == following


@given(st.binary(max_size=60))
def test_bytes_that_are_no_lease_are_none_and_stop_nothing(raw: bytes) -> None:
    lease = unpack_lease(raw)
    assert lease is None or lease.number >= 0
    assert unpack_lease(None) is None


def test_of_two_that_take_a_lease_at_once_all_devices_see_the_same_one() -> None:
    leases = [Lease(number=1, device=name, until=Epoch(20)) for name in ("laptop", "desktop")]
    journals = [
        journal(number, [DriveState().new_value(LEASE_NAME, lease.packed(), seconds=5)])
        for number, lease in enumerate(leases)
    ]
    one = DriveState().with_journal(journals[0]).with_journal(journals[1])
    other = DriveState().with_journal(journals[1]).with_journal(journals[0])
    assert unpack_lease(one.values[LEASE_NAME]) == unpack_lease(other.values[LEASE_NAME]) == leases[1]
    later = one.new_value(LEASE_NAME, Lease(number=2, device="phone", until=Epoch(30)).packed(), seconds=-9)
    seen = unpack_lease(one.with_journal(journal(7, [later])).values[LEASE_NAME])
    assert seen is not None
    assert seen.device == "phone", "a clock that is behind does not matter to who has seen the last one"


def job_and_state() -> tuple[PackJob, DriveState]:
    due = pack(1, left=15, needed=0.2)
    gone = pack(2, left=8, needed=0.0)
    look = view(due, gone, withdrawable=(ChunkId(bytes(32)),))
    plan = make_plan(look, DEFAULT_POLICY)
    action = next(one for one in plan.actions if isinstance(one, Repack))
    job = repack_job(action, plan, look)
    assert job == repack_job(action, plan, look), "the same look gives the same job"
    state = DriveState()
    for one in (due, gone):
        where = replace(descriptor(1, end=one.end), pack=one.pack, order=one.order)
        state = state.with_pack(where)
    return job, replace(state, read=frozenset({due.pack, gone.pack}))


def test_the_journal_of_a_new_pack_says_all_that_changes_with_it() -> None:
    job, state = job_and_state()
    check_job(job, state, epoch=Epoch(EPOCH), publishing_epochs=1)
    checkpoint, records = journal_records(job, state, epoch=Epoch(EPOCH), seconds=5)
    assert checkpoint is None, "what only the packs that go say has to be repeated"
    assert RetiredPack(pack=pack_id(1)) in records
    assert DroppedPack(pack=pack_id(2)) in records
    assert WithdrawnCommit(id=ChunkId(bytes(32)), until=Epoch(1_380)) in records
    assert {one.pack for one in records if isinstance(one, PackDescriptor)} == {pack_id(1), pack_id(2)}
    (lease,) = [one for one in records if isinstance(one, NamedValue)]
    assert unpack_lease(lease.value) == job.lease


def test_before_each_step_a_job_is_held_against_what_others_did() -> None:
    job, state = job_and_state()
    retired = replace(state, retired=frozenset({pack_id(1)}))
    dropped = replace(state, dropped=frozenset({pack_id(1)}))
    where = state.packs[pack_id(1)]
    extended = state.with_pack(replace(where, order=pack_id(77), block=where.block + 1))
    lease = state.new_value(LEASE_NAME, job.lease.packed(), seconds=1)
    taken = state.with_journal(journal(9, [lease]))
    for changed in (retired, dropped, extended, taken, DriveState()):
        with pytest.raises(Overtaken):
            check_job(job, changed, epoch=Epoch(EPOCH), publishing_epochs=1)
    check_job(replace(job, is_rescue=True), retired, epoch=Epoch(EPOCH), publishing_epochs=1)
    check_job(job, state, epoch=Epoch(EPOCH + 1), publishing_epochs=1)
    with pytest.raises(Overtaken, match="took too long"):
        check_job(job, state, epoch=Epoch(EPOCH + 2), publishing_epochs=1)


def test_a_policy_is_read_as_it_was_written() -> None:
    policy = KeepPolicy(
        retention=parse_retention("last=7 daily=30"),
        code=(10, 30),
        term_epochs=330,
        budget=10**24,
        mandate_epochs=365,
        mandate_fee=5,
    )
    for one in (policy, DEFAULT_POLICY):
        values = {name: value for name, value in policy_values(one).items() if value}
        assert read_policy(values) == read_policy(values | {"policy/new-one": b"?", "name": b"main"})
        assert read_policy(values).policy == one
        assert not read_policy(values).problems


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retention", b"lasst=1"),
        ("code", b"3/2"),
        ("code", b"x"),
        ("budget", b"-1"),
        ("term-epochs", b"\xff"),
        ("budget", b"9" * 99),
    ],
)
def test_a_part_of_a_policy_that_cannot_be_read_is_named_and_the_rest_holds(name: str, value: bytes) -> None:
    read = read_policy({f"policy/{name}": value, "policy/mandate-fee": b"7"})
    assert read.policy == KeepPolicy(mandate_fee=7)
    assert f"policy/{name}" in read.problems[0]
    with pytest.raises(Misuse):
        KeepPolicy(code=(3, 2))


def test_what_is_remembered_is_there_after_a_restart_and_damage_begins_it_again(tmp_path: Path) -> None:
    path = tmp_path / "keep.json"
    assert read_memory(path) == KeepMemory()
    memory = KeepMemory(last_run_seconds=5, failures=2).with_told("a", "mail").with_told("a", "webhook")
    memory = memory.with_spent(Epoch(10), 10**30, forget_before=Epoch(0))
    write_memory(path, memory)
    assert read_memory(path) == memory
    assert path.stat().st_mode & 0o77 == 0
    for damaged in (
        b"",
        b"{",
        b"[]",
        b'{"told": 5}',
        b'{"failures": -1}',
        b'{"spent": [[1, "x"]]}',
        b"\xff" * 99,
    ):
        path.write_bytes(damaged)
        assert read_memory(path) == KeepMemory()


def test_a_budget_counts_a_year_and_no_more() -> None:
    memory = KeepMemory()
    for epoch in (0, 100, 400):
        memory = memory.with_spent(Epoch(epoch), 10, forget_before=Epoch(0))
    assert find_budget_left(None, memory, Epoch(400), 86_400) is None
    assert find_budget_left(25, memory, Epoch(400), 86_400) == 5
    assert find_budget_left(15, memory, Epoch(400), 86_400) == 0
    assert memory.with_spent(Epoch(401), 0, forget_before=Epoch(100)).spent == ((100, 10), (400, 10))


def test_more_reminders_than_are_remembered_do_not_break_the_file(tmp_path: Path) -> None:
    """Nor are all of them told again: the oldest are forgotten, and what was told last stays."""
    memory = KeepMemory(told={str(number): frozenset({"mail"}) for number in range(MAX_TOLD)})
    memory = memory.with_told("newest", "mail")
    write_memory(tmp_path / "memory", memory)
    told = read_memory(tmp_path / "memory").told
    assert len(told) == MAX_TOLD
    assert "newest" in told
    assert "0" not in told
    assert KeepMemory(told=told).with_told("newest", "webhook").told["newest"] == {"mail", "webhook"}


def test_a_lease_that_nothing_is_higher_than_stops_nobody() -> None:
    """A hostile device takes it for ever, with the highest number, by a value from the end of time: others
    repack as if there were none, and their lease is the one that counts then."""
    stolen = Lease(number=(1 << 63) - 1, device="thief", until=Epoch((1 << 32) - 1))
    said = journal(0, [NamedValue(name=LEASE_NAME, value=stolen.packed(), seconds=MAX_SECONDS)])
    state = DriveState().with_journal(said).with_pack(descriptor(0))
    due = pack(1, left=15, needed=0.2)
    look = replace(view(due), lease=unpack_lease(state.values[LEASE_NAME]))
    plan = make_plan(look, DEFAULT_POLICY)
    action = next(one for one in plan.actions if isinstance(one, Repack))
    job = repack_job(action, plan, look)
    state = state.with_pack(replace(descriptor(1, end=due.end), pack=due.pack, order=due.order))
    state = replace(state, read=state.read | {due.pack})
    check_job(job, state, epoch=Epoch(EPOCH), publishing_epochs=1)
    _, records = journal_records(job, state, epoch=Epoch(EPOCH), seconds=5)
    after = state.with_journal(journal(8, records))
    assert unpack_lease(after.values[LEASE_NAME]) == job.lease
    with pytest.raises(Overtaken):
        check_job(job, after, epoch=Epoch(EPOCH), publishing_epochs=1)

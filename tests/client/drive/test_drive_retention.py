"""Which commits the rules keep: against what people know from restic, and as properties."""

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange_client.drive.chunk import ChunkId
from grange_client.drive.retention import (
    ALL,
    CLOCK_SLACK_NS,
    DatedCommit,
    Retention,
    RetentionPlan,
    Span,
    find_heads,
    retain,
)
from grange_client.drive.retention_text import format_retention, parse_retention
from grange_client.errors import BadRetention

SECOND = 10**9
NOW = datetime(2026, 11, 30, 12, tzinfo=ZoneInfo("UTC"))
NOW_NS = int(NOW.timestamp()) * SECOND


def one_id(number: int) -> ChunkId:
    return ChunkId(number.to_bytes(32))


def at(text: str, zone: str = "UTC", *, fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * SECOND


def line(*times: str, zone: str = "UTC", tags: dict[str, str] | None = None) -> list[DatedCommit]:
    """One commit after the other, by one device."""
    return [
        DatedCommit(
            id=one_id(number),
            time_ns=at(text, zone),
            parents=frozenset({one_id(number - 1)} if number else ()),
            tags=frozenset((tags or {}).get(text, "").split()),
        )
        for number, text in enumerate(times)
    ]


def kept_of(commits: list[DatedCommit], rules: str, **more: object) -> list[int]:
    plan = retain(commits, parse_retention(rules), now_ns=NOW_NS, **more)  # type: ignore[arg-type]
    assert plan.kept.keys() | set(plan.dropped) == {one.id for one in commits}
    assert all(plan.kept.values()), "every commit that stays has a reason"
    return sorted(int.from_bytes(one) for one in plan.kept)


DAYS = line(
    "2026-10-30 09:00",  # 0
    "2026-11-27 09:00",  # 1, a Friday
    "2026-11-28 09:00",  # 2
    "2026-11-28 09:30",  # 3
    "2026-11-28 18:00",  # 4
    "2026-11-29 09:00",  # 5, a Sunday
    "2026-11-30 09:00",  # 6, a Monday
)


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ("last=1", [6]),
        ("last=3", [4, 5, 6]),
        ("last=all", [0, 1, 2, 3, 4, 5, 6]),
        ("daily=2", [5, 6]),
        ("daily=3", [4, 5, 6]),
        ("hourly=4", [3, 4, 5, 6]),
        ("weekly=2", [5, 6]),
        ("weekly=3", [0, 5, 6]),
        ("monthly=1", [6]),
        ("monthly=2", [0, 6]),
        # Fewer years than may be kept: the oldest stays too, and would not with yearly=1.
        ("yearly=1", [6]),
        ("yearly=2", [0, 6]),
        ("daily=all", [0, 1, 4, 5, 6]),
        ("within=1d1h", [5, 6]),
        # Newer than that, not as old.
        ("within=2d", [3, 4, 5, 6]),
        ("within=2d1h", [2, 3, 4, 5, 6]),
        ("within=1m", [1, 2, 3, 4, 5, 6]),
        ("within=1m1h", [0, 1, 2, 3, 4, 5, 6]),
        ("last=1 daily=2 within=1h", [5, 6]),
    ],
)
def test_a_commit_stays_if_one_rule_keeps_it(rules: str, kept: list[int]) -> None:
    assert kept_of(DAYS, rules) == kept


def test_every_commit_that_stays_says_why_in_words() -> None:
    plan = retain(DAYS, parse_retention("last=2 daily=2 monthly=3 within=12h"), now_ns=NOW_NS)
    assert plan.kept[one_id(6)] == (
        "a head: nothing comes after it",
        "one of the last 2",
        "newest of 2026-11-30",
        "newest of 2026-11",
        "within 12h of the newest",
    )
    assert plan.kept[one_id(0)] == ("newest of 2026-10", "oldest, and monthly may keep 3")
    assert [int.from_bytes(one) for one in plan.dropped] == [4, 3, 2, 1]


def test_tags_keep_what_has_all_tags_of_one_list() -> None:
    tagged = {"2026-11-28 09:30": "tax final", "2026-10-30 09:00": "tax", "2026-11-27 09:00": "other"}
    commits = line(
        *(f"{datetime.fromtimestamp(c.time_ns // SECOND, NOW.tzinfo):%Y-%m-%d %H:%M}" for c in DAYS),
        tags=tagged,
    )
    assert kept_of(commits, "tags=tax") == [0, 3, 6]
    assert kept_of(commits, "tags=tax+final") == [3, 6]
    assert kept_of(commits, "tags=tax+final,other") == [1, 3, 6]


@pytest.mark.parametrize(
    "rules",
    [
        "",
        "last=0",
        "last=3 daily=0",
        "tags=typo",
        "last=1 tags=typo",
        "tags=",
        "within=0d",
        "last=1 zone=Moon/Base",
    ],
)
def test_rules_that_were_not_meant_drop_nothing(rules: str) -> None:
    with pytest.raises(BadRetention) as raised:
        retain(DAYS, parse_retention(rules), now_ns=NOW_NS)
    assert raised.value.hint


def test_with_a_flag_of_its_own_they_leave_the_heads() -> None:
    for rules in ("", "last=0", "tags=typo", "within=0d"):
        plan = retain(DAYS, parse_retention(rules), now_ns=NOW_NS, allow_nothing=True)
        assert one_id(6) in plan.kept
        assert len(plan.kept) == 1


def test_the_heads_of_two_devices_both_stay_until_they_are_merged() -> None:
    common, *_ = line("2026-11-01 09:00")
    laptop = DatedCommit(id=one_id(10), time_ns=at("2026-11-02 09:00"), parents=frozenset({common.id}))
    phone = DatedCommit(id=one_id(11), time_ns=at("2026-11-20 09:00"), parents=frozenset({common.id}))
    assert kept_of([common, laptop, phone], "last=1") == [10, 11]
    merged = DatedCommit(id=one_id(12), time_ns=phone.time_ns, parents=frozenset({laptop.id, phone.id}))
    # It has the time of the newer side, and is newer than it all the same.
    assert kept_of([common, laptop, phone, merged], "last=1") == [12]
    assert kept_of([common, laptop, phone, merged], "daily=1") == [12]


def test_a_commit_below_one_that_is_gone_is_no_head() -> None:
    first, gone, last = line("2026-11-01 09:00", "2026-11-02 09:00", "2026-11-03 09:00")
    past = {gone.id: gone.parents}
    assert find_heads([first, last], past) == {last.id}
    assert find_heads([first, last], {}) == {first.id, last.id}, "what is not known counts as a head"
    assert kept_of([first, last], "last=1", known_past=past) == [2]


def test_a_clock_that_was_years_ahead_is_not_the_newest_by_which_others_go() -> None:
    ahead = DatedCommit(id=one_id(20), time_ns=at("2031-01-01 00:00"), parents=frozenset({one_id(5)}))
    last = replace(DAYS[6], parents=frozenset({ahead.id}))
    commits = [*DAYS[:6], ahead, last]
    assert kept_of(commits, "within=25h") == [5, 6, 20]
    assert kept_of(commits, "daily=1") == [6, 20]
    assert kept_of(commits, "yearly=1") == [6, 20]
    slightly = replace(ahead, time_ns=NOW_NS + CLOCK_SLACK_NS)
    assert kept_of([*DAYS[:6], slightly, last], "daily=1") == [6, 20], (
        "a little ahead is the newest of its day"
    )


def test_a_clock_that_was_never_set_makes_old_commits_and_stops_nothing() -> None:
    for time_ns in (0, -(1 << 62), -(1 << 94)):
        unset = DatedCommit(id=one_id(20), time_ns=time_ns, parents=frozenset({one_id(5)}))
        last = replace(DAYS[6], parents=frozenset({unset.id}))
        assert kept_of([*DAYS[:6], unset, last], "last=2 daily=2 within=1d1h") == [5, 6]


def test_a_day_begins_where_the_policy_says() -> None:
    commits = line("2026-11-29 22:30", "2026-11-29 23:30")
    assert kept_of(commits, "daily=1") == [1]
    assert kept_of(commits, "daily=2 zone=Europe/Berlin") == [0, 1]
    assert kept_of(commits, "daily=1 zone=Europe/Berlin") == [1]


def test_the_hour_that_comes_twice_in_autumn_is_two_hours() -> None:
    zone = "Europe/Berlin"
    times = [at("2026-10-25 02:30", zone), at("2026-10-25 02:30", zone, fold=1), at("2026-10-25 03:30", zone)]
    assert times[1] - times[0] == 3600 * SECOND
    commits = [
        DatedCommit(id=one_id(n), time_ns=t, parents=frozenset({one_id(n - 1)} if n else ()))
        for n, t in enumerate(times)
    ]
    assert kept_of(commits, f"hourly=3 zone={zone}") == [0, 1, 2]
    assert kept_of(commits, f"hourly=2 zone={zone}") == [1, 2]
    assert kept_of(commits, f"daily=1 zone={zone}") == [2]


@pytest.mark.parametrize(
    ("span", "moment", "before"),
    [
        (Span(months=1), datetime(2026, 3, 31), datetime(2026, 2, 28)),
        (Span(years=1), datetime(2028, 2, 29), datetime(2027, 2, 28)),
        (Span(years=1, months=2, days=3, hours=4), datetime(2026, 1, 1, 1), datetime(2024, 10, 28, 21)),
        (Span(years=5000), datetime(2026, 1, 1), datetime.min),
        (Span(days=999_999), datetime(2026, 1, 1), datetime.min),
    ],
)
def test_a_span_goes_back_by_the_calendar(span: Span, moment: datetime, before: datetime) -> None:
    assert span.before(moment) == before


@pytest.mark.parametrize(
    "text", ["lasst=1", "last", "last=-1", "last=1 last=2", "last=x", "within=5", "within=", "last=²"]
)
def test_a_line_that_is_mistyped_is_an_error(text: str) -> None:
    with pytest.raises(BadRetention):
        parse_retention(text)


counts = st.none() | st.integers(1, 6) | st.just(ALL)
spans = st.builds(
    Span,
    years=st.integers(0, 2),
    months=st.integers(0, 14),
    days=st.integers(0, 40),
    hours=st.integers(0, 30),
)
zones = st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York"])
policies = st.builds(
    Retention,
    last=counts,
    hourly=counts,
    daily=counts,
    weekly=counts,
    monthly=counts,
    yearly=counts,
    within=st.none() | spans,
    tags=st.lists(st.frozensets(st.sampled_from("ab"), min_size=1), max_size=2).map(tuple),
    zone=zones,
)


@st.composite
def histories(draw: st.DrawFn) -> list[DatedCommit]:
    """Commits of several devices with clocks that jump, some of them merges."""
    commits: list[DatedCommit] = []
    for number in range(draw(st.integers(1, 14))):
        before = [one.id for one in commits]
        parents = draw(st.frozensets(st.sampled_from(before), max_size=2)) if before else frozenset()
        ago = draw(st.integers(0, 60 * 24 * 20) | st.integers(-3000, 60 * 24 * 900))
        commits.append(
            DatedCommit(
                id=one_id(number),
                time_ns=NOW_NS - ago * 60 * SECOND,
                parents=parents,
                tags=draw(st.frozensets(st.sampled_from("ab"))),
            )
        )
    return commits


def plan_of(
    commits: list[DatedCommit], policy: Retention, past: dict[ChunkId, frozenset[ChunkId]] | None = None
) -> RetentionPlan:
    return retain(commits, policy, now_ns=NOW_NS, known_past=past, allow_nothing=True)


@given(histories(), policies)
def test_the_same_rules_again_drop_nothing_more(commits: list[DatedCommit], policy: Retention) -> None:
    first = plan_of(commits, policy)
    past = {one.id: one.parents for one in commits if one.id in first.dropped}
    left = [one for one in commits if one.id in first.kept]
    assert plan_of(left, policy, past).dropped == ()
    assert plan_of(left, policy, past).kept == first.kept


@given(histories(), policies, st.data())
def test_a_rule_that_keeps_more_keeps_all_that_was_kept(
    commits: list[DatedCommit], policy: Retention, data: st.DataObject
) -> None:
    wider = replace(
        policy, **{name: count + data.draw(st.integers(0, 5)) for name, count in policy.counts.items()}
    )
    if policy.within is not None:
        wider = replace(
            wider, within=replace(policy.within, days=policy.within.days + data.draw(st.integers(0, 90)))
        )
    else:
        wider = replace(wider, within=data.draw(st.none() | spans))
    wider = replace(wider, tags=(*policy.tags, *data.draw(st.sampled_from([(), (frozenset("a"),)]))))
    assert plan_of(commits, policy).kept.keys() <= plan_of(commits, wider).kept.keys()


@given(histories(), policies)
def test_heads_and_the_newest_stay_and_the_order_of_commits_does_not_matter(
    commits: list[DatedCommit], policy: Retention
) -> None:
    plan = plan_of(commits, policy)
    assert find_heads(commits, {}) <= plan.kept.keys()
    assert plan.kept
    assert plan == plan_of(commits[::-1], policy)


@given(policies)
def test_the_line_of_a_policy_is_read_as_it_was_written(policy: Retention) -> None:
    read = parse_retention(format_retention(policy))
    assert format_retention(read) == format_retention(policy)
    assert replace(read, within=None) == replace(policy, within=None)

"""Which commits of a drive are kept, and why each is: rules that keep, and what none of them keeps goes.

    policy = Retention(last=7, daily=30, monthly=12, tags=(frozenset({"tax"}),), zone="Europe/Berlin")
    plan = retain(commits, policy, now_ns=...)
    plan.kept[id]        "newest of 2026-11-30", "one of the last 7"
    plan.dropped         ids that no rule keeps

The rules are those that people know from restic. `last` counts commits. `hourly` to `yearly` count periods in
which there is a commit, from the newest on, and keep the newest commit of each; where there are fewer periods
than may be kept, the oldest commit is kept as well, so that a young drive keeps its beginning. `within` is
measured from the newest commit, not from now: a device that was away for a year has lost nothing by it.

A commit is where its own clock says. What is not dropped at all, whatever the rules say: heads, that is
commits that no other one comes from, since they are what a device has now; and commits from the future, since
a clock that was years ahead must neither be the newest by which all others are judged, nor lose what it made.
Applied again, the same rules drop nothing more, and a rule that keeps more never drops what one that keeps
less has kept. Pure.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from grange_client.drive.chunk import ChunkId
from grange_client.drive.entry import NANOSECONDS
from grange_client.errors import BadRetention

ALL: Final = 1 << 31
"""In place of a count: no limit."""
CLOCK_SLACK_NS: Final = 3_600 * NANOSECONDS
"""By so much a device's clock may be ahead before a commit is from the future."""
UTC: Final = "UTC"
_EPOCH: Final = datetime(1970, 1, 1)
_MONTHS: Final = 12
LEAVE_OUT: Final = "To keep only the newest commit say last=1."


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A length of time by the calendar, for `within`."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    def before(self, moment: datetime) -> datetime:
        """The moment that is so much earlier; a day that the month does not have is its last one."""
        months = moment.year * _MONTHS + moment.month - 1 - self.years * _MONTHS - self.months
        if months < _MONTHS:
            return datetime.min
        year, month = divmod(months, _MONTHS)
        last_day = (_first_of(months + 1) - timedelta(days=1)).day
        day = moment.replace(year=year, month=month + 1, day=min(moment.day, last_day))
        try:
            return day - timedelta(days=self.days, hours=self.hours)
        except OverflowError:
            return datetime.min


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """The rules; a commit stays if one of them keeps it. None where a rule is not given."""

    last: int | None = None
    hourly: int | None = None
    daily: int | None = None
    weekly: int | None = None
    """Weeks begin on Monday, as in ISO 8601."""
    monthly: int | None = None
    yearly: int | None = None
    within: Span | None = None
    tags: tuple[frozenset[str], ...] = ()
    """Commits that have all tags of one of these."""
    zone: str = UTC
    """In whose time a day begins: all devices of a drive have to agree on it."""

    @property
    def counts(self) -> dict[str, int]:
        """The rules that count, which are given."""
        names = ("last", *_PERIODS)
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def is_empty(self) -> bool:
        """Whether no rule is given."""
        return not self.counts and self.within is None and not self.tags


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedCommit:
    """What the rules look at."""

    id: ChunkId
    time_ns: int
    """Since 1970, by the clock of its device."""
    parents: frozenset[ChunkId] = frozenset()
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPlan:
    """What goes, and why the rest stays."""

    kept: Mapping[ChunkId, tuple[str, ...]] = field(default_factory=dict)
    """Why, the newest commit first."""
    dropped: tuple[ChunkId, ...] = ()
    """The newest first."""


def retain(
    commits: Collection[DatedCommit],
    policy: Retention,
    *,
    now_ns: int,
    known_past: Mapping[ChunkId, Collection[ChunkId]] | None = None,
    allow_nothing: bool = False,
) -> RetentionPlan:
    """Apply the rules to the live commits of one drive.

    `now_ns` is the time by a clock that is not one device's alone: the chain's. `known_past` gives the
    parents of commits that are gone, where they are still known: a commit from which a kept one comes by way
    of these is no head.

    Raises BadRetention for rules that keep nothing: none at all, counts of 0, a tag that no commit has.
    `allow_nothing` lets them be; heads stay all the same.
    """
    order = _newest_first(commits, known_past or {})
    if not allow_nothing:
        check_retention(policy, commits)
    heads = find_heads(commits, known_past or {})
    future = {one.id for one in order if one.time_ns > now_ns + CLOCK_SLACK_NS}
    present = [one for one in order if one.id not in future]
    reasons: dict[ChunkId, list[str]] = {one.id: [] for one in order}
    for one in order:
        if one.id in heads:
            reasons[one.id].append("a head: nothing comes after it")
        if one.id in future:
            reasons[one.id].append("its time has not come yet: a clock was ahead")
    local = {one.id: _local(one.time_ns, _zone(policy)) for one in present}
    for one in present[: policy.last or 0]:
        reasons[one.id].append(f"one of the last {_count(policy.last)}")
    for name in _PERIODS:
        for kept, reason in _by_period(present, local, name, getattr(policy, name) or 0):
            reasons[kept].append(reason)
    if policy.within is not None and present:
        earliest = policy.within.before(local[present[0].id][0])
        for one in present:
            if local[one.id][0] > earliest:
                reasons[one.id].append(f"within {format_span(policy.within)} of the newest")
    for one in order:
        reasons[one.id] += [f"tagged {'+'.join(sorted(tags))}" for tags in policy.tags if tags <= one.tags]
    return RetentionPlan(
        kept={one.id: tuple(reasons[one.id]) for one in order if reasons[one.id]},
        dropped=tuple(one.id for one in order if not reasons[one.id]),
    )


def check_retention(policy: Retention, commits: Collection[DatedCommit]) -> None:
    """Raise BadRetention for rules that were not meant, since they keep nothing; see `retain`."""
    if policy.is_empty:
        raise BadRetention(
            "The retention has no rule, and would keep nothing but the newest commit.",
            detail="Nothing was dropped.",
            hint=f"Say what to keep, like last=7 daily=30. {LEAVE_OUT}",
        )
    for name, count in policy.counts.items():
        if count < 1:
            raise BadRetention(
                f"{name}={count} keeps nothing.",
                detail="Nothing was dropped.",
                hint=f"Leave {name} out, or say how many to keep. {LEAVE_OUT}",
            )
    if policy.within == Span():
        raise BadRetention(
            "A span of no length keeps nothing.",
            detail="Nothing was dropped.",
            hint="Write it like within=1y6m or within=14d, or leave it out.",
        )
    for tags in policy.tags:
        if not tags or not any(tags <= one.tags for one in commits):
            named = "+".join(sorted(tags)) or "an empty list of tags"
            raise BadRetention(
                f"No commit has the tag {named}, so it keeps nothing.",
                detail="Nothing was dropped.",
                hint="It may be mistyped: write a tag as the drive has it.",
            )
    _zone(policy)


def find_heads(
    commits: Iterable[DatedCommit], known_past: Mapping[ChunkId, Collection[ChunkId]]
) -> frozenset[ChunkId]:
    """The commits from which no other of them comes, directly or by way of ones that are gone."""
    live = {one.id: one.parents for one in commits}
    passed: set[ChunkId] = set()
    pending = [parent for parents in live.values() for parent in parents]
    while pending:
        one = pending.pop()
        if one not in passed:
            passed.add(one)
            pending.extend(live.get(one) or known_past.get(one, ()))
    return frozenset(live.keys() - passed)


def format_span(span: Span) -> str:
    """As it is read: "1y6m", "14d"."""
    parts = ((span.years, "y"), (span.months, "m"), (span.days, "d"), (span.hours, "h"))
    return "".join(f"{count}{letter}" for count, letter in parts if count) or "0h"


def _by_period(
    commits: Sequence[DatedCommit],
    local: Mapping[ChunkId, tuple[datetime, timedelta]],
    name: str,
    count: int,
) -> Iterable[tuple[ChunkId, str]]:
    """The newest commit of each of so many periods; and the oldest commit, where they are fewer."""
    seen: set[object] = set()
    for one in commits:
        period, shown = _PERIODS[name](*local[one.id])
        if period in seen:
            continue
        if len(seen) == count:
            return
        seen.add(period)
        yield one.id, f"newest of {shown}"
    if commits and len(seen) < count:
        yield commits[-1].id, f"oldest, and {name} may keep {_count(count)}"


def _hour(moment: datetime, offset: timedelta) -> tuple[object, str]:
    # An hour that comes twice when clocks go back is two, and the name of its offset tells them apart.
    return (moment.date(), moment.hour, offset), f"the hour {moment:%Y-%m-%d %H}:00"


def _day(moment: datetime, offset: timedelta) -> tuple[object, str]:
    return moment.date(), f"{moment:%Y-%m-%d}"


def _week(moment: datetime, offset: timedelta) -> tuple[object, str]:
    year, week, _ = moment.isocalendar()
    return (year, week), f"week {week} of {year}"


def _month(moment: datetime, offset: timedelta) -> tuple[object, str]:
    return (moment.year, moment.month), f"{moment:%Y-%m}"


def _year(moment: datetime, offset: timedelta) -> tuple[object, str]:
    return moment.year, f"{moment.year}"


_PERIODS: Final = {"hourly": _hour, "daily": _day, "weekly": _week, "monthly": _month, "yearly": _year}


def _newest_first(
    commits: Collection[DatedCommit], known_past: Mapping[ChunkId, Collection[ChunkId]]
) -> list[DatedCommit]:
    """By time; of those with the same time, as a merge and its parent have it, the one with more generations
    behind it is the newer one, and else the id decides. Those that are gone count, so that thinning out
    changes no order."""
    by_id = {one.id: one for one in commits}
    parents_of = {**known_past, **{one.id: one.parents for one in commits}}
    depths: dict[ChunkId, int] = {}
    for start in by_id:
        pending = [start]
        while pending:
            parents = parents_of.get(pending[-1], ())
            if missing := [parent for parent in parents if parent not in depths]:
                pending += missing
            else:
                depths[pending.pop()] = 1 + max((depths[parent] for parent in parents), default=0)
    return sorted(by_id.values(), key=lambda one: (one.time_ns, depths[one.id], one.id), reverse=True)


def _local(time_ns: int, zone: ZoneInfo) -> tuple[datetime, timedelta]:
    """The time on the clocks of a zone, and how far these are from UTC."""
    try:
        utc = _EPOCH + timedelta(seconds=time_ns // NANOSECONDS)
        aware = utc.replace(tzinfo=ZoneInfo(UTC)).astimezone(zone)
    except (OverflowError, ValueError):
        # No calendar has it: a clock that never was set.
        return datetime.min, timedelta()
    return aware.replace(tzinfo=None), aware.utcoffset() or timedelta()


def _zone(policy: Retention) -> ZoneInfo:
    try:
        return ZoneInfo(policy.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadRetention(
            f"{policy.zone!r} is not a time zone that this computer knows.",
            hint="Write it like Europe/Berlin, or leave it out for UTC.",
        ) from error


def _first_of(months: int) -> datetime:
    year, month = divmod(months, _MONTHS)
    return datetime(year, month + 1, 1)


def _count(count: int | None) -> str:
    return "all" if count is None or count >= ALL else str(count)

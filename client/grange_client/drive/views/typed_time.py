"""A time as a person types it: a day, a minute or a second of the calendar, or how long ago. Pure.

    time = read_time("2026-11-30 14:05", now_ns=now)     TypedTime(first_ns=…, last_ns=…)
    read_time("yesterday", now_ns=now)
    read_time("3 days ago", now_ns=now)
    read_time("before-the-move", now_ns=now)             None: it is none

A day is as long as it is, and a minute too: `first_ns` is its beginning and `last_ns` its last nanosecond. So
what a list shows as of 14:05 is there "at 14:05". Without a zone the computer's own counts.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from grange_client.drive.entry import NANOSECONDS
from grange_client.drive.retention import Span
from grange_client.errors import BadTime

HOW: Final = 'Write it like 2026-11-30, "2026-11-30 14:05", yesterday or "3 days ago".'
_MICROSECONDS: Final = 10**6
_DATE: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[t ](?P<minute>\d{2}:\d{2})(?P<second>:\d{2})?(?:z|[+-]\d{2}:\d{2})?)?",
    re.ASCII,
)
_AGO: Final = re.compile(r"(\d{1,6}) +(second|minute|hour|day|week|month|year)s? +ago", re.ASCII)
_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 7 * 86_400}
_DAYS: Final = {"today": 0, "yesterday": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedTime:
    """What was typed, in nanoseconds since 1970, both ends included."""

    first_ns: int
    last_ns: int


def read_time(text: str, *, now_ns: int, zone: tzinfo | None = None) -> TypedTime | None:
    """The time that a text says; None if it says none. `zone`: in which a day begins, if not the computer's.

    Raises BadTime for one that looks like a time, and is in no calendar.
    """
    words = " ".join(text.split()).lower()
    try:
        if words == "now":
            return TypedTime(first_ns=now_ns, last_ns=now_ns)
        if words in _DAYS:
            return _day(_local(now_ns, zone) - timedelta(days=_DAYS[words]), zone)
        if match := _AGO.fullmatch(words):
            return _ago(int(match[1]), match[2], now_ns, zone)
        if match := _DATE.fullmatch(words):
            return _date(words, match, zone)
    except (ValueError, OverflowError, OSError) as error:
        raise BadTime(f"{words} is in no calendar.", hint=HOW) from error
    return None


def require_time(text: str, *, now_ns: int, zone: tzinfo | None = None) -> TypedTime:
    """The time that a text says. Raises BadTime if it says none."""
    time = read_time(text, now_ns=now_ns, zone=zone)
    if time is None:
        raise BadTime(f"{text!r} is not a time.", hint=HOW)
    return time


def _date(text: str, match: re.Match[str], zone: tzinfo | None) -> TypedTime:
    moment = datetime.fromisoformat(text.upper())
    if match["minute"] is None:
        return _day(moment, zone)
    long = timedelta(seconds=1) if match["second"] else timedelta(minutes=1)
    first = _nanoseconds(moment, zone)
    return TypedTime(first_ns=first, last_ns=first + int(long.total_seconds()) * NANOSECONDS - 1)


def _day(moment: datetime, zone: tzinfo | None) -> TypedTime:
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    # By the calendar: a day in which clocks change is not 24 hours long.
    after = _nanoseconds(day + timedelta(days=1), zone)
    return TypedTime(first_ns=_nanoseconds(day, zone), last_ns=after - 1)


def _ago(count: int, unit: str, now_ns: int, zone: tzinfo | None) -> TypedTime:
    if unit in _SECONDS:
        then = now_ns - count * _SECONDS[unit] * NANOSECONDS
    else:
        span = Span(months=count) if unit == "month" else Span(years=count)
        now = _local(now_ns, zone).replace(tzinfo=None)
        then = _nanoseconds(span.before(now), zone)
    return TypedTime(first_ns=then, last_ns=then)


def _local(time_ns: int, zone: tzinfo | None) -> datetime:
    moment = datetime.fromtimestamp(time_ns // NANOSECONDS, UTC).astimezone(zone)
    return moment.replace(microsecond=time_ns % NANOSECONDS // 1000)


def _nanoseconds(moment: datetime, zone: tzinfo | None) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone) if zone is not None else moment.astimezone()
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    microseconds = (since.days * 86_400 + since.seconds) * _MICROSECONDS + since.microseconds
    return microseconds * (NANOSECONDS // _MICROSECONDS)

"""Retention as a line of text, the same in a drive's policy, on the command line and in what is printed.

parse_retention("last=7 daily=30 monthly=all within=1y6m tags=tax,final+signed zone=Europe/Berlin")
"""

import re
from dataclasses import fields
from typing import Any, Final

from grange_client.drive.retention import ALL, UTC, Retention, Span, format_span
from grange_client.errors import BadRetention

MAX_COUNT: Final = 1_000_000
_EVERY: Final = "all"
_SPAN: Final = re.compile(r"(?:(\d{1,4})y)?(?:(\d{1,5})m)?(?:(\d{1,6})d)?(?:(\d{1,7})h)?")
_HINT: Final = "Write it like: last=7 daily=30 monthly=12 within=14d tags=tax zone=Europe/Berlin"


def parse_retention(text: str) -> Retention:
    """The rules in a line of `name=value`, in any order. Whether they keep anything is checked when they are
    applied. Raises BadRetention."""
    given: dict[str, Any] = {}
    for word in text.split():
        name, sign, value = word.partition("=")
        if name not in _NAMES or not sign or name in given:
            problem = "stands there twice" if name in given else "is not a rule"
            raise BadRetention(f"{word!r} {problem}.", hint=_HINT)
        given[name] = _value(name, value)
    return Retention(**given)


def format_retention(policy: Retention) -> str:
    """The line that `parse_retention` reads."""
    words = [f"{name}={_EVERY if count >= ALL else count}" for name, count in policy.counts.items()]
    if policy.within is not None:
        words.append(f"within={format_span(policy.within)}")
    if policy.tags:
        words.append("tags=" + ",".join("+".join(sorted(tags)) for tags in policy.tags))
    if policy.zone != UTC:
        words.append(f"zone={policy.zone}")
    return " ".join(words)


_NAMES: Final = frozenset(one.name for one in fields(Retention))


def _value(name: str, value: str) -> object:
    if name == "zone":
        return value
    if name == "tags":
        return tuple(frozenset(filter(None, tags.split("+"))) for tags in value.split(","))
    if name == "within":
        return _span(value)
    if value == _EVERY:
        return ALL
    if not (value.isascii() and value.isdecimal()) or int(value) > MAX_COUNT:
        raise BadRetention(
            f"{name}={value} does not say how many: a number up to {MAX_COUNT:,}, or {_EVERY}.", hint=_HINT
        )
    return int(value)


def _span(value: str) -> Span:
    match = _SPAN.fullmatch(value)
    if match is None or not value:
        raise BadRetention(f"{value!r} is not a span of time.", hint="Write it like 1y6m, 14d or 36h.")
    years, months, days, hours = (int(part or 0) for part in match.groups())
    return Span(years=years, months=months, days=days, hours=hours)

"""Which of the values count that devices said under names: for everybody the same, and no more than fit.

Of what is said under one name the latest counts. A hostile device may say anything, at any time it likes, so
a value that no later time can pass is passed by a checkpoint that does not repeat it (`DriveState`). Where
there are more values than a drive may have, those of its own names count first, then what was said first, so
a flood does not displace what was there. Pure.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from grange.types import OrderId
from grange_client.drive.journal import MAX_VALUES, MAX_VALUES_BYTES, NamedValue

OWN_NAMES: Final = ("name", "policy/", "keep/")
"""How the names begin of what a drive says of itself, and not of one of its commits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveValues:
    """What counts."""

    latest: Mapping[str, NamedValue]
    """By name; of those that are no more, too."""
    left_out: tuple[str, ...]
    """Names beyond what a drive may have."""


def later_value(one: NamedValue, other: NamedValue) -> NamedValue:
    """Of two that are said under one name the one that counts."""
    return max(one, other, key=lambda said: (said.seconds, said.until, said.value))


def count_values(said: Mapping[NamedValue, Collection[OrderId]], covered: Collection[OrderId]) -> DriveValues:
    """Out of all that was said, and the packs that say it. What only packs say that are `covered` by a
    checkpoint, and no checkpoint repeats, does not count."""
    latest: dict[str, NamedValue] = {}
    for one, packs in said.items():
        if not all(pack in covered for pack in packs):
            before = latest.get(one.name)
            latest[one.name] = one if before is None else later_value(one, before)
    return _fitting(latest)


def fits(latest: Mapping[str, NamedValue], more: NamedValue) -> bool:
    """Whether one more value counts beside others."""
    return more.name in _fitting({**latest, more.name: more}).latest


def _fitting(latest: Mapping[str, NamedValue]) -> DriveValues:
    left, left_bytes = MAX_VALUES, MAX_VALUES_BYTES
    counted: dict[str, NamedValue] = {}
    left_out: list[str] = []
    for one in sorted(latest.values(), key=_rank):
        if left and one.size_bytes <= left_bytes:
            counted[one.name] = one
            left -= 1
            left_bytes -= one.size_bytes
        else:
            left_out.append(one.name)
    return DriveValues(latest=counted, left_out=tuple(sorted(left_out)))


def _rank(one: NamedValue) -> tuple[bool, bool, int, str]:
    """What is no more comes last: taking away makes room at once."""
    return not one.value, not one.name.startswith(OWN_NAMES), one.seconds, one.name

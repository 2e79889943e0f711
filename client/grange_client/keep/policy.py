"""What the owner of a drive wants of its keeping, as the drive's journals say it: values named `policy/...`.

policy = read_policy(state.values).policy
records = policy_records(state, policy, seconds=..., gone_until=...)      for the next journal
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from grange.errors import Misuse
from grange.types import Epoch
from grange.units import MAX_SLOTS
from grange_client.drive.drive_state import DriveState
from grange_client.drive.journal import NamedValue
from grange_client.drive.retention import Retention
from grange_client.drive.retention_text import format_retention, parse_retention
from grange_client.errors import BadRetention

PREFIX: Final = "policy/"
RETENTION: Final = "retention"
CODE: Final = "code"
_NUMBERS: Final = ("term-epochs", "budget", "mandate-epochs", "mandate-fee")
MAX_NUMBER: Final = 10**36


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepPolicy:
    """How a drive is kept. None leaves it to us."""

    retention: Retention | None = None
    """Which commits stay; None: all."""
    code: tuple[int, int] | None = None
    """k and n of new packs; None: those of the drive's largest pack."""
    term_epochs: int | None = None
    """How long at most to pay ahead; None: as far as the market and the money go."""
    budget: int | None = None
    """What keeping may cost in a year of 365 epochs of a day, in base units, gas not counted."""
    mandate_epochs: int | None = None
    """How far ahead a mandate has to reach; None: no mandates."""
    mandate_fee: int = 0
    """For each extension, in base units."""

    def __post_init__(self) -> None:
        """Raises Misuse for what no drive can have."""
        if self.code is not None and not 1 <= self.code[0] <= self.code[1] <= MAX_SLOTS:
            raise Misuse(f"k of n is from 1 of 1 to {MAX_SLOTS} of {MAX_SLOTS}, not {self.code}")
        numbers = (self.term_epochs, self.budget, self.mandate_epochs, self.mandate_fee)
        if any(one is not None and not 0 <= one <= MAX_NUMBER for one in numbers):
            raise Misuse("a number of a policy is not below zero, and not above any market's")


DEFAULT_POLICY: Final = KeepPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPolicy:
    """A policy, and what of it could not be read."""

    policy: KeepPolicy
    problems: tuple[str, ...] = field(default=())
    """While there are any, nothing is dropped by this policy: a newer program may have written it."""


def read_policy(values: Mapping[str, bytes]) -> ReadPolicy:
    """The policy in a drive's named values. Raises nothing: a part that is none is named, and left to us."""
    problems: list[str] = []
    parts: dict[str, object] = {}
    for name in (*_NUMBERS, RETENTION, CODE):
        raw = values.get(PREFIX + name)
        if raw is None:
            continue
        try:
            parts[name.replace("-", "_")] = _read_part(name, raw)
        except (BadRetention, ValueError) as error:
            problems.append(f"The drive's {PREFIX}{name} cannot be used: {error}")
    return ReadPolicy(policy=KeepPolicy(**parts), problems=tuple(problems))  # type: ignore[arg-type]


def policy_values(policy: KeepPolicy) -> dict[str, bytes]:
    """The values that say it, by their names; empty where it says nothing."""
    texts = {
        RETENTION: format_retention(policy.retention) if policy.retention else "",
        CODE: f"{policy.code[0]}/{policy.code[1]}" if policy.code else "",
    }
    for name in _NUMBERS:
        number = getattr(policy, name.replace("-", "_"))
        texts[name] = str(number) if number is not None else ""
    return {PREFIX + name: text.encode() for name, text in texts.items()}


def policy_records(
    state: DriveState, policy: KeepPolicy, *, seconds: int, gone_until: Epoch
) -> list[NamedValue]:
    """What a journal has to say so that this is the drive's policy; nothing where it is already. `seconds` is
    the time now; what is taken away is said until `gone_until`."""
    before = state.values
    return [
        state.new_value(name, value, seconds=seconds, gone_until=gone_until)
        for name, value in policy_values(policy).items()
        if before.get(name, b"") != value
    ]


def _read_part(name: str, raw: bytes) -> object:
    text = raw.decode()
    if name == RETENTION:
        return parse_retention(text)
    if name == CODE:
        k, n = (_number(part) for part in text.split("/"))
        if not 1 <= k <= n <= MAX_SLOTS:
            raise ValueError(f"{text!r} is no k/n")
        return k, n
    return _number(text)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(MAX_NUMBER)):
        raise ValueError(f"{text!r} is no number")
    return int(text)

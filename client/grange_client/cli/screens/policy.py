"""A drive's policy in words, and as JSON."""

from typing import Any, Final

from grange.token_unit import TokenUnit
from grange.units import format_count
from grange_client.cli.screens.tables import facts
from grange_client.drive.retention import ALL, UTC, Retention, format_span
from grange_client.drive.retention_text import format_retention
from grange_client.keep.policy import KeepPolicy

_PERIODS: Final = {
    "hourly": ("hour", "one of each hour"),
    "daily": ("day", "one of each day"),
    "weekly": ("week", "one of each week"),
    "monthly": ("month", "one of each month"),
    "yearly": ("year", "one of each year"),
}


def policy_screen(policy: KeepPolicy, unit: TokenUnit) -> Any:
    """Names and values side by side."""
    code, term, ahead = policy.code, policy.term_epochs, policy.mandate_epochs
    rows = [
        ("versions that stay", retention_words(policy.retention)),
        ("code of new packs", "as the drive has it" if code is None else f"{code[0]} of {code[1]}"),
        (
            "paid ahead",
            "as far as the market and the money go" if term is None else f"at most {_epochs(term)}",
        ),
        ("budget", "none" if policy.budget is None else f"{unit.exact(policy.budget)} in a year"),
        (
            "mandate",
            "none"
            if ahead is None
            else f"for {_epochs(ahead)} ahead, with a fee of {unit.exact(policy.mandate_fee)}",
        ),
    ]
    return facts(rows)


def retention_words(retention: Retention | None) -> str:
    """Which versions stay."""
    if retention is None or retention.is_empty:
        return "all"
    words: list[str] = []
    for name, count in retention.counts.items():
        if name == "last":
            words.append("all" if count >= ALL else f"the last {count}")
            continue
        unit, each = _PERIODS[name]
        words.append(each if count >= ALL else f"{each} for {format_count(count, unit)}")
    if retention.within is not None:
        words.append(f"all of the last {format_span(retention.within)}")
    words += ["those tagged " + " and ".join(sorted(tags)) for tags in retention.tags]
    zone = "" if retention.zone == UTC else f" (days of {retention.zone})"
    return "; ".join(words) + zone


def policy_json(drive: str, policy: KeepPolicy, problems: tuple[str, ...]) -> dict[str, Any]:
    """For scripts."""
    return {
        "drive": drive,
        "retention": None if policy.retention is None else format_retention(policy.retention),
        "k": None if policy.code is None else policy.code[0],
        "n": None if policy.code is None else policy.code[1],
        "term_epochs": policy.term_epochs,
        "budget": None if policy.budget is None else str(policy.budget),
        "mandate_epochs": policy.mandate_epochs,
        "mandate_fee": str(policy.mandate_fee),
        "problems": list(problems),
    }


def _epochs(count: int) -> str:
    return format_count(count, "epoch")

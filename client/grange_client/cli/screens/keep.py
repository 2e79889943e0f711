"""What `keep` shows: what it will do, what became of it, and until when a drive is kept."""

from collections.abc import Callable
from typing import Any

from grange_client.keep.description import describe_action, describe_end, describe_plan
from grange_client.keep.plan import KeepPlan
from grange_client.keep.ports import KeepLook
from grange_client.keep.run import KeepReport


class PlanLines:
    """Says each line of the plans of one run once, before it is carried out."""

    def __init__(self, drive: str, say: Callable[[str], None]) -> None:
        self._drive = drive
        self._say = say
        self._said: set[str] = set()

    def announce(self, plan: KeepPlan, look: KeepLook) -> None:
        """As `KeepRun` has it."""
        # The last line says until when it is kept: that is known when it is done.
        for line in describe_plan(plan, look)[:-1]:
            if line not in self._said:
                self._said.add(line)
                self._say(f"{self._drive}: {line}")


def report_lines(report: KeepReport) -> list[str]:
    """What became of a run: what failed, and the end."""
    lines = [f"{report.look.drive}: {failure}" for failure in report.failures]
    lines += [f"{report.look.drive}: {one}" for one in report.untold]
    return [*lines, f"{report.look.drive} is {describe_end(report.kept_until, report.look.clock)}."]


def plan_json(plan: KeepPlan, look: KeepLook) -> dict[str, Any]:
    """What a run would do."""
    return {
        "drive": look.drive,
        "actions": [
            {
                "kind": type(action).__name__,
                "cost": str(action.cost),
                "text": describe_action(action, look.clock, look.unit),
            }
            for action in plan.actions
        ],
        "cost": str(plan.cost),
        **_end_json(plan.kept_until, look),
        "missing": str(sum(one.missing for one in plan.shortages)),
        "problems": list(look.problems),
    }


def report_json(report: KeepReport) -> dict[str, Any]:
    """What a run did."""
    look = report.look
    return {
        "drive": look.drive,
        "done": list(report.done),
        "failures": list(report.failures),
        "is_kept": report.is_kept,
        **_end_json(report.kept_until, look),
        "unsecured": [pack.pack.hex() for pack in report.unsecured],
        "alerts": [{"key": one.key, "subject": one.subject, "text": one.text} for one in report.alerts],
        "untold": list(report.untold),
        "problems": list(look.problems),
        "error": None,
    }


def _end_json(kept_until: int | None, look: KeepLook) -> dict[str, Any]:
    return {
        "kept_until_epoch": kept_until,
        "kept_until_time": None if kept_until is None else int(look.clock.time_of_epoch(kept_until)),
    }

"""What backups with Grange should reach beside others, in the same run.

    second backup   no slower than the slowest of them
    content sent    within a tenth of restic's, in both backups: bytes on the wire times k / n
    restore         no slower than restic's

A target whose peer was left out is not met and not missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

OURS: Final = "grange"
MEASURE: Final = "restic"
CONTENT_RATIO: Final = 1.1


def judge(trees: Mapping[str, Any]) -> dict[str, Any]:
    """Each target with the figure and the most that it may be, and whether all are met: None where one could
    not be judged and no other is missed."""
    targets: dict[str, dict[str, Any]] = {}
    for tree, figures in trees.items():
        tools = dict(figures["tools"])
        ours = tools.pop(OURS)
        second = [one["second"]["seconds"] for one in tools.values()]
        restic = tools.get(MEASURE)
        targets[f"{tree}.second_seconds"] = _target(
            ours["second"]["seconds"], max(second, default=None), "the slowest"
        )
        for backup in ("first", "second"):
            targets[f"{tree}.{backup}_content_bytes"] = _target(
                ours[backup]["content_bytes"],
                restic and CONTENT_RATIO * restic[backup]["content_bytes"],
                f"{CONTENT_RATIO} times {MEASURE}",
            )
        targets[f"{tree}.restore_seconds"] = _target(
            ours["restore"]["seconds"], restic and restic["restore"]["seconds"], MEASURE
        )
    judged = [one["met"] for one in targets.values()]
    return {"targets": targets, "targets_met": False if False in judged else None if None in judged else True}


def _target(figure: float, at_most: float | None, of: str) -> dict[str, Any]:
    return {
        "figure": figure,
        "at_most": at_most,
        "of": of,
        "ratio": round(figure / at_most, 2) if at_most else None,
        "met": None if at_most is None else figure <= at_most,
    }

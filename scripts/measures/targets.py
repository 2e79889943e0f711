"""How much gas the calls may take, and whether they do.

Decides which figures are held to a target, and which are only shown beside it, with the reason.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PLACE_PER_SLOT_GAS = 40_000
PROVE_GAS = 350_000
EVICT_GAS = 150_000
REFILL_PER_SLOT_GAS = 60_000
CLOSE_30_GAS = 400_000
HAND_OVER_PER_SLOT_GAS = 100_000
BY_MANDATE_MORE_GAS = 15_000
"""Than to extend the same order in the same state."""

FEW_SLOTS = 30
"""An order of fewer is not held to the target of `place`."""

OF_FEW_SLOTS = (
    "what an order costs beside its slots (the transaction and the order's own words) is spread over few"
)
FROM_WITHIN = (
    "above it, and accepted: of a slot that leaves a book from within a word is kept that tells audits so, "
    "22,100 gas; a farm that leaves gives up its books from the front"
)
OF_NEW_BOOKS = "each farmer's first slot to a date writes that book's first words, once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A figure beside its target; `why_not_applied` is empty where the target holds."""

    figure: str
    gas: float
    at_most: int
    why_not_applied: str = ""

    @property
    def is_within(self) -> bool:
        return self.gas <= self.at_most

    @property
    def is_missed(self) -> bool:
        return not (self.is_within or self.why_not_applied)


def judge(
    figures: Mapping[str, float], order_slots: Sequence[int], farm_slots: Sequence[int]
) -> list[Judged]:
    """Every figure that has a target. Raises KeyError if one was not measured."""

    def judged(figure: str, at_most: int, why_not: str = "") -> Judged:
        return Judged(figure=figure, gas=figures[figure], at_most=at_most, why_not_applied=why_not)

    placed = [f"place_per_slot_{size}" for size in order_slots]
    evicted = [f"evict_{slots}_slots{rest}" for slots in farm_slots for rest in ("", "_unsettled")]
    evicted += [f"evict_of_an_order_of_{size}" for size in order_slots]
    return [
        *(
            judged(figure, PLACE_PER_SLOT_GAS, OF_FEW_SLOTS if size < FEW_SLOTS else "")
            for figure, size in zip(placed, order_slots, strict=True)
        ),
        *(judged(f"{figure}_first", PLACE_PER_SLOT_GAS, OF_NEW_BOOKS) for figure in placed),
        *(judged(f"prove_5_samples_1TiB_{slots}_slots", PROVE_GAS) for slots in farm_slots),
        *(judged(figure, EVICT_GAS) for figure in (*evicted, "evict_all_books_unsettled")),
        *(judged(f"refill_per_slot_{size}", REFILL_PER_SLOT_GAS) for size in order_slots),
        judged("close_30", CLOSE_30_GAS),
        *(judged(f"hand_over_per_slot_{size}", HAND_OVER_PER_SLOT_GAS) for size in order_slots),
        *(
            judged(f"hand_over_per_slot_{size}_from_within", HAND_OVER_PER_SLOT_GAS, FROM_WITHIN)
            for size in order_slots
        ),
        *(judged(f"extend_per_slot_{size}_by_mandate_more", BY_MANDATE_MORE_GAS) for size in order_slots),
    ]


def summary(judged: Sequence[Judged]) -> dict[str, object]:
    """All for machines: each figure beside its target, the most of each call, and whether all are met."""
    return {
        "targets": {
            one.figure: {
                "gas": one.gas,
                "at_most": one.at_most,
                "within": one.is_within,
                "why_not_applied": one.why_not_applied or None,
            }
            for one in judged
        },
        "prove_5_samples_1TiB": _most(judged, "prove_"),
        "evict": _most(judged, "evict_"),
        "refill_per_slot": _most(judged, "refill_"),
        "extend_by_mandate_more": _most(judged, "extend_"),
        "targets_met": not any(one.is_missed for one in judged),
    }


def verdict(judged: Sequence[Judged]) -> int:
    """The exit status; what is missed is told on standard error."""
    missed = [one for one in judged if one.is_missed]
    if not missed:
        return 0
    told = ", ".join(
        f"{one.figure} by {one.gas - one.at_most:,.0f} ({one.gas:,.0f}, at most {one.at_most:,})"
        for one in missed
    )
    print(f"scripts/bench gas: over the target: {told}", file=sys.stderr)
    return 1


def _most(judged: Sequence[Judged], prefix: str) -> float:
    return max(one.gas for one in judged if one.figure.startswith(prefix))

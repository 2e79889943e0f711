"""The policy as a drawing: what `repair.decide` says for each number of live slots and age of the vacant.

Decides how it looks, and draws the case in which all vacant slots fell vacant at once.
"""

from typing import Final

from grange import repair
from grange_simulate.assumptions import BLOCKS_PER_DAY, Assumptions, Code
from grange_simulate.drawing import bar, line, text
from grange_simulate.judgement import Judgement

_PARTS_PER_DAY: Final = 4
_CELL, _ROW, _LEFT, _TOP = 22, 16, 130, 74
_WIDTH: Final = 880
_COLOURS: Final = {
    "waits for more slots to share the cost": "#eef2f4",
    "waits for the bounties to grow": "#c9d8e2",
    "rebuilds: the bounties are twice the cost": "#6b8e4e",
    "rebuilds: the bounties cover the cost": "#d08c2e",
    "never pays: left to the renter": "#b3402a",
    "fewer than k: lost": "#444444",
}
_SHARES, _GROWS, _LAZY, _EAGER, _UNPAID, _LOST = _COLOURS


def drawn(assumptions: Assumptions, code: Code) -> str:
    """An SVG document for one code, with these prices and rules."""
    judgement = Judgement.of(code, assumptions.slot_bytes(code), assumptions.prices, assumptions.rules)
    columns = (assumptions.rules.auction_epochs + 1) * _PARTS_PER_DAY + 1
    lives = range(code.n - 1, code.k - 2, -1)
    bottom = _TOP + _ROW * len(lives)
    right = _LEFT + _CELL * columns
    size = f"0 0 {_WIDTH} {bottom + 70}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" font-family="sans-serif">',
        bar(0, 0, _WIDTH, bottom + 70, "white"),
        text(
            20,
            28,
            f"When a repairer acts: {code}, slots of {assumptions.order_gib / code.k:.3g} GiB",
            size=14,
        ),
        text(20, 50, "the bounties rise while slots are vacant; the cost of reading k of them is shared"),
    ]
    for row, live in enumerate(lives):
        y = _TOP + _ROW * row
        parts += [
            bar(_LEFT + _CELL * column, y, _CELL - 1, _ROW - 1, _COLOURS[_said(judgement, live, column)])
            for column in range(columns)
        ]
        if live in {code.n - 1, code.k + repair.eager_spares(code.k, code.n), code.k, code.k - 1}:
            parts.append(text(_LEFT - 10, y + 12, f"{live} live", anchor="end"))
    border = _TOP + _ROW * (code.n - 1 - code.k - repair.eager_spares(code.k, code.n))
    parts += [
        line(_LEFT - 60, border - 0.5, right, border - 0.5, "#222222"),
        text(_LEFT - 70, border + 4, "danger ↓", anchor="end"),
    ]
    for day in range(assumptions.rules.auction_epochs + 2):
        parts.append(
            text(_LEFT + _CELL * (day * _PARTS_PER_DAY + 0.5), bottom + 18, f"{day}", anchor="middle")
        )
    parts.append(text(_LEFT, bottom + 40, "days since the slots fell vacant"))
    for row, (words, colour) in enumerate(_COLOURS.items()):
        y = _TOP + 24 * row
        parts += [bar(right + 12, y, 12, 12, colour), text(right + 30, y + 11, words, size=11)]
    return "\n".join([*parts, "</svg>", ""])


def _said(judgement: Judgement, live: int, column: int) -> str:
    """What the policy says with so many live slots, after so many parts of a day."""
    code, now_block = judgement.code, column * BLOCKS_PER_DAY // _PARTS_PER_DAY
    vacancies = tuple(
        repair.Vacancy(slot=slot, since_block=0, full_bounty=judgement.full_bounty)
        for slot in range(code.n - live)
    )
    need = repair.Need(k=code.k, n=code.n, live=live, vacancies=vacancies, end_block=10**9)
    eager = repair.margin(live, code.k, code.n) == 1
    match repair.decide(need, judgement.cost, auction_blocks=judgement.auction_blocks, now_block=now_block):
        case repair.Act():
            return _EAGER if eager else _LAZY
        case repair.Wait(why=repair.Why.TOO_FEW):
            return _LOST
        case repair.Wait(why=repair.Why.UNPAID):
            return _UNPAID if eager else _SHARES
        case _:
            return _GROWS

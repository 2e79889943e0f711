"""The recovery card on a screen or on paper: its lines, and a QR code of them that fits in 80 columns.

Needs no colours. A QR code is drawn with half blocks, two of its rows in a line of text: on a terminal, which
is taken to be dark, the light squares are drawn; elsewhere, as for paper, the dark ones.
"""

from collections.abc import Sequence
from typing import Final

import segno
from segno.encoder import DataOverflowError

from grange_client.keys.recovery_card import RecoveryCard

QUIET_SQUARES: Final = 4
"""What readers want free around a code."""
MAX_COLUMNS: Final = 80
_BLOCKS: Final = (" ", "▄", "▀", "█")
"""By whether the lower square is drawn, and the upper one."""

Squares = Sequence[Sequence[int]]
"""Rows of a QR code with what is free around it: 1 is dark."""


def card_screen(card: RecoveryCard, *, for_paper: bool, encoding: str) -> str:
    """The card's lines, and below them its QR code; without one where it does not fit, or where the
    characters for it can't be shown."""
    parts = [card.text()]
    squares = qr_squares(card)
    if squares is None:
        parts.append("There is no QR code of it: its endpoints' addresses are too long for 80 columns.\n")
    elif _can_show(encoding):
        parts.append(draw(squares, dark=for_paper))
    return "\n".join(parts)


def qr_squares(card: RecoveryCard) -> Squares | None:
    """A QR code of the card's text, with its first endpoint alone if there is no room for all; None if there
    is none for that."""
    for shorter in (card, card.with_one_endpoint()):
        try:
            code = segno.make(shorter.text(), error="l", micro=False, mode="byte")
        except DataOverflowError:
            continue
        if code.symbol_size(border=QUIET_SQUARES)[0] <= MAX_COLUMNS:
            return [list(row) for row in code.matrix_iter(border=QUIET_SQUARES)]
    return None


def draw(squares: Squares, *, dark: bool) -> str:
    """Two rows in a line. `dark` draws the dark squares, for paper; else the light ones."""
    width = len(squares[0])
    rows = [[square == dark for square in row] for row in squares]
    if len(rows) % 2:
        rows.append([False] * width)
    lines = (
        "".join(_BLOCKS[2 * above + below] for above, below in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    )
    return "".join(f"{line}\n" for line in lines)


def _can_show(encoding: str) -> bool:
    try:
        "".join(_BLOCKS).encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True

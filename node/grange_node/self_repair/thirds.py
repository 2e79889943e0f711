"""How damage shrinks while each epoch opens one third of the pieces (`grange.reads`). Pure.

In an epoch so much of the open third can be read as the line carries: `bytes_per_epoch`, of all damaged slots
together. Slots are mended one after the other, so a slot waits for those `ahead` of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from grange.reads import READ_THIRDS
from grange.types import Epoch


def bytes_by_third(pieces: Collection[int], piece_bytes: int) -> list[int]:
    """How many bytes of these pieces are open in epochs of each kind: epoch mod 3 is 0, 1, 2."""
    counted = [0] * READ_THIRDS
    for piece in pieces:
        counted[piece % READ_THIRDS] += piece_bytes
    return counted


def damaged_in_coming_epochs(
    pieces: Collection[int],
    *,
    piece_bytes: int,
    epoch: Epoch,
    ahead: Sequence[int],
    bytes_per_epoch: float,
    left_epochs: int,
) -> list[int]:
    """How many of these pieces will still be damaged at the end of each coming epoch, until none is or the
    order ends.

    What is open in `epoch` itself is being read and counts as one epoch of its third. `ahead` are the bytes
    by third of the slots that are mended before this one.
    """
    own = bytes_by_third(pieces, piece_bytes)
    openings = [0] * READ_THIRDS
    openings[epoch % READ_THIRDS] += 1
    coming: list[int] = []
    for later in range(epoch + 1, epoch + 1 + left_epochs):
        openings[later % READ_THIRDS] += 1
        left = sum(
            min(bytes_, max(0.0, before + bytes_ - count * bytes_per_epoch) if count else bytes_)
            for bytes_, before, count in zip(own, ahead, openings, strict=True)
        )
        coming.append(-int(-left // piece_bytes))
        if not left:
            break
    return coming

"""Who may read what of a placed slot: the rule that farmers keep and that readers plan by. Pure.

    reader                  nothing is vacant   a slot is vacant   vacant, and the order is eager
    the order's renter      everything          everything         everything
    a farmer of the order   the open third      the open third     everything
    a repairer              nothing             the open third     everything
    anyone else             nothing             nothing            nothing

The open third of epoch e are the pieces p with `p mod 3 = e mod 3`. Byte ranges, lists of pieces and Merkle
paths count as the pieces that they show. *A farmer of the order* keeps a live slot of it, of the order that
it extends, or of one that extends it. *A repairer* is anyone with money in the market. *Eager* is what
repairers mean by it (`grange.repair.is_eager`): few spare slots are live, and there is no time to lose.

Why thirds: an audit asks for a few random leaves. A farm that keeps nothing would fetch just those from the
others, for nothing, and be paid like one that stores. All of five leaves lie in the open third once in 243
epochs, so it fails the rest. A farm that lost a disk has it back after three epochs. docs/economics.md and
docs/adr/0055-reads-by-thirds.md have the numbers.
"""

from enum import Enum
from typing import Final

from grange.types import Epoch

READ_THIRDS: Final = 3
"""In so many epochs one after the other every piece is open once."""


class Reader(Enum):
    """In what role somebody asks. Those who come with a grant, or for a renter, will be further ones."""

    RENTER = "the order's renter"
    FARMER = "a farmer of the order"
    REPAIRER = "a repairer"
    STRANGER = "anyone else"


class Share(Enum):
    """How much of a slot is open to a reader now."""

    EVERYTHING = "everything"
    OPEN_THIRD = "the open third"
    NOTHING = "nothing"


def share_of(reader: Reader, *, is_vacant: bool, is_eager: bool) -> Share:
    """The table at the top of this file. An order without a vacant slot is as good as not eager."""
    match reader:
        case Reader.RENTER:
            return Share.EVERYTHING
        case Reader.FARMER | Reader.REPAIRER if is_vacant and is_eager:
            return Share.EVERYTHING
        case Reader.FARMER:
            return Share.OPEN_THIRD
        case Reader.REPAIRER if is_vacant:
            return Share.OPEN_THIRD
        case _:
            return Share.NOTHING


def is_open(piece: int, epoch: Epoch) -> bool:
    """Whether a piece is in the open third of an epoch."""
    return piece % READ_THIRDS == epoch % READ_THIRDS


def open_epoch(piece: int, epoch: Epoch) -> Epoch:
    """The first epoch, from `epoch` on, in which a piece is in the open third."""
    return Epoch(epoch + (piece - epoch) % READ_THIRDS)

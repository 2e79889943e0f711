"""What extending an order means for one slot of it: a pure look at the order as the chain keeps it.

Only its renter may extend an order, in its last grid period; the new one begins on the day on which the old
one ends, with the same roots. Decides from which epoch on such a slot is paid, and whether what we keep is
what is to be kept on. Leaves price, stake and signature to `acceptance_service`, and the shape of the whole
order to the market.
"""

from __future__ import annotations

from grange.chain import Order
from grange.types import Address, Epoch
from grange_node.errors import Foreign, Mismatch, NotFound, TermsRefused
from grange_node.records import SlotRecord, SlotTerms


def start_of(previous: Order | None, renter: Address, slot: int, *, epoch: Epoch, grid_epochs: int) -> Epoch:
    """The first epoch of what extends `previous`. Raises NotFound, Foreign, TermsRefused."""
    if previous is None or slot >= previous.n:
        raise NotFound("there is no such order or slot on chain to extend, or the order is closed")
    if previous.renter != renter:
        raise Foreign("only its renter can extend an order")
    first = previous.end - grid_epochs
    if not first <= epoch < previous.end:
        raise TermsRefused(
            "an order can be extended in its last grid period",
            epoch=epoch,
            first_epoch=first,
            end=previous.end,
        )
    return previous.end


def check_same(kept: SlotRecord, terms: SlotTerms) -> None:
    """Raise Mismatch unless the bytes that are to be kept on are those that we keep."""
    ours = kept.agreed
    if (ours.root, ours.pieces, ours.piece_leaves) != (terms.root, terms.pieces, terms.piece_leaves):
        raise Mismatch(
            "an extension keeps the slot as it is, and this one has another root or shape",
            root=ours.root.hex(),
            pieces=ours.pieces,
            piece_leaves=ours.piece_leaves,
        )

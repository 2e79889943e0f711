"""Whether to sign an acceptance: a pure decision over values.

The contract refuses what breaks its own rules; the node looks first, because its signature binds it and
a refusal on chain costs the renter a transaction. Leaves to `terms_check` what must be asked of ledger and
chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from grange.kernel import root_of_hashes
from grange.types import Epoch, Offer, Parameters
from grange.units import MAX_LEAF_COUNT, MAX_PIECE_LEAVES, MAX_RATE, format_count
from grange_node.errors import Conflict, Malformed, Mismatch, NotFound, StakeTooSmall, TermsRefused
from grange_node.pieces.slot_folder import Piece
from grange_node.records import SlotTerms
from grange_node.uploads.price import asked_rate

ACCEPTANCE_LIFE_BLOCKS = 300
"""For how many blocks a renter may use an acceptance: an hour on a chain of 12 seconds."""


MIN_LEFT_BLOCKS = 30
"""With fewer blocks left, an acceptance that is asked for again gets a later deadline: an order needs some
to be placed in."""

HIGHEST_RATE_FACTOR = 2
"""How many times the asked rate may be offered: an acceptance binds stake at its rate whether it is placed or
not, and a rate that nobody asked for would let a renter bind all of it for nothing."""

HIGHEST_HAND_OVER_FACTOR = 8
"""The same of a slot that is handed over. Its rate is paid, and prices fall while an order lasts; but who
places an order with itself may have named any, and could bind the stake of all others with one slot. A vacant
slot has cost its farmer as much as it binds, and may pay anything."""

MAX_MISSING_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitments:
    """What the farmer is bound to already. Rates in base units per epoch."""

    stake: int
    ceiling: int
    """Up to this rate the farmer's owner lets it go."""
    committed_rate: int
    accepted_rate: int
    carried_rate: int = 0
    """Of both, and of the slot that is asked for: what begins in place of slots of ours that end. The stake
    answers for it once."""


def check_shape(terms: SlotTerms) -> None:
    """Raise Malformed for terms that no order can have."""
    leaves = terms.piece_leaves
    if not 0 < leaves <= MAX_PIECE_LEAVES or leaves & (leaves - 1):
        raise Malformed(f"piece_leaves must be a power of two up to {MAX_PIECE_LEAVES}")
    if not 0 < terms.pieces <= MAX_LEAF_COUNT // leaves:
        raise Malformed("a slot has at least one piece and fewer than 2^32 leaves")
    if not 0 < terms.rate <= MAX_RATE:
        raise Malformed("the rate must be positive and fit 80 bits")


def check_terms(
    terms: SlotTerms,
    offer: Offer,
    parameters: Parameters,
    epoch: Epoch,
    *,
    highest_factor: int | None = HIGHEST_RATE_FACTOR,
) -> None:
    """Raise TermsRefused for terms that are too cheap, far too dear, too long, or that the contract would not
    take now.

    Without a `highest_factor` no rate is too dear.
    """
    asked = asked_rate(offer, terms.slot_bytes)
    if terms.rate < asked:
        raise TermsRefused("the rate is below this farmer's price", rate=terms.rate, asked_rate=asked)
    if highest_factor is not None and terms.rate > highest_factor * asked:
        raise TermsRefused(
            "the rate is so far above this farmer's price that it would tie up too much of its stake",
            rate=terms.rate,
            highest_rate=highest_factor * asked,
        )
    grid = parameters.grid_epochs
    latest_end = (epoch // grid + parameters.max_books) * grid
    if terms.end % grid:
        raise TermsRefused(f"orders end on multiples of {grid} epochs", end=terms.end)
    first = terms.first_epoch(epoch)
    if not first < terms.end <= latest_end:
        raise TermsRefused(
            "the end must be after the first epoch and within the market's calendar",
            end=terms.end,
            epoch=epoch,
            latest_end=latest_end,
        )
    if terms.end - first > offer.longest_term_epochs:
        raise TermsRefused(
            "the term is longer than this farmer offers",
            term_epochs=terms.end - first,
            longest_term_epochs=offer.longest_term_epochs,
        )


def check_egress_price(terms: SlotTerms, offer: Offer) -> None:
    """Raise TermsRefused for a vacant slot whose readers would pay less than we ask: how much at most was
    agreed when it was placed."""
    if terms.max_egress_price_per_gib < offer.egress_price_per_gib:
        raise TermsRefused(
            "reading this slot may cost no more than was agreed when it was placed: less than we ask",
            max_egress_price_per_gib=terms.max_egress_price_per_gib,
            asked_egress_price_per_gib=offer.egress_price_per_gib,
        )


def check_stake(terms: SlotTerms, commitments: Commitments, collateral_epochs: int) -> None:
    """Raise StakeTooSmall when all that is placed and accepted, with this slot, needs more stake than
    there is."""
    rate = commitments.committed_rate + commitments.accepted_rate + terms.rate
    needed = (rate - commitments.carried_rate) * collateral_epochs
    if needed > commitments.stake:
        raise StakeTooSmall(
            "this farmer's stake does not allow it to accept more at the moment",
            stake=commitments.stake,
            needed=needed,
        )
    if rate > commitments.ceiling:
        raise StakeTooSmall(
            "this farmer's owner does not let it accept more at the moment",
            ceiling=commitments.ceiling,
            needed=rate,
        )


def cost(terms: SlotTerms, epoch: Epoch) -> int:
    """What the renter pays for the slot if it is placed in this epoch."""
    return terms.rate * max(0, terms.end - terms.first_epoch(epoch))


def check_pieces(held: Mapping[int, Piece], terms: SlotTerms) -> None:
    """Make sure that a slot's pieces are all here, and no others.

    Raises NotFound, Conflict, Malformed, Mismatch.
    """
    # No more of them are looked for: anyone who has a single leaf here may claim millions of pieces.
    missing = list(islice((index for index in range(terms.pieces) if index not in held), MAX_MISSING_SHOWN))
    if missing:
        count = terms.pieces - sum(index < terms.pieces for index in held)
        raise NotFound(f"{count:,} of {format_count(terms.pieces, 'piece')} are not here", missing=missing)
    if len(held) != terms.pieces:
        raise Conflict(
            f"the slot is to have {format_count(terms.pieces, 'piece')}, and {len(held):,} are here"
        )
    if any(piece.size_bytes != terms.piece_bytes for piece in held.values()):
        raise Malformed("the pieces are not all of the announced size", piece_bytes=terms.piece_bytes)
    computed = root_of_hashes(b"".join(held[index].root for index in range(terms.pieces)))
    if computed != terms.root:
        raise Mismatch(
            "the pieces here lead to another root than announced",
            announced=terms.root.hex(),
            computed=computed.hex(),
        )

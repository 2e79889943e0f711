"""What this farmer asks for keeping so many bytes: by this it looks whether a renter can pay for what it
uploads (`uploads`), and whether the rate of a slot is enough (`acceptance.terms`). Pure."""

from __future__ import annotations

from grange.errors import Misuse
from grange.types import Offer
from grange.units import rate_rounded_up
from grange_node.errors import TermsRefused


def asked_rate(offer: Offer, size_bytes: int) -> int:
    """What this farmer asks per epoch for so many bytes, in base units; never nothing, which no order can
    pay. Raises TermsRefused when it is more than any order can."""
    try:
        return max(1, rate_rounded_up(offer.price_per_gib_epoch, size_bytes))
    except Misuse as error:
        raise TermsRefused("at this farmer's price no order could pay for that many bytes") from error

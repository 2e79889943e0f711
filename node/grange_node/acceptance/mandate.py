"""What extending an order by its renter's mandate means for one slot of it: a pure look at both.

Anyone may ask for it, and gets what everybody gets: a signature for the slot that we keep, at our price,
until the end that follows from the mandate, in an order whose id follows from that. Decides whether the
mandate allows it. Leaves stake and signature to `acceptance_service`.
"""

from __future__ import annotations

from grange.chain import Mandate, Order
from grange.messages import extension_id
from grange.types import Epoch, OrderId
from grange.units import GIB
from grange_node.errors import NotFound, TermsRefused


def end_of(mandate: Mandate | None, order: Order, previous: OrderId, asked: OrderId) -> Epoch:
    """Until when the order would be kept. Raises TermsRefused where no mandate covers it any more, NotFound
    when `asked` is not the id of what extends `previous` by it."""
    if mandate is None or mandate.revoked:
        raise TermsRefused("no mandate of its renter covers this order")
    if mandate.until <= order.end:
        raise TermsRefused("the mandate keeps the order no longer than it lasts", until=mandate.until)
    end = Epoch(min(order.end + mandate.term_epochs, mandate.until))
    if extension_id(previous, end) != asked:
        raise NotFound("what extends the order by its mandate has another id")
    return end


def check_prices(mandate: Mandate, *, rate: int, egress_price: int, slot_bytes: int) -> None:
    """Raise TermsRefused for a rate, or a price for reading a GiB, above the mandate's."""
    if egress_price > mandate.highest_egress_price:
        raise TermsRefused(
            "the mandate pays less for reading than this farmer asks",
            asked_price=egress_price,
            highest_price=mandate.highest_egress_price,
        )
    highest = -(-mandate.highest_price * slot_bytes // GIB)
    if rate > highest:
        raise TermsRefused(
            "the mandate pays less than this farmer's price", asked_rate=rate, highest_rate=highest
        )

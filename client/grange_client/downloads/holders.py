"""Who keeps an order now, and what each of them asks for reading: the ground of every plan to read it.

    holders = await find_holders(order, ...)
    holders.prices(at_any_price=False)             for `estimate_read_cost`
    holders.sources(open_peer, at_any_price=False) for an `OrderReader`

A farmer asks what its offer says, and never more than it has signed for the slot. Pure but for
`find_holders`, which reads the farmers of the order and no others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from grange.chain import Farmer
from grange.chain.orders import OrderState
from grange.errors import UserError
from grange.peer import FARMER_FAULTS, FarmerRefused, FarmerUnreachable, Peer, dealing_with
from grange.peer.read_payments import read_price
from grange.transfer.directory import FarmerDirectory, Reputations
from grange.transfer.listed import is_denied
from grange.transfer.selection import UNKNOWN, Reputation
from grange.transfer.sources import Source
from grange.types import FarmerId

OpenPeer = Callable[[Farmer, int], Peer]
"""A farmer to read a slot from for which it has signed this price for a GiB."""
RANSOM_CODE = "ransom"
"""Our own word for a farmer that asks to be paid for a slot which nothing shows to be its."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """The farmers of an order, by slot.

    `farmers` has None for one that the endpoint does not know. `ransoms` are slots whose farmers ask anything
    at all for reading, where nothing shows that the slot is theirs.
    """

    order: OrderState
    """As it is kept now."""
    farmers: tuple[Farmer | None, ...]
    ransoms: Mapping[int, FarmerRefused] = field(default_factory=dict)
    records: Mapping[FarmerId, Reputation] = field(default_factory=dict)
    """What is remembered of farmers."""
    denied: frozenset[FarmerId] = frozenset()
    """Those on our deny list: read from only where the others are not enough."""

    def prices(self, *, at_any_price: bool) -> list[int | None]:
        """What each asks for a GiB, in base units; None for those that are not read from."""
        geometry = self.order.geometry
        are_needed = at_any_price and geometry.n - len(self.ransoms) < geometry.k
        return [
            self._price(slot, farmer) if farmer and (are_needed or slot not in self.ransoms) else None
            for slot, farmer in enumerate(self.farmers)
        ]

    def _price(self, slot: int, farmer: Farmer) -> int:
        return read_price(farmer, self.order.slots[slot].max_egress_price_per_gib)

    def sources(self, open_peer: OpenPeer, *, at_any_price: bool) -> list[Source]:
        """Each slot as it can be read, at no more than its farmer signed; those first of which nothing bad
        is known. Those that ask a ransom are read only at any price, and then where the others are not
        enough; so are those that lied before: anyone who is paid for wrong bytes is paid once."""
        found = [
            self._source(slot, farmer, open_peer, at_any_price) for slot, farmer in enumerate(self.farmers)
        ]
        return sorted(found, key=lambda source: self.records.get(source.farmer, UNKNOWN).failures > 0)

    def _source(self, slot: int, farmer: Farmer | None, open_peer: OpenPeer, at_any_price: bool) -> Source:
        kept = self.order.slots[slot]
        ransom = self.ransoms.get(slot)
        peer: Peer | None = None
        failure: UserError | None = ransom
        if ransom is None or at_any_price:
            peer, failure = _open(farmer, kept.max_egress_price_per_gib, open_peer)
        return Source(
            slot=slot,
            farmer=kept.farmer,
            root=kept.root,
            open_peer=None if peer is None else lambda: peer,
            is_dear=ransom is not None,
            is_denied=kept.farmer in self.denied,
            lied_before=self.records.get(kept.farmer, UNKNOWN).lies > 0,
            failure=failure,
        )


async def find_holders(
    order: OrderState,
    directory: FarmerDirectory,
    reputations: Reputations,
    *,
    is_confirmed: bool,
) -> Holders:
    """Those of an order, which is as it is kept now. Raises the errors of the chain.

    `is_confirmed` says whether the contract has the hash of the order's slots: else an endpoint may have
    made them up, and nobody is paid without a question.
    """
    known = await directory.by_id(slot.farmer for slot in order.slots)
    farmers = tuple(known.get(slot.farmer) for slot in order.slots)
    return Holders(
        order=order,
        farmers=farmers,
        ransoms={} if is_confirmed else _unconfirmed(farmers),
        records=reputations,
        denied=frozenset(one.id for one in known.values() if is_denied(directory.lists, one)),
    )


def _unconfirmed(farmers: Sequence[Farmer | None]) -> dict[int, FarmerRefused]:
    return {
        slot: FarmerRefused(
            "It asks to be paid for a closed order, and the contract does not say that it keeps it.",
            status=HTTPStatus.PAYMENT_REQUIRED,
            code=RANSOM_CODE,
        )
        for slot, farmer in enumerate(farmers)
        if farmer and farmer.offer.egress_price_per_gib
    }


def _open(
    farmer: Farmer | None, most_per_gib: int, open_peer: OpenPeer
) -> tuple[Peer | None, UserError | None]:
    if farmer is not None:
        try:
            with dealing_with(farmer.id):
                return open_peer(farmer, most_per_gib), None
        except FARMER_FAULTS:
            pass
    return None, FarmerUnreachable("It has no endpoint that could be asked.")

"""Who keeps an order now, and what each of them asks for reading: the ground of every plan to read it.

    holders = await find_holders(order, ...)
    holders.prices(at_any_price=False)             for `estimate_read_cost`
    holders.sources(open_peer, at_any_price=False) for an `OrderReader`

Pure but for `find_holders`, which reads the farmers of the order and no others, unless one has raised its
price.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from grange.chain import Farmer
from grange.chain.orders import OrderState
from grange.errors import UserError
from grange.peer import FARMER_FAULTS, FarmerRefused, FarmerUnreachable, Peer, dealing_with
from grange.transfer.directory import FarmerDirectory, Reputations
from grange.transfer.sampling import highest_egress
from grange.transfer.selection import UNKNOWN, Reputation
from grange.transfer.sources import Source
from grange.types import FarmerId
from grange.units import format_tokens

RANSOM_CODE = "ransom"
"""Our own word for a farmer that asks far too much for reading to be asked without a question, or whose slot
nothing shows to be its."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """The farmers of an order, by slot.

    `farmers` has None for one that the endpoint does not know. `ransoms` are slots whose farmers ask for
    reading what none is chosen at, and more than when they took it; or anything at all, where nothing shows
    that the slot is theirs.
    """

    order: OrderState
    """As it is kept now."""
    farmers: tuple[Farmer | None, ...]
    ransoms: Mapping[int, FarmerRefused] = field(default_factory=dict)
    records: Mapping[FarmerId, Reputation] = field(default_factory=dict)
    """What is remembered of farmers."""

    def prices(self, *, at_any_price: bool) -> list[int | None]:
        """What each asks for a GiB, in base units; None for those that are not read from."""
        geometry = self.order.geometry
        are_needed = at_any_price and geometry.n - len(self.ransoms) < geometry.k
        return [
            farmer.offer.egress_price_per_gib if farmer and (are_needed or slot not in self.ransoms) else None
            for slot, farmer in enumerate(self.farmers)
        ]

    def sources(self, open_peer: Callable[[Farmer], Peer], *, at_any_price: bool) -> list[Source]:
        """Each slot as it can be read, those first of which nothing bad is known. Those that ask a ransom are
        read only at any price, and then where the others are not enough; so are those that lied before:
        anyone who is paid for wrong bytes is paid once."""
        found = [
            self._source(slot, farmer, open_peer, at_any_price) for slot, farmer in enumerate(self.farmers)
        ]
        return sorted(found, key=lambda source: self.records.get(source.farmer, UNKNOWN).failures > 0)

    def _source(
        self, slot: int, farmer: Farmer | None, open_peer: Callable[[Farmer], Peer], at_any_price: bool
    ) -> Source:
        kept = self.order.slots[slot]
        ransom = self.ransoms.get(slot)
        peer: Peer | None = None
        failure: UserError | None = ransom
        if ransom is None or at_any_price:
            peer, failure = _open(farmer, open_peer)
        return Source(
            slot=slot,
            farmer=kept.farmer,
            root=kept.root,
            open_peer=None if peer is None else lambda: peer,
            is_dear=ransom is not None,
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
    if not is_confirmed:
        return Holders(order=order, farmers=farmers, ransoms=_unconfirmed(farmers), records=reputations)
    raised = {
        slot: farmer for slot, farmer in enumerate(farmers) if farmer and _asks_more(farmer, reputations)
    }
    if not raised:
        return Holders(order=order, farmers=farmers, records=reputations)
    registered = await directory.registered()
    proving = registered.proving
    most = highest_egress([*registered.farmers.values()], proving, order.end - order.start)
    ransoms = {
        slot: FarmerRefused(
            f"It asks {format_tokens(farmer.offer.egress_price_per_gib)} tokens for reading a GiB, far more "
            "than others.",
            status=HTTPStatus.PAYMENT_REQUIRED,
            code=RANSOM_CODE,
        )
        for slot, farmer in raised.items()
        if farmer.offer.egress_price_per_gib > most
    }
    return Holders(order=order, farmers=farmers, ransoms=ransoms, records=reputations)


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


def _asks_more(farmer: Farmer, reputations: Reputations) -> bool:
    """Whether a farmer asks more than when it took something of ours; if that is not known, anything."""
    agreed = reputations.get(farmer.id, UNKNOWN).agreed or 0
    return farmer.offer.egress_price_per_gib > agreed


def _open(farmer: Farmer | None, open_peer: Callable[[Farmer], Peer]) -> tuple[Peer | None, UserError | None]:
    if farmer is not None:
        try:
            with dealing_with(farmer.id):
                return open_peer(farmer), None
        except FARMER_FAULTS:
            pass
    return None, FarmerUnreachable("It has no endpoint that could be asked.")

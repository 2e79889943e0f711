"""What extending an order would take, as values: until when, who keeps which slot, at what price.

Pure. Decides when an order can be extended and which calendar its new end lies on. Leaves finding farmers and
extending to `grange_client.extension`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from grange.chain import Receipt
from grange.chain.orders import OrderState
from grange.token_unit import TokenUnit
from grange.transfer.acceptance import Keeper
from grange.types import Epoch, FarmerId, OrderId, Parameters
from grange.units import format_count
from grange_client.errors import CannotExtend
from grange_client.orders.cautions import rounding
from grange_client.orders.order_storing import Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionQuote:
    """What extending would take. To be carried out once."""

    order: OrderState
    """As it is kept now."""
    salt: bytes
    id: OrderId
    end: Epoch
    keepers: tuple[Keeper, ...]
    candidates: tuple[Keeper, ...]
    cost: int
    missing: int
    """What will be moved from the wallet into the vault."""
    block: int
    """The newest block when it was quoted."""
    allows_hand_over: bool = True
    """As the order that goes on does."""
    away: frozenset[FarmerId] = frozenset()
    """Who of its farmers did not answer, and may be back before it ends."""
    ticket: Ticket = field(default_factory=Ticket, repr=False, compare=False)

    @property
    def epochs(self) -> int:
        """For how long."""
        return self.end - self.order.end

    def cautions(self, unit: TokenUnit) -> tuple[str, ...]:
        """What to know before one agrees."""
        asked = ((one.farmer.offer.price_per_gib_epoch, one.rate) for one in self.keepers)
        return rounding(asked, self.order.geometry.slot_bytes, self.epochs, unit)

    @property
    def moved(self) -> dict[int, Keeper]:
        """The slots that another farmer gets, as far as is known before anybody is asked."""
        return {slot: keeper for slot, keeper in enumerate(self.keepers) if keeper.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """An order that goes on where `previous` ends."""

    order: OrderState
    previous: OrderState
    receipt: Receipt
    confirmations: int = 0
    """How many blocks were on top of its own when it was looked at last."""


def end_after(
    order: OrderState,
    epochs: int | None,
    current: Epoch,
    parameters: Parameters,
    *,
    when: Callable[[int], str] = "epoch {}".format,
) -> Epoch:
    """The new end, so many epochs after the old one at least. Raises CannotExtend.

    `when` names an epoch in the errors, with its date where that is known.
    """
    grid = parameters.grid_epochs
    if current >= order.end:
        raise CannotExtend(
            f"The order is over: it ended with {when(order.end)}.",
            detail="Farmers delete what is over, an epoch after its end.",
            hint="Fetch it with `grange orders get` while they still have it, and store it again."
            if current <= order.end + 1
            else "If you have another copy, store that. Next time, extend it before it ends.",
        )
    if current < order.end - grid:
        raise CannotExtend(
            f"It is too early: the order goes on until {when(order.end)}.",
            detail=f"An order can be extended in its last {format_count(grid, 'epoch')}, and it is epoch "
            f"{current}.",
            hint=f"Extend it from {when(order.end - grid)}.",
        )
    wanted = order.end + (grid if epochs is None else epochs)
    end = -(-wanted // grid) * grid
    latest = (current // grid + parameters.max_books) * grid
    if end > latest:
        raise CannotExtend(
            f"The market takes orders up to {when(latest)}, and this one would end with epoch {end}.",
            hint=f"Choose --epochs {latest - order.end} or fewer, and extend it again before it ends.",
        )
    return Epoch(end)


def salt_for(order: OrderState, end: Epoch, keepers: Sequence[Keeper]) -> bytes:
    """The same for the same terms: anyone who tries again after a failure is given the acceptances that there
    are, which bind stake and money until they lapse. No key depends on it."""
    terms = b"".join(keeper.farmer.id.to_bytes(4) + keeper.rate.to_bytes(16) for keeper in keepers)
    return sha256(order.id + end.to_bytes(4) + terms).digest()

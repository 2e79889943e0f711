"""The transactions that the market and its token understand, as values ready to be sent.

Decides argument order and which variant of a call (with or without a permit) is meant. Leaves sending,
gas and refusals to `sender.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from grange.messages import held_group
from grange.types import (
    Acceptance,
    Address,
    Epoch,
    FarmerId,
    Held,
    MandateTerms,
    Offer,
    OperatorConsent,
    OrderId,
    Parting,
    Permit,
    Takeover,
    Terms,
    Voucher,
)

_BY_THE_OPERATOR: Final = OperatorConsent()

ALL_STAKE: Final = (1 << 256) - 1
"""For `unstake`: whatever is there when it is mined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function of one of the two contracts, and its arguments in order."""

    contract: Literal["market", "token"] = "market"
    function: str
    args: tuple[Any, ...] = ()
    rests_on_others: bool = False
    """Whether it is made of what others signed for it: they can take away what that rests on in the same
    block, so that it costs its sender gas and comes to nothing."""


def register(
    *,
    owner: Address,
    operator: Address,
    endpoint: str,
    offer: Offer,
    stake: int,
    consent: OperatorConsent = _BY_THE_OPERATOR,
    permit: Permit | None = None,
) -> Call:
    """Become a farmer; `stake` base units are pulled from the sender, by `permit` if one is given.

    Without the operator's consent the operator itself must be the sender.
    """
    args = (owner, operator, endpoint, offer, stake, consent)
    if permit is None:
        return Call(function="register", args=args)
    return Call(function="registerWithPermit", args=(*args, permit))


def update_farmer(farmer: FarmerId, *, endpoint: str, offer: Offer) -> Call:
    """Change endpoint and offer; by owner or operator."""
    return Call(function="updateFarmer", args=(farmer, endpoint, offer))


def set_operator(
    farmer: FarmerId, operator: Address, *, consent: OperatorConsent = _BY_THE_OPERATOR, void_former: bool
) -> Call:
    """Change the hot key; by the owner, with the new operator's consent unless it is the owner itself.

    With `void_former` what the key before it signed is void at once, else after some blocks.
    """
    return Call(function="setOperator", args=(farmer, operator, void_former, consent))


def set_limits(farmer: FarmerId, *, ceiling: int, loss_limit: int) -> Call:
    """Limit the committed rate that the operator may go up to, and the rate of slots that it may declare lost
    in an epoch; by the owner. `grange.types.NO_LIMIT` for none."""
    return Call(function="setLimits", args=(farmer, ceiling, loss_limit))


def add_stake(farmer: FarmerId, amount: int) -> Call:
    """Pull `amount` base units from the sender into the farmer's stake."""
    return Call(function="addStake", args=(farmer, amount))


def deposit(amount: int) -> Call:
    """Move approved tokens into the sender's vault."""
    return Call(function="deposit", args=(amount,))


def deposit_with_permit(permit: Permit) -> Call:
    """Move `permit.value` tokens into the sender's vault, approved by signature."""
    return Call(function="depositWithPermit", args=(permit,))


def request_withdrawal(amount: int) -> Call:
    """Announce that up to `amount` of the sender's vault will be withdrawn."""
    return Call(function="requestWithdrawal", args=(amount,))


def withdraw(to: Address) -> Call:
    """Pay what was announced, or what is left of it, out of the sender's vault."""
    return Call(function="withdraw", args=(to,))


def claim(to: Address, amount: int) -> Call:
    """Pay `amount` out of the sender's earnings."""
    return Call(function="claim", args=(to, amount))


def burn() -> Call:
    """Send the fines taken so far out of circulation."""
    return Call(function="burn")


def unstake(farmer: FarmerId, amount: int) -> Call:
    """Move what is above the farmer's collateral from its stake to its owner's earnings; by the owner.

    `ALL_STAKE` is all that there is: the farmer leaves.
    """
    return Call(function="unstake", args=(farmer, amount))


def redeem(farmer: FarmerId, vouchers: Sequence[Voucher]) -> Call:
    """Pay the farmer what renters signed vouchers for, as far as their vaults hold it."""
    return Call(function="redeem", args=(farmer, vouchers))


def authorize(delegate: Address, *, per_epoch: int, in_all: int, until_epoch: Epoch) -> Call:
    """Let a key spend from the sender's vault: so many base units in an epoch, and so many in all with what
    it has spent, before an epoch. All zero revokes it."""
    return Call(function="authorize", args=(delegate, per_epoch, in_all, until_epoch))


def place(
    terms: Terms,
    acceptances: Sequence[Acceptance],
    permit: Permit | None = None,
    *,
    account: Address | None = None,
) -> Call:
    """Place an order; slot i is acceptance i. With a permit its value is deposited first. `account`: whose
    order it is and whose vault pays, if the sender is its delegate; a permit does not go with that."""
    if account is not None:
        return Call(function="placeFor", args=(account, terms, acceptances))
    if permit is None:
        return Call(function="place", args=(terms, acceptances))
    return Call(function="placeWithPermit", args=(terms, acceptances, permit))


def extend(
    previous: Held, terms: Terms, acceptances: Sequence[Acceptance], permit: Permit | None = None
) -> Call:
    """Place an order for the same slots from the day on which `previous` ends. With a permit its value is
    deposited first."""
    if permit is None:
        return Call(function="extend", args=(previous, terms, acceptances))
    return Call(function="extendWithPermit", args=(previous, terms, acceptances, permit))


def extend_by_mandate(previous: Held, acceptances: Sequence[Acceptance], extender: Address) -> Call:
    """Extend somebody's order by its mandate, for the fee, which `extender` gets; an acceptance of farmer 0
    where a slot begins vacant."""
    args = (previous, acceptances, extender)
    return Call(function="extendByMandate", args=args, rests_on_others=True)


def give_mandate(
    number: int, terms: MandateTerms, *, orders: Sequence[OrderId] = (), revoked: Sequence[int] = ()
) -> Call:
    """Let anyone extend orders of the sender within these terms. Mandates that this one takes the place of
    are revoked."""
    return Call(function="giveMandate", args=(number, terms, orders, revoked))


def cover_orders(number: int, orders: Sequence[OrderId]) -> Call:
    """Let a mandate of the sender cover some of its orders, or none do if `number` is 0."""
    return Call(function="coverOrders", args=(number, orders))


def revoke_mandates(numbers: Sequence[int]) -> Call:
    """End mandates of the sender."""
    return Call(function="revokeMandates", args=(numbers,))


def close(held: Held) -> Call:
    """End an order that is over: what was not proven goes back to its renter, with compensation."""
    return Call(function="close", args=(held,))


def evict(farmer: FarmerId) -> Call:
    """Make a lapsed farmer's stake the bounties for its slots."""
    return Call(function="evict", args=(farmer,))


def refill(held: Held, repairer: Address, takeovers: Sequence[Takeover]) -> Call:
    """Give vacant slots to the farmers that signed `takeovers`, and the bounties to `repairer`."""
    return Call(function="refill", args=(held, repairer, takeovers), rests_on_others=True)


def declare_loss(farmer: FarmerId, end: Epoch, words: Sequence[bytes], *, extension: bool = False) -> Call:
    """Give up slots of the book that ends at `end`; `words` as `grange.audit` lays them out."""
    return Call(function="declareLoss", args=(farmer, end, extension, words))


def cut_front(farmer: FarmerId, end: Epoch, tenures: Sequence[bytes], *, extension: bool = False) -> Call:
    """Have positions in a book drawn behind slots that were given up before all that is alive; they are named
    by `grange.audit.tenure_id`."""
    return Call(function="cutFront", args=(farmer, end, extension, tenures))


def hand_over(farmer: FarmerId, partings: Sequence[Parting]) -> Call:
    """Pass slots on to the farmers that signed for them, book by book."""
    return Call(function="handOver", args=(farmer, partings), rests_on_others=True)


def release(farmer: FarmerId, taker: FarmerId, epoch: Epoch) -> Call:
    """Return what is bound by what a farmer handed over to another in an epoch."""
    return Call(function="release", args=(farmer, taker, epoch))


def recover(farmer: FarmerId, held: Held, slot: int) -> Call:
    """Take back a slot of an order that the farmer had declared lost."""
    return Call(function="recover", args=(farmer, held_group(held, slot), slot))


def prove(farmer: FarmerId, epoch: Epoch, words: Sequence[bytes]) -> Call:
    """Prove an epoch's samples; `words` as `grange.audit` lays them out."""
    return Call(function="prove", args=(farmer, epoch, words))


def settle(farmer: FarmerId) -> Call:
    """Count and record a farmer's missed epochs up to now."""
    return Call(function="settle", args=(farmer,))


def record_seed() -> Call:
    """Store the current epoch's seed."""
    return Call(function="recordSeed")


def approve(spender: Address, amount: int) -> Call:
    """Let `spender` pull up to `amount` of the sender's tokens."""
    return Call(contract="token", function="approve", args=(spender, amount))


def transfer(to: Address, amount: int) -> Call:
    """Send tokens."""
    return Call(contract="token", function="transfer", args=(to, amount))

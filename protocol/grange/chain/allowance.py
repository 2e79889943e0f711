"""Letting the market pull tokens: by a permit where the token knows them, else by approving so much first.

    permissions = Permissions(chain, sender)
    permit = await permissions.permit(amount, await permissions.basis())    for a call that takes one
    await allow(sender, amount)                                             for one that does not

Nothing is taken on trust. A token that says it knows permits, and then refuses ours, is approved to. Never
more is approved than is needed now: what the market may pull is then gone with the call. Some tokens (USDT is
one) refuse to change an allowance that is not zero: then it is set to zero first.
"""

from grange.chain import calls
from grange.chain.errors import CallReverted, RpcError, TransactionReverted
from grange.chain.gateway import Chain
from grange.chain.permit import PermitBasis, unsigned_permit
from grange.chain.sender import Sender
from grange.types import Permit


async def allow(sender: Sender, amount: int) -> None:
    """See that the market may pull so many base units from the sender. Raises what `send` raises."""
    chain = sender.chain
    allowed = await chain.token_allowance(sender.address)
    if allowed >= amount:
        return
    try:
        await sender.send(calls.approve(chain.market, amount), confirmations=0)
    except (TransactionReverted, CallReverted) as error:
        was_paid = isinstance(error, TransactionReverted) and error.tx_hash is not None
        if not allowed or was_paid:
            raise
        await sender.send(calls.approve(chain.market, 0), confirmations=0)
        await sender.send(calls.approve(chain.market, amount), confirmations=0)


class Permissions:
    """Permits of one sender, for calls that are made again when others were faster."""

    def __init__(self, chain: Chain, sender: Sender) -> None:
        self._chain = chain
        self._sender = sender
        self._signed: set[int] = set()
        """Nonces of permits that were signed: one that is still to be had was not used by anybody."""
        self._knows_permits = True

    async def basis(self) -> PermitBasis | None:
        """What a permit would be signed over; None where none is of use. It is asked beside what is
        missing."""
        return await self._chain.permit_basis(self._sender.address) if self._knows_permits else None

    async def permit(self, amount: int, basis: PermitBasis | None) -> Permit:
        """What to put into a call that pulls so many base units. Sends an approval where the token knows no
        permits. Raises what `send` raises."""
        sender = self._sender
        if basis is not None:
            permit = basis.sign(sender.wallet, spender=self._chain.market, value=amount)
            # Signed a second time with the same nonce: was it this that the token refused?
            if basis.nonce not in self._signed or await self._is_taken(permit):
                self._signed.add(basis.nonce)
                return permit
            self._knows_permits = False
        await allow(sender, amount)
        return unsigned_permit(amount)

    async def _is_taken(self, permit: Permit) -> bool:
        try:
            await self._chain.read_token(
                "permit",
                self._sender.address,
                self._chain.market,
                permit.value,
                permit.deadline,
                permit.v,
                permit.r,
                permit.s,
            )
        except (TransactionReverted, RpcError):
            return False
        return True

"""A market as one account uses it: what it asks besides the reads of `Chain`, and its transactions.

    market = MarketClient(Sender(chain, wallet))
    if await market.vault(market.address) < needed:
        await market.deposit(needed)

The renter, the farmer and the repairer stand on this one, and each adds what only it asks. Questions that are
asked in the same moment go in one request (`gathering.py`). Decides how money gets into the vault: exactly
what is missing, by a permit or an approval (`allowance.py`). Leaves retries, nonces and reorgs to
`sender.py`. All methods raise the errors of `chain.errors`.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from grange.chain import calls
from grange.chain.allowance import Permissions
from grange.chain.answers import bytes_from
from grange.chain.calls import Call
from grange.chain.codec import token_abi
from grange.chain.errors import RpcError, TransactionReverted
from grange.chain.gas_cost import GasPrices
from grange.chain.gateway import Chain
from grange.chain.outbox import OnMined, ignore
from grange.chain.pace import read_block_clock
from grange.chain.receipts import Receipt
from grange.chain.refusals import is_by_contract, translate_revert
from grange.chain.registry import Registered, read_registered
from grange.chain.sender import Sender
from grange.tasks import together
from grange.times import BlockClock
from grange.types import Acceptance, Address, FarmerId, Held, Permit, Terms

Missing = Callable[[], Awaitable[int]]
"""Looks at the funds and says how many base units must be moved into the vault. It is asked just before they
are moved, and again if another command or computer of this account was faster. What it raises ends the
sending."""


class MarketClient(Chain):
    """The market of a sender's chain, for the sender's account, or for one whose delegate it is."""

    def __init__(self, sender: Sender, *, account: Address | None = None) -> None:
        """`account`: whose vault pays and whose the orders are; the sender's own, unless told otherwise."""
        chain = sender.chain
        super().__init__(
            chain.rpc,
            market=chain.market,
            chain_id=chain.chain_id,
            parameters=chain.parameters,
            unit=chain.unit,
        )
        self.sender = sender
        self.account = account or sender.address

    @property
    def address(self) -> Address:
        """The account that sends, and is paid: a delegate's, not the one that it acts for."""
        return self.sender.address

    async def clock(self) -> BlockClock:
        """The newest block and the pace of the chain, which give epochs a date."""
        return await read_block_clock(self)

    async def gas_prices(self) -> GasPrices:
        """What its account has to have for gas now; see `Sender.gas_prices`."""
        return await self.sender.gas_prices()

    async def registered(self, known: Collection[FarmerId] = ()) -> Registered:
        """Everybody who ever registered; of very many a sample. See `read_registered`."""
        return await read_registered(self, known)

    async def unredeemed(self, signed: Mapping[FarmerId, int], signer: Address | None = None) -> int:
        """What farmers may still redeem of the totals that our key signed to them, or `signer` did, in base
        units."""
        signer = signer or self.address
        redeemed = await together(*(self.redeemed(farmer, self.account, signer) for farmer in signed))
        return sum(max(0, total - paid) for total, paid in zip(signed.values(), redeemed, strict=True))

    async def deposit(self, amount: int) -> Receipt:
        """Move base units from the wallet into the vault."""

        async def make() -> Call:
            return calls.deposit_with_permit(await permissions.permit(amount, await permissions.basis()))

        permissions = Permissions(self, self.sender)
        return await self.sender.send(make)

    async def place(
        self,
        terms: Terms,
        acceptances: Sequence[Acceptance],
        missing: Missing,
        *,
        confirmations: int = 0,
        on_mined: OnMined = ignore,
    ) -> Receipt:
        """Place an order in one transaction that also moves what is missing into the vault, and wait until so
        many blocks are on top of it. What a reorganisation drops meanwhile is sent again. Where the token
        knows no permits another transaction, the approval, is sent before it."""

        async def make() -> Call:
            permit = await self._permit(missing, permissions)
            return calls.place(terms, acceptances, permit, account=self._on_behalf)

        permissions = Permissions(self, self.sender)
        return await self.sender.send(make, confirmations=confirmations, on_mined=on_mined)

    async def extend(
        self,
        previous: Held,
        terms: Terms,
        acceptances: Sequence[Acceptance],
        missing: Missing,
        *,
        confirmations: int = 0,
        on_mined: OnMined = ignore,
    ) -> Receipt:
        """Extend an order in one transaction, in the same way."""

        async def make() -> Call:
            permit = await self._permit(missing, permissions)
            return calls.extend(previous, terms, acceptances, permit)

        permissions = Permissions(self, self.sender)
        return await self.sender.send(make, confirmations=confirmations, on_mined=on_mined)

    async def close(self, held: Held) -> Receipt:
        """End an order that is over: what comes of it is its renter's."""
        return await self.sender.send(calls.close(held))

    async def needs_approval(self, amount: int) -> bool:
        """Whether a transaction more is sent before so many base units can be moved into the vault."""
        if not amount or self._on_behalf is not None:
            return False
        allowed, basis = await together(self.token_allowance(self.address), self.permit_basis(self.address))
        return basis is None and allowed < amount

    async def transfer_refusal(self) -> TransactionReverted | None:
        """Why the token lets this account move nothing into the market now: it has blocked the account, is
        paused, or the account has none of it. None where a base unit would go. Nothing is sent: this is to be
        asked before anything is uploaded for an order that is to be paid so. A token that refuses the market
        alone to pull, or larger amounts, is found only when it does."""
        call = calls.transfer(self.market, 1)
        data = "0x" + token_abi().encode_call(call.function, call.args).hex()
        request = {"from": self.address, "to": self.token, "data": data}
        try:
            returned = bytes_from(await self.rpc.call("eth_call", request, "latest"), "what transfer returns")
        except RpcError as error:
            if not is_by_contract(error):
                raise
            return _as_refusal(error, call.function)
        # Some of the oldest return nothing, and some say no without reverting.
        if not returned or any(returned):
            return None
        return TransactionReverted(call.function, "Error", {"message": "it returned false"})

    @property
    def _on_behalf(self) -> Address | None:
        return None if self.account == self.address else self.account

    async def _permit(self, missing: Missing, permissions: Permissions) -> Permit | None:
        amount, basis = await together(missing(), permissions.basis())
        return await permissions.permit(amount, basis) if amount else None


def _as_refusal(error: RpcError, function: str) -> TransactionReverted:
    refusal = translate_revert(error, function)
    if isinstance(refusal, TransactionReverted):
        return refusal
    return TransactionReverted(function, "Error", {"message": error.message})

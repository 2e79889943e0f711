"""What contract wallets say of signatures, asked on behalf of those who show them.

Anyone can name any address and deploy any contract, so what is asked is bounded as in `funds_cache`: each
network has its share of what is asked about strangers, and a wallet that has said yes lately goes by an
allowance of its own. Of the answers nothing is kept: a wallet may take its word back in the next block, so
each request and each voucher is asked about when it comes, and a voucher again when the chain is to pay it.
What may be owed by a wallet that changes its mind all the same, `payment_gate` decides.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from grange.chain import ChainError
from grange.messages import Domain, voucher_digest
from grange.types import Address, FarmerId, Voucher
from grange_node.chain.confirmed import Confirmed
from grange_node.chain.farm_market import FarmMarket
from grange_node.chain.funds_cache import (
    FUNDED_QUESTIONS_IN_A_ROW,
    FUNDED_QUESTIONS_PER_SECOND,
    MAX_FUNDED,
    MAX_FUNDED_SECONDS,
    MAX_QUESTIONS_AT_ONCE,
    QUESTIONS_IN_A_ROW,
    QUESTIONS_PER_SECOND,
)
from grange_node.elapsed import elapsed
from grange_node.errors import ChainDown, TooBusy, Unauthorised
from grange_node.limits.fair_shares import Allowance
from grange_node.limits.networks import Network
from grange_node.limits.turns import Turns


class WalletSignatures:
    """The word of contract wallets, for one farmer of one market."""

    def __init__(
        self, market: FarmMarket, domain: Domain, farmer: FarmerId, clock: Callable[[], float]
    ) -> None:
        """`clock` gives seconds."""
        self._market = market
        self._domain = domain
        self._farmer = farmer
        self._clock = clock
        self._confirmed = Confirmed[Address](clock)
        self._approving: OrderedDict[Address, float] = OrderedDict()
        """Wallets that said yes, and when they did last."""
        self._known_turns = Turns(MAX_QUESTIONS_AT_ONCE, ChainDown, clock)
        self._stranger_turns = Turns(MAX_QUESTIONS_AT_ONCE, ChainDown, clock)
        self._known_allowance = Allowance(FUNDED_QUESTIONS_IN_A_ROW, FUNDED_QUESTIONS_PER_SECOND, clock)
        self._stranger_allowance = Allowance(QUESTIONS_IN_A_ROW, QUESTIONS_PER_SECOND, clock)

    def __len__(self) -> int:
        return len(self._approving)

    async def is_approved(
        self, wallet: Address, digest: bytes, signature: bytes, network: Network, *, is_binding: bool = False
    ) -> bool:
        """Whether a contract at that address says now that the signature is its own. `network` is that of who
        asks. The first yes of an address, and each to what is `binding`, must come from two endpoints where
        there are several; while only one answers, from that one if two have said yes of it lately. Raises
        ChainDown when nobody can say, TooBusy when too much was asked."""
        is_known = self._said_yes_lately(wallet)
        allowance = self._known_allowance if is_known else self._stranger_allowance
        if not allowance.may_use(network):
            raise TooBusy("too many whom this farmer does not know ask at once; try again in a minute")
        async with (self._known_turns if is_known else self._stranger_turns).turn():
            if is_binding or not is_known:
                says_yes = await self._ask_two(wallet, digest, signature)
            else:
                says_yes = await self._ask(wallet, digest, signature)
        self._note(wallet, says_yes=says_yes)
        return says_yes

    async def require(self, voucher: Voucher, network: Network) -> None:
        """Raise Unauthorised unless the voucher's wallet calls its signature its own now; ChainDown,
        TooBusy."""
        if not await self.is_approved(voucher.renter, self._digest(voucher), voucher.signature, network):
            raise Unauthorised(
                "the contract at the renter's address does not call the voucher's signature its own",
                reason="voucher",
                farmer=self._farmer,
            )

    async def stands_by(self, voucher: Voucher) -> bool:
        """The same for a voucher that we hold, as often as we wish. Raises ChainDown."""
        return await self._ask(voucher.renter, self._digest(voucher), voucher.signature)

    def _digest(self, voucher: Voucher) -> bytes:
        return voucher_digest(
            self._domain, renter=voucher.renter, farmer=self._farmer, cumulative=voucher.cumulative
        )

    async def _ask_two(self, wallet: Address, digest: bytes, signature: bytes) -> bool:
        try:
            return await self._confirmed.ask(
                wallet,
                lambda by_two: self._market.is_approved(wallet, digest, signature, by_two=by_two),
            )
        except ChainError as error:
            raise ChainDown.because(error) from error

    async def _ask(self, wallet: Address, digest: bytes, signature: bytes) -> bool:
        try:
            return await self._market.is_approved(wallet, digest, signature)
        except ChainError as error:
            raise ChainDown.because(error) from error

    def _said_yes_lately(self, wallet: Address) -> bool:
        said_at = self._approving.get(wallet)
        return said_at is not None and elapsed(said_at, self._clock()) <= MAX_FUNDED_SECONDS

    def _note(self, wallet: Address, *, says_yes: bool) -> None:
        self._approving.pop(wallet, None)
        if says_yes:
            self._approving[wallet] = self._clock()
        while len(self._approving) > MAX_FUNDED:
            self._approving.popitem(last=False)

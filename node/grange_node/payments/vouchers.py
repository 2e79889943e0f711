"""What a voucher is worth, and which are worth redeeming: pure decisions over values.

A voucher goes with a read at a price above zero, in a header (`grange.wire.headers`). It is signed by the one
who signed the request, names all that this payer ever owes this farmer, and only ever grows: the highest one
counts, the others change nothing. Leaves the vault behind it to `vault_funds`, and the running accounts to
`payment_gate`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from grange.errors import BadSignature
from grange.messages import Domain, voucher_signer
from grange.types import Address, FarmerId, Voucher
from grange_node.errors import Unauthorised
from grange_node.payer import Payer, account_of, signer_of

LEAST_SHARE = 10
"""A tenth of what is worth a transaction is worth a place in one: without such a bound a renter could make
many farmers pay gas for next to nothing by announcing one withdrawal."""
MAX_VOUCHERS_PER_CALL = 50
MAX_WALLETS_PER_CALL = 20
"""Of these, contract wallets': the market gives each 300,000 gas for its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayerAccount:
    """What stands with one payer, in base units.

    `cumulative` is the highest total it signed, and `signature` how; `spent` the price of all that it was
    served, `redeemed` what of the total the chain has paid as far as we know.
    """

    payer: Payer
    cumulative: int
    signature: bytes
    spent: int
    redeemed: int = 0

    @property
    def open(self) -> int:
        """What could still be redeemed."""
        return max(0, self.cumulative - self.redeemed)

    @property
    def voucher(self) -> Voucher:
        """As the market takes it."""
        return Voucher(renter=account_of(self.payer), cumulative=self.cumulative, signature=self.signature)

    @property
    def is_of_wallet(self) -> bool:
        """Whether a contract wallet has to say that what stands is signed."""
        return self.cumulative > 0 and self.voucher.is_of_wallet


def check_signer(voucher: Voucher, signer: Address, domain: Domain, farmer: FarmerId) -> None:
    """Raise Unauthorised unless this key signed it, for this farmer of this market. What a contract wallet is
    to say, nobody can tell from the signature."""
    if voucher.is_of_wallet:
        raise Unauthorised("the voucher has no signature by a key", reason="voucher")
    try:
        found = voucher_signer(domain, voucher, farmer=farmer)
    except BadSignature as error:
        raise Unauthorised(f"the voucher's signature cannot be read: {error}", reason="voucher") from error
    if found != signer:
        raise Unauthorised(
            "the voucher is not signed by who signed the request, for this farmer and market",
            reason="voucher",
            farmer=farmer,
        )


def is_signed(account: PayerAccount, domain: Domain, farmer: FarmerId) -> bool:
    """Whether the payer's key signed what stands, for this farmer of this market."""
    try:
        check_signer(account.voucher, signer_of(account.payer), domain, farmer)
    except Unauthorised:
        return False
    return True


def due(
    accounts: Iterable[PayerAccount],
    leaving: Collection[Payer],
    redeem_at: int,
    *,
    tried: Sequence[Payer] = (),
) -> list[PayerAccount]:
    """Which vouchers to redeem now, the largest first; none while it is not worth the gas.

    It is when `redeem_at` base units are open in all, or when somebody takes its money out. Those that were
    `tried` before and not redeemed come after all others, in that order.
    """
    places = {payer: place for place, payer in enumerate(tried)}
    worth = sorted(
        (account for account in accounts if account.open >= least(redeem_at)),
        key=lambda account: (
            places.get(account.payer, -1),
            account.payer not in leaving,
            -account.open,
            account.payer,
        ),
    )
    is_leaving = any(account.payer in leaving for account in worth)
    if not is_leaving and sum(account.open for account in worth) < redeem_at:
        return []
    wallets = [account for account in worth if account.is_of_wallet]
    too_many = {account.payer for account in wallets[MAX_WALLETS_PER_CALL:]}
    return [account for account in worth if account.payer not in too_many][:MAX_VOUCHERS_PER_CALL]


def least(redeem_at: int) -> int:
    """The smallest amount that is redeemed along with others."""
    return max(1, redeem_at // LEAST_SHARE)

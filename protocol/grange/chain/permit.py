"""EIP-2612: letting the market pull tokens by a signature instead of a transaction.

Decides the default life of a permit. Leaves fetching nonce and separator to `gateway.py`.
"""

from dataclasses import dataclass

from grange.chain.wallet import Wallet
from grange.messages import permit_digest, sign_digest
from grange.types import Address, Permit

PERMIT_LIFE_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitBasis:
    """What the chain has to say for a permit: the token's domain, the owner's nonce, the time."""

    domain_separator: bytes
    nonce: int
    timestamp: int
    """Unix seconds on the chain's clock, which on a devnet can be far from ours."""

    def sign(
        self, wallet: Wallet, *, spender: Address, value: int, life_seconds: int = PERMIT_LIFE_SECONDS
    ) -> Permit:
        """A permit by which `spender` may pull `value` base units from the owner's wallet."""
        return sign_permit(
            wallet,
            domain_separator=self.domain_separator,
            spender=spender,
            value=value,
            nonce=self.nonce,
            deadline=self.timestamp + life_seconds,
        )


def unsigned_permit(value: int) -> Permit:
    """What stands in a call for the permit that its token does not know: it fails, and what was approved
    counts."""
    return Permit(value=value, deadline=0, v=0, r=bytes(32), s=bytes(32))


def sign_permit(
    wallet: Wallet, *, domain_separator: bytes, spender: Address, value: int, nonce: int, deadline: int
) -> Permit:
    """Sign a permit over the token's own domain separator."""
    digest = permit_digest(
        domain_separator,
        owner=wallet.address,
        spender=spender,
        value=value,
        nonce=nonce,
        deadline=deadline,
    )
    signature = sign_digest(wallet.private_key, digest)
    return Permit(value=value, deadline=deadline, v=signature[64], r=signature[:32], s=signature[32:64])

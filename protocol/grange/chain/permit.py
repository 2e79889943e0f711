"""EIP-2612: letting the market pull tokens by a signature instead of a transaction.

Decides the digest and the default life of a permit. Leaves fetching nonce and separator to `gateway.py`.
"""

from dataclasses import dataclass

import eth_abi
from eth_utils.crypto import keccak

from grange.chain.wallet import Wallet
from grange.types import Address

PERMIT_LIFE_SECONDS = 3600
_TYPE_HASH = keccak(
    b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """A signed permission to pull `value` base units until the chain's clock passes `deadline`."""

    value: int
    deadline: int
    v: int
    r: bytes
    s: bytes


def sign_permit(
    wallet: Wallet, *, domain_separator: bytes, spender: Address, value: int, nonce: int, deadline: int
) -> Permit:
    """Sign a permit over the token's own domain separator."""
    struct = keccak(
        eth_abi.encode(
            ["bytes32", "address", "address", "uint256", "uint256", "uint256"],
            [_TYPE_HASH, wallet.address, spender, value, nonce, deadline],
        )
    )
    v, r, s = wallet.sign_digest(keccak(b"\x19\x01" + domain_separator + struct))
    return Permit(value=value, deadline=deadline, v=v, r=r.to_bytes(32, "big"), s=s.to_bytes(32, "big"))

"""What a transaction offers for being mined, by EIP-1559, and how long one waits for it.

Decides the policy and the arithmetic. Leaves when to raise fees to `sender.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grange.chain.answers import fields_from, quantity
from grange.chain.errors import RpcError
from grange.chain.rpc import Rpc

Fees = dict[str, int]
"""maxFeePerGas and maxPriorityFeePerGas in wei, by the names that a transaction has for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPolicy:
    """Fees and patience.

    The fee per gas is base_fee_factor times the newest base fee, plus the tip, and never more than
    max_fee_wei if that is set. A transaction not mined within bump_after_seconds is sent again with both
    raised by bump_percent (nodes ask for at least 10 to replace one), at most max_bumps times. While it is
    waited for the endpoint may be away: only after patience_seconds is the transaction given up.
    """

    tip_wei: int | None = None
    default_tip_wei: int = 1_000_000_000
    base_fee_factor: int = 2
    max_fee_wei: int | None = None
    bump_after_seconds: float = 30.0
    bump_percent: int = 25
    max_bumps: int = 5
    first_poll_seconds: float = 0.02
    longest_poll_seconds: float = 0.5

    @property
    def patience_seconds(self) -> float:
        """How long a transaction is waited for in all."""
        return self.bump_after_seconds * (self.max_bumps + 1)


async def current_fees(rpc: Rpc, policy: SendPolicy) -> Fees:
    """Fees with which a transaction should be in one of the next blocks."""
    tip = policy.tip_wei
    if tip is None:
        tip = await _suggested_tip(rpc, policy)
    block = fields_from(await rpc.call("eth_getBlockByNumber", "latest", False), "the newest block")
    base = quantity(block["baseFeePerGas"] or "0x0", "the base fee")
    return _capped(base * policy.base_fee_factor + tip, tip, policy)


def raised_fees(fields: Mapping[str, Any], policy: SendPolicy) -> Fees:
    """The fees of a transaction, raised by the policy's percentage and rounded up."""
    factor = 100 + policy.bump_percent
    fee, tip = fields["maxFeePerGas"], fields["maxPriorityFeePerGas"]
    return _capped(-(-fee * factor // 100), -(-tip * factor // 100), policy)


async def _suggested_tip(rpc: Rpc, policy: SendPolicy) -> int:
    try:
        return quantity(await rpc.call("eth_maxPriorityFeePerGas"), "a tip")
    except RpcError:
        return policy.default_tip_wei


def _capped(fee: int, tip: int, policy: SendPolicy) -> Fees:
    if policy.max_fee_wei is not None:
        fee = min(fee, policy.max_fee_wei)
    return {"maxFeePerGas": fee, "maxPriorityFeePerGas": min(tip, fee)}

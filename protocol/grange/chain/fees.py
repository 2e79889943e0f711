"""What a transaction offers for being mined, by EIP-1559, and how long one waits for it.

Decides the policy and the arithmetic. Leaves when to raise fees to `sender.py`.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grange.chain.answers import fields_from, quantity
from grange.chain.errors import RpcError
from grange.chain.rpc import Rpc
from grange.tasks import together

Fees = dict[str, int]
"""maxFeePerGas and maxPriorityFeePerGas in wei, by the names that a transaction has for them."""

REPLACEMENT_PERCENT = 10
"""What nodes want more, of both fees, before they let one transaction take another's place."""
MARK_WEI = 1 << 16
"""Below this the highest fee is random, so that no two processes ever sign the same transaction: the second
of two equal transfers would be "already known", and only one would be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPolicy:
    """Fees and timeouts.

    The fee per gas is base_fee_factor times the newest base fee, plus the tip, and never more than
    max_fee_wei if that is set. A transaction not mined within bump_after_seconds is sent again with both
    raised by bump_percent, or to what one would offer at that moment if that is more; at most max_bumps
    times. While it is waited for the endpoint may be away: only after timeout_seconds is it given up.
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
    def timeout_seconds(self) -> float:
        """How long a transaction is waited for in all."""
        return self.bump_after_seconds * (self.max_bumps + 1)


async def current_fees(rpc: Rpc, policy: SendPolicy) -> Fees:
    """Fees with which a transaction should be in one of the next blocks."""
    tip, newest = await together(
        _suggested_tip(rpc, policy), rpc.call("eth_getBlockByNumber", "latest", False)
    )
    block = fields_from(newest, "the newest block")
    base = quantity(block["baseFeePerGas"] or "0x0", "the base fee")
    return _capped(base * policy.base_fee_factor + tip + secrets.randbelow(MARK_WEI), tip, policy)


def raised_fees(fields: Mapping[str, Any], now: Fees, policy: SendPolicy) -> Fees | None:
    """Fees with which a transaction takes the place of one that waits: raised by the policy's percentage, and
    not below those of now. None if the policy's cap does not leave enough for nodes to take it."""
    factor = 100 + policy.bump_percent
    raised = {name: max(-(-fields[name] * factor // 100), fee) for name, fee in now.items()}
    capped = _capped(raised["maxFeePerGas"], raised["maxPriorityFeePerGas"], policy)
    needed = 100 + REPLACEMENT_PERCENT
    suffices = all(fee * 100 >= fields[name] * needed for name, fee in capped.items())
    return capped if suffices else None


async def _suggested_tip(rpc: Rpc, policy: SendPolicy) -> int:
    if policy.tip_wei is not None:
        return policy.tip_wei
    try:
        return quantity(await rpc.call("eth_maxPriorityFeePerGas"), "a tip")
    except RpcError:
        return policy.default_tip_wei


def _capped(fee: int, tip: int, policy: SendPolicy) -> Fees:
    if policy.max_fee_wei is not None:
        fee = min(fee, policy.max_fee_wei)
    return {"maxFeePerGas": fee, "maxPriorityFeePerGas": min(tip, fee)}

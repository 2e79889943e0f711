"""What a transaction offers for being mined, by EIP-1559, and how long one waits for it.

    level = await read_fee_level(rpc, policy)      base fee and tip of now, as an endpoint says
    fees = await current_fees(rpc, policy)         what to offer; raises FeesAboveCap

Endpoints say what fees are, and may lie. What is signed bounds what can be paid: so more than the policy's
cap is never offered, and a tip is cut that is far above the base fee, unless all endpoints name such a one,
or somebody chose a cap that makes it little. An endpoint that names more than the cap does not
hold a transaction back by itself: others are asked first. One that names too little has its say until the
fees are raised, which is by another endpoint's word.

Decides the policy and the arithmetic. Leaves when to raise fees to `sender.py`.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from grange.chain.answers import fields_from, quantity
from grange.chain.connection import Connection
from grange.chain.errors import FeesAboveCap, RpcError
from grange.chain.rpc import Rpc
from grange.tasks import together
from grange.units import GWEI, format_gwei

Fees = dict[str, int]
"""maxFeePerGas and maxPriorityFeePerGas in wei, by the names that a transaction has for them."""

DEFAULT_MAX_FEE_WEI: Final = 500 * GWEI
"""More a unit of gas is not offered by anyone who did not choose: a proof is a sixth of a gas token then."""
MOST_TIP_WEI: Final = 50 * GWEI
"""No tip is more: it is paid in full, and an endpoint of those who get it may name any."""
MOST_TIP_TIMES: Final = 10
"""On one endpoint's word it is no more than so many base fees."""
USUAL_TIP_WEI: Final = 3 * GWEI
"""But so much always: where the base fee is nearly nothing, the tip is what is paid."""
CHOSEN_TIP_PART: Final = 10
"""And such a part of a cap that somebody chose: who allows much for a unit of gas lets tips be higher."""
LYING_TIMES: Final = 10
"""Two endpoints that are some blocks apart name fees that differ; of so much one is not honest."""
REPLACEMENT_PERCENT = 10
"""What nodes want more, of both fees, before they let one transaction take another's place."""
MARK_WEI = 1 << 16
"""Below this the highest fee is random, so that no two processes ever sign the same transaction: the second
of two equal transfers would be "already known", and only one would be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPolicy:
    """Fees and timeouts.

    The fee per gas is base_fee_factor times the newest base fee, plus the tip, and never more than
    max_fee_wei. A transaction not mined within bump_after_seconds is sent again with both
    raised by bump_percent, or to what one would offer at that moment if that is more; at most max_bumps
    times. While it is waited for the endpoint may be away: only after timeout_seconds is it given up.
    """

    tip_wei: int | None = None
    default_tip_wei: int = 1_000_000_000
    base_fee_factor: int = 2
    max_fee_wei: int = DEFAULT_MAX_FEE_WEI
    bump_after_seconds: float = 30.0
    bump_percent: int = 25
    max_bumps: int = 5
    first_poll_seconds: float = 0.02
    longest_poll_seconds: float = 0.5

    @property
    def timeout_seconds(self) -> float:
        """How long a transaction is waited for in all."""
        return self.bump_after_seconds * (self.max_bumps + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeLevel:
    """What a unit of gas costs now, in wei: the base fee, and the tip that is usual."""

    base_wei: int
    tip_wei: int

    @property
    def gas_wei(self) -> int:
        """Both."""
        return self.base_wei + self.tip_wei

    def offered_wei(self, policy: SendPolicy) -> int:
        """What is offered for it at most: so much an account must have."""
        return min(self.base_wei * policy.base_fee_factor + self.tip_wei, policy.max_fee_wei)


async def read_fee_level(rpc: Rpc, policy: SendPolicy | None = None) -> FeeLevel:
    """What endpoints say of now: above the cap only if each of them says so. Raises ChainError."""
    policy = policy or SendPolicy()
    level = await _say_fee_level(rpc, policy)
    most_wei = _most_tip_wei(level.base_wei, policy)
    for _ in rpc.connections[1:]:
        if level.base_wei < policy.max_fee_wei and level.tip_wei <= most_wei:
            break
        suspect, named = rpc.ask_another(), level
        level = await _say_fee_level(rpc, policy)
        if suspect is not None:
            _accuse_if_dear(rpc, suspect, named, level)
        usual_wei = _most_tip_wei(level.base_wei, policy)
        # That all name more is how the chain is.
        is_agreed = min(named.tip_wei, level.tip_wei) > usual_wei
        most_wei = max(usual_wei, min(named.tip_wei, MOST_TIP_WEI)) if is_agreed else usual_wei
    return FeeLevel(base_wei=level.base_wei, tip_wei=min(level.tip_wei, most_wei))


def _most_tip_wei(base_wei: int, policy: SendPolicy) -> int:
    """What is paid for a tip on one endpoint's word."""
    is_chosen = policy.max_fee_wei != DEFAULT_MAX_FEE_WEI
    chosen_wei = policy.max_fee_wei // CHOSEN_TIP_PART if is_chosen else 0
    return min(MOST_TIP_WEI, max(MOST_TIP_TIMES * base_wei, USUAL_TIP_WEI, chosen_wei))


def _accuse_if_dear(rpc: Rpc, suspect: Connection, named: FeeLevel, other: FeeLevel) -> None:
    if other.base_wei * LYING_TIMES <= named.base_wei:
        what, said_wei, other_wei = "base fee", named.base_wei, other.base_wei
    elif named.tip_wei > MOST_TIP_WEI and other.tip_wei * LYING_TIMES <= named.tip_wei:
        # Below that honest endpoints differ: a tip is what each of them advises.
        what, said_wei, other_wei = "tip", named.tip_wei, other.tip_wei
    else:
        return
    said, other_said = format_gwei(said_wei), format_gwei(other_wei)
    rpc.accuse(suspect, f"names a {what} of {said} gwei, and another one {other_said}")


async def _say_fee_level(rpc: Rpc, policy: SendPolicy) -> FeeLevel:
    tip, newest = await together(
        _suggested_tip(rpc, policy), rpc.call("eth_getBlockByNumber", "latest", False)
    )
    block = fields_from(newest, "the newest block")
    base = quantity(block["baseFeePerGas"] or "0x0", "the base fee")
    if tip is None:
        tip = await _tip_by_gas_price(rpc, base, policy)
    return FeeLevel(base_wei=base, tip_wei=tip)


async def current_fees(rpc: Rpc, policy: SendPolicy) -> Fees:
    """Fees with which a transaction should be in one of the next blocks. Raises FeesAboveCap when each
    endpoint names a base fee that is not below the cap: nothing that is offered would be mined."""
    level = await read_fee_level(rpc, policy)
    if level.base_wei >= policy.max_fee_wei:
        raise FeesAboveCap(level.base_wei, policy.max_fee_wei)
    fee = level.base_wei * policy.base_fee_factor + level.tip_wei
    # At the cap the mark is taken off, as far as the base fee allows.
    most = policy.max_fee_wei - secrets.randbelow(min(MARK_WEI, policy.max_fee_wei - level.base_wei))
    fee = min(fee + secrets.randbelow(MARK_WEI), most)
    return _capped(fee, level.tip_wei, policy)


def raised_fees(fields: Mapping[str, Any], now: Fees, policy: SendPolicy) -> Fees | None:
    """Fees with which a transaction takes the place of one that waits: raised by the policy's percentage, and
    not below those of now. None if the policy's cap does not leave enough for nodes to take it."""
    factor = 100 + policy.bump_percent
    # One more at least: nodes take no second one with the same tip, not even where the first had none.
    raised = {name: max(-(-fields[name] * factor // 100), fields[name] + 1, fee) for name, fee in now.items()}
    capped = _capped(raised["maxFeePerGas"], raised["maxPriorityFeePerGas"], policy)
    needed = 100 + REPLACEMENT_PERCENT
    suffices = all(fee * 100 >= fields[name] * needed for name, fee in capped.items())
    return capped if suffices else None


async def _suggested_tip(rpc: Rpc, policy: SendPolicy) -> int | None:
    """None where the endpoint does not know of tips."""
    if policy.tip_wei is not None:
        return policy.tip_wei
    try:
        return quantity(await rpc.call("eth_maxPriorityFeePerGas"), "a tip")
    except RpcError:
        return None


async def _tip_by_gas_price(rpc: Rpc, base: int, policy: SendPolicy) -> int:
    """What the price that nodes suggest to old wallets has above the base fee."""
    try:
        return max(0, quantity(await rpc.call("eth_gasPrice"), "a gas price") - base)
    except RpcError:
        return policy.default_tip_wei


def _capped(fee: int, tip: int, policy: SendPolicy) -> Fees:
    fee = min(fee, policy.max_fee_wei)
    return {"maxFeePerGas": fee, "maxPriorityFeePerGas": min(tip, fee)}

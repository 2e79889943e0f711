"""What an endpoint's refusal means.

Decides which refusals are the contract's own errors, and what the wordings of the common nodes (geth, anvil,
Hardhat, Nethermind, Erigon) stand for: JSON-RPC has codes for hardly any of it. Leaves to `sender.py` what to
do about them.
"""

from typing import Final

from grange.chain.codec import market_abi, token_abi
from grange.chain.errors import CallReverted, ChainError, RpcError, TransactionReverted

LOGS_METHOD: Final = "eth_getLogs"
TOO_MANY_REQUESTS: Final = 429
LIMIT_EXCEEDED: Final = -32005
"""EIP-1474's code for a quota; some use it for logs of too many blocks, too."""


def translate_revert(error: RpcError, function: str) -> ChainError:
    """An endpoint's refusal as the contract's own error, where it is one."""
    if not error.reverted:
        return error
    if not error.data:
        return CallReverted(error.method, error.code, f"{function}: {error.message}", error.data)
    name, values = market_abi().decode_error(error.data)
    if name == "Unknown":
        name, values = token_abi().decode_error(error.data)
    return TransactionReverted(function, name, values)


def is_by_contract(error: RpcError) -> bool:
    """Whether the contract itself refused, also as the oldest ones do, which have no revert."""
    return error.reverted or _says(error, "invalid opcode", "invalid jump", "bad jump", "invalid instruction")


def _says(error: RpcError, *phrases: str) -> bool:
    message = error.message.lower()
    return any(phrase in message for phrase in phrases)


def is_about_nonce(error: RpcError) -> bool:
    """Whether the nonce was used up before."""
    return _says(error, "nonce too low", "nonce is too low", "nonce has already been used", "invalid nonce")


def is_known_already(error: RpcError) -> bool:
    """Whether the node has the very transaction: no refusal at all."""
    return _says(error, "already known", "already imported", "known transaction", "already exists")


def is_underpriced(error: RpcError) -> bool:
    """Whether another transaction holds the nonce, for more."""
    return _says(error, "underpriced", "fee too low", "gas price too low")


def is_replacement_refused(error: RpcError) -> bool:
    """Whether another transaction in the node's pool holds the nonce, and ours offers too little for it."""
    return _says(error, "replacement", "could not replace", "replacing existing")


def is_below_base_fee(error: RpcError) -> bool:
    """Whether the base fee has risen above what is offered. Nodes that have a pool keep the transaction."""
    return _says(error, "less than block base fee", "below base fee", "max fee per gas less than")


def is_about_gas(error: RpcError) -> bool:
    """Whether the gas limit does not suffice."""
    return _says(error, "out of gas", "outofgas", "intrinsic gas", "gas required exceeds")


def is_about_funds(error: RpcError) -> bool:
    """Whether the account cannot pay."""
    return _says(error, "insufficient funds", "insufficient balance", "doesn't have enough funds")


def is_about_quota(error: RpcError) -> bool:
    """Whether it wants fewer questions of us, though it answers with HTTP status 200."""
    if error.reverted or is_about_range(error):
        return False
    return error.code in (TOO_MANY_REQUESTS, LIMIT_EXCEEDED) or _says(
        error, "rate limit", "rate-limit", "ratelimit", "too many request", "request limit", "quota",
        "compute units", "credits", "throttl", "request count exceeded", "requests per",
    )  # fmt: skip


def is_about_access(error: RpcError) -> bool:
    """Whether it does not know our key, or none of its kind may ask this."""
    return not error.reverted and _says(
        error, "unauthorized", "unauthorised", "api key", "apikey", "api-key", "project id", "forbidden",
        "must be authenticated", "payment required", "access denied",
    )  # fmt: skip


def is_about_range(error: RpcError) -> bool:
    """Whether it wants logs to be asked for in shorter ranges."""
    return error.method == LOGS_METHOD and _says(
        error, "range", "block", "results", "logs", "response size", "limit exceeded", "too large"
    )

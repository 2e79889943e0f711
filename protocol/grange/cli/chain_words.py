"""Errors of the chain in words: what each means, and what to do about it.

    explain_chain(error, guidance)   (detail, hint); the sentence that comes first is the error's own

What is to be corrected depends on the command: an option, or a setting in a file. That is why these errors do
not bring their words along, as all others of ours do (`grange.errors.UserError`).
"""

from grange.chain.errors import (
    ASK_TOKEN,
    PAY_OUT,
    TOKEN_REFUSED,
    BlocksMissing,
    ChainError,
    ChainReplaced,
    ChainTimeout,
    ChainUnavailable,
    FeesAboveCap,
    InsufficientFunds,
    MarketForged,
    MarketNotFound,
    NonceTaken,
    OriginUnknown,
    RateLimited,
    TransactionNotMined,
    TransactionReverted,
    WrongChain,
)
from grange.cli.presenter import Guidance


def explain_chain(error: ChainError, guidance: Guidance) -> tuple[str, str]:
    """What it means, and what to do."""
    rpc = guidance.rpc
    match error:
        case ChainUnavailable() | BlocksMissing():
            return _explain_endpoint(error, guidance)
        case WrongChain():
            return (
                "Signing for another chain than the one set up could cost money, so nothing was done.",
                f"Correct {rpc} or {guidance.chain_id}.",
            )
        case ChainReplaced():
            return (
                "Nothing was done: orders, tokens and farmers of the old chain are not on this one.",
                f"{guidance.new_chain} If the old chain still runs, use its endpoint: {rpc}.",
            )
        case MarketNotFound() | MarketForged() | OriginUnknown():
            return _explain_market(error, guidance)
        case InsufficientFunds():
            return "", f"Send some gas tokens to {error.address}, then repeat the command."
        case FeesAboveCap():
            return (
                "It can be sent as soon as gas is cheaper.",
                f"Wait, or allow more: {guidance.fees}.",
            )
        case NonceTaken():
            return "Nothing was sent.", f"Try again in a minute, or use another endpoint: {rpc}."
        case TransactionNotMined():
            return "It may still be mined.", guidance.when_not_mined
        case TransactionReverted():
            return _explain_refusal(error, guidance)
        case _:
            return "", guidance.otherwise


def _explain_endpoint(error: ChainError, guidance: Guidance) -> tuple[str, str]:
    rpc = guidance.rpc
    match error:
        case ChainTimeout():
            return (
                "The endpoint is there, and too slow.",
                f"Try again later, or use another endpoint: {rpc}.",
            )
        case RateLimited():
            return (
                "The endpoint answers fewer questions than were asked.",
                f"Try again later, or give another endpoint besides: {rpc}.",
            )
        case BlocksMissing():
            return (
                "It may keep no old blocks. What happened in them is not known, so nothing was done.",
                f"Use an endpoint that keeps all blocks: {rpc}. {guidance.first_block}",
            )
        case _:
            return (
                "Without the chain nothing can be stored, found or paid. Nothing was lost.",
                f"Check the network, and {rpc}. {guidance.when_down}",
            )


def _explain_refusal(error: TransactionReverted, guidance: Guidance) -> tuple[str, str]:
    if not error.is_by_token:
        return (
            "Nothing was changed on the chain. The name in the message is the contract's reason.",
            guidance.otherwise,
        )
    if error.function in PAY_OUT:
        return (
            f"{TOKEN_REFUSED} What is yours stays yours in the market, and nobody else waits for it.",
            "Have another account paid, which the token lets have it: the same command with --to ADDRESS.",
        )
    return f"{TOKEN_REFUSED} Nothing was moved.", ASK_TOKEN


def _explain_market(error: ChainError, guidance: Guidance) -> tuple[str, str]:
    if isinstance(error, MarketForged):
        return (
            "What is paid in there may be lost, so nothing was done.",
            "Ask those who gave you its address, or whether you need another version of Grange. "
            f"{guidance.trust}",
        )
    if isinstance(error, OriginUnknown):
        return (
            "Its maker may have written balances into it that nobody paid in, so nothing was done.",
            f"{guidance.first_block} {guidance.trust}",
        )
    return (
        "The chain is there, and at this address it has no market that this version knows.",
        f"Correct {guidance.market}, or {guidance.rpc} if the market is on another chain.",
    )

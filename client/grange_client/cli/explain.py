"""From an error to what a command says and exits with.

    0    done
    1    something unexpected: a bug, or an error of another part of Grange
    2    wrong usage
    3    not set up, not installed, set up already, words or configuration that are wrong, a clock that is off
    4    files: nothing to store, changed while storing, in the way, no such order, over, not over yet,
         the disk, a home or an output that cannot be written
    5    money: too little in vault and wallet, or too little coin for gas
    6    farmers: too few, or they refuse
    7    data: what came back is not what a client stored
    8    chain: down, slow, another one, no market there, it refused, or an order is missing from it
    10   done, but something was left out: `put` could not read it, or `get` cannot give it its name
    130  interrupted

Decides these codes and the words for errors of other packages; errors of this one carry their own words.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from grange.chain import (
    ChainError,
    ChainReplaced,
    ChainTimeout,
    ChainUnavailable,
    InsufficientFunds,
    MarketNotFound,
    NonceTaken,
    TransactionNotMined,
    WrongChain,
)
from grange.errors import GrangeError, Misuse, Told
from grange.peer import EXIT_MONEY
from grange.transfer.errors import NotEnoughFarmers
from grange_client.errors import EXIT_CHAIN, EXIT_USAGE
from grange_client.output_errors import EXIT_OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What to say, and what to exit with."""

    exit_code: int
    what: str
    means: str = ""
    todo: str = ""
    details: dict[str, str] = field(default_factory=dict)


def explain(error: GrangeError, *, setting_up: bool = False) -> Explanation:
    """Words and exit code for any error that was raised on purpose.

    `setting_up` is whether there is no configuration yet that could be corrected.
    """
    if isinstance(error, Told):
        details = error.failures if isinstance(error, NotEnoughFarmers) else {}
        return Explanation(
            exit_code=error.exit_code,
            what=error.what,
            means=error.means,
            todo=error.todo,
            details=details,
        )
    if isinstance(error, ChainError):
        return _chain(error, (_ON_THE_COMMAND_LINE if setting_up else _IN_CONFIG))
    return Explanation(
        exit_code=EXIT_USAGE if isinstance(error, Misuse) else EXIT_OTHER, what=_sentence(error)
    )


_IN_CONFIG = {name: f"`{name}` in config.json" for name in ("rpc", "market", "chain_id")}
_ON_THE_COMMAND_LINE = {"rpc": "--rpc", "market": "--market", "chain_id": "--devnet"}


def _chain(error: ChainError, where: Mapping[str, str]) -> Explanation:
    code, means, todo = EXIT_CHAIN, "", "Try again; `--verbose` shows more."
    match error:
        case ChainTimeout():
            means = "The endpoint is there, and too slow."
            todo = f"Try again later, or use another endpoint: {where['rpc']}."
        case ChainUnavailable():
            means = "Without the chain nothing can be stored or found. What is stored stays stored."
            todo = f"Check the network, and {where['rpc']}. On a devnet: is `grange devnet` running?"
        case WrongChain():
            means = "Signing for another chain than the one set up could cost money, so nothing was done."
            todo = f"Correct {where['rpc']} or {where['chain_id']}."
        case ChainReplaced():
            means = "Nothing was done: orders, tokens and farmers of the old chain are not on this one."
            todo = (
                "On a devnet, `grange init --devnet devnet.json` moves this home to the new chain. "
                f"Otherwise use another endpoint: {where['rpc']}."
            )
        case MarketNotFound():
            means = "The chain is there, and at this address it has no market that this version knows."
            todo = f"Correct {where['market']}."
        case InsufficientFunds():
            code = EXIT_MONEY
            todo = f"Send some of the chain's coin to {error.address}, the address of this wallet."
        case NonceTaken():
            means = "Nothing was sent."
            todo = f"Try again in a minute, or use another endpoint: {where['rpc']}."
        case TransactionNotMined():
            means = "It may still be mined: the order is there if `grange ls` shows it."
            todo = "Look again in a while before you store it again."
    return Explanation(exit_code=code, what=_sentence(error), means=means, todo=todo)


def _sentence(error: Exception) -> str:
    text = str(error) or type(error).__name__
    first = text.split(maxsplit=1)[0]
    # A plain word gets a capital; a URL, a method or a function's name is what it is.
    if first.isalpha() and first.islower():
        text = text[0].upper() + text[1:]
    return text + ("" if text.endswith((".", "!", "?")) else ".")

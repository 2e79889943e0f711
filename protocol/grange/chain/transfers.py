"""Money for others: tokens and gas tokens out of an account's own.

    await give(sender, address, native_wei=10**18, tokens=500)
    left = dict.fromkeys(addresses, NOTHING_GIVEN)
    await give_each(sender, left, native_wei=10**18, tokens=500, watch=show)

Decides what goes first. Leaves sending to `Sender`.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from grange.chain import calls
from grange.chain.gas_cost import CallSize, GasPrices
from grange.chain.outbox import TRANSFER_GAS
from grange.chain.sender import Sender
from grange.tasks import task_group
from grange.types import Address

GIVE_TOKENS: Final = CallSize(gas=80_000, data_bytes=68)
"""Also of a token that is called through another contract, and that looks whether an account is blocked."""
GIVE_GAS_TOKENS: Final = CallSize(gas=TRANSFER_GAS, data_bytes=0)
NOTHING_GIVEN: Final = "has got nothing"
TOKENS_GIVEN: Final = "has got its tokens, and no gas tokens"


async def give(sender: Sender, address: Address, *, native_wei: int, tokens: int) -> None:
    """Send gas tokens and base units of the market's token side by side, and wait for both. Raises
    ChainError."""
    async with task_group() as group:
        if native_wei:
            group.create_task(sender.transfer_native(address, native_wei))
        if tokens:
            group.create_task(sender.send(calls.transfer(address, tokens)))


def fees_wei(prices: GasPrices, *, native_wei: int, tokens: int) -> int:
    """What it costs at most to give this to one address, in wei."""
    gas_tokens_wei = prices.cost_wei(GIVE_GAS_TOKENS) if native_wei else 0
    return gas_tokens_wei + (prices.cost_wei(GIVE_TOKENS) if tokens else 0)


async def give_each(
    sender: Sender,
    left: dict[Address, str],
    *,
    native_wei: int,
    tokens: int,
    watch: Callable[[Address], Awaitable[None]],
) -> None:
    """Send gas tokens and base units of the market's token to each address in `left`, one after the other.

    Who has all is taken out of `left`, and `watch` is told; those still in it when this raises have got what
    is said there. Tokens go first: a token may refuse an account, and that account gets no gas tokens then.
    Raises ChainError.
    """
    for address in list(left):
        if tokens:
            await sender.send(calls.transfer(address, tokens))
            left[address] = TOKENS_GIVEN
        if native_wei:
            await sender.transfer_native(address, native_wei)
        del left[address]
        await watch(address)

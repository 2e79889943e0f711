"""What gas is worth in dollars and in the market's tokens, so that a call can be held against what it brings.

    valuer = GasValuer(rpc, settings, token_units=chain.unit.one)
    value = await valuer.now()
    value.base_units(size)        what a call costs, in base units of the token
    value.usd(size)               the same in dollars, for a person

Prices of gas tokens are what the settings say, or what a command prints. The command is run without a shell
and without input, for COMMAND_SECONDS at most, and one number is read of what it prints. If it gives none,
its last one counts for LONGEST_PRICE_AGE_SECONDS, then the number of the settings; if there is none, gas has
no price, and what has to pay for its gas waits. Proofs never ask for a price.

All is in whole numbers: millionths of a dollar, wei and base units, rounded up.
"""

import asyncio
import logging
import os
import re
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

from grange.chain.fee_settings import FeeSettings
from grange.chain.fees import read_fee_level
from grange.chain.gas_cost import CallSize, DataPriceWatch, GasPrices
from grange.chain.rpc import Rpc
from grange.errors import Category, Misuse, UserError, WorldError
from grange.processes import end_process, kill_group
from grange.tasks import together
from grange.units import TOKEN, format_gas_tokens, format_usd, parse_usd

COMMAND_SECONDS: Final = 10.0
MAX_PRINTED_BYTES: Final = 256
PRICE_AGE_SECONDS: Final = 300.0
"""So long a price is not asked for again."""
LONGEST_PRICE_AGE_SECONDS: Final = 86_400.0
"""So long the last one counts while the command gives none."""
FEES_AGE_SECONDS: Final = 12.0
"""Fees are not asked for again within a block of the slowest chain."""
WEI: Final = 10**18

log = logging.getLogger("grange.chain")


class PriceUnknown(UserError, WorldError):
    """Nothing says what gas is worth now."""

    category = Category.SETUP


@dataclass(frozen=True, slots=True, kw_only=True)
class GasValue:
    """What calls cost now.

    `microusd` is what a gas token is worth, None if nothing says so; `token_microusd` is what a token is, and
    `fixed_price` base units that a unit of gas counts for at least.
    """

    prices: GasPrices
    microusd: int | None = None
    token_microusd: int = 10**6
    fixed_price: Fraction | int = 0
    token_units: int = TOKEN
    """Base units in a token."""

    def base_units(self, size: CallSize, transactions: int = 1) -> int:
        """What a call costs in base units of the token; nothing where gas has no price."""
        fixed = ceil(size.gas * self.fixed_price)
        if not self.microusd:
            return fixed
        wei = self.prices.cost_wei(size, transactions)
        return max(fixed, -(-wei * self.microusd * self.token_units // (WEI * max(1, self.token_microusd))))

    def usd(self, size: CallSize, transactions: int = 1) -> int | None:
        """What it costs in millionths of a dollar; None if nothing says what gas is worth."""
        if self.microusd is None:
            return None
        return -(-self.prices.cost_wei(size, transactions) * self.microusd // WEI)

    def describe(self, size: CallSize, transactions: int = 1) -> str:
        """What it costs in gas tokens, and in dollars where a price is given."""
        tokens = f"{format_gas_tokens(self.prices.cost_wei(size, transactions))} gas tokens"
        usd = self.usd(size, transactions)
        return tokens if usd is None else f"{tokens}, {format_usd(usd)}"


FREE_GAS: Final = GasValue(prices=GasPrices(gas_wei=0))
"""Where gas is not counted."""


class GasPriceFeed:
    """What a gas token is worth, by the settings or by what a command prints."""

    def __init__(self, settings: FeeSettings, *, steady: Callable[[], float] = time.monotonic) -> None:
        """`steady` gives seconds that only go forward."""
        self._settings = settings
        self._steady = steady
        self._printed: tuple[int, float] | None = None
        self._asked_at: float | None = None
        self.trouble = ""
        """Why the command gives no price; empty while it does."""

    async def microusd(self) -> int | None:
        """In millionths of a dollar; None if nothing says so. Raises nothing."""
        command, now = self._settings.gas_usd_command, self._steady()
        if command and (self._asked_at is None or now - self._asked_at >= PRICE_AGE_SECONDS):
            self._asked_at = now
            await self._ask(command)
        if self._printed is not None and now - self._printed[1] < LONGEST_PRICE_AGE_SECONDS:
            return self._printed[0]
        return self._settings.gas_microusd

    async def _ask(self, command: Sequence[str]) -> None:
        try:
            self._printed = await price_by_command(command), self._steady()
        except PriceUnknown as error:
            if self.trouble != str(error):
                log.warning("%s", error)
            self.trouble = str(error)
        else:
            self.trouble = ""


class GasValuer:
    """Looks up fees and prices, and remembers them for a moment. For one event loop."""

    def __init__(
        self,
        rpc: Rpc,
        settings: FeeSettings,
        *,
        token_units: int,
        fixed_price: Fraction | int = 0,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`token_units` are base units in a token, `fixed_price` is those that a unit of gas counts for;
        `steady` gives seconds that only go forward."""
        self._rpc = rpc
        self._settings = settings
        self._fixed_price = fixed_price
        self._token_units = token_units
        self._steady = steady
        self.feed = GasPriceFeed(settings, steady=steady)
        self.data_prices = DataPriceWatch(rpc, steady=steady)
        self._known: tuple[GasPrices, float] | None = None

    async def now(self) -> GasValue:
        """What gas costs, and what that is worth where a price is given. Raises ChainError."""
        microusd = await self.feed.microusd() if self._settings.has_price else None
        if microusd is None:
            return GasValue(prices=FREE_GAS.prices, fixed_price=self._fixed_price)
        now = self._steady()
        if self._known is None or now - self._known[1] >= FEES_AGE_SECONDS:
            level, data = await together(read_fee_level(self._rpc), self.data_prices.now())
            self._known = GasPrices(gas_wei=level.gas_wei, data=data), now
        return GasValue(
            prices=self._known[0],
            microusd=microusd,
            token_microusd=self._settings.token_microusd,
            fixed_price=self._fixed_price,
            token_units=self._token_units,
        )

    async def for_decisions(self) -> GasValue:
        """The same, for what has to pay for its gas. Raises PriceUnknown where a command is to say what gas
        is worth, and does not; ChainError."""
        value = await self.now()
        if self._settings.has_price and value.microusd is None:
            raise PriceUnknown(
                "Nothing says what gas is worth now, so nothing is begun that has to pay for it.",
                detail=self.feed.trouble,
                hint="Mend the command, or give a number besides: --gas-usd.",
            )
        return value


async def price_by_command(command: Sequence[str], *, seconds: float = COMMAND_SECONDS) -> int:
    """What a command prints as the price of a gas token, in millionths of a dollar. Raises PriceUnknown."""
    name = command[0]
    async with _pipe() as (reader, writing):
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=writing, stderr=DEVNULL, start_new_session=True
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise PriceUnknown(f"The price of gas is not known: {name} cannot be run ({reason}).") from error
        finally:
            # What is printed ends when nobody else has it open.
            os.close(writing)
        try:
            async with asyncio.timeout(seconds):
                printed = await _printed(process, reader)
        except TimeoutError:
            raise PriceUnknown(
                f"The price of gas is not known: {name} did not end within {seconds:g} s."
            ) from None
        finally:
            await end_process(process)
    if process.returncode:
        raise PriceUnknown(f"The price of gas is not known: {name} ended with {process.returncode}.")
    try:
        price = parse_usd(printed.decode("ascii").strip())
    except (Misuse, UnicodeDecodeError):
        shown = re.sub(r"[^ -~]", "?", printed[:40].decode("ascii", "replace"))
        raise PriceUnknown(
            f"The price of gas is not known: {name} printed {shown!r}, which is not an amount of dollars."
        ) from None
    if not price:
        raise PriceUnknown(f"The price of gas is not known: {name} printed 0.")
    return price


@asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """A pipe of our own, and its writing end, which the caller closes. asyncio's own would stay open for as
    long as a process has it that left the command's session."""
    reading, writing = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", 0)
    )
    try:
        yield reader, writing
    finally:
        transport.close()
        await asyncio.sleep(0)  # now it is closed


async def _printed(process: Process, reader: asyncio.StreamReader) -> bytes:
    """The first bytes that it prints, when it has ended."""
    printed = b""
    while len(printed) <= MAX_PRINTED_BYTES and (more := await reader.read(MAX_PRINTED_BYTES)):
        printed += more
    if len(printed) > MAX_PRINTED_BYTES:
        # The rest is not waited for.
        kill_group(process)
    await process.wait()
    return printed

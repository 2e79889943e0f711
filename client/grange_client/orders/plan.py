"""What storing would take and cost, decided before a byte is read. Pure arithmetic over epochs and money.

Decides the default code (10 of 30 where 30 farmers can take a slot, else 4 of 8, else what there is), the end
of an order on the market's calendar, and its price. Leaves finding out who is there to
`grange.transfer.directory`, and who is best to `farmer_choice`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from grange.chain import Withdrawal
from grange.chain.gas_cost import CallSize, GasPrices
from grange.errors import Category, GrangeError
from grange.times import BlockClock
from grange.token_unit import PLAIN_UNIT, TokenUnit
from grange.transfer.selection import Chosen
from grange.types import Epoch, Parameters
from grange.units import MAX_SLOTS, format_gas_tokens
from grange_client.errors import NotEnoughMoney, NothingToStore, NothingToTakeOut, OverSpendingLimit

SMALL_CODE = (4, 8)
LARGE_CODE = (10, 30)
LARGE_CODE_FROM_FARMERS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """What the person asked for;

    None leaves it to us. `epochs` is how long at least, `until` an end by name.
    """

    k: int | None = None
    n: int | None = None
    epochs: int | None = None
    until: int | None = None
    name: str | None = None
    allows_hand_over: bool = True
    """Whether farmers may pass slots on to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """What the renter has: base units in the vault and in the wallet, wei for gas."""

    vault: int
    wallet: int
    native: int
    address: str = ""
    """Where to send more."""
    limit: int | None = None
    """What a delegate may spend now of its account's vault, and `vault` is no more. None: no delegate."""
    refusal: GrangeError | None = None
    """Why the token moves nothing out of the wallet now, though something is in it: it may have blocked the
    account. None: it does."""
    unit: TokenUnit = PLAIN_UNIT


def code_for(options: StoreOptions, farmers: int) -> tuple[int, int]:
    """k and n, where so many farmers could take a slot. Raises NothingToStore for options that make no code.

    Left to us it is 10 of 30 or 4 of 8, and with fewer farmers than eight all of them, of which half or a
    little more may fail: 3 of 7, 3 of 6, 2 of 5, 2 of 4, 1 of 3, 1 of 2, 1 of 1.
    """
    k, n = LARGE_CODE if farmers >= LARGE_CODE_FROM_FARMERS else SMALL_CODE
    if options.n is not None:
        k, n = (options.k or max(1, options.n * k // n)), options.n
    elif options.k is not None:
        k, n = options.k, max(min(options.k * n // k, farmers), options.k)
    elif farmers < n:
        n = max(1, farmers)
        k = max(1, n * k // SMALL_CODE[1])
    if k > n:
        raise NothingToStore(
            f"k must not be larger than n: any {k} of {n} farmers cannot be had.",
            hint=f"Choose --k {n} or less, or --n {k} or more.",
            category=Category.USAGE,
        )
    if not 1 <= k <= n <= MAX_SLOTS:
        raise NothingToStore(
            f"An order has from 1 to {MAX_SLOTS} slots, not {n}.",
            hint=f"Choose --k and --n with 1 <= k <= n <= {MAX_SLOTS}.",
            category=Category.USAGE,
        )
    return k, n


def codes_for(options: StoreOptions, farmers: int) -> list[tuple[int, int]]:
    """The codes to try, the best first, when so many farmers answer: a smaller one has larger slots, for
    which fewer of them may have the room and the stake. Raises NothingToStore."""
    sizes = [size for size in (LARGE_CODE_FROM_FARMERS, *range(SMALL_CODE[1], 0, -1)) if size <= farmers]
    return list(dict.fromkeys(code_for(options, size) for size in sizes or [0]))


def end_for(
    options: StoreOptions,
    current: Epoch,
    parameters: Parameters,
    *,
    when: Callable[[int], str] = "epoch {}".format,
) -> Epoch:
    """The end of an order: on the calendar, so that what was asked for is covered.

    Raises NothingToStore if the calendar does not reach so far. `when` names an epoch in the errors, with its
    date where that is known.
    """
    grid = parameters.grid_epochs
    start = current + 1
    if options.until is not None:
        asked = options.until
        if asked <= start:
            raise NothingToStore(
                f"An order can't end with epoch {asked}: it is epoch {current}, and it would begin with "
                f"epoch {start}.",
                hint=f"Choose --until {start + 1} or later.",
                category=Category.USAGE,
            )
    else:
        epochs = grid if options.epochs is None else options.epochs
        if epochs < 1:
            raise NothingToStore(
                "An order lasts one epoch at least.",
                hint="Choose a larger --epochs.",
                category=Category.USAGE,
            )
        asked = start + epochs
    end = -(-asked // grid) * grid
    latest = (current // grid + parameters.max_books) * grid
    if end > latest:
        raise NothingToStore(
            f"The market takes orders up to {when(latest)}, and this one would end with epoch {end}.",
            hint=f"Choose --epochs {max(1, latest - start)} or fewer, and store again before it ends.",
            category=Category.USAGE,
        )
    return Epoch(end)


def price(chosen: Sequence[Chosen], start: Epoch, end: Epoch) -> int:
    """Base units for these farmers over the whole time."""
    return sum(one.rate for one in chosen) * (end - start)


def missing_from_vault(cost: int, funds: Funds, *, cheaper: str = "") -> int:
    """What must be moved from the wallet into the vault.

    Raises NotEnoughMoney when the wallet has not so much; `cheaper` says what else the person can do then.
    Raises the token's refusal where it would move nothing.
    """
    missing, unit = max(0, cost - funds.vault), funds.unit
    if missing and funds.limit is not None:
        raise NotEnoughMoney(
            f"This device may spend {unit.rounded_down(funds.vault)} now.",
            detail=(
                f"It costs {unit.rounded_up(cost)}. The limit leaves {unit.rounded_down(funds.limit)}, and "
                "the account's vault pays."
            ),
            hint=f"The account raises the limit with `grange keys delegate authorize`"
            f"{f', or you {cheaper}' if cheaper else ''}.",
        )
    if missing > funds.wallet:
        raise NotEnoughMoney(
            f"{unit.rounded_up(missing - funds.wallet)} are missing.",
            detail=(
                f"It costs {unit.rounded_up(cost)}; there are {unit.rounded_down(funds.vault)} in the vault "
                f"and {unit.rounded_down(funds.wallet)} in the wallet."
            ),
            hint=f"Send {unit.name} to {_whereto(funds)}{f', or {cheaper}' if cheaper else ''}.",
        )
    if not funds.native:
        raise NotEnoughMoney(
            "The wallet has no gas tokens to pay the chain's fees.",
            hint=f"Send some to {_whereto(funds)}.",
        )
    if missing and funds.refusal is not None:
        raise funds.refusal
    return missing


def check_gas(size: CallSize, funds: Funds, prices: GasPrices) -> None:
    """Raise NotEnoughMoney if the wallet can't pay for the gas of a call: before anything is uploaded."""
    needed = prices.cost_wei(size)
    if funds.native < needed:
        held, missing = format_gas_tokens(funds.native), format_gas_tokens(needed - funds.native)
        raise NotEnoughMoney(
            f"The wallet has {held} gas tokens for the chain's fees, and this takes up to "
            f"{format_gas_tokens(needed)}.",
            detail="Nothing was uploaded or sent.",
            hint=f"Send {missing} more to {_whereto(funds)}, or wait until gas is cheaper: `grange fees`.",
        )


def check_at_most(cost: int, most: int, unit: TokenUnit) -> None:
    """Raise NotEnoughMoney for what costs more than is meant for it: prices went up since it was decided."""
    if cost > most:
        raise NotEnoughMoney(
            f"It would cost {unit.rounded_up(cost)}, and {unit.rounded_up(most)} at most are meant for it.",
            detail="Farmers ask for more than they did. Nothing was sent or paid.",
            hint="Run this again: with their prices of then another way may be better.",
        )


def check_spend_limit(cost: int, most: int | None, unit: TokenUnit, *, is_sent: bool = False) -> None:
    """Raise OverSpendingLimit for what costs more than may be spent on it, if there is a limit; `is_sent`
    says that farmers have it already."""
    if most is None or cost <= most:
        return
    raise OverSpendingLimit(
        f"This would cost {unit.rounded_up(cost)}, and {unit.rounded_up(max(0, most))} at most may be spent "
        "on it.",
        detail="Farmers replaced by dearer ones made it so. Nothing of it is paid, and farmers forget it."
        if is_sent
        else "Nothing of it was sent or paid. What was placed before it stays, and is counted.",
        hint="Allow more, or store less: what is placed already is not paid again.",
    )


def after_paying(cost: int, funds: Funds) -> Funds:
    """What is left when orders that are on their way are paid, out of the vault first."""
    from_wallet = max(0, cost - funds.vault)
    return replace(funds, vault=max(0, funds.vault - cost), wallet=max(0, funds.wallet - from_wallet))


def _whereto(funds: Funds) -> str:
    shown = "the address that `grange balance` shows"
    return f"{funds.address}, {shown}" if funds.address else shown


def check_announced(announced: Withdrawal | None, clock: BlockClock, unit: TokenUnit) -> None:
    """Raise NothingToTakeOut unless what was announced can be taken out of the vault now."""
    if announced is None:
        raise NothingToTakeOut(
            "No withdrawal is announced.",
            hint="Announce how much you will take out: grange withdraw TOKENS",
        )
    if clock.epoch < announced.ready_epoch:
        raise NothingToTakeOut(
            f"It is too early: {unit.rounded_down(announced.amount)} can be taken out from "
            f"{clock.describe_epoch(announced.ready_epoch)}, on.",
            detail="The delay lets farmers cash what you signed for reads.",
            hint="Run `grange withdraw` again then.",
        )

"""What something will cost, before it is agreed to."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from grange.chain.call_sizes import extend, place
from grange.chain.gas_cost import CallSize
from grange.chain.gas_value import GasValue
from grange.listed_names import NO_NAMES, ListedNames
from grange.times import BlockClock
from grange.token_unit import TokenUnit
from grange.units import FREE, format_count, format_size
from grange_client.cli.screens.tables import MAX_LISTED, files_text
from grange_client.cli.screens.tables import facts as facts_grid
from grange_client.downloads.cost import ReadCost
from grange_client.files.scan import Skipped, shown
from grange_client.orders.cautions import code_text
from grange_client.orders.extension_quote import ExtensionQuote
from grange_client.orders.order_storing import OrderQuote
from grange_client.orders.store import Quote


def read_cost_screen(cost: ReadCost, max_price: int, unit: TokenUnit) -> str:
    """What reading will cost."""
    about, most = unit.rounded_up(cost.expected), unit.rounded_up(max_price)
    return f"Reading costs about {about} out of the vault, and {most} at most."


def paid_besides_text(paid: int, unit: TokenUnit) -> str:
    """What was paid for reading that nobody was asked about."""
    return f"Reading lists of files, or slots to rebuild, cost {unit.rounded_up(paid)}."


def quote_screen(
    quote: Quote,
    clock: BlockClock,
    unit: TokenUnit,
    *,
    default_term: bool,
    names: ListedNames = NO_NAMES,
    gas: GasValue | None = None,
    approves: bool = False,
) -> RenderableType:
    """The price, before anything is sent. `default_term` is whether nobody said for how long, `gas` what the
    transaction's gas is worth, `approves` whether another one lets the market take the money first."""
    geometry = quote.geometry
    rows = [
        ("store", quote.manifest.name),
        ("holds", files_text(quote.scan.files, quote.scan.content_bytes)),
        ("with", code_text(geometry.k, geometry.n, format_size(geometry.slot_bytes))),
        ("until", _quoted_term(quote, clock, default_term=default_term)),
        ("price", _price_text(quote.cost, quote.missing, [one.rate for one in quote.chosen], unit)),
    ]
    rows += _gas_rows(gas, place(geometry.n)) + _approval_rows(approves, quote.missing, unit)
    rows += [("note", names.within(caution)) for caution in quote.cautions]
    return facts_grid(rows)


def pack_screen(
    quote: OrderQuote,
    clock: BlockClock,
    unit: TokenUnit,
    *,
    facts: Sequence[tuple[str, str]],
    names: ListedNames = NO_NAMES,
    gas: GasValue | None = None,
    approves: bool = False,
) -> RenderableType:
    """The price of a drive's pack, before anything is sent, behind what the command says of it (`facts`); the
    rest as in `quote_screen`."""
    geometry = quote.geometry
    rows = [
        *facts,
        ("with", code_text(geometry.k, geometry.n, format_size(geometry.slot_bytes))),
        ("until", _quoted_term(quote, clock)),
        ("price", _price_text(quote.cost, quote.missing, [one.rate for one in quote.chosen], unit)),
    ]
    rows += _gas_rows(gas, place(geometry.n)) + _approval_rows(approves, quote.missing, unit)
    rows += [("note", names.within(caution)) for caution in quote.cautions]
    return facts_grid(rows)


def _quoted_term(quote: OrderQuote, clock: BlockClock, *, default_term: bool = False) -> str:
    term = f"{clock.describe_epoch(quote.end)}; that is {format_count(quote.end - quote.start, 'epoch')}"
    return f"{term}, the shortest term (--epochs keeps it longer)" if default_term else term


def skipped_screen(skipped: Sequence[Skipped]) -> RenderableType:
    """What is not stored, and why."""
    lines = [f"not stored: {shown(one.path)}: {one.reason}" for one in skipped[:MAX_LISTED]]
    if len(skipped) > MAX_LISTED:
        lines.append(f"and {len(skipped) - MAX_LISTED:,} more")
    return Text("\n".join(lines), style="yellow")


def extension_screen(
    name: str | None,
    quote: ExtensionQuote,
    clock: BlockClock,
    unit: TokenUnit,
    *,
    names: ListedNames = NO_NAMES,
    gas: GasValue | None = None,
    approves: bool = False,
) -> RenderableType:
    """What extending costs, compared with now, and who would step in for whom."""
    order, now = quote.order, sum(slot.rate for slot in quote.order.slots)
    then = sum(keeper.rate for keeper in quote.keepers)
    rates, are_free = (
        [keeper.rate for keeper in quote.keepers],
        all(unit.is_free(one.rate) for one in quote.keepers),
    )
    change = "the same as now" if then == now else f"{unit.rounded_up(now)} now"
    rows = [
        ("extend", name or "unread"),
        ("until", f"{clock.describe_epoch(quote.end)}; {format_count(quote.epochs, 'epoch')} more"),
        ("price", _price_text(quote.cost, quote.missing, rates, unit)),
        ("an epoch", f"{FREE if are_free else unit.rounded_up(then)}; {change}"),
    ]
    rows += _gas_rows(gas, extend(order.geometry.n)) + _approval_rows(approves, quote.missing, unit)
    for slot, keeper in sorted(quote.moved.items()):
        moves = f"is rebuilt and moves to farmer {keeper.farmer.id}. {keeper.reason}"
        rows.append((f"slot {slot}", names.within(moves)))
    if len(quote.moved) == 0:
        rows.append(("with", f"the same {format_count(order.geometry.n, 'farmer')}; nothing is sent"))
    if quote.away:
        who = ", ".join(f"farmer {farmer}" for farmer in sorted(quote.away))
        waits = f"Until {clock.describe_epoch(order.end)} there is time: who answers by then keeps its slot"
        rows.append(("note", names.within(f"No answer from {who}. {waits}, and nothing is sent for it.")))
    rows += [("note", caution) for caution in quote.cautions(unit)]
    return facts_grid(rows)


def _gas_rows(gas: GasValue | None, size: CallSize) -> list[tuple[str, str]]:
    """What the transaction costs, where something says what gas is worth."""
    if gas is None or gas.microusd is None:
        return []
    return [("gas", f"about {gas.describe(size)}, out of the wallet")]


def _approval_rows(approves: bool, missing: int, unit: TokenUnit) -> list[tuple[str, str]]:
    """That the token knows no permits, and what that comes to."""
    if not approves:
        return []
    return [
        (
            "transactions",
            f"two: {unit.name} knows no permits, so the market is allowed to take "
            f"{unit.rounded_up(missing)} first, and no more",
        )
    ]


def _price_text(cost: int, missing: int, rates: Sequence[int], unit: TokenUnit) -> str:
    """A cost, and where it comes from: `missing` is not in the vault."""
    if all(unit.is_free(rate) for rate in rates):
        return f"{FREE}: one base unit for each slot and epoch, the least that the market takes"
    source = "out of the vault"
    if missing:
        part = f"{unit.rounded_up(missing)} of it " if missing < cost else ""
        source = f"{part}from the wallet"
    return f"{unit.rounded_up(cost)}, {source}"

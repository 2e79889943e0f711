"""What `grange farm hand-over` does: choose slots, say what that means, and have the farm hand them over.

The command writes down what is wanted, beside the ledger; the farm that runs on the same data folder does it,
now or when it is started. So it can be asked at any time, again and again, and be ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

from grange.allow_lists import FARMERS, ListFiles
from grange.chain import Chain, Order
from grange.chain.call_sizes import RELEASE, hand_over
from grange.chain.gas_cost import read_offered_prices
from grange.chain.gas_value import WEI, GasPriceFeed
from grange.errors import Category
from grange.tasks import together
from grange.token_unit import TokenUnit
from grange.transfer.listed import refusal_of
from grange.types import NO_LIMIT, Epoch, FarmerId, OrderId
from grange.units import LEAF_BYTES, format_count, format_gas_tokens, format_size, format_usd
from grange_node.chain.farm_market import TIMEOUTS
from grange_node.chain.ownership import check_not_lapsed, check_owner
from grange_node.config import HAND_OVERS_NAME, LEDGER_NAME, REPAIRS_NAME, Config, connect
from grange_node.errors import NodeMisuse
from grange_node.hand_over.list_file import HandOver, HandOverList, Place
from grange_node.hand_over.taker_candidates import preview_takers
from grange_node.ledger.ledger import Ledger
from grange_node.records import Entry

ORDERS_ASKED_AT_ONCE: Final = 50
MIN_ID_CHARACTERS: Final = 2
MAX_NAMED: Final = 5
ID_CHARACTERS: Final = 12


class NothingToHandOver(NodeMisuse):
    """No slot of the farm is one that was asked for."""

    category = Category.USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A slot that was asked for. Amounts in base units."""

    order: OrderId
    slot: int
    end: Epoch
    size_bytes: int
    rate: int
    collateral: int
    """What stays bound until the taker has proven once."""
    obstacle: str
    """Why it cannot pass now; empty if it can."""
    never: bool
    """Whether it never can."""
    takers: tuple[FarmerId, ...] | None = None
    """Who would be asked to take it now, the first one first; None if that was not looked for, or could not
    be found out."""

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "order": self.order.hex(),
            "slot": self.slot,
            "end": self.end,
            "size_bytes": self.size_bytes,
            "rate": str(self.rate),
            "collateral": str(self.collateral),
            "obstacle": self.obstacle,
            "takers": None if self.takers is None else list(self.takers),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be handed over, and what that costs."""

    slots: tuple[Planned, ...]
    strikes: int
    gas_wei: int
    """At the fees of now, at most."""
    gas_microusd: int | None = None
    """What a gas token is worth, if the settings say so."""
    money: int
    """What the operator has in vault, wallet and earnings: takers look at it before they take in bytes."""
    lost_stake: int | None
    """How much of the stake the operator may give up in an epoch; None without a limit."""

    @property
    def wanted(self) -> tuple[Planned, ...]:
        """Those that can pass at some time."""
        return tuple(slot for slot in self.slots if not slot.never)

    def to_json(self) -> dict[str, Any]:
        """For scripts. Amounts are strings."""
        return {
            "slots": [slot.to_json() for slot in self.wanted],
            "refused": [slot.to_json() for slot in self.slots if slot.never],
            "collateral": str(sum(slot.collateral for slot in self.wanted)),
            "gas_wei": str(self.gas_wei),
        }


async def plan_hand_over(
    config: Config,
    orders: Collection[str] | None,
    takers: Collection[FarmerId],
    *,
    looks_for_takers: bool = False,
) -> Plan:
    """What of the farm's slots would be handed over: those of some orders, by the first digits of their ids,
    or all if None; with `looks_for_takers` also to whom, as far as that can be told without binding anybody.

    Raises NothingToHandOver, FarmerForeign, Lapsed, LedgerInvalid, ChainError.
    """
    path = config.data_folder / LEDGER_NAME
    with Ledger.look(path) as ledger:
        epoch = Epoch(max(0, ledger.cursor().block) // config.parameters.epoch_blocks)
        entries = [one for one in ledger.entries(epoch) if not one.lost]
    wanted = entries if orders is None else _of_orders(entries, orders)
    if not wanted:
        raise NothingToHandOver(
            "This farm keeps no slot that it could hand over.", hint="See: grange farm status"
        )
    async with connect(config, TIMEOUTS) as chain:
        farmer, prices = await together(
            chain.farmer(config.farmer), read_offered_prices(chain.rpc, config.fees.policy)
        )
        check_owner(farmer, config)
        await check_not_lapsed(chain, farmer)
        await _check_takers(chain, config, takers)
        known = await _read_orders(chain, [one.order for one in wanted])
        operator = farmer.operator
        held = await together(chain.vault(operator), chain.token_balance(operator), chain.earnings(operator))
        head = await chain.head()
        places = [
            (entry.order, entry.slot)
            for entry, order in zip(wanted, known, strict=True)
            if not _obstacle(entry, order, head.epoch, config.parameters.grid_epochs)[1]
        ]
        folder, found = config.data_folder / REPAIRS_NAME, dict[Place, tuple[FarmerId, ...]]()
        if looks_for_takers and places:
            found = await preview_takers(chain, folder, places, takers)
    epochs = config.parameters.collateral_epochs
    covered = min(epochs, farmer.stake // farmer.committed_rate) if farmer.committed_rate else 0
    slots = tuple(
        replace(
            _planned(one, *_obstacle(one, order, head.epoch, config.parameters.grid_epochs), covered),
            takers=found.get((one.order, one.slot)),
        )
        for one, order in zip(wanted, known, strict=True)
    )
    count = sum(not slot.never for slot in slots)
    # As if each went alone: of several at once each costs less.
    passing = [
        hand_over(order.n) for slot, order in zip(slots, known, strict=True) if order and not slot.never
    ]
    cost = sum(passing, RELEASE * count)
    is_limited = farmer.owner != farmer.operator and farmer.loss_limit != NO_LIMIT
    return Plan(
        slots=slots,
        strikes=farmer.strikes,
        gas_wei=prices.cost_wei(cost, transactions=2 * count),
        gas_microusd=await GasPriceFeed(config.fees).microusd(),
        money=sum(held),
        lost_stake=farmer.loss_limit * epochs if is_limited else None,
    )


def describe_plan(plan: Plan, takers: Collection[FarmerId], unit: TokenUnit) -> str:
    """Sentences for a person who is to agree."""
    wanted, lines = plan.wanted, list[str]()
    size = format_size(sum(slot.size_bytes for slot in wanted))
    to = ", ".join(f"farmer {taker}" for taker in sorted(takers)) or "farmers that take them"
    lines.append(f"{format_count(len(wanted), 'slot')}, {size}, to be handed over to {to}.")
    for obstacle, slots in _by_obstacle(plan.slots).items():
        names = ", ".join(slot.order.hex()[:ID_CHARACTERS] for slot in slots[:MAX_NAMED])
        more = f" and {len(slots) - MAX_NAMED} more" if len(slots) > MAX_NAMED else ""
        lines.append(f"Of order {names}{more}: {obstacle}.")
    if not wanted:
        return "\n".join(lines)
    collateral = sum(slot.collateral for slot in wanted)
    rate = sum(slot.rate for slot in wanted)
    lines += [
        "",
        "What it means:",
        f"  - You are paid for the epoch in which a slot passes, and no more: {unit.exact(rate)} an "
        "epoch less.",
        f"  - {unit.exact(collateral)} of the stake stay bound until each taker has proven once. "
        "Then they are in the owner's earnings; each epoch that a taker misses before costs a fine out of "
        "them.",
        "  - You keep the bytes until then. Up to then the farm has to run, and to prove each epoch.",
        "  - Of an order only (n - k) / 2 slots pass in a grid period, so some may have to wait.",
    ]
    if plan.gas_wei:
        lines.append(f"  - It costs up to {_gas_text(plan)} at today's fees, out of the operator's account.")
    if plan.money < rate:
        lines.append(
            f"  - Takers want to see {unit.exact(rate)} in the operator's account, an epoch's pay "
            f"of what they are sent. It has {unit.exact(plan.money)}: send it some, or some will refuse."
        )
    if plan.strikes:
        lines.append(
            f"  - The farm has {format_count(plan.strikes, 'strike')}: nothing passes before it has proven "
            "as many epochs more."
        )
    if plan.lost_stake is not None:
        lines.append(
            f"  - The owner lets the operator give up {unit.exact(plan.lost_stake)} of the stake "
            "in an epoch, so not all passes at once (grange farm limit-operator)."
        )
    return "\n".join([*lines, *_takers_lines(wanted, unit)])


def _takers_lines(wanted: Sequence[Planned], unit: TokenUnit) -> list[str]:
    """Who would be asked first, if that was looked for."""
    shown = [slot for slot in wanted if slot.takers is not None]
    if not shown:
        return []
    lines = [
        "",
        "Who would be asked first, as they answer now. Nothing was sent; each decides when it has the bytes:",
    ]
    for slot in shown:
        name, rate = f"order {slot.order.hex()[:ID_CHARACTERS]} slot {slot.slot}", unit.exact(slot.rate)
        first, *others = slot.takers or (None,)
        if first is None:
            lines.append(f"  - {name}: no farmer that answers would take it for {rate} an epoch")
            continue
        then = f", and then {format_count(len(others), 'other')}" if others else ""
        lines.append(f"  - {name}: farmer {first} for {rate} an epoch, as the slot pays now{then}")
    if left := len(wanted) - len(shown):
        lines.append(f"  - {format_count(left, 'slot')} more: not looked for")
    return lines


def _gas_text(plan: Plan) -> str:
    tokens = f"{format_gas_tokens(plan.gas_wei)} gas tokens"
    if plan.gas_microusd is None:
        return tokens
    return f"{tokens} ({format_usd(-(-plan.gas_wei * plan.gas_microusd // WEI))})"


def ask_for(config: Config, plan: Plan, takers: Collection[FarmerId]) -> None:
    """Write down that these are to be handed over. Raises StorageFull, StoreFailed."""
    with HandOverList.open(config.data_folder / HAND_OVERS_NAME) as hand_overs:
        hand_overs.add([(slot.order, slot.slot) for slot in plan.wanted], takers)


def stop_hand_over(config: Config, orders: Collection[str] | None) -> int:
    """End handing over those of some orders, or all; gives how many. What passed on stays answered for.

    Raises NothingToHandOver, StorageFull, StoreFailed.
    """
    under_way = [one for one in read_under_way(config) if not one.is_bound]
    known = {one.hand_over.order for one in under_way}
    ids = known if orders is None else {_find_order(text, known) for text in orders}
    places = [one.hand_over.place for one in under_way if one.hand_over.order in ids]
    if places:
        with HandOverList.open(config.data_folder / HAND_OVERS_NAME) as hand_overs:
            hand_overs.remove(places)
    return len(places)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverState:
    """A slot that is to be handed over, or was and is still answered for."""

    hand_over: HandOver
    is_bound: bool
    """Whether it has passed, and its taker has not proven yet."""

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "order": self.hand_over.order.hex(),
            "slot": self.hand_over.slot,
            "taker": self.hand_over.taker or None,
            "passed": self.is_bound,
            "note": self.hand_over.note,
        }


def read_under_way(config: Config) -> list[HandOverState]:
    """What the farm is at, also while it runs. Raises StoreFailed, LedgerInvalid."""
    path = config.data_folder / HAND_OVERS_NAME
    if not path.exists():
        return []
    with ExitStack() as stack:
        listed = stack.enter_context(HandOverList.look(path)).all()
        passed: set[tuple[OrderId, int]] = set()
        if listed and (config.data_folder / LEDGER_NAME).exists():
            ledger = stack.enter_context(Ledger.look(config.data_folder / LEDGER_NAME))
            epoch = Epoch(max(0, ledger.cursor().block) // config.parameters.epoch_blocks)
            here = {(one.order, one.slot) for one in ledger.entries(epoch) if not one.lost}
            passed = {(one.order, one.slot) for one in ledger.handed_over()} - here
    return [HandOverState(hand_over=one, is_bound=one.place in passed) for one in listed]


def describe_under_way(under_way: Sequence[HandOverState]) -> str:
    """Lines for a person."""
    if not under_way:
        return "Nothing is being handed over. To begin: grange farm hand-over --all, or --order ID"
    lines = []
    for one in under_way:
        hand_over = one.hand_over
        to = f" to farmer {hand_over.taker}" if hand_over.taker else ""
        state = "has passed, bound until it is proven" if one.is_bound else hand_over.note or "under way"
        lines.append(f"order {hand_over.order.hex()[:ID_CHARACTERS]} slot {hand_over.slot}{to}: {state}")
    return "\n".join(lines)


def _of_orders(entries: Iterable[Entry], orders: Collection[str]) -> list[Entry]:
    entries = list(entries)
    ids = {_find_order(text, {entry.order for entry in entries}) for text in orders}
    return [entry for entry in entries if entry.order in ids]


def _find_order(text: str, known: Collection[OrderId]) -> OrderId:
    """The order whose id begins so. Raises NothingToHandOver unless it is one."""
    digits = text.lower().removeprefix("0x")
    found = [order for order in known if order.hex().startswith(digits)]
    if len(found) == 1 and len(digits) >= MIN_ID_CHARACTERS:
        return found[0]
    raise NothingToHandOver(
        f"{text!r} is the beginning of {'more than one id' if found else 'no id'} of an order that this farm "
        "could hand over.",
        hint="Give more digits of the id, or --all.",
    )


async def _check_takers(chain: Chain, config: Config, takers: Collection[FarmerId]) -> None:
    count = await chain.farmer_count() if takers else 0
    for taker in takers:
        if not 0 < taker <= count or taker == config.farmer:
            raise NothingToHandOver(
                f"Farmer {taker} cannot take anything from this farm: it is this farm, or not registered.",
                hint="Give the number of another farmer with --to.",
            )
    lists = ListFiles(folder=config.data_folder / REPAIRS_NAME, of=FARMERS).read()
    for farmer in await chain.farmers_by_id(sorted(takers)) if takers else []:
        if reason := refusal_of(lists, farmer):
            raise NothingToHandOver(
                f"Farmer {farmer.id} {reason} of this farm, so it is given no slot.",
                hint=f"Allow it: `grange farm farmers allow {farmer.id}`.",
            )


async def _read_orders(chain: Chain, orders: Sequence[OrderId]) -> list[Order | None]:
    found: list[Order | None] = []
    for first in range(0, len(orders), ORDERS_ASKED_AT_ONCE):
        found += await together(*map(chain.order, orders[first : first + ORDERS_ASKED_AT_ONCE]))
    return found


def _obstacle(entry: Entry, order: Order | None, epoch: Epoch, grid_epochs: int) -> tuple[str, bool]:
    """Why a slot cannot pass now, and whether it never can; empty if it can."""
    if order is None:
        return "the market does not have it", True
    if not order.allows_hand_over:
        return "its renter does not allow it", True
    if (order.n - order.k) // 2 == 0:
        return "it has so few slots to spare that none may pass", True
    if entry.end <= epoch + 2:
        return "it ends too soon", True
    if entry.start > epoch:
        return f"it begins with epoch {entry.start}, and waits for that", False
    if not order.hand_overs_left(epoch, grid_epochs):
        return "as many of its slots as may have passed in this grid period: it waits for the next", False
    return "", False


def _planned(entry: Entry, obstacle: str, never: bool, collateral_epochs: int) -> Planned:
    return Planned(
        order=entry.order,
        slot=entry.slot,
        end=entry.end,
        size_bytes=entry.leaf_count * LEAF_BYTES,
        rate=entry.rate,
        collateral=collateral_epochs * entry.rate,
        obstacle=obstacle,
        never=never,
    )


def _by_obstacle(slots: Iterable[Planned]) -> dict[str, list[Planned]]:
    found: dict[str, list[Planned]] = {}
    for slot in slots:
        if slot.obstacle:
            found.setdefault(slot.obstacle, []).append(slot)
    return found

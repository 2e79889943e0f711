"""What a farm's operator wants to know, from the ledger and, when it answers, the chain.

Works while the node runs and while it does not, and without a chain, then with what the ledger knows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from grange.chain import (
    Chain,
    ChainError,
    ChainReplaced,
    Farmer,
    Head,
    TransactionReverted,
    read_block_clock,
)
from grange.chain.endpoint import as_urls
from grange.chain.gas_value import GasPriceFeed
from grange.times import BlockClock, format_time
from grange.token_unit import TokenUnit
from grange.types import Address, Epoch
from grange.units import format_count
from grange_node.chain.farm_market import TIMEOUTS
from grange_node.chain.funding import GasReserve, read_gas_reserve
from grange_node.chain.ownership import (
    START_OVER,
    UNKNOWN_FARMER,
    check_owner,
    other_operator,
    unknown_farmer,
)
from grange_node.chain.stake_cover import StakeCover
from grange_node.cli.hand_over import read_under_way
from grange_node.cli.stake import covered_bytes
from grange_node.config import DAMAGED_PIECES_NAME, LEDGER_NAME, Config, connect, endpoint_notes
from grange_node.errors import FarmerForeign, StoreFailed
from grange_node.files import DiskFiles
from grange_node.ledger.ledger import Ledger
from grange_node.records import Earnings, SlotState
from grange_node.self_repair.damaged_pieces import Damage, DamagedPieces
from grange_node.self_repair.self_repairer import SCRUBBED
from grange_node.slot_key import SlotKey

AMOUNTS: Final = (
    "stake",
    "stake_missing",
    "committed_rate",
    "unclaimed",
    "gas_money",
    "proof_gas_money",
    "earned",
)
"""Fields in base units or wei."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One farm. Amounts in base units; None where only the chain knows and does not answer. Times are Unix
    seconds, those of epochs estimated."""

    farmer: int
    owner: str
    operator: str
    endpoint: str
    market: str
    token: TokenUnit
    """How amounts count, and what they are called."""
    chain_id: int
    chain_error: str | None
    data_error: str | None
    """What is wrong with the data folder; then nothing in it was counted."""
    head_block: int | None
    epoch: int | None
    read_to_block: int | None
    next_audit_block: int | None
    next_audit_at: int | None
    settled_epoch: int | None
    stake: int | None
    covered_bytes: int | None
    """The room that the stake covers at the farm's price, at most what is on offer."""
    free_covered_bytes: int | None
    """Of that, what is not let yet."""
    committed_rate: int
    unclaimed: int | None
    gas_money: int | None
    """In wei."""
    gas_proofs: int | None
    """For how many proofs it is enough; None also where gas costs nothing."""
    gas_seconds: int | None
    """For how long that is, at the chain's pace of now."""
    proof_gas_money: int | None
    """What a proof costs at the fees of now, in wei."""
    gas_token_microusd: int | None
    """What a gas token is worth, in millionths of a dollar, if the settings say so."""
    misses: int | None
    strikes: int | None
    max_misses: int
    lapsed_from_epoch: int | None
    lapsed_at: int | None
    proven_epochs: int
    earned: int
    slots_staged: int
    slots_accepted: int
    slots_placed: int
    slots_lost: int
    """Declared lost, of orders that have not ended."""
    slots_to_hand_over: int
    slots_bound: int
    """Handed over, to farmers that have not proven since."""
    slots_damaged: int
    pieces_damaged: int
    """Known to be gone or wrong, and not rebuilt yet."""
    scrubbed_at: int | None
    """When all pieces were last looked at, in Unix seconds."""
    stored_bytes: int
    capacity_bytes: int
    disk_free_bytes: int
    endpoint_reports: tuple[str, ...] = ()
    """What was found out lately of the chain's endpoints, where there are several."""
    chain_doubt: str | None = None
    """What the farm could not believe of the chain when it last looked."""
    chain_doubt_since: int | None = None
    gas_warning: str | None = None
    """What to do about the gas tokens, if they run out."""
    fee_warning: str | None = None
    """What follows from fees that are above the cap, and for which epoch."""
    key_warning: str | None = None
    """What to do about the operator's key, if the chain names another."""
    slots_unsigned: int = 0
    """Placed with the farm without its signature, and in its books still."""
    unsigned_warning: str | None = None
    """What they mean, and what to do."""
    stake_missing: int | None = None
    """What the stake is short of the collateral, after misses; None where only the chain knows."""
    stake_warning: str | None = None
    """What follows from that, and what to do."""
    lapses_next: bool = False
    """Whether the stake is so small that the farm lapses with the next miss."""

    @property
    def needs_money(self) -> bool:
        """Whether no proof can be sent, or the next miss is one too many for the stake."""
        return self.cannot_prove or self.lapses_next

    @property
    def cannot_prove(self) -> bool:
        """Whether no proof is sent: gas costs more than the cap, or there is none for one."""
        return self.fee_warning is not None or self.gas_proofs == 0

    def to_json(self) -> dict[str, Any]:
        """For scripts. Amounts are strings: they are larger than what many readers of JSON take for whole
        numbers."""
        content = asdict(self)
        for name in AMOUNTS:
            content[name] = None if content[name] is None else str(content[name])
        return content


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    head: Head
    farmer: Farmer
    unclaimed: int
    gas: GasReserve
    clock: BlockClock


async def read_status(config: Config, operator: Address, data_error: str | None = None) -> Status:
    """Look at ledger, disk and chain; with `data_error`, which says what is wrong with the data folder, at
    the chain only. Raises LedgerInvalid for a ledger that is damaged or not ours; StorageFull, StoreFailed.
    """
    seen, complaint = await _look(config, operator)
    read_to: int | None = None
    counts = dict.fromkeys(SlotState, 0)
    stored_bytes = slots_lost = 0
    earnings = Earnings(proven_epochs=0, missed_epochs=0, earned=0, last_proven_epoch=None)
    doubt: tuple[str, int] | None = None
    unsigned: list[tuple[SlotKey, Address]] = []
    committed = seen.farmer.committed_rate if seen else 0
    with ExitStack() as stack:
        path = config.data_folder / LEDGER_NAME
        is_there = data_error is None and path.exists()
        ledger = stack.enter_context(Ledger.look(path)) if is_there else None
        if ledger is not None:
            read_to = ledger.cursor().block
            for record in ledger.slots(*SlotState):
                counts[record.state] += 1
                stored_bytes += record.terms.slot_bytes if record.terms else 0
            doubt = ledger.doubt()
            earnings = ledger.earnings()
            ended = Epoch(max(0, read_to) // config.parameters.epoch_blocks)
            unsigned = ledger.unsigned(ended)
            slots_lost = sum(entry.lost and entry.taker is None for entry in ledger.entries(ended))
            if seen is None:
                committed = ledger.committed_rate(ended)
    damaged, scrubbed_at = _known_damage(config) if data_error is None else ([], None)
    under_way = read_under_way(config) if data_error is None else []
    epoch_blocks = config.parameters.epoch_blocks
    lapsed_from = seen.farmer.settled_epoch + 1 if seen and seen.farmer.lapsed else None
    next_audit = (seen.head.epoch + 1) * epoch_blocks if seen else None
    covered, free_covered = _coverage(config, seen)
    microusd = await GasPriceFeed(config.fees).microusd() if config.fees.has_price else None
    cover = StakeCover.of(seen.farmer, config.parameters) if seen and not seen.farmer.lapsed else None
    foreign_key = seen is not None and seen.farmer.operator != operator
    return Status(
        farmer=config.farmer_id,
        owner=config.owner,
        operator=operator,
        endpoint=seen.farmer.endpoint if seen else config.endpoint,
        market=config.market,
        token=config.unit,
        chain_id=config.chain_id,
        chain_error=complaint,
        data_error=data_error,
        head_block=seen.head.number if seen else None,
        epoch=seen.head.epoch if seen else None,
        read_to_block=read_to,
        next_audit_block=next_audit,
        next_audit_at=int(seen.clock.time_of_block(next_audit)) if seen and next_audit else None,
        settled_epoch=seen.farmer.settled_epoch if seen else None,
        stake=seen.farmer.stake if seen else None,
        covered_bytes=covered,
        free_covered_bytes=free_covered,
        committed_rate=committed,
        unclaimed=seen.unclaimed if seen else None,
        gas_money=seen.gas.held_wei if seen else None,
        gas_proofs=seen.gas.epochs if seen else None,
        gas_seconds=seen.gas.lasting_seconds if seen else None,
        proof_gas_money=seen.gas.proof_wei if seen else None,
        gas_token_microusd=microusd,
        misses=seen.farmer.misses if seen else None,
        strikes=seen.farmer.strikes if seen else None,
        max_misses=config.parameters.max_misses,
        lapsed_from_epoch=lapsed_from,
        lapsed_at=int(seen.clock.time_of_epoch(lapsed_from)) if seen and lapsed_from else None,
        proven_epochs=earnings.proven_epochs,
        earned=earnings.earned,
        slots_staged=counts[SlotState.STAGED],
        slots_accepted=counts[SlotState.ACCEPTED],
        slots_placed=counts[SlotState.PLACED],
        slots_lost=slots_lost,
        slots_to_hand_over=sum(not one.is_bound for one in under_way),
        slots_bound=sum(one.is_bound for one in under_way),
        slots_damaged=len(damaged),
        pieces_damaged=sum(len(damage.pieces) for damage in damaged),
        scrubbed_at=scrubbed_at,
        stored_bytes=stored_bytes,
        capacity_bytes=config.offer.capacity_bytes,
        disk_free_bytes=_disk_free(config),
        endpoint_reports=_endpoint_reports(config),
        chain_doubt=doubt[0] if doubt else None,
        chain_doubt_since=doubt[1] if doubt else None,
        gas_warning=seen.gas.warning(operator) if seen and seen.gas.is_low else None,
        fee_warning=_fee_warning(config, seen) if seen else None,
        slots_unsigned=len(unsigned),
        unsigned_warning=_unsigned_warning(unsigned, {damage.key for damage in damaged}, operator),
        stake_missing=cover.missing if cover else None,
        stake_warning=cover.warning(config.unit) if cover else None,
        lapses_next=cover is not None and cover.is_last,
        key_warning=str(other_operator(seen.farmer, operator)) if seen and foreign_key else None,
    )


def _fee_warning(config: Config, seen: _Seen) -> str | None:
    """What is at stake while gas costs more than the cap."""
    if not seen.gas.is_held_back:
        return None
    warning, epoch = seen.gas.cap_warning(), seen.head.epoch
    if not seen.farmer.committed_rate or seen.farmer.lapsed or seen.farmer.settled_epoch >= epoch:
        return warning
    last = (epoch + 1) * config.parameters.epoch_blocks - 1
    when = format_time(int(seen.clock.time_of_block(last)))
    return f"{warning}. Epoch {epoch} is not proven yet, and has to be by block {last}, about {when}"


def _unsigned_warning(
    unsigned: Sequence[tuple[SlotKey, Address]], damaged: Collection[SlotKey], operator: Address
) -> str | None:
    """What slots mean that the farm did not sign for, while its key is still the one that somebody used, or
    what they hold is not here; and what to do."""
    now = [key for key, used in unsigned if used == operator]
    before = [key for key, used in unsigned if used != operator and key in damaged]
    give_up = (
        "What nobody can rebuild of them the farm declares lost by itself; if that is more than its owner "
        "lets the operator give up: grange farm limit-operator --give-up all"
    )
    if now:
        is_urgent = any(key in damaged for key in now)
        harm = (
            "make the farm miss until it lapses, which costs all that its slots have at stake"
            if is_urgent
            else "fill its room at a price of their own"
        )
        sentences = [
            f"{format_count(len(now), 'slot')} in its books that this farm did not sign for: somebody else "
            "may have the operator's key",
            f"With it they can {harm}",
            "Change the key now: grange farm rotate-key --now, then start the farm again",
            *([give_up] if is_urgent else []),
            "If an old copy of the data folder was put back, they may be its own",
        ]
        return ". ".join(sentences)
    if before:
        slots = format_count(len(before), "slot")
        return f"{slots} that were signed for with a key that was changed since are not here. {give_up}"
    return None


def _coverage(config: Config, seen: _Seen | None) -> tuple[int | None, int | None]:
    """How much of the room on offer the stake covers, and how much of that is free."""
    if seen is None:
        return None, None
    capacity, price = config.offer.capacity_bytes, config.offer.price_per_gib_epoch
    epochs = config.parameters.collateral_epochs
    answered = seen.farmer.committed_rate - seen.farmer.carried_rate
    free_stake = seen.farmer.stake - epochs * answered
    covered = covered_bytes(seen.farmer.stake, price, epochs)
    free = covered_bytes(free_stake, price, epochs)
    return (
        capacity if covered is None else min(covered, capacity),
        capacity if free is None else min(free, capacity),
    )


def _known_damage(config: Config) -> tuple[list[Damage], int | None]:
    """What is damaged, and when all was last looked at. A list that is damaged itself says nothing: the node
    begins it again."""
    path = config.data_folder / DAMAGED_PIECES_NAME
    if path.exists():
        with suppress(StoreFailed), DamagedPieces.look(path) as damaged_pieces:
            return damaged_pieces.all(), damaged_pieces.told(SCRUBBED)
    return [], None


def _endpoint_reports(config: Config) -> tuple[str, ...]:
    """What the farm said of its endpoints, and which of them does not answer."""
    notes = endpoint_notes(config)
    told = [f"{format_time(int(at))}: {sentences}" for sentences, at in notes.reports().items()]
    for url in as_urls(config.rpc_url):
        if (trouble := notes.of(url).trouble) is not None:
            told.append(f"{format_time(int(notes.of(url).trouble_at))}: {trouble}")
    return tuple(told)


async def _look(config: Config, operator: Address) -> tuple[_Seen | None, str | None]:
    try:
        async with connect(config, TIMEOUTS) as chain:
            gas, clock = (
                await read_gas_reserve(chain, operator, config.fees.policy),
                await read_block_clock(chain),
            )
            return _Seen(
                head=await chain.head(),
                farmer=await _read_farmer(chain, config),
                unclaimed=await chain.earnings(Address(config.owner)),
                gas=replace(gas, epoch_seconds=clock.epoch_seconds),
                clock=clock,
            ), None
    except ChainReplaced as error:
        return None, f"{error}. {START_OVER}"
    except (ChainError, FarmerForeign) as error:
        return None, str(error)


async def _read_farmer(chain: Chain, config: Config) -> Farmer:
    try:
        farmer = await chain.farmer(config.farmer)
    except TransactionReverted as error:
        if error.name != UNKNOWN_FARMER:
            raise
        raise unknown_farmer(config) from error
    check_owner(farmer, config)
    return farmer


def _disk_free(config: Config) -> int:
    folder = config.data_folder
    while not folder.exists():
        folder = folder.parent
    return max(0, DiskFiles().free_bytes(folder) - config.reserve_bytes)

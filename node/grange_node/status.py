"""What a farm's operator wants to know, from the ledger and, when it answers, the chain.

Works while the node runs and while it does not, and without a chain, then with what the ledger knows.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from grange.chain import ChainError, Farmer, Head, Wallet
from grange.times import format_time
from grange.types import Address, Epoch
from grange.units import format_tokens
from grange_node.care.carer import SCRUBBED
from grange_node.care.damages import DAMAGES_NAME, Damage, Damages
from grange_node.chain_link import TIMEOUTS
from grange_node.config import Config, connect
from grange_node.errors import StoreFailed
from grange_node.files import DiskFiles
from grange_node.ledger import Ledger
from grange_node.node import LEDGER_NAME
from grange_node.records import Earnings, SlotState

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One farm. Amounts in base units; None where only the chain knows and does not answer."""

    farmer: int
    owner: str
    operator: str
    endpoint: str
    market: str
    chain_id: int
    chain_error: str | None
    data_error: str | None
    """What is wrong with the data folder; then nothing in it was counted."""
    head_block: int | None
    epoch: int | None
    read_to_block: int | None
    next_audit_block: int | None
    settled_epoch: int | None
    stake: int | None
    committed_rate: int
    unclaimed: int | None
    gas_money: int | None
    misses: int
    strikes: int | None
    max_misses: int
    lapsed_from_epoch: int | None
    proven_epochs: int
    earned: int
    slots_staged: int
    slots_accepted: int
    slots_placed: int
    slots_lost: int
    """Declared lost, of orders that have not ended."""
    slots_damaged: int
    pieces_damaged: int
    """Known to be gone or wrong, and not rebuilt yet."""
    scrubbed_at: int | None
    """When all pieces were last looked at, in Unix seconds."""
    stored_bytes: int
    capacity_bytes: int
    disk_free_bytes: int
    chain_doubt: str | None = None
    """What the farm could not believe of the chain when it last looked."""
    chain_doubt_since: int | None = None
    """In Unix seconds."""

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    head: Head
    farmer: Farmer
    unclaimed: int
    gas_money: int


async def read_status(config: Config, wallet: Wallet, data_error: str | None = None) -> Status:
    """Look at ledger, disk and chain; with `data_error`, which says what is wrong with the data folder, at
    the chain only. Raises LedgerInvalid for a ledger that is damaged or not ours, NoRoom, StoreFailed."""
    seen, complaint = await _look(config, wallet)
    read_to: int | None = None
    counts = dict.fromkeys(SlotState, 0)
    stored_bytes = slots_lost = 0
    earnings = Earnings(proven_epochs=0, missed_epochs=0, earned=0, last_proven_epoch=None)
    doubt: tuple[str, int] | None = None
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
            slots_lost = sum(entry.lost for entry in ledger.entries(ended))
            if seen is None:
                committed = ledger.committed_rate(ended)
    damaged, scrubbed_at = _known_damage(config) if data_error is None else ([], None)
    return Status(
        farmer=config.farmer_id,
        owner=config.owner,
        operator=wallet.address,
        endpoint=seen.farmer.endpoint if seen else config.endpoint,
        market=config.market,
        chain_id=config.chain_id,
        chain_error=complaint,
        data_error=data_error,
        head_block=seen.head.number if seen else None,
        epoch=seen.head.epoch if seen else None,
        read_to_block=read_to,
        next_audit_block=(seen.head.epoch + 1) * config.parameters.epoch_blocks if seen else None,
        settled_epoch=seen.farmer.settled_epoch if seen else None,
        stake=seen.farmer.stake if seen else None,
        committed_rate=committed,
        unclaimed=seen.unclaimed if seen else None,
        gas_money=seen.gas_money if seen else None,
        misses=seen.farmer.misses if seen else earnings.missed_epochs,
        strikes=seen.farmer.strikes if seen else None,
        max_misses=config.parameters.max_misses,
        lapsed_from_epoch=seen.farmer.settled_epoch + 1 if seen and seen.farmer.lapsed else None,
        proven_epochs=earnings.proven_epochs,
        earned=earnings.earned,
        slots_staged=counts[SlotState.STAGED],
        slots_accepted=counts[SlotState.ACCEPTED],
        slots_placed=counts[SlotState.PLACED],
        slots_lost=slots_lost,
        slots_damaged=len(damaged),
        pieces_damaged=sum(len(damage.pieces) for damage in damaged),
        scrubbed_at=scrubbed_at,
        stored_bytes=stored_bytes,
        capacity_bytes=config.offer.capacity_bytes,
        disk_free_bytes=_disk_free(config),
        chain_doubt=doubt[0] if doubt else None,
        chain_doubt_since=doubt[1] if doubt else None,
    )


def status_table(status: Status) -> Table:
    """The same for people."""
    table = Table(title=f"Farmer {status.farmer}", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()

    def tokens(amount: int | None) -> str:
        return "unknown" if amount is None else f"{format_tokens(amount)} tokens"

    chain = status.chain_error or f"block {status.head_block}, epoch {status.epoch}"
    stored = f"{status.stored_bytes / MIB:,.1f} of {status.capacity_bytes / MIB:,.0f} MiB"
    kept = f"{status.slots_placed} kept, {status.slots_accepted} promised, {status.slots_staged} arriving"
    next_audit = "unknown" if status.next_audit_block is None else f"from block {status.next_audit_block}"
    if status.data_error is not None:
        table.add_row("data", status.data_error)
    for name, value in (
        ("endpoint", status.endpoint),
        ("owner", status.owner),
        ("operator", status.operator),
        ("chain", chain),
        ("stored", stored),
        ("slots", kept),
        ("health", _health(status)),
        ("disk free", f"{status.disk_free_bytes / MIB:,.0f} MiB"),
        ("rate", f"{format_tokens(status.committed_rate)} tokens an epoch"),
        ("epochs", f"{status.proven_epochs} proven, {status.misses} missed"),
        ("standing", _standing(status)),
        ("earned", tokens(status.earned)),
        ("to withdraw", tokens(status.unclaimed)),
        ("stake", tokens(status.stake)),
        ("next audit", next_audit),
    ):
        table.add_row(name, value)
    if status.chain_doubt is not None:
        since = format_time(status.chain_doubt_since or 0)
        table.add_row("in doubt", Text(f"since {since}: {status.chain_doubt}"))
    return table


def _health(status: Status) -> str:
    looked = "not looked at as a whole yet"
    if status.scrubbed_at is not None:
        looked = f"all looked at by {datetime.fromtimestamp(status.scrubbed_at):%Y-%m-%d %H:%M}"
    damage = "no damage known"
    if status.pieces_damaged:
        damage = f"{status.pieces_damaged} pieces of {status.slots_damaged} slots damaged, being rebuilt"
    return f"{damage}; {status.slots_lost} slots declared lost; {looked}"


def _standing(status: Status) -> str:
    if status.lapsed_from_epoch is not None:
        return f"lapsed: all slots are vacant from epoch {status.lapsed_from_epoch} on, and anyone may evict"
    if status.strikes is None:
        return "unknown"
    return f"{status.strikes} of the {status.max_misses} strikes with which a farmer lapses"


def _known_damage(config: Config) -> tuple[list[Damage], int | None]:
    """What is damaged, and when all was last looked at. A list that is damaged itself says nothing: the node
    begins it again."""
    path = config.data_folder / DAMAGES_NAME
    if path.exists():
        with suppress(StoreFailed), Damages.look(path) as damages:
            return damages.all(), damages.told(SCRUBBED)
    return [], None


async def _look(config: Config, wallet: Wallet) -> tuple[_Seen | None, str | None]:
    try:
        async with connect(config, TIMEOUTS) as chain:
            return _Seen(
                head=await chain.head(),
                farmer=await chain.farmer(config.farmer),
                unclaimed=await chain.earnings(Address(config.owner)),
                gas_money=await chain.native_balance(wallet.address),
            ), None
    except ChainError as error:
        return None, str(error)


def _disk_free(config: Config) -> int:
    folder = config.data_folder
    while not folder.exists():
        folder = folder.parent
    return max(0, DiskFiles().free_bytes(folder) - config.reserve_bytes)

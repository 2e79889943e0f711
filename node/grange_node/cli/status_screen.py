"""`grange farm status` for people: one table."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from grange.chain.gas_value import WEI
from grange.times import format_duration, format_time
from grange.units import GIB, format_count, format_gas_tokens, format_size, format_usd
from grange_node.cli.status import Status
from grange_node.errors import Lapsed

UNKNOWN = "unknown without the chain"


def status_table(status: Status) -> Table:
    """Names and values. What needs the operator stands at the top."""
    table = Table(title=f"Farmer {status.farmer}", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in (*_warnings(status), *_facts(status)):
        table.add_row(name, Text(value))
    return table


def _warnings(status: Status) -> list[tuple[str, str]]:
    rows = []
    if status.data_error is not None:
        rows.append(("data", status.data_error))
    if status.lapsed_from_epoch is not None:
        since = f"epoch {status.lapsed_from_epoch}, about {_time(status.lapsed_at)}"
        rows.append(("lapsed", str(Lapsed(status.farmer, since))))
    if status.unsigned_warning is not None:
        rows.append(("not signed", f"{status.unsigned_warning}."))
    if status.key_warning is not None:
        rows.append(("key", status.key_warning))
    if status.stake_warning is not None:
        rows.append(("short", f"{status.stake_warning}."))
    if status.gas_warning is not None:
        rows.append(("gas", f"{status.gas_warning}."))
    if status.fee_warning is not None:
        rows.append(("fees", f"{status.fee_warning}."))
    rows += [("endpoints", told) for told in status.endpoint_reports]
    if status.chain_doubt is not None:
        rows.append(("in doubt", f"since {_time(status.chain_doubt_since)}: {status.chain_doubt}"))
    return rows


def _facts(status: Status) -> list[tuple[str, str]]:
    kept = f"{status.slots_placed} kept, {status.slots_accepted} accepted, {status.slots_staged} arriving"
    is_lapsed = status.lapsed_from_epoch is not None
    facts = [
        ("endpoint", status.endpoint),
        ("owner", status.owner),
        ("operator", status.operator),
        ("chain", status.chain_error or f"block {status.head_block}, epoch {status.epoch}"),
        ("stored", f"{format_size(status.stored_bytes)} of {format_size(status.capacity_bytes)}"),
        ("slots", kept),
        ("health", _health(status)),
        *_handing_over(status),
        ("disk free", format_size(status.disk_free_bytes)),
        ("stake", _tokens(status, status.stake)),
        ("covers", _coverage(status)),
        ("rate", f"{status.token.rounded_down(status.committed_rate)} an epoch"),
        ("epochs", f"{status.proven_epochs} proven, {_missed(status)}"),
        ("standing", _standing(status)),
        ("earned", f"{status.token.rounded_down(status.earned)} in all"),
        ("to withdraw", _tokens(status, status.unclaimed)),
        ("gas", _gas(status)),
        ("next audit", _next_audit(status)),
    ]
    # A lapsed farm can let nothing more, and is neither asked nor paid.
    return [fact for fact in facts if not is_lapsed or fact[0] not in {"covers", "rate", "next audit"}]


def _handing_over(status: Status) -> list[tuple[str, str]]:
    if not status.slots_to_hand_over and not status.slots_bound:
        return []
    bound = f"{format_count(status.slots_bound, 'slot')} passed, not proven by their takers yet"
    return [("handing over", f"{format_count(status.slots_to_hand_over, 'slot')} to pass; {bound}")]


def _coverage(status: Status) -> str:
    covered, free = status.covered_bytes, status.free_covered_bytes
    if covered is None or free is None:
        return UNKNOWN
    capacity = format_size(status.capacity_bytes)
    if covered >= status.capacity_bytes:
        return f"all of the {capacity} on offer; {format_size(free)} are free"
    return (
        f"{format_size(covered)} ({covered / GIB:.3g} GiB) of the {capacity} on offer; {format_size(free)} "
        "of it are free. For more, add to the stake or lower the price: grange farm update"
    )


def _gas(status: Status) -> str:
    if status.gas_money is None:
        return UNKNOWN
    held = f"{_gas_tokens(status, status.gas_money)} gas tokens"
    if status.gas_proofs is None or status.proof_gas_money is None:
        return held
    each = f"each costs up to {_gas_tokens(status, status.proof_gas_money)}"
    lasting = f" ({format_duration(status.gas_seconds)})" if status.gas_seconds else ""
    return f"{held}, enough for about {format_count(status.gas_proofs, 'proof')}{lasting}: {each}"


def _gas_tokens(status: Status, amount_wei: int) -> str:
    """So many gas tokens, and what they are worth if that is known."""
    if status.gas_token_microusd is None:
        return format_gas_tokens(amount_wei)
    worth = format_usd(-(-amount_wei * status.gas_token_microusd // WEI))
    return f"{format_gas_tokens(amount_wei)} ({worth})"


def _next_audit(status: Status) -> str:
    if status.next_audit_block is None:
        return UNKNOWN
    return f"from block {status.next_audit_block}, about {_time(status.next_audit_at)}"


def _missed(status: Status) -> str:
    return f"missed: {UNKNOWN}" if status.misses is None else f"{status.misses} missed"


def _health(status: Status) -> str:
    looked = "not looked at as a whole yet"
    if status.scrubbed_at is not None:
        looked = f"all looked at by {_time(status.scrubbed_at)}"
    damage = "no damage known"
    if status.pieces_damaged:
        pieces, slots = (
            format_count(status.pieces_damaged, "piece"),
            format_count(status.slots_damaged, "slot"),
        )
        damage = f"{pieces} of {slots} damaged, being rebuilt"
    return f"{damage}; {format_count(status.slots_lost, 'slot')} declared lost; {looked}"


def _standing(status: Status) -> str:
    if status.lapsed_from_epoch is not None:
        return f"lapsed: all slots are vacant from epoch {status.lapsed_from_epoch} on"
    if status.strikes is None:
        return UNKNOWN
    return f"{status.strikes} of the {status.max_misses} strikes with which a farmer lapses"


def _tokens(status: Status, amount: int | None) -> str:
    return UNKNOWN if amount is None else status.token.rounded_down(amount)


def _time(unix_seconds: int | None) -> str:
    return "?" if unix_seconds is None else format_time(unix_seconds, seconds=True)

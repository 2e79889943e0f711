"""What machines get: the same things as `screens/` shows, as JSON.

Amounts are whole base units as decimal strings: most readers of JSON, JavaScript and jq among them, keep
numbers in 53 bits and would round them. Ids are in hex, times are Unix seconds.
"""

import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from grange.chain.call_sizes import place
from grange.chain.gas_value import GasValue
from grange.chain.orders import Closing
from grange.listed_names import ListedNames
from grange.messages import NO_ORDER
from grange.times import BlockClock
from grange.token_unit import TokenUnit
from grange.units import format_usd
from grange_client.downloads.restore import Restored
from grange_client.files.attributes import Remarks
from grange_client.files.manifest import Manifest
from grange_client.files.scan import shown
from grange_client.orders.catalog import Known
from grange_client.orders.durability import OrderHealth, SlotState
from grange_client.orders.extension_quote import Extended, ExtensionQuote
from grange_client.orders.pending import Stored
from grange_client.orders.plan import Funds
from grange_client.orders.store import Quote
from grange_client.renter import FarmerReport


def stored_json(stored: Stored, quote: Quote, seconds: float, clock: BlockClock) -> dict[str, Any]:
    """An order that was just placed."""
    size_bytes = quote.scan.content_bytes
    return {
        "order": stored.order.id.hex(),
        "name": stored.manifest.name,
        "files": quote.scan.files,
        "bytes": size_bytes,
        "skipped": [{"path": os.fsdecode(one.path), "reason": one.reason} for one in quote.scan.skipped],
        "cautions": list(quote.cautions),
        "k": stored.order.geometry.k,
        "n": stored.order.geometry.n,
        "start": stored.order.start,
        "end": stored.order.end,
        "end_time": int(clock.time_of_epoch(stored.order.end)),
        "cost": str(stored.order.cost),
        "farmers": [slot.farmer for slot in stored.order.slots],
        "transaction": stored.receipt.tx_hash.hex(),
        "block": stored.receipt.block,
        "confirmations": stored.confirmations,
        "gas": stored.receipt.gas_used,
        "seconds": seconds,
        "mb_s": size_bytes / 1e6 / seconds if seconds else 0.0,
    }


def quote_json(quote: Quote, unit: TokenUnit, gas: GasValue, *, approves: bool) -> dict[str, Any]:
    """What an order would cost; nothing was stored."""
    size = place(quote.geometry.n)
    return {
        "name": quote.manifest.name,
        "files": quote.scan.files,
        "bytes": quote.scan.content_bytes,
        "skipped": [{"path": os.fsdecode(one.path), "reason": one.reason} for one in quote.scan.skipped],
        "cautions": list(quote.cautions),
        "k": quote.geometry.k,
        "n": quote.geometry.n,
        "start": quote.start,
        "end": quote.end,
        "cost": str(quote.cost),
        "missing": str(quote.missing),
        "token": asdict(unit),
        "transactions": 2 if approves else 1,
        "gas": size.gas,
        "gas_usd": None if (usd := gas.usd(size)) is None else format_usd(usd),
    }


def order_json(known: Known, clock: BlockClock, unread: Iterable[tuple[int, int]]) -> dict[str, Any]:
    """One order of the list. `unread` is blocks of which nothing was read; what happened to it there is not
    in it."""
    order = known.order
    return {
        "order": order.id.hex(),
        "name": known.name,
        "drive": known.drive,
        "files": known.files,
        "bytes": known.size_bytes,
        "created": known.created,
        "block": order.block,
        "start": order.start,
        "end": order.end,
        "end_time": int(clock.time_of_epoch(order.end)),
        "epochs_left": max(0, order.end - clock.epoch),
        "k": order.geometry.k,
        "n": order.geometry.n,
        "slot_bytes": order.geometry.slot_bytes,
        "cost": str(order.cost),
        "previous": None if order.previous == NO_ORDER else order.previous.hex(),
        "extended_by": known.extended_by.hex() if known.extended_by else None,
        "closed": known.closing is not None,
        "awaits_closing": known.awaits_closing(clock.epoch),
        "refund": str(known.closing.refund) if known.closing else None,
        "compensation": str(known.closing.compensation) if known.closing else None,
        "slots": [
            {
                "farmer": slot.farmer,
                "root": slot.root.hex(),
                "rate": str(slot.rate),
                "max_egress_price_per_gib": str(slot.max_egress_price_per_gib),
            }
            for slot in order.slots
        ],
        "unread_blocks": [list(blocks) for blocks in unread],
    }


def extended_json(
    known: Known, extended: Extended, quote: ExtensionQuote, clock: BlockClock
) -> dict[str, Any]:
    """An order that was just extended. `moved` is slots that other farmers have got."""
    order = extended.order
    before = [slot.farmer for slot in extended.previous.slots]
    return {
        "order": order.id.hex(),
        "previous": extended.previous.id.hex(),
        "name": known.name,
        "start": order.start,
        "end": order.end,
        "end_time": int(clock.time_of_epoch(order.end)),
        "cost": str(order.cost),
        "quoted": str(quote.cost),
        "farmers": [slot.farmer for slot in order.slots],
        "moved": [i for i, slot in enumerate(order.slots) if slot.farmer != before[i]],
        "transaction": extended.receipt.tx_hash.hex(),
        "block": extended.receipt.block,
        "confirmations": extended.confirmations,
        "gas": extended.receipt.gas_used,
    }


def health_json(known: Known, health: OrderHealth, clock: BlockClock, names: ListedNames) -> dict[str, Any]:
    """How one order is. `loss` is the probability that it is lost before it ends, as `durability` has it."""
    return {
        "order": known.order.id.hex(),
        "name": known.name,
        "k": health.k,
        "n": len(health.slots),
        **{state.value: health.count(state) for state in SlotState},
        "spares": health.spares,
        "end": known.order.end,
        "end_time": int(clock.time_of_epoch(known.order.end)),
        "epochs_left": health.epochs_left,
        "loss": health.loss,
        "slots": [{"slot": s.slot, "farmer": s.farmer, "state": s.state.value} for s in health.slots],
        "names": {str(s.farmer): name for s in health.slots if (name := names.of(s.farmer))},
    }


def closing_json(known: Known, closing: Closing) -> dict[str, Any]:
    """An order that was closed, and what came back to the vault."""
    return {
        "order": known.order.id.hex(),
        "name": known.name,
        "cost": str(known.order.cost),
        "refund": str(closing.refund),
        "compensation": str(closing.compensation),
        "block": closing.block,
    }


def farmer_json(report: FarmerReport) -> dict[str, Any]:
    """One farmer."""
    farmer = report.farmer
    return {
        "farmer": farmer.id,
        "endpoint": farmer.endpoint,
        "owner": farmer.owner,
        "operator": farmer.operator,
        "price_per_gib_epoch": str(farmer.offer.price_per_gib_epoch),
        "egress_price_per_gib": str(farmer.offer.egress_price_per_gib),
        "capacity_bytes": farmer.offer.capacity_bytes,
        "free_bytes": report.free_bytes,
        "longest_term_epochs": farmer.offer.longest_term_epochs,
        "stake": str(farmer.stake),
        "committed_rate": str(farmer.committed_rate),
        "lapsed": farmer.lapsed,
        "registered_block": farmer.registered_block,
        "proven": farmer.epochs_proven,
        "missed": farmer.misses,
        "answers": not report.silent,
        "silent": report.silent,
        "distrust": report.distrust,
        "name": report.name,
        "friend": report.is_friend,
    }


def funds_json(address: str, funds: Funds) -> dict[str, Any]:
    """What there is to pay with."""
    shown = {
        "address": address,
        "vault": str(funds.vault),
        "wallet": str(funds.wallet),
        "native": str(funds.native),
        "token": asdict(funds.unit),
    }
    return shown if funds.limit is None else shown | {"delegate": funds.address, "limit": str(funds.limit)}


def restored_json(known: Known, restored: Restored, target: Path, seconds: float) -> dict[str, Any]:
    """What was fetched."""
    return {
        "order": known.order.id.hex(),
        "name": known.name,
        "target": str(target),
        "files": restored.files,
        "bytes": restored.size_bytes,
        "skipped": restored.skipped,
        "left_out": _remarks_json(restored.left_out),
        "inexact": _remarks_json(restored.inexact),
        "paid": str(restored.paid),
        "seconds": seconds,
        "mb_s": restored.size_bytes / 1e6 / seconds if seconds else 0.0,
    }


def _remarks_json(remarks: Remarks) -> dict[str, Any]:
    first = [{"path": os.fsdecode(one.path), "reason": one.reason} for one in remarks.first]
    return {"count": remarks.count, "first": first}


def entries_json(manifest: Manifest) -> list[dict[str, Any]]:
    """Every name in an order; names as text, with what is not UTF-8 as surrogate escapes.

    `shown` is the name as `stat --files` prints it and `get --only` takes it.
    """
    return [
        {
            "path": os.fsdecode(entry.path),
            "shown": shown(entry.path),
            "kind": entry.kind.name.lower(),
            "mode": entry.mode,
            "mtime_ns": entry.mtime_ns,
            "bytes": entry.size_bytes,
            "target": os.fsdecode(entry.target),
        }
        for entry in manifest.entries
    ]

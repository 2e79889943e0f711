"""What machines get of commands on drives, as JSON; see `output` for how amounts and times are written."""

import os
from pathlib import Path
from typing import Any

from grange.times import BlockClock
from grange_client.cli.drive_path import DrivePath
from grange_client.drive.backup.backup import BackupResult
from grange_client.drive.chunk import id_of
from grange_client.drive.entry import Directory
from grange_client.drive.restore import RestoreResult
from grange_client.drive_backup import PublishedBackup
from grange_client.drive_restore import ReadingCost
from grange_client.files.attributes import Remarks
from grange_client.orders.order_storing import OrderQuote


def stored_json(
    place: DrivePath, done: PublishedBackup, clock: BlockClock, *, seconds: float
) -> dict[str, Any]:
    """What was stored in a drive; nothing is placed where nothing changed."""
    orders = [one.order for one in done.placed]
    end = min((order.end for order in orders), default=None)
    return {
        **_backup(place, done.made.result),
        "merged_heads": done.made.merged_heads,
        "orders": [order.id.hex() for order in orders],
        "sent_bytes": sum(order.geometry.data_bytes for order in orders),
        "sent_wire_bytes": sum(order.geometry.slot_bytes * order.geometry.n for order in orders),
        "end": end,
        "end_time": None if end is None else int(clock.time_of_epoch(end)),
        "cost": str(done.cost),
        "seconds": seconds,
    }


def measured_json(
    place: DrivePath, result: BackupResult, *, quote: OrderQuote | None, packs: int, cost: int
) -> dict[str, Any]:
    """What a backup would store and cost; nothing was stored, and the commit is none."""
    return {
        **_backup(place, result),
        "commit": None,
        "packs": packs,
        "k": quote and quote.geometry.k,
        "n": quote and quote.geometry.n,
        "end": quote and quote.end,
        "cautions": list(quote.cautions) if quote else [],
        "cost": str(cost),
    }


def _backup(place: DrivePath, result: BackupResult) -> dict[str, Any]:
    changes, totals, new = result.changes, result.totals, result.new
    return {
        "drive": place.drive,
        "path": os.fsdecode(place.path),
        "commit": None if result.key is None else id_of(result.key).hex(),
        "files": totals.files,
        "directories": totals.directories,
        "links": totals.links,
        "bytes": totals.size_bytes,
        "read_bytes": totals.read_bytes,
        "new": changes.new,
        "changed": changes.changed,
        "moved": changes.moved,
        "gone": changes.gone,
        "new_bytes": new.content_bytes,
        "sealed_bytes": new.sealed_bytes,
        "unread": remarks_json(result.remarks.unread),
        "left_out": remarks_json(result.remarks.left_out),
        "inexact": remarks_json(result.remarks.inexact),
    }


def remarks_json(remarks: Remarks) -> dict[str, Any]:
    """How many there were, and the first of them."""
    return {
        "count": remarks.count,
        "first": [{"path": os.fsdecode(one.path), "reason": one.reason} for one in remarks.first],
    }


def wanted_json(place: DrivePath, root: Directory, cost: ReadingCost) -> dict[str, Any]:
    """What would be fetched."""
    return {
        "drive": place.drive,
        "path": os.fsdecode(place.path),
        "names": root.count,
        "bytes": root.size_bytes,
        "cost_expected": str(cost.expected),
        "cost_at_most": str(cost.at_most),
    }


def got_json(
    place: DrivePath, result: RestoreResult, target: Path, *, paid: int, seconds: float
) -> dict[str, Any]:
    """What was fetched, and of each kind of remark how many there are and the first of them."""
    return {
        "drive": place.drive,
        "path": os.fsdecode(place.path),
        "target": str(target),
        "files": result.files,
        "directories": result.directories,
        "links": result.links,
        "unchanged": result.unchanged,
        "bytes": result.size_bytes,
        "fetched_bytes": result.fetched_bytes,
        "reused_bytes": result.reused_bytes,
        "left_out": result.remarks.left_out_count,
        "remarks": {kind.value: remarks_json(some) for kind, some in result.remarks.by_kind.items()},
        "paid": str(paid),
        "seconds": seconds,
    }

"""Repairs that were begun, on disk, so that anyone who is interrupted goes on with the same farmers.

    jobs/<order>.json            a repair under way
    done/<block>-<order>.json    one that ended, whatever came of it

Decides the form and that a file is whole or not there; one that cannot be read is told of and left alone, and
keeps no other from repair. What a farmer already has is asked of the farmer, not
written here: so nothing has to be written for each piece.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from grange.json_text import parse_json
from grange.types import Epoch, FarmerId, OrderId, bytes_from_hex
from grange_node.config import write_private
from grange_node.errors import StoreFailed
from grange_node.pieces.folders import translated

MAX_DONE_KEPT: Final = 1_000
NOBODY: Final = FarmerId(0)
UNKNOWN_END: Final = Epoch(0)

log = logging.getLogger("grange.repair")


class Outcome(StrEnum):
    """How far a repair came."""

    OPEN = "under way"
    REFILLED = "refilled"
    OVERTAKEN = "others were first"
    HOPELESS = "the slots do not belong together: nobody can rebuild them"
    ENDED = "the order ended"

    @classmethod
    def _missing_(cls, value: object) -> Outcome | None:
        """What older versions wrote for one of these."""
        return cls.HOPELESS if value == "the slots are no code word: nobody can rebuild them" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One repair of one order."""

    order: OrderId
    takers: Mapping[int, FarmerId]
    """Slots that are being rebuilt, and who is to take each; NOBODY where that is not known yet."""
    tenures: Mapping[int, Epoch]
    """Since when those had them who are gone: so it can be told whether a slot was refilled."""
    begun_block: int
    end: Epoch = UNKNOWN_END
    """Of the order; UNKNOWN_END where an older version wrote the job."""
    gave_way_block: int = 0
    """Since when a farmer has signed for another repairer; 0 if none has."""
    outcome: Outcome = Outcome.OPEN
    bytes_read: int = 0
    """From sources, at the sockets."""
    bytes_rebuilt: int = 0
    bytes_sent: int = 0
    bounty: int = 0
    """Base units that came of it."""
    paid: int = 0
    """Base units that reading has cost."""
    refilled: Mapping[int, FarmerId] = field(default_factory=dict)
    transactions: tuple[str, ...] = ()
    at_fault: tuple[FarmerId, ...] = ()
    """Farmers that sent wrong bytes."""
    declined: tuple[FarmerId, ...] = ()
    """Farmers that were to take a slot and did not: others are asked first."""

    def counted(self, *, read: int = 0, rebuilt: int = 0, sent: int = 0, paid: int = 0) -> Self:
        """With more bytes, and what they cost."""
        return replace(
            self,
            bytes_read=self.bytes_read + read,
            bytes_rebuilt=self.bytes_rebuilt + rebuilt,
            bytes_sent=self.bytes_sent + sent,
            paid=self.paid + paid,
        )

    def to_json(self) -> dict[str, Any]:
        """For the file, and for scripts."""
        return {
            "order": self.order.hex(),
            "takers": {str(slot): farmer for slot, farmer in self.takers.items()},
            "tenures": {str(slot): start for slot, start in self.tenures.items()},
            "begun_block": self.begun_block,
            "end": self.end,
            "gave_way_block": self.gave_way_block,
            "outcome": self.outcome.value,
            "bytes_read": self.bytes_read,
            "bytes_rebuilt": self.bytes_rebuilt,
            "bytes_sent": self.bytes_sent,
            "bounty": self.bounty,
            "paid": self.paid,
            "refilled": {str(slot): farmer for slot, farmer in self.refilled.items()},
            "transactions": list(self.transactions),
            "at_fault": list(self.at_fault),
            "declined": list(self.declined),
        }

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """The inverse of `to_json`. Raises ValueError, KeyError, TypeError, AttributeError."""
        return cls(
            order=OrderId(bytes_from_hex(content["order"])),
            takers={int(slot): FarmerId(farmer) for slot, farmer in content["takers"].items()},
            tenures={int(slot): Epoch(start) for slot, start in content["tenures"].items()},
            begun_block=int(content["begun_block"]),
            end=Epoch(int(content.get("end", UNKNOWN_END))),
            gave_way_block=int(content["gave_way_block"]),
            outcome=Outcome(content["outcome"]),
            bytes_read=int(content["bytes_read"]),
            bytes_rebuilt=int(content["bytes_rebuilt"]),
            bytes_sent=int(content["bytes_sent"]),
            bounty=int(content["bounty"]),
            paid=int(content["paid"]),
            refilled={int(slot): FarmerId(farmer) for slot, farmer in content["refilled"].items()},
            transactions=tuple(content["transactions"]),
            at_fault=tuple(FarmerId(farmer) for farmer in content["at_fault"]),
            declined=tuple(FarmerId(farmer) for farmer in content.get("declined", ())),
        )


class Jobs:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        self._open = folder / "jobs"
        self._done = folder / "done"
        self._told: set[Path] = set()

    def prepare(self) -> None:
        """Make the folders. Raises StorageFull, StoreFailed."""
        for folder in (self._open, self._done):
            with translated(f"making {folder}"):
                folder.mkdir(0o700, parents=True, exist_ok=True)

    def under_way(self) -> list[Job]:
        """Repairs that were begun and have not ended."""
        return self._read_all(self._open)

    def done(self) -> list[Job]:
        """Repairs that ended, the oldest first."""
        return self._read_all(self._done)

    def save(self, job: Job) -> None:
        """Write down how far a repair came, in one step. Raises StoreFailed."""
        try:
            self._save(job)
        except OSError as error:
            raise StoreFailed(
                f"a repair cannot be written to {self._open.parent}: {error.strerror}"
            ) from error

    def _save(self, job: Job) -> None:
        text = json.dumps(job.to_json(), indent=2) + "\n"
        for folder in (self._open.parent, self._open, self._done):
            # They may have vanished; what is above them may be the place of a disk that is not mounted.
            folder.mkdir(0o700, exist_ok=True)
        path = self._open / f"{job.order.hex()}.json"
        if job.outcome is Outcome.OPEN:
            write_private(path, text)
            return
        write_private(self._done / f"{job.begun_block:012d}-{job.order.hex()}.json", text)
        path.unlink(missing_ok=True)
        for old in sorted(self._done.glob("*.json"))[:-MAX_DONE_KEPT]:
            old.unlink(missing_ok=True)

    def _read_all(self, folder: Path) -> list[Job]:
        if not folder.is_dir():
            return []
        found = [self._read(path) for path in sorted(folder.glob("[!.]*.json"))]
        return [job for job in found if job is not None]

    def _read(self, path: Path) -> Job | None:
        try:
            return Job.from_json(parse_json(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            if path not in self._told:
                self._told.add(path)
                log.warning("%s is not a repair that can be read; move it away", path)
            return None

"""What mending each slot of ours has cost, in a small file beside the repairs.

A slot is worth so much to its farm and no more, however often the farm starts again: without this memory
sources that charge and send rot would be paid that much after every start. Decides the form, and that an
entry goes with the end of its order. A file that is lost or spoilt is begun again: that costs some money at
worst, and a slot that is not mended costs more. Leaves how much a slot is worth to `rebuilder`.
"""

from __future__ import annotations

import errno
import json
import logging
from pathlib import Path
from typing import Final

from grange.json_text import parse_json
from grange.storage.database_file import move_aside
from grange.types import Epoch, OrderId
from grange_node.config import write_private
from grange_node.errors import StoreFailed
from grange_node.files import FOLDER_MODE
from grange_node.pieces.folders import translated

SPENDING_NAME: Final = "mending.json"

log = logging.getLogger("grange.farm")


class RepairSpending:
    """The file, in the folder of repairs; it is read when it is first asked."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / SPENDING_NAME
        self._known: dict[str, tuple[int, int]] | None = None

    def paid(self, order: OrderId, slot: int) -> int:
        """What a slot has cost so far, in base units."""
        return self._all().get(_name(order, slot), (0, 0))[0]

    def note(self, order: OrderId, slot: int, paid: int, *, end: Epoch, epoch: Epoch) -> None:
        """A slot has cost so much so far; it is kept until `end`, and `epoch` is the current one. Raises
        StorageFull, StoreFailed."""
        known = {name: (cost, until) for name, (cost, until) in self._all().items() if until > epoch}
        known[_name(order, slot)] = (paid, end)
        content = {name: {"paid": str(cost), "end": until} for name, (cost, until) in known.items()}
        self._known = known
        with translated(f"writing {self._path}"):
            self._path.parent.mkdir(FOLDER_MODE, exist_ok=True)
            write_private(self._path, json.dumps(content, indent=2) + "\n")

    def _all(self) -> dict[str, tuple[int, int]]:
        if self._known is None:
            self._known = self._read()
        return self._known

    def _read(self) -> dict[str, tuple[int, int]]:
        try:
            content = parse_json(self._path.read_text())
            return {name: (int(one["paid"]), int(one["end"])) for name, one in content.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason: object = error
        except OSError as error:
            reason = error.strerror
            if error.errno != errno.EIO:
                # Not a matter of its content: the next try may find it.
                raise StoreFailed(f"{self._path} cannot be read: {reason}") from error
        with translated(f"moving {self._path} aside"):
            aside = move_aside(self._path)
        log.warning(
            "%s cannot be read (%s) and is kept as %s: what mending has cost is forgotten",
            self._path,
            reason,
            aside.name,
        )
        return {}


def _name(order: OrderId, slot: int) -> str:
    return f"{order.hex()}/{slot}"

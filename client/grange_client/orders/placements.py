"""Orders that are on their way onto the chain: what it takes to place them again, one file each, in the home.

A reorganisation can drop an order after its command has ended. Its farmers keep the pieces, and their
signatures hold, up to a block that they named; so these are kept until the order is buried for good. Decides
how that is written down. Leaves placing to `placing`, placing again to `dropped`.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from grange.chain import Event
from grange.chain.orders import OrderState, filled_slots
from grange.errors import Misuse
from grange.json_text import parse_json
from grange.layout import Geometry
from grange.messages import NO_ORDER, Domain
from grange.storage.atomic_file import replace_file
from grange.storage.mark import is_marked, marked
from grange.types import Acceptance, Address, Epoch, FarmerId, OrderId, Slot, Terms, address_from
from grange_client.errors import HomeForgetful
from grange_client.orders.lookup import SHOWN_ID_CHARACTERS

FOLDER_NAME: Final = "placements"
CHECK_NAME: Final = "check"
"""Written to see whether the folder takes anything."""
MAX_BYTES: Final = 1 << 20
NOT_MINED: Final = 0
"""The block of an order that was not seen on the chain. No order is in block 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """An order, and what its farmers signed for it."""

    name: str
    salt: bytes
    order: OrderState
    acceptances: tuple[Acceptance, ...]
    allows_hand_over: bool = True
    is_acknowledged: bool = False
    """Whether somebody was told that it is signed, and counts on it to be placed."""

    @property
    def terms(self) -> Terms:
        """As the market takes them."""
        geometry = self.order.geometry
        return Terms(
            salt=self.salt,
            end=self.order.end,
            leaf_count=geometry.leaf_count,
            piece_leaves=geometry.piece_leaves,
            k=geometry.k,
            allows_hand_over=self.allows_hand_over,
        )

    @property
    def last_block(self) -> int:
        """The last block in which all signatures hold."""
        return min(one.deadline_block for one in self.acceptances)

    def in_block(self, block: int, start: Epoch) -> "Placement":
        """As it was mined."""
        return replace(self, order=self.order.in_block(block, start), is_acknowledged=False)


class Placements:
    """The folder. Damaged files are moved aside and reported. Those of another market or account are not
    ours: what was signed for them is worth nothing here."""

    def __init__(self, folder: Path, *, domain: Domain, renter: Address) -> None:
        self._folder = folder
        self._whose = {"chain": domain.chain_id, "market": domain.market, "renter": renter}
        self.notices: list[str] = []
        """What a person should know of the files."""

    def note(self, placement: Placement) -> None:
        """Write it down, on disk when this returns. Raises HomeForgetful if it can't be."""
        text = json.dumps(self._whose | _to_json(placement))
        with self._writable() as folder:
            replace_file(folder / self._path(placement.order.id).name, text)

    def check_remembers(self) -> None:
        """Write something, and raise HomeForgetful unless the disk takes it: before an upload of hours."""
        with self._writable() as folder:
            replace_file(folder / CHECK_NAME, "")

    @contextmanager
    def _writable(self) -> Iterator[Path]:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            yield self._folder
        except OSError as error:
            raise HomeForgetful(
                f"{self._folder} can't be written: {error.strerror}.",
                detail="A command must be able to write down first what it places. Nothing was paid.",
                hint="Make room for the home, or make it writable.",
            ) from error

    def all(self) -> list[Placement]:
        """What is written down."""
        try:
            paths = sorted(self._folder.glob("*.json"))
        except OSError:
            return []
        found = [self._read(path) for path in paths]
        return [placement for placement in found if placement is not None]

    def abandoned(self) -> list[Placement]:
        """The same, without orders that a living process is placing."""
        return [one for one in self.all() if not self.is_underway(one.order.id)]

    def get(self, order: OrderId) -> Placement | None:
        """What is written down of one order."""
        return self._read(self._path(order))

    def _read(self, path: Path) -> Placement | None:
        try:
            with path.open(encoding="utf-8") as file:
                content = parse_json(file.read(MAX_BYTES))
            if any(content[key] != value for key, value in self._whose.items()):
                return None
            return _from_json(content)
        except OSError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, Misuse):
            self._move_aside(path)
            return None

    def _move_aside(self, path: Path) -> None:
        """It can't be read: its order may not be on the chain, and nothing else knows what farmers signed."""
        aside = path.with_suffix(".damaged")
        with suppress(OSError):
            path.replace(aside)
            self.notices.append(
                f"{FOLDER_NAME}/{path.name} was damaged, and is kept as {aside.name}. If `grange orders ls` "
                f"does not show order {path.stem[:SHOWN_ID_CHARACTERS]}, it is not stored: store it again."
            )

    @contextmanager
    def underway(self, order: OrderId) -> Iterator[None]:
        """While inside, other commands of this home know that this one places the order. The system ends it
        with the process. Where files can't be locked they don't know: the market takes an order only once."""
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
        with marked(self._mark_path(order)):
            yield

    def is_underway(self, order: OrderId) -> bool:
        """Whether this process or another is placing it right now."""
        return is_marked(self._mark_path(order))

    def _mark_path(self, order: OrderId) -> Path:
        return self._folder / f"{order.hex()}.underway"

    def forget(self, order: OrderId) -> None:
        """It is buried, or of no use any more."""
        with suppress(OSError):
            self._path(order).unlink(missing_ok=True)

    def _path(self, order: OrderId) -> Path:
        return self._folder / f"{order.hex()}.json"


def placed_slots(
    acceptances: Sequence[Acceptance], start: Epoch, order: OrderId = NO_ORDER, events: Sequence[Event] = ()
) -> tuple[Slot, ...]:
    """The slots of an order as its farmers signed for them; as the events of the transaction that placed it
    have them, if there are any: another command may have placed it, with other farmers."""
    filled = filled_slots(order, events)
    if sorted(filled) == list(range(len(acceptances))):
        return tuple(filled[slot] for slot in sorted(filled))
    return tuple(
        Slot(
            farmer=one.farmer,
            root=one.root,
            rate=one.rate,
            max_egress_price_per_gib=one.max_egress_price_per_gib,
            start=start,
        )
        for one in acceptances
    )


def _to_json(placement: Placement) -> dict[str, Any]:
    order = placement.order
    return {
        "name": placement.name,
        "salt": placement.salt.hex(),
        "order": order.id.hex(),
        "block": order.block,
        "start": order.start,
        "end": order.end,
        "k": order.geometry.k,
        "n": order.geometry.n,
        "leaf_count": order.geometry.leaf_count,
        "piece_leaves": order.geometry.piece_leaves,
        "previous": order.previous.hex(),
        "origin": order.origin.hex(),
        "allows_hand_over": placement.allows_hand_over,
        "is_acknowledged": placement.is_acknowledged,
        "acceptances": [
            {
                "farmer": one.farmer,
                "root": one.root.hex(),
                "rate": str(one.rate),
                "max_egress_price_per_gib": str(one.max_egress_price_per_gib),
                "deadline_block": one.deadline_block,
                "r": one.r.hex(),
                "vs": one.vs.hex(),
            }
            for one in placement.acceptances
        ],
    }


def _from_json(content: dict[str, Any]) -> Placement:
    acceptances = tuple(
        Acceptance(
            farmer=FarmerId(int(one["farmer"])),
            root=bytes.fromhex(one["root"]),
            rate=int(one["rate"]),
            max_egress_price_per_gib=int(one["max_egress_price_per_gib"]),
            deadline_block=int(one["deadline_block"]),
            r=bytes.fromhex(one["r"]),
            vs=bytes.fromhex(one["vs"]),
        )
        for one in content["acceptances"]
    )
    shape = {name: int(content[name]) for name in ("k", "n", "leaf_count", "piece_leaves")}
    start = Epoch(int(content["start"]))
    order = OrderState(
        id=OrderId(bytes.fromhex(content["order"])),
        renter=address_from(content["renter"]),
        block=int(content["block"]),
        start=start,
        end=Epoch(int(content["end"])),
        geometry=Geometry.from_leaves(**shape),
        slots=placed_slots(acceptances, start),
        previous=OrderId(bytes.fromhex(content["previous"])),
        origin=OrderId(bytes.fromhex(content["origin"])),
    )
    if len(acceptances) != order.geometry.n:
        raise ValueError("a slot has no signature, or more than one")
    return Placement(
        name=str(content["name"]),
        salt=bytes.fromhex(content["salt"]),
        order=order,
        acceptances=acceptances,
        # Older versions did not write these.
        allows_hand_over=content.get("allows_hand_over") is True,
        is_acknowledged=content.get("is_acknowledged") is True,
    )

"""One pack on disk: written from front to back, then read in blocks as often as farmers need them."""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Self

from grange.json_text import parse_json
from grange.layout import Geometry
from grange.peer import RateLimit
from grange.types import Epoch, FarmerId, OrderId
from grange_client.errors import NotReadable, SourceChanged
from grange_client.files.stream import source_changed
from grange_client.orders.order_storing import OrderQuote, UnfinishedOrder

PLAN_VERSION: Final = 1
NO_JOB: Final = b""
_PART_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PackPlan:
    """What the farmers of a pack's order sign for, so that another attempt asks for the same."""

    order: OrderId
    unfinished: UnfinishedOrder
    digest: bytes
    """SHA-256 of the whole pack."""
    relies_on: tuple[OrderId, ...] = ()
    """The packs without which what it publishes is not whole."""
    job: bytes = NO_JOB
    """What a keeper made it for: only a run with the same job places it."""
    max_cost: int | None = None
    """What the command that made it may spend on it, in base units; None: as much as it takes."""
    upload_bytes_per_second: int | None = None
    """How fast that command sends; None: as fast as it goes."""
    block: int | None = None
    """The block that it was seen in; None before."""

    @classmethod
    def of(
        cls,
        quote: OrderQuote,
        digest: bytes,
        relies_on: Iterable[OrderId] = (),
        *,
        job: bytes = NO_JOB,
        max_cost: int | None = None,
        upload_bytes_per_second: int | None = None,
    ) -> Self:
        """As it was quoted."""
        return cls(
            order=quote.order,
            digest=digest,
            relies_on=tuple(sorted(relies_on)),
            job=job,
            max_cost=max_cost,
            upload_bytes_per_second=upload_bytes_per_second,
            unfinished=UnfinishedOrder(
                salt=quote.salt,
                geometry=quote.geometry,
                end=quote.end,
                keepers=tuple((one.farmer.id, one.rate) for one in quote.chosen),
                allows_hand_over=quote.allows_hand_over,
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """As it is kept in a file."""
        order, geometry = self.unfinished, self.unfinished.geometry
        return {
            "version": PLAN_VERSION,
            "order": self.order.hex(),
            "digest": self.digest.hex(),
            "salt": order.salt.hex(),
            "k": geometry.k,
            "n": geometry.n,
            "piece_bytes": geometry.piece_bytes,
            "segments": geometry.segments,
            "end": order.end,
            "keepers": [[farmer, str(rate)] for farmer, rate in order.keepers],
            "allows_hand_over": order.allows_hand_over,
            "relies_on": [one.hex() for one in self.relies_on],
            "job": self.job.hex(),
            "max_cost": None if self.max_cost is None else str(self.max_cost),
            "upload_bytes_per_second": self.upload_bytes_per_second,
            "block": self.block,
        }

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Out of the file. Raises ValueError, KeyError, TypeError and Misuse for what was never written."""
        content = parse_json(text)
        if content["version"] != PLAN_VERSION:
            raise ValueError("another version")
        geometry = Geometry(**{name: int(content[name]) for name in ("k", "n", "piece_bytes", "segments")})
        keepers = tuple((FarmerId(int(farmer)), int(rate)) for farmer, rate in content["keepers"])
        if len(keepers) != geometry.n:
            raise ValueError("a slot has no keeper, or two")
        return cls(
            order=OrderId(bytes.fromhex(content["order"])),
            digest=bytes.fromhex(content["digest"]),
            relies_on=tuple(OrderId(bytes.fromhex(one)) for one in content["relies_on"]),
            job=bytes.fromhex(content["job"]),
            unfinished=UnfinishedOrder(
                salt=bytes.fromhex(content["salt"]),
                geometry=geometry,
                end=Epoch(int(content["end"])),
                keepers=keepers,
                allows_hand_over=content["allows_hand_over"] is True,
            ),
            max_cost=_number(content["max_cost"]),
            upload_bytes_per_second=_rate(content["upload_bytes_per_second"]),
            block=_number(content["block"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledPack:
    """A pack that is whole. Other commands of the home leave it alone until this is closed."""

    path: Path
    plan: PackPlan
    quote: OrderQuote | None = None
    """What it was made for, in the attempt that made it."""
    held: ExitStack = field(default_factory=ExitStack, repr=False, compare=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.held.close()

    @property
    def order(self) -> OrderId:
        """The order that it was sealed for."""
        return self.plan.order

    def check(self) -> None:
        """Read all of it. Raises NotReadable if it is not what was written."""
        digest, offset = sha256(), 0
        try:
            with _opened(self.path) as descriptor:
                while part := os.pread(descriptor, _PART_BYTES, offset):
                    digest.update(part)
                    offset += len(part)
        except OSError as error:
            raise NotReadable(
                f"{self.path} cannot be read: {error.strerror or error}.",
                detail="The disk may be faulty. Nothing of it is published or paid.",
                hint="What was to be stored is stored again, in another pack.",
            ) from error
        if digest.digest() != self.plan.digest:
            raise NotReadable(
                f"{self.path} is not what was written.",
                detail="The disk may be faulty, or have been full. Nothing of it is published or paid.",
                hint="What was to be stored is stored again, in another pack.",
            )

    def read(self, offset_bytes: int, size_bytes: int) -> bytes:
        """So many bytes of it. Raises SourceChanged."""
        try:
            with _opened(self.path) as descriptor:
                return self._read(descriptor, offset_bytes, size_bytes)
        except OSError as error:
            raise self._changed(error.strerror or "it cannot be read") from error

    # As `encode.BlockSource` has it.

    def blocks(self, segment: int) -> list[bytes]:
        """Those of a segment, as they are. Raises SourceChanged."""
        geometry = self.plan.unfinished.geometry
        size = geometry.piece_bytes
        data = self.read(segment * geometry.k * size, geometry.k * size)
        return [data[start : start + size] for start in range(0, len(data), size)]

    def changed(self, segment: int) -> SourceChanged:
        """Somebody has written to the file."""
        return self._changed(f"segment {segment} is not what it was")

    def check_unchanged(self) -> None:
        """The roots of its pieces say so."""

    def _read(self, descriptor: int, offset: int, size: int) -> bytes:
        parts = []
        while size:
            part = os.pread(descriptor, size, offset)
            if not part:
                raise self._changed("it became shorter")
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return b"".join(parts)

    def _changed(self, reason: str) -> SourceChanged:
        return source_changed(str(self.path), reason)


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def _rate(value: Any) -> int | None:
    """Raises Misuse for one that no limit can be."""
    return RateLimit(_number(value)).bytes_per_second


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)

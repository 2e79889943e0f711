"""The keys of a drive: all follow from the recovery secret and the drive's number.

Drives are numbered, so that the recovery phrase finds all of them: number 0 is `main`, and who looks for
drives tries the numbers up to MAX_GAP beyond the last one that it found. A device is given the secrets of its
drives, and from those nothing leads to the phrase or to other drives.

A drive has chunks of its own. With the policy to share, its data chunks are in the scope of the phrase
instead, so that equal content in two such drives is kept once; trees and commits never are.
"""

import hmac
from dataclasses import dataclass, field
from typing import Final, Self

from grange.errors import Misuse
from grange.seal import KEY_BYTES, RecoverySecret, derive_key
from grange.types import OrderId
from grange_client.drive.chunk import SCOPE_BYTES, ChunkKeys, ChunkType
from grange_client.drive.chunker import GEAR_BYTES, Chunker
from grange_client.drive.sealing import keyed_hash

MAX_DRIVES: Final = 1 << 16
MAX_GAP: Final = 20
"""So many numbers in a row without a drive end the search."""
CHECK_BYTES: Final = 16
_DRIVE_INFO: Final = b"grange/drive/1"
_SHARED_INFO: Final = b"grange/shared-chunks/1"
_SCOPE_INFO: Final = b"grange/scope/1"
_CHUNK_INFO: Final = b"grange/chunk-secret/1"
_GEAR_INFO: Final = b"grange/gear/1"
_BORDER_INFO: Final = b"grange/node-border/1"
_PACK_INFO: Final = b"grange/pack/1"
_CATALOG_INFO: Final = b"grange/catalog/1"
_CHECK_LABEL: Final = b"grange/pack/1/check"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveSecret:
    """What a device needs for one drive, and all that it needs."""

    number: int
    secret: bytes = field(repr=False)
    shared: bytes | None = field(repr=False, default=None)
    """The secret of the chunks that drives of the phrase share, if this one does."""

    def __post_init__(self) -> None:
        if not 0 <= self.number < MAX_DRIVES:
            raise Misuse(f"a drive's number is below {MAX_DRIVES}, not {self.number}")
        if any(len(secret) != KEY_BYTES for secret in (self.secret, self.shared or self.secret)):
            raise Misuse(f"a drive's secrets have {KEY_BYTES} bytes")

    @classmethod
    def from_phrase(cls, recovery: RecoverySecret, number: int, *, share: bool = False) -> Self:
        """Of the drive with this number. Raises Misuse for a number that no drive has."""
        if not 0 <= number < MAX_DRIVES:
            raise Misuse(f"a drive's number is below {MAX_DRIVES}, not {number}")
        return cls(
            number=number,
            secret=derive_key(recovery.secret, salt=number.to_bytes(4), info=_DRIVE_INFO),
            shared=derive_key(recovery.secret, salt=b"", info=_SHARED_INFO) if share else None,
        )


class DriveKeys:
    """Everything that is made with a drive's secret. Without state: threads may share one."""

    def __init__(self, secret: DriveSecret) -> None:
        self._secret = secret.secret
        self.own: Final = _scope(secret.secret)
        """The drive's own chunks."""
        self.shared: Final = _scope(secret.shared) if secret.shared else None
        """Those that drives of the phrase share; None in a drive that does not."""
        self.chunker: Final = Chunker(
            derive_key(secret.shared or secret.secret, salt=b"", info=_GEAR_INFO, length=GEAR_BYTES)
        )
        """Cuts what goes into data chunks. Drives that share chunks cut alike."""
        self.border_secret: Final = derive_key(secret.secret, salt=b"", info=_BORDER_INFO)
        """What decides where long directories are cut."""

        self.catalog_secret: Final = derive_key(secret.secret, salt=b"", info=_CATALOG_INFO)
        """What a device's catalog is sealed with."""

    @property
    def data(self) -> ChunkKeys:
        """Where new data chunks go."""
        return self.shared or self.own

    def check_value(self, order: OrderId) -> bytes:
        """What the pack of an order ends with: by it a wrong key is told apart from a damaged pack."""
        return _check_value(self._secret, order)

    def pack_key(self, order: OrderId, purpose: bytes) -> bytes:
        """A key for one purpose within the pack of one order."""
        return derive_key(self._secret, salt=order, info=_PACK_INFO + b"/" + purpose)


def find_drive(
    recovery: RecoverySecret, order: OrderId, check_value: bytes, *, last_known: int = -1
) -> int | None:
    """The number of the drive that a pack is of, by the check value at its end; None if it is of none.

    `last_known` is the highest number that was found before; MAX_GAP numbers beyond it are tried.
    """
    for number in range(min(last_known + 1 + MAX_GAP, MAX_DRIVES)):
        secret = DriveSecret.from_phrase(recovery, number).secret
        if hmac.compare_digest(_check_value(secret, order), check_value):
            return number
    return None


def _check_value(secret: bytes, order: OrderId) -> bytes:
    return keyed_hash(secret, _CHECK_LABEL, order)[:CHECK_BYTES]


def _scope(secret: bytes) -> ChunkKeys:
    return ChunkKeys(
        scope_id=derive_key(secret, salt=b"", info=_SCOPE_INFO, length=SCOPE_BYTES),
        secrets={one: derive_key(secret, salt=bytes([one]), info=_CHUNK_INFO) for one in ChunkType},
    )

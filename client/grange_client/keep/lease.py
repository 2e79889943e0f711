"""Which device repacks a drive, where several keep it: a lease in the drive's journals, with a number.

It saves money and guards nothing. Two devices that repack the same packs at once place two new packs with the
same chunks in them; no data is lost by it, and one of the two packs goes at its end. What guards data are the
times in `drive.leaning`, and that what is needed is looked at again before a pack goes. So nobody has to
break a lease, and one that its holder has forgotten ends by itself, at an epoch of the chain.

A lease is said in the journal of the pack that its holder has just written, so it costs nothing. Each taking
has a number one higher than the last that was seen, and the named value that counts (`DriveState.new_value`)
is the lease. A device that slept sees another lease than the one it looked at, and stops before its next
step. So a number that nothing is higher than, and an end that is later than any device's, stop nobody.
"""

from dataclasses import dataclass
from typing import Final

import msgpack

from grange.types import Epoch
from grange_client.drive.commit import MAX_DEVICE_CHARACTERS

LEASE_NAME: Final = "keep/lease"
"""The named value."""
VERSION: Final = 1
LEASE_PART: Final = 4
"""A lease lasts so small a part of a grid period: longer than from one repacking to the next look."""
_NUMBERS: Final = range(1 << 63)
_EPOCHS: Final = range(1 << 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who repacks, until when."""

    number: int
    """The fencing number. After the highest comes 1."""
    device: str
    until: Epoch

    def packed(self) -> bytes:
        """As the named value has it."""
        packed: bytes = msgpack.packb([VERSION, self.number, self.device, self.until])
        return packed

    def is_of_another(self, device: str, epoch: Epoch, grid_epochs: int) -> bool:
        """Whether it keeps this device from repacking now. One that goes on for longer than a lease lasts
        binds nobody."""
        return self.device != device and epoch < self.until <= epoch + lease_epochs(grid_epochs)


def unpack_lease(raw: bytes | None) -> Lease | None:
    """The lease in a named value; None where there is none, or none that this client reads: it is only for
    saving money."""
    if not raw:
        return None
    try:
        row = msgpack.unpackb(raw, raw=False, max_ext_len=0)
    except (ValueError, TypeError, msgpack.UnpackException):
        return None
    if not isinstance(row, list) or len(row) != 4 or type(row[0]) is not int or row[0] != VERSION:
        return None
    _, number, device, until = row
    is_sound = type(number) is int and number in _NUMBERS and type(until) is int and until in _EPOCHS
    if not is_sound or not isinstance(device, str) or len(device) > MAX_DEVICE_CHARACTERS:
        return None
    return Lease(number=number, device=device, until=Epoch(until))


def lease_epochs(grid_epochs: int) -> int:
    """How long a lease lasts."""
    return max(2, grid_epochs // LEASE_PART)


def next_lease(lease: Lease | None, device: str, *, epoch: Epoch, grid_epochs: int) -> Lease:
    """What this device says when it repacks: the next number, for a quarter of a grid period."""
    return Lease(
        number=1 if lease is None or lease.number == _NUMBERS[-1] else lease.number + 1,
        device=device,
        until=Epoch(min(epoch + lease_epochs(grid_epochs), _EPOCHS[-1])),
    )

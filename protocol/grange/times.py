"""When a block or an epoch will be: an estimate from the newest block and the pace of the blocks before it.

    clock = BlockClock(block=1_000_000, timestamp=1_800_000_000, block_seconds=2.0, epoch_blocks=8_000)
    clock.describe_epoch(Epoch(130))      "epoch 130, about 2027-01-16 10:13"

Blocks come when they come, so a date far ahead can be off by hours. `grange.chain.read_block_clock` measures
one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from grange.types import Epoch
from grange.units import format_count

UNKNOWN_TIME: Final = "?"
SHORT_EPOCH_SECONDS: Final = 600.0
"""Where epochs are shorter than this, as on devnets, dates are shown to the second."""

MINUTE_SECONDS: Final = 60
HOUR_SECONDS: Final = 3_600
DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockClock:
    """Where the chain stands and how fast it goes. All times are Unix seconds on the chain's clock."""

    block: int
    timestamp: int
    """When `block` was made."""
    block_seconds: float
    epoch_blocks: int

    @property
    def epoch(self) -> Epoch:
        """The epoch of `block`."""
        return Epoch(self.block // self.epoch_blocks)

    @property
    def epoch_seconds(self) -> float:
        """How long an epoch takes."""
        return self.block_seconds * self.epoch_blocks

    def time_of_block(self, block: int) -> float:
        """When a block was, or will be, made."""
        return self.timestamp + (block - self.block) * self.block_seconds

    def time_of_epoch(self, epoch: int) -> float:
        """When an epoch begins. An order that ends with epoch e, exclusive, is over at this time of e."""
        return self.time_of_block(epoch * self.epoch_blocks)

    def format_block(self, block: int) -> str:
        """The local date and time of a block."""
        return format_time(self.time_of_block(block), seconds=self.epoch_seconds < SHORT_EPOCH_SECONDS)

    def format_epoch(self, epoch: int) -> str:
        """The local date and time at which an epoch begins."""
        return self.format_block(epoch * self.epoch_blocks)

    def describe_epoch(self, epoch: int) -> str:
        """An epoch with its date, for a sentence or a table."""
        return f"epoch {epoch}, about {self.format_epoch(epoch)}"


def format_time(unix_seconds: float, *, seconds: bool = False) -> str:
    """Local date and time, "2027-01-16 10:13"; "?" for what no calendar has."""
    try:
        moment = datetime.fromtimestamp(unix_seconds).astimezone()
    except (OverflowError, OSError, ValueError):
        return UNKNOWN_TIME
    return moment.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def format_duration(duration_seconds: float) -> str:
    """About how long, in words: "40 seconds", "5 minutes", "18 hours", "12 days"."""
    for unit_seconds, name in (
        (DAY_SECONDS, "day"),
        (HOUR_SECONDS, "hour"),
        (MINUTE_SECONDS, "minute"),
    ):
        # Two of a unit are needed before it is precise enough: 90 minutes rather than "2 hours".
        if duration_seconds >= 2 * unit_seconds:
            return format_count(round(duration_seconds / unit_seconds), name)
    return format_count(round(duration_seconds), "second")

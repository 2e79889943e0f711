"""Which packs are worth writing again: what extending them costs, against what their live bytes cost in a new
pack with the reads for it, gas, and the least size that a pack has.

No byte is written again and again. A pack is only chosen when its order is due anyhow, so once a term; and
then only if half of what is paid for is garbage, or if the new pack has at least twice as much in it. The
first is paid for by bytes that died: in all, no more is copied so than has ever become garbage. The second
doubles the pack that a byte is in, which happens log2(largest / smallest) times at most. Packs that grow too
many before they are due, because a drive is written every hour, are put together by the second rule as well.

Pure. `tests/client/keep/test_keep_year.py` plays the year.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grange.types import Epoch
from grange.units import GIB
from grange_client.drive.journal import MAX_CHUNKS
from grange_client.keep.costs import Costs
from grange_client.keep.facts import KeepView, KeptPack

SAVING_PERCENT: Final = 10
"""So much less than extending it has to cost, before anything is copied for it."""
SMALL_BYTES: Final = 64 << 20
SMALL_PART: Final = 16
"""A pack is small that has at most SMALL_BYTES, and one part in so many of what the drive needs."""
MIN_MERGED: Final = 4
"""So many packs become one even if that costs SAVING_PERCENT more than to extend them."""
MAX_COPIED_BYTES: Final = 4 << 30
"""In one new pack: so much of the local disk it needs on its way."""
MAX_SMALL_PACKS: Final = 50
"""With more small packs than this, half of them become one before they are due: each costs a recovery some
requests, and journals their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repacking:
    """Packs that become one, and what that costs until its end."""

    packs: tuple[KeptPack, ...]
    end: Epoch
    copied_bytes: int
    keeping: int
    reading: int
    gas: int
    extending: int
    """What extending them to the same end would cost, with gas."""

    @property
    def cost(self) -> int:
        """All of it."""
        return self.keeping + self.reading + self.gas

    @property
    def saving(self) -> int:
        """Against extending them."""
        return self.extending - self.cost


def choose_repackings(view: KeepView, due: Sequence[KeptPack], end: Epoch) -> list[Repacking]:
    """Of packs that are due, those that had better be written again, each group as one new pack until `end`.
    The others had better be extended."""
    total = sum(pack.needed_bytes for pack in view.packs)
    worth = [
        pack
        for pack in due
        if _is_small(pack, total) or _marginal_saving(view.costs, pack, view.epoch, end) > 0
    ]
    weighed = [weigh(view, group, end) for group in _cut(_in_tiers(worth))]
    return [one for one in weighed if _is_worth_it(one)]


def choose_small(view: KeepView, packs: Sequence[KeptPack], end: Epoch) -> list[Repacking]:
    """Of small packs that have become too many, the half that ends first, so that least is lost of what is
    paid for."""
    total = sum(pack.needed_bytes for pack in packs)
    small = [
        pack
        for pack in packs
        if pack.is_needed and pack.capacity_bytes <= SMALL_BYTES and SMALL_PART * pack.capacity_bytes <= total
    ]
    if len(small) <= MAX_SMALL_PACKS:
        return []
    first = sorted(small, key=lambda pack: (pack.end, pack.pack))[: len(small) // 2]
    return [weigh(view, group, end) for group in _cut(_in_tiers(first)) if len(group) > 1]


def weigh(view: KeepView, packs: Sequence[KeptPack], end: Epoch) -> Repacking:
    """What it costs to write these again as one."""
    costs = view.costs
    copied = view.measure([pack.pack for pack in packs])
    return Repacking(
        packs=tuple(packs),
        end=end,
        copied_bytes=copied,
        keeping=costs.new_pack(copied, epoch=view.epoch, end=end),
        reading=costs.reading(copied),
        gas=costs.place_gas(),
        extending=sum(extension_cost(costs, pack, end) for pack in packs),
    )


def extension_cost(costs: Costs, pack: KeptPack, end: Epoch) -> int:
    """Extending a pack's order to an end, with gas."""
    return pack.rate * max(0, end - pack.end) + costs.extend_gas(pack.n)


def _is_worth_it(one: Repacking) -> bool:
    percent = 100 * one.saving
    if len(one.packs) >= MIN_MERGED:
        return percent >= -SAVING_PERCENT * one.extending
    return percent >= SAVING_PERCENT * one.cost


def _is_small(pack: KeptPack, total_bytes: int) -> bool:
    """Against all that the drive needs."""
    return pack.capacity_bytes <= SMALL_BYTES and SMALL_PART * pack.capacity_bytes <= total_bytes


def _marginal_saving(costs: Costs, pack: KeptPack, epoch: Epoch, end: Epoch) -> int:
    """What is saved by taking a pack along into a new one that is written anyhow."""
    slots = pack.needed_bytes * costs.n * costs.price_per_gib_epoch
    keeping = -(-slots * max(0, end - epoch - 1) // (costs.k * GIB))
    return extension_cost(costs, pack, end) - keeping - costs.reading(pack.needed_bytes)


def _in_tiers(packs: Sequence[KeptPack]) -> list[KeptPack]:
    """Without those that would be copied for little: neither mostly garbage, nor in a pack of twice their
    size afterwards. The largest first."""
    chosen = sorted(packs, key=lambda pack: (pack.needed_bytes, pack.pack), reverse=True)
    total = sum(pack.needed_bytes for pack in chosen)
    kept: list[KeptPack] = []
    for pack in chosen:
        if pack.is_mostly_garbage or 2 * pack.needed_bytes <= total:
            kept.append(pack)
        else:
            total -= pack.needed_bytes
    return kept


def _cut(packs: Sequence[KeptPack]) -> list[list[KeptPack]]:
    """Into groups, none of which has more chunks than a pack can have, or more to copy than the disk should
    take, unless one pack alone has."""
    groups: list[list[KeptPack]] = []
    count = size_bytes = 0
    for pack in packs:
        is_full = count + pack.live_count > MAX_CHUNKS or size_bytes + pack.needed_bytes > MAX_COPIED_BYTES
        if not groups or is_full:
            groups.append([])
            count = size_bytes = 0
        groups[-1].append(pack)
        count += pack.live_count
        size_bytes += pack.needed_bytes
    return groups

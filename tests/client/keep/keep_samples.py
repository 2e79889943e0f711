"""Looks at drives for the tests of plans, reminders and runs."""

from typing import Any

from client.keep.paper_market import parameters

from grange.times import BlockClock
from grange.types import Epoch, OrderId
from grange_client.keep.costs import Costs
from grange_client.keep.facts import KeepView, KeptPack, Money
from grange_client.keep.policy import DEFAULT_POLICY, KeepPolicy
from grange_client.keep.ports import KeepLook

GRID = 30
MIB = 1 << 20
EPOCH = 1_000
"""Not on the calendar; the market takes orders up to 1,350."""
COSTS = Costs(k=10, n=30, price_per_gib_epoch=10**15)
RICH = Money(vault=1 << 120)


def pack_id(number: int) -> OrderId:
    return OrderId(b"pack" + number.to_bytes(28))


def pack(number: int, *, left: int, size_mib: int = 1_000, needed: float = 1.0, **more: Any) -> KeptPack:
    """A pack that ends in so many epochs, of which a part is needed."""
    needed_bytes = int(needed * size_mib * MIB * 0.97)
    return KeptPack(
        pack=pack_id(number),
        order=pack_id(1_000 + number),
        end=Epoch(EPOCH + left),
        k=10,
        n=30,
        slot_bytes=size_mib * MIB // 10,
        rate=COSTS.new_rate(int(size_mib * MIB * 0.97)),
        live_count=size_mib,
        live_bytes=needed_bytes,
        needed_bytes=needed_bytes,
        **more,
    )


def view(*packs: KeptPack, **more: Any) -> KeepView:
    """One look; what a group needs is the sum of what its packs need."""
    needed = {one.pack: one.needed_bytes for one in packs}
    settings: dict[str, Any] = {
        "epoch": Epoch(EPOCH),
        "device": "laptop",
        "parameters": parameters(GRID, 12),
        "packs": packs,
        "money": RICH,
        "costs": COSTS,
        "measure": lambda group: sum(needed[one] for one in group),
    }
    return KeepView(**(settings | more))


def look(*packs: KeptPack, policy: KeepPolicy = DEFAULT_POLICY, **more: Any) -> KeepLook:
    clock = BlockClock(block=EPOCH * 43_200, timestamp=1_800_000_000, block_seconds=2.0, epoch_blocks=43_200)
    problems = more.pop("problems", ())
    return KeepLook(drive="main", view=view(*packs, **more), clock=clock, policy=policy, problems=problems)

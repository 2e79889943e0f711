"""`grange farm release`: what hand-overs bind, read from the chain alone, and what becomes of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from grange.chain import Call, Chain, Sender, TransactionReverted
from grange.token_unit import PLAIN_UNIT
from grange.types import Epoch, FarmerId
from grange.units import TOKEN
from grange_node.cli.bonds import NOTHING_BOUND, Bond, describe_bonds, read_bonds, release_bonds

OURS = FarmerId(3)
FIRST_BLOCK = 100
PROVEN, BEHIND, LAPSED, REFUSED = FarmerId(5), FarmerId(6), FarmerId(7), FarmerId(8)


@dataclass
class Market:
    """Farmer 3 handed slots over to four others, twice to the first one in an epoch."""

    amounts: dict[tuple[FarmerId, Epoch], int] = field(
        default_factory=lambda: {
            (PROVEN, Epoch(10)): 4 * TOKEN,
            (PROVEN, Epoch(12)): 0,
            (BEHIND, Epoch(12)): TOKEN,
            (LAPSED, Epoch(11)): 2 * TOKEN,
            (REFUSED, Epoch(9)): TOKEN,
        }
    )
    sent: list[Call] = field(default_factory=list)

    async def logs(
        self, first: int, last: int | None, events: Sequence[str], args: Mapping[str, Any]
    ) -> list[Any]:
        assert (first, last, list(events), dict(args)) == (
            FIRST_BLOCK,
            None,
            ["SlotHandedOver"],
            {"farmer": OURS},
        )
        names = [*self.amounts, (PROVEN, Epoch(10))]
        told = [SimpleNamespace(args={"taker": t, "epoch": e, "bound": TOKEN}) for t, e in names]
        moved = SimpleNamespace(args={"taker": OURS, "epoch": Epoch(10), "bound": 0})
        return [*told, moved]

    async def bound(self, farmer: FarmerId, taker: FarmerId, epoch: Epoch) -> int:
        assert (farmer, taker) != (OURS, OURS), "what is moved to the end of its book binds nothing"
        return self.amounts[taker, epoch]

    async def farmers_by_id(self, farmers: Collection[FarmerId]) -> list[Any]:
        settled = {PROVEN: 11, BEHIND: 12, LAPSED: 5, REFUSED: 20}
        return [SimpleNamespace(id=one, settled_epoch=settled[one], lapsed=one == LAPSED) for one in farmers]

    async def send(self, call: Call) -> Any:
        self.sent.append(call)
        _, taker, epoch = call.args
        if taker == REFUSED:
            raise TransactionReverted("release", "NotProven", {})
        amount = self.amounts.pop((taker, epoch))
        told = SimpleNamespace(args={"returned": amount - TOKEN // 2, "burnt": TOKEN // 2})
        return SimpleNamespace(event=lambda name: told if name == "Released" else None)


async def bonds_of(market: Market) -> list[Bond]:
    return await read_bonds(cast("Chain", market), OURS, FIRST_BLOCK)


async def test_what_is_bound_is_read_from_the_chain_alone() -> None:
    """Each taker and epoch once, the oldest first, without what was released already; one whose taker has
    proven nothing since waits."""
    bonds = await bonds_of(Market())
    assert [(one.taker, one.epoch, one.amount, bool(one.obstacle)) for one in bonds] == [
        (REFUSED, 9, TOKEN, False),
        (PROVEN, 10, 4 * TOKEN, False),
        (LAPSED, 11, 2 * TOKEN, False),
        (BEHIND, 12, TOKEN, True),
    ]


async def test_all_is_released_that_can_be_and_what_came_of_each_is_said() -> None:
    """One that the market refuses keeps no other from it."""
    market = Market()
    done = await release_bonds(cast("Sender", market), OURS, await bonds_of(market))
    assert [call.args for call in market.sent] == [(OURS, REFUSED, 9), (OURS, PROVEN, 10), (OURS, LAPSED, 11)]
    assert [(one.returned, one.burnt) for one in done] == [
        (0, 0),
        (7 * TOKEN // 2, TOKEN // 2),
        (3 * TOKEN // 2, TOKEN // 2),
        (0, 0),
    ]
    said = describe_bonds(done, PLAIN_UNIT)
    assert "farmer 8, handed over in epoch 9: 1 tokens bound; the market does not release it now" in said
    assert (
        "farmer 5, handed over in epoch 10: 4 tokens bound, 3.5 tokens returned and 0.5 tokens lost" in said
    )
    assert "farmer 6, handed over in epoch 12: 1 tokens bound; its taker has not proven since" in said
    assert "5 tokens are in the owner's earnings now" in said
    assert {one["taker"]: one["returned"] for one in (bond.to_json() for bond in done)}[5] == str(
        7 * TOKEN // 2
    )


def test_where_nothing_is_bound_or_none_can_be_released_that_is_said() -> None:
    """An endpoint without old events looks the same, so it is named as a reason."""
    assert describe_bonds([], PLAIN_UNIT) == NOTHING_BOUND
    waiting = Bond(taker=BEHIND, epoch=Epoch(12), amount=TOKEN, obstacle="its taker has not proven since")
    assert "none can be released now" in describe_bonds([waiting], PLAIN_UNIT)

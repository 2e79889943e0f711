"""What others can do to a repairer: orders that make no sense, sources that charge for nothing."""

import asyncio
import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from market_rules import PARAMETERS
from repair_fakes import Clock, repairing, until_done
from repair_farmers import POLICY, FakePeer
from repair_ground import (
    DOMAIN,
    END,
    ORDER,
    PIECE_LEAVES,
    RATE,
    RENTER,
    SLOT_BYTES,
    Ground,
    K,
    nothing,
    root_of,
)
from repair_market import FakeMarket, order_as_read

from grange.allow_lists import AllowLists, Listed
from grange.chain import Batch, Event, EventFilter, Rollback, Wallet
from grange.chain.order_index import OrderIndex
from grange.chain.orders import REORG_BLOCKS, OrderState
from grange.executors import Executors
from grange.kernel import merkle_root
from grange.peer import Peer
from grange.transfer.acceptance import Keeper
from grange.transfer.events import ignore_progress
from grange.transfer.push import SlotPush
from grange.transfer.retry import SlowRule
from grange.transfer.slot_upload import Candidates, Piece
from grange.types import Epoch, FarmerId, OrderId
from grange.units import GIB, MAX_PIECE_LEAVES
from grange_node.config import ORDERS_NAME
from grange_node.repair import repairer as repairer_module
from grange_node.repair.assessment import Assessment, assess
from grange_node.repair.jobs import Jobs, Outcome
from grange_node.repair.market import RepairMarket
from grange_node.repair.sources import Sources

WALLET = Wallet(b"\x77" * 32)
ODD = OrderId(hashlib.sha256(b"an odd order").digest())


def ruined() -> Ground:
    """Five slots, two of which are vacant at their full bounty."""
    made = Ground()
    made.slots = made.place()
    made.mine_to_next_epoch()
    made.lapse(1, 2)
    made.evict_now(1, 2)
    return made


def place_odd(ground: Ground, *, piece_leaves: int, holder: int = 9) -> None:
    """An order that the contract takes, with a slot that its farmer declares lost at once."""
    start = ground.epoch + 1
    placed = {
        "order": ODD, "renter": RENTER, "from": start, "end": END, "k": 1, "n": 1,
        "leaf_count": piece_leaves, "piece_leaves": piece_leaves,
    }  # fmt: skip
    filled = {
        "order": ODD, "farmer": FarmerId(holder), "slot": 0, "root": bytes(32), "rate": RATE,
        "max_egress_price_per_gib": 0, "leaf_count": piece_leaves, "from": start, "end": END,
    }  # fmt: skip
    lost = {
        "order": ODD, "farmer": FarmerId(holder), "slot": 0, "from": start, "lost_epoch": ground.epoch,
        "collateral": 16 * RATE,
    }  # fmt: skip
    ground.mine(events=[("OrderPlaced", placed), ("SlotFilled", filled), ("LossDeclared", lost)])


async def test_an_order_in_pieces_that_cannot_be_keeps_no_other_from_repair(tmp_path: Path) -> None:
    """The contract lets pieces be larger than anybody handles: anyone who places such an order stops
    nobody."""
    ground = ruined()
    place_odd(ground, piece_leaves=2 * MAX_PIECE_LEAVES)
    async with repairing(ground, tmp_path) as repairer:
        await until_done(ground, repairer)
        assert [job.outcome for job in repairer.jobs.done()] == [Outcome.REFILLED]


async def test_an_order_that_cannot_be_looked_at_keeps_no_other_from_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with one: it rests, and the others are repaired."""
    ground = ruined()
    place_odd(ground, piece_leaves=PIECE_LEAVES)

    async def stumbling(market: RepairMarket, order_state: OrderState, *others: Any) -> Assessment:
        if order_state.id == ODD:
            raise KeyError(order_state.id)
        return await assess(market, order_state, *others)

    monkeypatch.setattr(repairer_module, "assess", stumbling)
    async with repairing(ground, tmp_path) as repairer:
        await until_done(ground, repairer)
        assert [job.outcome for job in repairer.jobs.done()] == [Outcome.REFILLED]
        assert ODD in repairer._rests
        ground.mine(END * PARAMETERS.epoch_blocks + REORG_BLOCKS)
        await repairer.tick()
        assert not repairer._rests | repairer._pauses, "what has ended rests no more"


def dear(ground: Ground, of_bounty: float) -> None:
    """All sources ask so much that a pass costs this part of the bounties."""
    full = 2 * 8 * RATE
    for keep in ground.keeps.values():
        keep.egress_price = int(of_bounty * full * GIB / (K * SLOT_BYTES))


async def tried(ground: Ground, folder: Path, rounds: int = 12) -> int:
    """What a repairer spends that is started again and again."""
    spent = 0
    for _ in range(rounds):
        async with repairing(ground, folder) as repairer:
            await repairer.tick()
            await repairer.idle()
            spent += repairer.view.directory.spent  # type: ignore[attr-defined]
        ground.mine()
    return spent


async def test_a_price_that_rises_while_a_repair_is_under_way_is_not_paid(tmp_path: Path) -> None:
    """What was planned is what is paid at most, however often it begins again."""
    ground = ruined()
    dear(ground, 0.4)
    raised = False

    async def watch(word: str) -> None:
        nonlocal raised
        if word == "read" and not raised:
            raised = True
            dear(ground, 40)

    async with repairing(ground, tmp_path, watch=watch) as repairer:
        for _ in range(6):
            await repairer.tick()
            await repairer.idle()
            ground.mine()
        spent = repairer.view.directory.spent  # type: ignore[attr-defined]
    assert raised
    assert spent <= 2 * 8 * RATE
    assert ground.refills == 0


async def test_sources_that_charge_and_send_rot_get_no_more_than_the_bounties(tmp_path: Path) -> None:
    """Neither by starting again nor by asking other liars is more spent than the repair would bring."""
    ground = ruined()
    dear(ground, 0.4)
    for number in (3, 4, 5):
        ground.keeps[FarmerId(number)].lies = True
    assert await tried(ground, tmp_path, rounds=40) <= 2 * 8 * RATE


async def test_who_sent_rot_before_is_asked_last_after_a_restart(tmp_path: Path) -> None:
    ground = ruined()
    liar, other = ground.keeps[FarmerId(3)], ground.keeps[FarmerId(5)]
    liar.lies = True
    other.gone = True
    await tried(ground, tmp_path, rounds=1)
    assert liar.reads > 0
    before = liar.reads
    other.gone = False
    async with repairing(ground, tmp_path) as repairer:
        await until_done(ground, repairer)
    assert liar.reads == before


async def test_a_repair_that_cannot_go_on_is_tried_less_and_less(tmp_path: Path) -> None:
    ground, clock, greeted = ruined(), Clock(), 0
    for number in (3, 4):
        ground.keeps[FarmerId(number)].gone = True

    async def watch(word: str) -> None:
        nonlocal greeted
        greeted += word == "fund"

    async with repairing(ground, tmp_path, watch=watch, clock=clock, retry_seconds=15.0) as repairer:
        for _ in range(600):
            await repairer.tick()
            await repairer.idle()
            clock.now += 2.0
    assert 3 <= greeted <= 8


async def test_a_source_that_is_far_slower_than_others_is_asked_only_when_it_is_needed() -> None:
    """Else the cheapest of all could draw out each repair for weeks, a piece within every deadline."""
    ground, asked, held_up = ruined(), list[FarmerId](), asyncio.Event()
    order_state = await order_as_read(FakeMarket(ground, WALLET, nothing))

    class Slow(FakePeer):
        async def read(self, *arguments: Any) -> bytes:
            asked.append(self.farmer.id)
            if self.farmer.id == 3:
                await held_up.wait()
            return await super().read(*arguments)

    def opened(farmer: FarmerId, most_per_gib: int = 0) -> Peer:
        return Slow(ground, farmer, WALLET.address, nothing)  # type: ignore[return-value]

    policy = replace(POLICY, slow_to_give_for_repair=SlowRule(floor_seconds=0.2, factor=1.0))
    with Executors.open() as executors:
        async with Sources(order_state, [2, 3, 4], opened, policy, executors) as pool:
            for segment in (0, 1):
                rebuilt = await pool.rebuild(segment, [0, 1])
                assert rebuilt == {slot: ground.slots[slot][segment] for slot in (0, 1)}
            assert asked == [3, 4, 5, 4, 5]
            ground.keeps[FarmerId(5)].gone = True
            held_up.set()
            assert (await pool.rebuild(2, [0]))[0] == ground.slots[0][2]
    assert asked[5:] == [4, 5, 3]


async def test_denied_farmers_are_read_from_only_where_the_others_are_not_enough(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They may have the last pieces: then they are asked, however cheap or dear, and it is said."""
    ground, asked = ruined(), list[FarmerId]()
    order_state = await order_as_read(FakeMarket(ground, WALLET, nothing))

    class Noted(FakePeer):
        async def read(self, *arguments: Any) -> bytes:
            asked.append(self.farmer.id)
            return await super().read(*arguments)

    def opened(farmer: FarmerId, most_per_gib: int = 0) -> Peer:
        return Noted(ground, farmer, WALLET.address, nothing)  # type: ignore[return-value]

    with Executors.open() as executors:
        denied = {FarmerId(3)}
        async with Sources(order_state, [2, 3, 4], opened, POLICY, executors, denied=denied) as pool:
            await pool.rebuild(0, [0])
        assert (set(asked), caplog.text) == ({4, 5}, "")
        ground.keeps[FarmerId(5)].gone = True
        async with Sources(order_state, [2, 3, 4], opened, POLICY, executors, denied=denied) as pool:
            assert (await pool.rebuild(1, [0]))[0] == ground.slots[0][1]
    assert 3 in asked
    assert "also read from farmer 3, on the deny list" in caplog.text


async def test_a_repairer_places_nothing_with_those_it_denies_and_reads_from_them_last(
    tmp_path: Path,
) -> None:
    ground = ruined()
    denied = AllowLists(denied=tuple(Listed(who=FarmerId(number)) for number in (3, 6)))
    async with repairing(ground, tmp_path) as repairer:
        repairer.view.directory.lists = denied
        await until_done(ground, repairer)
        assert [job.outcome for job in repairer.jobs.done()] == [Outcome.REFILLED]
    assert ground.keeps[FarmerId(3)].reads == 0
    assert FarmerId(6) not in ground.holders().values()
    assert ground.keeps[FarmerId(6)].puts == 0


async def test_farmers_that_ask_more_than_a_repairer_pays_are_not_read_from(tmp_path: Path) -> None:
    """Whose own farmers keep an order and ask almost its bounty for rubbish get nothing."""
    ground = ruined()
    dear(ground, 0.4)
    asked = ground.keeps[FarmerId(3)].egress_price
    async with repairing(ground, tmp_path, highest_read_price=asked - 1) as repairer:
        for _ in range(6):
            await repairer.tick()
            await repairer.idle()
            ground.mine()
        assert repairer.jobs.under_way() == [] == repairer.jobs.done()
        for number in (4, 5):
            ground.keeps[FarmerId(number)].egress_price = asked - 1
        await until_done(ground, repairer)
        assert [job.outcome for job in repairer.jobs.done()] == [Outcome.REFILLED]
    assert ground.keeps[FarmerId(3)].reads == 0


async def test_a_repair_whose_sources_raise_their_price_waits(tmp_path: Path) -> None:
    """It was begun when they asked nothing, and goes on when they ask little again."""
    ground = ruined()
    for number in (3, 4):
        ground.keeps[FarmerId(number)].gone = True
    await tried(ground, tmp_path, rounds=1)
    for number in (3, 4):
        ground.keeps[FarmerId(number)].gone = False
    dear(ground, 0.4)
    ground.mine()
    async with repairing(ground, tmp_path, highest_read_price=7) as repairer:
        await repairer.tick()
        await repairer.idle()
        assert len(repairer.jobs.under_way()) == 1
        assert repairer.view.directory.spent == 0  # type: ignore[attr-defined]
        for keep in ground.keeps.values():
            keep.egress_price = 7
        await until_done(ground, repairer)


async def test_a_file_that_is_no_repair_keeps_no_other_from_going_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported once, and left for its owner to remove."""
    ground = ruined()
    odd = tmp_path / "jobs" / f"{ODD.hex()}.json"
    odd.parent.mkdir()
    odd.write_text("{")
    async with repairing(ground, tmp_path) as repairer:
        await until_done(ground, repairer)
        assert [job.outcome for job in repairer.jobs.done()] == [Outcome.REFILLED]
    assert odd.read_text() == "{"
    assert [str(odd) in message for message in caplog.messages].count(True) == 1


async def test_who_did_not_take_a_slot_is_asked_last_after_a_restart(tmp_path: Path) -> None:
    ground = ruined()
    decliner: FarmerId | None = None

    async def watch(word: str) -> None:
        nonlocal decliner
        if word == "accept" and decliner is None:
            (_, decliner), *_ = sorted(
                (slot, keep.id) for keep in ground.keeps.values() for _, _, slot in keep.sent
            )
            ground.keeps[decliner].refuses = True
        elif word == "refill":
            raise asyncio.CancelledError

    with contextlib.suppress(asyncio.CancelledError):
        async with repairing(ground, tmp_path, watch=watch) as repairer:
            await repairer.tick()
            await repairer.idle()
    assert decliner is not None
    (job,) = Jobs(tmp_path).under_way()
    assert job.declined == (decliner,)
    puts = ground.keeps[decliner].puts
    async with repairing(ground, tmp_path) as repairer:
        await until_done(ground, repairer)
    assert ground.keeps[decliner].puts == puts


async def test_an_order_is_looked_at_once_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it waits nothing of it changes but by a block."""
    ground, looked = ruined(), 0
    dear(ground, 40)

    async def counted(*arguments: Any) -> Assessment:
        nonlocal looked
        looked += 1
        return await assess(*arguments)

    monkeypatch.setattr(repairer_module, "assess", counted)
    async with repairing(ground, tmp_path) as repairer:
        for _ in range(5):
            await repairer.tick()
        assert looked == 1
        ground.mine()
        await repairer.tick()
        assert looked == 2


async def test_a_repairer_that_is_started_again_reads_on_from_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A market that is years old is read once; a reorganisation while it was away is seen all the same."""
    ground = ruined()
    ground.mine(100)
    async with repairing(ground, tmp_path, gas_price=10**18) as repairer:
        await repairer.tick()
        [order] = repairer.view.orders.orders()
    height, whole, read = ground.height, ground.logs_matching, list[int]()

    async def noted(first: int, last: int, filters: Sequence[EventFilter]) -> list[Event]:
        read.append(first)
        return await whole(first, last, filters)

    monkeypatch.setattr(ground, "logs_matching", noted)
    ground.reorg(3)
    ground.mine()
    async with repairing(ground, tmp_path, gas_price=10**18) as repairer:
        await repairer.tick()
        assert repairer.view.orders.orders() == [order]
    assert height - 100 < min(read) <= height - 2


async def test_an_index_that_another_process_holds_stops_no_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repairer waits for it, and what runs beside goes on."""
    ground, whole = ruined(), OrderIndex.apply
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def noted(orders: OrderIndex, steps: Sequence[Rollback | Batch]) -> list[str]:
        loop.call_soon_threadsafe(begun.set)
        return whole(orders, steps)

    monkeypatch.setattr(OrderIndex, "apply", noted)
    async with repairing(ground, tmp_path, gas_price=10**18) as repairer:
        with closing(sqlite3.connect(tmp_path / ORDERS_NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            ticking = asyncio.create_task(repairer.tick())
            await begun.wait()
            for _ in range(100):
                await asyncio.sleep(0)
            assert not ticking.done()
            other.execute("ROLLBACK")
        await ticking
        assert len(repairer.view.orders.orders()) == 1


async def test_orders_that_are_over_are_forgotten(tmp_path: Path) -> None:
    """A market has more of them every day; those of renters that are to be closed stay until they are."""
    ground = ruined()
    for kept in (frozenset(), frozenset([RENTER])):
        with OrderIndex.open(None, domain=DOMAIN) as orders, Executors.open() as executors:
            await FakeMarket(ground, WALLET, nothing).follow(orders, 0, executors)
            orders.forget_ended(Epoch(END - 1), kept)
            assert len(orders) == 1
            orders.forget_ended(END, kept)
            assert len(orders) == len(kept)


@dataclass(kw_only=True)
class Lines:
    """What it takes to send a piece to whom, and who gave way."""

    seconds: Callable[[FarmerId], float]
    first: FarmerId | None = None
    """Others have no piece before it has as many as make a slow taker give way."""
    given_up: list[FarmerId] = field(default_factory=list)

    async def push(self, keepers: dict[int, FarmerId]) -> dict[int, FarmerId]:
        """One pass, in which 8 takes the place of the first that gives way, then 9. Gives who has what."""
        with Executors.open() as executors:
            return await self._push(keepers, executors)

    async def _push(self, keepers: dict[int, FarmerId], executors: Executors) -> dict[int, FarmerId]:
        ground, clock, lines, spares = ruined(), Clock(), self, iter([FarmerId(8), FarmerId(9)])
        order_state = await order_as_read(FakeMarket(ground, WALLET, nothing))
        ahead = asyncio.Event()

        class Slow(FakePeer):
            async def put_piece(self, *arguments: Any) -> None:
                if lines.first not in {None, self.farmer.id}:
                    await ahead.wait()
                clock.now += lines.seconds(self.farmer.id)
                await super().put_piece(*arguments)
                if self._keep.puts >= POLICY.slow_to_store_rebuilt.in_a_row:
                    ahead.set()

        def opened(farmer: FarmerId, most_per_gib: int = 0) -> Peer:
            return Slow(ground, farmer, WALLET.address, nothing)  # type: ignore[return-value]

        def keeper(farmer: FarmerId) -> Keeper:
            return Keeper(farmer=ground.farmer(farmer), rate=RATE)

        pool = Sources(order_state, [2, 3, 4], opened, POLICY, executors)

        async def make_pieces(segment: int, slots: Sequence[int]) -> list[Piece]:
            rebuilt = await pool.rebuild(segment, slots)
            return [
                Piece(slot=slot, segment=segment, data=data, root=merkle_root(data))
                for slot, data in rebuilt.items()
            ]

        async with SlotPush(
            order=ORDER,
            geometry=order_state.geometry,
            keepers={slot: keeper(farmer) for slot, farmer in keepers.items()},
            candidates=Candidates(more_elsewhere=True),
            make_pieces=make_pieces,
            open_peer=lambda farmer: opened(farmer.id),
            policy=replace(POLICY, clock=clock),
            listen=ignore_progress,
            is_rebuilt=True,
        ) as push:
            while segments := await push.missing_segments():
                before = push.keepers
                for slot in await push.send(segments):
                    self.given_up.append(before[slot].farmer.id)
                    push.assign(slot, keeper(next(spares)))
            keeping = {slot: keeper.farmer.id for slot, keeper in push.keepers.items()}
        for slot, farmer in keeping.items():
            sent = ground.keeps[farmer].sent[WALLET.address, ORDER, slot]
            assert root_of([sent[piece] for piece in sorted(sent)]) == order_state.slots[slot].root
        return keeping


@pytest.mark.parametrize("beside", [{1: FarmerId(7)}, {}])
async def test_a_taker_that_is_far_slower_than_the_others_gives_way(beside: dict[int, FarmerId]) -> None:
    """Else it could draw out each repair for weeks, a piece within every deadline, also alone."""
    lines = Lines(seconds=lambda farmer: 31.0 if farmer == 6 else 1.0, first=beside.get(1))
    keeping = await lines.push({0: FarmerId(6), **beside})
    assert lines.given_up == [FarmerId(6)]
    assert keeping == {0: FarmerId(8), **beside}


async def test_takers_do_not_give_way_one_after_the_other_where_our_own_line_is_slow() -> None:
    """Each would be sent the same first pieces, and each time they would be read and paid for."""
    lines = Lines(seconds=lambda farmer: 40.0)
    keeping = await lines.push({0: FarmerId(6)})
    assert (lines.given_up, keeping) == ([FarmerId(6)], {0: FarmerId(8)})


async def test_who_has_its_first_pieces_before_the_others_is_not_slow() -> None:
    """On a slow line of ours all take long, and somebody is first."""
    lines = Lines(seconds=lambda farmer: 40.0, first=FarmerId(6))
    await lines.push({0: FarmerId(6), 1: FarmerId(7)})
    assert not lines.given_up

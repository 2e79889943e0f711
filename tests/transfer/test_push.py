"""Pieces on their way to farmers: who is replaced and when, and what is sent again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from transfer_fakes import farmer_of

from grange.chain import Farmer
from grange.layout import Geometry
from grange.peer import FarmerLied, FarmerRefused, FarmerUnreachable
from grange.transfer.acceptance import Keeper
from grange.transfer.events import FarmerFailed, FarmerReplaced, Progress, ProgressEvent
from grange.transfer.push import MAX_RECOUNTS, PIECES_AT_ONCE, SlotPush
from grange.transfer.retry import RetryPolicy, SlowRule
from grange.transfer.slot_upload import Candidates, Piece
from grange.types import OrderId
from grange.wire.bodies import Listing

ORDER = OrderId(b"\x0d" * 32)
GEOMETRY = Geometry(k=1, n=3, piece_bytes=2048, segments=6)
EVERYTHING = set(range(6))
NOT_HERE = FarmerRefused("3 of 6 pieces are not here", status=404, code="not_found")


@dataclass
class FakeFarmer:
    """Takes pieces. `before_put` is awaited before each, and may raise."""

    farmer: Farmer
    before_put: Callable[[int], Awaitable[None]] | None = None
    held: dict[int, bytes] = field(default_factory=dict)
    puts: list[int] = field(default_factory=list)
    drops: int = 0
    at_once: int = 0
    most_at_once: int = 0

    async def put_piece(self, order: OrderId, slot: int, piece: int, data: bytes, root: bytes) -> None:
        assert order == ORDER
        self.puts.append(piece)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            if self.before_put is not None:
                await self.before_put(piece)
        finally:
            self.at_once -= 1
        assert data == data_of(slot, piece)
        self.held[piece] = data

    async def listing(self, order: OrderId, slot: int, first: int = 0) -> Listing:
        return Listing(roots={piece: bytes(32) for piece in self.held}, count=len(self.held))

    async def drop(self, order: OrderId, slot: int) -> None:
        self.drops += 1
        self.held.clear()


def data_of(slot: int, segment: int) -> bytes:
    return bytes([slot, segment])


@dataclass
class Ground:
    """Farmers 1 to 8, of which the first three are to keep the slots, and what is told of the push."""

    farmers: dict[int, FakeFarmer] = field(
        default_factory=lambda: {number: FakeFarmer(farmer_of(number)) for number in range(1, 9)}
    )
    events: list[ProgressEvent] = field(default_factory=list)
    made: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    now: float = 0.0

    async def make_pieces(self, segment: int, slots: Sequence[int]) -> list[Piece]:
        self.made.append((segment, tuple(slots)))
        await asyncio.sleep(0)
        return [Piece(slot=s, segment=segment, data=data_of(s, segment), root=bytes(32)) for s in slots]

    @asynccontextmanager
    async def push(
        self,
        *,
        candidates: Candidates | None = None,
        keepers: Mapping[int, int] = {0: 1, 1: 2, 2: 3},
        slow: SlowRule = SlowRule(floor_seconds=3600.0, factor=8.0),  # noqa: B008
        **options: Any,
    ) -> AsyncIterator[SlotPush]:
        async def sleep(_: float) -> None:
            self.now += 30.0

        async with SlotPush(
            order=ORDER,
            geometry=GEOMETRY,
            keepers={slot: keeper(number) for slot, number in keepers.items()},
            candidates=Candidates([keeper(4), keeper(5)]) if candidates is None else candidates,
            make_pieces=options.pop("make_pieces", self.make_pieces),
            open_peer=lambda farmer: self.farmers[farmer.id],  # type: ignore[arg-type, return-value]
            policy=RetryPolicy(
                drop_seconds=options.pop("drop_seconds", 5.0),
                clock=lambda: self.now,
                sleep=sleep,
                slow_to_store=slow,
                slow_to_store_rebuilt=slow,
            ),
            listen=self.events.append,
            **options,
        ) as push:
            yield push

    def has(self, number: int) -> set[int]:
        return set(self.farmers[number].held)

    def replaced(self) -> list[tuple[int, int]]:
        return [(one.farmer, one.successor) for one in self.events if isinstance(one, FarmerReplaced)]


def keeper(number: int) -> Keeper:
    return Keeper(farmer=farmer_of(number), rate=7)


async def sent_all(push: SlotPush) -> None:
    while segments := await push.missing_segments():
        assert await push.send(segments) == {}


async def until(condition: Callable[[], bool]) -> None:
    """Let the others run until it holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never holds")


def failing(error: Exception, *pieces: int) -> Callable[[int], Awaitable[None]]:
    async def fail(piece: int) -> None:
        if piece in pieces:
            raise error

    return fail


async def test_every_keeper_gets_every_piece_once() -> None:
    ground = Ground()
    async with ground.push() as push:
        await sent_all(push)
        assert push.sent_bytes == 3 * 6 * 2
    for number in (1, 2, 3):
        assert sorted(ground.farmers[number].puts) == sorted(EVERYTHING)
        assert ground.farmers[number].most_at_once == PIECES_AT_ONCE
        assert ground.farmers[number].drops == 0
    assert sum(isinstance(one, Progress) for one in ground.events) == GEOMETRY.segments


@pytest.mark.parametrize(
    ("error", "lied"), [(FarmerLied("another root"), True), (ZeroDivisionError("a bug"), False)]
)
async def test_one_that_fails_gives_way_and_the_next_gets_what_it_missed(
    error: Exception, lied: bool
) -> None:
    """What comes after the failure goes to the next one at once; only what it missed is made again."""
    ground = Ground()
    ground.farmers[2].before_put = failing(error, 3)
    async with ground.push() as push:
        assert await push.send(range(6)) == {}
        assert {3, 4, 5} <= ground.has(4)
        again = await push.missing_segments()
        ground.made.clear()
        await sent_all(push)
        assert [number for number, _ in ground.made] == again
        assert all(slots == (1,) for _, slots in ground.made)
        assert push.keepers[1].farmer.id == 4
    assert ground.has(4) == EVERYTHING
    assert ground.replaced() == [(2, 4)]
    assert [one.lied for one in ground.events if isinstance(one, FarmerFailed)] == [lied]
    assert (ground.farmers[2].drops, ground.farmers[1].puts.count(3)) == (1, 1)


async def test_one_that_passes_over_a_moment_of_trouble_keeps_its_slot() -> None:
    ground, errors = Ground(), [FarmerUnreachable("away"), FarmerRefused("", status=503, code="busy")]

    async def stumble(_: int) -> None:
        if errors:
            raise errors.pop()

    ground.farmers[1].before_put = stumble
    async with ground.push() as push:
        await sent_all(push)
    assert ground.has(1) == EVERYTHING
    assert not ground.replaced()


async def test_the_last_one_is_waited_for_a_minute() -> None:
    """With nobody to step in, a farmer that restarts is there again; one that does not is returned."""
    ground = Ground()

    async def away(_: int) -> None:
        if ground.now < 45:
            raise FarmerUnreachable("restarting")

    ground.farmers[1].before_put = away
    async with ground.push(candidates=Candidates()) as push:
        await sent_all(push)
        assert ground.has(1) == EVERYTHING
    gone = Ground()
    gone.farmers[1].before_put = failing(FarmerUnreachable("gone"), *EVERYTHING)
    async with gone.push(candidates=Candidates()) as push:
        failures = await push.send(range(6))
        assert list(failures) == [0]
        assert 0 not in push.keepers
    assert 60 <= gone.now <= 60 + PIECES_AT_ONCE * 60


async def test_what_was_fetched_and_paid_is_sent_before_a_failure_is_returned() -> None:
    """Pieces that are rebuilt cost something to make again: other keepers get theirs."""
    ground = Ground()
    ground.farmers[1].before_put = failing(FarmerLied("another root"), 0)
    async with ground.push(candidates=Candidates(more_elsewhere=True), is_rebuilt=True) as push:
        failures = await push.send(range(6))
        assert list(failures) == [0]
        begun = {segment for segment, _ in ground.made}
        assert begun < EVERYTHING
        assert ground.has(2) == ground.has(3) == begun
        push.assign(0, keeper(6))
        await sent_all(push)
    assert ground.has(6) == ground.has(2) == ground.has(3) == EVERYTHING
    assert sorted(ground.farmers[2].puts) == sorted(EVERYTHING)


async def test_rebuilt_pieces_that_a_keeper_has_are_not_made_again() -> None:
    ground = Ground()
    ground.farmers[1].held = {piece: data_of(0, piece) for piece in (0, 1, 4)}
    async with ground.push(keepers={0: 1}, is_rebuilt=True) as push:
        assert await push.missing_segments() == [2, 3, 5]
        await sent_all(push)
    assert sorted(ground.farmers[1].puts) == [2, 3, 5]


async def test_the_keeper_of_a_whole_slot_is_sent_nothing_until_another_follows_it() -> None:
    ground = Ground()
    async with ground.push(is_rebuilt=True, whole={0, 1}) as push:
        assert push.missing_slots == [2]
        await sent_all(push)
        assert not ground.farmers[1].puts
        assert push.replace(0, FarmerRefused("no more stake", status=409, code="stake_too_small"))
        await sent_all(push)
    assert ground.has(4) == EVERYTHING
    assert not ground.farmers[2].puts


async def test_one_that_hangs_gives_way_while_its_piece_is_on_its_way() -> None:
    """Compared with what the others needed for theirs."""
    ground = Ground()

    async def hang(_: int) -> None:
        await asyncio.Event().wait()

    ground.farmers[1].before_put = hang
    async with ground.push(slow=SlowRule(floor_seconds=0.008, factor=8.0)) as push:
        sending = asyncio.create_task(push.send(range(6)))
        await until(lambda: ground.has(2) == ground.has(3) == EVERYTHING)
        assert not ground.replaced()
        ground.now += 100.0
        await sending
        await sent_all(push)
    assert ground.replaced() == [(1, 4)]
    assert ground.has(4) == EVERYTHING
    assert not ground.has(1)


async def test_one_that_was_slow_is_better_than_none() -> None:
    """It has its slot back, whole, when those that followed it failed; what it got before is gone first."""
    ground, told = Ground(), asyncio.Event()
    first = ground.farmers[1]

    async def hang_once(_: int) -> None:
        first.before_put = None
        await asyncio.Event().wait()

    first.before_put = hang_once
    ground.farmers[4].before_put = failing(FarmerLied("another root"), 5)
    forget = first.drop

    async def forget_late(order: OrderId, slot: int) -> None:
        await told.wait()
        await forget(order, slot)

    first.drop = forget_late  # type: ignore[method-assign]
    async with ground.push(
        candidates=Candidates([keeper(4)]), slow=SlowRule(floor_seconds=0.008, factor=8.0)
    ) as push:
        sending = asyncio.create_task(push.send(range(6)))
        await until(lambda: ground.has(2) == ground.has(3) == EVERYTHING)
        ground.now += 100.0
        await until(lambda: ground.replaced() == [(1, 4), (4, 1)])
        told.set()
        assert await sending == {}
        await sent_all(push)
        assert push.keepers[0].farmer.id == 1
    assert ground.has(1) == EVERYTHING
    assert first.drops == 1


async def test_one_that_was_slow_is_left_out_where_others_are_to_be_found() -> None:
    candidates = Candidates(more_elsewhere=True)
    candidates.put_back(keeper(1))
    assert candidates.take() is None
    assert candidates.has_untried
    assert not candidates.is_exhausted


async def test_nobody_is_slow_as_long_as_half_of_the_others_are_not_known() -> None:
    """On a slow line of ours all take long, and somebody is first."""
    ground, looked = Ground(), asyncio.Event()

    async def hang(_: int) -> None:
        await looked.wait()

    ground.farmers[1].before_put = ground.farmers[2].before_put = ground.farmers[3].before_put = hang
    async with ground.push(slow=SlowRule(floor_seconds=0.008, factor=8.0)) as push:
        sending = asyncio.create_task(push.send(range(6)))
        await until(lambda: all(ground.farmers[number].puts for number in (1, 2, 3)))
        ground.now += 100.0
        for _ in range(5):
            await asyncio.sleep(0.001)
        assert not ground.replaced()
        ground.now = 0.0
        looked.set()
        assert await sending == {}
    assert not ground.replaced()


async def test_nobody_is_slow_where_nobody_could_step_in() -> None:
    ground = Ground()

    async def slow(_: int) -> None:
        ground.now += 100.0

    ground.farmers[1].before_put = slow
    async with ground.push(
        candidates=Candidates(), slow=SlowRule(floor_seconds=0.008, factor=8.0), keepers={0: 1}
    ) as push:
        await sent_all(push)
    assert ground.has(1) == EVERYTHING


async def test_an_error_of_those_who_make_pieces_ends_the_pass() -> None:
    """As itself, and nothing is under way afterwards."""
    ground, begun = Ground(), len(asyncio.all_tasks())

    async def broken(segment: int, slots: Sequence[int]) -> list[Piece]:
        if segment == 4:
            raise RuntimeError("the file changed")
        return await ground.make_pieces(segment, slots)

    async with ground.push(make_pieces=broken) as push:
        with pytest.raises(RuntimeError, match="the file changed"):
            await push.send(range(6))
    assert len(asyncio.all_tasks()) == begun


async def test_a_slot_that_is_not_wanted_any_more_is_dropped() -> None:
    """Also while pieces of it are on their way, and its keeper is told."""
    ground = Ground()

    async def withdrawing(piece: int) -> None:
        if piece == 3:
            push.withdraw(1)
            await asyncio.Event().wait()

    ground.farmers[2].before_put = withdrawing
    async with ground.push() as push:
        await sent_all(push)
        assert sorted(push.keepers) == [0, 2]
    assert ground.has(1) == ground.has(3) == EVERYTHING
    assert (ground.farmers[2].drops, ground.has(2)) == (1, set())


async def test_a_keeper_that_lost_pieces_gets_those_again_but_not_for_ever() -> None:
    ground = Ground()
    async with ground.push() as push:
        await sent_all(push)
        assert not await push.look_again(0, FarmerRefused("", status=409, code="terms_refused"))
        for _ in range(MAX_RECOUNTS):
            del ground.farmers[1].held[2], ground.farmers[1].held[5]
            assert await push.look_again(0, NOT_HERE)
            assert await push.missing_segments() == [2, 5]
            await sent_all(push)
        ground.farmers[1].held.clear()
        assert not await push.look_again(0, NOT_HERE)


async def test_one_that_has_all_and_says_that_it_has_not_is_not_believed() -> None:
    ground = Ground()
    async with ground.push() as push:
        await sent_all(push)
        assert not await push.look_again(0, NOT_HERE)


async def test_anyone_who_was_sent_something_is_told_to_forget_it() -> None:
    ground = Ground()
    async with ground.push() as push:
        await sent_all(push)
        push.drop_all()
    assert [ground.farmers[number].drops for number in range(1, 6)] == [1, 1, 1, 0, 0]


async def test_a_farmer_that_does_not_let_go_is_waited_for_a_moment_only() -> None:
    ground = Ground()

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    ground.farmers[1].drop = never  # type: ignore[method-assign]
    async with ground.push(drop_seconds=0.01) as push:
        await sent_all(push)
        push.drop_all()
    assert ground.farmers[2].drops == 1

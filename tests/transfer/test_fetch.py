"""Fetching k of n slots: who is asked and when, and what is believed. Only the bytes are real."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange.erasure import Codec
from grange.errors import AuthenticationFailed
from grange.executors import Executors
from grange.kernel import Tree, merkle_root, root_of_hashes
from grange.layout import Geometry
from grange.peer import FarmerRefused, FarmerUnreachable, PieceClosed
from grange.seal import OrderKey
from grange.transfer.errors import NotEnoughSources
from grange.transfer.events import FarmerFailed, ProgressEvent
from grange.transfer.fetch import Fetcher
from grange.transfer.retry import SlowRule
from grange.transfer.sources import Source
from grange.transfer.stripes import Stripe
from grange.transfer.verification import ListedRoots, SealedBlocks, Verifier
from grange.types import Epoch, FarmerId, OrderId
from grange.wire.bodies import Listing, PiecePath
from grange.wire.codes import ErrorCode

K, N, SEGMENTS = 3, 6, 4
GEOMETRY = Geometry(k=K, n=N, piece_bytes=1024, segments=SEGMENTS)
ORDER = OrderId(b"\x0e" * 32)
KEY = OrderKey(b"\x0f" * 32)
PLAIN = [bytes([block + 1]) * GEOMETRY.block_bytes for block in range(GEOMETRY.blocks)]
NEVER_SLOW = SlowRule(floor_seconds=3600.0, factor=1.0)
ANY_K = Stripe(first=0, end=1, columns=frozenset())


@dataclass(frozen=True, kw_only=True)
class SlowAt(SlowRule):
    """Nobody is slow, however busy this machine is, but for those that still run when `is_now` says so, told
    how many have come."""

    is_now: Callable[[int], bool]

    def limit_seconds(self, others_seconds: Sequence[float], at_least_seconds: float = 0.0) -> float:
        return self.floor_seconds if self.is_now(len(others_seconds)) else NEVER_SLOW.floor_seconds


def _slots() -> list[list[bytes]]:
    codec = Codec(K, N)
    slots: list[list[bytes]] = [[] for _ in range(N)]
    for segment in range(SEGMENTS):
        sealed = [KEY.seal(segment * K + column, PLAIN[segment * K + column]) for column in range(K)]
        for slot, piece in enumerate([*sealed, *codec.parity(sealed)]):
            slots[slot].append(piece)
    return slots


SLOTS = _slots()
ROOTS = [root_of_hashes(b"".join(map(merkle_root, pieces))) for pieces in SLOTS]


@dataclass
class FakeFarmer:
    """Keeps a slot, and answers as its fields say."""

    slot: int
    lies: bool = False
    error: Exception | None = None
    hangs: asyncio.Event | None = None
    lists: bool = True
    false_list: bool = False
    false_path: bool = False
    reads: int = 0
    listings: int = 0
    paths: int = 0

    async def read(self, order: OrderId, slot: int, start: int, size_bytes: int) -> bytes:
        assert (order, slot) == (ORDER, self.slot)
        self.reads += 1
        await asyncio.sleep(0)
        if self.hangs is not None:
            await self.hangs.wait()
        if self.error is not None:
            raise self.error
        data = b"".join(SLOTS[slot])[start : start + size_bytes]
        return data[:-1] + bytes([data[-1] ^ 1]) if self.lies else data

    async def listing(self, order: OrderId, slot: int, first: int = 0) -> Listing:
        self.listings += 1
        await asyncio.sleep(0)
        if self.false_list:
            return Listing(roots={segment: bytes(32) for segment in range(SEGMENTS)}, count=SEGMENTS)
        shown = range(SEGMENTS) if self.lists else range(1)
        return Listing(
            roots={segment: merkle_root(SLOTS[slot][segment]) for segment in shown}, count=SEGMENTS
        )

    async def piece_path(self, order: OrderId, slot: int, piece: int) -> PiecePath:
        self.paths += 1
        tree = Tree(b"".join(map(merkle_root, SLOTS[slot])))
        root = bytes(32) if self.false_path else tree.leaf(piece)
        return PiecePath(root=root, path=tree.path(piece), pieces=SEGMENTS)


@dataclass
class Ground:
    """An order of six slots, and what is told while it is fetched."""

    farmers: list[FakeFarmer] = field(default_factory=lambda: [FakeFarmer(slot) for slot in range(N)])
    events: list[ProgressEvent] = field(default_factory=list)

    @asynccontextmanager
    async def fetcher(
        self, *, sealed: bool = False, order: Sequence[int] = range(N), slow: SlowRule = NEVER_SLOW
    ) -> AsyncIterator[Fetcher]:
        sources = [
            Source(slot=slot, farmer=FarmerId(slot + 1), root=ROOTS[slot], open_peer=self.opener(slot))
            for slot in order
        ]
        with Executors.open() as executors:
            by_slot = {source.slot: source for source in sources}
            verifier: Verifier = ListedRoots(ORDER, GEOMETRY, executors)
            if sealed:
                verifier = SealedBlocks(ORDER, GEOMETRY, KEY, by_slot, executors)
            async with Fetcher(
                GEOMETRY, sources, verifier, slow, self.events.append, executors=executors
            ) as fetcher:
                yield fetcher

    def opener(self, slot: int) -> Any:
        return lambda: self.farmers[slot]

    @property
    def asked(self) -> list[int]:
        return [farmer.slot for farmer in self.farmers if farmer.reads]

    @property
    def failed(self) -> dict[int, bool]:
        """Slots that are told of, and whether they lied."""
        return {one.slot: one.lied for one in self.events if isinstance(one, FarmerFailed)}


def away(slot: int) -> FarmerUnreachable:
    return FarmerUnreachable(f"Farmer {slot + 1} is away.")


def closed_until(epoch: int) -> PieceClosed:
    return PieceClosed("closed", status=403, code="closed", open_epoch=Epoch(epoch))


async def test_a_lost_piece_is_made_of_those_that_are_preferred() -> None:
    """Of six the first three are asked, once each for their roots and once for the piece."""
    ground = Ground()
    async with ground.fetcher(order=[5, 3, 4, 1, 2]) as fetcher:
        assert await fetcher.rebuild(2, [0]) == {0: SLOTS[0][2]}
        assert ground.asked == [3, 4, 5]
        await asyncio.gather(*(fetcher.rebuild(segment, [0]) for segment in range(SEGMENTS)))
    assert [farmer.listings for farmer in ground.farmers] == [0, 0, 0, 1, 1, 1]


async def test_a_slot_that_is_to_move_is_made_though_its_farmer_still_gives_it() -> None:
    """Anyone who will not go on with an order may still be the best to read it from."""
    ground = Ground()
    async with ground.fetcher() as fetcher:
        assert await fetcher.rebuild(1, [0, 5]) == {0: SLOTS[0][1], 5: SLOTS[5][1]}
    assert ground.asked == [0, 1, 2]


@pytest.mark.parametrize("fields", [{"lies": True}, {"false_list": True}])
async def test_one_that_lies_is_passed_over_and_asked_for_nothing_more(fields: dict[str, bool]) -> None:
    ground = Ground()
    ground.farmers[1] = FakeFarmer(1, **fields)
    async with ground.fetcher() as fetcher:
        for segment in range(SEGMENTS):
            assert await fetcher.rebuild(segment, [1]) == {1: SLOTS[1][segment]}
        assert [one.slot for one in fetcher.liars] == [1]
    assert ground.failed == {1: True}
    assert ground.farmers[1].reads <= 1


@pytest.mark.parametrize("lies", [{"lies": True}, {"false_path": True}])
async def test_where_not_all_roots_are_listed_the_path_of_a_piece_decides(lies: dict[str, bool]) -> None:
    ground = Ground([FakeFarmer(slot, lists=False) for slot in range(N)])
    ground.farmers[0] = FakeFarmer(0, lists=False, **lies)
    async with ground.fetcher() as fetcher:
        assert await fetcher.rebuild(2, [0]) == {0: SLOTS[0][2]}
    assert ground.failed == {0: True}
    assert [farmer.paths for farmer in ground.farmers] == [1, 1, 1, 1, 0, 0]


async def test_one_that_fails_is_asked_again_only_when_there_is_nobody_else() -> None:
    ground = Ground()
    ground.farmers[0].error = away(0)
    async with ground.fetcher() as fetcher:
        await fetcher.rebuild(0, [0])
        await fetcher.rebuild(1, [0])
        assert ground.farmers[0].reads == 1
        ground.farmers[0].error = None
        for slot in (2, 3, 4, 5):
            ground.farmers[slot].error = away(slot)
        with pytest.raises(NotEnoughSources) as raised:
            await fetcher.rebuild(2, [5])
        assert (raised.value.have, raised.value.needed, raised.value.closed) == (2, K, {})
        ground.farmers[2].error = None
        assert await fetcher.rebuild(3, [5]) == {5: SLOTS[5][3]}
    assert ground.failed == {0: False, 2: False, 3: False, 4: False, 5: False}


async def test_those_that_failed_get_one_more_chance_each_and_no_more_are_asked_than_needed() -> None:
    """Each of them may want to be paid."""
    ground = Ground()
    for farmer in ground.farmers:
        farmer.error = away(farmer.slot)
    async with ground.fetcher() as fetcher:
        with pytest.raises(NotEnoughSources):
            await fetcher.fetch(ANY_K)
        assert [farmer.reads for farmer in ground.farmers] == [2] * N
        for farmer in ground.farmers:
            farmer.error = None
        await fetcher.fetch(ANY_K)
        assert sum(farmer.reads for farmer in ground.farmers) == 2 * N + K


async def test_one_that_is_late_is_overtaken_and_asked_after_the_others() -> None:
    ground, gate, is_time = Ground(), asyncio.Event(), iter([True])
    ground.farmers[0].hangs = gate
    slow = SlowAt(
        floor_seconds=0.01, factor=1.0, is_now=lambda arrived: arrived == K - 1 and next(is_time, False)
    )
    async with ground.fetcher(slow=slow) as fetcher:
        await fetcher.rebuild(0, [0])
        assert ground.asked == [0, 1, 2, 3]
        await fetcher.rebuild(1, [0])
        assert ground.farmers[0].reads == 1
        gate.set()
    assert ground.failed == {}


async def test_one_that_shows_a_piece_in_a_later_epoch_has_not_failed() -> None:
    """It is not asked again for that piece; how many say so is told."""
    ground = Ground()
    for slot in (0, 1, 2, 3):
        ground.farmers[slot].error = closed_until(20 + slot)
    async with ground.fetcher() as fetcher:
        with pytest.raises(NotEnoughSources) as raised:
            await fetcher.fetch(ANY_K)
        assert raised.value.closed == {0: 20, 1: 21, 2: 22, 3: 23}
        assert all(ground.farmers[slot].reads == 1 for slot in range(4))
        ground.farmers[0].error = None
        await fetcher.fetch(ANY_K)
    assert ground.failed == {}


async def test_a_vault_of_ours_that_is_too_small_is_no_fault_of_the_farmers() -> None:
    ground = Ground()
    ground.farmers[0].error = FarmerRefused("too small", status=402, code=ErrorCode.VAULT_TOO_SMALL)
    async with ground.fetcher() as fetcher:
        await fetcher.fetch(ANY_K)
    assert ground.failed == {}


async def test_one_that_asks_a_ransom_is_asked_last() -> None:
    ground = Ground()
    async with ground.fetcher() as fetcher:
        fetcher.sources[0].is_dear = True
        await fetcher.fetch(ANY_K)
        assert ground.asked == [1, 2, 3]


async def test_with_the_key_only_the_farmers_of_the_wanted_columns_are_asked() -> None:
    ground = Ground()
    async with ground.fetcher(sealed=True) as fetcher:
        fetched = await fetcher.fetch(Stripe(first=1, end=3, columns=frozenset({1})))
        assert fetched.opened == {1: [PLAIN[K + 1], PLAIN[2 * K + 1]]}
    assert ground.asked == [1]


async def test_a_column_whose_farmer_is_away_is_computed() -> None:
    ground = Ground()
    ground.farmers[1].error = away(1)
    async with ground.fetcher(sealed=True) as fetcher:
        fetched = await fetcher.fetch(Stripe(first=0, end=SEGMENTS, columns=frozenset({0, 1})))
    assert fetched.opened[1] == [PLAIN[segment * K + 1] for segment in range(SEGMENTS)]
    assert ground.asked == [0, 1, 2, 3]


@pytest.mark.parametrize("liar", [1, 4])
async def test_wrong_bytes_are_found_by_the_seal_and_their_farmer_by_the_path(liar: int) -> None:
    ground = Ground()
    ground.farmers[0].error = away(0)
    ground.farmers[3].error = away(3)
    ground.farmers[liar].lies = True
    async with ground.fetcher(sealed=True) as fetcher:
        fetched = await fetcher.fetch(Stripe(first=0, end=1, columns=frozenset({0, 1, 2})))
        assert {column: fetched.opened[column] for column in range(K)} == {
            column: [PLAIN[column]] for column in range(K)
        }
        assert [one.slot for one in fetcher.liars] == [liar]
    assert ground.failed[liar]


async def test_true_bytes_that_do_not_open_are_nobodys_fault() -> None:
    """Somebody sealed them with another key."""
    ground = Ground()
    async with ground.fetcher(sealed=True) as fetcher:
        fetcher._verifier._key = OrderKey(bytes(32))  # type: ignore[attr-defined]
        with pytest.raises(AuthenticationFailed):
            await fetcher.fetch(Stripe(first=0, end=1, columns=frozenset({0})))
    assert ground.failed == {}


@given(st.lists(st.sampled_from(["honest", "away", "lies", "closed"]), min_size=N, max_size=N))
def test_any_k_that_tell_the_truth_are_enough(kinds: list[str]) -> None:
    """Whatever the others do; and who lied is told of, and only they."""

    async def check() -> None:
        ground = Ground()
        for slot, kind in enumerate(kinds):
            farmer = ground.farmers[slot]
            farmer.lies = kind == "lies"
            farmer.error = {"away": away(slot), "closed": closed_until(9)}.get(kind)
        async with ground.fetcher() as fetcher:
            if kinds.count("honest") >= K:
                arrived = (await fetcher.fetch(ANY_K)).arrived
                assert len(arrived) >= K
                assert all(bytes(data) == SLOTS[slot][0] for slot, data in arrived.items())
            else:
                with pytest.raises(NotEnoughSources):
                    await fetcher.fetch(ANY_K)
                assert len(fetcher.liars) == kinds.count("lies")
        told = {slot for slot, lied in ground.failed.items() if lied}
        assert told <= {slot for slot, kind in enumerate(kinds) if kind == "lies"}

    asyncio.run(check())

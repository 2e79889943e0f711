"""A limit on what goes to all farmers together: kept, shared fairly, and no farmer is blamed for it."""

import asyncio
from dataclasses import dataclass, replace

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from test_read_payments import DOMAIN, WALLET, farmer

from grange.errors import Misuse
from grange.merkle import merkle_root
from grange.peer import Peer, PeerTimeouts, Signer, TransferLimits, open_session
from grange.peer.rate_limit import (
    LEAST_AT_ONCE,
    LEAST_BYTES_PER_SECOND,
    MIN_STEP_BYTES,
    PACED_BYTES,
    SAVED_SECONDS,
    TURN_SECONDS,
    RateLimit,
    parse_rate,
)
from grange.transfer.retry import RetryPolicy
from grange.types import OrderId
from grange.units import MIB
from grange.wire.bodies import StoredPiece, format_body
from grange.wire.limits import STEP_BYTES

RATE = 100_000
ORDER = OrderId(b"\5" * 32)
TIMEOUTS = PeerTimeouts()


@dataclass
class Clock:
    """Time that only passes by sleeping."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def limit(clock: Clock, rate: int | None = RATE) -> RateLimit:
    return RateLimit(rate, clock=clock, sleep=clock.sleep)


async def take_all(line: RateLimit, sizes: list[int]) -> None:
    with line.expect(sum(sizes)) as expected:
        for size in sizes:
            await expected.take(size)


@given(st.lists(st.lists(st.integers(1, PACED_BYTES), min_size=1, max_size=20), min_size=1, max_size=20))
def test_all_transfers_together_are_no_faster_than_the_limit(transfers: list[list[int]]) -> None:
    """And no slower either: by the end the clock shows what the limit says of all but the last part."""
    clock = Clock()

    async def run() -> None:
        line = limit(clock)
        await asyncio.gather(*(take_all(line, sizes) for sizes in transfers))
        assert line.backlog_seconds <= PACED_BYTES / RATE + 1e-9

    asyncio.run(run())
    size_bytes = sum(map(sum, transfers))
    seconds = clock.now - 1000.0
    assert (size_bytes - PACED_BYTES) / RATE - 1e-6 <= seconds <= size_bytes / RATE + 1e-6


async def test_a_hundred_farmers_get_the_same_each() -> None:
    clock = Clock()
    line = limit(clock)
    parts = [0] * 100

    async def send(number: int) -> None:
        with line.expect(50 * PACED_BYTES) as expected:
            for _ in range(50):
                await expected.take(PACED_BYTES)
                parts[number] += 1
                assert max(parts) - min(parts) <= 2

    await asyncio.gather(*map(send, range(100)))


async def test_what_is_cancelled_while_it_waits_has_taken_nothing() -> None:
    clock = Clock()
    line = limit(clock)
    await take_all(line, [RATE])
    waiting = [asyncio.create_task(take_all(line, [RATE])) for _ in range(10)]
    await asyncio.sleep(0)
    for task in waiting[1:]:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert line.backlog_seconds == pytest.approx(1.0)
    assert clock.now == pytest.approx(1001.0)


async def test_a_quiet_hour_is_not_made_up_for() -> None:
    clock = Clock()
    line = limit(clock)
    clock.now += 3600
    await take_all(line, [PACED_BYTES] * 100)
    assert clock.now - 4600 >= 99 * PACED_BYTES / RATE - SAVED_SECONDS - 1e-6


async def test_pieces_begin_only_when_they_can_go_on() -> None:
    """A farmer ends a body that stands still: on a slow line two pieces go, the others have not begun."""
    clock = Clock()
    line = limit(clock)
    begun = most = 0

    async def send() -> None:
        nonlocal begun, most
        async with line.turn(MIB) as turn:
            begun += 1
            most = max(most, begun)
            since = clock.now
            for _ in range(0, MIB, PACED_BYTES):
                await turn.take(PACED_BYTES)
            assert clock.now - since <= TIMEOUTS.request_seconds
            begun -= 1

    await asyncio.gather(*(send() for _ in range(20)))
    assert most == LEAST_AT_ONCE


async def test_a_fast_line_is_filled_by_many_at_once() -> None:
    clock = Clock()
    line = limit(clock, 20 * MIB)
    everybody = asyncio.Barrier(60)

    async def send() -> None:
        async with line.turn(MIB):
            await everybody.wait()

    async with asyncio.timeout(10):
        await asyncio.gather(*(send() for _ in range(60)))


async def test_a_farmer_that_does_not_end_holds_up_one_other_at_most() -> None:
    clock = Clock()
    line = limit(clock)
    async with line.turn(MIB):
        async with asyncio.timeout(10):
            for _ in range(5):
                async with line.turn(MIB) as turn:
                    await turn.take(MIB)


async def test_a_limit_that_is_lifted_lets_all_go() -> None:
    clock = Clock()
    line = limit(clock)
    over = asyncio.Event()

    async def send() -> None:
        async with line.turn(MIB):
            await over.wait()

    sending = [asyncio.create_task(send()) for _ in range(10)]
    await asyncio.sleep(0)
    line.bytes_per_second = None
    over.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*sending)
    assert clock.now == 1000.0
    assert line.backlog_seconds == 0.0


async def test_another_limit_for_a_while() -> None:
    line = RateLimit()
    with line.at(RATE):
        assert line.bytes_per_second == RATE
        with line.at(None):
            assert line.bytes_per_second == RATE
    assert line.bytes_per_second is None


async def test_no_farmer_is_slow_while_bytes_wait_for_our_own_limit() -> None:
    """Else a slow line would ask, and pay, one farmer after the other."""
    clock = Clock()
    limits = TransferLimits(upload=limit(clock), download=limit(clock))
    policy = RetryPolicy().within(limits)
    free = RetryPolicy()
    for rule, plain in (
        (policy.slow_to_give, free.slow_to_give),
        (policy.slow_to_store, free.slow_to_store),
    ):
        assert rule.limit_seconds([]) == plain.limit_seconds([])
    with limits.download.expect(60 * RATE):
        assert policy.slow_to_give.limit_seconds([]) >= 60 + free.slow_to_give.limit_seconds([])
        assert policy.slow_to_store.limit_seconds([]) == free.slow_to_store.limit_seconds([])


async def test_a_limited_farmer_gets_and_gives_all_bytes() -> None:
    """Over a real connection: the piece arrives whole, the read is put together, both take their time."""
    clock = Clock()
    limits = TransferLimits(upload=limit(clock), download=limit(clock))
    content = bytes(range(256)) * 1200
    asked: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        if request.method == "PUT":
            root = merkle_root(await request.read())
            return web.Response(body=format_body(StoredPiece(root=root)))
        first, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        asked.append(last + 1 - first)
        return web.Response(
            body=content[first : last + 1],
            status=206,
            headers={"Content-Range": f"bytes {first}-{last}/{len(content)}"},
        )

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        signer = Signer(domain=DOMAIN, wallet=WALLET, timeouts=TIMEOUTS)
        async with open_session(TIMEOUTS, chain_id=DOMAIN.chain_id) as session:
            peer = Peer(replace(farmer(), endpoint=endpoint), session, signer, limits=limits)
            piece = content[: 1 << 18]
            await peer.put_piece(ORDER, 0, 0, piece, merkle_root(piece))
            sent_seconds = clock.now - 1000.0
            assert sent_seconds == pytest.approx((len(piece) - PACED_BYTES) / RATE, abs=SAVED_SECONDS)
            clock.now = 5000.0
            assert await peer.read(ORDER, 0, 100, len(content) - 100) == content[100:]
            assert clock.now - 5000.0 >= (len(content) - 100 - MIN_STEP_BYTES) / RATE - SAVED_SECONDS
            assert max(asked) == MIN_STEP_BYTES
    finally:
        await runner.cleanup()


def test_steps_are_a_part_of_a_second() -> None:
    assert RateLimit().step_bytes(STEP_BYTES) == STEP_BYTES
    assert RateLimit(LEAST_BYTES_PER_SECOND).step_bytes(STEP_BYTES) == MIN_STEP_BYTES
    assert RateLimit(4 * MIB).step_bytes(STEP_BYTES) == MIB
    assert RateLimit(1 << 40).step_bytes(STEP_BYTES) == STEP_BYTES
    assert RateLimit(4 * MIB).step_bytes(10) == 10


@pytest.mark.parametrize(
    ("text", "rate"),
    [("500K", 500_000), ("500k/s", 500_000), ("2MiB", 2 * MIB), ("1.5 MB/s", 1_500_000), ("40000", 40_000)],
)
def test_a_rate_as_people_write_it(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "-5M", "10M/h", "0", "1K", "32767", "1e6"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match="a second"):
        parse_rate(text)


def test_a_limit_that_no_farmer_waits_for_is_refused() -> None:
    """Also two of the largest pieces side by side end in time, and none stands still for a farmer."""
    with pytest.raises(Misuse):
        RateLimit(LEAST_BYTES_PER_SECOND - 1)
    assert TIMEOUTS.request_seconds > LEAST_AT_ONCE * MIB / LEAST_BYTES_PER_SECOND
    assert TIMEOUTS.request_seconds > TURN_SECONDS

"""What strangers may send and hold: headers, bodies, connections. Real sockets; the limits are small, not the
tests."""

import asyncio
import json
import select
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from node_support import OFFER, Asker, Parcel, open_farm, parcel

from grange.units import MAX_PIECE_BYTES
from grange_node.api.connection import Connection
from grange_node.api.connection_limits import RESERVED_FILES, Door, Limits, Phase
from grange_node.api.serve import make_server
from grange_node.config import offer_file

SECONDS = 20
SMALL = Limits(
    connections=20,
    connections_per_address=10,
    connections_per_network=15,
    head_bytes=2048,
    headers=20,
    head_seconds=30.0,
    stall_seconds=30.0,
    stall_bytes=64,
    unwanted_bytes=1 << 16,
    linger_seconds=0.1,
)
HALF_A_HEAD = b"GET /v1/info HTTP/1.1\r\nHost: x\r\nX-"


class App:
    """Answers a GET at once without looking at its body, a PUT when all of it is here, /wait when told to."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.go_on = asyncio.Event()
        self.uploads = asyncio.Semaphore(0)
        """Released when one begins."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        size = 0
        if scope["path"] == "/wait":
            self.waiting.set()
            await self.go_on.wait()
        more = scope["method"] == "PUT"
        if more:
            self.uploads.release()
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            more = message["more_body"]
        body = json.dumps({"bytes": size, "headers": len(scope["headers"])}).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


@asynccontextmanager
async def served(app: Any, limits: Limits) -> AsyncIterator[int]:
    """The port."""
    async with running(app, limits) as (port, _):
        yield port


@asynccontextmanager
async def running(app: Any, limits: Limits) -> AsyncIterator[tuple[int, uvicorn.Server]]:
    """The port, and what serves it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = make_server(app, limits)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await server.listening.wait()
        try:
            async with asyncio.timeout(SECONDS):
                yield listening.getsockname()[1], server
        finally:
            for connection in list(server.server_state.connections):
                connection.transport.abort()
            server.should_exit = True
            await serving


@dataclass
class Line:
    """One connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send_for_ever(self, data: bytes) -> None:
        while True:
            await self.send(data)

    async def ended(self) -> bytes:
        """All that comes until the other side closes."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""

    async def answer(self) -> tuple[int, Any]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        return int(head.split()[1]), json.loads(await self.reader.readexactly(int(length.split(b":")[1])))


@asynccontextmanager
async def dialled(port: int, first: bytes = b"") -> AsyncIterator[Line]:
    line = await dial(port, first)
    try:
        yield line
    finally:
        line.writer.transport.abort()


async def dial(port: int, first: bytes = b"", *, source: str = "127.0.0.1") -> Line:
    line = Line(*await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0)))
    if first:
        await line.send(first)
    return line


@asynccontextmanager
async def half_open(port: int, count: int) -> AsyncIterator[list[Line]]:
    """So many connections of one address whose requests never end."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(dialled(port, HALF_A_HEAD)) for _ in range(count)]


async def info(port: int) -> int:
    async with dialled(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as line:
        return (await line.answer())[0]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 2048,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: a\r\n" * 300,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: a\r\n" * 20 + b"\r\n",
        b"GET /" + b"a" * 2048,
        b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n" + b"X-A: a\r\n" * 20 + b"\r\nhello",
    ],
    ids=["one header", "endless headers", "too many headers", "a long target", "too many, with a body"],
)
async def test_headers_that_are_too_large_are_refused_with_431(head: bytes) -> None:
    async with served(App(), SMALL) as port, dialled(port, head) as line:
        status, said = await line.answer()
        assert (status, said["error"]) == (431, "headers_too_large")
        assert await line.ended() == b""


async def test_headers_without_end_are_not_read_without_end() -> None:
    async with served(App(), SMALL) as port, dialled(port, HALF_A_HEAD) as line:
        with pytest.raises(ConnectionError):
            await line.send_for_ever(b"a" * 65536)


async def test_headers_within_the_limits_are_served() -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: " + b"a" * 1900 + b"\r\n" + b"X-B: b\r\n" * 10 + b"\r\n"
    assert len(head) <= SMALL.head_bytes
    async with served(App(), SMALL) as port, dialled(port, head) as line:
        assert await line.answer() == (200, {"bytes": 0, "headers": 12})
        await line.send(head)  # the count begins again with each request
        assert (await line.answer())[0] == 200


@pytest.mark.parametrize("first", [b"", HALF_A_HEAD, b"GET / HTTP/1.1\r\n\r\nGET / HT"])
async def test_headers_that_do_not_end_in_time_end_the_connection(first: bytes) -> None:
    hasty = replace(SMALL, head_seconds=0.1)
    async with served(App(), hasty) as port, dialled(port) as line:
        if first.startswith(b"GET / HTTP/1.1\r\n\r\n"):
            await line.send(first[:18])
            await line.answer()
            await line.send(first[18:])
        elif first:
            await line.send(first)
        assert await line.ended() == b""


async def test_a_body_that_stalls_ends_the_connection() -> None:
    hasty = replace(SMALL, stall_seconds=0.1)
    put = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc"
    async with served(App(), hasty) as port, dialled(port, put) as line:
        assert await line.ended() == b""


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
    ],
)
async def test_a_body_that_nobody_wants_is_answered_and_not_swallowed_without_end(head: bytes) -> None:
    chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    async with served(App(), SMALL) as port, dialled(port, head + chunk) as line:
        assert (await line.answer())[0] == 200
        with pytest.raises(ConnectionError):
            await line.send_for_ever(chunk)


@pytest.mark.parametrize("line", [b"X-A: aaaaaaaaaaaaa\r\n" * 100, b"a" * 65536], ids=["many", "one"])
async def test_headers_after_a_chunked_body_are_headers_too(line: bytes) -> None:
    head = b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-B: "
    async with served(App(), SMALL) as port, dialled(port, head) as one:
        with pytest.raises(ConnectionError):
            await one.send_for_ever(line)


async def test_a_chunked_body_of_small_chunks_is_taken() -> None:
    head = b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with served(App(), SMALL) as port, dialled(port, head) as line:
        for _ in range(20):
            await line.send(b"1\r\na\r\n" * 1000)
        await line.send(b"0\r\nX-B: b\r\n\r\n")
        assert (await line.answer())[1]["bytes"] == 20_000


async def test_after_a_small_body_that_nobody_wanted_the_connection_goes_on() -> None:
    size = SMALL.unwanted_bytes
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    async with served(App(), SMALL) as port, dialled(port, head) as line:
        for _ in range(2):
            assert (await line.answer())[0] == 200
            await line.send(b"a" * size + head)
        assert (await line.answer())[0] == 200


async def test_what_is_not_http_is_refused_in_the_form_of_all_errors() -> None:
    async with served(App(), SMALL) as port, dialled(port, b"\x16\x03\x01nonsense\r\n\r\n") as line:
        status, said = await line.answer()
        assert (status, set(said), said["error"]) == (400, {"error", "message", "detail"}, "malformed")


async def test_half_open_connections_do_not_keep_an_honest_one_from_its_answer() -> None:
    """More than twice as many as may be open."""
    async with served(App(), SMALL) as port, half_open(port, 50) as held:
        for _ in range(3):
            async with asyncio.timeout(1):
                assert await info(port) == 200
        # The oldest made room; no more are open than may be.
        assert await held[0].ended() == b""


async def test_a_request_that_is_being_served_is_not_closed_for_a_flood() -> None:
    app = App()
    async with served(app, SMALL) as port, dialled(port, b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n") as line:
        await app.waiting.wait()
        async with half_open(port, 50):
            assert await info(port) == 200
            app.go_on.set()
            assert (await line.answer())[0] == 200


async def test_a_request_that_lies_unread_is_answered_however_many_come_at_that_moment() -> None:
    """Its connection looks idle until the loop comes to read it; between two loops others may be let in."""
    async with running(App(), replace(SMALL, connections=1)) as (port, server), dialled(port) as line:
        head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        await line.send(head)
        assert (await line.answer())[0] == 200
        (idle,) = server.server_state.connections
        assert isinstance(idle, Connection)
        assert (idle.phase, idle.has_unread()) == (Phase.IDLE, False)
        line.writer.write(head)
        readable, _, _ = select.select([idle.transport.get_extra_info("socket")], [], [], SECONDS)
        assert readable
        assert (idle.phase, idle.has_unread()) == (Phase.IDLE, True)
        assert not idle.door.admit(ADDRESS, Guest(Phase.BUSY)), "there is nobody who could go"
        assert (await line.answer())[0] == 200
        assert idle.door.admit(ADDRESS, Guest(Phase.BUSY))
        assert await line.ended() == b"", "now it was idle"


async def test_a_connection_too_many_is_told_so_when_all_others_are_being_served() -> None:
    app, few = App(), replace(SMALL, connections=3)
    async with served(app, few) as port:
        busy = [await dial(port, b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(3)]
        await app.waiting.wait()
        async with dialled(port) as line:
            status, said = await line.answer()
            assert (status, said["error"]) == (503, "too_many_connections")
        app.go_on.set()
        for one in busy:
            assert (await one.answer())[0] == 200
        assert await info(port) == 200  # they are idle now, and make room
        for one in busy:
            one.writer.transport.abort()


async def test_requests_whose_bodies_do_not_come_keep_nobody_else_out() -> None:
    """Each costs its sender nothing, and is served as long as its body may take."""
    app = App()
    async with served(app, replace(SMALL, connections=3)) as port:
        head = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
        held = [await dial(port, head, source="127.0.0.2") for _ in range(3)]
        for _ in held:
            await app.uploads.acquire()
        assert await info(port) == 200
        for line in held:
            line.writer.transport.abort()


async def test_thirty_uploads_of_whole_pieces_at_once_are_not_hurt(tmp_path: Path) -> None:
    """With the real limits, the real application, and half-open connections from the same address beside
    them. Each has a connection of its own: one that was used before and is idle may be closed for another
    while its next request is still on its way, and then HTTP has the sender send that again."""
    roomy = offer_file(replace(OFFER, capacity_bytes=128 << 20))
    slot = Parcel(renter=parcel().renter, pieces=[bytes([piece]) * MAX_PIECE_BYTES for piece in range(30)])
    async with (
        open_farm(tmp_path / "data", offer_terms=roomy) as farm,
        served(farm.app, replace(Limits(), connections=32)) as port,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=SECONDS, limits=httpx.Limits(max_connections=30)
        ) as http,
        half_open(port, 30),
    ):
        asker = Asker(clock=farm.clock, http=http)
        assert (await asker.put(slot, 0, **{"Connection": "close"})).status_code == 201
        async with asyncio.TaskGroup() as uploads:
            sent = [uploads.create_task(asker.put(slot, piece)) for piece in range(1, 30)]
        assert {upload.result().status_code for upload in sent} == {201}


@dataclass(eq=False)
class Guest:
    phase: Phase
    since: float = 0.0
    closed: bool = False
    unread: bool = False

    def has_unread(self) -> bool:
        return self.unread

    def give_way(self) -> None:
        self.closed = True


ADDRESS, OTHER, THIRD = "1.2.3.4", "1.2.3.5", "1.2.3.6"


def test_room_is_made_by_the_answered_then_the_idle_then_the_slowest_head() -> None:
    door = Door(replace(SMALL, connections_per_address=5))
    guests = [
        Guest(Phase.HEAD, since=7),
        Guest(Phase.HEAD, since=3),
        Guest(Phase.BUSY, since=1),
        Guest(Phase.IDLE, since=9),
        Guest(Phase.ANSWERED, since=8),
    ]
    assert all(door.admit(ADDRESS, guest) for guest in guests)
    closed = []
    for _ in range(4):
        assert door.admit(ADDRESS, Guest(Phase.BUSY))
        closed += [
            guests.index(guest) for guest in guests if guest.closed and guests.index(guest) not in closed
        ]
        assert len(door) == 5
    assert closed == [4, 3, 1, 0]
    assert not door.admit(ADDRESS, Guest(Phase.BUSY))
    assert not guests[2].closed
    assert door.admit(OTHER, Guest(Phase.BUSY))


def test_an_idle_one_of_which_something_lies_unread_stays_and_a_half_head_does_not() -> None:
    door = Door(replace(SMALL, connections_per_address=2))
    idle, head = Guest(Phase.IDLE, unread=True), Guest(Phase.HEAD, unread=True)
    assert door.admit(ADDRESS, idle)
    assert door.admit(ADDRESS, head)
    assert door.admit(ADDRESS, Guest(Phase.BUSY))
    assert (idle.closed, head.closed) == (False, True)
    assert not door.admit(ADDRESS, Guest(Phase.BUSY))


def test_when_the_node_is_full_the_address_with_most_makes_room() -> None:
    door = Door(replace(SMALL, connections=6, connections_per_address=5))
    many = [Guest(Phase.HEAD, since=9) for _ in range(4)]
    few = [Guest(Phase.IDLE, since=1) for _ in range(2)]
    assert all(door.admit(ADDRESS, guest) for guest in many)
    assert all(door.admit(OTHER, guest) for guest in few)
    assert door.admit(THIRD, Guest(Phase.HEAD))
    assert [sum(guest.closed for guest in group) for group in (many, few)] == [1, 0]
    assert len(door) == 6


def test_one_that_waits_for_its_other_end_goes_for_a_network_that_has_fewer() -> None:
    door = Door(replace(SMALL, connections=6, connections_per_address=5))
    many = [Guest(Phase.WAITING, since=age) for age in (3, 2, 4)]
    few = [Guest(Phase.WAITING, since=1), Guest(Phase.BUSY), Guest(Phase.BUSY)]
    assert all(door.admit(ADDRESS, guest) for guest in many)
    assert all(door.admit(OTHER, guest) for guest in few)
    assert not door.admit(ADDRESS, Guest(Phase.HEAD)), "it takes nothing from others"
    assert door.admit(THIRD, Guest(Phase.BUSY))
    assert [guest.closed for guest in many] == [False, True, False]
    assert door.admit(THIRD, Guest(Phase.BUSY))
    assert few[0].closed
    assert not door.admit(THIRD, Guest(Phase.BUSY)), "it has as many as any now"
    assert len(door) == 6


def test_all_networks_of_one_site_have_a_limit_together() -> None:
    door = Door(replace(SMALL, connections=20, connections_per_network=4))
    site = [f"2a00:1:2:{customer:x}::1" for customer in range(6)]
    assert [door.admit(address, Guest(Phase.BUSY)) for address in site] == [True] * 4 + [False] * 2
    assert door.admit("2a00:1:3::1", Guest(Phase.BUSY))
    assert len(door) == 5


@pytest.mark.parametrize("address", ["2001:0:4136:e378::1", "2002:c000:204::1", "100.64.0.1", "203.0.113.5"])
def test_an_address_that_is_not_near_us_has_its_limit_whatever_else_it_is(address: str) -> None:
    door = Door(replace(SMALL, connections_per_address=1))
    assert [door.admit(address, Guest(Phase.BUSY)) for _ in range(2)] == [True, False]


def test_a_connection_that_left_is_forgotten_once() -> None:
    door, guest = Door(SMALL), Guest(Phase.HEAD)
    door.admit(ADDRESS, guest)
    for _ in range(2):
        door.leave(ADDRESS, guest)
    assert len(door) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.2.3.4", "1.2.3.5", False),
        ("1.2.3.4", "1.2.3.4", True),
        ("2a00:1::1", "2a00:1::ffff:1", True),
        ("2a00:1::1", "2a00:1:0:1::1", False),
        ("::ffff:1.2.3.4", "1.2.3.4", True),
    ],
)
def test_one_customer_is_one_address_or_one_network_of_64_bits(one: str, other: str, same: bool) -> None:
    door = Door(replace(SMALL, connections_per_address=1))
    assert door.admit(one, Guest(Phase.BUSY))
    assert door.admit(other, Guest(Phase.BUSY)) is not same


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "192.168.1.1", "fe80::1%eth0", "fd00::1", ""])
def test_a_proxy_beside_us_may_bring_everyone(address: str) -> None:
    """Only the limit on all holds for it."""
    door = Door(replace(SMALL, connections=3, connections_per_address=1))
    assert [door.admit(address, Guest(Phase.BUSY)) for _ in range(4)] == [True, True, True, False]


def test_no_more_connections_are_let_in_than_files_may_be_open() -> None:
    assert Limits().fitting(1 << 20) == Limits()
    tight = Limits().fitting(RESERVED_FILES + 100)
    assert (tight.connections, tight.connections_per_address, tight.connections_per_network) == (
        100,
        100,
        100,
    )
    assert Limits().fitting(10).connections == 1
    assert SMALL.fitting(1 << 20) == SMALL

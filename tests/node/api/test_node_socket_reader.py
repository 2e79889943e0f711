"""Bodies that go past the parser into a buffer: the same bytes, and what follows is the next request. Real
sockets."""

import asyncio
import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from node_support import open_farm, parcel
from test_node_connection import HALF_A_HEAD, SMALL, App, dialled, served

from grange.kernel import merkle_root
from grange_node.api.connection import BODY_HOOK, Connection
from grange_node.api.connection_limits import Limits
from grange_node.api.socket_reader import HEAD_BUFFER_BYTES

BODY = random.Random(12).randbytes(200_000)


class Taker:
    """Answers with the hash of a body; of one whose length was announced it has it put into a buffer."""

    def __init__(self) -> None:
        self.broken = asyncio.Event()
        """A body broke off."""
        self.in_buffers = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        body = bytearray(int(headers.get(b"content-length", 0)))
        extension = scope["extensions"].get(BODY_HOOK)
        if extension is None:
            body = bytearray((await receive())["body"])
        else:
            try:
                await extension["read_into"](memoryview(body))
            except Exception:
                self.broken.set()
                raise
            self.in_buffers += 1
        said = json.dumps({"sha256": hashlib.sha256(body).hexdigest()}).encode()
        length = str(len(said)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": said, "more_body": False})


def put(body: bytes, *more: str, path: str = "/") -> bytes:
    lines = [f"PUT {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


def answered(body: bytes) -> tuple[int, Any]:
    return 200, {"sha256": hashlib.sha256(body).hexdigest()}


@pytest.mark.parametrize(
    "size_bytes",
    [0, 1, HEAD_BUFFER_BYTES - 49, HEAD_BUFFER_BYTES - 48, HEAD_BUFFER_BYTES, 65_537, len(BODY)],
)
async def test_a_body_arrives_whole_and_the_connection_goes_on(size_bytes: int) -> None:
    app, body = Taker(), BODY[:size_bytes]
    async with served(app, SMALL) as port, dialled(port) as line:
        for _ in range(3):
            await line.send(put(body))
            assert await line.answer() == answered(body)
        assert app.in_buffers == 3


@pytest.mark.parametrize("seed", range(5))
async def test_however_requests_are_cut_each_body_is_its_own(seed: int) -> None:
    """Requests that are sent before the last was answered, and cut anywhere."""
    chance = random.Random(seed)
    bodies = [chance.randbytes(chance.choice([0, 1, 300, 20_000, 150_000])) for _ in range(8)]
    sent = b"".join(map(put, bodies))
    async with served(Taker(), SMALL) as port, dialled(port) as line:

        async def send() -> None:
            start = 0
            while start < len(sent):
                end = start + chance.choice([1, 40, 1000, 30_000])
                await line.send(sent[start:end])
                await asyncio.sleep(0)
                start = end

        sending = asyncio.create_task(send())
        for body in bodies:
            assert await line.answer() == answered(body)
        await sending


async def test_a_sender_that_waits_to_be_asked_for_the_body_is_asked() -> None:
    async with served(Taker(), SMALL) as port, dialled(port) as line:
        request = put(BODY, "Expect: 100-continue")
        await line.send(request[: -len(BODY)])
        assert await line.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await line.send(BODY)
        assert await line.answer() == answered(BODY)


async def test_a_body_that_breaks_off_is_an_error_to_anyone_who_waits_for_it() -> None:
    app = Taker()
    async with served(app, SMALL) as port:
        async with dialled(port, put(BODY)[:-1]):
            pass
        await app.broken.wait()
        assert app.in_buffers == 0


async def test_a_body_that_stalls_on_its_way_into_a_buffer_ends_the_connection() -> None:
    app = Taker()
    async with served(app, replace(SMALL, stall_seconds=0.1)) as port:
        async with dialled(port, put(BODY)[:-1]) as line:
            assert await line.ended() == b""
        await app.broken.wait()


async def test_a_body_without_a_length_is_received_as_ever() -> None:
    app = Taker()
    head = b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with served(app, SMALL) as port, dialled(port, head + b"5\r\nhello\r\n0\r\n\r\n") as line:
        assert await line.answer() == answered(b"hello")
        assert app.in_buffers == 0


async def test_a_piece_that_breaks_off_leaves_nothing_at_the_farm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a row in the ledger: nothing is written before all of it is here."""
    slot, begun, over = parcel(), asyncio.Event(), asyncio.Event()
    async with open_farm(tmp_path / "data") as farm, served(farm.app, Limits()) as port:
        receive = farm.node.uploads.receive

        async def observed(*args: Any, **options: Any) -> bool:
            begun.set()
            try:
                return await receive(*args, **options)
            finally:
                over.set()

        monkeypatch.setattr(farm.node.uploads, "receive", observed)
        path, piece = f"{slot.path}/pieces/0", slot.pieces[0]
        signed = farm.sign(slot.renter, "PUT", path, merkle_root(piece))["Authorization"]
        async with dialled(port, put(piece, f"Authorization: {signed}", path=path)[:-1]):
            await begun.wait()
            assert farm.node.memory.total == len(piece)
        await over.wait()
        assert farm.node.store.slot_keys() == []
        assert farm.node.ledger.slot(slot.key) is None
        assert farm.node.capacity.used_bytes == 0


def test_bodies_arrive_on_the_loop_that_farms_run_on_too() -> None:
    async def check() -> None:
        app = Taker()
        async with served(app, SMALL) as port, dialled(port) as line:
            for _ in range(3):
                await line.send(put(BODY))
                assert await line.answer() == answered(BODY)
        assert app.in_buffers == 3

    uvloop.run(check())


@pytest.mark.parametrize("asked", ["HTTP/1.0", "HTTP/1.1\r\nConnection: close"])
async def test_who_asks_to_close_sees_the_answer_to_a_body_that_nobody_read(asked: str) -> None:
    """Proxies ask so, and send all of a body: a reset would hide why we refused it."""
    limits = replace(SMALL, unwanted_bytes=len(BODY))
    head = f"GET / {asked}\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    async with served(App(), limits) as port, dialled(port) as line:
        await line.send(head + BODY)
        assert (await line.answer())[0] == 200
        assert await line.ended() == b""


async def test_of_what_follows_the_last_answer_no_more_is_taken_than_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long its sender may take to see the answer, and whatever it has announced."""
    paused, drop = asyncio.Event(), Connection._drop

    def observed(connection: Connection, size_bytes: int) -> None:
        drop(connection, size_bytes)
        if connection.flow.read_paused:
            paused.set()

    monkeypatch.setattr(Connection, "_drop", observed)
    head = b"GET / HTTP/1.1\r\nConnection: close\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    limits = replace(SMALL, linger_seconds=30.0)
    async with served(App(), limits) as port, dialled(port, head) as line:
        assert (await line.answer())[0] == 200
        sending = asyncio.create_task(line.send_for_ever(bytes(HEAD_BUFFER_BYTES)))
        await paused.wait()
        sending.cancel()
        await asyncio.wait([sending])


async def test_a_head_that_begins_together_with_the_end_of_a_body_has_its_time() -> None:
    """Not that of a connection between two requests, which is longer."""
    limits, sent = replace(SMALL, head_seconds=0.1), put(b"body") + HALF_A_HEAD
    async with served(App(), limits) as port, dialled(port, sent) as line:
        assert (await line.answer())[0] == 200
        assert await line.ended() == b""


@pytest.mark.parametrize(
    "body", ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]
)
async def test_a_request_for_another_protocol_that_has_a_body_is_refused(body: str) -> None:
    """The parser sees no body in it: a handler would take zeros, or nothing, for what was sent."""
    app, head = Taker(), "PUT / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    async with served(app, SMALL) as port, dialled(port, (head + body).encode()) as line:
        assert (await line.answer())[0] == 400
        assert await line.ended() == b""
    assert app.in_buffers == 0

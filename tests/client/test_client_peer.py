"""One farmer over HTTP: what it may answer, and what is made of everything else."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from client_fakes import CALM, MARKET, NOW, WORDS, farmer_view

from grange.messages import Domain, recover, request_digest
from grange.peer import (
    FarmerLied,
    FarmerRefused,
    FarmerUnreachable,
    Peer,
    PeerTimeouts,
    Signer,
    endpoint_url,
    networks_of,
    open_session,
)
from grange.peer import peer as peer_module
from grange.transfer.directory import FarmerDirectory
from grange.types import OrderId
from grange_client.keys.recovery_phrase import identity

DOMAIN = Domain(chain_id=1337, market=MARKET)
ORDER = OrderId(b"\x05" * 32)
IDENTITY = identity(WORDS)
NO_REGISTRY: Any = SimpleNamespace(registered=None)
NO_PAYMENTS: Any = None
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def signer(timeouts: PeerTimeouts = CALM.timeouts) -> Signer:
    return Signer(domain=DOMAIN, wallet=IDENTITY.wallet, timeouts=timeouts, now=lambda: NOW)


@asynccontextmanager
async def answering(handler: Handler, timeouts: PeerTimeouts = CALM.timeouts) -> AsyncIterator[Peer]:
    """A peer behind which this handler answers everything."""
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with open_session(timeouts, chain_id=DOMAIN.chain_id) as session:
            yield Peer(farmer_view(1, IDENTITY.wallet.address, endpoint), session, signer(timeouts))
    finally:
        await runner.cleanup()


def with_body(body: bytes, status: int = 200, **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return handler


@pytest.mark.parametrize("sent", [b"", b"half of it"], ids=["nothing", "a part"])
@pytest.mark.parametrize("ask", [lambda peer: peer.info(), lambda peer: peer.read(ORDER, 0, 0, 400)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_answer_that_breaks_off_is_called_that(
    sent: bytes, ask: Callable[[Peer], Awaitable[object]], chunked: bool
) -> None:
    """A farmer that dies in the middle of an answer: in words, whatever the HTTP library says."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = 400
        await response.prepare(request)
        await response.write(sent)
        assert request.transport is not None
        request.transport.close()
        return response

    async with answering(handler) as peer:
        with pytest.raises(FarmerUnreachable) as raised:
            await ask(peer)
    assert raised.value.message == "Farmer 1 broke off in the middle of its answer."


def test_signature_binds_everything() -> None:
    """The header is the renter's signature over method, path, farmer, time, nonce and content."""
    header = signer().authorization(7, "PUT", "/v1/x?y=1", b"\x01" * 32)
    scheme, _, rest = header.partition(" ")
    fields = dict(part.split("=") for part in rest.split(","))
    assert scheme == "Grange"
    assert NOW < int(fields["expires"]) <= NOW + 300
    digest = request_digest(
        DOMAIN,
        method="PUT",
        path="/v1/x?y=1",
        farmer=7,  # type: ignore[arg-type]
        expires=int(fields["expires"]),
        nonce=bytes.fromhex(fields["nonce"]),
        content=b"\x01" * 32,
    )
    assert recover(digest, bytes.fromhex(fields["signature"])) == IDENTITY.wallet.address


def test_nonces_differ() -> None:
    """No two requests are the same."""
    one, other = (signer().authorization(7, "GET", "/", bytes(32)) for _ in range(2))
    assert one != other


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"root": "12"}', b'{"root": 5}', b"[" * 100_000, b"\xff\xfe"]
)
async def test_answers_that_are_none(body: bytes) -> None:
    """Invalid JSON, or JSON of another shape, is a lie and never a crash."""
    async with answering(with_body(body)) as peer:
        with pytest.raises(FarmerLied):
            await peer.put_piece(ORDER, 0, 0, bytes(512), bytes(32))


async def test_endless_answers_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is read up to a limit."""
    monkeypatch.setattr(peer_module, "MAX_ANSWER_BYTES", 1000)
    async with answering(with_body(b" " * 100_000)) as peer:
        with pytest.raises(FarmerLied):
            await peer.info()


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_redirects_are_not_followed(status: int) -> None:
    """A farmer cannot send us, and our signature, somewhere else."""
    async with answering(with_body(b"", status, Location="http://127.0.0.1:1/")) as peer:
        with pytest.raises(FarmerRefused) as raised:
            await peer.info()
    assert raised.value.status == status


async def test_refusals_carry_the_reason() -> None:
    """What the farmer says is passed on, without what a terminal would act on."""
    body = b'{"error": "no_room", "message": "full\\u001b[2J", "detail": {}}'
    async with answering(with_body(body, 507)) as peer:
        with pytest.raises(FarmerRefused, match=r"507 no_room.*full\[2J") as raised:
            await peer.drop(ORDER, 0)
    assert (raised.value.status, raised.value.code) == (507, "no_room")


@pytest.mark.parametrize("body", [b"", b"oops", b"[]", b'{"error": {}}', b"[" * 100_000])
async def test_refusals_without_words(body: bytes) -> None:
    """An error whose body is nonsense is still an error."""
    async with answering(with_body(body, 500)) as peer:
        with pytest.raises(FarmerRefused):
            await peer.drop(ORDER, 0)


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (with_body(b"x" * 10, 206, **{"Content-Range": "bytes 5-14/100"}), None),
        (with_body(b"x" * 9, 206, **{"Content-Range": "bytes 5-14/100"}), FarmerLied),
        (with_body(b"x" * 11, 206, **{"Content-Range": "bytes 5-14/100"}), FarmerLied),
        (with_body(b"x" * 10, 206, **{"Content-Range": "bytes 6-15/100"}), FarmerLied),
        (with_body(b"x" * 10, 206), FarmerLied),
        (with_body(b"x" * 10, 200), FarmerLied),
        (with_body(b"", 404), FarmerRefused),
    ],
)
async def test_ranges_are_exactly_what_was_asked(handler: Handler, error: type[Exception] | None) -> None:
    """Other bytes, more or fewer than asked for are not taken."""
    async with answering(handler) as peer:
        if error is None:
            assert await peer.read(ORDER, 0, 5, 10) == b"x" * 10
        else:
            with pytest.raises(error):
                await peer.read(ORDER, 0, 5, 10)


async def test_silence_is_unreachable() -> None:
    """A farmer that takes a request and says nothing is given up in time."""

    async def never(_: web.Request) -> web.Response:
        import asyncio

        await asyncio.sleep(60)
        return web.Response()

    async with answering(never, replace(CALM.timeouts, silence_seconds=0.05)) as peer:
        with pytest.raises(FarmerUnreachable, match="in time"):
            await peer.drop(ORDER, 0)


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "nonsense",
        "ftp://h",
        "http://",
        "http://user:pw@h",
        "http://h?q",
        "http://" + "h" * 600,
        "http://h:99999",
    ],
)
async def test_endpoints_that_are_none(endpoint: str) -> None:
    """What a farmer registers is checked before anything is opened."""
    with pytest.raises(FarmerUnreachable):
        endpoint_url(farmer_view(1, MARKET, endpoint))


async def test_names_that_are_not_known() -> None:
    """A host that does not resolve is unreachable."""
    with pytest.raises(FarmerUnreachable, match="not known"):
        await networks_of(farmer_view(1, MARKET, "http://nobody.invalid:1"))


async def test_probe_separates_the_living_from_the_rest() -> None:
    """Who answers as itself is a candidate; of everybody else the reason is kept."""
    info = b'{"farmer": 1, "chain_id": 1337, "market": "%s", "free_bytes": 5}' % MARKET.encode()
    async with answering(with_body(info)) as peer:
        right = peer.farmer
        wrong = replace(right, id=2)
        gone = replace(right, id=3, endpoint="http://127.0.0.1:1")
        directory = FarmerDirectory(NO_REGISTRY, signer(), NO_PAYMENTS, peer._session, policy=CALM)
        found = await directory.probe([right, wrong, gone])
    assert [candidate.farmer.id for candidate in found.candidates] == [1]
    assert found.candidates[0].free_bytes == 5
    assert set(found.silent) == {2, 3}

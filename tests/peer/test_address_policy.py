"""Where farmers may be: no stranger's endpoint makes us knock at the inside of our own network."""

import asyncio
import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from test_read_payments import WALLET, farmer

from grange.chain.confirmations import DEVNET_CHAIN_IDS
from grange.messages import Domain
from grange.peer import FarmerUnreachable, Peer, PeerTimeouts, Signer, open_session
from grange.peer.address_policy import PRIVATE_VARIABLE, AddressPolicy, AddressRefused
from grange.types import address_from

LIVE_CHAIN_ID = 8453
INSIDE = [
    "127.0.0.1",
    "10.1.2.3",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "fe80::1%eth0",
    "fd00::1",
    "::ffff:127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::1",
    "2002:a01:203::1",
    "fec0::1",
    "::127.0.0.1",
    "no address",
]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_out_of_reach_on_a_live_chain(address: str) -> None:
    assert not AddressPolicy.on(LIVE_CHAIN_ID).allows(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"])
def test_public_addresses_are_within_reach(address: str) -> None:
    assert AddressPolicy.on(LIVE_CHAIN_ID).allows(address)


@pytest.mark.parametrize("chain_id", sorted(DEVNET_CHAIN_IDS))
def test_farmers_of_a_devnet_are_anywhere(chain_id: int) -> None:
    assert AddressPolicy.on(chain_id).allows("127.0.0.1")


def test_who_has_farms_inside_can_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PRIVATE_VARIABLE, "1")
    assert AddressPolicy.on(LIVE_CHAIN_ID).allows("10.1.2.3")


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0177.0.0.1", "fd00::1"])
async def test_what_is_no_proper_address_but_may_be_taken_for_one_is_refused_before_it_is(host: str) -> None:
    """No resolver sees what aiohttp takes for an address, and the system knows what 127.1 is."""

    async def handler(_: object) -> Any:
        pytest.fail("a request was made")

    request: Any = SimpleNamespace(url=SimpleNamespace(host=host))
    with pytest.raises(AddressRefused):
        await AddressPolicy.on(LIVE_CHAIN_ID)(request, handler)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "inside.example", "0x7f.1"])
@pytest.mark.parametrize("chain_id", [LIVE_CHAIN_ID, min(DEVNET_CHAIN_IDS)])
async def test_no_connection_is_made_to_the_inside_on_a_live_chain(
    host: str, chain_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by an address, nor by a name that leads there, nor by other ways to write it."""
    knocks = 0

    async def knocked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal knocks
        knocks += 1
        writer.close()

    server = await asyncio.start_server(knocked, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def inside(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", inside)
    timeouts = PeerTimeouts(info_seconds=2.0)
    domain = Domain(chain_id=chain_id, market=address_from(b"\x11" * 20))
    signer = Signer(domain=domain, wallet=WALLET, timeouts=timeouts)
    async with server, open_session(timeouts, chain_id=chain_id) as session:
        peer = Peer(replace(farmer(), endpoint=f"http://{host}:{port}"), session, signer)
        with pytest.raises(FarmerUnreachable) as refused:
            await peer.info()
    if chain_id == LIVE_CHAIN_ID:
        assert knocks == 0
        assert PRIVATE_VARIABLE in str(refused.value)
    elif host != "[::1]":
        assert knocks > 0

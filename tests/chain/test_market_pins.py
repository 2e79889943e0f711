"""A market that was looked at is known again at each start, in no request more, and another one is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hostile_proxy import HostileProxy
from request_counts import RequestCounter

from grange.chain import AnswerUnreadable, Timeouts
from grange.chain.codec import market_abi
from grange.chain.errors import ChainError, MarketForged, OriginUnknown
from grange.chain.market_check import open_market, trust_market
from grange.chain.market_pins import (
    MarketPins,
    code_hashes_from,
    pins_from,
    read_pins,
    write_pins,
)
from grange.chain.network_file import open_network
from grange.types import Address
from grange_devnet import Devnet

pytestmark = pytest.mark.asyncio(loop_scope="module")
HASTY = Timeouts(retries=0, pause_seconds=0.01)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    async with Devnet.start() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pins(devnet: Devnet) -> MarketPins:
    async with open_network(devnet.network) as (chain, _):
        assert chain.pins is not None
        return chain.pins


def opened(devnet: Devnet, pins: MarketPins | None, *, rpc: str | None = None, **changes: Any) -> Any:
    network = devnet.network
    fields = {"chain_id": network.chain_id, "genesis": network.expected_genesis, "timeouts": HASTY}
    return open_market(
        rpc or devnet.rpc_url, network.market, pins=pins, unit=network.unit, **(fields | changes)
    )


async def asked(devnet: Devnet, function: str) -> str:
    data = "0x" + market_abi().encode_call(function, ()).hex()
    return str(await devnet.chain.rpc.call("eth_call", {"to": devnet.market, "data": data}, "latest"))


async def test_a_market_that_was_looked_at_is_opened_in_one_request(
    devnet: Devnet, pins: MarketPins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code of all four parts is seen to be the same, and none of it is sent."""
    counter = RequestCounter(monkeypatch)
    with counter.counting("start", at_most=1):
        async with opened(devnet, pins) as chain:
            assert chain.pins is pins
    assert len(pins.codes) == 4
    async with HostileProxy.before(devnet.rpc_url) as proxy, opened(devnet, pins, rpc=proxy.url):
        assert "eth_getCode" not in proxy.asked


async def test_a_market_that_was_not_looked_at_is_looked_at_on_the_way(
    devnet: Devnet, pins: MarketPins
) -> None:
    """No pins, or those of another market, chain or genesis: as if it were set up now."""
    first = devnet.network.first_block
    elsewhere = pins.model_copy(update={"market": devnet.token})
    for others in (None, elsewhere, pins.model_copy(update={"chain_id": 1})):
        async with opened(devnet, others, first_block=first) as chain:
            assert chain.pins == pins
        with pytest.raises(OriginUnknown):
            async with opened(devnet, others):
                pass
    with pytest.raises(OriginUnknown):
        async with opened(devnet, pins, genesis=None):
            pass


async def test_an_address_that_was_edited_to_that_of_a_forgery_is_refused(
    devnet: Devnet, pins: MarketPins
) -> None:
    """A contract that answers as the market does, and has other code."""
    forged = Address("0x" + "f0" * 20)

    shown = {
        "eth_getCode": await devnet.chain.rpc.call("eth_getCode", devnet.market, "latest"),
        "parameters": await asked(devnet, "parameters"),
        "supportsInterface": "0x" + (1).to_bytes(32).hex(),
        "parts": await asked(devnet, "parts"),
    }

    class Pretending(HostileProxy):
        """Shows the market's answers at another address."""

        def _told(self, question: dict[str, Any], result: Any) -> Any:
            target = question["params"][0] if question["params"] else None
            if question["method"] == "eth_getCode" and target.lower() == forged:
                return shown["eth_getCode"]
            if question["method"] == "eth_call" and target.get("to", "").lower() == forged:
                functions = {
                    "0x" + market_abi().function(name).selector.hex(): name
                    for name in shown
                    if name[0] != "e"
                }
                return shown[functions[target["data"][:10]]]
            return result

    async with Pretending.before(devnet.rpc_url) as proxy:
        with pytest.raises(MarketForged, match="domain_separator"):
            async with open_market(
                proxy.url,
                forged,
                pins=pins,
                chain_id=devnet.chain_id,
                genesis=devnet.network.expected_genesis,
                timeouts=HASTY,
            ):
                pass


@pytest.mark.parametrize("part", range(4))
async def test_code_that_is_not_what_it_was_is_refused_in_words(
    devnet: Devnet, pins: MarketPins, part: int
) -> None:
    def other(method: str, answer: Any) -> Any:
        if method != "eth_call" or len(answer) != 2 + 64 * len(pins.codes):
            return answer
        at = 2 + 64 * part
        return answer[:at] + "5a" * 32 + answer[at + 64 :]

    address = list(pins.codes)[part]
    async with HostileProxy.before(devnet.rpc_url) as proxy:
        proxy.change = other
        with pytest.raises(MarketForged, match=f"the code at {address} is not what it was") as raised:
            async with opened(devnet, pins, rpc=proxy.url):
                pass
        assert proxy.url in str(raised.value)
        # Of two the other one is asked, and this one named.
        urls: Any = (proxy.url, devnet.rpc_url)
        async with opened(devnet, pins, rpc=urls) as chain:
            assert (await chain.head()).number
            assert any(proxy.url in told and "is not what it was" in told for told in chain.rpc.reports)


async def test_answers_of_a_wrong_kind_end_in_words(devnet: Devnet, pins: MarketPins) -> None:
    for wrong in (None, "0x", "0x5a", [], "0x" + "00" * 32 * 4):

        def other(method: str, answer: Any, wrong: Any = wrong) -> Any:
            is_it = method == "eth_call" and isinstance(answer, str) and len(answer) == 2 + 64 * 4
            return wrong if is_it else answer

        async with HostileProxy.before(devnet.rpc_url) as proxy:
            proxy.change = other
            with pytest.raises(ChainError) as raised:
                async with opened(devnet, pins, rpc=proxy.url):
                    pass
            assert str(raised.value)
    with pytest.raises(AnswerUnreadable):
        code_hashes_from("0x00", 1)


async def test_a_market_that_a_person_trusts_is_known_again_and_no_other(devnet: Devnet) -> None:
    genesis = devnet.network.expected_genesis
    trusted = await trust_market(devnet.chain, genesis=genesis)
    assert (trusted.how, list(trusted.codes)) == ("trusted", [devnet.market])
    async with opened(devnet, trusted) as chain:
        assert chain.pins is trusted


async def test_pins_are_written_and_read_and_what_is_broken_is_none(
    devnet: Devnet, pins: MarketPins, tmp_path: Path
) -> None:
    path = tmp_path / "market.json"
    assert read_pins(path) is None
    write_pins(path, pins)
    assert read_pins(path) == pins
    for broken in ("", "[]", '{"chain_id": 1}', path.read_text().replace("0x", "1x")):
        path.write_text(broken)
        assert read_pins(path) is None
    write_pins(tmp_path / "not there" / "market.json", pins)
    assert pins_from(1, devnet.market, None, {devnet.market: b""}, "address").caution == ""

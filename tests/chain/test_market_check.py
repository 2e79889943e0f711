"""A market is Grange's own, or it is refused: by a byte of its code, by a word, by how it came to be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
import rlp
from aiohttp import web
from chain_support import LyingRpc
from hostile_proxy import HostileProxy

from grange.chain import Chain, ChainUnavailable, RpcError
from grange.chain.codec import artifact
from grange.chain.deployment import (
    FACTORIES,
    PARTS,
    SALT,
    Place,
    address_by_nonce,
    addresses_by_create2,
    creation_code,
    immutable_words,
    runtime_code,
)
from grange.chain.errors import MarketForged, MarketNotFound, OriginUnknown
from grange.chain.market_check import check_market
from grange.chain.network_file import open_network
from grange.chain.rlp import encode_rlp
from grange.keccak import keccak256
from grange.types import Address
from grange_devnet import Devnet
from grange_devnet.engines import DEV_ADDRESS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    async with Devnet.start() as running:
        yield running


def lying(devnet: Devnet, lie: Callable[[str, tuple[Any, ...], Any], Any]) -> Chain:
    chain = devnet.chain
    return Chain(
        LyingRpc(chain.rpc, lie),  # type: ignore[arg-type]
        market=chain.market,
        chain_id=chain.chain_id,
        parameters=chain.parameters,
    )


async def parts_of(devnet: Devnet) -> tuple[Address, ...]:
    origin = await check_market(devnet.chain, first_block=devnet.network.first_block)
    return origin.parts


async def test_a_market_of_ours_says_by_which_transaction_it_was_made(devnet: Devnet) -> None:
    origin = await check_market(devnet.chain, first_block=devnet.network.first_block)
    assert len(origin.parts) == len(PARTS)
    assert origin.parts[-1] == devnet.market
    assert origin.block == devnet.network.first_block
    assert origin.transaction is not None
    sent = await devnet.chain.rpc.call("eth_getTransactionByHash", "0x" + origin.transaction.hex())
    assert sent["from"].lower() == DEV_ADDRESS.lower()
    assert f"0x{origin.transaction.hex()}" in origin.text


@pytest.mark.parametrize("part", PARTS)
async def test_a_byte_of_a_parts_code_that_differs_is_refused(devnet: Devnet, part: str) -> None:
    """Of the code, of a word that the constructor wrote, one too many, one too few, none at all."""
    address = (await parts_of(devnet))[PARTS.index(part)]
    place = Place(
        chain_id=devnet.chain_id, address=address, behind=None if part == PARTS[0] else devnet.token
    )
    length = len(runtime_code(part, devnet.chain.parameters, place))
    start = artifact(part).immutables["collateral_epochs"][0]

    def with_code(change: Callable[[bytearray], object]) -> Chain:
        def lie(method: str, params: tuple[Any, ...], answer: Any) -> Any:
            if method != "eth_getCode" or params[0] != address:
                return answer
            code = bytearray.fromhex(answer[2:])
            change(code)
            return "0x" + code.hex()

        return lying(devnet, lie)

    def flip(at: int) -> Callable[[bytearray], object]:
        def change(code: bytearray) -> None:
            code[at] ^= 1

        return change

    for change, said in (
        (flip(0), "from byte 0 on"),
        (flip(length - 1), f"from byte {length - 1} on"),
        (flip(start + 31), "in collateral_epochs"),
        (lambda code: code.append(0), f"has {length + 1} bytes"),
        (lambda code: code.pop(), f"has {length - 1} bytes"),
        (lambda code: code.clear(), "there is no code"),
    ):
        with pytest.raises(MarketForged, match=said):
            await check_market(with_code(change), first_block=devnet.network.first_block)


async def test_every_word_of_a_constructor_is_held_against_what_it_should_be(devnet: Devnet) -> None:
    """With another parameter, another chain or another part behind it, the code is another."""
    parts = await parts_of(devnet)
    place = Place(chain_id=devnet.chain_id, address=parts[-1], behind=parts[-2])
    parameters = devnet.chain.parameters
    right = runtime_code("Market", parameters, place)
    words = immutable_words(parameters, place)
    assert set(artifact("Market").immutables) <= set(words)
    assert right != runtime_code("Market", parameters, replace(place, behind=parts[0]))
    assert right != runtime_code("Market", parameters, replace(place, chain_id=1))
    assert right != runtime_code("Market", parameters, replace(place, address=parts[0]))
    written = {name for part in PARTS for name in artifact(part).immutables}
    for name in vars(type(parameters))["__dataclass_fields__"]:
        assert name in written, f"no part's code has {name}"


async def test_a_market_with_another_number_of_parts_is_refused(devnet: Devnet) -> None:
    def lie(method: str, params: tuple[Any, ...], answer: Any) -> Any:
        return answer[: 2 + 64] + f"{2:064x}" + answer[2 + 128 : -64] if method == "eth_call" else answer

    with pytest.raises(MarketForged, match="has 2 parts behind it, not 3"):
        await check_market(lying(devnet, lie), first_block=devnet.network.first_block)


async def test_the_same_code_by_other_means_is_refused(devnet: Devnet) -> None:
    """A constructor of somebody's own may have written balances first. So may have who says nothing."""
    first = devnet.network.first_block
    for block, said in (
        (0, "is not given"),
        (first - 1, "has no transaction by which our code was deployed"),
        (first + 1000, "no endpoint shows block"),
    ):
        with pytest.raises(OriginUnknown, match=said):
            await check_market(devnet.chain, first_block=block)

    def with_transaction(**changes: Any) -> Chain:
        def lie(method: str, params: tuple[Any, ...], answer: Any) -> Any:
            if method == "eth_getBlockByNumber" and params[1]:
                answer = answer | {"transactions": [one | changes for one in answer["transactions"]]}
            return answer

        return lying(devnet, lie)

    whole = await devnet.chain.rpc.call("eth_getBlockByNumber", hex(first), True)
    sent = whole["transactions"][0]
    for changes in (
        {"input": "0x60" + sent["input"][4:]},
        {"nonce": hex(int(sent["nonce"], 16) + 1)},
        {"from": devnet.token},
        {"to": FACTORIES[0]},
    ):
        with pytest.raises(OriginUnknown, match="has no transaction"):
            await check_market(with_transaction(**changes), first_block=first)

    def refuse(method: str, params: tuple[Any, ...], answer: Any) -> Any:
        if method == "eth_getBlockByNumber" and params[1]:
            raise RpcError(method, -32000, "pruned history unavailable")
        return answer

    with pytest.raises(OriginUnknown, match="no endpoint shows block"):
        await check_market(lying(devnet, refuse), first_block=first)


async def test_of_several_endpoints_one_that_shows_something_else_is_named(devnet: Devnet) -> None:
    """Whichever stands first."""

    def other_code(method: str, answer: Any) -> Any:
        return answer[:-2] + "00" if method == "eth_getCode" and len(answer) > 2 else answer

    def no_transactions(method: str, answer: Any) -> Any:
        is_whole = method == "eth_getBlockByNumber" and answer and isinstance(answer["transactions"], list)
        return answer | {"transactions": []} if is_whole else answer

    for lie, error, said in (
        (other_code, MarketForged, "by the endpoint http://127.0.0.1"),
        (no_transactions, OriginUnknown, "by the endpoint http://127.0.0.1"),
    ):
        async with HostileProxy.before(devnet.rpc_url) as liar:
            liar.change = lie
            for urls in ((liar.url, devnet.rpc_url), (devnet.rpc_url, liar.url)):
                network = devnet.network.model_copy(update={"rpc": urls})
                with pytest.raises(error, match=said) as raised:
                    async with open_network(network):
                        pass
                assert liar.url in str(raised.value)


async def test_a_market_that_no_factory_made_is_shown_by_two_endpoints_where_there_are_several(
    devnet: Devnet,
) -> None:
    """One that lies can make up code and transaction. Who has no old blocks says nothing; of one endpoint all
    that can be done is to say so."""
    first = devnet.network.first_block

    def pruned(method: str, answer: Any) -> Any:
        is_old = method == "eth_getBlockByNumber" and answer and answer["number"] == hex(first)
        return None if is_old and isinstance(answer["transactions"], list) else answer

    def busy(method: str, answer: Any) -> Any:
        if answer is not None and pruned(method, answer) is None:
            raise web.HTTPTooManyRequests
        return answer

    await devnet.mine(1)
    async with HostileProxy.before(devnet.rpc_url) as other:
        honest = f"{devnet.rpc_url}/2"
        for urls in ((other.url, devnet.rpc_url), (devnet.rpc_url, other.url)):
            for other.change in (pruned, busy):
                with pytest.raises(OriginUnknown, match="of 2 endpoints only one has block") as raised:
                    async with open_network(devnet.network.model_copy(update={"rpc": urls})):
                        pass
                assert other.url in str(raised.value), "who does not show it is named"
        for urls in ((other.url, devnet.rpc_url, honest), (devnet.rpc_url, honest)):
            async with open_network(devnet.network.model_copy(update={"rpc": urls})) as (chain, _):
                assert chain.pins is not None
                assert (chain.pins.how, chain.pins.caution) == ("endpoints", "")
        async with open_network(devnet.network) as (chain, _):
            assert chain.pins is not None
            assert chain.pins.how == "endpoint"
            assert "Only one endpoint says how this market came to be" in chain.pins.caution


async def test_who_connects_to_a_network_has_its_market_looked_at(devnet: Devnet) -> None:
    unknown = devnet.network.model_copy(update={"first_block": 0})
    async with open_network(devnet.network) as (chain, _):
        assert chain.market == devnet.market
    with pytest.raises(OriginUnknown):
        async with open_network(unknown):
            pass
    async with open_network(unknown, trust=True) as (_, network):
        assert network == unknown
    dead = devnet.network.model_copy(update={"rpc": "http://127.0.0.1:1"})
    with pytest.raises(ChainUnavailable):
        async with open_network(dead, trust=True):
            pass


async def test_addresses_are_those_that_the_standards_say(devnet: Devnet) -> None:
    """By nonce as in Ethereum's first days, by CREATE2 as EIP-1014 has it."""
    raw = bytes.fromhex(DEV_ADDRESS[2:])
    for nonce in (0, 1, 127, 128, 255, 256, 2**40):
        assert encode_rlp([raw, nonce]) == rlp.encode([raw, nonce])
        assert (
            address_by_nonce(DEV_ADDRESS, nonce)[2:].lower()
            == keccak256(rlp.encode([raw, nonce]))[-20:].hex()
        )
    parameters = devnet.chain.parameters
    made = addresses_by_create2(parameters, FACTORIES[0])
    behind = [None, *made[:-1]]
    for part, address, one in zip(PARTS, made, behind, strict=True):
        code = creation_code(part, parameters, one)
        content = b"\xff" + bytes.fromhex(FACTORIES[0][2:]) + SALT + keccak256(code)
        assert address[2:].lower() == keccak256(content)[-20:].hex()


async def test_a_first_block_that_is_still_to_come_is_refused(devnet: Devnet) -> None:
    """A home that begins to read there would not find what it stored, nor would its recovery card."""
    later = devnet.network.model_copy(update={"first_block": 10**9})
    for trust in (True, False):
        with pytest.raises(MarketNotFound, match="since block 1000000000"):
            async with open_network(later, trust=trust):
                pass

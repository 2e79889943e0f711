"""What we sign, encode and read is what web3 and eth_account make of the same: libraries that know nothing of
ours, and that the product does without (docs/adr/0092)."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.abi import collapse_if_tuple
from hypothesis import given
from hypothesis import strategies as st
from web3 import AsyncHTTPProvider, AsyncWeb3, Web3

from grange.chain import Chain, Wallet
from grange.chain.abi_types import snake
from grange.chain.codec import Abi, Element, market_abi, token_abi
from grange.errors import Misuse
from grange.types import address_from
from grange_devnet import Devnet

PLACE = address_from("0x" + "11" * 20)
SOMEBODY = address_from("0x" + "22" * 20)
HASH = "0x" + "ab" * 32
ABIS = {"market": market_abi(), "token": token_abi()}
FUNCTIONS = [(which, name) for which, abi in ABIS.items() for name in abi.functions]
EVENTS = [(which, name) for which, abi in ABIS.items() for name in abi.events]


def contract(abi: Abi) -> Any:
    return Web3().eth.contract(address=Web3.to_checksum_address(PLACE), abi=abi.entries)


def some_value(component: Mapping[str, Any], rng: random.Random) -> Any:
    """A value of the type, as eth_abi and web3 take it."""
    kind: str = component["type"]
    if kind.endswith("]"):
        size = kind[kind.rindex("[") + 1 : -1]
        inner = {**component, "type": kind[: kind.rindex("[")]}
        return [some_value(inner, rng) for _ in range(int(size) if size else rng.randrange(3))]
    if kind == "tuple":
        return tuple(some_value(field, rng) for field in component["components"])
    if kind == "address":
        return address_from(rng.randbytes(20))
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "string":
        return rng.choice(["", "http://farm.example:4000", "snow ☃"])
    if kind.startswith("bytes"):
        return rng.randbytes(int(kind[5:] or rng.randrange(70)))
    return rng.randrange(1 << int(kind.removeprefix("uint")))


def some_values(element: Element, rng: random.Random) -> list[Any]:
    return [some_value(component, rng) for component in element.inputs.components]


@pytest.mark.parametrize(("which", "name"), FUNCTIONS)
def test_calldata_is_web3s(which: str, name: str) -> None:
    abi, rng = ABIS[which], random.Random(name)
    theirs = contract(abi)
    for _ in range(3):
        values = some_values(abi.function(name), rng)
        assert "0x" + abi.encode_call(name, values).hex() == theirs.encode_abi(name, values)


@pytest.mark.parametrize(("which", "name"), EVENTS)
def test_an_event_is_read_as_web3_reads_it(which: str, name: str) -> None:
    abi, rng = ABIS[which], random.Random(name)
    event = abi.event(name)
    inputs = event.inputs.components
    values = dict(zip([i["name"] for i in inputs], some_values(event, rng), strict=True))
    plain = [i for i in inputs if not i["indexed"]]
    data = encode([collapse_if_tuple(dict(i)) for i in plain], [values[i["name"]] for i in plain])
    indexed = [i for i in inputs if i["indexed"]]
    topics = [event.topic, *(encode([i["type"]], [values[i["name"]]]) for i in indexed)]
    log = {
        "address": PLACE,
        "blockNumber": "0x10",
        "blockHash": HASH,
        "transactionHash": HASH,
        "transactionIndex": "0x0",
        "logIndex": "0x3",
    }
    ours = abi.decode_log({**log, "topics": ["0x" + one.hex() for one in topics], "data": "0x" + data.hex()})
    theirs = contract(abi).events[name]().process_log({**log, "topics": topics, "data": data})
    assert ours is not None
    read = {snake(i["name"]): _as_ours(theirs["args"][i["name"]], i) for i in inputs}
    assert (ours.name, dict(ours.args)) == (theirs["event"], read)


def _as_ours(value: Any, component: Mapping[str, Any]) -> Any:
    """Names in snake_case, and tuples for lists; no event has lists of structs."""
    if component["type"] == "tuple":
        return {
            snake(field["name"]): _as_ours(value[field["name"]], field) for field in component["components"]
        }
    return tuple(value) if isinstance(value, list) else value


ADDRESSES = st.binary(min_size=20, max_size=20).map(address_from)
KEYS = st.integers(1, (1 << 255) - 1).map(lambda number: number.to_bytes(32))
FIELDS = st.fixed_dictionaries(
    {
        "type": st.just(2),
        "chainId": st.integers(1, 1 << 40),
        "nonce": st.integers(0, 1 << 40),
        "gas": st.integers(21_000, 1 << 40),
        "maxFeePerGas": st.integers(0, 1 << 80),
        "maxPriorityFeePerGas": st.integers(0, 1 << 80),
        "value": st.integers(0, 1 << 100),
        "data": st.binary(max_size=200),
    },
    optional={"to": ADDRESSES},
)


@given(KEYS, FIELDS)
def test_a_signed_transaction_is_eth_accounts_byte_for_byte(key: bytes, fields: dict[str, Any]) -> None:
    wallet = Wallet(key)
    theirs = Account.from_key(key).sign_transaction(fields)
    assert wallet.address == Account.from_key(key).address
    assert wallet.sign_transaction(fields) == (bytes(theirs.raw_transaction), bytes(theirs.hash))


@pytest.mark.parametrize("wrong", [{"type": 1}, {"accessList": []}, {"gasPrice": 1}, {"nonce": None}])
def test_no_other_kind_of_transaction_is_signed(wrong: dict[str, Any]) -> None:
    fields: dict[str, Any] = {
        **dict.fromkeys(("chainId", "nonce", "gas", "maxFeePerGas", "maxPriorityFeePerGas", "value"), 1),
        "data": b"",
    }
    Wallet(b"\x01" * 32).sign_transaction(fields)
    changed = {name: value for name, value in {**fields, **wrong}.items() if value is not None}
    with pytest.raises(Misuse):
        Wallet(b"\x01" * 32).sign_transaction(changed)


@pytest.mark.asyncio(loop_scope="module")
async def test_web3_reads_the_market_and_moves_tokens_on_a_devnet(devnet: Devnet, wallet: Wallet) -> None:
    """Somebody who comes with web3 finds what we find, and can do what our wallets do."""
    chain: Chain = devnet.chain
    provider = AsyncHTTPProvider(devnet.rpc_url)
    try:
        web3: Any = AsyncWeb3(provider)
        market = web3.eth.contract(address=chain.market, abi=market_abi().entries, decode_tuples=True)
        parameters = await market.functions.parameters().call()
        assert parameters.epochBlocks == chain.parameters.epoch_blocks
        token = web3.eth.contract(address=chain.token, abi=token_abi().entries)
        before = await chain.token_balance(SOMEBODY)
        call = await token.functions.transfer(SOMEBODY, 5).build_transaction(
            {"from": wallet.address, "nonce": await web3.eth.get_transaction_count(wallet.address)}
        )
        signed = Account.from_key(wallet.private_key).sign_transaction(call)
        receipt = await web3.eth.wait_for_transaction_receipt(
            await web3.eth.send_raw_transaction(signed.raw_transaction), poll_latency=0.01
        )
        assert receipt["status"] == 1
        assert await chain.token_balance(SOMEBODY) == before + 5
    finally:
        await provider.disconnect()

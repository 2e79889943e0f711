"""A market is deployed in a way that can be checked, goes on where it was cut off, and says what it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from grange.chain import Chain, InsufficientFunds, Sender, Timeouts, TransactionReverted, Wallet
from grange.chain.chain_check import ChainCheck
from grange.chain.deploying import (
    deploy_market,
    deploy_token,
    find_factory,
    find_token,
    size_to_deploy,
    unmarketed,
)
from grange.chain.deployment import (
    FACTORIES,
    Place,
    address_by_nonce,
    addresses_by_create2,
    runtime_code,
)
from grange.chain.errors import OriginUnknown, TransactionError
from grange.chain.market_check import check_market
from grange.chain.presets import PRESETS
from grange.chain.rpc import Rpc
from grange.chain.token_facts import NotToken
from grange.keccak import keccak256
from grange.token_unit import TokenUnit
from grange.types import Address, Parameters
from grange_devnet import Devnet
from grange_devnet.engines import DEV_ADDRESS, DEV_KEY, EngineOptions, missing_reason, run_engine

pytestmark = pytest.mark.asyncio(loop_scope="module")
VAULTS_SLOT = 2
"""Of `_vaults` in the storage, behind the two that OpenZeppelin's EIP712 has."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    async with Devnet.start() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def anvil() -> AsyncIterator[Rpc]:
    """A fresh chain by Osaka's rules, with the factory that anvil has."""
    if (reason := missing_reason("anvil")) is not None:
        pytest.skip(str(reason))
    options = EngineOptions(engine="anvil", hardfork="osaka")
    async with run_engine(options) as engine, Rpc(engine.url, Timeouts()) as rpc:
        yield rpc


def chosen(token: Address, preset: str = "rollup") -> Parameters:
    return PRESETS[preset].parameters(token, decimals=18)


async def opened(rpc: Rpc, market: Address) -> Chain:
    check = ChainCheck(chain_id=1337, genesis=None, market=market)
    async with Rpc(rpc.url, Timeouts(), check) as other:
        chain_id, parameters = await other.introduced()
    return Chain(rpc, market=market, chain_id=chain_id, parameters=parameters)


async def test_without_a_factory_the_account_deploys_and_its_transaction_shows_it(devnet: Devnet) -> None:
    rpc = devnet.chain.rpc
    assert await find_factory(rpc) is None
    parameters = chosen(devnet.token)
    said: list[str] = []
    deployed = await deploy_market(
        Sender(unmarketed(rpc, 1337, parameters), Wallet(DEV_KEY)), parameters, factory=None, tell=said.append
    )
    assert len(said) == 4
    assert said[-1] == f"Market is at {deployed.market}, in block {deployed.first_block}."
    chain = await opened(rpc, deployed.market)
    assert chain.parameters == parameters
    origin = await check_market(chain, first_block=deployed.first_block)
    assert (origin.parts, origin.block) == (deployed.parts, deployed.first_block)
    assert 0.8 < deployed.gas_used / size_to_deploy(parameters).gas <= 1


async def test_through_a_factory_its_address_shows_it_and_what_was_cut_off_goes_on(anvil: Rpc) -> None:
    wallet = Wallet(DEV_KEY)
    parameters = chosen(Address("0x" + "00" * 20))
    sender = Sender(unmarketed(anvil, 1337, parameters), wallet)
    parameters = replace(parameters, token=await deploy_token(sender, 10**27))
    factory = await find_factory(anvil)
    assert factory == FACTORIES[0]

    class CutOff(Exception):
        """The process ends here."""

    def cut_off(text: str) -> None:
        if text.startswith("MarketFarmers"):
            raise CutOff

    with pytest.raises(CutOff):
        await deploy_market(sender, parameters, factory=factory, tell=cut_off)
    said: list[str] = []
    deployed = await deploy_market(sender, parameters, factory=factory, tell=said.append)
    assert ["already" in text for text in said] == [True, True, True, False]
    assert deployed.parts == addresses_by_create2(parameters, factory)
    chain = await opened(anvil, deployed.market)
    # Nobody has to be told the block.
    origin = await check_market(chain, first_block=0)
    assert (origin.factory, origin.parts) == (factory, deployed.parts)
    again = await deploy_market(sender, parameters, factory=factory)
    assert (again.market, again.first_block, again.gas_used) == (deployed.market, deployed.first_block, 0)


async def test_without_a_factory_what_was_cut_off_goes_on_too(devnet: Devnet) -> None:
    """With the token that was made for it; once it is finished, the same market is there, and another token
    is for another one."""
    rpc, wallet, supply = devnet.chain.rpc, Wallet.random(), 10**27
    await devnet.faucet(wallet.address)

    def parameters_of(token: Address) -> Parameters:
        return chosen(token, "test")

    def sender_for(token: Address) -> Sender:
        return Sender(unmarketed(rpc, 1337, parameters_of(token)), wallet)

    nowhere = Address("0x" + "00" * 20)
    assert await find_token(sender_for(nowhere), supply, parameters_of, factory=None) is None
    token = await deploy_token(sender_for(nowhere), supply)

    class CutOff(Exception):
        """The process ends here."""

    for part in ("MarketAccounts", "MarketSlots", "MarketFarmers"):

        def cut_off(text: str, part: str = part) -> None:
            if text.startswith(part) and "already" not in text:
                raise CutOff

        assert await find_token(sender_for(nowhere), supply, parameters_of, factory=None) == token
        with pytest.raises(CutOff):
            await deploy_market(sender_for(token), parameters_of(token), factory=None, tell=cut_off)
    said: list[str] = []
    deployed = await deploy_market(sender_for(token), parameters_of(token), factory=None, tell=said.append)
    assert ["already" in text for text in said] == [True, True, True, False]
    sent = int(await rpc.call("eth_getTransactionCount", wallet.address, "latest"), 16)
    assert sent == 5, "a token and four parts, each once"
    chain = await opened(rpc, deployed.market)
    assert (await check_market(chain, first_block=deployed.first_block)).parts == deployed.parts
    assert await find_token(sender_for(nowhere), supply, parameters_of, factory=None) is None
    again = await deploy_market(sender_for(token), parameters_of(token), factory=None)
    assert (again.market, again.gas_used) == (deployed.market, 0)
    assert again.first_block in (deployed.first_block, 0)
    other = await deploy_market(sender_for(token), replace(parameters_of(token), samples=4), factory=None)
    assert other.parts[0] != deployed.parts[0]


async def test_what_the_contract_refuses_is_said_before_anything_is_paid(devnet: Devnet) -> None:
    rpc = devnet.chain.rpc
    wrong = replace(chosen(devnet.token), max_misses=7)
    before = await rpc.call("eth_blockNumber")
    with pytest.raises(TransactionReverted, match="MaxMissesOutOfRange"):
        await deploy_market(Sender(unmarketed(rpc, 1337, wrong), Wallet(DEV_KEY)), wrong, factory=None)
    poor = chosen(devnet.token)
    with pytest.raises((InsufficientFunds, TransactionError)):
        await deploy_market(Sender(unmarketed(rpc, 1337, poor), Wallet.random()), poor, factory=None)
    assert await rpc.call("eth_blockNumber") == before


async def test_a_market_into_which_a_balance_was_written_first_is_refused(devnet: Devnet) -> None:
    """Its code is Grange's to the last byte, it answers all questions, and a thief has money in it that
    nobody paid in: only that another constructor made it tells."""
    rpc, thief = devnet.chain.rpc, Wallet.random().address
    parameters = devnet.chain.parameters
    honest = await check_market(devnet.chain, first_block=devnet.network.first_block)
    sender = Sender(unmarketed(rpc, 1337, parameters), Wallet(DEV_KEY))
    nonce = int(await rpc.call("eth_getTransactionCount", DEV_ADDRESS, "pending"), 16)
    forged = address_by_nonce(DEV_ADDRESS, nonce)
    place = Place(chain_id=1337, address=forged, behind=honest.parts[-2])
    runtime = runtime_code("Market", parameters, place)
    stolen = 10**24
    vault = keccak256(bytes.fromhex(thief[2:]).rjust(32, b"\0") + VAULTS_SLOT.to_bytes(32))
    store = b"\x7f" + stolen.to_bytes(32) + b"\x7f" + vault + b"\x55"
    size = len(runtime).to_bytes(2)
    ending_bytes = 13
    copy = b"\x61" + size + b"\x61" + (len(store) + ending_bytes).to_bytes(2) + b"\x5f\x39"
    code = store + copy + b"\x61" + size + b"\x5f\xf3" + runtime
    receipt = await sender.transact("forgery", to=None, data=code)
    assert receipt.contract_address == forged
    chain = await opened(rpc, forged)
    assert await chain.vault(thief) == stolen
    with pytest.raises(OriginUnknown, match="has no transaction by which our code was deployed"):
        await check_market(chain, first_block=receipt.block)
    with pytest.raises(OriginUnknown, match="is not given"):
        await check_market(chain, first_block=0)


async def test_a_token_says_what_it_is_and_what_is_none_is_told(devnet: Devnet) -> None:
    facts = await devnet.chain.token_facts()
    assert (facts.unit, facts.has_permit) == (TokenUnit(symbol="GRNG", decimals=18), True)
    assert facts.text == "GRNG, 18 decimals, with permits"
    for other in (devnet.market, Wallet.random().address):
        with pytest.raises(NotToken, match="is not a token"):
            await unmarketed(devnet.chain.rpc, 1337, chosen(other)).token_facts()

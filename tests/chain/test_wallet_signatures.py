"""A contract wallet is asked as the market asks it: what we believe of its signatures, the market pays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from chain_support import TestFarmer, funded
from hostile_proxy import HostileProxy
from wallet_code import APPROVING, DENYING, SWITCHES, creation_code

from grange import messages
from grange.chain import (
    Chain,
    ChainError,
    Sender,
    Timeouts,
    TransactionReverted,
    Wallet,
    WitnessMissing,
    calls,
)
from grange.chain.wallet_signatures import WALLET_GAS, is_approved
from grange.messages import sign_digest, sign_voucher
from grange.types import Address, Voucher
from grange.wire.limits import MAX_SIGNATURE_BYTES
from grange_devnet import Devnet
from grange_devnet.tokens import devnet_artifact

HASTY = Timeouts(connect_seconds=1.0, request_seconds=2.0, retries=0, pause_seconds=0.01)
SAYS_YES = "0x" + (1).to_bytes(32).hex()

pytestmark = pytest.mark.asyncio(loop_scope="module")
DIGEST = b"\x11" * 32
OWNER = Wallet(b"\x07" * 32)


async def deployed(devnet: Devnet, code: bytes) -> tuple[Sender, Address]:
    sender = Sender(devnet.chain, await funded(devnet))
    receipt = await sender.transact("deployment of a wallet", to=None, data=code)
    assert receipt.contract_address is not None
    return sender, receipt.contract_address


async def market_believes(devnet: Devnet, sender: Sender, farmer: TestFarmer, voucher: Voucher) -> bool:
    """Whether the market takes a voucher's signature; there is no money behind it."""
    with pytest.raises(TransactionReverted) as refused:
        await sender.send(calls.redeem(farmer.id, [voucher]))
    assert refused.value.name in ("NothingToRedeem", "VoucherForged")
    return refused.value.name == "NothingToRedeem"


def signed(devnet: Devnet, farmer: TestFarmer, wallet: Address, by: Wallet = OWNER) -> tuple[Voucher, bytes]:
    voucher = sign_voucher(
        devnet.chain.domain,
        by.private_key,
        farmer=farmer.id,
        cumulative=5,
        renter=wallet,
        is_of_wallet=True,
    )
    digest = messages.voucher_digest(devnet.chain.domain, renter=wallet, farmer=farmer.id, cumulative=5)
    return voucher, digest


async def test_what_we_believe_of_a_wallet_the_market_believes(devnet: Devnet) -> None:
    """Whatever a wallet does when it is asked, the endpoint answers, and as the market would."""
    farmer = await TestFarmer.register(devnet)
    for programs, expected in ((DENYING, False), (APPROVING, True)):
        for what, program in programs.items():
            sender, wallet = await deployed(devnet, creation_code(program))
            voucher, digest = signed(devnet, farmer, wallet)
            assert await is_approved(devnet.chain.rpc, wallet, digest, voucher.signature) == expected, what
            assert await market_believes(devnet, sender, farmer, voucher) == expected, what


async def test_an_owners_signature_is_its_wallets_and_no_others(devnet: Devnet) -> None:
    farmer = await TestFarmer.register(devnet)
    code = devnet_artifact("DevnetWallet").creation_code(OWNER.address)
    sender, wallet = await deployed(devnet, code)
    for by, expected in ((OWNER, True), (Wallet(b"\x08" * 32), False)):
        voucher, digest = signed(devnet, farmer, wallet, by)
        assert await is_approved(devnet.chain.rpc, wallet, digest, voucher.signature) == expected
        assert await market_believes(devnet, sender, farmer, voucher) == expected
    other = sign_digest(OWNER.private_key, DIGEST)
    assert await is_approved(devnet.chain.rpc, wallet, DIGEST, other)
    assert not await is_approved(devnet.chain.rpc, wallet, bytes(32), other)
    assert not await is_approved(devnet.chain.rpc, wallet, DIGEST, bytes(MAX_SIGNATURE_BYTES))


async def test_an_account_without_code_says_no(devnet: Devnet) -> None:
    signature = sign_digest(OWNER.private_key, DIGEST)
    assert not await is_approved(devnet.chain.rpc, OWNER.address, DIGEST, signature)


async def test_an_answer_is_that_of_the_moment(devnet: Devnet) -> None:
    """A wallet that changes its mind is believed to the block."""
    sender, wallet = await deployed(devnet, creation_code(SWITCHES))
    for expected in (False, True, False):
        assert await is_approved(devnet.chain.rpc, wallet, DIGEST, bytes(65)) == expected
        await sender.transact("a change of mind", to=wallet, data=b"")


async def test_a_wallet_gets_the_gas_that_the_market_gives_it() -> None:
    source = Path(__file__).parents[2] / "contracts/libraries/WalletSignature.sol"
    assert f"GAS = {WALLET_GAS:_};" in source.read_text()


@asynccontextmanager
async def several(devnet: Devnet, count: int) -> AsyncIterator[tuple[Chain, HostileProxy]]:
    """A chain behind so many endpoints, and the first of them."""
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(HostileProxy.before(devnet.rpc_url)) for _ in range(count)]
        urls = [one.url for one in proxies]
        yield await stack.enter_async_context(Chain.connect(urls, devnet.market, timeouts=HASTY)), proxies[0]


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_one_endpoint_alone_does_not_open_a_name(devnet: Devnet, count: int) -> None:
    """The liar is asked first. Else any account would be anybody's, also one of a key, without code."""
    async with several(devnet, count) as (chain, liar):
        liar.change = lambda method, result: SAYS_YES if method == "eth_call" else result
        forged = bytes(65)
        assert await is_approved(chain.rpc, OWNER.address, DIGEST, forged), "one word is enough elsewhere"
        if count == 2:
            with pytest.raises(ChainError, match="no two of the endpoints") as refused:
                await is_approved(chain.rpc, OWNER.address, DIGEST, forged, by_two=True)
            assert not isinstance(refused.value, WitnessMissing), "the other one contradicts it"
        else:
            says_yes = await is_approved(chain.rpc, OWNER.address, DIGEST, forged, by_two=True)
            assert says_yes == (count == 1), "with one endpoint its word counts"
        assert not chain.rpc.reports, "a wallet may answer each otherwise, so nobody is named"


async def test_what_two_endpoints_say_of_a_wallet_counts(devnet: Devnet) -> None:
    _, wallet = await deployed(devnet, creation_code(next(iter(APPROVING.values()))))
    signature = sign_digest(OWNER.private_key, DIGEST)
    async with several(devnet, 2) as (chain, _):
        assert await is_approved(chain.rpc, wallet, DIGEST, signature, by_two=True)
        chain.rpc.connections[1].health.note_failure("it is down", chain.rpc._clock())
        with pytest.raises(WitnessMissing, match="no two of the endpoints"):
            await is_approved(chain.rpc, wallet, DIGEST, signature, by_two=True)

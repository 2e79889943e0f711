"""How the market is let pull tokens: by a permit, or by approving just so much, whatever the token is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import pytest_asyncio
from chain_support import OFFER

from grange.chain import Chain, RpcError, Sender, TransactionReverted, Wallet, calls
from grange.chain.allowance import Permissions, allow
from grange.chain.calls import Call
from grange.chain.market import MarketClient
from grange.chain.permit import PermitBasis, unsigned_permit
from grange.types import Address
from grange_devnet import Devnet
from grange_devnet.tokens import TokenName

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALL = 1_000 * 10**6


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["usdc-like", "usdt-like"])
async def town(request: pytest.FixtureRequest) -> AsyncIterator[Devnet]:
    name: TokenName = request.param
    async with Devnet.start(token=name) as devnet:
        yield devnet


@pytest_asyncio.fixture(loop_scope="module")
async def sender(town: Devnet) -> Sender:
    wallet = Wallet.random()
    await town.faucet(wallet.address, tokens=ALL)
    return Sender(town.chain, wallet)


async def sent(sender: Sender) -> int:
    return int(await sender.chain.rpc.call("eth_getTransactionCount", sender.address, "latest"), 16)


async def test_the_market_says_how_its_token_counts(town: Devnet) -> None:
    assert town.chain.unit.decimals == town.network.token_decimals == 6
    assert town.chain.unit.name == town.network.token_symbol
    assert not (await town.chain.token_facts()).has_permit


async def test_a_deposit_takes_one_transaction_more_and_leaves_nothing_allowed(sender: Sender) -> None:
    market = MarketClient(sender)
    await market.deposit(5)
    assert (await market.vault(sender.address), await market.token_allowance(sender.address)) == (5, 0)
    assert await sent(sender) == 2
    await market.deposit(7)
    assert (await market.vault(sender.address), await market.token_balance(sender.address)) == (12, ALL - 12)
    assert await sent(sender) == 4


@pytest.mark.parametrize(("there", "usdc_like", "usdt_like"), [(10, 1, 1), (11, 1, 1), (9, 2, 3)])
async def test_what_is_allowed_already_is_used(
    sender: Sender, there: int, usdc_like: int, usdt_like: int
) -> None:
    """As after a command that was cut off between the two. Where it is too little, a token that refuses to
    change it is told zero first."""
    market = MarketClient(sender)
    await sender.send(calls.approve(market.market, there))
    before = await sent(sender)
    await market.deposit(10)
    assert await market.vault(sender.address) == 10
    assert await market.token_allowance(sender.address) == max(0, there - 10)
    assert await sent(sender) - before == (usdt_like if market.unit.symbol == "USD₮" else usdc_like)


async def test_more_than_there_is_ends_in_the_tokens_own_words_and_nothing_stays_in_the_vault(
    sender: Sender,
) -> None:
    market = MarketClient(sender)
    with pytest.raises(Exception, match="deposit"):
        await sender.send(calls.deposit_with_permit(unsigned_permit(ALL + 1)))
    assert await market.vault(sender.address) == 0


async def test_a_blocked_account_is_found_out_before_anything_is_sent(town: Devnet, sender: Sender) -> None:
    """And one that is not blocked is told nothing, whether its token returns something or not."""
    market = MarketClient(sender)
    assert await market.transfer_refusal() is None
    if market.unit.symbol == "USDC":
        await town.block(sender.address)
        refusal = await market.transfer_refusal()
        assert refusal is not None
        assert refusal.is_by_token
        await town.block(sender.address, blocked=False)
        assert await market.transfer_refusal() is None
    assert await sent(sender) == 0


async def test_the_last_base_unit_can_be_moved_and_of_none_nothing_can(town: Devnet, sender: Sender) -> None:
    market = MarketClient(sender)
    await market.deposit(ALL - 1)
    assert await market.transfer_refusal() is None
    await market.deposit(1)
    assert await market.transfer_refusal() is not None


async def test_a_token_that_says_no_without_reverting_is_understood(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = MarketClient(sender)
    monkeypatch.setattr(market.rpc, "call", _answering(market.rpc.call, {"eth_call": "0x" + "00" * 32}))
    assert "returned false" in str(await market.transfer_refusal())


async def test_an_endpoint_that_fails_blocks_nobody(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trouble is told as what it is, and not as the token's refusal."""
    market = MarketClient(sender)
    trouble = RpcError("eth_call", -32000, "header not found")
    monkeypatch.setattr(market.rpc, "call", _answering(market.rpc.call, {"eth_call": trouble}))
    with pytest.raises(RpcError, match="header not found"):
        await market.transfer_refusal()


def _answering(whole: Callable[..., Awaitable[Any]], said: dict[str, Any]) -> Callable[..., Awaitable[Any]]:
    async def call(method: str, *params: Any) -> Any:
        if isinstance(said.get(method), Exception):
            raise said[method]
        return said[method] if method in said else await whole(method, *params)

    return call


async def test_a_farmer_registers_and_adds_to_its_stake(town: Devnet, sender: Sender) -> None:
    await allow(sender, 1_000)
    receipt = await sender.send(
        calls.register(
            owner=sender.address,
            operator=sender.address,
            endpoint="",
            offer=OFFER,
            stake=1_000,
            permit=unsigned_permit(1_000),
        )
    )
    farmer = receipt.event("FarmerRegistered").args["farmer"]
    await allow(sender, 500)
    await sender.send(calls.add_stake(farmer, 500))
    assert (await town.chain.farmer(farmer)).stake == 1_500


@dataclass
class OtherPermits:
    """A chain whose token has a separator and nonces, as DAI has, and another permit."""

    market: Address = field(default_factory=lambda: Wallet.random().address)
    token: Address = field(default_factory=lambda: Wallet.random().address)
    nonce: int = 0
    allowed: int = 0
    knows: bool = False
    tried: int = 0

    async def permit_basis(self, owner: Address) -> PermitBasis:
        return PermitBasis(domain_separator=bytes(32), nonce=self.nonce, timestamp=0)

    async def token_allowance(self, owner: Address) -> int:
        return self.allowed

    async def read_token(self, function: str, *_: Any) -> None:
        assert function == "permit"
        self.tried += 1
        if not self.knows:
            raise TransactionReverted("permit", "Unknown", {}, None)


@dataclass
class OneSender:
    chain: OtherPermits
    wallet: Wallet = field(default_factory=Wallet.random)
    approved: list[int] = field(default_factory=list)

    @property
    def address(self) -> Address:
        return self.wallet.address

    async def send(self, call: Call, **_: Any) -> None:
        assert call.function == "approve"
        self.approved.append(call.args[1])
        self.chain.allowed = call.args[1]


async def again(permissions: Permissions, amount: int) -> bool:
    """Whether a permit is signed, as when the call is made."""
    permit = await permissions.permit(amount, await permissions.basis())
    return permit != unsigned_permit(amount)


async def test_a_token_that_refuses_its_own_permits_is_approved_to() -> None:
    """The market refused, and the nonce is what it was: nobody used the permit, so the token does not know
    it."""
    sender = OneSender(OtherPermits())
    permissions = Permissions(cast(Chain, sender.chain), cast(Sender, sender))
    assert await again(permissions, 7)
    assert sender.approved == []
    assert not await again(permissions, 7)
    assert sender.approved == [7]
    assert not await again(permissions, 7)
    assert (sender.approved, sender.chain.tried) == ([7], 1)


async def test_a_permit_that_somebody_used_is_signed_again() -> None:
    sender = OneSender(OtherPermits())
    permissions = Permissions(cast(Chain, sender.chain), cast(Sender, sender))
    for nonce in range(3):
        sender.chain.nonce = nonce
        assert await again(permissions, 7)
    sender.chain.knows = True
    assert await again(permissions, 7), "made again for another reason: the token takes it"
    assert sender.approved == []

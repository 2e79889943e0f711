"""The renter on a real chain:

contract, permit, events and balances are the real ones; only disks are fake.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from client_fakes import CALM, FakeFarmer, honest
from client_trees import listing

from grange.chain import Chain, Cursor, MarketNotFound, RpcError, Sender, Wallet, WrongChain, calls
from grange.chain.market_pins import write_pins
from grange.chain.network_file import write_network
from grange.chain.orders import closing_from_event
from grange.cli.exit_codes import ExitCode
from grange.messages import Domain
from grange.transfer.events import ProgressEvent
from grange.types import Offer, address_from
from grange.units import TOKEN
from grange_client.errors import NotEnoughMoney, OrderGoesOn
from grange_client.keys.config import Config, pins_path, set_up
from grange_client.orders.durability import SlotState
from grange_client.orders.market import RenterMarket
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter
from grange_devnet.devnet import Devnet

WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"
POOR_WORDS = "letter advice cage absurd amount doctor acoustic avoid letter advice cage above"
OFFER = Offer(
    price_per_gib_epoch=TOKEN, egress_price_per_gib=0, capacity_bytes=1 << 40, longest_term_epochs=400
)
CODE = StoreOptions(k=2, n=4, epochs=5)
STAKE = 100 * TOKEN
PLENTY_OF_BLOCKS = 10**6


@dataclass(slots=True)
class Clock:
    """What a fake farmer asks of its market: the domain, and a block that is never behind the chain."""

    domain: Domain
    block: int = PLENTY_OF_BLOCKS


@dataclass(slots=True)
class Town:
    """A devnet, four farmers registered on it, and a renter with a hundred tokens."""

    devnet: Devnet
    config: Config
    farmers: list[FakeFarmer]


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    async with Devnet.start(engine="py-evm", block_seconds=None) as devnet:
        monkeypatch.setattr("client_fakes.NOW", int(time.time()))
        clock = Clock(Domain(chain_id=devnet.chain_id, market=devnet.market))
        farmers = [FakeFarmer(number, clock) for number in range(1, 5)]  # type: ignore[arg-type]
        try:
            for farmer in farmers:
                farmer.behaviour.acceptance = honest
                await _register(devnet, farmer, await farmer.start())
            config = set_up(tmp_path / "home", phrase=WORDS, network=devnet.network)
            assert devnet.chain.pins is not None
            write_pins(pins_path(config.home), devnet.chain.pins)
            await devnet.faucet(config.identity.wallet.address, native=10**19, tokens=100 * TOKEN)
            # However many blocks it took to get here, what follows is in one epoch.
            await devnet.mine_to_epoch((await devnet.chain.head()).epoch + 1)
            yield Town(devnet, config, farmers)
        finally:
            for farmer in farmers:
                await farmer.stop()


async def _register(devnet: Devnet, farmer: FakeFarmer, endpoint: str) -> None:
    await devnet.faucet(farmer.wallet.address, native=10**18, tokens=STAKE)
    permit = await devnet.chain.permit(farmer.wallet, STAKE)
    call = calls.register(
        owner=farmer.wallet.address,
        operator=farmer.wallet.address,
        endpoint=endpoint,
        offer=OFFER,
        stake=STAKE,
        permit=permit,
    )
    await Sender(devnet.chain, farmer.wallet).send(call)


async def test_whole_story(town: Town, tree: Path, tmp_path: Path) -> None:
    """Put in one transaction, pay to the base unit, find it again with the recovery phrase alone, get it
    back."""
    account = town.config.identity.wallet.address
    async with Renter.open(town.config, policy=CALM) as renter:
        before = await renter.funds()
        quote = await renter.quote([tree], CODE)
        stored = await renter.put(quote)
        after = await renter.funds()
        assert before.wallet - after.wallet == quote.cost == stored.order.cost
        assert after.vault == 0
        assert await town.devnet.chain.order(stored.order.id) is not None
        assert [report.farmer.id for report in await renter.farmers()] == [1, 2, 3, 4]
        await renter.deposit(TOKEN)
        assert (await renter.funds()).vault == TOKEN
        second = await renter.quote([tree], CODE)
        assert second.missing == max(0, second.cost - TOKEN)
        # An epoch may have begun since the quote: then it costs one less.
        placed = (await renter.put(second)).order
        assert placed.cost <= second.cost
        left = await renter.funds()
        announced = await renter.request_withdrawal(left.vault)
        assert announced is not None
        assert announced.amount == left.vault == TOKEN - placed.cost
        await town.devnet.mine_to_epoch(announced.ready_epoch)
        await renter.withdraw()
        assert await town.devnet.chain.vault(account) == 0
        assert (await renter.funds()).wallet == left.wallet + announced.amount
    other = set_up(tmp_path / "other machine", phrase=WORDS, network=town.config.network)
    async with Renter.open(other, policy=CALM) as renter:
        known = await renter.orders()
        assert [one.name for one in known] == ["tree", "tree"]
        assert known[1].order == stored.order
        await renter.get(known[1].order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_an_order_that_nobody_proved_is_paid_back_with_compensation(town: Town, tree: Path) -> None:
    """All of its price, an epoch's pay for each miss up to the lapse, and the whole collateral."""
    chain, rules = town.devnet.chain, town.devnet.chain.parameters
    async with Renter.open(town.config, policy=CALM) as renter:
        stored = await renter.put(await renter.quote([tree], CODE))
        with pytest.raises(OrderGoesOn):
            await renter.close(stored.order)
        await town.devnet.mine_to_epoch(stored.order.end)
        [known] = await renter.orders()
        assert known.awaits_closing(stored.order.end)
        closing = await renter.close(stored.order)
        assert await renter.close(stored.order) == closing
        [known] = await renter.orders()
        vault = (await renter.funds()).vault
    rates = sum(slot.rate for slot in stored.order.slots)
    assert closing.refund == stored.order.cost
    assert closing.compensation == rates * (rules.penalty * rules.max_misses + rules.collateral_epochs)
    assert vault == closing.returned
    assert known.closing == closing
    assert await chain.order(stored.order.id) is None


async def test_what_came_back_is_shown_no_matter_who_closed_the_order(town: Town, tree: Path) -> None:
    """A passer-by ends it; the money is the renter's, and all its commands say how much."""
    chain, stranger = town.devnet.chain, Wallet.random()
    async with Renter.open(town.config, policy=CALM) as renter:
        order = (await renter.put(await renter.quote([tree], CODE))).order
        before = (await renter.funds()).vault
    await town.devnet.mine_to_epoch(order.end)
    await town.devnet.faucet(stranger.address, native=10**18)
    filled = await chain.logs(0, (await chain.head()).number, ["SlotFilled"], {"order": order.id})
    receipt = await Sender(chain, stranger).send(calls.close(order.refilled(filled).held))
    returned = closing_from_event(receipt.event("OrderClosed"))
    home = town.config.home
    [closed] = json.loads((await grange("orders", "close", "tree", "--yes", "--json", home=home)).out)
    assert (int(closed["refund"]), int(closed["compensation"])) == (returned.refund, returned.compensation)
    [listed] = json.loads((await grange("orders", "ls", "--json", home=home)).out)
    assert (listed["closed"], int(listed["refund"])) == (True, returned.refund)
    assert " back" in (await grange("orders", "ls", home=home)).out
    assert "came back" in (await grange("orders", "stat", "tree", home=home)).out
    assert await chain.vault(town.config.identity.wallet.address) - before == returned.returned


async def test_an_order_that_another_command_placed_after_a_reorganisation_is_stored_and_paid_once(
    town: Town, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`put` waits for confirmations when its block is dropped; an `ls` of the same home is faster, and its
    transaction has the nonce. `put` ends well, with the other's block."""
    devnet, holds, may_go_on = town.devnet, asyncio.Event(), asyncio.Event()
    send_again = Sender._send_again_if_dropped
    monkeypatch.setattr("grange.chain.sender.BLOCK_TIMEOUT_SECONDS", 20)
    async with Renter.open(town.config, policy=CALM) as renter:
        assert isinstance(renter.market, RenterMarket)
        ours = renter.market.sender

        async def wait(sender: Sender, sent: Any) -> None:
            if sender is ours:
                holds.set()
                await may_go_on.wait()
            await send_again(sender, sent)

        monkeypatch.setattr(Sender, "_send_again_if_dropped", wait)
        quote = await renter.quote([tree], CODE)
        before = await devnet.snapshot()
        mined = asyncio.Event()

        def watch(event: ProgressEvent) -> None:
            if "on top of the order's" in str(event):
                mined.set()

        task = asyncio.create_task(renter.put(quote, watch, confirmations=2))
        await mined.wait()
        await devnet.revert(before)
        await devnet.mine(2)
        await holds.wait()
        async with Renter.open(town.config, policy=CALM) as other:
            [known] = await other.orders()
            assert "placed again" in other.notices()[0]
        may_go_on.set()
        while not task.done():
            await devnet.mine()
            await asyncio.sleep(0.05)
        stored = await task
        assert (stored.order, stored.receipt.block) == (known.order, known.order.block)
        assert stored.confirmations >= 2
        assert [one.order for one in await renter.orders()] == [stored.order]
        funds = await renter.funds()
        assert funds.vault + funds.wallet == 100 * TOKEN - stored.order.cost
        await renter.get(stored.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_health_follows_the_chain_from_live_to_late_to_vacant(town: Town, tree: Path) -> None:
    """These farmers never prove: after an epoch they are late, after MAX_MISSES of them they have lapsed."""
    rules = town.devnet.chain.parameters
    async with Renter.open(town.config, policy=CALM) as renter:
        order = (await renter.put(await renter.quote([tree], CODE))).order
        seen = []
        for epoch in (order.start, order.start + 1, order.start + rules.max_misses):
            await town.devnet.mine_to_epoch(epoch)
            seen.append(await renter.order_health(order))
    assert [one.count(SlotState.LIVE) for one in seen] == [4, 0, 0]
    assert [one.count(SlotState.LATE) for one in seen] == [0, 4, 0]
    assert [one.count(SlotState.VACANT) for one in seen] == [0, 0, 4]
    assert 0 < seen[0].loss < 1e-2
    assert 5 / 16 < seen[1].loss < 1 / 3
    assert seen[2].loss == 1.0
    home = town.config.home
    shown = await grange("orders", "health", home=home)
    assert shown.exit_code == 0, shown.err
    assert "100%" in shown.out
    assert "Fetch it now: grange orders get" in shown.err
    assert max(map(len, shown.out.splitlines())) <= 80
    [listed] = json.loads((await grange("orders", "health", "--json", home=home)).out)
    assert (listed["vacant"], listed["spares"], listed["loss"]) == (4, -2, 1.0)
    one = await grange("orders", "health", "tree", home=home)
    assert [line.split()[-1] for line in one.out.splitlines()[-4:]] == ["vacant"] * 4


async def test_epoch_that_turns_in_between(town: Town, tree: Path) -> None:
    """When an epoch begins during the upload the order costs less, and what was moved too much stays ours."""
    async with Renter.open(town.config, policy=CALM) as renter:
        quote = await renter.quote([tree], StoreOptions(k=2, n=4, until=16))
        await town.devnet.mine(10)
        stored = await renter.put(quote)
        funds = await renter.funds()
    assert stored.order.start == quote.start + 1
    assert stored.order.cost < quote.cost
    assert funds.vault + funds.wallet == 100 * TOKEN - stored.order.cost


async def test_nothing_is_sent_in_the_wrong_place(town: Town, tree: Path, tmp_path: Path) -> None:
    """Another chain id, an address without a market, or an empty wallet are found before anything is sent."""
    right = town.config.network
    nowhere = address_from(sha256(b"nowhere").digest()[:20])
    for error, change in ((WrongChain, {"chain_id": 5}), (MarketNotFound, {"market": nowhere})):
        network = right.model_copy(update=change)
        with pytest.raises(error):
            async with Renter.open(set_up(tmp_path / error.__name__, phrase=WORDS, network=network)):
                pass
    poor = set_up(tmp_path / "poor", phrase=POOR_WORDS, network=right)
    async with Renter.open(poor, policy=CALM) as renter:
        with pytest.raises(NotEnoughMoney, match="GRNG are missing"):
            await renter.quote([tree], CODE)


@dataclass(slots=True)
class Ended:
    """A command that ended."""

    exit_code: int
    out: str
    err: str


async def grange(*arguments: object, home: Path, stdin: str = "") -> Ended:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "grange_client"),
        *map(str, arguments),
        env={**os.environ, "GRANGE_HOME": str(home), "COLUMNS": "80"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def test_command_as_a_person_runs_it(town: Town, tree: Path, tmp_path: Path) -> None:
    """In a process of its own: init, balance, put, get, on a new computer by the recovery card alone, and an
    error with words and an exit code."""
    devnet_file, home = tmp_path / "devnet.json", tmp_path / "person"
    write_network(devnet_file, town.devnet.network)
    made = await grange("init", "--network", devnet_file, "--phrase", home=home, stdin=WORDS + "\n")
    assert made.exit_code == 0, made.err
    balance = await grange("balance", "--json", home=home)
    assert json.loads(balance.out)["wallet"] == str(100 * TOKEN)
    put = await grange("orders", "put", tree, "--yes", "--n", "4", "--epochs", "5", "--json", home=home)
    assert put.exit_code == 0, put.err
    assert json.loads(put.out)["files"] == 4
    got = await grange("orders", "get", "tree", tmp_path / "back", home=home)
    assert got.exit_code == 0, got.err
    assert listing(tmp_path / "back" / "tree") == listing(tree)
    card = await grange("keys", "card", home=home)
    drill = await grange("keys", "card", "--check", "-", home=home, stdin=card.out)
    assert (drill.exit_code, drill.err) == (0, "")
    config = home / "config.json"
    right = config.read_text()
    config.write_text(json.dumps(json.loads(right) | {"genesis_hash": "ab" * 32}))
    other_chain = await grange("keys", "card", "--check", "-", home=home, stdin=card.out)
    assert other_chain.exit_code == ExitCode.WRONG_CHAIN, "its endpoint shows another chain of this id"
    config.write_text(right)
    new = tmp_path / "new computer"
    by_card = await grange("init", "--card", "-", home=new, stdin=card.out)
    assert by_card.exit_code == 0, by_card.err
    again = await grange("orders", "get", "tree", tmp_path / "again", home=new)
    assert again.exit_code == 0, again.err
    assert listing(tmp_path / "again" / "tree") == listing(tree)
    missing = await grange("orders", "stat", "nothing", home=home)
    assert missing.exit_code == ExitCode.ORDER
    assert "There is no order called 'nothing'" in missing.err
    assert "Traceback" not in missing.err


async def test_what_was_learned_of_the_endpoint_is_kept(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many blocks it gives at once is found out once, also when two ask side by side."""
    whole, asked = Chain.logs_and_hashes, []

    async def grudging(chain: Chain, first: int, last: int, filters: Any, numbers: Any) -> Any:
        asked.append(last - first + 1)
        if asked[-1] > 2:
            raise RpcError("eth_getLogs", -32005, "too many blocks")
        return await whole(chain, first, last, filters, numbers)

    async def none(_: int) -> tuple[()]:
        return ()

    await town.devnet.mine(40)
    async with Renter.open(town.config) as renter:
        monkeypatch.setattr(Chain, "logs_and_hashes", grudging)
        head = (await renter.market.head()).number
        beginning = Cursor(start=head - 40)
        await renter.market.orders_since(beginning, none)
        assert max(asked) > 32
        asked.clear()
        both = (renter.market.orders_since(beginning, none) for _ in range(2))
        for steps in await asyncio.gather(*both):
            covered = [n for step in steps for n in range(step.from_block, step.to_block + 1)]
            assert covered == list(range(head - 40, head + 1))
        assert max(asked) <= 8

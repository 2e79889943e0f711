"""A farmer on chain is taken for our own only if owner and operator are ours, and money goes to no other."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from test_node_devnet import STAKE, funded, keep, plan_for, registered, running

from grange.chain import ChainReplaced, Event, Farmer, Sender, TransactionReverted, Wallet, calls
from grange.chain.registry import MAX_READ
from grange.token_unit import PLAIN_UNIT
from grange.types import NO_LIMIT, Address, Epoch, FarmerId, Offer, OperatorConsent
from grange.units import GIB, TOKEN
from grange_devnet import Devnet
from grange_node.chain import ownership
from grange_node.chain.ownership import find_ours
from grange_node.cli.registration import change, set_up, unstake, withdraw
from grange_node.cli.stake import covered_bytes, describe_coverage, stake_for
from grange_node.config import load_config, load_key, load_or_create_key, save_config
from grange_node.errors import FarmerForeign, Lapsed, NotFunded

pytestmark = pytest.mark.asyncio(loop_scope="module")

JUNK = Offer(price_per_gib_epoch=1, egress_price_per_gib=0, capacity_bytes=0, longest_term_epochs=1)
OWN, THIEF = Wallet(b"\x11" * 32).address, Wallet(b"\x66" * 32)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    async with Devnet.start() as running:
        yield running


async def squat(devnet: Devnet, operator: Wallet, owner: Address = THIEF.address) -> FarmerId:
    """Register a farmer that names a stranger's key as its operator, with one base unit at stake.

    The market demands the key's consent: here its holder was talked into it.
    """
    await funded(devnet, THIEF, TOKEN)
    sender = Sender(devnet.chain, THIEF)
    await sender.send(calls.approve(devnet.market, 1))
    consent = await devnet.chain.operator_consent(operator, owner=owner)
    receipt = await sender.send(
        calls.register(
            owner=owner, operator=operator.address, endpoint="", offer=JUNK, stake=1, consent=consent
        )
    )
    return FarmerId(receipt.event("FarmerRegistered").args["farmer"])


async def stake_of(devnet: Devnet, farmer: FarmerId) -> int:
    return (await devnet.chain.farmer(farmer)).stake


async def test_nobody_registers_a_farmer_with_our_key_as_its_operator_without_our_consent(
    devnet: Devnet,
) -> None:
    await funded(devnet, THIEF, TOKEN)
    sender = Sender(devnet.chain, THIEF)
    await sender.send(calls.approve(devnet.market, 1))
    own = await devnet.chain.operator_consent(THIEF, owner=THIEF.address)
    for consent, refusal in [(OperatorConsent(), "ConsentExpired"), (own, "ConsentForged")]:
        with pytest.raises(TransactionReverted) as caught:
            await sender.send(
                calls.register(
                    owner=THIEF.address, operator=OWN, endpoint="", offer=JUNK, stake=1, consent=consent
                )
            )
        assert caught.value.name == refusal


async def test_who_registers_our_operator_first_gets_none_of_our_stake(
    devnet: Devnet, tmp_path: Path
) -> None:
    """The audit's case again: the victim's first call asks for money, the thief registers, then the
    second."""
    home = tmp_path / "home"
    with pytest.raises(NotFunded):
        await set_up(home, plan_for(devnet, tmp_path))
    victim = await funded(devnet, load_key(home))
    squatted = await squat(devnet, victim)

    done = await set_up(home, plan_for(devnet, tmp_path))
    assert done.registered_now
    assert done.config.farmer_id != squatted
    ours = await devnet.chain.farmer(done.config.farmer)
    assert (ours.owner, ours.operator, ours.stake) == (victim.address, victim.address, STAKE)
    assert await stake_of(devnet, squatted) == 1
    # Run again, with farm.json and without: it is found again, and no second one is registered.
    count = await devnet.chain.farmer_count()
    (home / "farm.json").unlink()
    for _ in range(2):
        again = await set_up(home, plan_for(devnet, tmp_path))
        assert (again.registered_now, again.config.farmer) == (False, done.config.farmer)
    assert await devnet.chain.farmer_count() == count


async def test_a_named_owner_is_not_kept_from_the_market_by_a_squatter(
    devnet: Devnet, tmp_path: Path
) -> None:
    home, owner = tmp_path / "home", Wallet.random().address
    victim = await funded(devnet, load_or_create_key(home))
    await squat(devnet, victim)
    await squat(devnet, victim, owner=victim.address)
    done = await set_up(home, plan_for(devnet, tmp_path, owner=owner))
    ours = await devnet.chain.farmer(done.config.farmer)
    assert (done.registered_now, ours.owner, ours.stake) == (True, owner, STAKE)


async def test_a_home_that_a_squatter_got_into_before_gets_no_more_stake(
    devnet: Devnet, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    config = await registered(devnet, tmp_path)
    squatted = await squat(devnet, load_key(home))
    save_config(home, config.model_copy(update={"farmer_id": squatted, "owner": THIEF.address}))
    with pytest.raises(FarmerForeign, match="belongs to"):
        await set_up(home, plan_for(devnet, tmp_path, stake=2 * STAKE))
    squatted_config = load_config(home)
    with pytest.raises(FarmerForeign, match="--owner"):
        await change(home, squatted_config, load_key(home), squatted_config, add_stake=TOKEN)
    assert await stake_of(devnet, squatted) == 1


async def test_stake_is_added_for_an_owner_elsewhere_if_it_is_named(devnet: Devnet, tmp_path: Path) -> None:
    home, owner = tmp_path / "home", Wallet.random().address
    await funded(devnet, load_or_create_key(home))
    config = (await set_up(home, plan_for(devnet, tmp_path, owner=owner))).config
    with pytest.raises(FarmerForeign, match=owner):
        await change(home, config, load_key(home), config, add_stake=1)
    await change(home, config, load_key(home), config, add_stake=1, owner=owner)
    assert await stake_of(devnet, config.farmer) == STAKE + 1


@pytest.mark.parametrize("add_stake", [0, TOKEN])
async def test_update_sends_nothing_to_a_farmer_of_somebody_else(
    devnet: Devnet, tmp_path: Path, add_stake: int
) -> None:
    """As on a devnet that was started again, where our number went to another."""
    config = await registered(devnet, tmp_path)
    wallet = load_key(tmp_path / "home")
    foreign = await squat(devnet, Wallet.random())
    moved = config.model_copy(update={"farmer_id": foreign})
    with pytest.raises(FarmerForeign, match="belongs to"):
        await change(tmp_path / "home", moved, wallet, moved, add_stake=add_stake)
    gone = config.model_copy(update={"farmer_id": 10_000})
    with pytest.raises(FarmerForeign, match="has no farmer 10000"):
        await change(tmp_path / "home", gone, wallet, gone, add_stake=add_stake)
    assert await stake_of(devnet, foreign) == 1


async def test_a_devnet_that_was_started_again_is_noticed_by_the_home_of_yesterday(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = await registered(devnet, tmp_path)
    home = tmp_path / "home"
    genesis = await devnet.chain.genesis_hash()
    assert genesis is not None
    assert config.genesis_hash == genesis.hex()
    yesterday = config.model_copy(update={"genesis_hash": "00" * 32})
    save_config(home, yesterday)
    with pytest.raises(ChainReplaced, match="started again"):
        await set_up(home, plan_for(devnet, tmp_path))
    with pytest.raises(ChainReplaced):
        await change(home, yesterday, load_key(home), yesterday, add_stake=TOKEN)
    with pytest.raises(ChainReplaced):
        await withdraw(yesterday, load_key(home), None, None)
    assert load_config(home) == yesterday


async def test_a_farm_does_not_run_on_another_chain_or_for_another_owner(
    devnet: Devnet, tmp_path: Path
) -> None:
    """What can be wrong while chain id and market are right, as on a devnet that was started again."""
    config = await registered(devnet, tmp_path)
    home = tmp_path / "home"
    for changes, code, said in (
        ({"genesis_hash": "00" * 32}, 11, "started again"),
        ({"owner": THIEF.address}, 3, "this home says that it belongs to"),
    ):
        save_config(home, config.model_copy(update=changes))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "grange_node", "run", "--home", home), stderr=asyncio.subprocess.PIPE
        )
        _, errors = await asyncio.wait_for(process.communicate(), 60)
        assert (process.returncode, said in errors.decode()) == (code, True), errors.decode()
        assert "Traceback" not in errors.decode()


async def test_a_farm_that_lapsed_is_told_so_and_asked_for_nothing(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    home = tmp_path / "home"
    wallet = load_key(home)
    async with running(devnet, tmp_path, config) as farm:
        await keep(devnet, farm)
    first = await devnet.chain.current_epoch() + 1
    lapsed_from = first + devnet.chain.parameters.max_misses
    await devnet.mine_to_epoch(lapsed_from, offset_blocks=1)
    said: list[str] = []
    # It holds less than the plan's stake: before, this was answered by asking for the rest.
    with pytest.raises(Lapsed, match=f"epoch {lapsed_from}, about 20.*--home NEW"):
        await set_up(home, plan_for(devnet, tmp_path, stake=10_000 * TOKEN), said.append)
    with pytest.raises(Lapsed, match="no more tokens"):
        await change(home, config, wallet, config, add_stake=TOKEN)
    with pytest.raises(Lapsed):
        await unstake(config, wallet, None)
    assert said == []
    # The way out that it names: another home. The same key does as well; the lapsed farmer is passed over.
    (home / "farm.json").unlink()
    await funded(devnet, wallet)
    begun = await set_up(home, plan_for(devnet, tmp_path / "new"))
    assert begun.registered_now
    assert begun.config.farmer_id != config.farmer_id


async def test_an_empty_account_is_asked_for_tokens_and_gas_tokens_at_once_after_it_heard_what_they_cover(
    devnet: Devnet, tmp_path: Path
) -> None:
    said: list[str] = []
    plan = plan_for(devnet, tmp_path, capacity_bytes=100 * 10**9)
    with pytest.raises(NotFunded) as caught:
        await set_up(tmp_path / "home", plan, said.append)
    message, operator = str(caught.value), load_key(tmp_path / "home").address
    assert operator in message
    assert "100 GRNG more" in message
    assert "gas tokens, which pay the chain's fees" in message
    assert [line for line in said if "Back up" in line and "operator.key" in line]
    assert "A stake of 100 GRNG covers 6.71 GB (6.25 GiB) of the 100 GB on offer" in said[-1]

    await devnet.faucet(operator, native=0, tokens=STAKE)
    with pytest.raises(NotFunded, match="gas tokens") as caught:
        await set_up(tmp_path / "home", plan)
    assert "GRNG more" not in str(caught.value)
    await devnet.faucet(operator)
    assert (await set_up(tmp_path / "home", plan)).registered_now


@pytest.mark.parametrize("most_read", [MAX_READ, 1])
async def test_a_registration_in_flight_is_taken_up_by_its_owner_too(
    devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_read: int
) -> None:
    """Killed between the registration and farm.json, with a squatter before it in the list. In a market of
    which all are read, and in one that is too large for that."""
    monkeypatch.setattr(ownership, "MAX_READ", most_read)
    home = tmp_path / "home"
    wallet = await funded(devnet, load_or_create_key(home))
    await squat(devnet, wallet)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("grange_node.cli.registration.save_config", killed)
        with pytest.raises(KeyboardInterrupt):
            await set_up(home, plan_for(devnet, tmp_path))
    assert json.loads((home / "registering.json").read_text())["start_block"] > 0
    count = await devnet.chain.farmer_count()
    done = await set_up(home, plan_for(devnet, tmp_path))
    assert (done.registered_now, await devnet.chain.farmer_count()) == (False, count)
    assert await stake_of(devnet, done.config.farmer) == STAKE


def farmer(number: int, owner: Address, operator: Address, *, lapsed: bool = False) -> Farmer:
    return Farmer(
        id=FarmerId(number),
        owner=owner,
        operator=operator,
        stake=1,
        committed_rate=0,
        settled_epoch=Epoch(0),
        misses=0,
        strikes=0,
        epochs_proven=0,
        registered_block=0,
        ceiling=NO_LIMIT,
        loss_limit=NO_LIMIT,
        lapsed=lapsed,
        endpoint="",
        offer=JUNK,
    )


async def test_only_owner_and_operator_together_make_a_farmer_ours() -> None:
    stranger = THIEF.address
    others = [farmer(1, stranger, OWN), farmer(2, OWN, stranger), farmer(3, OWN, OWN, lapsed=True)]
    assert find_ours(others, {OWN}, OWN) is None
    ours = farmer(4, OWN, OWN)
    assert find_ours([*others, ours, farmer(5, OWN, OWN)], {OWN}, OWN) is ours


class LargeMarket:
    """50,000 farmers, whose reads are counted; the ids in `ours` are as given, `junk` names our owner."""

    COUNT = 50_000

    def __init__(self, *ours: Farmer, registered_by: Address = OWN, junk: range = range(0)) -> None:
        self.ours = {one.id: one for one in ours}
        self.registered_by, self.junk = registered_by, junk
        self.read = 0
        self.asked: list[int] = []

    def shown(self, number: int) -> Farmer:
        owner = OWN if number in self.junk else THIEF.address
        return self.ours.get(FarmerId(number), farmer(number, owner, THIEF.address))

    async def farmers_unless_more(self, limit: int) -> tuple[list[Farmer], int]:
        assert limit < self.COUNT
        self.read += 100
        return [], self.COUNT

    async def farmer(self, number: FarmerId) -> Farmer:
        self.read += 1
        return replace(self.shown(number), registered_block=7)

    async def farmers_by_id(self, farmers: Sequence[FarmerId]) -> list[Farmer]:
        self.read += len(farmers)
        return [self.shown(number) for number in farmers]

    async def logs(
        self, first: int, last: int | None, events: Sequence[str], args: Mapping[str, Sequence[Address]]
    ) -> list[Event]:
        self.asked.append(first)
        assert (last, events, args.keys()) == (None, ["FarmerRegistered"], {"owner"})
        named = sorted({*self.junk, *self.ours})
        return [
            Event(
                name="FarmerRegistered",
                args={
                    "farmer": number,
                    "owner": self.shown(number).owner,
                    "operator": self.registered_by if number in self.ours else THIEF.address,
                },
                block=7 + number,
                block_hash=bytes(32),
                tx_hash=bytes(32),
                log_index=0,
            )
            for number in named
            if self.shown(number).owner in args["owner"]
        ]


async def found_in(market: LargeMarket, *, since_block: int | None = None) -> Farmer | None:
    chain: Any = market
    found = await ownership.find_farmer(chain, {OWN}, OWN, since_block=since_block)
    assert market.read <= MAX_READ + 101
    return found


async def test_of_a_large_market_few_farmers_are_read_to_find_ours() -> None:
    """By events, from the block that an earlier try noted, else from the market's first farmer on."""
    ours = farmer(40_000, OWN, OWN)
    market = LargeMarket(ours)
    assert await found_in(market) == ours
    assert market.read < 200
    assert await found_in(market, since_block=30_000) == ours
    assert market.asked == [7, 30_000]
    assert await found_in(LargeMarket()) is None
    assert await found_in(LargeMarket(farmer(2, OWN, OWN, lapsed=True), farmer(3, OWN, OWN))) is not None


async def test_of_a_large_market_a_farmer_with_a_key_that_was_rotated_is_found() -> None:
    ours = farmer(40_000, OWN, OWN)
    assert await found_in(LargeMarket(ours, registered_by=THIEF.address)) == ours


async def test_names_that_bear_our_owner_do_not_hide_our_farmer() -> None:
    ours = farmer(40_000, OWN, OWN)
    assert await found_in(LargeMarket(ours, junk=range(10, 20_000))) == ours


async def test_the_room_that_a_stake_covers_is_the_one_that_the_contract_allows() -> None:
    assert covered_bytes(500 * TOKEN, TOKEN, 16) == 500 * GIB // 16
    assert covered_bytes(500 * TOKEN, 0, 16) is None
    assert stake_for(500 * GIB // 16, TOKEN, 16) == 500 * TOKEN
    offer = replace(JUNK, price_per_gib_epoch=TOKEN, capacity_bytes=100 * 10**9)
    partly = describe_coverage(500 * TOKEN, offer, 16, PLAIN_UNIT)
    assert "33.6 GB (31.2 GiB) of the 100 GB" in partly
    assert "1490.116" in partly
    assert "covers all of the 100 GB" in describe_coverage(1500 * TOKEN, offer, 16, PLAIN_UNIT)
    assert "covers all" in describe_coverage(1, replace(offer, price_per_gib_epoch=0), 16, PLAIN_UNIT)

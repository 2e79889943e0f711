"""The node on a real chain: the contract itself judges acceptances and proofs."""

import asyncio
import io
import json
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from node_support import Asker, Clock, Parcel, parcel
from rich.console import Console

from grange.chain import Chain, Cursor, RpcError, Sender, TransactionReverted, Wallet, calls
from grange.cli.exit_codes import ExitCode
from grange.transfer.order_slots import checked
from grange.types import Acceptance, Address, Epoch, FarmerId, Offer, Terms
from grange.units import GIB, LEAF_BYTES, TOKEN
from grange.wire import paths
from grange.wire.bodies import ShownOrder, parse_answer
from grange_devnet import Devnet
from grange_node.api.app import create_app
from grange_node.audit.prover import Action
from grange_node.cli.registration import FarmPlan, change, set_up, unstake, withdraw
from grange_node.cli.status import Status, read_status
from grange_node.cli.status_screen import status_table
from grange_node.config import Config, load_address, load_key, load_or_create_key, save_config
from grange_node.errors import ConfigInvalid, DataMissing, NotFunded, NotOwner
from grange_node.node import Node
from grange_node.pieces.slot_folder import slot_path

STAKE = 100 * TOKEN
SECONDS = 60
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    """py-evm, a block for each transaction and when told to."""
    async with Devnet.start() as running:
        yield running


def plan_for(devnet: Devnet, folder: Path, **changes: Any) -> FarmPlan:
    fields: dict[str, Any] = {
        "network": devnet.network,
        "owner": None,
        "endpoint": "http://127.0.0.1:0",
        "data_folder": folder / "data",
        "stake": STAKE,
        "price_per_gib_epoch": TOKEN,
        "egress_price_per_gib": 0,
        "capacity_bytes": 16 << 20,
        "longest_term_epochs": None,
        "reserve_bytes": 0,
    }
    return FarmPlan(**(fields | changes))


async def funded(devnet: Devnet, wallet: Wallet, tokens: int = 1000 * TOKEN) -> Wallet:
    await devnet.faucet(wallet.address, tokens=tokens)
    return wallet


async def registered(devnet: Devnet, folder: Path, **changes: Any) -> Config:
    await funded(devnet, load_or_create_key(folder / "home"))
    return (await set_up(folder / "home", plan_for(devnet, folder, **changes))).config


@dataclass(kw_only=True)
class LiveFarm(Asker):
    """A node in this process that sees the devnet; its loops stand still."""

    devnet: Devnet
    node: Node
    config: Config

    def sign(self, *args: Any, **fields: Any) -> dict[str, str]:
        domain = self.config.domain
        identity = {"farmer": self.config.farmer_id, "chain_id": domain.chain_id, "market": domain.market}
        return super().sign(*args, **(identity | fields))

    async def place(self, slot: Parcel, acceptance: dict[str, Any]) -> None:
        chain = self.devnet.chain
        terms = Terms(
            salt=slot.salt,
            end=Epoch(slot.end),
            leaf_count=acceptance["leaf_count"],
            piece_leaves=len(slot.pieces[0]) // LEAF_BYTES,
            k=1,
        )
        acceptance = Acceptance(
            farmer=FarmerId(acceptance["farmer"]),
            root=bytes.fromhex(acceptance["root"]),
            rate=acceptance["rate"],
            max_egress_price_per_gib=acceptance["max_egress_price_per_gib"],
            deadline_block=acceptance["deadline_block"],
            r=bytes.fromhex(acceptance["r"]),
            vs=bytes.fromhex(acceptance["vs"]),
        )
        permit = await chain.permit(slot.renter, 10 * TOKEN)
        await Sender(chain, slot.renter).send(calls.place(terms, [acceptance], permit))

    async def step(self) -> Action:
        return await self.node.prover.step(await self.node.follower.refresh())


@asynccontextmanager
async def running(devnet: Devnet, folder: Path, config: Config) -> AsyncIterator[LiveFarm]:
    clock = Clock(time.time())
    app = create_app(config, load_key(folder / "home"), loops=False, clock=clock)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://farm")
        )
        yield LiveFarm(devnet=devnet, node=app.state.node, config=config, clock=clock, http=http)


async def renters_slot(devnet: Devnet, farm: LiveFarm, number: int = 0) -> Parcel:
    """A slot of a new renter with one slot index, that ends two dates from now."""
    renter = await funded(devnet, Wallet.random())
    grid = devnet.chain.parameters.grid_epochs
    end = ((await devnet.chain.current_epoch()) // grid + 2) * grid
    return parcel(3, renter=renter, seed=number, slot=0, end=end)


async def keep(devnet: Devnet, farm: LiveFarm, number: int = 0) -> Parcel:
    slot = await renters_slot(devnet, farm, number)
    await farm.upload(slot)
    response = await farm.accept(slot)
    assert response.status_code == 200, response.text
    await farm.place(slot, response.json())
    return slot


async def next_epoch(devnet: Devnet) -> Epoch:
    epoch = await devnet.chain.current_epoch() + 1
    await devnet.mine_to_epoch(epoch, offset_blocks=1)
    return Epoch(epoch)


async def test_a_farm_is_registered_funded_and_found_again(devnet: Devnet, tmp_path: Path) -> None:
    home = tmp_path / "home"
    plan = plan_for(devnet, tmp_path)
    with pytest.raises(NotFunded, match="100 GRNG more"):
        await set_up(home, plan)
    await funded(devnet, load_key(home), 150 * TOKEN)
    first = await set_up(home, plan)
    assert first.registered_now
    farmer = await devnet.chain.farmer(first.config.farmer)
    assert (farmer.operator, farmer.owner, farmer.stake) == (first.operator, first.operator, STAKE)

    again = await set_up(home, plan)
    assert not again.registered_now
    assert again.config == first.config

    (home / "farm.json").unlink()
    found = await set_up(home, plan)
    assert (found.registered_now, found.config.farmer) == (False, first.config.farmer)

    more = await set_up(home, plan_for(devnet, tmp_path, stake=STAKE + TOKEN, price_per_gib_epoch=5))
    farmer = await devnet.chain.farmer(more.config.farmer)
    assert (farmer.stake, farmer.offer.price_per_gib_epoch) == (STAKE + TOKEN, 5)


async def test_two_inits_at_once_register_one_farmer(devnet: Devnet, tmp_path: Path) -> None:
    """The second waits, says so, and finds what the first did; the stake is paid once."""
    home, said = tmp_path / "home", list[str]()
    wallet = load_or_create_key(home)
    await funded(devnet, wallet, 3 * STAKE)
    count = await devnet.chain.farmer_count()
    done = await asyncio.gather(*(set_up(home, plan_for(devnet, tmp_path), said.append) for _ in range(2)))
    assert sorted(one.registered_now for one in done) == [False, True]
    assert len({one.config.farmer for one in done}) == 1
    assert await devnet.chain.farmer_count() == count + 1
    assert await devnet.chain.token_balance(wallet.address) == 2 * STAKE
    assert "Another `farm init` is running; waiting for it." in said


async def test_a_registration_that_was_cut_off_is_taken_up_again(
    devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    await funded(devnet, load_or_create_key(home))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    before = (await devnet.chain.head()).number
    with monkeypatch.context() as patch:
        patch.setattr("grange_node.cli.registration.save_config", killed)
        with pytest.raises(KeyboardInterrupt):
            await set_up(home, plan_for(devnet, tmp_path))
    count = await devnet.chain.farmer_count()
    done = await set_up(home, plan_for(devnet, tmp_path))
    assert (done.registered_now, await devnet.chain.farmer_count()) == (False, count)
    assert done.config.start_block == before


async def test_a_slot_that_nobody_can_rebuild_is_declared_lost_on_the_contract(
    devnet: Devnet, tmp_path: Path
) -> None:
    """The other slot of the farm is proven on, though the audit still draws positions of the lost one."""
    config = await registered(devnet, tmp_path)
    async with running(devnet, tmp_path, config) as farm:
        await next_epoch(devnet)
        lost, kept = await keep(devnet, farm, 31), await keep(devnet, farm, 32)
        await next_epoch(devnet)
        assert await farm.step() is Action.PROVE
        for path in (config.data_folder / "slots" / slot_path(lost.key)).iterdir():
            path.write_bytes(b"")
        assert await farm.node.self_repairer.tick() is None
        for piece in range(len(lost.pieces)):
            await farm.node.self_repairer.found(lost.key, piece)
        epoch = await next_epoch(devnet)
        await farm.node.follower.refresh()
        await farm.node.self_repairer.tick()
        # Others may be away for a moment: it is tried once more, half an epoch later.
        assert await devnet.chain.loss(lost.order, lost.slot, Epoch(epoch - 1)) is None
        await devnet.mine(devnet.chain.parameters.epoch_blocks // 2)
        await farm.node.follower.refresh()
        await farm.node.self_repairer.tick()
        loss = await devnet.chain.loss(lost.order, lost.slot, Epoch(epoch - 1))
        assert loss is not None
        assert (loss.farmer, loss.lost_epoch) == (config.farmer, epoch)
        for _ in range(3):
            await next_epoch(devnet)
            assert await farm.step() is Action.PROVE
        assert farm.node.ledger.rate_at_start(Epoch(epoch + 1)) == kept.rate
        assert (await read_status(config, load_address(tmp_path / "home"))).slots_lost == 1


async def test_a_home_is_of_one_market(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    other = config.model_copy(update={"chain_id": config.chain_id + 1})
    save_config(tmp_path / "home", other)
    with pytest.raises(ConfigInvalid, match="another --home"):
        await set_up(tmp_path / "home", plan_for(devnet, tmp_path))


async def test_a_slot_is_kept_proven_paid_and_paid_out(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    wallet = load_key(tmp_path / "home")
    async with running(devnet, tmp_path, config) as farm:
        await next_epoch(devnet)
        slot = await keep(devnet, farm)
        assert await farm.step() is Action.NOTHING_TO_PROVE
        for _ in range(2):
            await next_epoch(devnet)
            assert await farm.step() is Action.PROVE
            assert await farm.step() is Action.SETTLED
        assert await devnet.chain.earnings(wallet.address) == 2 * slot.rate
        assert (await farm.get(slot)).content == slot.data
        status = await read_status(config, wallet.address)
        assert (status.slots_placed, status.proven_epochs, status.earned) == (1, 2, 2 * slot.rate)
        assert (status.unclaimed, status.misses, status.chain_error) == (2 * slot.rate, 0, None)
    tokens = await devnet.chain.token_balance(wallet.address)
    assert (await withdraw(config, wallet, None, None))[0] == 2 * slot.rate
    assert await devnet.chain.token_balance(wallet.address) == tokens + 2 * slot.rate
    with pytest.raises(NotFunded, match="Nothing was earned"):
        await withdraw(config, wallet, None, None)
    with pytest.raises(NotOwner, match="--owner-key"):
        await withdraw(config, Wallet.random(), None, None)


async def test_stake_that_answers_for_nothing_can_be_taken_back(devnet: Devnet, tmp_path: Path) -> None:
    """It goes where earnings go; what answers for a slot stays until the slot's end."""
    config = await registered(devnet, tmp_path)
    wallet = load_key(tmp_path / "home")
    async with running(devnet, tmp_path, config) as farm:
        slot = await keep(devnet, farm)
    needed = devnet.chain.parameters.collateral_epochs * slot.rate
    assert (await unstake(config, wallet, None))[0] == STAKE - needed
    assert (await devnet.chain.farmer(config.farmer)).stake == needed
    for asked in (None, 1):
        with pytest.raises(NotFunded, match=r"0 GRNG of the .* can be freed"):
            await unstake(config, wallet, asked)
    with pytest.raises(NotOwner, match="--owner-key"):
        await unstake(config, Wallet.random(), None)
    assert (await withdraw(config, wallet, None, None))[0] == STAKE - needed


async def test_status_says_how_near_a_farm_is_to_lapsing_and_when_it_has(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = await registered(devnet, tmp_path)
    wallet = load_key(tmp_path / "home")
    async with running(devnet, tmp_path, config) as farm:
        await keep(devnet, farm)
        first = await next_epoch(devnet)
        most = devnet.chain.parameters.max_misses
        await devnet.mine_to_epoch(first + most - 1)
        status = await read_status(config, wallet.address)
        assert (status.strikes, status.max_misses, status.lapsed_from_epoch) == (most - 1, most, None)
        assert "3 of the 4 strikes" in shown(status)
        await devnet.mine_to_epoch(first + most, offset_blocks=2)
        status = await read_status(config, wallet.address)
        assert status.lapsed_from_epoch == first + most
        assert "lapsed" in shown(status)
        gas_money = await devnet.chain.native_balance(wallet.address)
        assert await farm.step() is Action.LAPSED
        assert await devnet.chain.native_balance(wallet.address) == gas_money


def shown(status: Status) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(status_table(status))
    return console.export_text()


async def test_deleted_data_is_a_miss_without_gas_and_without_pay(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    wallet = load_key(tmp_path / "home")
    async with running(devnet, tmp_path, config) as farm:
        slot = await keep(devnet, farm)
        await farm.node.follower.refresh()
        hidden = tmp_path / "hidden"
        shutil.move(config.data_folder / "slots", hidden)
        gas_money = await devnet.chain.native_balance(wallet.address)
        missed = await next_epoch(devnet)
        with pytest.raises(DataMissing):
            await farm.step()
        assert await devnet.chain.native_balance(wallet.address) == gas_money
        await next_epoch(devnet)
        shutil.copytree(hidden, config.data_folder / "slots", dirs_exist_ok=True)
        assert await farm.step() is Action.PROVE
        await farm.node.follower.refresh()
        assert await devnet.chain.missed(config.farmer, missed)
        assert await devnet.chain.earnings(wallet.address) == slot.rate
        earnings = farm.node.ledger.earnings()
        assert (earnings.missed_epochs, earnings.proven_epochs) == (1, 1)


async def test_a_book_that_grew_between_building_and_sending(devnet: Devnet, tmp_path: Path) -> None:
    """The simulation on the endpoint refuses the stale proof; the second one is paid, in the same epoch."""
    config = await registered(devnet, tmp_path)
    async with running(devnet, tmp_path, config) as farm:
        # Both slots in one epoch: then they end on the same date, and are of one book.
        await next_epoch(devnet)
        await keep(devnet, farm)
        late = await renters_slot(devnet, farm, 2)
        await farm.upload(late)
        acceptance = (await farm.accept(late)).json()
        epoch = await next_epoch(devnet)
        view = await farm.node.follower.refresh()

        real = farm.node.market.prove
        tries = []

        async def meanwhile(*args: Any) -> Any:
            if not tries:
                await farm.place(late, acceptance)
            tries.append(args)
            return await real(*args)

        farm.node.market.prove = meanwhile  # type: ignore[method-assign]
        assert await farm.node.prover.step(view) is Action.PROVE
        assert await devnet.chain.current_epoch() == epoch
        assert (await devnet.chain.farmer(config.farmer)).settled_epoch == epoch
        assert len(tries) == 2


async def test_a_restart_in_the_middle_of_an_epoch(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    async with running(devnet, tmp_path, config) as farm:
        slot = await keep(devnet, farm)
    await next_epoch(devnet)
    async with running(devnet, tmp_path, config) as farm:
        assert await farm.step() is Action.PROVE
    async with running(devnet, tmp_path, config) as farm:
        assert await farm.step() is Action.SETTLED
        assert farm.node.ledger.earnings().earned == slot.rate


async def test_a_reorg_on_the_chain_itself(devnet: Devnet, tmp_path: Path) -> None:
    """A placement and a proof vanish; the node notices, and both are made again."""
    config = await registered(devnet, tmp_path)
    async with running(devnet, tmp_path, config) as farm:
        slot = await renters_slot(devnet, farm)
        await farm.upload(slot)
        acceptance = (await farm.accept(slot)).json()
        before = await devnet.snapshot()
        await farm.place(slot, acceptance)
        await next_epoch(devnet)
        assert await farm.step() is Action.PROVE
        await farm.node.follower.refresh()
        await devnet.revert(before)
        await devnet.mine(2)
        await farm.node.follower.refresh()
        assert farm.node.ledger.earnings().proven_epochs == 0
        await farm.place(slot, acceptance)
        await next_epoch(devnet)
        assert await farm.step() is Action.PROVE


async def test_the_contract_takes_no_more_than_the_node_would_accept(devnet: Devnet, tmp_path: Path) -> None:
    """Stake: the node refuses exactly where the contract would."""
    rate = TOKEN // devnet.chain.parameters.collateral_epochs
    price = rate * GIB // len(parcel().data)
    config = await registered(devnet, tmp_path, stake=TOKEN, price_per_gib_epoch=price)
    async with running(devnet, tmp_path, config) as farm:
        slot = await renters_slot(devnet, farm)
        slot.rate = rate
        await devnet.faucet(slot.renter.address, tokens=10**6 * TOKEN)
        await farm.upload(slot)
        assert (await farm.accept(slot, rate=slot.rate + 1)).status_code == 409
        acceptance = (await farm.accept(slot)).json()
        permit = await devnet.chain.permit(slot.renter, 10**6 * TOKEN)
        await Sender(devnet.chain, slot.renter).send(calls.deposit_with_permit(permit))
        await farm.place(slot, acceptance)
        second = await renters_slot(devnet, farm, 1)
        second.rate = rate
        await farm.upload(second)
        assert (await farm.accept(second)).json()["error"] == "stake_too_small"


async def test_what_was_learned_of_the_endpoint_is_kept(
    devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many blocks it gives at once is found out in the first reading and not in each."""
    whole = Chain.logs_and_hashes
    asked: list[int] = []
    is_grudging = False

    async def grudging(chain: Chain, first: int, last: int, *others: Any) -> Any:
        asked.append(last - first + 1)
        if is_grudging and asked[-1] > 2:
            raise RpcError("eth_getLogs", -32005, "too many blocks")
        return await whole(chain, first, last, *others)

    config = await registered(devnet, tmp_path)
    await devnet.mine(40)
    monkeypatch.setattr(Chain, "logs_and_hashes", grudging)
    async with running(devnet, tmp_path, config) as farm:
        is_grudging = True
        asked.clear()
        head = (await farm.node.market.head()).number
        beginning = Cursor(start=head - 40)
        await farm.node.market.follow(beginning)
        assert max(asked) > 32
        asked.clear()
        steps = await farm.node.market.follow(beginning)
        covered = [n for step in steps for n in range(step.from_block, step.to_block + 1)]
        assert covered == list(range(head - 40, head + 1))
        assert max(asked) <= 8


async def test_changes_are_announced(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    wallet = load_key(tmp_path / "home")
    offer = config.offer_terms.model_copy(update={"price_per_gib_epoch": 3})
    changed = config.model_copy(update={"endpoint": "http://farm.example:80", "offer_terms": offer})
    await change(tmp_path / "home", config, wallet, changed, add_stake=TOKEN)
    farmer = await devnet.chain.farmer(config.farmer)
    assert (farmer.endpoint, farmer.stake) == ("http://farm.example:80", STAKE + TOKEN)
    assert farmer.offer == Offer(**offer.model_dump())


async def test_what_init_does_not_ask_for_is_kept_when_it_is_repeated(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    kept = {"redeem_at": 7, "unplaced_bytes_per_renter": 8, "unplaced_percent": 9}
    save_config(tmp_path / "home", config.model_copy(update=kept))
    again = await set_up(tmp_path / "home", plan_for(devnet, tmp_path, price_per_gib_epoch=5))
    assert again.config.model_dump(include=set(kept)) == kept
    assert again.config.offer.price_per_gib_epoch == 5


async def test_an_owner_cannot_be_changed_by_repeating_init(devnet: Devnet, tmp_path: Path) -> None:
    await registered(devnet, tmp_path)
    with pytest.raises(ConfigInvalid, match="owner"):
        await set_up(tmp_path / "home", plan_for(devnet, tmp_path, owner=Address("0x" + "11" * 20)))


async def test_a_process_registers_announces_serves_proves_and_stops(devnet: Devnet, tmp_path: Path) -> None:
    """The commands as a person runs them, port 0, loops and all."""
    home, ready = tmp_path / "home", tmp_path / "ready"

    async def farm(*arguments: object) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "grange_node", *map(str, arguments)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        return process.returncode, output.decode()

    init = (
        *("init", "--home", home, "--rpc", devnet.rpc_url, "--market", devnet.market, "--stake", 100),
        *("--first-block", devnet.network.first_block),
        *(
            "--price",
            1,
            "--capacity",
            "10MB",
            "--endpoint",
            "http://127.0.0.1:0",
            "--data",
            tmp_path / "data",
        ),
    )
    code, output = await farm(*init)
    assert code == ExitCode.MONEY
    assert "Send it 100 GRNG more" in output
    await funded(devnet, load_key(home))
    code, output = await farm(*init)
    assert (code, "Registered as farmer" in output) == (0, True)

    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "grange_node",
                "run",
                "--home",
                home,
                "--announce",
                "--ready-file",
                ready,
            ),
            stderr=stream,
        )
    try:

        async def is_ready() -> bool:
            return ready.exists()

        await until(is_ready)
        state = json.loads(ready.read_text())
        chain: Chain = devnet.chain
        assert (await chain.farmer(state["farmer"])).endpoint == state["endpoint"]
        async with httpx.AsyncClient(base_url=state["endpoint"]) as http:
            config = Config.model_validate_json((home / "farm.json").read_text())
            asker = LiveFarm(
                devnet=devnet,
                node=None,
                config=config,
                clock=Clock(time.time()),
                http=http,  # type: ignore[arg-type]
            )
            await keep(devnet, asker)
        epoch = await next_epoch(devnet)

        async def proven() -> bool:
            return (await chain.farmer(state["farmer"])).settled_epoch == epoch

        await until(proven)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), SECONDS) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = log.read_text()
    assert f"epoch {epoch} proven" in said
    assert "Traceback" not in said


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await holds():  # noqa: ASYNC110  it happens in another process
            await asyncio.sleep(0.1)


async def test_the_market_refuses_what_we_never_accepted(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    async with running(devnet, tmp_path, config) as farm:
        slot = await renters_slot(devnet, farm)
        await farm.upload(slot)
        acceptance = (await farm.accept(slot)).json()
        with pytest.raises(TransactionReverted) as caught:
            await farm.place(slot, acceptance | {"rate": acceptance["rate"] - 1})
        assert caught.value.name == "AcceptanceForged"


async def test_a_farm_without_old_logs_knows_its_orders_and_shows_them_as_the_contract_keeps_them(
    devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked while the logs were there. After a restart it serves its readers by that, too."""
    config = await registered(devnet, tmp_path)
    async with running(devnet, tmp_path, config) as farm:
        slot = await keep(devnet, farm)
        await farm.node.follower.refresh()
        assert await farm.node.known_orders.tick()

    async def pruned(*_: object) -> None:
        raise RpcError("eth_getLogs", -32701, "old data not available due to pruning")

    async with running(devnet, tmp_path, config) as farm:
        await farm.node.follower.refresh()
        monkeypatch.setattr(farm.node.market, "logs", pruned)
        path = paths.order_path(slot.order)
        stranger = Wallet.random()
        response = await farm.http.get(path, headers=farm.sign(stranger, "GET", path))
        assert response.status_code == 200, response.text
        kept = await devnet.chain.order(slot.order)
        assert kept is not None
        shown = checked(slot.order, kept, parse_answer(ShownOrder, response.content))
        assert shown is not None
        assert [one.farmer for one in shown.slots] == [config.farmer]
        known = await farm.node.market._orders.order(slot.order)
        assert known is not None
        assert known.slots == shown.slots

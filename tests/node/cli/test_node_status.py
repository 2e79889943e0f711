"""What `grange farm status` and its neighbours say: room, gas, dates, what is wrong and what to do about
it."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
import pytest_asyncio
from rich.console import Console
from test_node_devnet import STAKE, keep, registered, running
from typer.testing import CliRunner

from grange.chain import ChainReplaced, Sender, Wallet, calls, read_block_clock
from grange.cli.exit_codes import ExitCode
from grange.units import GIB, TOKEN
from grange_devnet import Devnet
from grange_node.cli.farm import app
from grange_node.cli.registration import change
from grange_node.cli.repair import _run
from grange_node.cli.repair import app as repair
from grange_node.cli.repair_home import load_repair_config, load_repair_key
from grange_node.cli.status import Status, read_status
from grange_node.cli.status_screen import status_table
from grange_node.config import load_address, load_config, load_key
from grange_node.records import SlotState

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    async with Devnet.start() as running:
        yield running


def shown(status: Status) -> str:
    console = Console(width=2000, file=io.StringIO(), record=True)
    console.print(status_table(status))
    return console.export_text()


async def run(*arguments: object, stdin: str = "") -> tuple[int, str]:
    done = await asyncio.to_thread(CliRunner().invoke, app, [str(one) for one in arguments], input=stdin)
    return done.exit_code, done.output


async def test_status_says_how_much_of_the_room_the_stake_covers_and_how_much_of_that_is_free(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = await registered(devnet, tmp_path, capacity_bytes=100 * 10**9)
    wallet = load_key(tmp_path / "home")
    async with running(devnet, tmp_path, config) as farm:
        slot = await keep(devnet, farm)
    status = await read_status(config, wallet.address)
    epochs = devnet.chain.parameters.collateral_epochs
    assert status.covered_bytes == STAKE * GIB // (epochs * TOKEN)
    assert status.free_covered_bytes == (STAKE - epochs * slot.rate) * GIB // (epochs * TOKEN)
    assert "6.71 GB (6.25 GiB) of the 100 GB on offer" in shown(status)
    cheap = config.model_copy(
        update={"offer_terms": config.offer_terms.model_copy(update={"price_per_gib_epoch": 10**16})}
    )
    assert "all of the 100 GB on offer" in shown(await read_status(cheap, wallet.address))
    # Sizes and amounts as everywhere else: no MiB for terabytes, no eighteen digits.
    assert "MiB" not in shown(status)
    assert "100 GB" in shown(status)


async def test_status_shows_dates_and_for_how_long_the_gas_is_enough(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    wallet = load_key(tmp_path / "home")
    clock = await read_block_clock(devnet.chain)
    status = await read_status(config, wallet.address)
    next_audit = (clock.epoch + 1) * clock.epoch_blocks
    assert (status.next_audit_block, status.next_audit_at) == (
        next_audit,
        int(clock.time_of_block(next_audit)),
    )
    table = shown(status)
    date = datetime.fromtimestamp(status.next_audit_at or 0)
    assert f"from block {next_audit}, about {date:%Y-%m-%d %H:%M:%S}" in table
    assert status.gas_warning is None
    assert "proofs" in table
    # Nearly all of the gas tokens are sent away.
    held = await devnet.chain.native_balance(wallet.address)
    await Sender(devnet.chain, wallet).transfer_native(Wallet.random().address, held - 10**15)
    low = await read_status(config, wallet.address)
    assert low.gas_warning is not None
    assert "Send it " in low.gas_warning
    assert low.gas_warning in shown(low)


async def test_fees_above_the_cap_stand_at_the_top_and_gas_is_money_where_a_price_is_given(
    devnet: Devnet, tmp_path: Path
) -> None:
    await registered(devnet, tmp_path)
    home = ("--home", tmp_path / "home")
    code, output = await run("fees", "--max-fee-gwei", "0.000000001", "--gas-usd", "3000", *home)
    assert code == 0, output
    assert "More than 0.000000001 gwei is not offered for a unit of gas." in output
    assert "nothing is sent until gas is cheaper" in output
    assert "A gas token counts for $3,000.00" in output
    assert "a proof: " in output
    config = load_config(tmp_path / "home")
    status = await read_status(config, load_address(tmp_path / "home"))
    assert status.fee_warning is not None
    assert "the cap is 0.000000001: no proof is sent until gas is cheaper" in status.fee_warning
    assert status.fee_warning in shown(status)
    code, output = await run("status", "--json", *home)
    assert (code, json.loads(output)["fee_warning"]) == (ExitCode.MONEY, status.fee_warning), (
        "a script sees it"
    )
    assert "gas tokens ($" not in shown(status)
    assert " ($" in shown(status)
    # Nothing can be sent at that cap, and words say why.
    code, output = await run("update", "--price", "3", *home)
    assert code == ExitCode.MONEY
    code, output = await run("fees", "--max-fee-gwei", "500", "--gas-usd", "none", "--json", *home)
    assert (code, json.loads(output)["price"]) == (0, None)
    again = await read_status(load_config(tmp_path / "home"), load_address(tmp_path / "home"))
    assert again.fee_warning is None
    code, output = await run("status", *home)
    assert code == 0, output
    code, output = await run("fees", "--max-fee-gwei", "nothing", *home)
    assert code == ExitCode.USAGE


async def test_amounts_in_json_are_strings(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    code, output = await run("status", "--json", "--home", tmp_path / "home")
    content = json.loads(output)
    assert code == 0
    for name in ("stake", "committed_rate", "unclaimed", "gas_money", "proof_gas_money", "earned"):
        assert isinstance(content[name], str), name
    assert int(content["stake"]) == STAKE
    assert content["farmer"] == config.farmer_id


async def test_status_of_a_lapsed_farm_says_since_when_what_it_means_and_how_to_begin_again(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = await registered(devnet, tmp_path)
    async with running(devnet, tmp_path, config) as farm:
        await keep(devnet, farm)
    epoch = await devnet.chain.current_epoch() + 1 + devnet.chain.parameters.max_misses
    await devnet.mine_to_epoch(epoch, offset_blocks=3)
    status = await read_status(config, load_address(tmp_path / "home"))
    clock = await read_block_clock(devnet.chain)
    assert (status.lapsed_from_epoch, status.lapsed_at) == (epoch, int(clock.time_of_epoch(epoch)))
    table = shown(status)
    for said in (f"Since epoch {epoch}, about 20", "cannot be revived", "no more tokens", "--home NEW"):
        assert said in table
    # It can let nothing more, and is neither asked nor paid.
    for name in ("covers", "next audit", "rate"):
        assert f"│ {name} " not in table


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"genesis_hash": "00" * 32}, "started again"),
        ({"farmer_id": 10_000}, "has no farmer 10000"),
        ({"owner": "0x" + "66" * 20}, "this home says that it belongs to"),
    ],
)
async def test_status_on_another_chain_shows_nothing_of_the_new_one_and_says_what_to_do(
    devnet: Devnet, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    config = await registered(devnet, tmp_path)
    status = await read_status(config.model_copy(update=changes), load_address(tmp_path / "home"))
    assert status.chain_error is not None
    assert said in status.chain_error
    assert "set up again" in status.chain_error
    assert (status.stake, status.unclaimed, status.misses) == (None, None, None)


async def test_a_key_that_the_chain_does_not_name_is_said(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    wallet = load_key(tmp_path / "home")
    other = Wallet.random()
    consent = await devnet.chain.operator_consent(other, owner=wallet.address, farmer=config.farmer)
    change = calls.set_operator(config.farmer, other.address, consent=consent, void_former=True)
    await Sender(devnet.chain, wallet).send(change)
    table = shown(await read_status(config, wallet.address))
    assert "grange farm rotate-key" in table


async def test_all_free_stake_is_taken_out_only_after_it_was_said_what_that_means(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = await registered(devnet, tmp_path)
    home = tmp_path / "home"
    code, output = await run("unstake", "--home", home, stdin="n\n")
    assert code == ExitCode.DECLINED
    assert "Nothing was done." in output
    assert "frees 100 GRNG of the 100 GRNG" in output
    assert "leaves the market for good" in output
    assert (await devnet.chain.farmer(config.farmer)).stake == STAKE
    # A part that was named is not asked about, and neither is all with --yes.
    assert (await run("unstake", "--home", home, "--amount", "40"))[0] == 0
    assert (await devnet.chain.farmer(config.farmer)).stake == STAKE - 40 * TOKEN
    assert (await run("unstake", "--home", home, "--yes"))[0] == 0
    farmer = await devnet.chain.farmer(config.farmer)
    assert (farmer.stake, farmer.lapsed) == (0, True)


async def test_update_says_what_it_did(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    home = tmp_path / "home"
    code, output = await run("update", "--add-stake", "5", "--home", home)
    assert (code, output) == (0, f"Added 5 GRNG to the stake of farmer {config.farmer_id}.\n")
    code, output = await run("update", "--price", "2", "--home", home)
    assert (code, "started again" in output) == (0, True)
    await change(home, config, load_key(home), config)


async def test_a_repairer_notices_a_devnet_that_was_started_again(devnet: Devnet, tmp_path: Path) -> None:
    home = tmp_path / "repairer"
    options = ["init", "--home", str(home), "--rpc", devnet.rpc_url, "--market", devnet.market]
    unknown = await asyncio.to_thread(CliRunner().invoke, repair, options)
    assert (unknown.exit_code, unknown.stdout) == (ExitCode.WRONG_CHAIN, "")
    options += ["--first-block", str(devnet.network.first_block)]
    assert (await asyncio.to_thread(CliRunner().invoke, repair, options)).exit_code == 0
    path = home / "repair.json"
    content = json.loads(path.read_text())
    genesis = await devnet.chain.genesis_hash()
    assert genesis is not None
    assert content["genesis_hash"] == genesis.hex()
    path.write_text(json.dumps(content | {"genesis_hash": "00" * 32}))
    done = await asyncio.to_thread(CliRunner().invoke, repair, options)
    assert done.exit_code == ExitCode.WRONG_CHAIN, done.output
    assert "started again" in done.output
    assert "set up again" in done.output
    with pytest.raises(ChainReplaced):
        await _run(home, load_repair_config(home), load_repair_key(home), None)
    # A home of an older version has no hash, and goes on.
    del content["genesis_hash"]
    path.write_text(json.dumps(content))
    assert (await asyncio.to_thread(CliRunner().invoke, repair, options)).exit_code == 0


async def test_slots_that_the_farm_did_not_sign_for_stand_at_the_top_and_have_an_exit_code(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = await registered(devnet, tmp_path)
    home, operator = ("--home", tmp_path / "home"), load_address(tmp_path / "home")
    async with running(devnet, tmp_path, config) as farm:
        slot = await keep(devnet, farm)
        ledger = farm.node.ledger
        await farm.node.follower.refresh()
        [record] = ledger.slots(SlotState.PLACED)
        assert (await run("status", *home))[0] == 0
        ledger.adopt(record.key, record.agreed, 1, unsigned_operator=operator)
        code, output = await run("status", "--json", *home)
        content = json.loads(output)
        assert (code, content["slots_unsigned"]) == (ExitCode.KEY_USED, 1)
        for said in ("did not sign for", "rotate-key --now", "fill its room"):
            assert said in content["unsigned_warning"]
        farm.node.damaged_pieces.note(slot.key, [0], 1)
        content = json.loads((await run("status", "--json", *home))[1])
        for said in (
            "did not sign for",
            "rotate-key --now",
            "make the farm miss",
            "limit-operator --give-up all",
        ):
            assert said in content["unsigned_warning"]
        assert content["unsigned_warning"] in shown(await read_status(config, operator))
        # With another key, what is here can be proven; what is not can still make the farm miss.
        farm.node.damaged_pieces.mended(slot.key, 0)
        ledger.adopt(record.key, record.agreed, 1, unsigned_operator=Wallet.random().address)
        assert (await run("status", *home))[0] == 0
        farm.node.damaged_pieces.note(slot.key, [0], 1)
        code, output = await run("status", *home)
        assert (code, "key that was changed since" in output.replace("\n", " ")) == (ExitCode.KEY_USED, True)


async def test_a_stake_that_misses_made_too_small_is_said_with_how_much_to_add(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = await registered(devnet, tmp_path)
    wallet = load_key(tmp_path / "home")
    async with running(devnet, tmp_path, config) as farm:
        slot = await keep(devnet, farm)
    assert (await read_status(config, wallet.address)).stake_warning is None
    full = devnet.chain.parameters.collateral_epochs * slot.rate
    await change(tmp_path / "home", config, wallet, config)
    await Sender(devnet.chain, wallet).send(calls.unstake(config.farmer, STAKE - full))
    await devnet.mine_to_epoch(await devnet.chain.current_epoch() + 3)
    status = await read_status(config, wallet.address)
    assert status.misses is not None
    missed = status.misses * 2 * slot.rate
    assert status.stake_missing == missed > 0
    assert status.stake_warning is not None
    assert "grange farm update --add-stake" in status.stake_warning
    assert status.stake_warning in shown(status)
    assert status.needs_money is status.lapses_next

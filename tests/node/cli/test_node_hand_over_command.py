"""`grange farm hand-over`: what it says before it begins, and what it refuses."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from test_node_devnet import keep, registered, running
from typer.testing import CliRunner

from grange.allow_lists import FARMERS, ListFiles
from grange.cli.exit_codes import ExitCode
from grange.token_unit import PLAIN_UNIT
from grange.types import Epoch, FarmerId, OrderId
from grange.units import TOKEN
from grange_devnet import Devnet
from grange_node.cli.farm import app
from grange_node.cli.hand_over import Plan, Planned, describe_plan
from grange_node.config import HAND_OVERS_NAME, REPAIRS_NAME
from grange_node.hand_over.list_file import HandOverList

SLOT = Planned(
    order=OrderId(b"\xab" * 32),
    slot=3,
    end=Epoch(40),
    size_bytes=1 << 20,
    rate=TOKEN,
    collateral=16 * TOKEN,
    obstacle="",
    never=False,
)


def test_who_would_be_asked_is_named_with_the_rate_and_who_is_bound_to_nothing_is_said() -> None:
    """Where nobody takes a slot that is said too, and of how many it was not found out."""
    first = replace(SLOT, takers=(FarmerId(7), FarmerId(9), FarmerId(4)))
    nobody = replace(SLOT, slot=4, takers=())
    unknown = replace(SLOT, slot=5)
    said = describe_plan(plan(first, nobody, unknown), [], PLAIN_UNIT)
    assert "order abababababab slot 3: farmer 7 for 1 tokens an epoch, as the slot pays now" in said
    assert "and then 2 others" in said
    assert "slot 4: no farmer that answers would take it" in said
    assert "1 slot more: not looked for" in said
    assert "Nothing was sent" in said
    assert first.to_json()["takers"] == [7, 9, 4]
    assert unknown.to_json()["takers"] is None
    assert "asked first" not in describe_plan(plan(SLOT), [], PLAIN_UNIT)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    async with Devnet.start() as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
async def test_the_command_says_what_can_pass_and_begins_only_that(devnet: Devnet, tmp_path: Path) -> None:
    """Of an order with one farmer no slot can."""
    config = await registered(devnet, tmp_path)
    home, path = tmp_path / "home", config.data_folder / HAND_OVERS_NAME

    async def command(*options: str, code: int = 0) -> str:
        arguments = ["hand-over", "--home", str(home), *options]
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert done.exit_code == code, done.output
        return " ".join(done.output.split())

    async with running(devnet, tmp_path, config) as farm:
        assert "Nothing is being handed over" in await command()
        assert "keeps no slot" in await command("--all", code=ExitCode.USAGE)
        slot = await keep(devnet, farm)
        await farm.node.follower.refresh()
        order = slot.order.hex()
        assert "so few slots to spare that none may pass" in await command("--all", "--yes")
        shown = json.loads(await command("--order", order[:8], "--json", "--yes"))
        assert [one["order"] for one in shown["refused"]] == [order]
        assert shown["slots"] == []
        with HandOverList.look(path) as hand_overs:
            assert hand_overs.all() == []

        other = f"{(slot.order[0] + 1) % 256:02x}"
        assert "no id" in await command("--order", other, code=ExitCode.USAGE)
        assert "this farm" in await command("--all", "--to", str(config.farmer), code=ExitCode.USAGE)
        assert "not registered" in await command("--all", "--to", "999", code=ExitCode.USAGE)
        await command("--all", "--order", order, code=ExitCode.USAGE)
        denied = (await registered(devnet, tmp_path / "denied")).farmer
        (config.data_folder / REPAIRS_NAME).mkdir(exist_ok=True)
        ListFiles(folder=config.data_folder / REPAIRS_NAME, of=FARMERS).deny(denied)
        said = await command("--all", "--to", str(denied), code=ExitCode.USAGE)
        assert "is on the deny list of this farm" in said
        assert f"grange farm farmers allow {denied}" in said

        with HandOverList.open(path) as hand_overs:
            hand_overs.add([(slot.order, slot.slot)], [])
        [listed] = json.loads(await command("--json"))
        assert (listed["order"], listed["taker"], listed["passed"]) == (order, None, False)
        assert "1 slot will not be handed over." in await command("--stop", "--all")
        assert json.loads(await command("--json")) == []


def plan(
    *slots: Planned,
    strikes: int = 0,
    lost_stake: int | None = None,
    gas_wei: int = 0,
    money: int = 100 * TOKEN,
) -> Plan:
    return Plan(slots=slots, strikes=strikes, lost_stake=lost_stake, gas_wei=gas_wei, money=money)


def test_what_it_means_is_said_with_amounts() -> None:
    waiting = replace(SLOT, order=OrderId(b"\xcd" * 32), obstacle="it waits for something")
    never = replace(SLOT, order=OrderId(b"\xef" * 32), obstacle="its renter does not allow it", never=True)
    told = plan(SLOT, waiting, never, strikes=2, lost_stake=5 * TOKEN, gas_wei=10**16, money=TOKEN)
    said = describe_plan(told, [], PLAIN_UNIT)
    assert said.startswith("2 slots, 2.1 MB, to be handed over to farmers that take them.")
    assert "Of order cdcdcdcdcdcd: it waits for something." in said
    assert "Of order efefefefefef: its renter does not allow it." in said
    assert "32 tokens of the stake stay bound until each taker has proven once." in said
    assert "2 tokens an epoch less" in said
    assert "2 strikes" in said
    assert "5 tokens of the stake in an epoch" in said
    assert "0.01 gas tokens at" in said
    worth = describe_plan(replace(told, gas_microusd=3_000_000_000), [], PLAIN_UNIT)
    assert "0.01 gas tokens ($30.00) at" in worth
    assert "It has 1 tokens: send it some" in said


def test_what_does_not_apply_is_not_said() -> None:
    said = describe_plan(plan(SLOT), [FarmerId(7), FarmerId(8)], PLAIN_UNIT)
    assert "to farmer 7, farmer 8." in said
    assert "strike" not in said
    assert "gas tokens" not in said
    assert "send it some" not in said
    assert "in an epoch, so not all" not in said
    never = replace(SLOT, obstacle="its renter does not allow it", never=True)
    assert "What it means" not in describe_plan(plan(never), [], PLAIN_UNIT)

"""What a person types: commands of renters and farmers, and what they say when something is wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from e2e_command import grange
from e2e_gate import Gate
from e2e_town import Person, Town, eventually, stored
from e2e_tree import odd_tree, plain_file

from grange.chain import ChainTimeout, Timeouts, Wallet, calls
from grange.cli.exit_codes import ExitCode
from grange.cli.presenter import explain
from grange.transfer.errors import NotEnoughFarmers
from grange.types import Offer
from grange.units import TOKEN
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter
from grange_devnet.fleet import FarmerProcess
from stories.compare import differences

SOME_BYTES = 400_000
DEAR = 10**6 * TOKEN
"""For a GiB and epoch: more than any stake of the town covers."""

pytestmark = pytest.mark.asyncio(loop_scope="session")

ON_ONE_ENGINE = pytest.mark.parametrize("engine", ["py-evm"], indirect=True)
"""For what happens before a chain is asked, or without it."""


async def test_a_person_stores_and_fetches_by_command(town: Town, tmp_path: Path) -> None:
    """init, put, ls, stat, get on another computer: every answer in JSON agrees with the chain."""
    chain, home = town.chain, tmp_path / "home"
    source = odd_tree(tmp_path / "source", seed=31)
    place = ("--rpc", town.devnet.rpc_url, "--market", town.devnet.market)
    unknown = await grange("init", *place, "--home", home)
    assert unknown.code == ExitCode.WRONG_CHAIN, unknown
    assert "othing shows how the market" in unknown.err
    network = (*place, "--first-block", town.devnet.network.first_block)
    told = await grange("init", *network, "--home", home)
    assert told.code == 0, told
    words = (home / "recovery.txt").read_text()
    address = (await grange("balance", "--json", "--home", home)).json["address"]
    await town.devnet.faucet(address, tokens=TOKEN)

    put = (await grange("orders", "put", source, "--yes", "--k", 2, "--n", 4, "--json", "--home", home)).json
    balance, listed, stat, other = await asyncio.gather(
        grange("balance", "--json", "--home", home),
        grange("orders", "ls", "--json", "--home", home),
        grange("orders", "stat", "source", "--files", "--json", "--home", home),
        grange("init", *network, "--phrase", "--home", tmp_path / "other", typed=words),
    )
    assert other.code == 0, other
    vault, wallet = await town.wealth(address)
    assert (balance.json["vault"], balance.json["wallet"]) == (str(vault), str(wallet))
    assert balance.json["native"] == str(await chain.native_balance(address))
    assert vault + wallet == TOKEN - int(put["cost"])

    order = await chain.order(bytes.fromhex(put["order"]))  # type: ignore[arg-type]
    assert order is not None
    (known,) = listed.json
    for shown in (put, known, stat.json):
        assert shown["order"] == put["order"]
        assert (shown["k"], shown["n"]) == (order.k, order.n) == (2, 4)
        assert (shown["start"], shown["end"]) == (order.start, order.end)
        assert shown["cost"] == put["cost"]
    filled = await chain.logs(put["block"], put["block"], ["SlotFilled"])
    assert stat.json["slots"] == [
        {
            "farmer": one.args["farmer"],
            "root": one.args["root"].hex(),
            "rate": str(one.args["rate"]),
            "max_egress_price_per_gib": str(one.args["max_egress_price_per_gib"]),
        }
        for one in filled
    ]
    assert int(put["cost"]) == sum(one.args["rate"] for one in filled) * (order.end - order.start)
    assert sum(entry["kind"] == "file" for entry in stat.json["entries"]) == put["files"] == known["files"]

    got = await grange("orders", "get", "source", tmp_path / "back", "--json", "--home", tmp_path / "other")
    assert got.json["files"] == put["files"]
    assert differences(source, tmp_path / "back" / "source") == []


async def test_the_list_of_farmers_is_that_of_the_chain(town: Town, person: Person) -> None:
    """`farmers --json` has every farmer once; stake, rate, misses and proofs are as the chain counts them."""
    await town.quiet()
    shown = {one["farmer"]: one for one in (await grange("farmers", "--json", "--home", person.home)).json}
    head = (await town.chain.head()).number
    proofs = [event.args["farmer"] for event in await town.chain.logs(0, head, ["Proven"])]
    on_chain = await town.chain.farmers()
    assert shown.keys() == {farmer.id for farmer in on_chain}
    for farmer in on_chain:
        one = shown[farmer.id]
        assert one["answers"], one
        assert one["endpoint"] == farmer.endpoint == town.fleet.by_id(farmer.id).endpoint
        assert (one["stake"], one["missed"]) == (str(farmer.stake), farmer.misses)
        assert one["committed_rate"] == str(farmer.committed_rate)
        assert one["proven"] == proofs.count(farmer.id)


async def test_a_farmer_sees_and_withdraws_what_it_earned(town: Town, person: Person, tmp_path: Path) -> None:
    """`farm status --json` counts as the chain does; `farm withdraw` moves the vault to whom it should."""
    chain = town.chain
    await stored(person.config, plain_file(tmp_path / "one.bin", SOME_BYTES, seed=32), StoreOptions(k=2, n=5))
    await town.quiet()
    farmer, friend = town.farmers[1], Wallet.random().address
    before, head = await town.wealth(farmer.address), (await chain.head()).number
    earned = [e.args["amount"] for e in await chain.logs(0, head, ["Proven"], {"farmer": farmer.farmer})]
    assert before[0] > 0

    shown: dict[str, Any] = {}

    async def caught_up() -> bool:
        ran = await grange("farm", "status", "--json", "--home", farmer.home)
        shown.update(ran.json)
        return bool(shown["read_to_block"] >= head)

    await eventually(caught_up, "the farmer has read the chain")
    known = await town.on_chain(farmer)
    assert (shown["earned"], shown["proven_epochs"]) == (str(sum(earned)), len(earned))
    assert (shown["unclaimed"], shown["stake"]) == (str(before[0]), str(known.stake))
    assert (shown["misses"], shown["committed_rate"]) == (known.misses, str(known.committed_rate))
    assert shown["farmer"] == farmer.farmer
    assert shown["owner"] == known.owner
    assert shown["slots_placed"] > 0
    assert shown["chain_error"] is None

    part = await grange("farm", "withdraw", "--amount", "0.00001", "--to", friend, "--home", farmer.home)
    assert part.code == 0, part
    assert await chain.token_balance(friend) == TOKEN // 100_000
    rest = await grange("farm", "withdraw", "--home", farmer.home)
    assert rest.code == 0, rest
    assert await town.wealth(farmer.address) == (0, before[0] + before[1] - TOKEN // 100_000)


async def test_too_few_farmers_are_named(town: Town, person: Person, tmp_path: Path) -> None:
    """Fewer than k to read from, or than n to store with: which ones, how many more; nothing is written."""
    source = plain_file(tmp_path / "one.bin", SOME_BYTES, seed=33)
    order = (await stored(person.config, source, StoreOptions(k=3, n=4))).order
    away = [town.fleet.by_id(order.slots[index].farmer) for index in (0, 3)]
    before = await town.wealth(person.address)
    back, again = tmp_path / "back", tmp_path / "again"
    try:
        for farmer in away:
            await farmer.kill()
        got, put = await asyncio.gather(
            grange("orders", "get", "one.bin", back, "--home", person.home),
            grange("orders", "put", source, "--yes", "--k", 2, "--n", 5, "--home", person.home),
        )
        async with Renter.open(town.home_for(person.phrase)) as renter:
            with pytest.raises(NotEnoughFarmers) as too_few:
                await renter.get(order, again)
    finally:
        await asyncio.gather(*(farmer.start() for farmer in away))
    names = {f"farmer {farmer.farmer}" for farmer in away}
    assert too_few.value.missing == 1
    assert set(too_few.value.failures) == names
    assert got.code == put.code == explain(too_few.value).exit_code == ExitCode.FARMERS
    assert "2 of 4 farmers answer, and 3 are needed: 1 more" in got.err
    assert "5 farmers are needed, and 3 of the 5 that are registered can take a part" in put.err
    assert "--n 3" in put.err
    assert all(name in got.err.lower() and name in put.err.lower() for name in names), (got, put)
    assert [path for folder in (back, again) for path in folder.rglob("*")] == []
    assert await town.wealth(person.address) == before


async def test_a_stake_too_small_is_said_before_anything_is_sent(
    town: Town, person: Person, tmp_path: Path
) -> None:
    """A farmer that asks more than its stake covers gets no slot; if it is needed, the error names it."""
    source = plain_file(tmp_path / "one.bin", SOME_BYTES, seed=34)
    before = await town.wealth(person.address)
    async with asking(town, town.farmers[2], price_per_gib_epoch=DEAR) as dear:
        put = await grange("orders", "put", source, "--yes", "--k", 2, "--n", 5, "--home", person.home)
    assert put.code == ExitCode.FARMERS, put
    assert f"farmer {dear.farmer}: has too little at stake" in put.err
    assert "nothing is paid" in put.err
    assert await town.wealth(person.address) == before
    assert await town.nonce(person.address) == 0


@ON_ONE_ENGINE
async def test_a_vault_too_small_is_said_before_anything_is_sent(town: Town, tmp_path: Path) -> None:
    """What is missing is said, be it tokens or gas tokens, and nothing is paid."""
    source = plain_file(tmp_path / "one.bin", SOME_BYTES, seed=35)
    poor, stranded = await town.person(tokens=1), await town.person(native=0)
    scant = await town.person(native=10**9)
    put = "orders", "put", source, "--yes", "--k", 2, "--n", 4, "--home"
    without_tokens, without_gas, with_little, balance = await asyncio.gather(
        grange(*put, poor.home),
        grange(*put, stranded.home),
        grange(*put, scant.home),
        grange("balance", "--json", "--home", poor.home),
    )
    assert without_tokens.code == without_gas.code == with_little.code == ExitCode.MONEY
    assert " GRNG are missing" in without_tokens.err
    assert "no gas tokens to pay the chain's fees" in without_gas.err
    assert "has 0.000000001 gas tokens for the chain's fees, and this takes up to" in with_little.err
    assert "Nothing was uploaded" in with_little.err
    assert "grange balance" in without_tokens.err
    assert (balance.json["vault"], balance.json["wallet"]) == ("0", "1")
    assert await town.wealth(poor.address) == (0, 1)
    assert await town.orders_of(poor.address) == await town.orders_of(stranded.address) == []


@ON_ONE_ENGINE
async def test_an_endpoint_that_is_not_there_is_said(town: Town, tmp_path: Path) -> None:
    """A chain that is down, or is another one: what it means, what to do, and an exit status of its own."""
    async with Gate.before(town.devnet.rpc_url) as gate:
        closed = gate.url
    source = plain_file(tmp_path / "one.bin", 1_000, seed=36)
    person = await town.person()
    elsewhere = await town.person()
    rewrite(person.home / "config.json", rpc=closed)
    rewrite(elsewhere.home / "config.json", chain_id=town.devnet.chain_id + 1)
    farm = copied_home(town.farmers[0], tmp_path / "farm", chain_id=town.devnet.chain_id + 1)
    down, init, other, farmer = await asyncio.gather(
        grange("orders", "put", source, "--yes", "--home", person.home),
        grange("init", "--rpc", closed, "--market", town.devnet.market, "--home", tmp_path / "new"),
        grange("orders", "ls", "--home", elsewhere.home),
        grange("farm", "withdraw", "--home", farm),
    )
    for ran in (down, init):
        assert ran.code == ExitCode.CHAIN, ran
        assert f"no chain endpoint at {closed}" in ran.err.lower()
        assert "grange devnet" in ran.err
    assert not (tmp_path / "new" / "recovery.txt").exists()
    assert other.code == ExitCode.WRONG_CHAIN, other
    assert "chain id 1337, and chain id 1338 is expected" in other.err
    assert "nothing was done" in other.err
    assert farmer.code == ExitCode.WRONG_CHAIN, farmer
    assert "chain id 1338 is expected" in farmer.err


@ON_ONE_ENGINE
async def test_an_endpoint_that_is_slow_is_waited_for_and_one_that_is_stuck_is_not(
    town: Town, person: Person, tmp_path: Path
) -> None:
    """Slow answers delay a command; no answer ends it with a sentence, and nothing is paid."""
    source = plain_file(tmp_path / "one.bin", SOME_BYTES, seed=37)
    async with Gate.before(town.devnet.rpc_url) as gate:
        rewrite(person.home / "config.json", rpc=gate.url)
        gate.delay_seconds = 0.1
        put = await grange(
            "orders", "put", source, "--yes", "--k", 2, "--n", 4, "--json", "--home", person.home
        )
        assert [bytes.fromhex(put.json["order"])] == await town.orders_of(person.address)
        gate.jammed = True
        network = person.config.network.model_copy(update={"rpc": gate.url})
        hasty = Timeouts(request_seconds=0.5, retries=1, pause_seconds=0.05)
        with pytest.raises(ChainTimeout) as stuck:
            async with Renter.open(replace(person.config, network=network), timeouts=hasty) as renter:
                await renter.orders()
    said = explain(stuck.value)
    assert (said.exit_code, said.detail) == (ExitCode.CHAIN, "The endpoint is there, and too slow.")
    assert "was not answered within 0.5 s" in said.message


@asynccontextmanager
async def asking(town: Town, farmer: FarmerProcess, **changes: int) -> AsyncIterator[FarmerProcess]:
    """A farmer announces another offer on chain, and takes it back afterwards."""
    sender, known = town.sender(town.operator(farmer)), await town.on_chain(farmer)
    offer: Offer = replace(known.offer, **changes)
    await sender.send(calls.update_farmer(known.id, endpoint=known.endpoint, offer=offer))
    try:
        yield farmer
    finally:
        await sender.send(calls.update_farmer(known.id, endpoint=known.endpoint, offer=known.offer))


def rewrite(path: Path, **changes: object) -> None:
    """Change values of a JSON file as its owner might."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def copied_home(farmer: FarmerProcess, home: Path, **changes: object) -> Path:
    """A farmer's settings and key in another place, with changes."""
    home.mkdir()
    for name in ("farm.json", "operator.key"):
        (home / name).touch(mode=0o600)
        (home / name).write_bytes((farmer.home / name).read_bytes())
    rewrite(home / "farm.json", **changes)
    return home

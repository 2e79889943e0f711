"""Farmers, renters and the chain go away in the middle of things, and come back."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

import pytest
from e2e_command import begun, grange
from e2e_gate import Gate
from e2e_knock import Slot, knocking
from e2e_town import Person, Town, eventually, fetched, stored
from e2e_tree import plain_file

from grange.chain import Sender, calls
from grange.transfer.events import Progress, ProgressEvent
from grange.types import OrderId
from grange_client.orders.plan import StoreOptions
from grange_client.orders.store import Quote
from grange_client.renter import Renter
from grange_devnet.fleet import FarmerProcess

FEW_MB = 3_000_000
MANY_MB = 24_000_000
SEND = b"eth_sendRawTransaction"

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_farmer_restarted_in_an_epoch_still_proves_it_and_serves(
    town: Town, person: Person, tmp_path: Path
) -> None:
    """A farmer that was away as the epoch began proves it once it is back, and serves what it keeps."""
    source = plain_file(tmp_path / "one.bin", FEW_MB, seed=11)
    order = (await stored(person.config, source, StoreOptions(k=1, n=1))).order
    farmer = town.fleet.by_id(order.slots[0].farmer)
    await farmer.stop()
    try:
        epoch = await town.next_epoch(offset_blocks=1)
        assert farmer.farmer not in await town.proofs(epoch)
    finally:
        await farmer.start()
    await town.proven(epoch, [farmer])
    assert (await fetched(person.config, tmp_path / "back") / "one.bin").read_bytes() == source.read_bytes()


async def test_a_farmer_killed_in_an_upload_loses_nothing_it_signed_for(
    town: Town, person: Person, tmp_path: Path
) -> None:
    """Power fails at a farmer while pieces arrive: its acceptances hold, and the upload goes on without
    it."""
    chain = town.chain
    source = plain_file(tmp_path / "one.bin", FEW_MB, seed=12)
    async with Renter.open(person.config) as renter:
        quote = await quoted_with_a_spare(renter, source)
        victim = town.fleet.by_id(quote.chosen[0].farmer.id)
        async with knocking(town, victim, person.wallet) as visitor:
            accepted = await visitor.accepted(Slot.of_noise(seed=12, pieces=3))
        killing: list[asyncio.Task[None]] = []

        def kill_once(event: ProgressEvent) -> None:
            if isinstance(event, Progress) and not killing:
                killing.append(asyncio.create_task(victim.kill()))

        try:
            done = await renter.put(quote, kill_once)
            assert killing, "the farmer was killed while pieces arrived"
            await killing[0]
        finally:
            await victim.kill()
            await victim.start()
    assert len({slot.farmer for slot in done.order.slots}) == quote.geometry.n
    async with knocking(town, victim, person.wallet) as visitor:
        again = await visitor.accept(accepted.slot, accepted.request)
        assert again == accepted.acceptance
        receipt = await Sender(chain, person.wallet).send(
            calls.place(accepted.terms, [again], await chain.permit(person.wallet, 10**18))
        )
        assert receipt.event("SlotFilled").args["farmer"] == victim.farmer
        assert await visitor.read(accepted.slot) == accepted.slot.data
    epoch = await town.next_epoch()
    assert (await town.proven(epoch, [victim]))[victim.farmer] == await chain.rate_at(victim.farmer, epoch)
    async with Renter.open(person.config) as renter:
        await renter.get(done.order, tmp_path / "back")
    assert (tmp_path / "back" / "one.bin").read_bytes() == source.read_bytes()


async def quoted_with_a_spare(renter: Renter, source: Path) -> Quote:
    """A quote that leaves a farmer to step in. Of strangers an order takes few, as candidates too: how many
    of the town's five are strangers depends on the tests before."""
    for k, n in ((2, 4), (1, 3)):
        quote = await renter.quote([source], StoreOptions(k=k, n=n))
        if len(quote.choice.ranked) > n:
            return quote
    raise AssertionError(f"no farmer could step in: {quote.choice}")


async def test_a_renter_killed_in_an_upload_pays_nothing_and_can_store_again(
    town: Town, tmp_path: Path
) -> None:
    """Power fails at the renter before its transaction: nothing is paid, and the same command works again."""
    source = plain_file(tmp_path / "big.bin", MANY_MB, seed=13)
    async with Gate.before(town.devnet.rpc_url) as gate:
        person = await town.person(rpc_url=gate.url)
        gate.hold_back = SEND
        before = await town.wealth(person.address), staged(town)
        put = await begun("orders", "put", source, "--yes", "--k", 2, "--n", 4, "--home", person.home)
        try:
            await eventually(lambda: _true(staged(town) > before[1]), "pieces arrive at farmers")
            assert put.returncode is None
        finally:
            put.kill()
            await put.communicate()
        assert await town.wealth(person.address) == before[0]
        assert await town.nonce(person.address) == 0
        assert await town.orders_of(person.address) == []

        gate.reopen()
        again = await grange(
            "orders", "put", source, "--yes", "--k", 2, "--n", 4, "--home", person.home, "--json"
        )
    assert again.json["order"] == (await town.orders_of(person.address))[0].hex()
    assert await town.nonce(person.address) == 1
    assert sum(await town.wealth(person.address)) == sum(before[0]) - int(again.json["cost"])


async def test_a_renter_killed_after_its_transaction_finds_the_order_on_the_chain(
    town: Town, tmp_path: Path
) -> None:
    """Power fails at the renter when its transaction is out: the order is there, and was paid once."""
    source = plain_file(tmp_path / "one.bin", FEW_MB, seed=14)
    async with Gate.before(town.devnet.rpc_url) as gate:
        person = await town.person(rpc_url=gate.url)
        gate.mute = SEND
        put = await begun("orders", "put", source, "--yes", "--k", 2, "--n", 4, "--home", person.home)
        try:
            await asyncio.wait_for(gate.met.wait(), 40)
        finally:
            put.kill()
            await put.communicate()
        gate.reopen()
        listed = (await grange("orders", "ls", "--json", "--home", person.home)).json
        assert [(one["name"], one["bytes"]) for one in listed] == [("one.bin", FEW_MB)]
        assert await town.nonce(person.address) == 1
        assert (await grange("orders", "get", "one.bin", tmp_path / "back", "--home", person.home)).code == 0
    assert (tmp_path / "back" / "one.bin").read_bytes() == source.read_bytes()


async def test_farmers_serve_without_a_chain_and_prove_when_it_is_back(
    town: Town, person: Person, tmp_path: Path
) -> None:
    """While no farmer reaches the chain renters read all the same, and the epoch is proven afterwards."""
    source = plain_file(tmp_path / "one.bin", FEW_MB, seed=15)
    order = (await stored(person.config, source, StoreOptions(k=3, n=5))).order
    await town.quiet()
    await town.gate.shut()
    try:
        epoch = await town.next_epoch()
        back = await fetched(town.home_for(person.phrase), tmp_path / "back")
        assert (back / "one.bin").read_bytes() == source.read_bytes()
        assert await town.proofs(epoch) == {}
    finally:
        town.gate.reopen()
    paid = await town.proven(epoch, town.farmers)
    assert all(paid[slot.farmer] >= slot.rate for slot in order.slots)


async def test_a_reorg_that_undoes_an_order_undoes_it_for_everybody(
    town: Town, person: Person, tmp_path: Path
) -> None:
    """After it a computer that has only the recovery phrase shows the order no more, nothing is paid for it,
    and no farmer tries to prove it. The home that placed it places it again."""
    chain = town.chain
    kept = plain_file(tmp_path / "kept.bin", FEW_MB, seed=16)
    gone = plain_file(tmp_path / "gone.bin", FEW_MB, seed=17)
    await stored(person.config, kept, StoreOptions(k=3, n=5))
    await town.quiet()
    before = await town.wealth(person.address)
    snapshot = await town.devnet.snapshot()
    undone = (await stored(person.config, gone, StoreOptions(k=3, n=5))).order
    async with Renter.open(person.config) as renter:
        assert [known.name for known in await renter.orders()] == ["gone.bin", "kept.bin"]
    for farmer in town.farmers:
        await eventually(partial(says, farmer, undone.id, "placed:"), "the farmer sees the order")

    await town.devnet.revert(snapshot)
    nonces = {one.farmer: await town.nonce(one.address) for one in town.farmers}
    epoch = await town.next_epoch()
    async with Renter.open(town.home_for(person.phrase)) as renter:
        assert [known.name for known in await renter.orders()] == ["kept.bin"]
    assert await town.wealth(person.address) == before
    assert await chain.order(undone.id) is None
    paid = await town.proven(epoch, town.farmers)
    for farmer in town.farmers:
        assert paid[farmer.farmer] == await chain.rate_at(farmer.farmer, epoch)
        assert await town.nonce(farmer.address) - nonces[farmer.farmer] == 1
        assert await says(farmer, undone.id, "taken back by a reorg")

    async with Renter.open(person.config) as renter:
        assert {known.name for known in await renter.orders()} == {"gone.bin", "kept.bin"}
    assert (await chain.order(undone.id)) is not None
    for farmer in town.farmers:
        await eventually(partial(says, farmer, undone.id, "on the chain again"), "the farmer sees it again")


def staged(town: Town) -> int:
    """How many files of pieces there are at all farmers."""
    return sum(len(files) for one in town.farmers for _, _, files in os.walk(one.data / "slots"))


async def says(farmer: FarmerProcess, order: OrderId, what: str) -> bool:
    """Whether a farmer's log has a line about an order."""
    lines = farmer.log.read_text(errors="replace").splitlines()
    return any(order.hex()[:8] in line and what in line for line in lines)


async def _true(value: bool) -> bool:
    return value

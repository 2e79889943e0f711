"""Slots that are kept on: what the farmer accepts, what the contract makes of it, where the bytes are."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hostile_proxy import NO_LOGS, NO_ORDERS, HostileProxy
from node_support import NoLinks, Parcel, error_of, parcel
from test_node_devnet import LiveFarm, funded, next_epoch, registered, running

from grange.chain import Chain, Sender, Wallet, calls
from grange.types import Acceptance, Epoch, FarmerId, Held, Slot, Terms
from grange.units import LEAF_BYTES, TOKEN
from grange_devnet import Devnet
from grange_node.audit.prover import Action
from grange_node.config import LEDGER_NAME, load_key
from grange_node.files import DiskFiles
from grange_node.records import SlotState
from grange_node.uploads.deletion import Now, Word

TERM_SECONDS = 10**6
"""By our own clock, more than any order here lasts."""
END_OF_TIME = Now(seconds=10**10, read_to_block=10**9, epoch=Epoch(10**8))

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    """py-evm, a block for each transaction and when told to."""
    async with Devnet.start() as started:
        yield started


async def begun(devnet: Devnet) -> int:
    """Three epochs before the end of a grid period; gives that end."""
    grid = devnet.chain.parameters.grid_epochs
    end = (await devnet.chain.current_epoch() // grid + 2) * grid
    await devnet.mine_to_epoch(end - 3, offset_blocks=1)
    return end


async def kept(devnet: Devnet, farm: LiveFarm, end: int) -> Parcel:
    """A slot that is placed until `end`."""
    slot = await just_placed(devnet, farm, end)
    await farm.node.follower.refresh()
    return slot


async def just_placed(devnet: Devnet, farm: LiveFarm, end: int) -> Parcel:
    """The same, and the farm has not looked at the chain since."""
    slot, acceptance = await accepted(devnet, farm, end)
    await farm.place(slot, acceptance)
    record = farm.node.ledger.slot(slot.key)
    assert record is not None
    assert record.state is SlotState.ACCEPTED
    return slot


async def accepted(devnet: Devnet, farm: LiveFarm, end: int) -> tuple[Parcel, dict[str, Any]]:
    """A slot that the farm signed for, and what it signed."""
    slot = parcel_until(end, await funded(devnet, Wallet.random()))
    await farm.upload(slot)
    acceptance = await farm.accept(slot)
    assert acceptance.status_code == 200, acceptance.text
    return slot, acceptance.json()


def parcel_until(end: int, renter: Wallet) -> Parcel:
    return parcel(3, renter=renter, seed=end, slot=0, end=end)


def longer(slot: Parcel, end: int) -> Parcel:
    """The same slot, in an order that goes on to `end`."""
    return replace(slot, salt=bytes([slot.salt[0] ^ 1]) + slot.salt[1:], end=end)


async def extend(devnet: Devnet, slot: Parcel, on: Parcel, acceptance: dict[str, Any]) -> None:
    """Have the contract extend the order of one slot."""
    chain: Chain = devnet.chain
    [filled] = await chain.logs(0, (await chain.head()).number, ["SlotFilled"], {"order": slot.order})
    leaf_count, piece_leaves = acceptance["leaf_count"], len(slot.pieces[0]) // LEAF_BYTES
    tenure = Slot(
        farmer=FarmerId(filled.args["farmer"]),
        root=filled.args["root"],
        rate=filled.args["rate"],
        max_egress_price_per_gib=filled.args["max_egress_price_per_gib"],
        start=Epoch(filled.args["from"]),
    )
    held = Held(order=slot.order, leaf_count=leaf_count, piece_leaves=piece_leaves, slots=(tenure,))
    terms = Terms(salt=on.salt, end=Epoch(on.end), leaf_count=leaf_count, piece_leaves=piece_leaves, k=1)
    acceptance = Acceptance(
        farmer=FarmerId(acceptance["farmer"]),
        root=bytes.fromhex(acceptance["root"]),
        rate=acceptance["rate"],
        max_egress_price_per_gib=acceptance["max_egress_price_per_gib"],
        deadline_block=acceptance["deadline_block"],
        r=bytes.fromhex(acceptance["r"]),
        vs=bytes.fromhex(acceptance["vs"]),
    )
    sender = Sender(chain, slot.renter)
    await sender.send(calls.deposit_with_permit(await chain.permit(slot.renter, 10 * TOKEN)))
    await sender.send(calls.extend(held, terms, [acceptance]))


async def test_a_slot_is_kept_on_without_being_sent_again(devnet: Devnet, tmp_path: Path) -> None:
    """Proven and paid through the change of orders and a restart, served under both names, stored once."""
    config = await registered(devnet, tmp_path)
    owner = load_key(tmp_path / "home").address
    grid = devnet.chain.parameters.grid_epochs
    end = await begun(devnet)
    async with running(devnet, tmp_path, config) as farm:
        slot = await kept(devnet, farm, end)
        used = farm.node.capacity.used_bytes
        on = longer(slot, end + grid)
        accepted = await farm.accept(on, previous=slot.order.hex())
        assert accepted.status_code == 200, accepted.text
        again = await farm.accept(on, previous=slot.order.hex())
        assert again.json() == accepted.json()
        await extend(devnet, slot, on, accepted.json())
        await farm.node.follower.refresh()
        assert farm.node.capacity.used_bytes == used
        await next_epoch(devnet)
        assert await farm.step() is Action.PROVE
        assert await devnet.chain.earnings(owner) == slot.rate
        assert (await farm.get(on)).content == (await farm.get(slot)).content == slot.data
    await devnet.mine_to_epoch(end, offset_blocks=1)
    async with running(devnet, tmp_path, config) as farm:
        assert farm.node.capacity.used_bytes == used
        await farm.node.follower.refresh()
        assert await farm.step() is Action.PROVE
        assert await devnet.chain.earnings(owner) == 2 * slot.rate
        await devnet.mine_to_epoch(end + 3, offset_blocks=1)
        await farm.node.follower.refresh()
        assert await farm.node.collector.collect() == 0
        farm.clock.now += TERM_SECONDS
        assert await farm.node.collector.collect() == 1
        assert farm.node.ledger.slot(slot.key) is None
        assert farm.node.capacity.used_bytes == used
        assert (await farm.get(on)).content == slot.data
        assert await farm.step() is Action.PROVE


async def test_what_was_placed_since_the_farm_looked_is_kept_on(devnet: Devnet, tmp_path: Path) -> None:
    """A renter may extend at once, and with slow endpoints a farm looks seldom: it looks again then."""
    config = await registered(devnet, tmp_path)
    end, grid = await begun(devnet), devnet.chain.parameters.grid_epochs
    async with running(devnet, tmp_path, config) as farm:
        slot = await just_placed(devnet, farm, end)
        answer = await farm.accept(longer(slot, end + grid), previous=slot.order.hex())
        assert answer.status_code == 200, answer.text


async def test_a_farm_that_is_not_shown_a_placement_says_so_and_not_that_it_has_nothing(
    devnet: Devnet, tmp_path: Path
) -> None:
    """The order is on chain and its events are withheld: in a moment it may be otherwise, so it is 503."""
    async with HostileProxy.before(devnet.rpc_url) as liar:
        through = devnet.network.model_copy(update={"rpc": (liar.url,)})
        config = await registered(devnet, tmp_path, network=through)
        end, grid = await begun(devnet), devnet.chain.parameters.grid_epochs
        async with running(devnet, tmp_path, config) as farm:
            slot = await just_placed(devnet, farm, end)
            await liar.begin(NO_LOGS)
            on = longer(slot, end + grid)
            answer = await farm.accept(on, previous=slot.order.hex())
            assert (answer.status_code, error_of(answer)) == (503, "chain_unavailable")
            assert "was placed with it" in answer.text
            assert (await farm.get(slot)).content == slot.data
            liar.lie = None
            await devnet.mine(1)
            assert (await farm.accept(on, previous=slot.order.hex())).status_code == 200


async def test_a_slot_that_went_to_another_in_the_end_is_sent_like_a_new_one(
    devnet: Devnet, tmp_path: Path
) -> None:
    """What was signed and not used is no reason to refuse the bytes when they come for the extension."""
    config = await registered(devnet, tmp_path)
    other_config = await registered(devnet, tmp_path / "other")
    end, grid = await begun(devnet), devnet.chain.parameters.grid_epochs
    async with (
        running(devnet, tmp_path, config) as farm,
        running(devnet, tmp_path / "other", other_config) as other,
    ):
        slot, _ = await accepted(devnet, farm, end)
        await other.upload(slot)
        await other.place(slot, (await other.accept(slot)).json())
        on = longer(slot, end + grid)
        await farm.upload(on)
        answer = await farm.accept(on, previous=slot.order.hex())
        assert answer.status_code == 200, answer.text


async def test_in_the_last_epoch_too_an_extension_has_a_book_of_its_own(
    devnet: Devnet, tmp_path: Path
) -> None:
    """Then it begins with the next epoch, as does what is placed for the first time."""
    config = await registered(devnet, tmp_path)
    grid = devnet.chain.parameters.grid_epochs
    end = await begun(devnet)
    async with running(devnet, tmp_path, config) as farm:
        slot = await kept(devnet, farm, end)
        await devnet.mine_to_epoch(end - 1, offset_blocks=1)
        on = longer(slot, end + grid)
        accepted = await farm.accept(on, previous=slot.order.hex())
        assert accepted.status_code == 200, accepted.text
        await kept(devnet, farm, end + grid)
        await extend(devnet, slot, on, accepted.json())
        await kept(devnet, farm, end + grid)
        for _ in range(2):
            await next_epoch(devnet)
            await farm.node.follower.refresh()
            assert await farm.step() is Action.PROVE
        entries = farm.node.ledger.entries(Epoch(end))
        assert [entry.extension for entry in entries] == [False, False, True]


async def test_a_farm_that_lost_its_ledger_proves_its_extensions_again(
    devnet: Devnet, tmp_path: Path
) -> None:
    """With what the chain tells of them; nothing that is here is fetched."""
    config = await registered(devnet, tmp_path)
    grid = devnet.chain.parameters.grid_epochs
    end = await begun(devnet)
    async with running(devnet, tmp_path, config) as farm:
        slot = await kept(devnet, farm, end)
        await devnet.mine_to_epoch(end - 1, offset_blocks=1)
        on = longer(slot, end + grid)
        accepted = await farm.accept(on, previous=slot.order.hex())
        assert accepted.status_code == 200, accepted.text
        await extend(devnet, slot, on, accepted.json())
        placed = await kept(devnet, farm, end + grid)
        before = farm.node.ledger.entries(Epoch(end - 1))
        used = farm.node.capacity.used_bytes
    for path in config.data_folder.glob(f"{LEDGER_NAME}*"):
        path.unlink()
    async with running(devnet, tmp_path, config) as farm:
        await farm.node.follower.refresh()
        await farm.node.self_repairer.tick()
        assert farm.node.ledger.entries(Epoch(end - 1)) == before
        assert farm.node.damaged_pieces.all() == []
        assert farm.node.capacity.used_bytes == used
        for _ in range(2):
            assert await farm.step() is Action.PROVE
            await next_epoch(devnet)
        assert (await farm.get(on)).content == slot.data
        assert (await farm.get(placed)).content == placed.data


async def test_where_files_have_one_name_the_bytes_are_copied_if_there_is_room(
    devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then they count twice, are on the disk twice, and stay when the first order goes."""
    config = await registered(devnet, tmp_path)
    monkeypatch.setattr(DiskFiles, "link", NoLinks.link)
    grid = devnet.chain.parameters.grid_epochs
    end = await begun(devnet)
    async with running(devnet, tmp_path, config) as farm:
        slot = await kept(devnet, farm, end)
        on = longer(slot, end + grid)
        capacity, store = farm.node.capacity, farm.node.store
        with monkeypatch.context() as full:
            full.setattr(capacity, "capacity_bytes", 2 * len(slot.data) - 1)
            response = await farm.accept(on, previous=slot.order.hex())
            assert (response.status_code, error_of(response)) == (507, "no_room")
        with monkeypatch.context() as full:
            full.setattr(store, "_reserve_bytes", 1 << 60)
            response = await farm.accept(on, previous=slot.order.hex())
            assert (response.status_code, error_of(response)) == (507, "no_room")
        assert (capacity.used_bytes, store.slot_keys()) == (len(slot.data), [slot.key])
        assert farm.node.ledger.slot(on.key) is None
        accepted = await farm.accept(on, previous=slot.order.hex())
        assert accepted.status_code == 200, accepted.text
        assert (await farm.accept(on, previous=slot.order.hex())).json() == accepted.json()
        await extend(devnet, slot, on, accepted.json())
        await farm.node.follower.refresh()
        assert (capacity.used_bytes, capacity.all_unplaced_bytes) == (2 * len(slot.data), 0)
        first, second = (store.read_verified(one.key, 0) for one in (slot, on))
        assert first == second
    async with running(devnet, tmp_path, config) as farm:
        assert farm.node.capacity.used_bytes == 2 * len(slot.data)
        assert await farm.node.uploads.drop(slot.key, END_OF_TIME, Word.NOT_ASKED)
        assert farm.node.capacity.used_bytes == len(slot.data)
        assert (await farm.get(on)).content == slot.data


async def test_what_cannot_be_extended_is_refused_and_leaves_nothing(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    grid = devnet.chain.parameters.grid_epochs
    end = await begun(devnet)
    async with running(devnet, tmp_path, config) as farm:
        early = await kept(devnet, farm, end + grid)
        slot = await kept(devnet, farm, end)
        stranger = await funded(devnet, Wallet.random())
        on = longer(slot, end + grid)
        refusals = [
            (longer(early, end + 2 * grid), {"previous": early.order.hex()}, (409, "terms_refused")),
            (on, {"previous": "00" * 32}, (404, "not_found")),
            (on, {"previous": slot.order.hex(), "root": "11" * 32}, (422, "root_mismatch")),
            (on, {"previous": slot.order.hex(), "rate": 1}, (409, "terms_refused")),
            (replace(on, renter=stranger), {"previous": slot.order.hex()}, (403, "foreign")),
        ]
        for wanted, changes, expected in refusals:
            response = await farm.accept(wanted, **changes)
            assert (response.status_code, error_of(response)) == expected
            assert farm.node.ledger.slot(wanted.key) is None
        assert len(farm.node.store.slot_keys()) == 2
        assert len(farm.node.ledger.slots(*SlotState)) == 2


async def test_a_stake_that_covers_a_slot_covers_its_extension_too(devnet: Devnet, tmp_path: Path) -> None:
    """What begins when the slot ends needs no stake beside it; what another slot needs is not there."""
    parameters = devnet.chain.parameters
    collateral_epochs, grid = parameters.collateral_epochs, parameters.grid_epochs
    end = await begun(devnet)
    rate = parcel_until(end, Wallet.random()).rate
    config = await registered(devnet, tmp_path, stake=2 * rate * collateral_epochs)
    async with running(devnet, tmp_path, config) as farm:
        first, second = await kept(devnet, farm, end), await kept(devnet, farm, end)
        for slot in (first, second):
            on = longer(slot, end + grid)
            accepted = await farm.accept(on, previous=slot.order.hex())
            assert accepted.status_code == 200, accepted.text
            again = await farm.accept(on, previous=slot.order.hex())
            assert again.json() == accepted.json()
            await extend(devnet, slot, on, accepted.json())
            await farm.node.follower.refresh()
        farmer = await devnet.chain.farmer(config.farmer)
        assert (farmer.committed_rate, farmer.carried_rate) == (4 * rate, 2 * rate)
        renter = await funded(devnet, Wallet.random())
        third = parcel_until(end, renter)
        await farm.upload(third)
        response = await farm.accept(third)
        assert (response.status_code, error_of(response)) == (409, "stake_too_small")


async def test_a_stranger_with_an_invented_order_has_no_honest_endpoint_named(
    devnet: Devnet, tmp_path: Path
) -> None:
    """One that keeps nothing of an order has only the stranger's word for it, and one endpoint's."""
    async with HostileProxy.before(devnet.rpc_url) as liar:
        through = devnet.network.model_copy(update={"rpc": (devnet.rpc_url, liar.url)})
        config = await registered(devnet, tmp_path, network=through)
        end, grid = await begun(devnet), devnet.chain.parameters.grid_epochs
        async with running(devnet, tmp_path, config) as farm:
            slot = await kept(devnet, farm, end)
            method, params = devnet.chain.order_question(slot.order)
            shown = await devnet.chain.rpc.call(method, *params)
            liar.change = lambda method, result: (
                shown if method == "eth_call" and len(result) == len(shown) else result
            )
            on = replace(longer(slot, end + grid), renter=await funded(devnet, Wallet.random()))
            await farm.upload(on)
            refused = await farm.accept(on, previous="5a" * 32)
            assert (refused.status_code, error_of(refused)) == (404, "not_found")
            rpc = farm.node.follower._market.rpc
            assert len(rpc.connections) == 2
            assert all(map(rpc.is_trusted, rpc.connections))
            assert not rpc.reports


async def test_a_farm_that_keeps_a_slot_extends_it_though_its_first_endpoint_denies_the_order(
    devnet: Devnet, tmp_path: Path
) -> None:
    """What it keeps is evidence of its own, so the liar is named."""
    async with HostileProxy.before(devnet.rpc_url) as liar:
        through = devnet.network.model_copy(update={"rpc": (liar.url, devnet.rpc_url)})
        config = await registered(devnet, tmp_path, network=through)
        end, grid = await begun(devnet), devnet.chain.parameters.grid_epochs
        async with running(devnet, tmp_path, config) as farm:
            slot = await kept(devnet, farm, end)
            await liar.begin(NO_ORDERS)
            accepted = await farm.accept(longer(slot, end + grid), previous=slot.order.hex())
            assert accepted.status_code == 200, accepted.text
            assert any(liar.url in told for told in farm.node.follower._market.rpc.reports)

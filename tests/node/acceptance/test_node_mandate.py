"""Extending by mandate: what anyone can make a farmer sign, and what the contract makes of it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from node_support import Parcel, error_of
from test_node_devnet import LiveFarm, funded, registered, running
from test_node_extension import begun, devnet, just_placed, kept, longer

from grange.allow_lists import FARMERS, ListFiles
from grange.chain import Sender, Wallet, calls
from grange.messages import extension_id
from grange.types import Acceptance, Epoch, FarmerId, Held, MandateTerms, OrderId, Slot
from grange.units import GIB, LEAF_BYTES, TOKEN
from grange.wire import paths
from grange_devnet import Devnet
from grange_node.config import HAND_OVERS_NAME, REPAIRS_NAME
from grange_node.hand_over.list_file import HandOverList

__all__ = ["devnet"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


EGRESS_PRICE = 5


async def ask(farm: LiveFarm, by: Wallet, previous: OrderId, order: OrderId) -> httpx.Response:
    """Somebody asks for the slot 0 of an order."""
    path = paths.accept_path(order, 0)
    body = json.dumps({"use": "mandate", "previous": previous.hex()}).encode()
    content = hashlib.sha256(body).digest()
    return await farm.http.post(path, content=body, headers=farm.sign(by, "POST", path, content))


async def cover(devnet: Devnet, slot: Parcel, number: int, **changes: Any) -> None:
    """The renter's mandate, at the price of the slot."""
    grid = devnet.chain.parameters.grid_epochs
    terms = MandateTerms(
        highest_price=-(-slot.rate * GIB // len(slot.data)),
        highest_egress_price=EGRESS_PRICE,
        fee=TOKEN,
        until=Epoch(slot.end + 4 * grid),
        term_epochs=grid,
        total=10 * TOKEN,
    )
    sender = Sender(devnet.chain, slot.renter)
    await sender.send(calls.deposit_with_permit(await devnet.chain.permit(slot.renter, 10 * TOKEN)))
    await sender.send(calls.give_mandate(number, replace(terms, **changes), orders=[slot.order]))


async def test_anyone_may_ask_and_everybody_is_given_the_same(devnet: Devnet, tmp_path: Path) -> None:
    """At the farmer's price, for an order whose id follows from the mandate; each can use it for itself only,
    and the first one's transaction extends the order."""
    config = await registered(devnet, tmp_path, egress_price_per_gib=EGRESS_PRICE)
    end = await begun(devnet)
    grid = devnet.chain.parameters.grid_epochs
    async with running(devnet, tmp_path, config) as farm:
        slot = await kept(devnet, farm, end)
        order = extension_id(slot.order, Epoch(end + grid))
        one, other = [await funded(devnet, Wallet.random()) for _ in range(2)]
        refused = await ask(farm, one, slot.order, order)
        assert (refused.status_code, error_of(refused)) == (409, "terms_refused")
        await cover(devnet, slot, 1, highest_price=1)
        refused = await ask(farm, one, slot.order, order)
        assert (refused.status_code, error_of(refused)) == (409, "terms_refused")
        await cover(devnet, slot, 2, highest_egress_price=EGRESS_PRICE - 1)
        refused = await ask(farm, one, slot.order, order)
        assert (refused.status_code, error_of(refused)) == (409, "terms_refused")
        await cover(devnet, slot, 3)
        missing = await ask(farm, one, slot.order, extension_id(slot.order, Epoch(end + 2 * grid)))
        assert (missing.status_code, error_of(missing)) == (404, "not_found")
        first, second = [(await ask(farm, by, slot.order, order)).json() for by in (one, other)]
        assert (first["rate"], first["end"]) == (slot.rate, end + grid)
        assert first["max_egress_price_per_gib"] == EGRESS_PRICE
        assert {key for key in first if first[key] != second[key]} <= {"r", "vs"}
        await extend(devnet, slot, other, second)
        await farm.node.follower.refresh()
        shown = await devnet.chain.order(order)
        assert shown is not None
        assert (shown.renter, shown.mandate) == (slot.renter.address, 3)
        assert await devnet.chain.earnings(other.address) == TOKEN
        late = await ask(farm, one, slot.order, order)
        assert (late.status_code, error_of(late)) == (409, "terms_refused")


async def test_what_was_placed_since_the_farm_looked_is_extended_by_mandate(
    devnet: Devnet, tmp_path: Path
) -> None:
    """Anyone who asks at once is not told that nothing is here."""
    config = await registered(devnet, tmp_path)
    end, grid = await begun(devnet), devnet.chain.parameters.grid_epochs
    async with running(devnet, tmp_path, config) as farm:
        slot = await just_placed(devnet, farm, end)
        await cover(devnet, slot, 1)
        answer = await ask(farm, Wallet.random(), slot.order, extension_id(slot.order, Epoch(end + grid)))
        assert answer.status_code == 200, answer.text


async def test_what_is_being_handed_over_is_not_kept_on(devnet: Devnet, tmp_path: Path) -> None:
    """By its renter or by mandate: its next farmer goes on with it. When it is to stay after all, it is."""
    config = await registered(devnet, tmp_path)
    end = await begun(devnet)
    grid = devnet.chain.parameters.grid_epochs
    async with running(devnet, tmp_path, config) as farm:
        slot = await kept(devnet, farm, end)
        await cover(devnet, slot, 1)
        order, by = extension_id(slot.order, Epoch(end + grid)), Wallet.random()
        with HandOverList.open(config.data_folder / HAND_OVERS_NAME) as listed:
            listed.add([(slot.order, slot.slot)], [])
            for refused in (
                await ask(farm, by, slot.order, order),
                await farm.accept(longer(slot, end + grid), previous=slot.order.hex()),
            ):
                assert (refused.status_code, error_of(refused)) == (409, "terms_refused")
                assert "being handed over" in refused.text
            listed.remove([(slot.order, slot.slot)])
        assert (await ask(farm, by, slot.order, order)).status_code == 200


async def test_who_is_not_on_the_lists_extends_nothing_by_mandate(devnet: Devnet, tmp_path: Path) -> None:
    """It could leave friends out in the second half of the period, and so make room for others. The renter
    itself is on no list of farmers, and extends."""
    config = await registered(devnet, tmp_path)
    end = await begun(devnet)
    grid = devnet.chain.parameters.grid_epochs
    async with running(devnet, tmp_path, config) as farm:
        slot = await kept(devnet, farm, end)
        await cover(devnet, slot, 1)
        order, friend = extension_id(slot.order, Epoch(end + grid)), Wallet.random()
        (config.data_folder / REPAIRS_NAME).mkdir(exist_ok=True)
        ListFiles(folder=config.data_folder / REPAIRS_NAME, of=FARMERS).allow(friend.address)
        await farm.node.farmer_lists.load()
        refused = await ask(farm, Wallet.random(), slot.order, order)
        assert (refused.status_code, error_of(refused)) == (409, "terms_refused")
        assert "only for those that its owner chose" in refused.text
        assert (await ask(farm, friend, slot.order, order)).status_code == 200
        assert (await farm.accept(longer(slot, end + 2 * grid), previous=slot.order.hex())).status_code == 200


async def extend(devnet: Devnet, slot: Parcel, by: Wallet, answer: dict[str, Any]) -> None:
    """Have the contract extend the order by the mandate."""
    chain = devnet.chain
    [filled] = await chain.logs(0, (await chain.head()).number, ["SlotFilled"], {"order": slot.order})
    tenure = Slot(
        farmer=FarmerId(filled.args["farmer"]),
        root=filled.args["root"],
        rate=filled.args["rate"],
        max_egress_price_per_gib=filled.args["max_egress_price_per_gib"],
        start=Epoch(filled.args["from"]),
    )
    held = Held(
        order=slot.order,
        leaf_count=answer["leaf_count"],
        piece_leaves=len(slot.pieces[0]) // LEAF_BYTES,
        slots=(tenure,),
    )
    acceptance = Acceptance(
        farmer=tenure.farmer,
        root=tenure.root,
        rate=answer["rate"],
        max_egress_price_per_gib=answer["max_egress_price_per_gib"],
        deadline_block=answer["deadline_block"],
        r=bytes.fromhex(answer["r"]),
        vs=bytes.fromhex(answer["vs"]),
    )
    await Sender(chain, by).send(calls.extend_by_mandate(held, [acceptance], by.address))


async def test_of_what_it_does_not_keep_a_farmer_signs_nothing(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    async with running(devnet, tmp_path, config) as farm:
        unknown = OrderId(bytes(range(32)))
        response = await ask(farm, Wallet.random(), unknown, extension_id(unknown, Epoch(8)))
        assert (response.status_code, error_of(response)) == (404, "not_found")

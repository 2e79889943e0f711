"""What a farm knows of its orders' slots, for itself and for all who have no endpoint with old logs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from node_support import Farm, Parcel, error_of, open_farm, parcel, pass_blocks
from takeover_support import order_state, rebuilt

from grange.chain import ChainUnavailable, RpcError, Wallet
from grange.chain.orders import OrderState
from grange.types import OrderId
from grange.wire import paths
from grange.wire.bodies import ShownOrder, parse_answer
from grange_node.chain.known_orders import KEPT_GRID_PERIODS, MAX_LOOKED_UP, REQUESTS_IN_A_ROW, KnownOrders

STRANGER = Wallet(b"\x31" * 32)
STATE = order_state(rebuilt())
END = 40


def knowing(farm: Farm, asked: list[OrderId], *, fails: Exception | None = None) -> KnownOrders:
    """What the farm knows, with a chain that a test makes up; `asked` are the orders that were looked up."""
    node = farm.node
    index = node.known_orders._index

    async def look_up(order: OrderId) -> OrderState:
        asked.append(order)
        if fails is not None:
            raise fails
        state = replace(STATE, id=order)
        await node.executors.in_database(index.note, state)
        return state

    return KnownOrders(
        index,
        ledger=node.ledger,
        follower=node.follower,
        look_up=look_up,
        grid_epochs=node.config.parameters.grid_epochs,
        clock=farm.clock.steady,
        executors=node.executors,
    )


async def ask(farm: Farm, order: OrderId, by: Wallet = STRANGER) -> object:
    path = paths.order_path(order)
    return await farm.http.get(path, headers=farm.sign(by, "GET", path))


async def kept(farm: Farm, count: int) -> list[Parcel]:
    slots = [parcel(1, seed=seed, end=END) for seed in range(count)]
    for slot in slots:
        await farm.keep(slot)
    return slots


async def test_each_order_is_looked_up_when_it_is_placed_and_once_an_epoch(tmp_path: Path) -> None:
    async with open_farm(tmp_path) as farm:
        asked: list[OrderId] = []
        known = knowing(farm, asked)
        first, second = await kept(farm, 2)
        assert await known.tick()
        assert sorted(asked) == sorted([first.order, second.order])
        assert not await known.tick()
        late = parcel(1, seed=9, end=END)
        await farm.keep(late)
        assert await known.tick()
        assert asked[2:] == [late.order]
        farm.market.mine_to_epoch(farm.market.epoch + 1)
        await farm.node.follower.refresh()
        assert await known.tick()
        assert sorted(asked[3:]) == sorted([first.order, second.order, late.order])


async def test_a_large_farm_looks_up_a_part_at_a_time(tmp_path: Path) -> None:
    async with open_farm(tmp_path) as farm:
        asked: list[OrderId] = []
        known = knowing(farm, asked)
        slots = await kept(farm, MAX_LOOKED_UP + 3)
        await known.tick()
        assert len(asked) == MAX_LOOKED_UP
        await known.tick()
        assert sorted(asked) == sorted(slot.order for slot in slots)


async def test_one_order_that_cannot_be_looked_up_keeps_none_of_the_others_from_it(tmp_path: Path) -> None:
    async with open_farm(tmp_path) as farm:
        asked: list[OrderId] = []
        await kept(farm, 2)
        refusal = RpcError("eth_getLogs", -32701, "old data not available due to pruning")
        await knowing(farm, asked, fails=refusal).tick()
        assert len(asked) == 2
        with pytest.raises(ChainUnavailable):
            await knowing(farm, asked, fails=ChainUnavailable("http://chain", "down")).tick()
        assert len(asked) == 3, "without a chain the rest is not tried"


async def test_anyone_is_shown_an_order_of_which_a_slot_is_here(tmp_path: Path) -> None:
    async with open_farm(tmp_path) as farm:
        [slot] = await kept(farm, 1)
        assert (await ask(farm, slot.order)).status_code == 404
        await knowing(farm, []).tick()
        before = farm.market.orders_asked, farm.market.states_asked
        response = await ask(farm, slot.order)
        assert response.status_code == 200
        shown = parse_answer(ShownOrder, response.content)
        assert shown.held(slot.order) == replace(STATE, id=slot.order).held
        assert (shown.block, shown.previous) == (STATE.block, STATE.previous)
        assert (farm.market.orders_asked, farm.market.states_asked) == before, (
            "the chain is not asked for those who ask"
        )
        unknown = await ask(farm, OrderId(b"\x5a" * 32))
        assert (unknown.status_code, error_of(unknown)) == (404, "not_found")


async def test_who_does_not_sign_is_shown_nothing(tmp_path: Path) -> None:
    async with open_farm(tmp_path) as farm:
        [slot] = await kept(farm, 1)
        await knowing(farm, []).tick()
        response = await farm.http.get(paths.order_path(slot.order))
        assert (response.status_code, error_of(response)) == (401, "unauthorised")


async def test_who_asks_without_end_is_told_to_wait(tmp_path: Path) -> None:
    """Half of what there is for one network; after a while there is more."""
    async with open_farm(tmp_path) as farm:
        [slot] = await kept(farm, 1)
        await knowing(farm, []).tick()
        statuses = [(await ask(farm, slot.order)).status_code for _ in range(REQUESTS_IN_A_ROW)]
        assert set(statuses) == {200, 429}
        assert REQUESTS_IN_A_ROW // 4 < statuses.count(200) < REQUESTS_IN_A_ROW
        pass_blocks(farm, 10)
        assert (await ask(farm, slot.order)).status_code == 200


async def test_what_is_known_outlives_a_restart_and_a_damaged_file_only_costs_questions(
    tmp_path: Path,
) -> None:
    async with open_farm(tmp_path) as farm:
        [slot] = await kept(farm, 1)
        await knowing(farm, []).tick()
        market, file = farm.market, farm.node.config.data_folder / "orders.sqlite3"
    async with open_farm(tmp_path, market=market) as farm:
        assert (await ask(farm, slot.order)).status_code == 200
    file.write_bytes(b"\x00 spoilt" * 1_000)
    async with open_farm(tmp_path, market=market) as farm:
        assert (await ask(farm, slot.order)).status_code == 404
        await farm.node.follower.refresh()
        await knowing(farm, []).tick()
        assert (await ask(farm, slot.order)).status_code == 200


async def test_an_order_that_is_over_is_shown_as_long_as_it_may_be_closed(tmp_path: Path) -> None:
    async with open_farm(tmp_path) as farm:
        [slot] = await kept(farm, 1)
        known = knowing(farm, [])
        await known.tick()
        grid = farm.node.config.parameters.grid_epochs
        for epochs, status in ((STATE.end + 1, 200), (STATE.end + KEPT_GRID_PERIODS * grid + 1, 404)):
            farm.market.mine_to_epoch(epochs)
            await farm.node.follower.refresh()
            known._looked_up = {slot.order: farm.node.follower.view.head.epoch}  # type: ignore[union-attr]
            await known.tick()
            assert (await ask(farm, slot.order)).status_code == status

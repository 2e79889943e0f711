"""One URL behind which there are two nodes, of which one lags; requests go to them by turns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from chain_support import TestFarmer, funded, store
from hostile_proxy import OLD_HEAD, HostileProxy
from test_market_repair import LEAVES

from grange.chain import Chain, ChainError, EventFilter, EventFollower, Rollback, Sender, Timeouts
from grange.chain.orders import ORDER_EVENTS
from grange.chain.renter_events import RenterEvents
from grange.types import Address
from grange_devnet import Devnet

pytestmark = pytest.mark.asyncio(loop_scope="module")
HASTY = Timeouts(connect_seconds=2.0, request_seconds=5.0, retries=0, pause_seconds=0.01)
BEHIND_BLOCKS = 20
LOOKS = 2
Events = dict[tuple[int, int], str]


@asynccontextmanager
async def balanced(devnet: Devnet, *, begins_behind: bool) -> AsyncIterator[Chain]:
    async with HostileProxy.before(devnet.rpc_url) as proxy:
        await proxy.begin(OLD_HEAD)
        async with Chain.connect(proxy.url, devnet.market, timeouts=HASTY) as chain:
            proxy.every_second = True
            proxy._requests = int(begins_behind)
            yield chain


def of_market(chain: Chain, _: Address) -> EventFollower:
    """As repairers read."""
    return EventFollower(chain, [EventFilter(events=ORDER_EVENTS)], read=chain.logs_and_hashes)


def of_renter(chain: Chain, renter: Address) -> EventFollower:
    """As a renter reads."""
    events = RenterEvents(chain, renter)
    return EventFollower(events, read=events.logs_and_hashes)


async def followed(follower: EventFollower) -> Events:
    """What is there after some looks, when what was taken back is gone."""
    events: Events = {}
    for _ in range(LOOKS):
        with suppress(ChainError):
            for step in await follower.poll():
                if isinstance(step, Rollback):
                    events = {place: name for place, name in events.items() if place[0] <= step.block}
                else:
                    events |= {event.position: event.name for event in step.events}
    return events


@pytest.mark.parametrize("begins_behind", [False, True])
@pytest.mark.parametrize("reads", [of_market, of_renter])
async def test_no_event_is_passed_over_for_a_node_that_does_not_have_its_block(
    devnet: Devnet,
    reads: Callable[[Chain, Address], EventFollower],
    begins_behind: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such a node gives an empty list, which others took for "no events" (go-ethereum #24078)."""
    monkeypatch.setattr("grange.chain.follower.MAX_BATCHES_PER_POLL", 6)
    farmers = [await TestFarmer.register(devnet) for _ in range(2)]
    renter = Sender(devnet.chain, await funded(devnet))
    async with balanced(devnet, begins_behind=begins_behind) as chain:
        follower = reads(chain, renter.address)
        await devnet.mine(BEHIND_BLOCKS // 2)
        await store(devnet, renter, farmers, leaf_count=LEAVES)
        await devnet.mine(BEHIND_BLOCKS // 2)
        shown = await followed(follower)
    truth = await followed(reads(devnet.chain, renter.address))
    assert "OrderPlaced" in truth.values()
    # What the node that answered last lacks was taken back, or not read yet; it comes when the other answers.
    assert shown == {place: name for place, name in truth.items() if place[0] <= follower.cursor.block}

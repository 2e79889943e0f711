"""What a farm holds in memory, and writes to its log, for those who ask: bounded, whatever they do."""

import asyncio
import logging
from itertools import islice
from typing import Any

import pytest
from node_support import PIECE_BYTES, Clock, Farm, error_of, parcel

from grange_node.api.routes.data import PARTS_IN_MEMORY
from grange_node.limits.log_seldom import PAUSE_SECONDS, LogSeldom
from grange_node.limits.networks import UNKNOWN, network_of


async def slow_read(farm: Farm, address: str, taken: asyncio.Event) -> int:
    """Read a slot of one's own, and take its bytes when told to; gives the status."""
    slot, status = parcel(), 0
    headers = farm.sign(slot.renter, "GET", slot.path)
    scope = {
        "type": "http",
        "method": "GET",
        "path": slot.path,
        "raw_path": slot.path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": (address, 1),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif status == 200:
            await taken.wait()

    await farm.app(scope, receive, send)
    return status


async def test_those_who_take_their_bytes_slowly_hold_no_more_than_their_share_of_memory(farm: Farm) -> None:
    """The renter of a small slot, too: with thousands of connections it would fill the memory."""
    await farm.keep(parcel())
    memory, taken = farm.node.memory, asyncio.Event()
    memory.limit = 8 * PARTS_IN_MEMORY * PIECE_BYTES
    slow = [asyncio.create_task(slow_read(farm, "203.0.113.9", taken)) for _ in range(20)]
    refused = [await task for task in islice(asyncio.as_completed(slow), 14)]
    assert refused == [429] * 14
    assert memory.total == memory.taken(network_of("203.0.113.9")) == 6 * PARTS_IN_MEMORY * PIECE_BYTES
    assert (await farm.seen_from("198.51.100.7").get(parcel())).status_code == 200
    taken.set()
    statuses = await asyncio.gather(*slow)
    assert statuses.count(200) == 6
    assert memory.total == 0


async def test_a_piece_that_comes_in_slowly_counts_likewise(farm: Farm) -> None:
    farm.node.memory.limit = PIECE_BYTES
    with farm.node.memory.held(UNKNOWN, PIECE_BYTES, AssertionError()):
        response = await farm.put(parcel(), 0)
        assert (response.status_code, error_of(response)) == (429, "limit_reached")
    assert (await farm.put(parcel(), 0)).status_code == 201
    assert farm.node.memory.total == 0


def test_the_same_is_logged_seldom_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    seldom = LogSeldom(logging.getLogger("grange.farm"), clock)
    for _ in range(1000):
        seldom.warn("no_room", "PUT /: full")
    seldom.warn("store_failed", "GET /: broken")
    assert caplog.messages == ["PUT /: full", "GET /: broken"]
    clock.now += PAUSE_SECONDS
    seldom.warn("no_room", "PUT /: full")
    assert caplog.messages[2:] == ["PUT /: full (999 more like it before)"]


async def test_a_full_farm_says_so_once_whatever_strangers_send(
    farm: Farm, caplog: pytest.LogCaptureFixture
) -> None:
    farm.node.capacity.capacity_bytes = PIECE_BYTES
    await farm.put(parcel(), 0)
    for _ in range(5):
        assert (await farm.put(parcel(1, seed=1), 0)).status_code == 507
    assert len([line for line in caplog.messages if "capacity" in line]) == 1

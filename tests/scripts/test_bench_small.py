"""`scripts/bench small`, made small: requests are counted; how fast it is depends on the machine."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from speed.small import SmallOptions, measure_small

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPTIONS = SmallOptions(farmers=3, k=1, n=3, rounds=2, objects=6, commands=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return await measure_small(OPTIONS, tmp_path_factory.mktemp("small"))


async def test_small_objects_take_no_more_requests_than_they_need(figures: dict[str, Any]) -> None:
    """Upper bounds, of the round that had most: a figure that rises has a reason to be given."""
    most = {
        "put_1_kib": (5, 2 * OPTIONS.n),
        "get_1_kib": (1, 1),
        "command_get_1_kib": (8, 1),
    }
    asked = {name: (figures[name]["rpc_requests"], figures[name]["farmer_requests"]) for name in most}
    assert all(one <= limit for name in most for one, limit in zip(asked[name], most[name], strict=True)), (
        asked
    )
    one_of_many = figures["many"]["get_one_of_them"]
    assert one_of_many["rpc_requests"] <= 1
    assert one_of_many["farmer_requests"] <= 2


async def test_every_round_has_its_figures(figures: dict[str, Any]) -> None:
    """It stops the clock of what is acknowledged before that of what is in a block."""
    put, get = figures["put_1_kib"], figures["get_1_kib"]
    assert 0 < put["acknowledged"]["wall_ms"] < put["in_a_block"]["wall_ms"]
    assert 0 < get["first_byte"]["wall_ms"] <= get["whole"]["wall_ms"]
    waits = get["waits"]
    assert waits["chain_ms"] > 0
    assert waits["farmers_ms"] > 0
    assert figures["many"]["objects_per_s_acknowledged"] > 0
    assert figures["options"]["objects"] == OPTIONS.objects

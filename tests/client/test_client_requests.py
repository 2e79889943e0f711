"""How often a renter asks the chain, command by command, on a client that runs on.

Providers bill and limit by it, and each request is a round trip. The figures are upper bounds: one that rises
has a reason to be given.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from client_fakes import CALM
from request_counts import RequestCounter
from test_client_devnet import CODE, Town, town

from grange_client.renter import Renter

__all__ = ["town"]


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> RequestCounter:
    return RequestCounter(monkeypatch)


@pytest.mark.parametrize("endpoints", [1, 3])
async def test_commands_ask_no_more_than_they_need(
    town: Town, tmp_path: Path, counter: RequestCounter, endpoints: int
) -> None:
    """More endpoints add nothing while the first does well."""
    urls = tuple(f"{town.devnet.rpc_url}/{number}" for number in range(endpoints))
    network = town.config.network.model_copy(update={"rpc": urls})
    town.config = replace(town.config, network=network)
    file = tmp_path / "small"
    file.write_bytes(bytes(1024))
    with counter.counting("connect", at_most=1):
        opened = Renter.open(town.config, policy=CALM)
        renter = await opened.__aenter__()
    try:
        with counter.counting("first quote of a kibibyte", at_most=4):
            quote = await renter.quote([file], CODE)
        with counter.counting("first put", at_most=4):
            await renter.put(quote)
        with counter.counting("quote of a kibibyte", at_most=1):
            quote = await renter.quote([file], CODE)
        with counter.counting("put", at_most=4):
            await renter.put(quote)
        with counter.counting("first list of two orders", at_most=2):
            await renter.orders()
        with counter.counting("list of two orders", at_most=1):
            await renter.orders()
        with counter.counting("list in seconds and epochs", at_most=1):
            await renter.market.clock()
        await town.devnet.mine(1)
        with counter.counting("find after a block", at_most=2):
            known = await renter.find("small")
        with counter.counting("plan of a get", at_most=1):
            plan = await renter.plan_get(known.order)
        with counter.counting("get as planned", at_most=0):
            await renter.carry_out(plan, tmp_path / "out")
        with counter.counting("find and get by name", at_most=3):
            known = await renter.find("small")
            await renter.get(known.order, tmp_path / "again")
        await town.devnet.mine(1)
        with counter.counting("find and get by name after a block", at_most=2):
            known = await renter.find("small")
            await renter.get(known.order, tmp_path / "third")
        with counter.counting("funds", at_most=1):
            await renter.funds()
        with counter.counting("farmers", at_most=0):
            await renter.farmers()
    finally:
        await opened.__aexit__(None, None, None)
    assert (tmp_path / "out" / "small").read_bytes() == bytes(1024)

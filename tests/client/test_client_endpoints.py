"""A renter with several endpoints of a real chain, one of which lies: nothing is paid twice, nothing hidden,
and every command ends, in words if it must."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from client_fakes import CALM
from hostile_proxy import (
    LEAP,
    LIES,
    NO_LOGS,
    NO_LOGS_AND_OTHER_HASHES,
    NO_ORDERS,
    OLD_HEAD,
    OTHER_HASHES,
    HostileProxy,
)
from test_client_devnet import CODE, WORDS, Town, town

from grange.chain import Timeouts
from grange.errors import GrangeError
from grange_client.keys.config import Config, set_up
from grange_client.renter import Renter

__all__ = ["town"]

HASTY = Timeouts(connect_seconds=1.0, request_seconds=1.5, retries=1, pause_seconds=0.01)


def behind(town: Town, proxy: HostileProxy, home: Path, *, first: bool) -> Config:
    """A new home with the same phrase, which asks the proxy and an honest endpoint."""
    urls = (proxy.url, town.devnet.rpc_url) if first else (town.devnet.rpc_url, proxy.url)
    network = town.config.network.model_copy(update={"rpc": urls})
    return set_up(home, phrase=WORDS, network=network)


async def placed(town: Town) -> int:
    """How many orders were placed, by the chain itself."""
    return len(await town.devnet.chain.logs(0, None, ["OrderPlaced"]))


QUICKLY_TRIED = {(LEAP, True), (NO_ORDERS, True), (OLD_HEAD, True), (OTHER_HASHES, False)}


@pytest.mark.parametrize(
    ("lie", "first"),
    [
        pytest.param(lie, first, marks=[] if (lie, first) in QUICKLY_TRIED else pytest.mark.long)
        for lie in LIES
        for first in (True, False)
    ],
)
async def test_whatever_one_of_two_endpoints_says_an_order_is_paid_once_and_found(
    town: Town, tree: Path, tmp_path: Path, lie: str, first: bool
) -> None:
    async with HostileProxy.before(town.devnet.rpc_url) as proxy:
        config = behind(town, proxy, tmp_path / "new", first=first)
        account = config.identity.wallet.address
        before = await town.devnet.chain.token_balance(account)
        async with Renter.open(config, policy=CALM, timeouts=HASTY) as renter:
            await proxy.begin(lie)
            stored = None
            with suppress(GrangeError):
                stored = await renter.put(await renter.quote([tree], CODE))
            assert await placed(town) == (0 if stored is None else 1)
        spent = before - await town.devnet.chain.token_balance(account)
        assert spent == (0 if stored is None else stored.order.cost)
        if stored is None:
            proxy.lie = None
            async with Renter.open(config, policy=CALM, timeouts=HASTY) as renter:
                stored = await renter.put(await renter.quote([tree], CODE))
            await proxy.begin(lie)
        async with Renter.open(config, policy=CALM, timeouts=HASTY) as renter:
            known = await renter.orders()
            assert [one.order.id for one in known] == [stored.order.id]
            if lie == LEAP and first:
                assert any(proxy.url in notice for notice in renter.notices())
            await renter.get(known[0].order, tmp_path / "back")
        assert await placed(town) == 1


@pytest.mark.parametrize("lie", [NO_LOGS, NO_LOGS_AND_OTHER_HASHES, OLD_HEAD])
async def test_orders_that_the_first_endpoint_hides_are_listed_and_it_is_named(
    town: Town, tree: Path, tmp_path: Path, lie: str
) -> None:
    async with HostileProxy.before(town.devnet.rpc_url) as proxy:
        if lie == OLD_HEAD:
            await proxy.begin(lie)
        async with Renter.open(town.config, policy=CALM) as renter:
            stored = await renter.put(await renter.quote([tree], CODE))
        if lie != OLD_HEAD:
            await proxy.begin(lie)
        config = behind(town, proxy, tmp_path / "new", first=True)
        async with Renter.open(config, policy=CALM, timeouts=HASTY) as renter:
            assert [one.order.id for one in await renter.orders()] == [stored.order.id]
            assert any(
                proxy.url in notice and "did not show 1 order" in notice for notice in renter.notices()
            )


async def test_with_one_endpoint_nothing_is_kept_of_endpoints(town: Town) -> None:
    async with Renter.open(replace(town.config), policy=CALM) as renter:
        await renter.orders()
    assert not (town.config.home / "endpoints.json").exists()

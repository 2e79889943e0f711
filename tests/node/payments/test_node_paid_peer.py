"""Payments and node together, over real sockets: each byte is paid once, whatever happens in between."""

import asyncio
from contextlib import suppress
from hashlib import sha256, shake_256
from pathlib import Path

import pytest
from node_support import FakeMarket, Parcel, parcel
from paid_support import PRICED, RENTER, STRANGER, VAULT, customer, serving

from grange.peer import (
    Budget,
    FarmerLied,
    FarmerRefused,
    OverBudget,
    Peer,
)
from grange.wire.limits import STEP_BYTES
from grange_node.api.connection_limits import Limits
from grange_node.config import OfferFile


@pytest.fixture
def market() -> FakeMarket:
    made = FakeMarket()
    made.vaults = {RENTER.address: VAULT, STRANGER.address: VAULT}
    return made


async def got(peer: Peer, slot: Parcel, start: int, size_bytes: int) -> bool:
    """Whether these bytes come, and are right."""
    return await peer.read(slot.order, slot.slot, start, size_bytes) == slot.data[start : start + size_bytes]


async def test_concurrent_downloads_are_paid_once_and_never_refused(
    tmp_path: Path, market: FakeMarket
) -> None:
    """Two processes with one file of payment channels, forty reads at once."""
    slot, channels_path = parcel(), tmp_path / "payment-channels.sqlite"
    async with serving(tmp_path / "data", market) as (farm, endpoint):
        await farm.keep(slot)
        async with (
            customer(farm, endpoint, channels_path) as (one, payments),
            customer(farm, endpoint, channels_path) as (two, _),
        ):
            sizes = [(7 * turn % 50, 100 + turn) for turn in range(40)]
            reads = [
                got(one if turn % 2 else two, slot, start, size) for turn, (start, size) in enumerate(sizes)
            ]
            assert all(await asyncio.gather(*reads))
            account = farm.node.payment_gate.account(RENTER.address)
            assert account is not None
            price = sum(size for _, size in sizes)
            assert (account.cumulative, account.spent) == (price, price)
            assert payments.channels.channel(farm.node.config.farmer).total == price


async def test_a_long_read_is_made_of_steps(tmp_path: Path, market: FakeMarket) -> None:
    """Nobody pays for more than one step before it is there."""
    big = Parcel(renter=RENTER, pieces=[shake_256(b"%d" % i).digest(1 << 20) for i in range(10)])
    async with serving(tmp_path / "data", market) as (farm, endpoint):
        await farm.keep(big)
        async with customer(farm, endpoint) as (peer, payments):
            assert await got(peer, big, 5, STEP_BYTES + 1000)
            assert payments.channels.channel(farm.node.config.farmer).total == STEP_BYTES + 1000


async def test_a_payer_with_only_its_key_goes_on(tmp_path: Path, market: FakeMarket) -> None:
    """Without a memory of what it signed, on another machine, and at no further cost."""
    async with serving(tmp_path / "data", market) as (farm, endpoint):
        await farm.keep(parcel())
        async with customer(farm, endpoint) as (peer, _):
            assert await got(peer, parcel(), 0, 1000)
        async with customer(farm, endpoint) as (peer, payments):
            assert await got(peer, parcel(), 0, 10)
            assert payments.channels.channel(farm.node.config.farmer).total == 1010
        account = farm.node.payment_gate.account(RENTER.address)
        assert account is not None
        assert (account.cumulative, account.spent) == (1010, 1010)


async def test_a_payer_with_only_its_key_may_ask_for_the_same_again(
    tmp_path: Path, market: FakeMarket
) -> None:
    """What it signs first is then the very total that the farmer has seen and served."""
    async with serving(tmp_path / "data", market) as (farm, endpoint):
        await farm.keep(parcel())
        for total in (100, 200, 300):
            async with customer(farm, endpoint) as (peer, payments):
                assert await got(peer, parcel(), 0, 100)
                assert payments.channels.channel(farm.node.config.farmer).total == total


async def test_two_machines_with_one_key_both_get_on(tmp_path: Path, market: FakeMarket) -> None:
    """One of them may be passed over once, and is served the next time."""
    async with serving(tmp_path / "data", market) as (farm, endpoint):
        await farm.keep(parcel())
        async with customer(farm, endpoint) as (one, _), customer(farm, endpoint) as (two, _):
            refused = 0
            for turn in range(12):
                try:
                    assert await got((one, two)[turn % 2], parcel(), 0, 10)
                except FarmerRefused:
                    refused += 1
            assert refused <= 6
            with suppress(FarmerRefused):
                await got(one, parcel(), 0, 500)
            assert await got(one, parcel(), 0, 500)


async def test_what_is_broken_off_is_made_good(tmp_path: Path, market: FakeMarket) -> None:
    """Reads that are given up may or may not have been counted; the next ones are served all the same."""
    async with serving(tmp_path / "data", market) as (farm, endpoint):
        await farm.keep(parcel())
        async with customer(farm, endpoint) as (peer, payments):
            for turn in range(12):
                reading = asyncio.create_task(got(peer, parcel(), 0, 100))
                for _ in range(3 * turn):
                    await asyncio.sleep(0)
                reading.cancel()
                await asyncio.wait([reading])
            for _ in range(5):
                assert await got(peer, parcel(), 0, 100)
            account = farm.node.payment_gate.account(RENTER.address)
            assert account is not None
            channel = payments.channels.channel(farm.node.config.farmer)
            assert account.spent <= account.cumulative <= channel.total <= 17 * 100


async def test_a_download_goes_on_after_the_farm_was_killed(tmp_path: Path, market: FakeMarket) -> None:
    """Nothing is paid twice for that it stood still."""
    async with serving(tmp_path / "data", market) as (farm, endpoint):
        await farm.keep(parcel())
        async with customer(farm, endpoint, tmp_path / "payment-channels.sqlite") as (peer, _):
            assert await got(peer, parcel(), 0, 300)
    async with (
        serving(tmp_path / "data", market) as (farm, endpoint),
        customer(farm, endpoint, tmp_path / "payment-channels.sqlite") as (peer, payments),
    ):
        assert await got(peer, parcel(), 300, 300)
        assert payments.channels.channel(farm.node.config.farmer).total == 600


async def test_an_empty_vault_is_named_as_such(tmp_path: Path, market: FakeMarket) -> None:
    market.vaults[RENTER.address] = 50
    async with serving(tmp_path / "data", market) as (farm, endpoint):
        await farm.keep(parcel())
        async with customer(farm, endpoint) as (peer, payments):
            with pytest.raises(FarmerRefused) as raised:
                await got(peer, parcel(), 0, 60)
            assert raised.value.code == "vault_too_small"
            assert raised.value.values["missing"] == 10
            assert await got(peer, parcel(), 0, 50)
            assert payments.channels.channel(farm.node.config.farmer).total == 60


async def test_a_price_above_the_offer_is_not_paid(tmp_path: Path, market: FakeMarket) -> None:
    async with serving(tmp_path / "data", market) as (farm, endpoint):
        await farm.keep(parcel())
        cheap = PRICED.egress_price_per_gib // 2
        async with customer(farm, endpoint, egress_price_per_gib=cheap) as (peer, _):
            with pytest.raises(FarmerRefused) as raised:
                await got(peer, parcel(), 0, 100)
            assert raised.value.code == "dearer"
        assert farm.node.payment_gate.account(RENTER.address) is None


async def test_a_farm_that_raises_its_price_asks_what_it_signed_for_what_it_keeps(
    tmp_path: Path, market: FakeMarket
) -> None:
    """After a restart with the new price, and also for a slot that is accepted again."""
    dearer = OfferFile(**(PRICED.model_dump() | {"egress_price_per_gib": 2 * PRICED.egress_price_per_gib}))
    async with serving(tmp_path / "data", market) as (farm, _):
        signed = await farm.agree(parcel())
        assert signed["max_egress_price_per_gib"] == PRICED.egress_price_per_gib
        market.place(parcel().placed())
        await farm.node.follower.refresh()
    async with serving(tmp_path / "data", market, offer_terms=dearer) as (farm, endpoint):
        again = (await farm.accept(parcel())).json()
        assert again["max_egress_price_per_gib"] == PRICED.egress_price_per_gib
        asked = dearer.egress_price_per_gib
        most = PRICED.egress_price_per_gib
        async with customer(farm, endpoint, most_per_gib=most, egress_price_per_gib=asked) as (
            peer,
            payments,
        ):
            assert await got(peer, parcel(), 0, 100)
            assert payments.channels.channel(farm.node.config.farmer).total == 100
        other = parcel(seed=1, slot=4)
        assert (await farm.agree(other))["max_egress_price_per_gib"] == asked


@pytest.mark.parametrize("most", [0, PRICED.egress_price_per_gib // 2])
async def test_a_farm_that_asks_more_than_the_chain_says_it_signed_is_a_liar(
    tmp_path: Path, market: FakeMarket, most: int
) -> None:
    async with serving(tmp_path / "data", market) as (farm, endpoint):
        await farm.keep(parcel())
        async with customer(farm, endpoint, most_per_gib=most) as (peer, payments):
            with pytest.raises(FarmerLied, match="more for reading than it signed"):
                await got(peer, parcel(), 0, 100)
            assert payments.channels.channel(farm.node.config.farmer).standing == 0


async def test_a_budget_ends_a_read_before_it_is_asked_for(tmp_path: Path, market: FakeMarket) -> None:
    async with serving(tmp_path / "data", market) as (farm, endpoint):
        await farm.keep(parcel())
        async with customer(farm, endpoint) as (peer, payments):
            bounded = Peer(peer.farmer, peer._session, peer._signer, payments.within(Budget(150)))
            assert await got(bounded, parcel(), 0, 100)
            with pytest.raises(OverBudget):
                await got(bounded, parcel(), 0, 51)
            assert await got(bounded, parcel(), 0, 50)


async def test_a_repairer_buys_and_is_remembered_apart(tmp_path: Path, market: FakeMarket) -> None:
    market.stand(parcel(), is_vacant=True, is_eager=True)
    async with serving(tmp_path / "data", market) as (farm, endpoint):
        await farm.keep(parcel())
        async with customer(farm, endpoint, wallet=STRANGER) as (peer, _):
            assert await got(peer, parcel(), 0, 100)
        assert farm.node.payment_gate.account(RENTER.address) is None
        assert farm.node.payment_gate.account(STRANGER.address) is not None


async def test_what_is_free_carries_no_voucher(tmp_path: Path, market: FakeMarket) -> None:
    free = OfferFile(**(PRICED.model_dump() | {"egress_price_per_gib": 0}))
    async with serving(tmp_path / "data", market, offer_terms=free) as (farm, endpoint):
        await farm.keep(parcel())
        async with customer(farm, endpoint, egress_price_per_gib=0) as (peer, payments):
            assert await got(peer, parcel(), 0, 100)
            assert payments.channels.totals() == {}


async def test_who_takes_nothing_of_what_it_asked_for_is_cut_off(tmp_path: Path, market: FakeMarket) -> None:
    """Else a few connections of a stranger would keep all others from reading for nothing."""
    hasty = Limits(stall_seconds=0.2)
    big = Parcel(renter=RENTER, pieces=[shake_256(b"%d" % i).digest(1 << 20) for i in range(8)])
    free = OfferFile(**(PRICED.model_dump() | {"egress_price_per_gib": 0}))
    market.stand(big, is_vacant=True, is_eager=True)
    async with serving(tmp_path / "data", market, hasty, offer_terms=free) as (farm, endpoint):
        await farm.keep(big)
        wanted = f"bytes=0-{STEP_BYTES - 1}"
        signed = farm.sign(STRANGER, "GET", big.path, sha256(wanted.encode()).digest())
        lines = [f"GET {big.path} HTTP/1.1", "Host: farm", f"Range: {wanted}"]
        lines += [f"{name}: {value}" for name, value in signed.items()]
        reader, writer = await asyncio.open_connection("127.0.0.1", int(endpoint.rpartition(":")[2]), limit=1)
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        assert await reader.read(12) == b"HTTP/1.1 206"
        assert farm.node.payment_gate._guest_bytes.total() == STEP_BYTES
        async with asyncio.timeout(60):
            while farm.node.payment_gate._guest_bytes:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        writer.close()

"""Paid reads: what a voucher opens, and what it does not."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from failing_sqlite import FAILING, put_under_sqlite
from node_support import (
    CHAIN_ID,
    DOMAIN,
    FARMER,
    PIECE_BYTES,
    Farm,
    Parcel,
    error_of,
    open_farm,
    parcel,
)
from paid_support import PRICED, RENTER, STRANGER, account, read, voucher

from grange.chain import Wallet
from grange.messages import Domain, sign_voucher
from grange.types import FarmerId, address_from
from grange.wire.limits import STEP_BYTES
from grange_node.config import ACCOUNTS_NAME
from grange_node.errors import TooBusy
from grange_node.limits.fair_shares import FairShares
from grange_node.limits.networks import UNKNOWN, network_of
from grange_node.limits.turns import PAUSE_SECONDS
from grange_node.payments import payment_gate as payment_gate_module
from grange_node.payments.vouchers import PayerAccount

SIZE = 3 * PIECE_BYTES


@pytest.fixture
async def priced(tmp_path: Path) -> AsyncIterator[Farm]:
    """A farm that sells reads, and keeps a slot of an order that has lost many farmers, so that strangers may
    read it; renter and stranger have a vault."""
    async with open_farm(tmp_path / "data", offer_terms=PRICED) as opened:
        opened.market.stand(parcel(), is_vacant=True, is_eager=True)
        opened.market.vaults = {RENTER.address: 10**12, STRANGER.address: 10**12}
        await opened.keep(parcel())
        yield opened


async def test_a_read_is_refused_without_a_voucher(priced: Farm) -> None:
    response = await read(priced, parcel(), 100)
    assert (response.status_code, error_of(response)) == (402, "payment_needed")
    assert response.json()["detail"] == {"spent": 0, "cumulative": 0, "needed": 100}


async def test_a_voucher_over_the_price_opens_the_read(priced: Farm) -> None:
    response = await read(priced, parcel(), 100, first=7, **voucher(100))
    assert (response.status_code, response.content) == (206, parcel().data[7:107])
    shown = await account(priced)
    assert (shown["cumulative"], shown["spent"]) == (100, 100)


async def test_the_same_voucher_opens_no_second_read(priced: Farm) -> None:
    """Replayed: what it stands for is spent."""
    await read(priced, parcel(), 100, **voucher(100))
    response = await read(priced, parcel(), 1, **voucher(100))
    assert (response.status_code, error_of(response)) == (402, "payment_needed")
    assert response.json()["detail"] == {"spent": 100, "cumulative": 100, "needed": 1}


async def test_a_shrinking_voucher_takes_nothing_back(priced: Farm) -> None:
    """The highest one counts, with what is left of it."""
    await read(priced, parcel(), 100, **voucher(300))
    assert (await read(priced, parcel(), 100, **voucher(150))).status_code == 206
    assert (await read(priced, parcel(), 100)).status_code == 206
    assert (await read(priced, parcel(), 1, **voucher(299))).status_code == 402
    assert (await account(priced))["cumulative"] == 300


@pytest.mark.parametrize(
    "header",
    [
        voucher(100, by=STRANGER),
        voucher(100, farmer=FarmerId(FARMER + 1)),
        voucher(100, domain=Domain(chain_id=CHAIN_ID + 1, market=DOMAIN.market)),
        voucher(100, domain=Domain(chain_id=CHAIN_ID, market=address_from(b"\x12" * 20))),
        {"Voucher": voucher(99)["Voucher"].replace("=99,", "=100,")},
        {"Voucher": f"cumulative=100,signature={'0' * 128}"},
        {"Voucher": f"cumulative=100,signature={'f' * 128}"},
    ],
)
async def test_a_forged_or_foreign_voucher_is_refused(priced: Farm, header: dict[str, str]) -> None:
    """By another key, for another farmer, market or chain, over another total, or by nobody."""
    response = await read(priced, parcel(), 100, **header)
    assert (response.status_code, response.json()["detail"]["reason"]) == (401, "voucher")
    missing = await priced.http.get("/v1/account", headers=priced.sign(RENTER, "GET", "/v1/account"))
    assert missing.status_code == 404


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cumulative=1",
        f"cumulative=-1,signature={'0' * 128}",
        f"cumulative=01,signature={'0' * 128}",
        f"cumulative={1 << 256},signature={'0' * 128}",
        f"cumulative=1,signature={'0' * 127}",
        f"cumulative=1,signature={'g' * 128}",
        f"cumulative={'9' * 400},signature={'0' * 128}",
    ],
)
async def test_a_malformed_voucher_is_refused(priced: Farm, text: str) -> None:
    response = await read(priced, parcel(), 100, Voucher=text)
    assert (response.status_code, error_of(response)) == (400, "malformed")


async def test_an_overdrawn_voucher_is_refused(priced: Farm) -> None:
    """The vault must cover all that was not redeemed yet."""
    priced.market.vaults[RENTER.address] = 99
    response = await read(priced, parcel(), 100, **voucher(100))
    assert (response.status_code, error_of(response)) == (402, "vault_too_small")
    assert response.json()["detail"] == {"vault": 99, "needed": 100, "missing": 1}
    priced.market.redeemed_totals[RENTER.address] = 1
    priced.clock.now += 2
    # What was redeemed was served.
    assert (await read(priced, parcel(), 99, **voucher(100))).status_code == 206


async def test_who_fills_its_vault_is_served_soon(priced: Farm) -> None:
    priced.market.vaults[RENTER.address] = 0
    assert (await read(priced, parcel(), 100, **voucher(100))).status_code == 402
    priced.market.vaults[RENTER.address] = 100
    priced.clock.now += 2
    assert (await read(priced, parcel(), 100, **voucher(100))).status_code == 206


async def test_a_payer_whose_vault_is_emptied_is_cut_off_within_seconds(priced: Farm) -> None:
    """What the chain said is believed for seconds, and not at all of one that is seen to leave."""
    assert (await read(priced, parcel(), 100, **voucher(100))).status_code == 206
    asked = priced.market.means_asked
    assert (await read(priced, parcel(), 100, **voucher(200))).status_code == 206
    assert priced.market.means_asked == asked
    priced.market.vaults[RENTER.address] = 0
    priced.clock.now += 6
    response = await read(priced, parcel(), 100, **voucher(300))
    assert (response.status_code, error_of(response)) == (402, "vault_too_small")


async def test_without_a_chain_nothing_is_sold(priced: Farm) -> None:
    priced.market.down = True
    assert (await read(priced, parcel(), 100, **voucher(100))).status_code == 503
    priced.market.down = False
    priced.clock.now += PAUSE_SECONDS
    assert (await read(priced, parcel(), 100, **voucher(100))).status_code == 206


async def test_vouchers_may_arrive_in_any_order(priced: Farm) -> None:
    for total in (300, 100, 200):
        assert (await read(priced, parcel(), 100, **voucher(total))).status_code == 206
    assert (await read(priced, parcel(), 1, **voucher(300))).status_code == 402


async def test_reads_at_once_are_each_paid_once(priced: Farm) -> None:
    """As many are served as the totals cover, whatever the order, and none is refused that is covered."""
    requests = [read(priced, parcel(), 100, **voucher(100 * total)) for total in range(20, 0, -1)]
    responses = await asyncio.gather(*requests)
    assert [response.status_code for response in responses] == [206] * 20
    shown = await account(priced)
    assert (shown["cumulative"], shown["spent"]) == (2000, 2000)
    assert len(priced.node.payment_gate) == 0


async def test_one_credit_does_not_serve_two_reads_at_once(priced: Farm) -> None:
    responses = await asyncio.gather(*(read(priced, parcel(), 100, **voucher(250)) for _ in range(5)))
    assert sorted(response.status_code for response in responses) == [206, 206, 402, 402, 402]
    assert (await account(priced))["spent"] == 200


async def test_what_cannot_be_read_is_not_paid(priced: Farm) -> None:
    next((priced.node.config.data_folder / "slots").rglob("00000000.*")).unlink()
    assert (await read(priced, parcel(), 100, **voucher(100))).status_code == 500
    assert (await read(priced, parcel(), 100, first=PIECE_BYTES, **voucher(100))).status_code == 206
    assert (await account(priced))["spent"] == 100


async def test_reads_go_on_while_the_disk_takes_no_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was signed meanwhile is written down as soon as the disk takes it."""
    disk = put_under_sqlite(monkeypatch)
    async with open_farm(tmp_path / "data", offer_terms=PRICED) as farm:
        farm.market.vaults[RENTER.address] = 10**12
        await farm.keep(parcel())
        with disk.writes_fail(FAILING):
            assert (await read(farm, parcel(), 100, **voucher(100))).status_code == 206
            assert (await read(farm, parcel(), 100, **voucher(100))).status_code == 402
        assert (await read(farm, parcel(), 100, **voucher(200))).status_code == 206
    async with open_farm(tmp_path / "data", offer_terms=PRICED) as farm:
        assert (await account(farm))["spent"] == 200


async def test_of_a_damaged_file_the_vouchers_that_can_be_read_are_kept(tmp_path: Path) -> None:
    """And only what payers signed: a number that rotted is no money."""
    payers = [Wallet(bytes([number]) * 32) for number in range(10, 90)]
    path = tmp_path / "data" / ACCOUNTS_NAME
    async with open_farm(tmp_path / "data", offer_terms=PRICED) as farm:
        await farm.keep(parcel())
        for payer in payers:
            farm.market.vaults[payer.address] = 10**12
            farm.node.accounts.save(signed_account(payer, 100))
        farm.node.accounts.save(replace(signed_account(payers[0], 200), cumulative=10**9))
    damage = path.stat().st_size // 4096 // 2 * 4096
    with path.open("r+b") as file:
        file.seek(damage)
        file.write(b"\xa5" * 4096)
    async with open_farm(tmp_path / "data", offer_terms=PRICED) as farm:
        kept = {account.payer for account in farm.node.accounts.open_accounts()}
    assert kept <= {payer.address for payer in payers[1:]}
    assert len(kept) > 20


async def test_a_voucher_that_was_redeemed_opens_nothing_again_though_the_account_is_lost(
    priced: Farm,
) -> None:
    """A payer that goes on pays what it would have paid."""
    priced.market.redeemed_totals[RENTER.address] = 1000
    assert (await read(priced, parcel(), 100, **voucher(1000))).status_code == 402
    assert (await read(priced, parcel(), 100, **voucher(1100))).status_code == 206
    assert (await read(priced, parcel(), 100, **voucher(1100))).status_code == 402


def signed_account(payer: Wallet, cumulative: int) -> PayerAccount:
    signed = sign_voucher(DOMAIN, payer.private_key, farmer=FARMER, cumulative=cumulative)
    return PayerAccount(
        payer=payer.address, cumulative=cumulative, signature=signed.signature, spent=cumulative // 2
    )


async def test_who_may_not_read_gets_nothing_for_money_either(priced: Farm) -> None:
    """No slot is vacant: a stranger is no repairer, whatever it pays, and keeps its money."""
    priced.market.stand(parcel())
    response = await read(priced, parcel(), 100, by=STRANGER, **voucher(100, by=STRANGER))
    assert (response.status_code, error_of(response)) == (403, "not_a_reader")
    assert priced.node.payment_gate.account(STRANGER.address) is None


async def test_a_repairer_pays_for_itself(priced: Farm) -> None:
    """Sealed bytes are sold to anyone who repairs an order."""
    assert (await read(priced, parcel(), 100, by=STRANGER, **voucher(100))).status_code == 401
    response = await read(priced, parcel(), 100, by=STRANGER, **voucher(100, by=STRANGER))
    assert (response.status_code, response.content) == (206, parcel().data[:100])
    assert (await read(priced, parcel(), 100)).status_code == 402


async def test_one_request_gets_one_step(tmp_path: Path) -> None:
    """Neither side has more at risk than that."""
    data = [hashlib.shake_256(b"%d" % index).digest(1 << 20) for index in range(9)]
    big = Parcel(renter=RENTER, pieces=data)
    async with open_farm(tmp_path / "data", offer_terms=PRICED) as farm:
        farm.market.vaults[RENTER.address] = 10**12
        await farm.keep(big)
        for response in (
            await read(farm, big, STEP_BYTES + 1, **voucher(10**9)),
            await farm.http.get(big.path, headers=farm.sign(RENTER, "GET", big.path) | voucher(10**9)),
        ):
            assert (response.status_code, error_of(response)) == (416, "range_invalid")
            assert response.json()["detail"]["limit"] == STEP_BYTES
        assert (await read(farm, big, STEP_BYTES, **voucher(10**9))).content == big.data[:STEP_BYTES]
        assert (await account(farm))["spent"] == STEP_BYTES


async def test_a_kill_loses_neither_voucher_nor_what_was_spent(tmp_path: Path) -> None:
    """What flowed is paid after a restart, and what was paid is not asked for again."""
    folder = tmp_path / "data"
    async with open_farm(folder, offer_terms=PRICED) as farm:
        market = farm.market
        market.vaults[RENTER.address] = 10**12
        await farm.keep(parcel())
        await read(farm, parcel(), 100, **voucher(300))
        copied = farm.node.config.data_folder / "accounts.sqlite3"
        images = {name: (folder / name).read_bytes() for name in (copied.name, copied.name + "-wal")}
    for name, image in images.items():
        (folder / name).write_bytes(image)
    async with open_farm(folder, offer_terms=PRICED, market=market) as farm:
        shown = await account(farm)
        assert (shown["cumulative"], shown["spent"]) == (300, 100)
        assert (await read(farm, parcel(), 200)).status_code == 206
        assert (await read(farm, parcel(), 1)).status_code == 402


async def test_an_account_is_shown_to_its_owner_with_its_own_signature(priced: Farm) -> None:
    await read(priced, parcel(), 100, **voucher(150))
    signed = sign_voucher(DOMAIN, RENTER.private_key, farmer=FARMER, cumulative=150)
    assert await account(priced) == {
        "cumulative": 150,
        "spent": 100,
        "signature": signed.signature.hex(),
    }
    foreign = await priced.http.get("/v1/account", headers=priced.sign(STRANGER, "GET", "/v1/account"))
    assert foreign.status_code == 404
    assert (await priced.http.get("/v1/account")).status_code == 401


async def test_at_a_price_of_zero_no_voucher_is_needed_and_none_is_kept(farm: Farm) -> None:
    await farm.keep(parcel())
    assert (await read(farm, parcel(), 100)).status_code == 206
    assert (await read(farm, parcel(), 100, **voucher(100))).status_code == 206
    assert farm.node.payment_gate.account(RENTER.address) is None
    assert farm.market.means_asked == 0


async def test_strangers_read_for_nothing_within_bounds(farm: Farm) -> None:
    """So much at once in all; the renter itself is not held up by them."""
    farm.market.stand(parcel(), is_vacant=True, is_eager=True)
    await farm.keep(parcel())
    farm.node.payment_gate._guest_shares = FairShares(150)
    assert (await read(farm, parcel(), 150, by=STRANGER)).status_code == 206
    async with farm.node.payment_gate.admitted(
        STRANGER.address, 100, None, network=UNKNOWN, is_own=False, most_per_gib=0
    ):
        response = await read(farm, parcel(), 100, by=STRANGER)
        assert (response.status_code, error_of(response)) == (429, "limit_reached")
        assert (await read(farm, parcel(), SIZE)).status_code == 206
        assert (await read(farm, parcel(), 50, by=STRANGER)).status_code == 206
    assert (await read(farm, parcel(), 100, by=STRANGER)).status_code == 206


async def test_one_stranger_that_takes_its_bytes_slowly_keeps_no_other_from_reading(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Wallet(b"\x04" * 32)
    farm.market.stand(parcel(), is_vacant=True, is_eager=True)
    await farm.keep(parcel())
    farm.node.payment_gate._guest_shares = FairShares(400)
    monkeypatch.setattr(payment_gate_module, "MAX_GUEST_BYTES_PER_READER", 150)
    async with farm.node.payment_gate.admitted(
        STRANGER.address, 100, None, network=UNKNOWN, is_own=False, most_per_gib=0
    ):
        assert (await read(farm, parcel(), 100, by=STRANGER)).status_code == 429
        assert (await read(farm, parcel(), 100, by=other)).status_code == 206


async def test_one_network_that_takes_its_bytes_slowly_keeps_no_other_from_reading(farm: Farm) -> None:
    """However many readers it is: accounts with a little money are easily had."""
    farm.market.stand(parcel(), is_vacant=True, is_eager=True)
    await farm.keep(parcel())
    farm.node.payment_gate._guest_shares = FairShares(400)
    slow = network_of("203.0.113.9")
    async with AsyncExitStack() as stack:
        with suppress(TooBusy):
            for number in range(1, 9):
                reader = address_from(number.to_bytes(20))
                read_slowly = farm.node.payment_gate.admitted(
                    reader, 100, None, network=slow, is_own=False, most_per_gib=0
                )
                await stack.enter_async_context(read_slowly)
        assert (await read(farm, parcel(), 100, by=STRANGER)).status_code == 206


async def test_a_range_that_is_not_there_is_not_paid(priced: Farm) -> None:
    assert (await read(priced, parcel(), 100, first=SIZE, **voucher(100))).status_code == 416
    assert priced.node.payment_gate.account(RENTER.address) is None

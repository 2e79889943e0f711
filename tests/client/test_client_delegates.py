"""Limits of delegates: said before they are reached, on the device and where the account is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from client_fakes import World

from grange.chain import Wallet
from grange.chain.views import Delegation
from grange.times import BlockClock
from grange.token_unit import PLAIN_UNIT
from grange.types import Address, Epoch
from grange.units import TOKEN
from grange_client.delegates import WARN_EPOCHS, Delegate, Limits, warn_account, warn_delegate

EPOCH = 100
CLOCK = BlockClock(block=EPOCH * 10, timestamp=1_700_000_000, block_seconds=1.0, epoch_blocks=10)
DEVICE = Wallet(bytes([5]) * 32).address
FAR = Epoch(EPOCH + 50)
PLENTY = Delegation(
    per_epoch=10 * TOKEN,
    in_all=100 * TOKEN,
    until_epoch=FAR,
    spent_in_epoch=0,
    spent=10 * TOKEN,
    left_for_orders=10 * TOKEN,
    left_for_vouchers=10 * TOKEN,
)


def delegate(**changes: int) -> Delegate:
    return Delegate(address=DEVICE, delegation=replace(PLENTY, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "device", "account"),
    [
        ({}, "", ""),
        ({"spent": 89 * TOKEN}, "", ""),
        (
            {"spent": 90 * TOKEN},
            "spend 10 tokens more, of 100 tokens in all",
            "spend 10 tokens more, of 100 tokens in all",
        ),
        ({"spent": 100 * TOKEN}, "spend 0 tokens more", "spend 0 tokens more"),
        ({"spent": 120 * TOKEN}, "spend 0 tokens more", "spend 0 tokens more"),
        ({"until_epoch": EPOCH + WARN_EPOCHS + 1}, "", ""),
        ({"until_epoch": EPOCH + WARN_EPOCHS}, "spend only until", "spend only until"),
        ({"until_epoch": EPOCH}, "its time is over", ""),
        ({"per_epoch": 0, "in_all": 0, "until_epoch": 0}, "its time is over", ""),
        ({"spent_in_epoch": 9 * TOKEN}, "spend 1 tokens more in this epoch", ""),
        ({"spent_in_epoch": 8 * TOKEN}, "", ""),
    ],
)
def test_a_limit_is_said_before_it_is_reached(changes: dict[str, int], device: str, account: str) -> None:
    """To the device with what it may still do, to the account with the command that changes it. A limit of
    one epoch is the device's business alone, and what is revoked is nobody's."""
    for said, expected in (
        (warn_delegate(delegate(**changes), CLOCK, PLAIN_UNIT), device),
        (warn_account(delegate(**changes), CLOCK, PLAIN_UNIT), account),
    ):
        assert bool(said) == bool(expected)
        assert expected in " ".join(said)
        assert all(DEVICE in one or "in this epoch" in one for one in said)


async def test_an_account_is_told_of_those_whom_its_home_has_authorized(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without reading the chain for others; one that has none asks nothing."""
    asked: list[Address] = []

    async def delegation(account: Address, of: Address) -> Delegation:
        asked.append(of)
        return replace(PLENTY, spent=95 * TOKEN)

    async def authorize(of: Address, **_: object) -> None:
        assert of == DEVICE

    monkeypatch.setattr(world.market, "delegation", delegation)
    monkeypatch.setattr(world.market, "authorize", authorize)
    async with world.renter() as renter:
        assert await renter.delegates.warnings() == []
        assert asked == []
        await renter.delegates.authorize(DEVICE, Limits(per_epoch=TOKEN, in_all=100 * TOKEN, until_epoch=FAR))
    async with world.renter() as renter:
        said = await renter.delegates.warnings()
    assert asked == [DEVICE]
    assert "spend 5 tokens more, of 100 tokens in all" in said[0]
    assert f"grange keys delegate authorize {DEVICE}" in said[0]

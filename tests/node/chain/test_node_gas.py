"""Gas tokens: what there is, for how long it is enough, and a warning before it is used up."""

import logging
from pathlib import Path

import pytest
from node_support import OPERATOR, FakeMarket, open_farm

from grange.chain import InsufficientFunds
from grange.units import GWEI
from grange_node.audit.prover import Action
from grange_node.chain.funding import ADVISED_EPOCHS, LOW_EPOCHS, GasReserve
from grange_node.chain.gas_watch import GasWatch

PROOF = 10**12


async def said(market: FakeMarket, caplog: pytest.LogCaptureFixture, *proofs: float) -> list[str]:
    """What the watch logs while the account is enough for so many proofs, one after the other."""
    watch = GasWatch(market, OPERATOR.address)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        for count in proofs:
            market.gas_wei, market.proof_wei = int(count * PROOF), PROOF
            await watch.tick()
    return [record.getMessage() for record in caplog.records]


async def test_it_is_said_once_when_gas_is_low_and_once_when_it_is_used_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    market = FakeMarket()
    lines = await said(market, caplog, 1000, 20, 19.5, 19, 3, 0.5, 0, 2, 0)
    assert len(lines) == 2
    low, empty = lines
    assert OPERATOR.address in low
    assert "has 0.0000195 gas tokens, enough for about 19 proofs" in low
    assert f"Send it {(ADVISED_EPOCHS * PROOF - 19.5 * PROOF) / 10**18:.7f}" in low
    assert f"enough for {ADVISED_EPOCHS} epochs" in low
    assert "enough for about 0 proofs" in empty


def test_what_is_there_is_counted_in_days_too_where_the_pace_is_known() -> None:
    day = GasReserve(held_wei=19 * PROOF, proof_wei=PROOF, epoch_seconds=86_400.0)
    assert "enough for about 19 proofs (19 days)" in day.describe()
    assert GasReserve(held_wei=PROOF - 1, proof_wei=PROOF, epoch_seconds=86_400.0).lasting_seconds == 0
    for without in (
        GasReserve(held_wei=PROOF, proof_wei=PROOF),
        GasReserve(held_wei=1, proof_wei=0, epoch_seconds=1.0),
    ):
        assert without.lasting_seconds is None


async def test_it_is_said_when_there_is_enough_again(caplog: pytest.LogCaptureFixture) -> None:
    lines = await said(FakeMarket(), caplog, 1, 2, 500, 500, 1)
    assert [line.split(",")[0] for line in lines][1] == "gas: the operator has 0.0005 gas tokens"
    assert "again" in lines[1]
    assert len(lines) == 3


async def test_where_gas_costs_nothing_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    market = FakeMarket()
    market.gas_wei = market.proof_wei = 0
    with caplog.at_level(logging.INFO):
        await GasWatch(market, OPERATOR.address).tick()
    assert caplog.records == []
    free = GasReserve(held_wei=0, proof_wei=0)
    assert (free.epochs, free.is_low, free.is_empty) == (None, False, False)


async def test_a_chain_that_is_down_is_not_for_this_watch_to_say(caplog: pytest.LogCaptureFixture) -> None:
    market = FakeMarket()
    market.down = True
    with caplog.at_level(logging.INFO):
        await GasWatch(market, OPERATOR.address).tick()
    assert caplog.records == []


@pytest.mark.parametrize(("held", "is_low"), [(LOW_EPOCHS * PROOF, False), (LOW_EPOCHS * PROOF - 1, True)])
def test_low_is_what_is_not_enough_for_a_named_number_of_epochs(held: int, is_low: bool) -> None:
    assert GasReserve(held_wei=held, proof_wei=PROOF).is_low is is_low


async def test_a_proof_that_cannot_be_paid_for_is_not_something_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the prover's ticks only those after which an epoch is proven show that it works."""
    async with open_farm(tmp_path) as farm:
        ticks = []

        async def step(_: object) -> Action:
            return ticks[-1]

        monkeypatch.setattr(farm.node.prover, "step", step)
        for action in Action:
            ticks.append(action)
            farm.market.mine()
            await farm.node.follower.refresh()
            expected = action in (Action.PROVE, Action.SETTLED)
            assert await farm.node.prover.tick() is expected


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        (
            "insufficient funds for gas * price + value: address 0xa have 0 want 119436001672104",
            "0.00012 are",
        ),
        (
            "insufficient funds for gas * price + value: have 1000000000000 want 119436001672104",
            "has 0.000001,",
        ),
        ("sender doesn't have enough funds", "doesn't have enough funds"),
    ],
)
def test_a_lack_of_gas_is_said_in_gas_tokens(detail: str, said: str) -> None:
    assert said in str(InsufficientFunds(OPERATOR.address, detail))


def test_what_a_rollup_charges_for_data_is_held_against_the_cap_too() -> None:
    reserve = GasReserve(held_wei=1, proof_wei=1, base_wei=1, data_fee_wei=500, cap_wei=500)
    assert reserve.is_held_back
    assert "costs 0.0000005 gwei, and the cap is 0.0000005" in reserve.cap_warning()
    assert not GasReserve(held_wei=1, proof_wei=1, base_wei=1, data_fee_wei=499, cap_wei=500).is_held_back


async def test_fees_above_the_cap_are_said_when_they_begin_and_when_they_are_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    market = FakeMarket()
    watch = GasWatch(market, OPERATOR.address)
    with caplog.at_level(logging.INFO):
        for base_gwei in (1, 500, 900, 499, 30):
            market.base_wei = base_gwei * GWEI
            await watch.tick()
    held, over = caplog.records
    assert "a unit of gas costs 500 gwei, and the cap is 500: no proof is sent" in held.getMessage()
    assert held.levelno == logging.ERROR
    assert "less than the cap again" in over.getMessage()

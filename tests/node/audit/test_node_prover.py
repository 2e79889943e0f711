"""Proving: the table of what to do, and the loop through everything that comes in between."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_support import FARMER, OPERATOR, FakeMarket, Farm, Parcel, open_farm, parcel, pass_blocks

from grange.chain import (
    ChainUnavailable,
    FeesAboveCap,
    InsufficientFunds,
    RpcError,
    TransactionTooLate,
    Wallet,
)
from grange.types import Epoch
from grange.units import GWEI, format_count
from grange_node.audit.prover import RESEND_AFTER_BLOCKS, Action, Situation, decide
from grange_node.chain.farm_market import FarmMarket
from grange_node.errors import DataMissing, ProofHeldBack

EPOCH_BLOCKS = 10


def situation(**changes: object) -> Situation:
    fields: dict[str, object] = {
        "head_block": 42,
        "epoch_blocks": EPOCH_BLOCKS,
        "read_to_block": 42,
        "settled_epoch": Epoch(3),
        "lapsed": False,
        "rate": 5,
        "attempt_block": None,
    }
    return Situation(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({}, Action.PROVE),
        ({"head_block": 40, "read_to_block": 40}, Action.PROVE),
        ({"head_block": 48, "read_to_block": 48}, Action.PROVE),
        ({"head_block": 49, "read_to_block": 49}, Action.TOO_LATE),
        ({"settled_epoch": 4}, Action.SETTLED),
        ({"lapsed": True}, Action.LAPSED),
        ({"lapsed": True, "settled_epoch": 4}, Action.LAPSED),
        ({"settled_epoch": 4, "read_to_block": 0, "rate": 0}, Action.SETTLED),
        ({"read_to_block": 41}, Action.READ_ON),
        ({"read_to_block": 39, "rate": 0}, Action.READ_ON),
        ({"read_to_block": 40, "rate": 0}, Action.NOTHING_TO_PROVE),
        ({"rate": 0}, Action.NOTHING_TO_PROVE),
        ({"attempt_block": 42, "read_to_block": 41}, Action.AWAIT),
        ({"attempt_block": 42}, Action.AWAIT),
        ({"attempt_block": 41}, Action.AWAIT),
        ({"attempt_block": 40}, Action.PROVE),
        ({"attempt_block": 48, "head_block": 49, "read_to_block": 49}, Action.TOO_LATE),
    ],
)
def test_the_table_says_what_to_do(changes: dict[str, object], action: Action) -> None:
    assert decide(situation(**changes)) is action


def test_every_combination_has_exactly_the_action_of_the_first_line_that_fits() -> None:
    for settled, behind, rate, offset, attempt in product(
        (3, 4, 5), (True, False), (0, 5), range(EPOCH_BLOCKS), (None, 0, RESEND_AFTER_BLOCKS)
    ):
        head = 40 + offset
        now = situation(
            head_block=head,
            read_to_block=head - behind,
            settled_epoch=settled,
            rate=rate,
            attempt_block=None if attempt is None else head - attempt,
        )
        if settled >= 4:
            expected = Action.SETTLED
        elif behind and offset == 0:
            expected = Action.READ_ON
        elif rate == 0:
            expected = Action.NOTHING_TO_PROVE
        elif offset == EPOCH_BLOCKS - 1:
            expected = Action.TOO_LATE
        elif attempt == 0:
            expected = Action.AWAIT
        elif behind:
            expected = Action.READ_ON
        else:
            expected = Action.PROVE
        assert decide(now) is expected


@given(st.integers(0, 10**9), st.integers(1, 10**5), st.integers(0, 10**9))
def test_a_proof_is_only_sent_when_the_next_block_is_of_its_epoch(
    head: int, blocks: int, settled: int
) -> None:
    now = situation(head_block=head, epoch_blocks=blocks, read_to_block=head, settled_epoch=settled)
    if decide(now) is Action.PROVE:
        assert (head + 1) // blocks == now.epoch > settled


@pytest.fixture
async def keeping(tmp_path: Path) -> AsyncIterator[tuple[Farm, list[Parcel]]]:
    """A farm that keeps two slots of two renters, at the beginning of the first epoch that is audited."""
    async with open_farm(tmp_path) as farm:
        slots = [parcel(3, seed=1), parcel(5, seed=2, end=24, slot=0)]
        for slot in slots:
            await farm.keep(slot)
        farm.market.mine_to_epoch(farm.market.epoch + 1)
        yield farm, slots


async def step(farm: Farm) -> Action:
    return await farm.node.prover.step(await farm.node.follower.refresh())


async def test_each_epoch_is_proven_once_and_paid(keeping: tuple[Farm, list[Parcel]]) -> None:
    farm, slots = keeping
    first = farm.market.epoch
    for epoch in range(first, first + 4):
        farm.market.mine_to_epoch(epoch)
        assert await step(farm) is Action.PROVE
        assert await step(farm) is Action.SETTLED
    await farm.node.follower.refresh()
    earnings = farm.node.ledger.earnings()
    assert (earnings.proven_epochs, earnings.last_proven_epoch) == (4, first + 3)
    assert earnings.earned == 4 * sum(slot.rate for slot in slots)
    assert farm.market.sent_proofs == 4


async def test_nothing_is_sent_while_nothing_is_kept(tmp_path: Path) -> None:
    async with open_farm(tmp_path) as farm:
        assert await step(farm) is Action.NOTHING_TO_PROVE
        await farm.keep(parcel())
        assert await step(farm) is Action.NOTHING_TO_PROVE


async def test_it_is_never_too_late_but_in_the_last_block(keeping: tuple[Farm, list[Parcel]]) -> None:
    farm, _ = keeping
    epoch = farm.market.epoch
    farm.market.mine_to_epoch(epoch, offset=8)
    assert await step(farm) is Action.PROVE
    farm.market.mine_to_epoch(epoch + 1, offset=9)
    assert await step(farm) is Action.TOO_LATE
    farm.market.mine_to_epoch(epoch + 2)
    assert await step(farm) is Action.PROVE


async def test_a_book_that_changes_while_we_prove_is_proven_again(
    keeping: tuple[Farm, list[Parcel]], caplog: pytest.LogCaptureFixture
) -> None:
    """Another order merges mountain peaks before ours is mined: refused for free, built again, paid."""
    farm, _ = keeping
    late = [parcel(1, seed=9 + n) for n in range(2)]

    def meanwhile() -> None:
        if late:
            farm.market.place(late.pop().placed())

    farm.market.before_prove = meanwhile
    with caplog.at_level(logging.WARNING):
        assert await step(farm) is Action.PROVE
    assert farm.market.sent_proofs == 1
    assert "nothing was sent" in caplog.text


async def test_a_ledger_that_disagrees_with_the_chain_is_read_again(
    keeping: tuple[Farm, list[Parcel]],
) -> None:
    farm, slots = keeping
    with farm.node.ledger._write() as write:
        write.execute("UPDATE entries SET rate = '1'")
    assert await step(farm) is Action.PROVE
    assert farm.node.ledger.entries(Epoch(0)) == farm.market.entries()
    assert (await farm.get(slots[0])).content == slots[0].data


async def test_a_proof_whose_epoch_ended_on_its_way_is_a_miss_and_nothing_more(
    keeping: tuple[Farm, list[Parcel]], caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, nobody waits for it, and the next epoch is proven."""
    farm, _ = keeping

    def starve() -> None:
        farm.market.before_prove = lambda: None
        raise TransactionTooLate("prove", 29, bytes(32))

    farm.market.before_prove = starve
    with caplog.at_level(logging.WARNING):
        await step(farm)
    assert "its proof was not mined" in caplog.text
    farm.market.mine(10)
    assert await step(farm) is Action.PROVE
    assert farm.market.sent_proofs == 1


async def test_a_proof_is_of_use_up_to_the_last_block_of_its_epoch(
    keeping: tuple[Farm, list[Parcel]],
) -> None:
    """The chain gateway is told so: then it does not wait for longer, nor send it later."""
    farm, _ = keeping
    sent: list[dict[str, object]] = []

    class Recorder:
        async def send(self, _call: object, **options: object) -> None:
            sent.append(options)

    async with FarmMarket.open(farm.node.config, Wallet.random()) as market:
        market.sender = Recorder()  # type: ignore[assignment]
        await market.prove(Epoch(3), [])
    assert sent == [{"last_block": 4 * farm.node.config.parameters.epoch_blocks - 1}]


async def test_a_chain_that_is_down_costs_nothing_but_time(keeping: tuple[Farm, list[Parcel]]) -> None:
    farm, _ = keeping
    view = await farm.node.follower.refresh()
    farm.market.down = True
    with pytest.raises(ChainUnavailable):
        await farm.node.prover.step(view)
    with pytest.raises(ChainUnavailable):
        await farm.node.follower.refresh()
    farm.market.down = False
    pass_blocks(farm, 3)
    assert await step(farm) is Action.PROVE


async def test_an_answer_that_got_lost_is_not_sent_for_twice(keeping: tuple[Farm, list[Parcel]]) -> None:
    farm, _ = keeping
    farm.market.lose_answer = True
    with pytest.raises(ChainUnavailable):
        await step(farm)
    assert await step(farm) is Action.SETTLED
    assert farm.market.sent_proofs == 1


async def test_a_proof_that_was_under_way_when_the_chain_fell_silent_gets_its_time(
    keeping: tuple[Farm, list[Parcel]],
) -> None:
    farm, _ = keeping
    farm.node.ledger.note_attempt(farm.market.epoch, farm.market.height)
    assert await step(farm) is Action.AWAIT
    farm.market.mine(RESEND_AFTER_BLOCKS)
    assert await step(farm) is Action.PROVE


async def test_a_reorg_that_drops_a_proof_makes_us_prove_again(keeping: tuple[Farm, list[Parcel]]) -> None:
    farm, _ = keeping
    epoch = farm.market.epoch
    assert await step(farm) is Action.PROVE
    await farm.node.follower.refresh()
    farm.market.reorg(1)
    farm.market.mine(3)
    assert await step(farm) is Action.PROVE
    await farm.node.follower.refresh()
    assert farm.node.ledger.earnings().proven_epochs == 1
    assert farm.market.epoch == epoch


async def test_a_reorg_of_the_epochs_first_block_changes_the_seed_and_the_proof(
    keeping: tuple[Farm, list[Parcel]],
) -> None:
    farm, _ = keeping
    farm.market.mine(2)
    await farm.node.follower.refresh()
    farm.market.reorg(4)
    farm.market.mine(4)
    assert await step(farm) is Action.PROVE


async def test_an_endpoint_that_calls_a_block_to_come_an_error_is_followed_all_the_same(
    keeping: tuple[Farm, list[Parcel]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seed of an epoch that may have begun is asked for with the newest block, which may be older."""
    farm, _ = keeping
    await step(farm)
    audit_seed, refused = farm.market.audit_seed, []

    async def strict(epoch: Epoch) -> bytes | None:
        if epoch > farm.market.epoch:
            refused.append(epoch)
            raise RpcError("eth_getBlockByNumber", -32000, "block is out of range")
        return await audit_seed(epoch)

    monkeypatch.setattr(farm.market, "audit_seed", strict)
    monkeypatch.setattr(farm.node.follower, "is_epoch_over", lambda _: True)
    epoch = farm.market.epoch
    farm.market.mine()
    assert (await farm.node.follower.refresh()).head.number == farm.market.height
    assert refused == [epoch + 1]
    farm.market.mine_to_epoch(epoch + 1)
    assert await step(farm) is Action.PROVE


async def test_missing_data_is_named_and_costs_no_gas(keeping: tuple[Farm, list[Parcel]]) -> None:
    farm, slots = keeping
    shutil.rmtree(farm.node.config.data_folder / "slots")
    with pytest.raises(DataMissing) as caught:
        await step(farm)
    assert any(slot.order.hex()[:12] in str(caught.value) for slot in slots)
    assert "piece" in str(caught.value)
    assert farm.market.sent_proofs == 0


async def test_rotten_data_is_named_and_costs_no_gas(keeping: tuple[Farm, list[Parcel]]) -> None:
    farm, _ = keeping
    for file in (farm.node.config.data_folder / "slots").rglob("0000*"):
        file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(DataMissing, match="no longer hashes"):
        await step(farm)
    assert farm.market.sent_proofs == 0


async def test_a_slot_of_the_chain_that_we_know_nothing_of_is_named(tmp_path: Path) -> None:
    async with open_farm(tmp_path) as farm:
        farm.market.place(parcel().placed())
        farm.market.mine_to_epoch(2)
        with pytest.raises(DataMissing, match="not in the ledger; the chain says what is kept here"):
            await step(farm)


async def test_a_farm_that_lapsed_says_once_since_when_what_it_means_and_how_to_begin_again(
    keeping: tuple[Farm, list[Parcel]], caplog: pytest.LogCaptureFixture
) -> None:
    farm, _ = keeping
    farm.market.lapsed = True
    farm.market.mine_to_epoch(4)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            farm.market.mine()
            assert await step(farm) is Action.LAPSED
    [said] = [record.getMessage() for record in caplog.records]
    for part in (
        f"Farmer {FARMER} lapsed",
        "blocks ago",
        "its slots are vacant",
        "no more tokens",
        "--home NEW",
    ):
        assert part in said


async def test_too_little_gas_money_is_said_and_the_proof_sent_when_there_is_some(
    keeping: tuple[Farm, list[Parcel]], monkeypatch: pytest.MonkeyPatch
) -> None:
    farm, _ = keeping

    async def broke(*_: object) -> None:
        raise InsufficientFunds(OPERATOR.address, "balance 0")

    with monkeypatch.context() as patch:
        patch.setattr(farm.market, "prove", broke)
        with pytest.raises(InsufficientFunds):
            await step(farm)
    assert await step(farm) is Action.PROVE


async def test_a_proof_that_gas_above_the_cap_holds_back_is_said_with_what_is_left_and_sent_later(
    keeping: tuple[Farm, Parcel], monkeypatch: pytest.MonkeyPatch
) -> None:
    farm, _ = keeping

    async def dear(*_: object) -> None:
        raise FeesAboveCap(812 * GWEI, 500 * GWEI)

    with monkeypatch.context() as patch:
        patch.setattr(farm.market, "prove", dear)
        with pytest.raises(ProofHeldBack) as caught:
            await step(farm)
    left = EPOCH_BLOCKS - 1 - farm.market.height % EPOCH_BLOCKS
    assert "costs 812 gwei, and the cap is 500" in str(caught.value)
    assert f"{format_count(left, 'block')} are left, then it counts as missed" in str(caught.value)
    assert await step(farm) is Action.PROVE


async def test_a_restart_in_the_middle_of_an_epoch_proves_it_once(tmp_path: Path) -> None:
    market = FakeMarket()
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(parcel())
    market.mine_to_epoch(2, offset=4)
    async with open_farm(tmp_path, market=market) as farm:
        assert await step(farm) is Action.PROVE
    async with open_farm(tmp_path, market=market) as farm:
        assert await step(farm) is Action.SETTLED
        assert farm.node.ledger.earnings().proven_epochs == 1
    assert market.sent_proofs == 1


async def test_a_kill_between_sending_and_the_answer_is_found_out_after_the_restart(tmp_path: Path) -> None:
    market = FakeMarket()
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(parcel())
        market.mine_to_epoch(2)
        market.lose_answer = True
        with pytest.raises(ChainUnavailable):
            await step(farm)
        market.lose_answer = False
    async with open_farm(tmp_path, market=market) as farm:
        assert await step(farm) is Action.SETTLED
    assert market.sent_proofs == 1


async def test_the_loops_prove_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through an outage, with nobody asking."""
    monkeypatch.setattr("grange_node.chain.chain_follower.SHORTEST_POLL_SECONDS", 0.01)
    monkeypatch.setattr("grange_node.chain.chain_follower.LONGEST_POLL_SECONDS", 0.01)
    monkeypatch.setattr("grange_node.loops.FIRST_BACKOFF_SECONDS", 0.01)
    market = FakeMarket()
    async with open_farm(tmp_path, market=market, loops=True) as farm:
        await farm.keep(parcel())
        for epoch in range(2, 5):
            market.down = True
            market.mine_to_epoch(epoch)
            await asyncio.sleep(0.05)
            market.down = False
            assert await asyncio.wait_for(market.proofs.get(), 10) == epoch
    assert market.sent_proofs == 3
    assert [event.args["epoch"] for event in market.events("Proven")] == [2, 3, 4]


async def test_pay_is_what_the_slots_of_the_epoch_earn(keeping: tuple[Farm, list[Parcel]]) -> None:
    """Slots that were added in the epoch count from the next one, ended ones no more."""
    farm, slots = keeping
    added = parcel(1, seed=7, end=24)
    await farm.keep(added)
    assert await step(farm) is Action.PROVE
    farm.market.mine_to_epoch(farm.market.epoch + 1)
    assert await step(farm) is Action.PROVE
    farm.market.mine_to_epoch(16)
    assert await step(farm) is Action.PROVE
    amounts = [event.args["amount"] for event in farm.market.events("Proven")]
    both, longer = slots[0].rate + slots[1].rate, slots[1].rate
    assert amounts == [both, both + added.rate, longer + added.rate]
    assert {event.args["farmer"] for event in farm.market.events("Proven")} == {FARMER}

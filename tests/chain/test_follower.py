"""Following events: each once and in order, over restarts, reorgs and endpoints that refuse long ranges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from chain_support import funded

from grange.chain import (
    Batch,
    ChainError,
    ChainTimeout,
    Cursor,
    Event,
    EventFilter,
    EventFollower,
    Head,
    Rollback,
    RpcError,
    Sender,
    Wallet,
    calls,
)
from grange.chain.errors import AnswerTooLong, BlocksMissing
from grange.chain.follower import DENSE_ANCHORS, MAX_FORMER
from grange.errors import Misuse
from grange.types import Epoch
from grange_devnet import Devnet

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Depositor:
    """Makes events: each deposit has its own amount."""

    def __init__(self, devnet: Devnet, wallet: Wallet) -> None:
        self.sender = Sender(devnet.chain, wallet)
        self.filter = EventFilter(events=("Deposited",), args={"account": wallet.address})

    async def deposit(self, amount: int) -> int:
        """The block in which it happened."""
        permit = await self.sender.chain.permit(self.sender.wallet, amount)
        return (await self.sender.send(calls.deposit_with_permit(permit))).block


class Ledger:
    """What a caller would keep: amounts by block, and the cursor, stored as text."""

    def __init__(self, cursor: str | None = None) -> None:
        self.events: list[Event] = []
        self.cursor = cursor

    def apply(self, steps: list[Rollback | Batch]) -> None:
        for step in steps:
            if isinstance(step, Rollback):
                self.events = [event for event in self.events if event.block <= step.block]
            else:
                assert all(step.from_block <= event.block <= step.to_block for event in step.events)
                self.events += step.events
            self.cursor = step.cursor.to_json()

    @property
    def amounts(self) -> list[int]:
        return [event.args["amount"] for event in self.events]


@pytest.fixture
def depositor(devnet: Devnet, wallet: Wallet) -> Depositor:
    return Depositor(devnet, wallet)


async def test_each_event_comes_once_and_in_order(devnet: Devnet, depositor: Depositor) -> None:
    follower, ledger = EventFollower(devnet.chain, [depositor.filter]), Ledger()
    for amount in (1, 2):
        await depositor.deposit(amount)
    ledger.apply(await follower.poll())
    assert await follower.poll() == []
    await depositor.deposit(3)
    await devnet.mine(3)
    ledger.apply(await follower.poll())
    assert ledger.amounts == [1, 2, 3]
    assert follower.cursor.block == (await devnet.chain.head()).number


async def test_a_restart_goes_on_where_the_cursor_stands(devnet: Devnet, depositor: Depositor) -> None:
    ledger = Ledger()
    for amount in (1, 2, 3):
        await depositor.deposit(amount)
        cursor = Cursor.from_json(ledger.cursor) if ledger.cursor else None
        ledger.apply(await EventFollower(devnet.chain, [depositor.filter], cursor=cursor).poll())
    assert ledger.amounts == [1, 2, 3]


async def test_a_step_that_was_not_stored_is_delivered_again(devnet: Devnet, depositor: Depositor) -> None:
    await depositor.deposit(1)
    ledger = Ledger()
    ledger.apply(await EventFollower(devnet.chain, [depositor.filter]).poll())
    await depositor.deposit(2)
    stored = Cursor.from_json(ledger.cursor or "")
    await EventFollower(devnet.chain, [depositor.filter], cursor=stored).poll()
    ledger.apply(await EventFollower(devnet.chain, [depositor.filter], cursor=stored).poll())
    assert ledger.amounts == [1, 2]


async def test_events_of_replaced_blocks_are_taken_back(devnet: Devnet, depositor: Depositor) -> None:
    follower, ledger = EventFollower(devnet.chain, [depositor.filter]), Ledger()
    await depositor.deposit(1)
    ledger.apply(await follower.poll())
    before = await devnet.snapshot()
    for amount in (2, 3):
        await depositor.deposit(amount)
        ledger.apply(await follower.poll())
    assert ledger.amounts == [1, 2, 3]
    await devnet.revert(before)
    await depositor.deposit(4)
    await devnet.mine(3)
    steps = await follower.poll()
    assert isinstance(steps[0], Rollback)
    ledger.apply(steps)
    assert ledger.amounts == [1, 4]
    assert await follower.poll() == []


async def test_a_reorg_while_nobody_looked_is_noticed_after_a_restart(
    devnet: Devnet, depositor: Depositor
) -> None:
    ledger = Ledger()
    await depositor.deposit(1)
    ledger.apply(await EventFollower(devnet.chain, [depositor.filter]).poll())
    before = await devnet.snapshot()
    await depositor.deposit(2)
    cursor = Cursor.from_json(ledger.cursor or "")
    ledger.apply(await EventFollower(devnet.chain, [depositor.filter], cursor=cursor).poll())
    await devnet.revert(before)
    await depositor.deposit(5)
    cursor = Cursor.from_json(ledger.cursor or "")
    ledger.apply(await EventFollower(devnet.chain, [depositor.filter], cursor=cursor).poll())
    assert ledger.amounts == [1, 5]


async def test_a_chain_that_became_shorter_is_rolled_back(devnet: Devnet, depositor: Depositor) -> None:
    follower, ledger = EventFollower(devnet.chain, [depositor.filter]), Ledger()
    before = await devnet.snapshot()
    height = (await devnet.chain.head()).number
    ledger.apply(await follower.poll())
    await depositor.deposit(1)
    await devnet.mine(5)
    ledger.apply(await follower.poll())
    await devnet.revert(before)
    ledger.apply(await follower.poll())
    assert ledger.amounts == []
    assert follower.cursor.block == height


async def test_a_short_reorg_right_after_the_first_poll_leaves_a_block_standing(
    devnet: Devnet, depositor: Depositor
) -> None:
    """However many blocks the poll read at once; and only another chain leaves none."""
    await depositor.deposit(1)
    await devnet.mine(40)
    before = await devnet.snapshot()
    height = (await devnet.chain.head()).number
    await devnet.mine()
    follower = EventFollower(devnet.chain, [depositor.filter], start=height - 30)
    await follower.poll()
    numbers = [number for number, _ in follower.cursor.anchors]
    assert numbers[0] == height - 31, "the block before the first that matters"
    assert numbers[-2:] == [height, height + 1]
    await devnet.revert(before)
    await depositor.deposit(2)
    first, *_ = await follower.poll()
    assert isinstance(first, Rollback)
    assert (first.block, bool(first.cursor.anchors)) == (height, True)

    other = tuple((number, bytes(32)) for number in numbers)
    follower.cursor = Cursor(start=height - 30, anchors=other)
    first, *_ = await follower.poll()
    assert isinstance(first, Rollback)
    assert first.cursor.anchors == ()


async def test_with_confirmations_only_buried_events_are_told(devnet: Devnet, depositor: Depositor) -> None:
    follower, ledger = EventFollower(devnet.chain, [depositor.filter], confirmations=3), Ledger()
    await depositor.deposit(1)
    await devnet.mine(2)
    ledger.apply(await follower.poll())
    assert ledger.amounts == []
    await devnet.mine()
    ledger.apply(await follower.poll())
    assert ledger.amounts == [1]


@pytest.mark.parametrize(
    "failure",
    [
        RpcError("eth_getLogs", -32005, "query returned more than 10000 results"),
        ChainTimeout("http://chain", "eth_getLogs", 20),
        AnswerTooLong("http://chain", "the answer to eth_getLogs is longer than 64 MiB"),
    ],
)
async def test_an_endpoint_that_refuses_long_ranges_is_asked_for_shorter_ones(
    devnet: Devnet, depositor: Depositor, monkeypatch: pytest.MonkeyPatch, failure: ChainError
) -> None:
    logs_matching = devnet.chain.logs_matching

    async def stingy(first: int, last: int, filters: Any) -> list[Event]:
        if last - first >= 10:
            raise failure
        return await logs_matching(first, last, filters)

    monkeypatch.setattr(devnet.chain, "logs_matching", stingy)
    await devnet.mine(50)
    block = await depositor.deposit(1)
    await devnet.mine(20)
    follower, ledger = EventFollower(devnet.chain, [depositor.filter], start=block - 50), Ledger()
    while follower.cursor.block < (await devnet.chain.head()).number:
        ledger.apply(await follower.poll())
    assert ledger.amounts == [1]


async def test_logs_of_a_long_range_are_asked_for_in_parts(
    devnet: Devnet, depositor: Depositor, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs_matching, asked = devnet.chain.logs_matching, []

    async def stingy(first: int, last: int, filters: Any) -> list[Event]:
        if last - first >= 7:
            raise RpcError("eth_getLogs", -32005, "block range too large")
        asked.append((first, last))
        return await logs_matching(first, last, filters)

    monkeypatch.setattr(devnet.chain, "logs_matching", stingy)
    first = await depositor.deposit(1)
    await devnet.mine(20)
    last = await depositor.deposit(2)
    events = await devnet.chain.logs(first, last, ["Deposited"], dict(depositor.filter.args))
    assert [event.args["amount"] for event in events] == [1, 2]
    assert [block for pair in asked for block in range(pair[0], pair[1] + 1)] == list(range(first, last + 1))


async def test_a_failing_poll_leaves_the_cursor_as_it_was(
    devnet: Devnet, depositor: Depositor, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = EventFollower(devnet.chain, [depositor.filter])
    await follower.poll()
    before = follower.cursor
    await depositor.deposit(1)

    async def refusing(*_: object) -> list[Event]:
        raise RpcError("eth_getLogs", -32000, "no")

    with monkeypatch.context() as patch:
        patch.setattr(devnet.chain, "logs_matching", refusing)
        with pytest.raises(RpcError):
            await follower.poll()
    assert follower.cursor == before
    ledger = Ledger()
    ledger.apply(await follower.poll())
    assert ledger.amounts == [1]


async def test_a_reorg_between_two_requests_of_a_poll_is_not_mixed_up(
    devnet: Devnet, depositor: Depositor, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower, ledger = EventFollower(devnet.chain, [depositor.filter]), Ledger()
    ledger.apply(await follower.poll())
    before = await devnet.snapshot()
    await depositor.deposit(1)
    logs_matching = devnet.chain.logs_matching

    async def reorganised(*args: Any) -> list[Event]:
        monkeypatch.setattr(devnet.chain, "logs_matching", logs_matching)
        await devnet.revert(before)
        await depositor.deposit(9)
        return await logs_matching(*args)

    monkeypatch.setattr(devnet.chain, "logs_matching", reorganised)
    ledger.apply(await follower.poll())
    ledger.apply(await follower.poll())
    assert ledger.amounts == [9]


async def test_an_endpoint_without_the_old_blocks_is_not_taken_for_a_quiet_chain(
    devnet: Devnet, depositor: Depositor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing read would mean that nothing happened: a renter with orders would be shown none."""
    block = await depositor.deposit(1)
    block_hash = devnet.chain.block_hash

    async def shortened(number: int) -> bytes | None:
        return await block_hash(number) if number >= block else None

    monkeypatch.setattr(devnet.chain, "block_hash", shortened)
    # So that the first batch ends below the newest block, as on a chain of millions.
    follower = EventFollower(devnet.chain, [depositor.filter], log_blocks=lambda: 1)
    with pytest.raises(BlocksMissing) as raised:
        await follower.poll()
    assert (raised.value.read, raised.value.newest) == (-1, (await devnet.chain.head()).number)
    assert follower.cursor == Cursor(start=0)

    known = EventFollower(devnet.chain, [depositor.filter], start=block)
    assert [event.args["amount"] for step in await known.poll() for event in step.events] == [1]  # type: ignore[union-attr]


async def test_anchors_stay_few_and_reach_far_back() -> None:
    cursor = Cursor(start=0)
    for number in range(20_000):
        cursor = cursor.advanced(number, number.to_bytes(32, "big"))
    numbers = [number for number, _ in cursor.anchors]
    assert len(numbers) <= DENSE_ANCHORS + 20
    assert numbers == sorted(numbers)
    assert numbers[-DENSE_ANCHORS:] == list(range(20_000 - DENSE_ANCHORS, 20_000))
    assert numbers[0] < 5_000
    assert Cursor.from_json(cursor.to_json()) == cursor


async def test_a_cursor_tells_what_was_passed_over_until_it_is_rolled_back_to_before_it() -> None:
    """Blocks that are read later change nothing of that; a history that is left takes it along."""
    mark = bytes(32)
    cursor = Cursor(start=5).advanced(50, mark).passed_over(200, mark).advanced(230, mark)
    assert cursor.gaps == ((51, 200),)
    assert Cursor.from_json(cursor.to_json()) == cursor
    assert cursor.rolled_back(229).gaps == cursor.rolled_back(200).gaps == ((51, 200),)
    before = cursor.rolled_back(199)
    assert (before.block, before.gaps, before) == (50, (), Cursor(start=5).advanced(50, mark))
    twice = cursor.passed_over(900, mark)
    assert twice.gaps == ((51, 200), (231, 900))
    assert twice.rolled_back(300) == cursor
    assert twice.begun_again().gaps == ()


class FakeBlocks:
    """A chain of which a test says what each block's hash is."""

    def __init__(self, mark: int) -> None:
        self.mark = mark

    def hash_of(self, number: int) -> bytes:
        return bytes([self.mark]) * 31 + bytes([number])

    async def head(self) -> Head:
        return Head(number=40, hash=self.hash_of(40), timestamp=0, epoch=Epoch(0), base_fee_wei=0)

    async def block_hash(self, number: int) -> bytes | None:
        return self.hash_of(number)

    async def block_hashes(self, numbers: Sequence[int]) -> list[bytes | None]:
        return [self.hash_of(number) for number in numbers]

    async def logs_matching(self, first: int, last: int, filters: Sequence[EventFilter], /) -> list[Event]:
        return []


async def test_a_chain_that_was_left_for_another_is_known_when_it_is_shown_again() -> None:
    """Also after as many others as there are, and by a cursor that was stored between."""
    shown = FakeBlocks(0)
    follower = EventFollower(shown, start=3)
    await follower.poll()
    for mark in range(1, MAX_FORMER + 3):
        shown.mark = mark
        rollback, *_ = await follower.poll()
        assert isinstance(rollback, Rollback)
        assert (rollback.block, rollback.is_anchored) == (2, False)
        follower.cursor = Cursor.from_json(follower.cursor.to_json())
        assert len(follower.cursor.former) <= MAX_FORMER
    shown.mark = 0
    rollback, *_ = await follower.poll()
    assert isinstance(rollback, Rollback)
    assert (rollback.block, rollback.is_known, rollback.is_anchored) == (2, True, True)
    assert rollback.cursor.anchors == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"start": 1, "anchors": [[1]]}',
        '{"start": 1, "anchors": [], "former": 1}',
        '{"start": 1, "anchors": [], "gaps": [[1]]}',
        '{"start": 1, "anchors": [], "gaps": 1}',
        '{"start": "x"}',
    ],
)
async def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match="not a cursor"):
        Cursor.from_json(text)


async def test_logs_are_chosen_by_event_and_indexed_values(devnet: Devnet, wallet: Wallet) -> None:
    mine, other = Depositor(devnet, wallet), Depositor(devnet, await funded(devnet))
    first = await mine.deposit(1)
    await other.deposit(2)
    last = (await mine.sender.send(calls.request_withdrawal(1))).block
    chain = devnet.chain

    async def amounts(*events: str, **args: Any) -> list[int]:
        return [event.args["amount"] for event in await chain.logs(first, last, events, args)]

    assert await amounts() == [1, 2, 1]
    assert await amounts("Deposited") == [1, 2]
    assert await amounts("Deposited", account=other.sender.address) == [2]
    assert await amounts("Deposited", "WithdrawalRequested", account=wallet.address) == [1, 1]
    assert await amounts("Deposited", account=[wallet.address, other.sender.address]) == [1, 2]
    assert await amounts("Withdrawn", account=other.sender.address) == []
    both = [mine.filter, EventFilter(events=("Deposited",))]
    assert [e.args["amount"] for e in await chain.logs_matching(first, last, both)] == [1, 2]


async def test_a_filter_that_cannot_be_asked_for_is_our_mistake(devnet: Devnet) -> None:
    with pytest.raises(Misuse, match="not an indexed parameter"):
        await devnet.chain.logs(0, 1, ["Deposited"], {"amount": 1})
    with pytest.raises(Misuse, match="different places"):
        await devnet.chain.logs(0, 1, ["SlotFilled", "Proven"], {"farmer": 1})
    with pytest.raises(Misuse, match="no event"):
        await devnet.chain.logs(0, 1, ["Nothing"])


async def test_anvil_reorg_is_followed(engine: str, devnet: Devnet, depositor: Depositor) -> None:
    if engine != "anvil":
        pytest.skip("only anvil has anvil_reorg")
    follower, ledger = EventFollower(devnet.chain, [depositor.filter]), Ledger()
    await depositor.deposit(1)
    await devnet.mine(2)
    await depositor.deposit(2)
    ledger.apply(await follower.poll())
    assert ledger.amounts == [1, 2]
    await devnet.chain.rpc.call("anvil_reorg", 2, [])
    ledger.apply(await follower.poll())
    assert ledger.amounts == [1]
    await depositor.deposit(3)
    ledger.apply(await follower.poll())
    assert ledger.amounts == [1, 3]

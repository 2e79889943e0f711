"""Several processes with one key and one file of channels: every read is paid once, and nobody is refused."""

import asyncio
import multiprocessing
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from node_support import DOMAIN, FARMER, FakeMarket, parcel
from paid_reader import AT_ONCE, READ_BYTES
from paid_support import RENTER, VAULT, serving

from grange.peer import PaymentChannels

READER = Path(__file__).parents[1] / "paid_reader.py"
SECONDS = 60.0
ALLOCATIONS = 60
OPENINGS = 8


@pytest.fixture
def market() -> FakeMarket:
    made = FakeMarket()
    made.vaults = {RENTER.address: VAULT}
    return made


class Reader:
    """One process that reads; see `paid_reader`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    @asynccontextmanager
    async def open(cls, endpoint: str, channels: Path, count: int) -> AsyncIterator["Reader"]:
        """It has the channels open, and waits."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, READER, endpoint, channels, str(count)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        reader = cls(process)
        try:
            assert await reader.said() == "open"
            yield reader
        finally:
            await reader.kill()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")

    async def said(self) -> str:
        """The next line."""
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), SECONDS)).decode().rstrip()

    async def rest(self) -> list[str]:
        """All lines to its end, which must be a good one."""
        out, _ = await asyncio.wait_for(self.process.communicate(), SECONDS)
        assert self.process.returncode == 0
        return out.decode().splitlines()

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()


async def test_two_processes_that_read_at_once_pay_once_each_and_are_never_refused(
    tmp_path: Path, market: FakeMarket
) -> None:
    channels, count = tmp_path / "payment-channels.sqlite3", 30
    async with serving(tmp_path / "data", market) as (farm, endpoint):
        await farm.keep(parcel())
        async with (
            Reader.open(endpoint, channels, count) as one,
            Reader.open(endpoint, channels, count) as two,
        ):
            for reader in (one, two):
                reader.go()
            said = [line for lines in await asyncio.gather(one.rest(), two.rest()) for line in lines]
        assert [line for line in said if not line.isdigit()] == []
        assert len(said) == 2 * count
        account = farm.node.payment_gate.account(RENTER.address)
        assert account is not None
        assert (account.cumulative, account.spent) == (2 * count * READ_BYTES, 2 * count * READ_BYTES)
        assert standing(channels) == (account.cumulative, 0)


async def test_a_process_that_is_killed_while_it_pays_costs_the_other_nothing(
    tmp_path: Path, market: FakeMarket
) -> None:
    """What it had set aside may be lost, which is no more than it read at once; the other goes on, and so
    does the next process."""
    channels, count = tmp_path / "payment-channels.sqlite3", 40
    async with serving(tmp_path / "data", market) as (farm, endpoint):
        await farm.keep(parcel())
        async with (
            Reader.open(endpoint, channels, 10_000) as one,
            Reader.open(endpoint, channels, count) as two,
        ):
            for reader in (one, two):
                reader.go()
            for _ in range(10):
                assert (await one.said()).isdigit()
            await one.kill()
            assert [line for line in await two.rest() if not line.isdigit()] == []
        async with Reader.open(endpoint, channels, count) as three:
            three.go()
            assert [line for line in await three.rest() if not line.isdigit()] == []
        account = farm.node.payment_gate.account(RENTER.address)
        assert account is not None
        assert account.spent <= account.cumulative == standing(channels)[0]
        assert account.cumulative - account.spent <= AT_ONCE * READ_BYTES


def test_no_total_is_signed_by_two_processes(tmp_path: Path) -> None:
    """They begin in the same moment, on a file that is not there yet, and open it again and again."""
    path = tmp_path / "payment-channels.sqlite3"
    context = multiprocessing.get_context("spawn")
    barrier, signed = context.Barrier(3), context.Queue()
    workers = [context.Process(target=allocate, args=(path, barrier, signed)) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        totals = [total for _ in workers for total in signed.get(timeout=SECONDS)]
    finally:
        for worker in workers:
            worker.join(SECONDS)
            worker.kill()
            worker.join()
    assert sorted(totals) == [READ_BYTES * (turn + 1) for turn in range(3 * OPENINGS * ALLOCATIONS)]
    assert standing(path) == (READ_BYTES * len(totals), 0)


def allocate(path: Path, barrier: Barrier, signed: "Queue[list[int]]") -> None:
    """The body of a process: set aside the same price again and again, and say which totals came of it."""
    totals = []
    barrier.wait(SECONDS)
    for _ in range(OPENINGS):
        with PaymentChannels.open(path, domain=DOMAIN, payer=RENTER.address) as channels:
            for _ in range(ALLOCATIONS):
                channel = channels.change(FARMER, lambda channel: channel.allocated(READ_BYTES))
                totals.append(channel.standing)
    signed.put(totals)


def standing(path: Path) -> tuple[int, int]:
    """What was signed in all, and the part of it that no request stands for."""
    with PaymentChannels.open(path, domain=DOMAIN, payer=RENTER.address) as channels:
        channel = channels.channel(FARMER)
        return channel.total, channel.credit
